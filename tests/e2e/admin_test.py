"""What operators change: done once, kept, and obeyed by programs that are killed meanwhile."""

import json
import os
import re
import signal
import sqlite3
import subprocess

import fettle
import tap


class Admin(fettle.Case):
    def fettle(self, *words, code=0):
        """What a command says: on stdout when it ends well, else its one line on stderr."""
        done = self.house.cli_words(words)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        if code not in (0, 1):
            self.assert_line(done.stderr, ".")
        return done.stderr if code > 1 else done.stdout

    def broker(self):
        return next(one for one in self.house.processes if "fettle-broker" in one.args[0])

    def restart_broker(self, number=signal.SIGKILL):
        self.house.stop(self.broker(), number)
        self.house.broker()

    def changes(self):
        """What the broker keeps of changes; it is stopped for that."""
        self.house.stop(self.broker())
        store = sqlite3.connect(os.path.join(self.house.broker_folder, "fettle.db"))
        rows = store.execute("SELECT who, what, said, code FROM changes ORDER BY id").fetchall()
        store.close()
        self.house.broker()
        return rows

    def in_background(self, *words):
        words = [fettle.program("fettle"), *words, "--broker", f"ipc:{self.house.broker_folder}"]
        return subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.house.environment,
        )


class Changes(Admin):
    def test_a_change_outlives_the_broker_it_was_asked_of(self):
        self.house.broker()
        self.fettle("repo", "add", "app", "/somewhere")
        self.broker().send_signal(signal.SIGSTOP)
        asking = self.in_background("repo", "pause", "app", "--timeout", "60s")
        self.restart_broker()
        said, _ = asking.communicate(timeout=fettle.PATIENCE)
        self.assertEqual((asking.returncode, said), (0, "app: paused\n"))

    def test_who_changed_what_is_kept(self):
        self.house.broker()
        self.fettle("repo", "add", "app", "/somewhere")
        self.fettle("repo", "pause", "ap", code=4)
        rows = self.changes()
        self.assertEqual([row[1:] for row in rows], [
            ("repo_add", "name=app url=/somewhere", None),
            ("repo_pause", "repository=ap", "not_found"),
        ])  # fmt: skip
        self.assertRegex(rows[0][0], r"^.+@.+$")


