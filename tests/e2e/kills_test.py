"""Whatever process is killed, every accepted commit ends with exactly one recorded verdict."""

import json
import signal
import time

import tap
from fettle import Case, Repository, program, wait_until


class Kills(Case):
    def gated_commit(self, repository, gate):
        """A job that says `working` and goes on once the gate is open."""
        return repository.steps(
            "echo working",
            f"until [ -e {self.house.path(gate)} ]; do sleep 0.05; done",
            "echo done",
        )

    def open_gate(self, gate):
        with open(self.house.path(gate), "w", encoding="utf-8"):
            pass

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
        self.assertLess(took, 5)
        self.open_gate("gate")
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
        self.open_gate("gate")
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
        self.open_gate("gate")
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
        self.open_gate("gate")  # the result has nowhere to go for a while
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

    def test_a_restarted_worker_keeps_its_promise(self):
        """The agent dies, its job does not become an orphan: one verdict, nothing left behind."""
        repository = Repository(self.house)
        commit = self.gated_commit(repository, "gate")
        self.house.broker()
        worker = self.house.worker()
        self.house.observer(repository)
        self.house.wait_running(commit)
        self.house.stop(worker, signal.SIGKILL)
        self.house.worker()
        self.open_gate("gate")
        self.assertEqual(self.house.verdict(commit), "passed")

    def test_everything_is_killed_at_once(self):
        repository = Repository(self.house)
        commits = [self.gated_commit(repository, "gate")]
        running = [self.house.broker(), self.house.worker(), self.house.observer(repository)]
        self.house.wait_running(commits[0])
        commits.append(repository.steps("true"))
        wait_until(lambda: self.house.only_job(commits[1]), "the second commit is accepted")
        for process in running:
            self.house.stop(process, signal.SIGKILL)
        self.open_gate("gate")
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
        self.open_gate("gate")
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
        waiter = self.house.start("waiter", words + ["--broker", address])
        wait_until(lambda: self.house.subscribers() > 0, "it was answered and waits for events")
        self.house.stop(broker, signal.SIGKILL)
        self.house.broker()
        self.open_gate("gate")
        self.assertEqual(waiter.wait(60), 0)
        last = self.house.log_of("waiter").splitlines()[-1]
        self.assertEqual(json.loads(last)["outcome"], "passed")


if __name__ == "__main__":
    tap.main()
