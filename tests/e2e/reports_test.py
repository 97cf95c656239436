"""Test reports and artifacts: from a job's checkout to whoever asks for them."""

import json
import os
import signal
import stat

import tap
from fettle import Case, Repository, wait_until

JUNIT = """<testsuite name="unit">
<testcase classname="Numbers" name="add" time="0.25"/>
<testcase classname="Numbers" name="wrong"><failure message="one is not two"/></testcase>
<testcase classname="Numbers" name="later"><skipped/></testcase>
</testsuite>
"""
GREEN = JUNIT.replace('<failure message="one is not two"/>', "")
UNITTEST = """import unittest
class T(unittest.TestCase):
    def test_good(self): print("noise")
    def test_bad(self): self.assertEqual(1, 2)
"""


def jobfile(*steps, tests=None, artifacts=None):
    rows = [f"tests: {json.dumps(tests)}\n" if tests else ""]
    rows.append(f"artifacts: {json.dumps(artifacts)}\n" if artifacts else "")
    rows.append("steps:\n")
    rows += [f"  - {json.dumps(step)}\n" for step in steps]
    return {".fettle.yaml": "".join(rows)}


class Reports(Case):
    def everything(self, *broker_flags, worker_flags=()):
        repository = Repository(self.house)
        self.house.broker(*broker_flags)
        self.house.worker("one", *worker_flags)
        self.house.observer(repository)
        return repository

    def verdict_of(self, repository, files):
        """(commit, outcome, reason) of a commit with these files and one job."""
        commit = repository.commit(files)
        outcome = self.house.verdict(commit)
        return commit, outcome, self.house.only_job(commit)["reason"]

    def report_of(self, commit, *flags):
        return self.house.json("tests", commit, *flags)["jobs"][0]

    def test_failed_tests_are_named(self):
        repository = self.everything()
        files = {**jobfile("cp report.xml out.xml", tests=["*.xml"]), "report.xml": JUNIT}
        commit, outcome, reason = self.verdict_of(repository, files)
        self.assertEqual((outcome, reason), ("failed", "2 of 6 tests failed"))
        job = self.report_of(commit)
        self.assertEqual((job["count"], job["failed"], job["skipped"]), (6, 2, 2))
        self.assertEqual(
            job["tests"][0],
            {
                "suite": "Numbers",
                "name": "add",
                "outcome": "passed",
                "time_ms": 250,
                "message": None,
            },
        )
        failed = self.report_of(commit, "--failed")["tests"]
        self.assertEqual([test["message"] for test in failed], ["one is not two"] * 2)
        self.assertEqual(len(self.report_of(commit, "--limit", "4")["tests"]), 4)
        shown = self.house.cli("show", commit).stdout
        self.assertIn("main: 6 tests, 2 failed, 2 skipped\n", shown)
        self.assertIn("    failed  Numbers wrong: one is not two\n", shown)
        table = self.house.cli("tests", commit, "--failed").stdout
        self.assertRegex(table, r"(?m)^  failed +Numbers wrong +- +one is not two$")
        self.assertIn("fettle: 6 tests, 2 failed, 2 skipped", self.house.result(commit))
        self.assertNotIn("one is not two", self.house.result(commit))

    def test_a_good_report_is_green(self):
        repository = self.everything()
        files = {**jobfile("true", tests=["a/**/*.xml"]), "a/b/c/r.xml": GREEN}
        commit, outcome, _ = self.verdict_of(repository, files)
        self.assertEqual(outcome, "passed")
        self.assertEqual(self.house.only_job(commit)["tests"], 3)

    def test_a_report_that_proves_nothing_is_an_error(self):
        repository = self.everything()
        for files, wanted in (
            ({}, "no test report matches *.xml, out/*.tap"),
            ({"a.xml": "<testsuite/>"}, "the report has no tests: *.xml, out/*.tap"),
            ({"a.xml": "<html>"}, "test report a.xml: line 1: no JUnit report"),
            ({"a.xml": GREEN[:-5]}, "test report a.xml: line 5: "),
            ({"out/b.tap": "1..2\nok 1\n"}, "test report out/b.tap: line 2: 2 tests were planned"),
        ):
            files = {**jobfile("true", tests=["*.xml", "out/*.tap"]), **files}
            repository.git("rm", "-rqf", "--ignore-unmatch", ".")
            commit, outcome, reason = self.verdict_of(repository, files)
            self.assertEqual(outcome, "error", self.house.result(commit))
            self.assertTrue(reason.startswith(wanted), reason)

    def test_steps_that_failed_need_no_report(self):
        repository = self.everything()
        _, outcome, reason = self.verdict_of(repository, jobfile("exit 3", tests=["*.xml"]))
        self.assertEqual((outcome, reason), ("failed", "step 1 exited with 3: exit 3"))

    def test_the_built_in_run_has_records(self):
        repository = self.everything()
        commit, outcome, _ = self.verdict_of(repository, {"tests/test_one.py": UNITTEST})
        self.assertEqual(outcome, "failed")
        tests = {test["name"]: test for test in self.report_of(commit)["tests"]}
        self.assertEqual(tests["test_good"]["outcome"], "passed")
        self.assertEqual(tests["test_bad"]["outcome"], "failed")
        self.assertEqual(tests["test_bad"]["message"], "AssertionError: 1 != 2")
        self.assertEqual(tests["test_bad"]["suite"], "test_one.T")

    def fetch(self, commit, *words):
        folder = self.house.path("fetched")
        done = self.house.cli("artifacts", commit, "-o", folder, *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return folder

    def test_artifacts_come_back_as_they_were(self):
        repository = self.everything()
        steps = (
            "mkdir -p dist/sub; seq 100000 >dist/numbers; : >dist/sub/empty",
            "printf '#!/bin/sh\\n' >dist/tool; chmod 755 dist/tool; exit 7",
        )
        commit, outcome, _ = self.verdict_of(repository, jobfile(*steps, artifacts=["dist"]))
        self.assertEqual(outcome, "failed")
        folder = self.fetch(commit)
        with open(f"{folder}/dist/numbers", encoding="utf-8") as file:
            self.assertEqual(file.read(), "".join(f"{i}\n" for i in range(1, 100001)))
        self.assertEqual(os.stat(f"{folder}/dist/sub/empty").st_size, 0)
        self.assertEqual(stat.S_IMODE(os.stat(f"{folder}/dist/tool").st_mode), 0o755)
        self.assertEqual(sorted(os.listdir(folder + "/dist")), ["numbers", "sub", "tool"])
        rows = self.house.json("artifacts", commit)["jobs"][0]["artifacts"]
        self.assertEqual(
            [(row["path"], row["size"]) for row in rows],
            [("dist/numbers", 588895), ("dist/sub/empty", 0), ("dist/tool", 10)],
        )
        self.assertIn("main: 3 artifacts: fettle artifacts", self.house.cli("show", commit).stdout)
        log = self.house.cli("log", commit).stdout
        self.assertNotIn("588895", log)
        self.assertEqual(log, self.house.result(commit).split("\n", 1)[1])

    def test_only_plain_files_are_kept(self):
        repository = self.everything()
        steps = (
            "mkdir out; echo secret >out/real; ln -s real out/link; ln -s /etc out/etc",
            "ln out/real out/twin; mkfifo out/fifo; ln -s .. out/up",
        )
        wanted = ["out/**", "out/etc/passwd", "out/up/out/real", "none/*"]
        commit, outcome, _ = self.verdict_of(repository, jobfile(*steps, artifacts=wanted))
        self.assertEqual(outcome, "passed")
        rows = self.house.json("artifacts", commit)["jobs"][0]["artifacts"]
        self.assertEqual([row["path"] for row in rows], ["out/real", "out/twin"])
        log = self.house.cli("log", commit).stdout
        for line in (
            "fettle: out/link: refused: a symbolic link is not followed",
            "fettle: out/etc: refused: a symbolic link is not followed",
            "fettle: out/fifo: refused: it is a FIFO",
        ):
            self.assertIn(line, log)

    def test_artifacts_have_a_limit(self):
        repository = self.everything(worker_flags=("--max-artifacts", "1M"))
        files = jobfile("truncate -s 8G huge; echo small >small", artifacts=["*"])
        commit, outcome, reason = self.verdict_of(repository, files)
        self.assertEqual(outcome, "error")
        self.assertRegex(reason, r"^limit: artifacts: \d+ bytes, over 1048576$")
        self.assertEqual(self.house.json("artifacts", commit)["jobs"][0]["artifacts"], [])
        self.assertIn("no artifacts", self.house.cli("artifacts", commit).stderr)

    def test_nothing_is_written_outside_the_folder(self):
        repository = self.everything()
        files = jobfile("mkdir -p a; echo new >a/file; echo new >top", artifacts=["a", "top"])
        commit, outcome, _ = self.verdict_of(repository, files)
        self.assertEqual(outcome, "passed")
        folder, outside = self.house.path("fetched"), self.house.path("outside")
        os.makedirs(folder)
        os.makedirs(outside)
        victim = os.path.join(outside, "file")
        with open(victim, "w", encoding="utf-8") as file:
            file.write("old\n")

        def refused(name, target):
            os.symlink(target, os.path.join(folder, name))
            done = self.house.cli("artifacts", commit, "-o", folder)
            self.assertEqual(done.returncode, 5)
            self.assert_line(done.stderr, "is refused: a symbolic link")
            os.unlink(os.path.join(folder, name))

        refused("a", outside)
        refused("top", victim)
        os.link(victim, os.path.join(folder, "top"))
        self.fetch(commit)
        with open(os.path.join(folder, "top"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "new\n")
        with open(victim, encoding="utf-8") as file:
            self.assertEqual(file.read(), "old\n")
        self.assertEqual(os.listdir(outside), ["file"])
        self.assertEqual(sorted(os.listdir(folder)), ["a", "top"])

    def test_a_broker_that_is_killed_loses_no_part(self):
        repository = self.everything()
        steps = ("echo working", "seq 3000000 >numbers", "cat numbers | tail -n 3")
        commit = repository.commit({**jobfile(*steps, tests=["*.tap"], artifacts=["numbers"]),
                                    "r.tap": "1..1\nok 1 - a\n"})
        parcel = os.path.join(self.house.broker_folder, "logs", "1.1.parcel")
        wait_until(lambda: os.path.exists(parcel), "the parcel is on its way")
        self.house.stop(self.house.processes[0], signal.SIGKILL)
        self.house.broker()
        self.assertEqual(self.house.verdict(commit), "passed")
        folder = self.fetch(commit)
        with open(f"{folder}/numbers", encoding="utf-8") as file:
            self.assertEqual(file.read(), "".join(f"{i}\n" for i in range(1, 3000001)))
        self.assertEqual(self.report_of(commit)["count"], 1)

    def test_the_oldest_artifacts_make_room(self):
        repository = self.everything("--artifacts-max", "150K")
        commits = []
        for number in range(3):
            files = jobfile(
                f"head -c 100000 /dev/zero >{number}", tests=["*.tap"], artifacts=["[0-9]"]
            )
            files["r.tap"] = f"1..1\nok 1 - number {number}\n"
            commits.append(self.verdict_of(repository, files)[0])

        def jobs():
            return [self.house.json("artifacts", commit)["jobs"][0] for commit in commits]

        wait_until(lambda: [one["removed"] for one in jobs()] == [True, True, False], "room")
        self.assertEqual([len(one["artifacts"]) for one in jobs()], [0, 0, 1])
        for number, commit in enumerate(commits):
            names = [test["name"] for test in self.report_of(commit)["tests"]]
            self.assertEqual(names, [f"number {number}"])
        self.assertIn("removed to make room", self.house.cli("artifacts", commits[0]).stderr)

    def test_bad_questions_get_one_line(self):
        repository = self.everything()
        commit, _, _ = self.verdict_of(repository, jobfile("true"))
        for words, code in (
            (("tests", "0000000"), 4),
            (("tests", commit + "/nope"), 4),
            (("artifacts", commit + "/nope"), 4),
            (("tests",), 2),
            (("artifacts", commit, "--failed"), 2),
        ):
            done = self.house.cli(*words)
            self.assertEqual(done.returncode, code, words)
            self.assert_line(done.stderr, ".")
        self.assertEqual(self.house.cli("tests", commit).stdout, "main: no tests\n")


if __name__ == "__main__":
    tap.main()
