"""What monitoring reads: text of Prometheus' format, on stdout and in a file."""

import os
import re

import fettle
import tap

SAMPLE = re.compile(r'([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+\})? (-?[0-9.e+]+)')


def read(text):
    """{name and labels: value}; every line is what the format allows."""
    values, families = {}, {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            families[line.split()[2]] = None
            continue
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert families[name] is None and kind in ("gauge", "counter"), line
            families[name] = kind
            continue
        found = SAMPLE.fullmatch(line)
        assert found, line
        assert families[found[1]], line
        assert (families[found[1]] == "counter") == found[1].endswith("_total"), line
        values[found[1] + (found[2] or "")] = float(found[3])
    return values


class Metrics(fettle.Case):
    def metrics(self, *flags, code=0, **settings):
        done = self.house.cli("metrics", *flags, **settings)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout

    def test_figures_follow_what_happens(self):
        repository = fettle.Repository(self.house, "app")
        self.house.broker()
        before = read(self.metrics())
        self.assertEqual(before["fettle_up"], 1)
        self.assertEqual(before['fettle_jobs_finished_total{outcome="failed"}'], 0)
        self.house.worker()
        self.house.observer(repository)
        self.assertEqual(self.house.verdict(repository.steps("true")), "passed")
        self.assertEqual(self.house.verdict(repository.steps("false")), "failed")
        waits = repository.commit({".fettle.yaml": "jobs: {a: {labels: [arm64], steps: [x]}}\n"})
        fettle.wait_until(lambda: self.house.only_job(waits), "the last commit is accepted")
        after = read(self.metrics())
        self.assertEqual(after['fettle_jobs_finished_total{outcome="passed"}'], 1)
        self.assertEqual(after['fettle_jobs_finished_total{outcome="failed"}'], 1)
        self.assertEqual(after["fettle_jobs_queued"], 1)
        waiting = 'fettle_queue_jobs{repository="app",labels="arm64",priority="0"}'
        self.assertEqual(after[waiting], 1)
        self.assertEqual(after["fettle_workers"], 1)
        self.assertEqual(after['fettle_repository_failing{repository="app"}'], 0)
        self.assertGreater(after["fettle_store_free_bytes"], 0)

    def test_a_file_is_whole_and_readable(self):
        path = self.house.path("fettle.prom")
        broker = self.house.broker()
        self.assertEqual(self.metrics("--file", path), "")
        with open(path, encoding="utf-8") as file:
            self.assertEqual(read(file.read())["fettle_up"], 1)
        self.assertEqual(os.stat(path).st_mode & 0o444, 0o444)
        self.assertEqual(self.house.stop(broker), 0)
        self.metrics("--file", path, "--timeout", "100ms", code=3)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(read(file.read()), {"fettle_up": 0})
        self.assertEqual(os.listdir(os.path.dirname(path)).count("fettle.prom.new"), 0)
        self.assertEqual(self.metrics("--timeout", "100ms", code=3), "")

    def test_a_file_that_cannot_be_written_is_said(self):
        self.house.broker()
        done = self.house.cli("metrics", "--file", "/nowhere/x.prom")
        self.assertEqual(done.returncode, 5)
        self.assertIn("/nowhere/x.prom", done.stderr)


if __name__ == "__main__":
    tap.main()
