"""Time that stands still and clocks that jump: neither loses a lease."""

import glob
import os
import re
import signal
import sys
import time
import unittest

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "history"))

import history
import tap
from fettle import Case, Repository, is_sanitized, wait_until

DEBUG = ("--log-level", "debug")
LINES = "for i in 1 2 3; do echo main line $i of 3; done"
FAKETIME = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")


class TimeCase(Case):
    def environment_of(self, _name):
        return {}

    def everything(self, workers):
        """A broker, workers and an observer, and a gated job on each worker."""
        self.repository = Repository(self.house)
        gate = f"until [ -e {self.house.gate()} ]; do sleep 0.05; done"
        broker = self.start_broker()
        for name in workers:
            environment = self.environment_of(f"worker-{name}")
            self.house.worker(name, *DEBUG, environment=environment)
        words = self.house.observer_words(self.repository, flags=DEBUG)
        self.house.start("observer", words, self.environment_of("observer"))
        commits = []
        for name in workers:
            steps = ("echo working", gate, LINES)
            commits.append(self.repository.steps(*steps, message=f"for {name}"))
            self.house.wait_running(commits[-1])
        return broker, commits

    def start_broker(self):
        words = self.house.broker_words(*DEBUG)
        broker = self.house.start("broker", words, self.environment_of("broker"))
        wait_until(self.house.answers, "the broker answers")
        return broker

    def pause(self, process, seconds):
        """Stop a program for a while."""
        process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        wait_until(lambda: time.monotonic() - begin >= seconds, "time passes", seconds + 5)
        process.send_signal(signal.SIGCONT)

    def heartbeats(self):
        """How many the broker received of each worker, under whatever connection."""
        found = {}
        name_of = {}
        for row in self.house.log_of("broker").splitlines():
            match = re.search(r"debug: received peer=(\w+) (hello name=(\S+)|heartbeat)", row)
            if match and match[3]:
                name_of[match[1]] = match[3]
            elif match and match[1] in name_of:
                name = name_of[match[1]]
                found[name] = found.get(name, 0) + 1
        return found

    def hear_all(self, count=2):
        """Each worker was heard more often: what would be lost by silence is lost by now."""
        before = self.heartbeats()

        def heard():
            ended = [one.args[0] for one in self.house.processes if one.poll() is not None]
            self.assertEqual(ended, [], "ended by itself")
            now = self.heartbeats()
            return all(now[name] >= before[name] + count for name in before)

        self.assertTrue(before)
        wait_until(heard, f"{count} more heartbeats of each worker")

    def finish_all(self, commits, attempt=1):
        """Everything ends well in this attempt, and the history checker finds nothing."""
        self.house.open_gate()
        for commit in commits:
            self.assertEqual(self.house.verdict(commit), "passed")
            self.assertEqual(self.house.only_job(commit)["attempt"], attempt)
        self.assertEqual(self.house.end_all(), [])
        looked = history.History(self.house.folder, True, {"sample": self.repository.path})
        self.assertEqual(looked.check(), [])
        self.assertGreater(looked.facts["result_ok received"], 0)

    def requeued(self):
        return re.findall(r"info: requeued.*", self.house.log_of("broker"))


class Pauses(TimeCase):
    def test_a_stopped_broker_loses_no_lease(self):
        """Its own silence is nobody's; what was said meanwhile is heard before any timer."""
        broker, commits = self.everything(["one", "two"])
        self.pause(broker, 5)
        self.hear_all()
        late = self.repository.steps("true", message="after the pause")
        wait_until(lambda: self.house.only_job(late), "what was decided before is stored and said")
        self.assertEqual(self.requeued(), [])
        self.assertNotIn("info: left", self.house.log_of("broker"))
        self.finish_all([*commits, late])

    def test_a_worker_stopped_for_less_than_its_liveness_loses_nothing(self):
        _, commits = self.everything(["one"])
        self.pause(self.house.processes[1], 1.8)
        self.hear_all()
        self.assertEqual(self.requeued(), [])
        self.finish_all(commits)

    def test_a_worker_stopped_for_longer_comes_back_too_late(self):
        """Its job ran elsewhere; its own result counts no more, though the job ended well."""
        _, commits = self.everything(["one"])
        first = self.house.processes[1]
        first.send_signal(signal.SIGSTOP)
        self.house.worker("two", *DEBUG)
        self.house.wait_running(commits[0], "two")
        self.house.open_gate()
        self.assertEqual(self.house.verdict(commits[0]), "passed")
        kept = self.house.path("worker-one", "jobs", "1.1", "result")
        wait_until(lambda: os.path.exists(kept), "the late result is with its worker")
        first.send_signal(signal.SIGCONT)
        wait_until(lambda: not os.path.exists(kept), "the late result is forgotten")
        job = self.house.only_job(commits[0])
        self.assertEqual((job["attempt"], job["worker"]), (2, "two"))
        self.finish_all(commits, attempt=2)


@unittest.skipUnless(FAKETIME and not is_sanitized(), "no libfaketime, or a sanitizer in its way")
class WallClock(TimeCase):
    """The wall clocks of all programs are set forward and back by years, each alone."""

    def set_clock(self, name, offset):
        """The offset that a program adds from now on; it looks each time it asks for the time."""
        path = self.house.path(f"clock-{name}")
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(f"{offset}\n")
        os.rename(path + ".new", path)

    def environment_of(self, name):
        self.set_clock(name, "+0")
        return {
            "LD_PRELOAD": FAKETIME[0],
            "FAKETIME_TIMESTAMP_FILE": self.house.path(f"clock-{name}"),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    @staticmethod
    def remove_clock_of(pid):
        """What libfaketime keeps in memory for a program and its children outlives a SIGKILL."""
        for path in glob.glob(f"/dev/shm/*faketime_*_{pid}"):
            os.unlink(path)

    def years_in(self, name):
        return {row[:4] for row in self.house.log_of(name).splitlines() if row[4:5] == "-"}

    def test_clocks_that_jump_by_years_change_nothing(self):
        broker, commits = self.everything(["one", "two"])
        for offsets in (("+10y", "-10y", "+10y"), ("-10y", "+10y", "-10y"), ("+0", "-10y", "+0")):
            for name, offset in zip(("broker", "worker-one", "observer"), offsets):
                self.set_clock(name, offset)
            self.hear_all()
        self.assertEqual(self.requeued(), [])
        self.assertNotIn("info: left", self.house.log_of("broker"))
        late = self.repository.steps(LINES, message="accepted in another year")
        wait_until(lambda: self.house.only_job(late), "a commit is accepted")
        self.house.stop(broker, signal.SIGKILL)
        self.remove_clock_of(broker.pid)
        self.set_clock("broker", "-10y")
        self.start_broker()
        self.hear_all()
        self.finish_all([*commits, late])
        for name in ("broker", "worker-one", "observer"):
            self.assertGreaterEqual(len(self.years_in(name)), 2, f"{name}'s clock did not jump")
        self.assertLess(self.longest_ms(), 60000)

    def longest_ms(self):
        """The longest that a job ran, by the worker's own account."""
        return max(map(int, re.findall(r"duration_ms=(\d+)", self.house.log_of("broker"))))


if __name__ == "__main__":
    tap.main()
