"""The main job: a commit goes in, its verdict comes out."""

import os
import re
import time

import tap
from fettle import Case, Repository, free_ports, program, wait_until

PASSING = """import unittest
class T(unittest.TestCase):
    def test_one(self): self.assertTrue(True)
"""
FAILING = PASSING.replace("True)", "False)")


class Verdicts(Case):
    def everything(self, *flags, slots=1, environment=None):
        """One broker, worker and observer, and the repository that it watches."""
        repository = Repository(self.house)
        self.house.broker()
        self.house.worker(slots=slots, environment=environment)
        self.house.observer(repository, flags=flags)
        return repository

    def test_green_red_green(self):
        repository = self.everything()
        outcomes = []
        for command in ("true", "echo about to fail; false", "true"):
            commit = repository.steps("echo hello", command)
            start = time.monotonic()
            outcomes.append(self.house.verdict(commit))
            print(f"# from commit to recorded verdict: {time.monotonic() - start:.2f} s")
        self.assertEqual(outcomes, ["passed", "failed", "passed"])

    def test_results_are_plain_files(self):
        repository = self.everything()
        green = repository.steps("echo all is well")
        self.house.wait(green)
        red = repository.steps("echo oh no; exit 3")
        self.house.wait(red)
        self.assertEqual(self.house.result(green).splitlines()[0], "passed")
        self.assertIn("all is well", self.house.result(green))
        self.assertRegex(self.house.result(red).splitlines()[0], r"^failed: .+")
        self.assertIn("oh no", self.house.result(red))
        self.assertIn("oh no", self.house.cli("log", red).stdout)
        self.assertEqual(self.house.only_job(red)["exit_code"], 3)
        self.assertEqual(self.house.cli("wait", red).returncode, 1)

    def test_fifty_commits_with_every(self):
        repository = self.everything()
        first = repository.steps("true")
        self.house.wait(first)
        commits = repository.push_many(50)
        self.house.wait(commits[-1], 120)
        builds = wait_until(self.all_final, "all builds have a verdict", 120)
        builds.sort(key=lambda build: build["build"])
        self.assertEqual([build["commit"] for build in builds], [first] + commits)
        self.assertEqual({build["outcome"] for build in builds}, {"passed"})
        ends = [build["finished_at"] for build in builds]
        self.assertEqual(ends, sorted(ends))

    def all_final(self):
        builds = self.house.json("builds", "--limit", "0")["builds"]
        return builds if all(build["outcome"] for build in builds) else None

    def test_fifty_commits_with_latest(self):
        repository = self.everything("--policy", "latest")
        self.house.wait(repository.steps("true"))
        commits = repository.push_many(50)
        self.assertEqual(self.house.verdict(commits[-1]), "passed")
        builds = wait_until(self.all_final, "all builds have a verdict")
        of = {build["commit"]: build for build in builds}
        for commit in commits[:-1]:
            self.assertEqual(of[commit]["outcome"], "skipped", of[commit])
            self.assertRegex(of[commit]["reason"], r"^superseded by [0-9a-f]+")

    def test_latest_runs_what_it_left_out_when_that_is_the_newest_again(self):
        repository = self.everything("--policy", "latest")
        self.house.wait(repository.steps("true"))
        left_out, newest = repository.push_many(2)
        self.assertEqual(self.house.verdict(newest), "passed")
        self.assertEqual(self.house.verdict(left_out), "skipped")
        repository.git("update-ref", "refs/heads/main", left_out)

        def runs():
            builds = self.house.json("show", left_out)["builds"]
            return [(one["build"]["run"], one["build"]["outcome"]) for one in builds]

        wait_until(lambda: runs() == [(2, "passed"), (1, "skipped")], "the second run has passed")

    def test_a_bad_file_says_where(self):
        repository = self.everything()
        commit = repository.commit({".fettle.yaml": "env: {A: 1}\nstep: [make]\n"})
        result = self.house.wait(commit)
        self.assertEqual(result["outcome"], "error")
        job = result["builds"][0]["jobs"][0]
        self.assertRegex(job["reason"], r"\.fettle\.yaml:2:1: .*did you mean .steps.")
        self.assertEqual(self.house.result(commit).splitlines()[0], "error: " + job["reason"])
        self.assertEqual(self.house.verdict(repository.steps("true")), "passed")

    def test_no_file_runs_python_tests(self):
        repository = self.everything()
        green = repository.commit({"tests/test_one.py": PASSING})
        self.assertEqual(self.house.verdict(green), "passed")
        red = repository.commit({"tests/test_two.py": FAILING})
        self.assertEqual(self.house.verdict(red), "failed")
        self.assertIn("test_one", self.house.cli("log", red).stdout)

    def test_no_test_run_is_never_green(self):
        repository = self.everything()
        commit = repository.commit({"tests/test_one.py": "# no test here\n"})
        self.assertEqual(self.house.verdict(commit), "error")

    def test_nothing_to_run_is_skipped(self):
        repository = self.everything()
        commit = repository.commit({"README": "hello\n"})
        self.assertEqual(self.house.verdict(commit), "skipped")
        done = self.house.cli("wait", commit)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"^skipped .*nothing to run")
        done = self.house.cli("log", commit)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assert_line(done.stderr, "never ran, it is skipped: nothing to run")

    def test_a_commit_can_ask_to_be_skipped(self):
        repository = self.everything()
        commit = repository.steps("false", message="only words [skip ci]")
        self.assertEqual(self.house.verdict(commit), "skipped")

    def test_a_job_that_takes_too_long_is_ended_whole(self):
        repository = self.everything()
        commit = repository.commit(
            {".fettle.yaml": "timeout: 1s\nsteps: ['sleep 1000 & sleep 1000']\n"}
        )
        self.assertEqual(self.house.verdict(commit), "timed_out")

    def test_the_environment_is_scrubbed(self):
        repository = self.everything(environment={"SECRET_TOKEN": "canary-7"})
        commit = repository.commit({".fettle.yaml": "env: {MINE: 3.10}\nsteps: [env]\n"})
        self.assertEqual(self.house.verdict(commit), "passed")
        log = self.house.cli("log", commit).stdout
        self.assertNotIn("canary-7", log)
        for row in ("CI=true", "FETTLE=true", "MINE=3.10", f"FETTLE_COMMIT={commit}"):
            self.assertIn(row, log.splitlines())
        home = re.search(r"^HOME=(.*)$", log, re.MULTILINE).group(1)
        self.assertNotEqual(home, self.house.home)
        wait_until(lambda: not os.path.exists(home), "the job's home is removed")

    def test_each_job_starts_clean(self):
        repository = self.everything()
        for _ in range(2):
            commit = repository.steps("test ! -e left-over", "touch left-over")
            self.assertEqual(self.house.verdict(commit), "passed")

    def test_several_jobs(self):
        repository = self.everything(slots=2)
        commit = repository.commit(
            {
                ".fettle.yaml": "jobs:\n"
                "  good: {steps: [echo from good]}\n"
                "  bad: {steps: [echo from bad; false]}\n"
            }
        )
        result = self.house.wait(commit)
        self.assertEqual(result["outcome"], "failed")
        jobs = {job["name"]: job["outcome"] for job in result["builds"][0]["jobs"]}
        self.assertEqual(jobs, {"good": "passed", "bad": "failed"})
        good = self.house.cli("log", commit + "/good").stdout.splitlines()
        self.assertIn("from good", good)
        self.assertNotIn("from bad", good)
        both = self.house.cli("log", commit)
        self.assertIn("from bad", both.stdout)
        self.assertIn("==> good", both.stderr)
        self.assertEqual(self.house.cli("log", commit + "/god").returncode, 4)
        self.assertIn("from bad", self.house.result(commit, "bad"))

    def test_a_job_waits_for_its_label(self):
        repository = self.everything()
        commit = repository.commit({".fettle.yaml": "labels: [arm64]\nsteps: ['true']\n"})

        def is_said():  # not before the other worker is connected
            rows = self.house.json("queue")["jobs"]
            return rows and "arm64" in rows[0]["reason"]

        wait_until(is_said, "the job says why it waits")
        depth = self.house.json("status")["depth"][0]
        self.assertEqual((depth["labels"], depth["queued"]), ("arm64", 1))
        self.assertRegex(self.house.cli("queue").stdout, r" arm64 +no worker offers arm64")
        done = self.house.cli("log", commit)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assert_line(done.stderr, "has not run yet; fettle queue says why")
        self.house.worker("two", labels=["arm64", "linux"])
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assertEqual(self.house.only_job(commit)["worker"], "two")

    def test_a_worker_over_tcp(self):
        repository = Repository(self.house)
        commit = repository.steps("echo over tcp")
        port = free_ports()
        self.house.broker(listen=f"127.0.0.1:{port}")
        self.house.worker(broker=f"127.0.0.1:{port}")
        self.house.observer(repository)
        self.assertEqual(self.house.verdict(commit), "passed")
        done = self.house.cli("status", broker=f"localhost:{port}")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_repository_by_url(self):
        repository = Repository(self.house)
        commit = repository.steps("true")
        self.house.broker()
        self.house.worker()
        self.house.observer("file://" + repository.path)
        self.assertEqual(self.house.verdict(commit), "passed")

    def test_following_a_log(self):
        gate = self.house.gate()
        repository = self.everything()
        commit = repository.steps(f"echo working; until [ -e {gate} ]; do sleep 0.05; done; echo z")
        self.house.wait_running(commit)
        address = f"ipc:{self.house.broker_folder}"
        words = [program("fettle"), "log", "-f", commit, "--broker", address]
        follower = self.house.start("follower", words)
        wait_until(lambda: "working" in self.house.log_of("follower"), "the log is followed")
        open(gate, "w", encoding="utf-8").close()
        self.assertEqual(follower.wait(30), 0)
        self.assertIn("working", self.house.log_of("follower"))
        self.assertTrue(self.house.log_of("follower").rstrip().endswith("z"))


if __name__ == "__main__":
    tap.main()
