"""What is beyond the broker's limits goes, by itself and when somebody asks; what is needed stays."""

import os
import signal

import fettle
import tap

SUM = "builds jobs logs artifacts bytes dry_run limited next".split()


class Collecting(fettle.Case):
    def build_some(self, count=4, name="sample", files=None):
        """Commits one after the other; each has its verdict."""
        repository = fettle.Repository(self.house, name)
        self.house.worker()
        self.house.observer(repository, name=f"observer-{name}")
        commits = []
        for number in range(count):
            commits.append(repository.steps("echo working", message=f"number {number}"))
            self.assertEqual(self.house.verdict(commits[-1]), "passed")
        return repository, commits

    def collect(self, *words):
        result = self.house.json("gc", *words)
        self.assertEqual(list(result), SUM)
        return result

    def kept(self, *words):
        return len(self.house.json("builds", "--limit", "0", *words)["builds"])

    def has_log(self, number):
        return os.path.exists(os.path.join(self.house.broker_folder, "logs", f"{number}.1.log"))

    def has_result(self, commit):
        return os.path.exists(os.path.join(self.house.broker_folder, "results", commit))

    def test_without_a_limit_nothing_goes(self):
        self.house.broker()
        self.build_some(2)
        result = self.collect()
        self.assertEqual((result["builds"], result["limited"]), (0, False))
        self.assertIn("keeps all builds", self.house.cli("gc").stdout)
        self.assertEqual(self.kept(), 2)

    def test_what_is_beyond_the_limit_goes_when_somebody_asks(self):
        self.house.broker("--keep-builds", "2")
        _, commits = self.build_some(5)
        fettle.wait_until(lambda: self.has_result(commits[2]), "its result is written")
        dry = self.collect("--dry-run")
        self.assertGreaterEqual(dry["builds"], 2)
        self.assertEqual((dry["dry_run"], self.kept()), (True, 5))
        self.assertRegex(self.house.cli("gc", "--dry-run").stdout, r"^would remove \d builds, ")

        def is_done():
            self.collect()
            return self.kept() == 2

        # The result file of each is on disk before its build goes; an idle broker is in no hurry.
        fettle.wait_until(is_done, "three builds go")
        fettle.wait_until(lambda: not self.has_log(3), "their logs go")
        for number, commit in enumerate(commits, 1):
            kept = number > 3
            self.assertEqual((self.has_log(number), self.has_result(commit)), (kept, kept))
            self.assertEqual(self.house.cli("show", commit).returncode, 0 if kept else 4)
            self.assertEqual(self.house.cli("log", commit).returncode, 0 if kept else 4)
        self.assertEqual(self.house.cli("gc").stdout, "nothing to remove\n")

    def test_a_broker_collects_by_itself_and_goes_on_after_a_kill(self):
        broker = self.house.broker()
        repository, commits = self.build_some(4)
        fettle.wait_until(lambda: self.has_result(commits[2]), "its result is written")
        for _ in range(2):  # the second finds what the first left
            self.house.stop(broker, signal.SIGKILL)
            broker = self.house.broker("--keep-age", "1ms")
        fettle.wait_until(lambda: self.kept() == 1, "only the newest stays")
        fettle.wait_until(lambda: not self.has_log(1), "files go")
        self.assertTrue(self.has_log(4))
        # The ref is set back, and forward again: what was tested is not tested again.
        repository.git("reset", "--quiet", "--hard", commits[0])
        self.assertEqual(self.house.verdict(repository.steps("true", message="back")), "passed")
        repository.git("reset", "--quiet", "--hard", commits[2])
        self.assertEqual(self.house.verdict(repository.steps("true", message="on")), "passed")
        for commit in commits[:3]:
            self.assertEqual(self.house.cli("show", commit).returncode, 4)
        self.assertEqual(self.house.end_all(), [])
        self.assertIn("collected builds=3", self.house.log_of("broker"))

    def test_a_limit_that_is_set_while_the_broker_works_is_gone_by_at_once(self):
        config = self.house.path("fettle.conf")
        open(config, "x", encoding="utf-8").close()
        words = self.house.broker_words()
        broker = self.house.start("broker", words, {"FETTLE_CONFIG": config})
        _, commits = self.build_some(3)
        fettle.wait_until(lambda: self.has_result(commits[1]), "its result is written")
        for limit, kept in (("keep-repository = sample=/2", 2), ("keep-builds = 1", 1)):
            with open(config, "w", encoding="utf-8") as file:
                file.write(f"[broker]\n{limit}\n")
            broker.send_signal(signal.SIGHUP)
            fettle.wait_until(lambda kept=kept: self.kept() == kept, f"{kept} stay")
        self.assertNotIn("a restart takes it over", self.house.log_of("broker"))

    def test_a_repository_has_a_rule_of_its_own(self):
        self.house.broker("--keep-builds", "1", "--keep-repository", "app=/3")
        _, _ = self.build_some(3, "sample")
        app = fettle.Repository(self.house, "app")
        self.house.observer(app, name="observer-app")
        for number in range(4):
            commit = app.steps("echo working", message=f"app {number}")  # no commit of sample
            self.assertEqual(self.house.verdict(commit), "passed")

        def is_done():
            self.collect()
            return (self.kept("--repository", "sample"), self.kept("--repository", "app")) == (1, 3)

        fettle.wait_until(is_done, "each by its rule")

    def test_rules_that_make_no_sense_are_refused(self):
        words = self.house.broker_words("--keep-repository", "app")
        done = self.house.run(words)
        self.assertEqual(done.returncode, 2)
        self.assertIn("NAME=AGE/BUILDS", done.stderr)


if __name__ == "__main__":
    tap.main()