class Cancel(Admin):
    """What operators take back."""

    def setUp(self):
        super().setUp()
        self.gate = self.house.gate()
        self.house.broker()
        self.repository = fettle.Repository(self.house, "app")
        self.house.observer(self.repository)

    def waiting_steps(self):
        return self.repository.steps(
            "echo working", f"until [ -e {self.gate} ]; do sleep 0.1; done", "echo done"
        )

    def known(self, commit):
        return fettle.wait_until(lambda: self.house.only_job(commit), f"{commit} is known")

    def assert_cancelled(self, commit, reason):
        self.assertEqual(self.house.verdict(commit), "cancelled")
        job = self.house.only_job(commit)
        self.assertRegex(job["reason"], reason)
        self.assertTrue(self.house.result(commit).startswith("cancelled: cancelled by "))
        return job

    def test_a_job_that_waits(self):
        commit = self.repository.steps("true")
        job = self.known(commit)["job"]
        said = self.fettle("cancel", commit[:10], "--reason", "not wanted")
        self.assertEqual(said, f"main of {commit[:10]}: cancelled\n")
        self.assert_cancelled(commit, r"^cancelled by .+@.+: not wanted$")
        line = rf"^fettle: job {job} \(main of {commit[:10]}\) has ended already: cancelled$"
        self.assertRegex(self.fettle("cancel", str(job), code=6), line)
        self.assertEqual(self.house.cli("wait", commit).returncode, 1)
        self.assertIn("cancelled", self.fettle("show", commit))

    def test_a_job_that_runs_is_stopped_and_keeps_its_log(self):
        self.house.worker()
        commit = self.waiting_steps()
        self.house.wait_running(commit)
        answer = self.house.json("cancel", commit)["jobs"]
        self.assertEqual(
            [(row["name"], row["state"], row["worker"]) for row in answer],
            [("main", "stopping", "one")],
        )
        job = self.assert_cancelled(commit, r"^cancelled by .+@")
        self.assertEqual(job["attempt"], 1)
        log = self.fettle("log", commit).splitlines()
        self.assertIn("working", log)
        self.assertNotIn("done", log)
        # The slot is free again.
        self.assertEqual(self.house.verdict(self.repository.steps("true")), "passed")

    def test_a_job_of_a_silent_worker_ends_without_its_help(self):
        worker = self.house.worker()
        commit = self.waiting_steps()
        self.house.wait_running(commit)
        worker.send_signal(signal.SIGSTOP)
        self.assertIn("is told to stop it", self.fettle("cancel", commit))
        self.assert_cancelled(commit, "^cancelled by ")
        worker.send_signal(signal.SIGCONT)
        # It comes back, is told, and goes on with others.
        self.assertEqual(self.house.verdict(self.repository.steps("true")), "passed")
        self.assert_cancelled(commit, "^cancelled by ")

    def test_a_broker_that_is_killed_still_knows(self):
        worker = self.house.worker()
        commit = self.waiting_steps()
        self.house.wait_running(commit)
        worker.send_signal(signal.SIGSTOP)
        self.fettle("cancel", commit, "--reason", "too slow")
        self.restart_broker()
        worker.send_signal(signal.SIGCONT)
        self.assert_cancelled(commit, "too slow$")

    def test_jobs_after_it(self):
        commit = self.repository.commit({".fettle.yaml": (
            "jobs:\n  unit: {steps: [make]}\n  lint: {after: [unit], steps: [make]}\n"
            "  docs: {steps: [make]}\n"
        )})  # fmt: skip
        show = lambda: self.house.json("show", commit)["builds"][0]["jobs"]
        fettle.wait_until(lambda: self.house.cli("show", commit).returncode == 0, "it is known")
        self.fettle("cancel", f"{commit}/unit")
        rows = {row["name"]: (row["outcome"], row["reason"]) for row in show()}
        self.assertEqual(rows["unit"][0], "cancelled")
        self.assertEqual(rows["lint"], ("skipped", "after unit"))
        self.assertIsNone(rows["docs"][0])
        self.fettle("cancel", commit)
        self.assertEqual(self.house.verdict(commit), "cancelled")
        self.assertIn("has no job 'lnt', did you mean 'lint'?",
                      self.fettle("cancel", f"{commit}/lnt", code=4))  # fmt: skip

    def test_bad_input_gets_one_line(self):
        commit = self.repository.steps("true")
        self.known(commit)
        lines = {
            ("cancel",): (2, "needs COMMIT"),
            ("cancel", "123456789"): (4, "no job 123456789"),
            ("cancel", "0"): (4, "no job 0"),
            ("cancel", "xyz"): (2, "'xyz' is not a commit"),
            ("cancel", "ffffffffff"): (4, "no commit ffffffffff was accepted"),
            ("cancel", commit + "/"): (2, "no name of a job"),
            ("cancel", commit, "--reason", "x" * 501): (2, "at most 500 bytes"),
            ("cancl", commit): (2, "did you mean 'cancel'?"),
        }
        for words, (code, line) in lines.items():
            self.assertIn(line, self.fettle(*words, code=code))


