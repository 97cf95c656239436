"""A job looks for what is not its own: the worker's environment, files, memory, keys and tokens, the
broker's store and sockets, another job's folder (bad input 35). A canary is searched for in every
byte."""

import os
import secrets
import unittest

import arena
import tap
from fettle import wait_until

SPY = r"""
import ctypes, glob, os, socket, sys
state, broker = sys.argv[1:3]
OWN = b"HOME=" + os.environb[b"HOME"] + b"\0"
found = 0
def show(what, data):
    global found
    found += 1
    print("READ", what, data[:100000])
def read(path):
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 20)
        if OWN not in data:  # a shell of our own
            show(path, data)
    except OSError as e:
        print("refused", path, e.strerror)
for path in glob.glob("/proc/[0-9]*/environ"):
    read(path)
for root in (state, broker, os.path.dirname(state), "/root"):
    for folder, folders, files in os.walk(root, onerror=lambda e: print("refused", e)):
        if folder.startswith(os.getcwd()) or folder.startswith(os.environ["HOME"]) or \
                folder.startswith(os.environ["TMPDIR"]):
            continue
        for name in files:
            if "canary" in name or name in ("offer", "orders", "instance", "fettle.db", "tokens", "key"):
                read(os.path.join(folder, name))
for path in glob.glob(broker + "/*.sock") + [broker + "/admin.sock", broker + "/workers.sock"]:
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            show(path, b"connected")
    except OSError as e:
        print("refused", path, e.strerror)
libc = ctypes.CDLL(None, use_errno=True)
for path in glob.glob("/proc/[0-9]*"):
    pid = int(path[6:])
    if pid in (os.getpid(), os.getppid(), 1):
        continue
    try:
        with open(path + "/comm") as file:
            name = file.read().strip()
    except OSError:
        continue
    if not name.startswith("fettle"):
        continue
    if libc.ptrace(16, pid, 0, 0) == 0:
        show("ptrace " + path + " " + name, b"attached")
        libc.ptrace(17, pid, 0, 0)
print("spied, found", found)
"""


@unittest.skipIf(os.getuid() != 0, "only root's workers can give their jobs another user")
class Secrets(arena.Attack):
    def setUp(self):
        self.canary = "canary-" + secrets.token_hex(16)
        self.given = []  # files of the test's own that have it
        self.worker_environment = {"SECRET_TOKEN": self.canary, "FETTLE_SECRET": self.canary}
        super().setUp()
        self.keep(self.house.path("worker-one", "canary"))
        self.keep(os.path.join(self.house.broker_folder, "canary"))
        self.keep(os.path.join(self.house.home, "canary"))
        os.chmod(self.house.home, 0o700)

    @property
    def worker_flags(self):
        """What its fetches may use: for all repositories, and for this one."""
        folder = self.house.path("credentials")
        os.mkdir(folder, 0o700)
        for name in ("tokens", "key", "sample.tokens", "sample.key"):
            token = f"https://ada:{self.canary}@git.example.org\n"
            self.keep(os.path.join(folder, name), token if "tokens" in name else self.canary)
        return ("--credentials", folder)

    def keep(self, path, text=None):
        wait_until(lambda: os.path.isdir(os.path.dirname(path)), "the folder is there")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text or self.canary)
        os.chmod(path, 0o600)
        self.given.append(path)

    def spy(self):
        state = self.house.path("worker-one")
        return f"python3 spy.py {state} {self.house.broker_folder}"

    def files_with_the_canary(self):
        """Everything that was produced, but what this test itself wrote."""
        for root, _, names in os.walk(self.house.folder):
            for name in names:
                path = os.path.join(root, name)
                if path in self.given or not os.path.isfile(path):
                    continue
                with open(path, "rb") as file:
                    if self.canary.encode() in file.read():
                        yield path

    def test_the_workers_own(self):
        commit = self.run_job("env", self.spy(), files={"spy.py": SPY})
        self.assert_job(commit, "passed")
        log = self.log(commit)
        self.assertIn("spied, found 0", log, log)
        self.assertNotIn(self.canary, log)
        self.assertEqual(list(self.files_with_the_canary()), [])

    def test_another_jobs(self):
        """One job keeps a secret of its own while the other looks for it."""
        other = arena.Repository(self.house, "other")
        self.house.observer(other, name="second")
        hidden = "canary-" + secrets.token_hex(16)
        step = (
            "umask 022; h=canary-; for f in canary $HOME/canary $TMPDIR/canary; do "
            f"printf %s {hidden[:20]} > $f; printf %s {hidden[20:]} >> $f; done; "
            "echo working; while [ ! -e stop ]; do sleep 0.1; done"
        )
        first = other.commit({".fettle.yaml": f"timeout: 60s\nsteps:\n  - {step!r}\n"})
        self.house.wait_running(first, "one")
        commit = self.run_job(self.spy(), files={"spy.py": SPY})
        self.assertIn("spied, found 0", self.log(commit), self.log(commit))
        self.assertNotIn(hidden, self.log(commit))


if __name__ == "__main__":
    tap.main()
