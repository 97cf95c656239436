"""Whatever process is killed, every accepted commit ends with exactly one recorded verdict."""

import json
import os
import signal
import time

import tap
from fettle import (
    PATIENCE,
    Case,
    Repository,
    children_of,
    descendants_of,
    is_alive,
    is_supervisor,
    program,
    wait_until,
)


class Kills(Case):
    def gated_commit(self, repository, gate):
        """A job that says `working` and goes on once the gate is open."""
        return repository.steps(
            "echo working",
            f"until [ -e {self.house.gate(gate)} ]; do sleep 0.05; done",
            "echo done",
        )

    def test_a_killed_worker_loses_its_job_to_another(self):
        repository = Repository(self.house)
        commit = self.gated_commit(repository, "gate")
        self.house.broker()
        first = self.house.worker("first")
        self.house.observer(repository)
        self.house.wait_running(commit, "first")
        self.house.worker("second")
        wait_until(lambda: self.house.worker_is_there("second"), "the second worker is there")
        self.house.stop(first, signal.SIGKILL)
        start = time.monotonic()
        self.house.wait_running(commit, "second")
        took = time.monotonic() - start
        print(f"# from SIGKILL to running elsewhere: {took:.2f} s")
        self.house.open_gate("gate")
        self.assertEqual(self.house.verdict(commit), "passed")
        job = self.house.only_job(commit)
        self.assertEqual([row["worker"] for row in job["attempts"]], ["first", "second"])
        first_log = self.house.cli("log", commit, "--attempt", "1").stdout.splitlines()
        self.assertEqual((first_log.count("working"), first_log.count("done")), (1, 0))
        second_log = self.house.cli("log", commit).stdout.splitlines()
        self.assertEqual((second_log.count("working"), second_log.count("done")), (1, 1))

    def test_following_goes_on_with_the_next_attempt(self):
        repository = Repository(self.house)
        commit = self.gated_commit(repository, "gate")
        self.house.broker()
        first = self.house.worker("first")
        self.house.observer(repository)
        self.house.wait_running(commit, "first")
        words = [program("fettle"), "log", "-f", commit]
        address = f"ipc:{self.house.broker_folder}"
        follower = self.house.start("follower", words + ["--broker", address])
        wait_until(lambda: "working" in self.house.log_of("follower"), "the log is followed")
        self.house.stop(first, signal.SIGKILL)
        self.house.worker("second")
        self.house.wait_running(commit, "second")
        self.house.open_gate("gate")
        self.assertEqual(follower.wait(30), 0)
        said = self.house.log_of("follower").splitlines()
        self.assertEqual((said.count("working"), said.count("done")), (2, 1))
        self.assertIn("fettle: attempt 1 of main ended without a verdict; attempt 2 follows", said)

    def test_a_killed_broker_does_not_cost_the_job(self):
        repository = Repository(self.house)
        commit = self.gated_commit(repository, "gate")
        broker = self.house.broker()
        self.house.worker()
        self.house.observer(repository)
        self.house.wait_running(commit)
        self.house.stop(broker, signal.SIGKILL)
        self.house.broker()
        self.house.open_gate("gate")
        self.assertEqual(self.house.verdict(commit), "passed")
        job = self.house.only_job(commit)
        self.assertEqual((job["attempt"], len(job["attempts"])), (1, 1))
        log = self.house.cli("log", commit).stdout.splitlines()
        self.assertEqual((log.count("working"), log.count("done")), (1, 1))

    def test_a_killed_broker_is_waited_for(self):
        """`fettle wait` outlives the broker; the worker is away for longer than its liveness."""
        repository = Repository(self.house)
        commit = self.gated_commit(repository, "gate")
        broker = self.house.broker()
        self.house.worker()
        self.house.observer(repository)
        self.house.wait_running(commit)
        self.house.stop(broker, signal.SIGKILL)
        self.house.open_gate("gate")  # the result has nowhere to go for a while
        away = time.monotonic()
        wait_until(lambda: time.monotonic() - away > 15, "fifteen seconds without a broker", 20)
        self.house.broker()
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assertEqual(self.house.only_job(commit)["attempt"], 1)

    def test_a_killed_observer_misses_nothing(self):
        repository = Repository(self.house)
        self.house.broker()
        self.house.worker()
        observer = self.house.observer(repository)
        self.house.wait(repository.steps("true"))
        one = repository.steps("true", message="one")
        self.house.stop(observer, signal.SIGKILL)
        two = repository.steps("true", message="two")
        self.house.observer(repository)
        self.assertEqual(self.house.verdict(one), "passed")
        self.assertEqual(self.house.verdict(two), "passed")
        self.assertEqual(len(self.house.json("builds", "--limit", "0")["builds"]), 3)

    def test_a_killed_worker_that_is_back_in_time_still_has_its_job(self):
        repository = Repository(self.house)
        commit = self.gated_commit(repository, "gate")
        self.house.broker()
        worker = self.house.worker()
        self.house.observer(repository)
        self.house.wait_running(commit)
        for _ in range(3):
            self.house.stop(worker, signal.SIGKILL)
            worker = self.house.worker()
            self.wait_holding()
        self.house.open_gate("gate")
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assert_ran_once(commit)

    def test_a_job_that_ends_without_its_worker_is_told_when_that_is_back(self):
        repository = Repository(self.house)
        commit = self.gated_commit(repository, "gate")
        self.house.broker()
        worker = self.house.worker()
        self.house.observer(repository)
        self.house.wait_running(commit)
        self.house.stop(worker, signal.SIGKILL)
        self.house.open_gate("gate")
        wait_until(lambda: not descendants_of(os.getpid(), is_supervisor), "the job ended")
        self.house.worker()
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assert_ran_once(commit)

    def test_a_job_taken_up_again_after_its_lease_ended_keeps_its_attempt(self):
        """Nobody else was there to take it."""
        repository = Repository(self.house)
        commit = self.gated_commit(repository, "gate")
        self.house.broker("--heartbeat", "100ms")
        worker = self.house.worker()
        self.house.observer(repository)
        self.house.wait_running(commit)
        self.house.stop(worker, signal.SIGKILL)
        wait_until(lambda: self.house.only_job(commit)["state"] == "queued", "its lease ended")
        self.house.worker()
        self.house.wait_running(commit)
        self.house.open_gate("gate")
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assert_ran_once(commit)

    def test_a_worker_that_is_back_too_late_stops_what_another_has(self):
        repository = Repository(self.house)
        commit = self.gated_commit(repository, "gate")
        self.house.broker("--heartbeat", "100ms")
        first = self.house.worker("first")
        self.house.observer(repository)
        self.house.wait_running(commit, "first")
        self.house.stop(first, signal.SIGKILL)
        orphan = wait_until(lambda: descendants_of(os.getpid(), is_supervisor), "it goes on")
        self.house.worker("second")
        self.house.wait_running(commit, "second")
        self.assertTrue(is_alive(orphan[0]))
        self.house.worker("first")
        wait_until(lambda: not is_alive(orphan[0]), "the first one's job is stopped")
        self.house.open_gate("gate")
        self.assertEqual(self.house.verdict(commit), "passed")
        job = self.house.only_job(commit)
        self.assertEqual([row["worker"] for row in job["attempts"]], ["first", "second"])

    def test_a_job_without_a_worker_ends_by_itself(self):
        repository = Repository(self.house)
        commit = self.gated_commit(repository, "never")
        self.house.broker()
        worker = self.house.worker("one", "--orphan-timeout", "1s")
        self.house.observer(repository)
        self.house.wait_running(commit)
        self.house.stop(worker, signal.SIGKILL)
        self.assertTrue(descendants_of(os.getpid(), is_supervisor))
        wait_until(lambda: not self.jobs_processes(), "nothing of the job is left")
        self.house.worker()  # and the job is its own again, from the beginning
        wait_until(lambda: self.house.only_job(commit)["attempt"] == 2, "it is given out anew")
        self.house.wait_running(commit)

    def jobs_processes(self):
        ours = {process.pid for process in self.house.processes}
        return [pid for pid in children_of(os.getpid()) if pid not in ours]

    def wait_holding(self):
        """Until the worker that was started last is connected, with a job."""
        log = self.house.log_of("worker-one")
        wait_until(
            lambda: self.house.log_of("worker-one").rpartition(" info: ready ")[2].count(
                "holding=1"
            ),
            f"the job is taken up again; {log[-2000:]}",
        )

    def assert_ran_once(self, commit):
        job = self.house.only_job(commit)
        self.assertEqual((job["attempt"], len(job["attempts"])), (1, 1))
        log = self.house.cli("log", commit).stdout.splitlines()
        self.assertEqual((log.count("working"), log.count("done")), (1, 1))

    def test_everything_is_killed_at_once(self):
        repository = Repository(self.house)
        commits = [self.gated_commit(repository, "gate")]
        running = [self.house.broker(), self.house.worker(), self.house.observer(repository)]
        self.house.wait_running(commits[0])
        commits.append(repository.steps("true"))
        wait_until(lambda: self.house.only_job(commits[1]), "the second commit is accepted")
        for process in running:
            self.house.stop(process, signal.SIGKILL)
        self.house.open_gate("gate")
        self.house.broker()
        self.house.worker()
        self.house.observer(repository)
        for commit in commits:
            self.assertEqual(self.house.verdict(commit), "passed")

    def test_three_lost_workers_end_a_job(self):
        repository = Repository(self.house)
        commit = self.gated_commit(repository, "never")
        self.house.broker()
        self.house.observer(repository)
        for name in ("a", "b", "c"):
            worker = self.house.worker(name)
            self.house.wait_running(commit, name)
            self.house.stop(worker, signal.SIGKILL)
        result = self.house.wait(commit)
        self.assertEqual(result["outcome"], "lost")
        reason = result["builds"][0]["jobs"][0]["reason"]
        for name in ("a", "b", "c"):
            self.assertRegex(reason, rf"\b{name}\b")

    def test_a_worker_that_leaves_gives_its_job_back_at_once(self):
        repository = Repository(self.house)
        commit = self.gated_commit(repository, "gate")
        self.house.broker()
        first = self.house.worker("first")
        self.house.observer(repository)
        self.house.wait_running(commit, "first")
        self.house.worker("second")
        wait_until(lambda: self.house.worker_is_there("second"), "the second worker is there")
        self.assertEqual(self.house.stop(first, signal.SIGTERM), 0)
        self.house.wait_running(commit, "second", 3)
        self.house.open_gate("gate")
        self.assertEqual(self.house.verdict(commit), "passed")

    def drain_while_it_works(self):
        """A repository, its commit whose job waits at the gate, and the worker that has it."""
        repository = Repository(self.house)
        commit = self.gated_commit(repository, "gate")
        self.house.broker()
        first = self.house.worker("first", "--drain-timeout", "10m")
        self.house.observer(repository)
        self.house.wait_running(commit, "first")
        first.send_signal(signal.SIGTERM)
        wait_until(lambda: "draining" in self.house.log_of("worker-first"), "the worker drains")
        return repository, commit, first

    def test_a_worker_that_drains_finishes_its_job_and_takes_no_other(self):
        repository, commit, first = self.drain_while_it_works()
        other = repository.steps("true")
        self.house.worker("second")
        self.assertEqual(self.house.verdict(other), "passed")
        self.assertIsNone(first.poll())
        self.house.open_gate("gate")
        self.assertEqual(first.wait(PATIENCE), 0)
        self.house.processes.remove(first)
        self.assertEqual(self.house.verdict(commit), "passed")
        job = self.house.only_job(commit)
        self.assertEqual((job["worker"], job["attempt"]), ("first", 1))

    def test_a_second_word_ends_a_drain(self):
        _, commit, first = self.drain_while_it_works()
        self.assertEqual(self.house.stop(first, signal.SIGTERM), 0)
        self.house.worker("second")
        self.house.wait_running(commit, "second")
        self.house.open_gate("gate")
        self.assertEqual(self.house.verdict(commit), "passed")

    def test_waiting_outlives_a_broker_restart(self):
        repository = Repository(self.house)
        commit = self.gated_commit(repository, "gate")
        broker = self.house.broker()
        self.house.worker()
        self.house.observer(repository)
        self.house.wait_running(commit)
        words = [program("fettle"), "wait", commit, "--json", "--timeout", "60s"]
        address = f"ipc:{self.house.broker_folder}"
        listening = self.house.subscribers()
        waiter = self.house.start("waiter", words + ["--broker", address])
        wait_until(lambda: self.house.subscribers() > listening, "it was answered and waits")
        self.house.stop(broker, signal.SIGKILL)
        self.house.broker()
        self.house.open_gate("gate")
        self.assertEqual(waiter.wait(60), 0)
        last = self.house.log_of("waiter").splitlines()[-1]
        self.assertEqual(json.loads(last)["outcome"], "passed")


if __name__ == "__main__":
    tap.main()
