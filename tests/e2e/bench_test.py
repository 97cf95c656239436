"""The benchmarks run: small, once, whatever the figures are."""

import os
import subprocess
import sys
import tempfile
import unittest

import tap
from fettle import BUILD, PATIENCE

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bench")


class Bench(unittest.TestCase):
    def run_one(self, script, *words):
        done = subprocess.run(
            [sys.executable, "-B", os.path.join(BENCH, script), BUILD, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE * 8,
            text=True,
            check=False,
        )
        self.assertIn(done.returncode, (0, 1), done.stdout)  # 1: a goal is missed
        self.assertNotIn("Traceback", done.stdout)
        return done.stdout

    def test_checkout(self):
        said = self.run_one("worker/checkout.py", "--files", "100", "--rounds", "1")
        self.assertRegex(said, r"(?m)^fettle, job started to first command +\d")
        self.assertRegex(said, r"(?m)^ratio of ours to the fastest fresh one: \d")

    def test_jobs(self):
        said = self.run_one("worker/jobs.py", "--jobs", "12", "--rounds", "1")
        self.assertRegex(said, r"(?m)^ratio, commits apart +\d")
        self.assertRegex(said, r"(?m)^ratio to the bound: \d")
        self.assertRegex(said, r"(?m)^resident MiB of a supervisor: \d")

    def test_admin(self):
        words = ["--jobs", "500", "--workers", "10", "--rounds", "5", "--passes", "2", "--settle", "0"]
        said = self.run_one("broker/admin.py", *words)
        self.assertRegex(said, r"(?m)^ratio to the bound, p99: \d")
        self.assertRegex(said, r"(?m)^ms of fettle status, p99: \d")
        for verb in ("queue", "builds"):
            self.assertRegex(said, rf"(?m)^all pages of fettle {verb}, 2 passes$")
            self.assertRegex(said, rf"(?m)^KiB that the others added \({verb}\): -?\d")

    def test_restart(self):
        said = self.run_one("broker/restart.py", "--workers", "20", "--settle", "0")
        for way in ("null", "curve"):
            self.assertRegex(said, rf"(?m)^{way}: seconds to the last worker: \d")
            self.assertRegex(said, rf"(?m)^{way}: jobs started twice: 0\.00, .*: met$")
            self.assertRegex(said, rf"(?m)^{way}: jobs taken away: 0\.00, .*: met$")

    def test_rate(self):
        said = self.run_one("broker/rate.py", "--jobs", "100", "--rounds", "1", "--paced", "10")
        self.assertRegex(said, r"(?m)^fettle, 64 outstanding +\d")
        self.assertRegex(said, r"(?m)^fettle, 1 outstanding +\d")
        self.assertRegex(said, r"(?m)^update to worker, 50 a second, p99 +\d")

    def test_run(self):
        with tempfile.TemporaryDirectory() as folder:
            few = ["--rounds", "1", "--seconds", "0.1", "--jobs", "50", "--paced", "5"]
            few += ["--idle", "0.2", "--builds", "2", "--queue", "20000", "--accepted", "50"]
            few += ["--growth", "tiny", "--growths", "1", "--verdicts", "1"]
            quick = ["--only", "beanstalkd,redis,gearmand", "--results", folder, "--machine", "some"]
            said = self.run_one("peers/compare.py", *few, *quick)
            names = sorted(os.listdir(folder))
            self.assertRegex(" ".join(names), r"^\S+-some-quick\.md \S+-some-quick\.svg$")
            with open(os.path.join(folder, names[0]), encoding="utf-8") as page:
                self.assertRegex(page.read(), r"(?m)^\| fettle \| +\d")
        for name in ("fettle", "limit: group commit", "SQLite alone"):
            self.assertRegex(said, rf"(?m)^{name} +\d.* jobs/s")
        for name, label in (("beanstalkd", "beanstalkd -f0"), ("redis", "Redis, fsync always")):
            self.assertRegex(said, rf"(?m)^(left out: .*{name}|{label} +\d.* jobs/s)")
        if "left out: beanstalkd" not in said:
            self.assertRegex(said, r"(?m)^beanstalkd -f0: the connection closed +\d.* s$")
        self.assertRegex(said, r"(?m)^fettle, p99 to p50: \d")
        self.assertRegex(said, r"(?m)^commits of one job accepted, 16 in an update .*\nfettle +\d.* jobs/s")
        self.assertRegex(said, r"(?m)^fettle: its worker said goodbye +\d.* s ")
        self.assertRegex(said, r"(?m)^broker +\d.* MiB")
        self.assertRegex(said, r"(?m)^a commit's only job +\d.* B")
        for what, unit in (("the broker's CPU for a job", "us"), ("fettle status", "ms")):
            self.assertRegex(said, rf"(?m)^{what}, jobs queued .*\n200 jobs queued +\d.* {unit}$")
        for what, unit in (("told", "ms"), ("polled", "ms")):
            self.assertRegex(said, rf"(?m)^commit to recorded verdict, {what} .*\nfettle +\d.* {unit}$")
        self.assertRegex(said, r"(?m)^builds that do nothing, .*\nfettle +\d.* builds/s$")
        self.assertRegex(said, r"(?m)^a build of one step +\d.* KiB")

    def test_quiet_repositories(self):
        said = self.run_one("observer/quiet.py", "--repositories", "3", "--looks", "10", "--interval", "200ms")
        self.assertRegex(said, r"(?m)^CPU ms per look: \d")

    def test_push(self):
        said = self.run_one("observer/push.py", "--rounds", "2")
        self.assertRegex(said, r"(?m)^median ms from push to first step: \d")


if __name__ == "__main__":
    tap.main()
