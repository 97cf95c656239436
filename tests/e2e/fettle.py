"""The harness: real programs, real git repositories, folders of their own.

A test waits for what it wants with a deadline; it never sleeps and hopes. The test process is a
subreaper, so whatever the programs leave behind becomes its child and is noticed.
"""

import contextlib
import ctypes
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.path.abspath("build")
PR_SET_CHILD_SUBREAPER = 36
# Everything is slower under a sanitizer or on a loaded machine: deadlines are for hangs.
PATIENCE = float(os.environ.get("FETTLE_TEST_PATIENCE", "30"))
PORTS = range(20000, 32000)

PROGRAMS = {
    "fettle": "cli/fettle",
    "broker": "broker/fettle-broker",
    "observer": "observer/fettle-observer",
    "supervisor": "worker/fettle-supervisor",
    "worker": "worker/fettle-worker",
    "hasty_peer": "tests/attacks/attacks_hasty_peer",
    "raw_peer": "tests/e2e/e2e_raw_peer",
}


# With planted faults in them (tests/plants), when the environment names one.
PLANTED_PROGRAMS = {
    name: f"tests/plants/fettle-{name}-planted" for name in ("broker", "observer", "worker")
}


def program(name):
    planted = PLANTED_PROGRAMS.get(name) if "FETTLE_PLANT" in os.environ else None
    return os.path.join(BUILD, planted or PROGRAMS[name])


def is_sanitized():
    """Are the programs built with a sanitizer?"""
    with open(program("broker"), "rb") as file:
        return b"__asan_init" in file.read()


def resident_kib(pid):
    """Memory of a process that is there."""
    with open(f"/proc/{pid}/statm", encoding="utf-8") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def clean_environment(home):
    """What a program of ours gets: nothing of the fettle that may run this very test."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("FETTLE", "XDG_", "GIT_")) or key == "FETTLE_PLANT"
    }
    environment.update(
        HOME=home,
        GIT_CONFIG_GLOBAL="/dev/null",
        FETTLE_DRAIN_TIMEOUT="0",  # the jobs of most tests never end by themselves
        GIT_CONFIG_NOSYSTEM="1",
        GIT_AUTHOR_NAME="Ada",
        GIT_AUTHOR_EMAIL="ada@example.org",
        GIT_COMMITTER_NAME="Ada",
        GIT_COMMITTER_EMAIL="ada@example.org",
        NO_COLOR="1",
    )
    return environment


def become_subreaper():
    """Orphans of what we start become our children."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def all_children_of(pid):
    """(process id, state) of the children of a process."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                state, parent = file.read().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        if int(parent) == pid:
            yield int(entry), state


def children_of(pid):
    """Process ids of the living children of a process; those that ended are no children."""
    return [child for child, state in all_children_of(pid) if state != "Z"]


def descendants_of(pid, which=lambda pid: True):
    found = []
    for child in children_of(pid):
        found += [child] if which(child) else []
        found += descendants_of(child, which)
    return found


def words_of(pid):
    """The command line of a process; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def is_supervisor(pid):
    words = words_of(pid)
    return len(words) == 3 and words[1] == "--supervise"


def describe(pid):
    return f"{pid}: {' '.join(words_of(pid)) or 'gone'}"


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(check, what, seconds=None):
    """Ask `check` until it says something true, and return that. Asking takes a process, most
    often: the longer it takes, the less often it is asked."""
    start = time.monotonic()
    deadline = start + (seconds or PATIENCE)
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds or PATIENCE:g} s: {what}")
        time.sleep(max(0.02, min(0.25, (time.monotonic() - start) / 5)))


def free_ports():
    """The first of four consecutive ports that nobody has: below those that the kernel gives to
    whoever connects, and not where a test that began at the same time looks first."""
    places = PORTS[::8]
    for number in range(len(places)):
        port = places[(os.getpid() + number * 7) % len(places)]
        sockets = []
        try:
            for offset in range(4):
                sockets.append(socket.socket())
                sockets[-1].bind(("127.0.0.1", port + offset))
            return port
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
    raise AssertionError("no four free ports")


