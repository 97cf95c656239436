"""The list of repositories: added, paused, poked and removed while all programs run; observers that
share it and take over from each other."""

import json
import os
import signal
import stat
import unittest

import fettle
import tap

# Longer than a test: what happens sooner was asked for.
NEVER = "1h"

ROW_KEYS = {
    "name", "url", "state", "observer", "polled_at", "next_ms", "error", "refs", "rules",
    "interval_ms", "since", "pinned", "declared_by", "pokes",
}  # fmt: skip


class Repositories(unittest.TestCase):
    def setUp(self):
        self.house = fettle.House()
        self.addCleanup(self.house.finish)
        self.house.broker()

    def fettle(self, *words, code=0):
        done = self.house.cli_words(words)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout if code == 0 else done.stderr

    def row(self, name):
        rows = json.loads(self.fettle("repo", "list", "--json"))["repositories"]
        return next((row for row in rows if row["name"] == name), None)

    def wait_state(self, name, state):
        return fettle.wait_until(
            lambda: (self.row(name) or {}).get("state") == state, f"{name} is {state}"
        )

    def observer(self, name="eye", interval=NEVER):
        return self.house.observer(name=name, interval=interval, flags=["--name", name])

    def builds_of(self, repository):
        rows = self.house.json("builds", "--limit", "0")["builds"]
        return [row for row in rows if row["repository"] == repository]

    def test_added_while_running_and_removed(self):
        repository = fettle.Repository(self.house, "app")
        first = repository.steps("true")
        self.house.worker()
        self.observer(interval="100ms")
        self.assertIn("added", self.fettle("repo", "add", "app", repository.path))
        self.assertIn("already", self.fettle("repo", "add", "app", repository.path))
        self.assertEqual(self.house.verdict(first), "passed")
        self.wait_state("app", "ok")
        self.assertEqual(set(self.row("app")), ROW_KEYS)
        shown = json.loads(self.fettle("repo", "show", "app", "--json"))
        self.assertEqual(set(shown), ROW_KEYS)
        self.assertEqual(shown["observer"], "eye")
        self.fettle("repo", "remove", "app")
        fettle.wait_until(
            lambda: "watching no more repository=app" in self.house.log_of("eye"), "it is let go"
        )
        repository.steps("true")
        other = fettle.Repository(self.house, "other")
        tip = other.steps("true")
        self.fettle("repo", "add", "other", other.path)
        self.assertEqual(self.house.verdict(tip), "passed")
        self.assertEqual(len(self.builds_of("app")), 1)

    def test_added_again_it_goes_on_from_its_mark(self):
        repository = fettle.Repository(self.house, "app")
        repository.steps("true")
        self.house.worker()
        self.observer(interval="100ms")
        self.fettle("repo", "add", "app", repository.path)
        fettle.wait_until(lambda: len(self.builds_of("app")) == 1, "the first commit is there")
        self.fettle("repo", "remove", "app")
        commits = repository.push_many(3)
        self.fettle("repo", "add", "app", repository.path)
        for commit in commits:
            self.assertEqual(self.house.verdict(commit), "passed")

    def test_refused_with_one_line(self):
        repository = fettle.Repository(self.house, "app")
        self.fettle("repo", "add", "app", repository.path)
        lines = {
            ("repo", "add", "app", "/elsewhere"): (2, "is in the list with other settings"),
            ("repo", "add", "-x", "/elsewhere"): (2, "unknown flag"),
            ("repo", "add", "a/b", "/elsewhere"): (2, "not a name"),
            ("repo", "add", "x", "ext::sh"): (2, "remote helpers"),
            ("repo", "add", "x", "/r", "--ref", "main:new"): (2, "latest or every"),
            ("repo", "add", "x", "/r", "--since", "yesterday"): (2, "nor a date such as 2024-02-29"),
            ("repo", "remove", "ap"): (4, "did you mean 'app'?"),
            ("repo", "pause", "zzz"): (4, "no repository 'zzz'"),
            ("poke", "zzz"): (4, "no repository 'zzz'"),
            ("repo",): (2, "needs one of add, remove, list"),
            ("repo", "ad"): (2, "needs one of add, remove, list"),
        }
        for words, (code, line) in lines.items():
            said = self.fettle(*words, code=code)
            self.assertIn(line, said)
            self.assertEqual(said.count("\n"), 1, said)

    def test_a_poke_of_another_process_is_looked_at_now(self):
        repository = fettle.Repository(self.house, "app")
        first = repository.steps("true")
        self.house.worker()
        self.observer()
        self.fettle("repo", "add", "app", repository.path)
        self.assertEqual(self.house.verdict(first), "passed")
        for _ in range(3):
            commit = repository.steps("true")
            self.assertIn("looked at now", self.fettle("poke", "app"))
            self.assertEqual(self.house.verdict(commit), "passed")
        commit = repository.steps("true")
        self.fettle("poke")
        self.assertEqual(self.house.verdict(commit), "passed")

    def test_a_paused_repository_is_not_looked_at(self):
        repository = fettle.Repository(self.house, "app")
        first = repository.steps("true")
        self.house.worker()
        self.observer(interval="100ms")
        self.fettle("repo", "add", "app", repository.path)
        self.assertEqual(self.house.verdict(first), "passed")
        self.fettle("repo", "pause", "app")
        self.wait_state("app", "paused")
        self.assertIn("resume it first", self.fettle("poke", "app", code=2))
        # Its observer knows: it reports so, and looks at others.
        fettle.wait_until(
            lambda: any(
                row["state"] == "paused" for row in self.house.json("status")["repositories"]
            ),
            "the observer pauses",
        )
        second = repository.steps("true")
        other = fettle.Repository(self.house, "other")
        tip = other.steps("true")
        self.fettle("repo", "add", "other", other.path)
        self.assertEqual(self.house.verdict(tip), "passed")
        self.assertEqual(len(self.builds_of("app")), 1)
        self.fettle("repo", "resume", "app")
        self.assertEqual(self.house.verdict(second), "passed")

    def test_the_list_outlives_the_broker(self):
        repository = fettle.Repository(self.house, "app")
        first = repository.steps("true")
        self.house.worker()
        self.observer(interval="100ms")
        self.fettle("repo", "add", "app", repository.path, "--ref", "main,!old,tags/*:latest")
        self.assertEqual(self.house.verdict(first), "passed")
        self.house.stop(self.house.processes[0], signal.SIGKILL)
        self.house.broker()
        self.assertEqual(self.row("app")["rules"], ["main", "!old", "tags/*:latest"])
        commit = repository.steps("true")
        self.assertEqual(self.house.verdict(commit), "passed")

    def test_two_observers_and_one_is_killed(self):
        self.house.worker(slots=4)
        repositories = [fettle.Repository(self.house, f"r{number}") for number in range(6)]
        # Each with ids of its own: a verdict of one must not stand for another's.
        commits = [one.steps(f"true {number}") for number, one in enumerate(repositories)]
        observers = {name: self.observer(name, interval="200ms") for name in ("one", "two")}
        for number, repository in enumerate(repositories):
            self.fettle("repo", "add", f"r{number}", repository.path)
        for commit in commits:
            self.assertEqual(self.house.verdict(commit), "passed")

        def shared():
            rows = json.loads(self.fettle("repo", "list", "--json"))["repositories"]
            return {row["observer"] for row in rows} == {"one", "two"} and rows

        rows = fettle.wait_until(shared, "both watch something")
        self.house.stop(observers[rows[0]["observer"]], signal.SIGKILL)
        for repository in repositories:
            commits += repository.push_many(5)
        for commit in commits:
            self.assertEqual(self.house.verdict(commit), "passed")
        builds = self.house.json("builds", "--limit", "0")["builds"]
        self.assertEqual(sorted(row["commit"] for row in builds), sorted(commits))

    def test_settings_are_followed_on_a_signal(self):
        repositories = [fettle.Repository(self.house, name) for name in ("one", "two")]
        tips = [repository.steps("true") for repository in repositories]
        settings = self.house.path("fettle.conf")

        def write(*names):
            with open(settings, "w", encoding="utf-8") as file:
                for name in names:
                    file.write(f"[repository {name}]\nurl = {self.house.path(name)}\n")
                    file.write("refs = main, !old\ninterval = 100ms\n")

        write("one")
        self.house.worker()
        words = self.house.observer_words(interval=NEVER, flags=["--name", "eye"])
        observer = self.house.start("eye", words, {"FETTLE_CONFIG": settings})
        self.assertEqual(self.house.verdict(tips[0]), "passed")
        self.assertEqual(self.row("one")["declared_by"], "eye")
        self.assertEqual(self.row("one")["interval_ms"], 100)
        self.assertIn("settings of observer eye", self.fettle("repo", "remove", "one", code=2))
        write("two")
        observer.send_signal(signal.SIGHUP)
        self.assertEqual(self.house.verdict(tips[1]), "passed")
        self.assertIsNone(self.row("one"))
        with open(settings, "a", encoding="utf-8") as file:
            file.write("intervall = 1s\n")
        observer.send_signal(signal.SIGHUP)
        fettle.wait_until(
            lambda: "settings stay as they were" in self.house.log_of("eye"), "the error is told"
        )
        self.assertIn("fettle.conf:5: unknown setting 'intervall', did you mean 'interval'?",
                      self.house.log_of("eye"))  # fmt: skip
        self.assertIsNotNone(self.row("two"))

    def test_a_push_is_looked_at_by_the_hook(self):
        bare = self.house.path("bare.git")
        work = fettle.Repository(self.house, "work")
        work.git("init", "-q", "--bare", bare)
        first = work.steps("true")
        work.git("push", "-q", bare, "main")
        self.house.worker()
        self.observer()
        self.fettle("repo", "add", "app", bare)
        self.assertEqual(self.house.verdict(first), "passed")
        script = self.fettle("repo", "hook", "app")
        self.assertIn(" poke --broker ", script)
        hook = os.path.join(bare, "hooks", "post-receive")
        with open(hook, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n# theirs\n")
        self.assertIn("not ours", self.fettle("repo", "hook", "app", "--install", code=2))
        with open(hook, encoding="utf-8") as file:
            self.assertIn("theirs", file.read())
        os.unlink(hook)
        for _ in range(2):  # the second finds ours
            self.assertIn("installed", self.fettle("repo", "hook", "app", "--install"))
        self.assertTrue(os.stat(hook).st_mode & stat.S_IXUSR)
        commit = work.steps("true")
        work.git("push", "-q", bare, "main")
        self.assertEqual(self.house.verdict(commit), "passed")

    def test_a_failing_repository_says_why_and_when_again(self):
        self.observer(interval="100ms")
        self.fettle("repo", "add", "app", "/nowhere/at/all")
        self.wait_state("app", "failing")
        row = self.row("app")
        self.assertTrue(row["error"])
        self.assertGreater(row["next_ms"], 0)
        status = self.fettle("status")
        self.assertRegex(status, r"app +failing .*\(next try in ")

    def test_a_twin_is_told_to_take_another_name(self):
        self.observer()
        fettle.wait_until(lambda: "ready" in self.house.log_of("eye"), "the first is there")
        repository = fettle.Repository(self.house, "app")
        self.fettle("repo", "add", "app", repository.path)
        self.wait_state("app", "waiting")
        self.house.observer(name="twin", interval=NEVER, flags=["--name", "eye"])
        fettle.wait_until(
            lambda: "another observer is called 'eye'" in self.house.log_of("twin"), "it is told"
        )


if __name__ == "__main__":
    tap.main()
