"""A disk that is really full: nothing is accepted that could not be kept, nothing is lost that was,
and everything goes on by itself when there is space again."""

import json
import os
import re
import signal
import sys

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "history"))

import history
import mounts
import tap
from fettle import Case, Repository, wait_until

DEBUG = ("--log-level", "debug")
LINES = "for i in 1 2 3 4 5; do echo main line $i of 5; done"


class FullDisk(Case):
    def everything(self, broker_options=None, worker_options=None, min_free="0"):
        """One broker, worker and observer; the state of one of them on a small file system."""
        folder = self.house.broker_folder if broker_options else self.house.path("worker-one")
        self.small = mounts.Small(folder, broker_options or worker_options)
        self.addCleanup(self.small.unmount)
        self.house.gate()
        repository = Repository(self.house)
        # A file system as small as this has less than is to be free: the limit is asked for.
        processes = [self.house.broker(*DEBUG, "--min-free", min_free), self.house.worker("one", *DEBUG)]
        self.house.observer(repository, flags=DEBUG)
        return repository, *processes

    def gated_commit(self, repository):
        """A job that ends when the gate is open. What it says then needs space of its own: rows
        may find room in the log of the store, which is as long as it ever was."""
        gate = f"until [ -e {self.house.gate()} ]; do sleep 0.05; done; seq 30000"
        return repository.steps("echo working", LINES, gate)

    def queue_some(self, repository):
        """The store's log is written again from its start: what comes next must need more."""
        last = repository.push_many(3)[-1]
        wait_until(lambda: self.house.only_job(last), "more work is accepted")

    def state(self):
        return self.house.json("status")["state"]

    def wait_full(self):
        wait_until(lambda: self.state() == "store_full", "status says store_full")

    def judge(self, repository):
        """Stop all; the history checker finds nothing."""
        wrong = self.house.end_all()
        self.assertEqual(wrong, [], self.house.all_logs())
        looked = history.History(self.house.folder, True, {"sample": repository.path})
        self.assertEqual(looked.check(), [])
        for fact in ("result_ok received", "offers received", "verdicts of workers", "tips"):
            self.assertGreater(looked.facts[fact], 0)

    def refuse_new_work(self, repository):
        """A commit that comes now is not accepted, and the broker says so to those who ask."""
        commit = repository.steps(LINES, message="while the disk is full")
        said = "broker takes no new work: store_full"
        wait_until(lambda: said in self.house.log_of("observer"), "the observer is told")
        self.assertEqual(self.house.cli("show", commit).returncode, 4)
        self.assertEqual(self.house.cli("builds").returncode, 0)
        self.assertEqual(self.house.cli("workers").returncode, 0)
        self.assertEqual(self.state(), "store_full")
        return commit

    def has_result(self, number=1):
        return os.path.exists(self.house.path("worker-one", "jobs", f"{number}.1", "result"))

    def is_told(self):
        return "received result_ok job=1 attempt=1" in self.house.log_of("worker-one")

    def told_of_log(self):
        """How much of the job's log the worker was told that the broker has."""
        told = r"received log_ok job=1 attempt=1 offset=(\d+)"
        return max(map(int, re.findall(told, self.house.log_of("worker-one"))), default=0)

    def expect_nothing_told(self):
        """The worker has its result still, and nobody said that it is stored, or more of the log
        than is: the log comes first, so it is what a broker in a hurry would be wrong about."""
        log = os.path.join(self.house.broker_folder, "logs", "1.1.log")
        self.assertFalse(self.is_told() or not self.has_result(), "told before it was stored")
        stored = os.path.getsize(log) if os.path.exists(log) else 0
        self.assertLessEqual(self.told_of_log(), stored, "told before it was stored")

    def test_a_full_disk_is_waited_for(self):
        repository, _, _ = self.everything("size=12m")
        commit = self.gated_commit(repository)
        self.house.wait_running(commit)
        self.queue_some(repository)
        self.small.fill()
        self.house.open_gate()
        self.wait_full()
        late = self.refuse_new_work(repository)
        self.expect_nothing_told()
        self.small.free()
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assertEqual(self.house.only_job(commit)["attempt"], 1)
        self.assertEqual(self.house.verdict(late), "passed")
        wait_until(lambda: self.state() == "ok", "status says ok")
        self.judge(repository)

    def test_a_broker_that_is_killed_while_the_disk_is_full_loses_nothing(self):
        repository, broker, _ = self.everything("size=12m")
        commit = self.gated_commit(repository)
        self.house.wait_running(commit)
        self.queue_some(repository)
        self.small.fill()
        self.house.open_gate()
        self.wait_full()
        late = self.refuse_new_work(repository)
        self.house.stop(broker, signal.SIGKILL)
        self.expect_nothing_told()
        self.house.broker(*DEBUG, "--min-free", "0")  # it starts, although there is no space
        # Its start emptied SQLite's log, so some rows find room there; a job's log does not.
        self.wait_full()
        if self.is_told():
            self.assertEqual(self.house.only_job(commit)["outcome"], "passed")
        self.small.free()
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assertEqual(self.house.only_job(commit)["attempt"], 1)
        self.assertEqual(self.house.verdict(late), "passed")
        self.judge(repository)

    def leave(self, size):
        """Use up what is free, but this; or give some of it back."""
        status = os.statvfs(self.small.path)
        with open(os.path.join(self.small.path, "filler"), "ab", buffering=0) as file:
            left_over = status.f_bavail * status.f_frsize - size
            if left_over > 0:
                file.write(bytes(left_over))
            else:
                file.truncate(file.tell() + left_over)

    def test_with_little_space_no_commit_is_taken_and_what_runs_has_room(self):
        repository, broker, _ = self.everything("size=20m", min_free="4M")
        commit = self.gated_commit(repository)
        self.house.wait_running(commit)
        self.leave(3 << 20)
        self.wait_full()
        late = self.refuse_new_work(repository)
        status = self.house.json("status")
        self.assertEqual(status["min_free"], 4 << 20)
        self.assertLess(status["disk_free"], status["min_free"])
        looked = self.house.cli("doctor", "--json")
        self.assertEqual(looked.returncode, 1)
        found = {row["name"]: row for row in json.loads(looked.stdout)["checks"]}
        self.assertIn("--min-free", found["disk"]["fix"])
        self.house.open_gate()
        self.assertEqual(self.house.verdict(commit), "passed")  # its verdict, and a log of 169 K
        self.assertEqual(self.state(), "store_full")
        self.house.stop(broker, signal.SIGKILL)
        self.house.broker(*DEBUG, "--min-free", "4M")
        self.assertEqual(self.state(), "store_full")  # a start takes nothing either
        self.leave(4600000)  # enough, and not so much that it is taken for the end of it
        wait_until(lambda: self.house.json("status")["disk_free"] > 4 << 20, "there is more")
        self.assertEqual(self.state(), "store_full")
        self.small.free()
        self.assertEqual(self.house.verdict(late), "passed")
        self.assertEqual(self.state(), "ok")
        for said in ("disk space is low", "enough disk space again"):
            self.assertIn(said, self.house.log_of("broker"))
        self.judge(repository)

    def test_a_disk_that_a_log_fills_is_waited_for(self):
        repository, _, _ = self.everything("size=10m")
        loud = repository.steps(
            "seq -f 'main line %.0f of 100000 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' 100000"
        )
        self.wait_full()
        late = self.refuse_new_work(repository)
        self.small.resize("size=64m")
        self.assertEqual(self.house.verdict(loud), "passed")
        self.assertEqual(self.house.only_job(loud)["attempt"], 1)
        self.assertEqual(self.house.verdict(late), "passed")
        self.judge(repository)

    def test_a_disk_without_inodes_is_waited_for(self):
        repository, _, _ = self.everything("size=32m,nr_inodes=60")
        commit = self.gated_commit(repository)
        self.house.wait_running(commit)
        self.small.fill_inodes()
        late = [repository.steps(LINES, message=f"number {number}") for number in range(3)]
        self.house.open_gate()
        self.wait_full()
        self.small.free_inodes()
        self.assertEqual(self.house.verdict(commit), "passed")
        for one in late:
            self.assertEqual(self.house.verdict(one), "passed")
        self.judge(repository)

    def test_a_job_that_fills_the_disk_of_its_worker_says_so(self):
        repository, _, worker = self.everything(worker_options="size=8m")
        greedy = repository.steps("echo working", "head -c 100000000 /dev/zero >big", LINES)
        self.assertEqual(self.house.verdict(greedy), "failed")
        self.assertIn("No space left", self.house.cli("log", greedy).stdout)
        self.assertEqual(self.house.verdict(repository.steps(LINES)), "passed")
        self.assertIsNone(worker.poll())
        self.judge(repository)

    def test_a_log_that_fills_the_disk_of_its_worker_is_an_error(self):
        repository, _, worker = self.everything(worker_options="size=4m")
        loud = repository.steps("seq -f 'line %.0f xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' 200000")
        result = self.house.wait(loud)
        self.assertEqual(result["outcome"], "error")
        self.assertRegex(result["builds"][0]["jobs"][0]["reason"], "No space left")
        self.assertEqual(self.house.verdict(repository.steps(LINES)), "passed")
        self.assertIsNone(worker.poll())
        self.judge(repository)

    def test_a_worker_without_any_space_goes_on_when_there_is_some(self):
        repository, _, worker = self.everything(worker_options="size=4m")
        self.assertEqual(self.house.verdict(repository.steps(LINES)), "passed")
        self.small.fill()
        result = self.house.wait(repository.steps(LINES, message="no space at all"))
        self.assertEqual(result["outcome"], "error")
        self.assertRegex(
            result["builds"][0]["jobs"][0]["reason"], "No space left|could not keep the result"
        )
        self.assertIsNone(worker.poll())
        self.small.free()
        self.assertEqual(self.house.verdict(repository.steps(LINES, message="space")), "passed")
        self.judge(repository)


if __name__ == "__main__":
    if mounts.enter():
        tap.main()
    print("TAP version 13\n1..0 # SKIP no mount namespace is allowed here")