class Repository:
    """A git repository that a test writes."""

    def __init__(self, house, name="sample"):
        self.path = os.path.join(house.folder, name)
        self.environment = house.environment
        os.makedirs(self.path)
        self.git("init", "-q", "-b", "main")

    def git(self, *words, stdin=None):
        done = subprocess.run(
            ["git", *words],
            cwd=self.path,
            env=self.environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"git {' '.join(words)}: {done.stderr}")
        return done.stdout.strip()

    def write(self, files):
        for name, content in files.items():
            path = os.path.join(self.path, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(content)

    def commit(self, files=None, message="a commit"):
        self.write(files or {})
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def steps(self, *steps, message="a commit"):
        """Commit a file that runs these shell commands."""
        rows = "".join(f"  - {json.dumps(step)}\n" for step in steps)
        return self.commit({".fettle.yaml": f"steps:\n{rows}"}, message)

    def push_many(self, count):
        """`count` commits that appear on the branch at once; returns them, oldest first."""
        tree = self.git("rev-parse", "HEAD^{tree}")
        commits = []
        tip = self.git("rev-parse", "HEAD")
        for number in range(count):
            tip = self.git("commit-tree", tree, "-p", tip, "-m", f"number {number}")
            commits.append(tip)
        self.git("update-ref", "refs/heads/main", tip)
        return commits


class House:
    """A folder, and the programs that a test started in it."""

    def __init__(self, parent="/tmp"):
        # Short, because the path of a socket is at most 107 bytes.
        self.folder = tempfile.mkdtemp(prefix="fe-", dir=parent)
        os.chmod(self.folder, 0o755)
        self.home = os.path.join(self.folder, "home")
        os.makedirs(self.home)
        self.environment = clean_environment(self.home)
        self.broker_folder = os.path.join(self.folder, "broker")
        self.gated = False  # jobs wait for files outside of their folders
        self.processes = []
        self.killed = False  # a program was
        self.logs = {}

    def gate(self, name="gate"):
        """A file that jobs can wait for; so the workers started from now on hide nothing else than
        their own state from them."""
        self.gated = True
        return self.path(name)

    def open_gate(self, name="gate"):
        with open(self.gate(name), "w", encoding="utf-8"):
            pass

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def start(self, name, words, environment=None):
        """A program in the background; what it says is in <name>.log."""
        self.logs[name] = self.path(f"{name}.log")
        with open(self.logs[name], "ab") as log:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self.environment, **(environment or {})},
                cwd=self.folder,
            )
        self.processes.append(process)
        return process

    def log_of(self, name):
        try:
            with open(self.logs[name], encoding="utf-8", errors="replace") as file:
                return file.read()
        except (KeyError, OSError):
            return ""

    def broker_words(self, *flags, listen="none"):
        return [program("broker"), "--state", self.broker_folder, "--listen", listen, *flags]

    def broker(self, *flags, listen="none"):
        process = self.start("broker", self.broker_words(*flags, listen=listen))
        wait_until(lambda: self.answers() or process.poll() is not None, "the broker answers")
        if process.poll() is not None:
            raise AssertionError("the broker ended:\n" + self.log_of("broker"))
        return process

    def answers(self):
        return self.cli("status", "--timeout", "2s").returncode == 0

    def worker_words(self, name, *flags, slots=1, labels=(), broker=None):
        words = [program("worker"), "--broker", broker or f"ipc:{self.broker_folder}"]
        words += ["--state", self.path(f"worker-{name}"), "--name", name, "--slots", str(slots)]
        words += ["--kill-grace", "1s"]
        if self.gated:
            words += ["--containment", "none"]
        for label in labels:
            words += ["--label", label]
        return words + list(flags)

    def worker(self, name="one", *flags, environment=None, **settings):
        words = self.worker_words(name, *flags, **settings)
        return self.start(f"worker-{name}", words, environment)

    def observer_words(
        self, *repositories, interval="100ms", flags=(), name="observer", broker=None
    ):
        words = [program("observer"), "--broker", broker or f"ipc:{self.broker_folder}"]
        words += ["--state", self.path(name), "--interval", interval, "--name", name, *flags, "--"]
        return words + [getattr(one, "path", one) for one in repositories]

    def observer(self, *repositories, name="observer", **settings):
        return self.start(name, self.observer_words(*repositories, name=name, **settings))

    def cli(self, *words, broker=None, seconds=None):
        """Run the fettle command to its end."""
        address = broker or f"ipc:{self.broker_folder}"
        return self.run([program("fettle"), words[0], "--broker", address, *words[1:]], seconds)

    def cli_words(self, words):
        """The same for a verb of several words."""
        address = f"ipc:{self.broker_folder}"
        return self.run([program("fettle"), *words, "--broker", address])

    def run(self, words, seconds=None, environment=None):
        return subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**self.environment, **(environment or {})},
            cwd=self.folder,
            timeout=seconds or PATIENCE * 4,
            text=True,
            errors="replace",
            check=False,
        )

    def json(self, *words):
        done = self.cli(*words, "--json")
        if done.returncode != 0:
            raise AssertionError(f"fettle {words}: {done.returncode} {done.stderr}")
        return json.loads(done.stdout)

    def wait(self, commit, seconds=None):
        """The commit's verdict, once it has one."""
        done = self.cli("wait", commit, "--json", "--timeout", f"{int(seconds or PATIENCE)}s")
        if done.returncode not in (0, 1):
            raise AssertionError(f"no verdict of {commit}: {done.stderr}\n{self.all_logs()}")
        return json.loads(done.stdout)

    def verdict(self, commit, seconds=None):
        return self.wait(commit, seconds)["outcome"]

    def only_job(self, commit):
        """The job of a commit that has one build with one job; None while it is unknown."""
        done = self.cli("show", commit, "--json")
        if done.returncode != 0:
            return None
        builds = json.loads(done.stdout)["builds"]
        assert len(builds) == 1 and len(builds[0]["jobs"]) == 1, builds
        return builds[0]["jobs"][0]

    def wait_running(self, commit, worker=None, seconds=None):
        """The job of this commit, once a worker runs it and its log shows so."""

        def runs():
            job = self.only_job(commit)
            if not job or job["state"] != "leased" or (worker and job["worker"] != worker):
                return None
            return job if "working" in self.cli("log", commit).stdout.splitlines() else None

        return wait_until(runs, f"{commit} runs on {worker or 'a worker'}", seconds)

    def worker_is_there(self, name):
        rows = self.json("workers")["workers"]
        return any(row["name"] == name and row["state"] != "away" for row in rows)

    def subscribers(self):
        """How many programs listen to the broker's events: its own socket is the first row."""
        path = f"{self.broker_folder}/events.sock"
        with open("/proc/net/unix", encoding="utf-8") as file:
            return sum(row.rstrip().endswith(path) for row in file) - 1

    def result(self, commit, job="*"):
        """The file that is kept for people: outcome line, then the log. It comes soon after the
        verdict."""
        folder = os.path.join(self.broker_folder, "results", commit)
        found = wait_until(
            lambda: glob.glob(os.path.join(folder, f"{job}.txt")), f"a result of {commit}"
        )
        with open(found[0], encoding="utf-8", errors="replace") as file:
            return file.read()

    def all_logs(self):
        return "\n".join(f"--- {name}\n{self.log_of(name)[-3000:]}" for name in self.logs)

    def stop(self, process, number=signal.SIGTERM):
        """Signal a program and return how it ended."""
        process.send_signal(number)
        code = process.wait(PATIENCE)
        self.processes.remove(process)
        self.killed = self.killed or number == signal.SIGKILL
        return code

    def finish(self):
        """Stop what still runs and remove the folder; say what did not end well."""
        wrong = self.end_all()
        if wrong:
            wrong.append(self.all_logs())
        shutil.rmtree(self.folder, ignore_errors=True)
        return wrong

    def end_all(self):
        """Stop what still runs, newest first; say what did not end well or was left behind."""
        wrong = []
        for process in reversed(list(self.processes)):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in reversed(list(self.processes)):
            try:
                if process.wait(PATIENCE) != 0:
                    wrong.append(f"{process.args[0]} ended with {process.returncode}")
            except subprocess.TimeoutExpired:
                wrong.append(f"{process.args[0]} did not stop")
                process.kill()
                process.wait()
        self.processes.clear()
        if self.killed:
            self.end_supervisors()
        return wrong + self.end_left_overs()

    @staticmethod
    def end_supervisors():
        """Those of workers that were killed and not started again wait for a minute."""
        for pid in descendants_of(os.getpid(), is_supervisor):
            with contextlib.suppress(ProcessLookupError):  # it was about to end anyway
                os.kill(pid, signal.SIGTERM)

    def reap_orphans(self):
        """Collect what became our child and has ended. Not while another thread waits for a program
        that it started: it would be collected here."""
        ours = {process.pid for process in self.processes}
        for pid, state in all_children_of(os.getpid()):
            if state == "Z" and pid not in ours:
                os.waitpid(pid, os.WNOHANG)

    @staticmethod
    def end_left_overs():
        """Orphans became our children: there must be none. They get a moment to end."""
        try:
            wait_until(lambda: not descendants_of(os.getpid()), "no process is left", 5)
            return []
        except AssertionError:
            left = [describe(pid) for pid in descendants_of(os.getpid())]
            for pid in descendants_of(os.getpid()):
                os.kill(pid, signal.SIGKILL)
            return ["left behind: " + ", ".join(left)]


class Case(unittest.TestCase):
    """A test with a house of its own."""

    def setUp(self):
        become_subreaper()
        self.house = House()
        self.addCleanup(self.close_house)

    def close_house(self):
        wrong = self.house.finish()
        self.assertFalse(wrong, "\n".join(wrong))

    def assert_line(self, text, pattern):
        """One clear line that says this."""
        self.assertRegex(text, pattern)
        self.assertEqual(len(text.strip().splitlines()), 1, text)
        self.assertFalse(re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text), repr(text))