class Rerun(Admin):
    """Another run of what has run."""

    FILE = """
jobs:
  unit: {steps: ["echo this is unit", "test -e %s"]}
  lint: {steps: ["echo this is lint"]}
  ship: {after: [unit], steps: ["echo this is ship"]}
"""

    def setUp(self):
        super().setUp()
        self.gate = self.house.gate()
        self.house.broker()
        self.house.worker(slots=2)
        self.repository = fettle.Repository(self.house, "app")
        self.house.observer(self.repository)

    def runs(self, commit):
        """{job: (outcome, carried over?)} of each run, newest first."""
        return [
            {row["name"]: (row["outcome"], row["origin"] > 0) for row in build["jobs"]}
            for build in self.house.json("show", commit)["builds"]
        ]

    def test_what_was_red_and_what_comes_after_it(self):
        commit = self.repository.commit({".fettle.yaml": self.FILE % self.gate})
        self.assertEqual(self.house.verdict(commit), "failed")
        with open(self.gate, "w", encoding="utf-8"):
            pass
        said = self.fettle("rerun", commit, "--failed")
        line = "app main, run 2: 2 jobs, 1 keeps the verdict of before"
        self.assertEqual(said, f"{commit[:10]}  {line}\n")
        self.assertEqual(self.house.verdict(commit), "passed")
        passed, carried = ("passed", False), ("passed", True)
        self.assertEqual(self.runs(commit), [
            {"unit": passed, "lint": carried, "ship": passed},
            {"unit": ("failed", False), "lint": passed, "ship": ("skipped", False)},
        ])  # fmt: skip
        # Who was not run again has its log where it was.
        self.assertIn("this is lint", self.fettle("log", f"{commit}/lint"))
        self.assertRegex(self.fettle("show", commit), r"lint +passed .*as in an earlier run \(job")
        self.assertIn("nothing of commit", self.fettle("rerun", commit, "--failed", code=6))
        self.assertEqual([row["run"] for row in self.house.json("builds")["builds"]], [2, 1])

    def test_all_of_it_and_one_job(self):
        with open(self.gate, "w", encoding="utf-8"):
            pass
        commit = self.repository.commit({".fettle.yaml": self.FILE % self.gate})
        self.assertEqual(self.house.verdict(commit), "passed")
        os.unlink(self.gate)
        answer = self.house.json("rerun", f"{commit}/lint")["builds"]
        self.assertEqual([(row["run"], row["jobs"], row["carried"]) for row in answer], [(2, 1, 2)])
        self.assertEqual(self.house.verdict(commit), "passed")
        self.restart_broker()
        self.fettle("rerun", commit)
        self.assertEqual(self.house.verdict(commit), "failed")
        self.assertEqual(len(self.runs(commit)), 3)
        self.assertEqual(self.house.cli("wait", commit).returncode, 1)

    def test_artifacts_and_tests_of_before(self):
        commit = self.repository.commit({".fettle.yaml": (
            "jobs:\n  unit: {steps: [echo one > out.txt], artifacts: [out.txt]}\n"
            "  lint: {steps: ['true']}\n"
        )})  # fmt: skip
        self.assertEqual(self.house.verdict(commit), "passed")
        self.fettle("rerun", f"{commit}/lint")
        self.assertEqual(self.house.verdict(commit), "passed")
        folder = self.house.path("fetched")
        self.fettle("artifacts", f"{commit}/unit", "-o", folder)
        with open(os.path.join(folder, "out.txt"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "one\n")

    def test_bad_input_gets_one_line(self):
        waits = self.repository.steps(f"until [ -e {self.gate} ]; do sleep 0.1; done")
        fettle.wait_until(lambda: self.house.only_job(waits), "it is known")
        broken = self.repository.commit({".fettle.yaml": "steps: {\n"})
        self.assertEqual(self.house.verdict(broken), "error")
        lines = {
            ("rerun", "7"): (2, "is the id of a job"),
            ("rerun", "ffffffffff"): (4, "no commit ffffffffff was accepted"),
            ("rerun", waits): (2, "still runs on refs/heads/main; wait, or cancel it first"),
            ("rerun", f"{waits}/mian"): (4, "did you mean 'main'?"),
            ("rerun", broken): (6, "is to be run again"),
        }
        for words, (code, line) in lines.items():
            self.assertIn(line, self.fettle(*words, code=code))


class Holds(Admin):
    """Who gets no new jobs, and whose jobs wait."""

    def setUp(self):
        super().setUp()
        self.house.broker()
        self.repository = fettle.Repository(self.house, "app")

    def worker_row(self, name="one"):
        rows = self.house.json("workers")["workers"]
        return next((row for row in rows if row["name"] == name), None)

    def waits_for(self, commit, reason):
        """The commit's job waits, and says why."""

        def says():
            rows = self.house.json("queue")["jobs"]
            return [row for row in rows if row["commit"] == commit and reason in row["reason"]]

        fettle.wait_until(says, f"{commit} waits: {reason}")

    def test_a_drained_worker_finishes_and_stays_drained_over_restarts(self):
        gate = self.house.gate()
        worker = self.house.worker()
        self.house.observer(self.repository)
        first = self.repository.steps("echo working", f"until [ -e {gate} ]; do sleep 0.1; done")
        self.house.wait_running(first)
        said = "one: gets no new jobs, and finishes what it has\n"
        self.assertEqual(self.fettle("drain", "one"), said)
        self.assertEqual(self.fettle("drain", "one"), "one: is so already\n")
        self.assertEqual(self.worker_row()["state"], "draining")
        with open(gate, "w", encoding="utf-8"):
            pass
        self.assertEqual(self.house.verdict(first), "passed")
        second = self.repository.steps("true")
        self.waits_for(second, "worker one drains")
        self.restart_broker()
        self.house.stop(worker)
        self.house.worker()
        fettle.wait_until(lambda: self.worker_row()["state"] == "drained", "it is back, drained")
        self.assertRegex(self.worker_row()["drained_by"], "^.+@.+$")
        self.assertRegex(self.fettle("workers"), r"one +drained")
        self.waits_for(second, "worker one drains")
        self.assertEqual(self.house.json("resume", "one"), {"changed": 1})
        self.assertEqual(self.house.verdict(second), "passed")

    def test_a_paused_repository_waits_and_others_go_on(self):
        other = fettle.Repository(self.house, "other")
        self.house.worker()
        self.house.observer(self.repository, other)
        self.assertEqual(self.house.verdict(self.repository.steps("true")), "passed")
        self.assertEqual(self.fettle("pause", "app"), "app: paused; what runs goes on\n")
        commit = self.repository.steps("true one")
        self.waits_for(commit, "repository app is paused by")
        self.assertEqual(self.house.verdict(other.steps("true two")), "passed")
        self.restart_broker()
        self.assertEqual(self.house.json("status")["paused"], ["app"])
        self.assertRegex(self.fettle("status"), r"paused +app")
        self.assertEqual(self.fettle("resume"), "all repositories: is so already\n")
        self.waits_for(commit, "repository app is paused by")
        self.assertEqual(self.fettle("resume", "app"), "app: resumed\n")
        self.assertEqual(self.house.verdict(commit), "passed")

    def test_all_is_paused(self):
        self.house.worker()
        self.fettle("pause")
        self.house.observer(self.repository)
        commit = self.repository.steps("true")
        self.waits_for(commit, "all repositories are paused by")
        self.restart_broker()
        self.waits_for(commit, "all repositories are paused by")
        self.assertRegex(self.fettle("status"), r"paused +all, by .+@")
        self.fettle("resume", "all")
        self.assertEqual(self.house.verdict(commit), "passed")

    def test_bad_input_gets_one_line(self):
        self.house.worker("builder")
        fettle.wait_until(lambda: self.house.worker_is_there("builder"), "it is there")
        lines = {
            ("drain",): (2, "needs WORKER"),
            ("drain", "bilder"): (4, "no worker 'bilder' is known; did you mean 'builder'?"),
            ("drain", "a/b"): (2, "no name of a worker"),
            ("pause", "app"): (4, "no repository 'app' is known"),
            ("pause", "a/b"): (2, "'a/b' is no name"),
            ("resume", "buildr"): (4, "did you mean 'builder'?"),
        }
        for words, (code, line) in lines.items():
            self.assertIn(line, self.fettle(*words, code=code))


class Why(Admin):
    """The reason for where a job is."""

    KEYS = {
        "job", "name", "build", "repository", "ref", "commit", "state", "code", "reason", "before",
        "worker", "outcome", "attempts",
    }  # fmt: skip

    def setUp(self):
        super().setUp()
        self.gate = self.house.gate()
        self.house.broker()
        self.repository = fettle.Repository(self.house, "app")
        self.house.observer(self.repository)

    def why(self, *words, code, reason):
        """Once its one job is where it should be, and because of that, its row."""

        def says():
            done = self.house.cli("why", *words, "--json")
            rows = json.loads(done.stdout)["jobs"] if done.returncode == 0 else []
            found = rows and rows[0]["code"] == code and re.search(reason, rows[0]["reason"])
            return rows[0] if found else None

        row = fettle.wait_until(says, f"{words}: {code}, {reason}")
        self.assertEqual(set(row), self.KEYS)
        self.assertIn(row["reason"], self.fettle("why", *words))
        return row

    def test_a_job_that_waits_runs_and_is_cancelled(self):
        commit = self.repository.commit({".fettle.yaml": (
            "jobs:\n  unit:\n    labels: [gpu]\n"
            f"    steps: ['echo working; until [ -e {self.gate} ]; do sleep 0.1; done']\n"
        )})  # fmt: skip
        self.why(commit, code="no_worker", reason="^waits: no worker is connected$")
        self.house.worker("plain")
        self.why(commit, code="no_label", reason="^waits for label gpu, which no worker offers$")
        self.house.worker("fast", labels=["gpu"])
        row = self.why(f"{commit}/unit", code="running", reason="^runs on worker fast$")
        self.assertEqual((row["state"], row["worker"]), ("leased", "fast"))
        self.fettle("cancel", str(row["job"]), "--reason", "enough")
        self.why(str(row["job"]), code="final", reason="^cancelled: cancelled by .*: enough$")

    def test_what_goes_before_it_and_who_lost_it(self):
        worker = self.house.worker()
        first = self.repository.steps("echo working", f"until [ -e {self.gate} ]; do sleep 0.1; done")
        self.house.wait_running(first)
        commits = self.repository.push_many(2)
        row = self.why(commits[1], code="busy", reason="; 1 job goes before it$")
        self.assertEqual((row["before"], row["state"]), (1, "queued"))
        self.fettle("pause", "app")
        self.why(commits[0], code="paused", reason="^waits: repository app is paused by ")
        self.fettle("resume", "app")
        self.fettle("drain", "one")
        self.why(commits[0], code="drained", reason="^waits: worker one drains$")
        self.house.stop(worker, signal.SIGKILL)
        lost = "attempt 1 was lost on one: the worker was silent for "
        self.why(first, code="no_worker", reason=lost)

    def test_jobs_after_others_and_bad_input(self):
        commit = self.repository.commit({".fettle.yaml": (
            "jobs:\n  unit: {steps: [make]}\n  lint: {after: [unit], steps: [make]}\n"
        )})  # fmt: skip
        self.why(f"{commit}/lint", code="after", reason="^waits for unit$")
        self.fettle("cancel", f"{commit}/unit")
        self.why(f"{commit}/lint", code="final", reason="^skipped: after unit$")
        lines = {
            ("why",): (2, "needs COMMIT"),
            ("why", "77"): (4, "no job 77"),
            ("why", "ffffffffff"): (4, "no commit ffffffffff was accepted"),
            ("why", f"{commit}/lnt"): (4, "did you mean 'lint'?"),
            ("wy", commit): (2, "did you mean 'why'?"),
        }
        for words, (code, line) in lines.items():
            self.assertIn(line, self.fettle(*words, code=code))


if __name__ == "__main__":
    tap.main()
