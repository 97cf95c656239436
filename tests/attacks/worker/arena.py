"""What the attacks on a worker share: a fleet of one worker whose heartbeats are measured, jobs
that do their worst, and what must hold after each of them."""

import json
import os
import re
import sys
import threading
from datetime import datetime

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "e2e"))
from fettle import Case, Repository, descendants_of, describe, is_alive  # noqa: E402
from fettle import is_sanitized, wait_until  # noqa: E402

RECEIVED = re.compile(
    r"^(\S+) fettle-broker debug: received peer=(\w+) (?:started|heartbeat) (holding)?", re.MULTILINE
)
HEARTBEAT_S = 1.0
IDLE_S = 10.0  # of who holds nothing
LATE_S = 2.0  # from one heartbeat to the next; the third one missed ends a lease


IS_SANITIZED = is_sanitized()


class Peak:
    """The most memory that a process had which one of these programs started, looked at often."""

    def __init__(self, *programs):
        self.programs = programs
        self.memory, self.who = 0, "nobody"
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def watch(self):
        while not self.ended.wait(0.05):
            for program_ in self.programs:
                for pid in descendants_of(program_.pid):
                    self.look_at(pid)

    def look_at(self, pid):
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
                rows = [row.split() for row in file if row.startswith("VmHWM:")]
        except OSError:
            return
        memory = int(rows[0][1]) << 10 if rows else 0
        if memory > self.memory:
            self.memory, self.who = memory, describe(pid)


class Attack(Case):
    """One hostile job at a time, on a worker with two slots."""

    slots = 2
    worker_flags = ()
    worker_environment = None

    def setUp(self):
        super().setUp()
        self.repository = Repository(self.house)
        self.broker = self.house.broker("--log-level", "debug")
        self.worker = self.house.worker(
            "one", *self.worker_flags, slots=self.slots, environment=self.worker_environment
        )
        self.observer = self.house.observer(self.repository)

    def run_job(self, *steps, files=None, seconds=None, more=""):
        """Commit these steps and wait for the verdict; the commit."""
        rows = "".join(f"  - {json.dumps(step)}\n" for step in steps)
        commit = self.repository.commit({**(files or {}), ".fettle.yaml": f"{more}steps:\n{rows}"})
        self.house.wait(commit, seconds)
        return commit

    def need_containment(self):
        """What reaches every process that it can see is only tried where those are its own."""
        commit = self.run_job("echo $(id -u) $(readlink /proc/self/ns/pid)")
        uid, namespace = self.log(commit).splitlines()[-1].split()
        if int(uid) == os.getuid() and namespace == os.readlink("/proc/self/ns/pid"):
            self.skipTest("jobs run as this test's user, beside it")

    def job(self, commit):
        return self.house.only_job(commit)

    def log(self, commit):
        return self.house.cli("log", commit).stdout

    def assert_job(self, commit, outcome, reason=""):
        job = self.job(commit)
        self.assertEqual(job["outcome"], outcome, f"{job}\n{self.log(commit)[-2000:]}")
        self.assertRegex(job.get("reason") or "", reason or "^")

    def assert_gone(self, seconds=5):
        """Of the jobs no process is left, and no folder but those of the worker itself."""
        wait_until(
            lambda: not descendants_of(self.worker.pid),
            "the worker has no process left",
            seconds,
        )
        jobs = self.house.path("worker-one", "jobs")
        wait_until(lambda: not os.listdir(jobs), "the job's folder is removed", seconds)

    def assert_works(self):
        """The next job is run as if nothing had been."""
        commit = self.run_job("echo still here")
        self.assert_job(commit, "passed")
        self.assertTrue(is_alive(self.worker.pid))

    def heartbeat_gaps(self):
        """Seconds between the heartbeats of the worker that the broker received, and with a job from
        its start: with one, without."""
        seen = {}
        busy, idle = [], []
        for when, peer, holding in RECEIVED.findall(self.house.log_of("broker")):
            now = datetime.fromisoformat(when.replace("Z", "+00:00")).timestamp()
            if peer in seen:
                (busy if holding else idle).append(now - seen[peer])
            seen[peer] = now
        return busy, idle

    def assert_heartbeats(self, what):
        """They came on time all along, in one session; prints the longest wait."""
        wait_until(lambda: any(self.heartbeat_gaps()), "heartbeats come")
        busy, idle = self.heartbeat_gaps()
        print(
            f"# figures: attacks: {what}: {len(busy)} heartbeats while it ran, "
            f"{max(busy, default=0):.2f} s apart at most",
            flush=True,
        )
        self.assertLess(max(busy, default=0), LATE_S)
        self.assertLess(max(idle, default=0), IDLE_S + LATE_S)
        lost = [row for row in self.house.log_of("broker").splitlines() if " left worker=" in row]
        self.assertFalse(lost, "the worker's session never ended")
