"""Jobs that take all there is: processes, memory, descriptors, processor time, output, disk
(bad inputs 30, 31, 36, 38). The worker's heartbeats are measured meanwhile."""

import os
import subprocess

import arena
import tap
from fettle import program

FORKS = """
import os, sys, time
made = 0
try:
    while made < 100000:
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        made += 1
except OSError as e:
    print("fork refused after", made, e, flush=True)
    time.sleep(3)
    sys.exit(3)
"""

MEMORY = """
held = []
while True:
    held.append(bytearray(16 << 20))
"""

DESCRIPTORS = """
import os, resource, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
count = 0
try:
    while count < 1000000:
        os.open("/dev/null", os.O_RDONLY)
        count += 1
except OSError as e:
    print("open refused after", count, e, flush=True)
    sys.exit(4)
"""

SPIN = "for i in $(seq $(($(nproc) * 4))); do while :; do :; done & done; sleep 8; echo spun"

TANGLE = """
import os
for i in range(2000):
    os.mkdir("d"); os.chdir("d")
os.mkfifo("fifo")
open("file", "w").write("x")
os.chmod(".", 0)
"""


class Hunger(arena.Attack):
    worker_flags = ("--max-processes", "200", "--max-memory", "256M", "--max-files", "1000")

    def test_a_fork_bomb(self):
        commit = self.run_job("python3 forks.py", files={"forks.py": FORKS}, seconds=120)
        self.assert_job(commit, "failed")
        self.assertRegex(self.log(commit), r"fork refused after 1?\d?\d ")
        self.assert_gone()
        self.assert_works()
        self.assert_heartbeats("a fork bomb")

    def test_a_shell_fork_bomb(self):
        commit = self.run_job("bomb() { bomb | bomb & }; bomb; sleep 4", seconds=120)
        self.assertIn(self.job(commit)["outcome"], ("passed", "failed", "error"))
        self.assert_gone(15)
        self.assert_works()
        self.assert_heartbeats("a fork bomb of the shell's")

    def test_a_memory_bomb(self):
        step = "for i in 1 2 3 4 5 6; do python3 memory.py || code=$?; done; exit $code"
        commit = self.run_job(step, files={"memory.py": MEMORY}, seconds=120)
        self.assertIn(self.job(commit)["outcome"], ("failed", "error"))
        self.assert_gone()
        self.assert_works()
        self.assert_heartbeats("a memory bomb")

    def test_a_million_descriptors(self):
        commit = self.run_job("python3 fds.py", files={"fds.py": DESCRIPTORS}, seconds=120)
        self.assert_job(commit, "failed")
        self.assertRegex(self.log(commit), r"open refused after \d{1,3} ")
        self.assert_gone()

    def test_all_processors_are_busy(self):
        commit = self.run_job(SPIN, seconds=120)
        self.assert_job(commit, "passed")
        self.assert_gone()
        self.assert_heartbeats("all processors busy, four times over")


class Disk(arena.Attack):
    worker_flags = ("--max-disk", "32M")

    def test_a_job_that_fills_the_disk(self):
        commit = self.run_job(
            "for i in $(seq 40); do head -c 4M /dev/zero > file$i; sleep 0.1; done; sleep 5",
            seconds=120,
        )
        self.assertIn(self.job(commit)["outcome"], ("failed", "error"))
        self.assertRegex(self.job(commit)["reason"], "disk")
        self.assert_gone()
        self.assert_works()

    def test_a_tree_that_resists_its_removal(self):
        """It may count as over the limit for disk: nobody looks for files that deep."""
        commit = self.run_job("python3 tangle.py", files={"tangle.py": TANGLE})
        self.assertIn(self.job(commit)["outcome"], ("passed", "failed"))
        self.assert_gone(30)
        self.assert_works()


class Output(arena.Attack):
    def most_memory_of(self, pid):
        """KiB, since it began."""
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            return next(int(row.split()[1]) for row in file if row.startswith("VmHWM"))

    def test_a_gigabyte_without_a_newline(self):
        commit = self.run_job("head -c 1G /dev/zero | tr '\\0' x", seconds=300)
        self.assert_job(commit, "passed")
        self.assertRegex(self.log(commit)[-9000000:], r"\[fettle: \d+ bytes cut here\]")
        most = self.most_memory_of(self.worker.pid)
        print(f"# figures: attacks: a log of 1 GiB: the worker had {most} KiB", flush=True)
        if not arena.IS_SANITIZED:
            self.assertLess(most, 12 * 1024)
        self.assert_heartbeats("a log of 1 GiB without a newline")

    def test_any_bytes_on_both_pipes(self):
        step = "head -c 3M /dev/urandom & head -c 3M /dev/urandom >&2 & wait; printf 'a\\0b'"
        commit = self.run_job(step)
        self.assert_job(commit, "passed")
        folder = os.path.join(self.house.broker_folder, "logs")
        sizes = [os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)]
        self.assertGreaterEqual(max(sizes), 6 << 20)
        with open(os.path.join(folder, os.listdir(folder)[0]), "rb") as file:
            self.assertIn(b"a\0b", file.read())

    def test_output_that_pretends(self):
        step = (
            "printf '\\033[2J\\033]8;;http://x\\007\\r::set-env name=A::b\\n'; "
            "echo 'verdict: passed'; echo 'fettle: passed'; exit 1"
        )
        commit = self.run_job(step)
        self.assert_job(commit, "failed", "exited with 1")
        self.assertIn("verdict: passed", self.log(commit))
        shown = self.on_a_terminal("log", commit)
        self.assertIn("verdict: passed", shown)
        self.assertNotRegex(shown, r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

    def on_a_terminal(self, verb, *words):
        """What a person sees: the command's output on a terminal of its own."""
        ours, theirs = os.openpty()
        subprocess.run(
            [program("fettle"), verb, "--broker", f"ipc:{self.house.broker_folder}", *words],
            env=self.house.environment,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            check=True,
        )
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 65536):
                shown += data
        except OSError:  # how a terminal says that it was closed
            pass
        os.close(ours)
        return shown.decode(errors="replace")


if __name__ == "__main__":
    tap.main()
