"""A program under strace: which system calls it makes, which of them change something outside of
it, and the same program killed when it is about to make one of them.

strace's `when=N` counts per thread and per call, and its signal arrives on entry: the call is not
made. So a point (call, N) is the state that all calls before it left."""

import collections
import re
import subprocess

# Calls that change what is on a disk, what another process sees, or which processes there are. Not
# execve: the one that starts a program is strace's own.
CHANGING = set(
    """bind chmod chown clone clone3 connect copy_file_range fallocate fchmod fchmodat fchown
    fchownat fdatasync flock fork fsync ftruncate kill link linkat listen mkdir mkdirat openat
    pwrite64 pwritev rename renameat renameat2 rmdir sendfile sendmmsg sendmsg sendto setpgid setsid
    shutdown symlink symlinkat truncate unlink unlinkat vfork write writev""".split()
)
# With a descriptor as their first argument, which tells what they change.
ON_DESCRIPTOR = {"pwrite64", "pwritev", "sendfile", "sendmsg", "sendto", "write", "writev"}
# Nothing of these is left when the process is gone.
PRIVATE = ("anon_inode:", "/dev/null", "/memfd:")

Call = collections.namedtuple("Call", "name number text made")


class Point(collections.namedtuple("Point", "scene call number action second")):
    """`scene:call:N`, `scene:call:N:EIO`, `scene:call:N+call:M` (the next start dies, too)."""

    def __new__(cls, scene, call, number, action="KILL", second=None):
        return super().__new__(cls, scene, call, number, action, second)

    def __str__(self):
        text = f"{self.scene}:{self.call}:{self.number}"
        text += "" if self.action == "KILL" else f":{self.action}"
        return text + (f"+{self.second[0]}:{self.second[1]}" if self.second else "")

    def tracers(self, log):
        """strace and its words, for the first start and, if that is to die too, for the next."""
        starts = [injecting(log, self)]
        if self.second:
            starts.append(injecting(f"{log}-again", Point(self.scene, *self.second)))
        return starts


def point_of(text):
    first, _, then = text.partition("+")
    scene, call, number, *action = first.split(":")
    second = (then.split(":")[0], int(then.split(":")[1])) if then else None
    return Point(scene, call, int(number), action[0] if action else "KILL", second)


def why_not():
    """Why no process can be traced here; None when it can."""
    try:
        done = subprocess.run(
            ["strace", "-qq", "-o", "/dev/null", "-e", "inject=getppid:retval=1", "true"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return "strace is not installed"
    return None if done.returncode == 0 else f"strace cannot trace: {done.stdout.strip()[:200]}"


def why_not_attach():
    """Why a process that runs already cannot be traced; None when it can."""
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        words = ["strace", "-o", "/dev/null", "-p", str(sleeper.pid)]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as tracer:
            said = tracer.stderr.readline().strip()
            sleeper.kill()
    return None if "attached" in said else said[:200]


def listing(log):
    """strace and its words to list all calls of what follows."""
    return ["strace", "-q", "-y", "-s", "0", "-e", "signal=none", "-o", log]


def injecting(log, point):
    """strace and its words to make what follows die, or fail, at this point. The log also tells
    whether it came to its own end, and what had its final name by then."""
    calls = f"trace={point.call},exit_group,rename"
    what = "signal=KILL" if point.action == "KILL" else f"error={point.action}"
    inject = f"inject={point.call}:{what}:when={point.number}"
    words = ["strace", "-q", "-s", "4096", "-e", calls, "-e", "signal=none", "-o", log]
    return words + ["-e", inject]


def starting(tracer):
    """As words before a program, which stays the child of who starts it."""
    return [*tracer[:1], "-D", *tracer[1:]] if tracer else []


def attaching(tracer, thread):
    """To a thread that runs already; this one says when it is there."""
    return [*tracer[:1], *tracer[2:], "-p", str(thread)]


def calls_of(log):
    """The calls in a log of one thread, in order; `number` is what `when=` counts."""
    counts = collections.Counter()
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in file:
            found = re.match(r"(\w+)\((.*)", line)
            if not found:
                continue
            name, text = found.groups()
            counts[name] += 1
            made = bool(re.search(r"\) += \d", text))
            yield Call(name, counts[name], text, made)


def was_reached(log, point):
    """The call was about to be made: it died then, or the call failed."""
    return any(c.name == point.call and c.number == point.number for c in calls_of(log))


def came_to_its_end(log):
    return any(call.name == "exit_group" for call in calls_of(log))


def was_injected(log):
    with open(log, encoding="utf-8", errors="replace") as file:
        return "(INJECTED)" in file.read()


def target_of(call):
    found = re.match(r"\d+<([^>]*)", call.text)
    return found[1] if found else ""


def changes(call, quiet=(), wakes=False):
    """Does this call change something outside of the process? `quiet`: paths that do not count,
    as of a log; `wakes`: another thread is woken, which then sends what this one handed over."""
    if call.name == "exit_group":
        return True
    if call.name == "prctl":
        return call.made and bool(re.match("PR_SET_(PDEATHSIG|CHILD_SUBREAPER)", call.text))
    if not call.made or call.name not in CHANGING:
        return False
    if call.name == "openat":
        return "O_CREAT" in call.text or "O_TRUNC" in call.text
    if call.name in ("clone", "clone3"):
        return "CLONE_THREAD" not in call.text
    if call.name == "sendfile":
        return not call.text.endswith("= 0")
    if call.name in ON_DESCRIPTOR:
        target = target_of(call)
        if target == "anon_inode:[eventfd]":
            return wakes
        return not target.startswith(PRIVATE) and target not in quiet
    return True


def without_middles(calls):
    """Of many writes in a row to one file the first, the second and the last: what lies between
    are longer and shorter halves of a file that nobody has a name for yet."""
    kept = []
    for at, call in enumerate(calls):
        around = calls[max(at - 2, 0) : at + 2]
        kinds = {(one.name, target_of(one)) for one in around}
        if len(around) < 4 or len(kinds) > 1 or call.name not in ON_DESCRIPTOR:
            kept.append(call)
    return kept


def points_of(scene, log, every=False, quiet=(), wakes=False, middles=True):
    """(points, {name of a call: how many were left out}) of a listing. `every`: nothing is."""
    calls = list(calls_of(log))
    chosen = [call for call in calls if every or changes(call, quiet, wakes)]
    if not middles and not every:
        chosen = without_middles(chosen)
    left_out = collections.Counter(call.name for call in calls)
    left_out -= collections.Counter(call.name for call in chosen)
    return [Point(scene, call.name, call.number) for call in chosen], left_out
