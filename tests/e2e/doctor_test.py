"""What is not well is said, with what helps; and nothing when all is well."""

import json
import os

import fettle
import tap


class Doctor(fettle.Case):
    def look(self, *flags, code=0, environment=None):
        """{name: [(state, found, fix)]} of all that it says."""
        words = [fettle.program("fettle"), "doctor", "--broker", f"ipc:{self.house.broker_folder}"]
        done = self.house.run([*words, "--json", *flags], environment=environment)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual(list(answer), ["ok", "checks"])
        self.assertEqual(answer["ok"], code == 0)
        rows = {}
        for row in answer["checks"]:
            self.assertEqual(list(row), ["name", "state", "found", "fix"])
            self.assertEqual(row["fix"] is None, row["state"] == "ok", row)
            rows.setdefault(row["name"], []).append((row["state"], row["found"], row["fix"]))
        return rows

    def only(self, rows, name):
        self.assertEqual(len(rows[name]), 1, rows[name])
        return rows[name][0]

    def test_all_is_well(self):
        repository = fettle.Repository(self.house, "app")
        self.house.broker()
        self.house.worker()
        self.house.observer(repository)
        self.assertEqual(self.house.verdict(repository.steps("true")), "passed")
        rows = self.look()
        for name in ("broker", "version", "store", "clocks", "queue", "repositories"):
            self.assertEqual(self.only(rows, name)[0], "ok", rows[name])
        self.assertIn("jobs are held by", self.only(rows, "worker")[1])
        text = self.house.cli("doctor")
        self.assertEqual(text.returncode, 0)
        self.assertRegex(text.stdout, r"(?m)^ok +broker +answers in \d+ ms")
        self.assertEqual(len(text.stdout.splitlines()), sum(len(rows[name]) for name in rows))

    def test_no_broker(self):
        rows = self.look("--timeout", "100ms", code=3)
        state, found, fix = self.only(rows, "broker")
        self.assertEqual((state, found), ("failed", "no answer"))
        self.assertIn("fettle up", fix)
        self.assertEqual(set(rows), {"broker", "clock", "git"})

    def test_nobody_to_run_anything(self):
        repository = fettle.Repository(self.house, "app")
        self.house.broker()
        self.house.observer(repository)
        commit = repository.commit({".fettle.yaml": "jobs: {a: {labels: [arm64], steps: [x]}}\n"})
        fettle.wait_until(lambda: self.house.only_job(commit), "the commit is accepted")
        rows = self.look(code=1)
        self.assertEqual(self.only(rows, "workers")[0], "failed")
        self.house.worker("plain", "--containment", "none")
        fettle.wait_until(lambda: self.house.worker_is_there("plain"), "the worker is there")
        rows = self.look(code=1)
        self.assertNotIn("workers", rows)
        state, found, fix = self.only(rows, "queue")
        self.assertEqual(state, "failed")
        self.assertIn("1 jobs of app need arm64, which no worker offers", found)
        self.assertIn("--label", fix)
        state, found, fix = self.only(rows, "worker")
        self.assertEqual(state, "missing")
        self.assertIn("not by sandbox, control groups", found)
        self.assertIn("fettle-worker --check", fix)

    def test_repositories_that_are_not_looked_at(self):
        self.house.broker()
        self.assertEqual(self.only(self.look(code=1), "repositories")[0], "missing")
        words = ["repo", "add", "gone", "/nowhere/at/all"]
        self.assertEqual(self.house.cli_words(words).returncode, 0)
        state, found, fix = self.only(self.look(code=1), "repository")
        self.assertEqual((state, found), ("failed", "gone: no observer watches it"))
        self.assertIn("fettle-observer", fix)
        self.house.observer()

        def fails():
            found = self.look(code=1).get("repository", [("", "", "")])[0][1]
            return "no repository at /nowhere/at/all" in found

        fettle.wait_until(fails, "it says why the repository cannot be read")

    def test_without_git(self):
        self.house.broker()
        empty = self.house.path("empty")
        os.makedirs(empty)
        rows = self.look(code=1, environment={"PATH": empty})
        self.assertEqual(self.only(rows, "git")[0], "failed")
        self.assertEqual(self.only(rows, "git")[2], "install the package git")


if __name__ == "__main__":
    tap.main()
