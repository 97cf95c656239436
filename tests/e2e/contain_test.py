"""What holds jobs, as an operator and a commit see it."""

import json
import os
import subprocess

import tap
from fettle import Case, Repository, program, wait_until

NOBODY = 65534


class Contain(Case):
    def start(self, *flags):
        self.house.broker()
        worker = self.house.worker("one", *flags)
        wait_until(lambda: worker.poll() is not None or self.house.worker_is_there("one"), "it is")
        return worker

    def labels(self):
        return self.house.json("workers")["workers"][0]["labels"]

    def job_of(self, file):
        repository = Repository(self.house)
        commit = repository.commit({".fettle.yaml": json.dumps(file)})
        self.house.observer(repository)
        self.house.wait(commit)
        return self.house.only_job(commit), self.house.cli("log", commit).stdout

    def check(self, *flags, user=None):
        words = [program("worker"), "--state", self.house.path("worker-one"), "--check", *flags]
        if user:
            words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *words]
        return self.house.run(words)

    def test_a_worker_says_what_it_has(self):
        self.start()
        kinds = {one for one in self.labels() if one.startswith("containment.")}
        self.assertTrue(kinds)
        if os.geteuid() == 0:
            self.assertIn("containment.user", kinds)
        checked = {row["name"]: row["state"] for row in self.checks()}
        for label, name in (("cgroup", "cgroup"), ("bubblewrap", "bubblewrap"), ("user", "users")):
            self.assertEqual(f"containment.{label}" in kinds, checked[name] == "ok", checked)
        weak = not kinds & {"containment.cgroup", "containment.bubblewrap"}
        self.assertEqual("containment.weak" in kinds, weak)

    def checks(self):
        done = self.check("--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        self.assertIs(report["ok"], True)
        return report["checks"]

    def test_check_names_the_fix_of_what_is_missing(self):
        done = self.check("--containment", "none")
        self.assertEqual(done.returncode, 0, done.stdout)
        rows = dict(line.split(None, 2)[1:] for line in done.stdout.splitlines())
        self.assertRegex(rows["bubblewrap"], r"^none; fix: --containment$")
        for name in ("jobs", "git", "disk", "clock", "user", "limits", "cgroup"):
            self.assertIn(name, rows)

    def test_check_says_how_a_machine_gets_its_namespaces(self):
        """Installed, but not allowed: what bubblewrap says there, and what to do."""
        os.makedirs(self.house.path("bin"))
        fake = self.house.path("bin", "bwrap")
        with open(fake, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1")
        os.chmod(fake, 0o755)
        os.chmod(self.house.folder, 0o755)
        environment = {"PATH": os.path.dirname(fake) + ":" + os.environ["PATH"]}
        words = [program("worker"), "--state", self.house.path("w"), "--check"]
        done = self.house.run(words, environment=environment)
        self.assertEqual(done.returncode, 0, done.stdout)
        row = next(line for line in done.stdout.splitlines() if " bubblewrap " in line)
        self.assertRegex(row, r"^missing +bubblewrap +none; fix: (set the sysctl|allow user names)")
        self.assertIn("(bwrap: No permissions to create new namespace)", row)
        self.assertEqual("run the worker as root" in row, os.geteuid() != 0, row)

    def test_check_fails_when_no_job_could_run(self):
        os.makedirs(self.house.path("bare"))
        environment = {"PATH": self.house.path("bare")}
        words = [program("worker"), "--state", self.house.path("w"), "--check"]
        done = self.house.run(words, environment=environment)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"FAILED +git +missing; fix: install the package git\n")

    def test_what_is_asked_for_and_not_there_is_refused(self):
        environment = {"PATH": self.house.path("bare")}
        words = [program("worker"), "--state", self.house.path("w"), "--check"]
        words += ["--containment", "bubblewrap"]
        done = self.house.run(words, environment=environment)
        self.assertRegex(done.stdout, r"FAILED +jobs .*--containment bubblewrap: .*is missing")
        words[-1] = "chroot"
        done = self.house.run(words)
        self.assertRegex(done.stdout, r"FAILED +jobs .*not 'chroot'")

    def test_limits_of_the_worker_hold_for_every_file(self):
        self.start("--max-files", "77")
        job, log = self.job_of({"limits": {"files": 1000}, "steps": ["echo files: $(ulimit -n)"]})
        self.assertEqual(job["outcome"], "passed", log)
        self.assertIn("\nfiles: 77\n", log)

    def test_no_network_where_it_cannot_be_kept_away_is_an_error(self):
        self.start("--containment", "none")
        job, _ = self.job_of({"network": False, "steps": ["echo ran"]})
        self.assertEqual(job["outcome"], "error")
        self.assertIn("network: false cannot be enforced", job["reason"])

    def test_root_runs_jobs_as_somebody_else_or_when_told_to(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        self.start("--allow-root-jobs", "--containment", "none")
        self.assertNotIn("containment.user", self.labels())
        job, log = self.job_of({"steps": ["echo user $(id -u)"]})
        self.assertEqual((job["outcome"], "\nuser 0\n" in log), ("passed", True), log)

    def test_without_privileges_jobs_run_as_the_workers_user(self):
        if os.geteuid() != 0 or subprocess.call(["which", "setpriv"], stdout=-3, stderr=-3):
            self.skipTest("needs root and setpriv")
        os.makedirs(self.house.path("worker-one"))
        os.chown(self.house.path("worker-one"), NOBODY, NOBODY)
        done = self.check(user=NOBODY)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"missing +users ")


if __name__ == "__main__":
    tap.main()
