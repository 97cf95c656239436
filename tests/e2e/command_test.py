"""The fettle command: exit codes, help, and JSON whose keys stay."""

import datetime
import json
import os
import signal
import subprocess

import tap
from fettle import Case, Repository, program, wait_until

VERBS = """up status queue workers builds show log tests artifacts wait why cancel rerun drain pause
resume gc backup lint version""".split()

BUILD = """build repository ref commit run author subject outcome reason accepted_at finished_at
jobs unfinished""".split()
ATTEMPT = "attempt worker offered_at ended_at end log_size".split()
JOB = """job name state build repository ref commit labels attempt worker outcome reason exit_code
queued_at started_at finished_at duration_ms tests tests_failed tests_skipped artifacts
allow_failure priority origin attempts""".split()
WORKER = "name state host version labels slots busy silent_ms drained_by".split()
STATUS = """version state now uptime_ms store store_size disk_free queued leased oldest_ms accepted
finished blocked lost_leases refused workers slots busy events outcomes paused_by paused depth
repositories min_free suspended suspensions depth_rows repositories_rows""".split()
WATCHED = "repository url observer state error refs polled_at retry_ms next_ms".split()
DEPTH = "labels repository queued oldest_ms reason priority code".split()


class Command(Case):
    def fettle(self, *words, seconds=None, environment=None):
        return self.house.run([program("fettle"), *words], seconds, environment)

    def test_help_names_every_verb(self):
        for words in ([], ["--help"], ["-h"], ["help"]):
            done = self.fettle(*words)
            self.assertEqual(done.returncode, 0)
            for verb in VERBS:
                self.assertRegex(done.stdout, rf"(?m)^  {verb} +[A-Z]")

    def test_every_verb_has_help(self):
        for verb in VERBS:
            done = self.fettle(verb, "--help")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, rf"^Usage: fettle {verb} ")
            self.assertIn("--json", done.stdout)
            self.assertEqual(self.fettle("help", verb).stdout, done.stdout)

    def test_verbs_of_two_words_have_help_together(self):
        for word, verb in (("keys", "keys allow"), ("repo", "repo add")):
            done = self.fettle(word, "--help")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, rf"(?m)^  {verb} +[A-Z]")
            self.assertNotIn("status", done.stdout)
            self.assertEqual(self.fettle("help", word).stdout, done.stdout)
        self.assertEqual(self.fettle("nonsense", "--help").returncode, 2)

    def test_unknown_words(self):
        rows = [
            (["stauts"], "unknown command 'stauts', did you mean 'status'"),
            (["xyzzyx"], "unknown command 'xyzzyx'"),
            (["builds", "--limt", "3"], "unknown flag '--limt', did you mean '--limit'"),
            (["builds", "--limit", "many"], "whole number"),
            (["status", "extra"], "no arguments"),
            (["show"], "needs COMMIT"),
            (["show", "abcd", "dcba"], "one too many"),
            (["show", "HEAD"], "not a commit"),
            (["status", "--broker", "a b"], "address"),
            (["status", "--timeout", "soon"], "duration"),
            (["up", "--policy", "some"], "every or latest"),
        ]
        for words, text in rows:
            done = self.fettle(*words)
            self.assertEqual(done.returncode, 2, (words, done.stderr))
            self.assert_line(done.stderr, "^fettle.*" + text)
            self.assertEqual(done.stdout, "")

    def test_no_broker(self):
        for verb in (["status"], ["builds"], ["show", "abcd"], ["log", "abcd"]):
            done = self.fettle(*verb, "--timeout", "200ms")
            self.assertEqual(done.returncode, 3)
            self.assert_line(done.stderr, "^fettle: no broker answers at ipc:")

    def test_settings_of_the_environment_and_a_file(self):
        environment = {"FETTLE_BROKER": "ipc:/nowhere", "FETTLE_TIMEOUT": "0.1s"}
        done = self.fettle("status", environment=environment)
        self.assertIn("ipc:/nowhere", done.stderr)
        config = self.house.path("config")
        os.makedirs(os.path.join(config, "fettle"))
        path = os.path.join(config, "fettle", "fettle.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write("[client]\nbroker = ipc:/elsewhere\n")
        environment = {"XDG_CONFIG_HOME": config, "FETTLE_ATTEMPT": "7"}
        done = self.fettle("log", "abcd", "--timeout", "100ms", environment=environment)
        self.assertIn("ipc:/elsewhere", done.stderr)
        with open(path, "a", encoding="utf-8") as file:
            file.write("brocker = here\n")
        done = self.fettle("status", environment={"XDG_CONFIG_HOME": config})
        self.assertEqual(done.returncode, 2)
        self.assert_line(done.stderr, r"fettle\.conf:3: unknown setting 'brocker'.*'broker'")

    def test_a_brokers_own_folder_is_a_state_folder_too(self):
        self.house.broker()
        state = ["--state", self.house.broker_folder]
        self.assertEqual(self.fettle("status", *state).returncode, 0)
        self.assertEqual(self.fettle("keys", "new", *state).returncode, 0)
        self.assertTrue(os.path.exists(os.path.join(self.house.broker_folder, "keys/server")))

    def test_status_says_what_it_does_not_show(self):
        repositories = [Repository(self.house, name) for name in ("one", "two")]
        for repository in repositories:
            repository.steps("true")
        self.house.broker()
        self.house.observer(*repositories)

        def all_there():
            status = self.house.json("status")
            return status["depth_rows"] == status["repositories_rows"] == 2

        wait_until(all_there, "both wait, and are reported")
        said = self.house.cli("status", "--limit", "1").stdout
        self.assertIn("\nand 1 more: fettle status --limit 1000, or fettle queue --limit 0\n", said)
        self.assertIn("\nand 1 more: fettle repo list\n", said)
        self.assertNotIn(" more", self.house.cli("status").stdout)
        cut = self.house.json("status", "--limit", "1")
        self.assertEqual([len(cut["depth"]), len(cut["repositories"])], [1, 1])

    def test_version(self):
        self.assertRegex(self.fettle("version").stdout, r"^fettle \d+\.\d+\.\d+")
        version = json.loads(self.fettle("version", "--json").stdout)
        self.assertEqual(list(version), ["version", "protocol"])

    def test_an_empty_broker(self):
        self.house.broker()
        for verb, key in (("queue", "jobs"), ("workers", "workers"), ("builds", "builds")):
            self.assertEqual(self.house.json(verb), {key: []})
            done = self.house.cli(verb)
            self.assertEqual((done.returncode, done.stdout), (0, ""))
        for verb in ("show", "log", "tests", "artifacts", "wait"):
            done = self.house.cli(verb, "abcdef")
            self.assertEqual(done.returncode, 4, done.stderr)
            self.assert_line(done.stderr, "^fettle: .*abcdef")
        done = self.house.cli("wait", "abcdef", "--timeout", "300ms")
        self.assertEqual(done.returncode, 124, done.stderr)

    def is_time(self, text):
        datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
        return True

    def test_json_keys_stay(self):
        repository = Repository(self.house)
        commit = repository.steps("true", message='a "quoted" \x1b[31msubject\x1b[0m')
        self.house.broker()
        self.house.worker(labels=["b", "a"])
        self.house.observer(repository)
        self.house.wait(commit)
        build = self.house.json("builds")["builds"][0]
        self.assertEqual(list(build), BUILD)
        self.assertEqual((build["commit"], build["outcome"]), (commit, "passed"))
        self.assertIsNone(build["reason"])
        self.assertTrue(self.is_time(build["accepted_at"]) and self.is_time(build["finished_at"]))
        detail = self.house.json("show", commit[:8])["builds"][0]
        self.assertEqual(list(detail), ["build", "jobs"])
        self.assertEqual(list(detail["jobs"][0]), JOB)
        self.assertEqual(list(detail["jobs"][0]["attempts"][0]), ATTEMPT)
        worker = self.house.json("workers")["workers"][0]
        self.assertEqual(list(worker), WORKER)
        labels = [one for one in worker["labels"] if not one.startswith("containment.")]
        self.assertEqual(sorted(labels), ["a", "b"])
        self.assertLess(len(labels), len(worker["labels"]))
        status = self.house.json("status")
        self.assertEqual(list(status), STATUS)
        self.assertEqual((status["depth"], status["state"]), ([], "ok"))
        self.assertTrue(self.is_time(status["now"]))
        wait_until(lambda: self.house.json("status")["repositories"], "the observer reports")
        self.assertEqual(list(self.house.json("status")["repositories"][0]), WATCHED)
        self.assertEqual(list(self.house.json("wait", commit)), ["commit", "outcome", "builds"])
        log = self.house.json("log", commit)
        self.assertEqual((log["ended"], log["outcome"]), (True, "passed"))

    def test_waiting_jobs_as_json(self):
        repository = Repository(self.house)
        commit = repository.steps("true")
        self.house.broker()
        self.house.observer(repository)
        wait_until(lambda: self.house.only_job(commit), "the commit is accepted")
        job = self.house.json("queue")["jobs"][0]
        self.assertEqual(list(job), JOB)
        self.assertEqual((job["state"], job["worker"], job["attempts"]), ("queued", None, []))
        self.assertEqual(list(self.house.json("status")["depth"][0]), DEPTH)

    def test_text_from_outside_does_not_reach_the_terminal(self):
        repository = Repository(self.house)
        commit = repository.steps("true", message="sub\x1b[31mject\x07")
        self.house.broker()
        self.house.worker()
        self.house.observer(repository)
        self.house.wait(commit)
        for words in (["builds"], ["show", commit], ["queue"], ["status"], ["workers"]):
            done = self.house.cli(*words)
            self.assertEqual(done.returncode, 0)
            self.assertFalse(set("\x1b\x07") & set(done.stdout), done.stdout)
        self.assertIn("sub?[31mject?", self.house.cli("builds").stdout)

    def test_a_reader_that_stops_reading_is_no_error(self):
        repository = Repository(self.house)
        repository.steps("true")
        self.house.broker()
        self.house.observer(repository)
        wait_until(lambda: self.house.json("builds")["builds"], "a build is there")
        line = f"{program('fettle')} builds --broker ipc:{self.house.broker_folder} | head -c 1"
        done = self.house.run(["sh", "-c", line])
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_ctrl_c_ends_a_wait(self):
        repository = Repository(self.house)
        commit = repository.steps("true")
        self.house.broker()
        self.house.observer(repository)
        wait_until(lambda: self.house.only_job(commit), "the commit is accepted")
        waiter = subprocess.Popen(
            [program("fettle"), "wait", commit, "--broker", f"ipc:{self.house.broker_folder}"],
            env=self.house.environment,
            stderr=subprocess.PIPE,
        )
        blocked = 1 << (signal.SIGINT - 1)

        def is_ready():
            with open(f"/proc/{waiter.pid}/status", encoding="utf-8") as file:
                rows = dict(row.split(":\t", 1) for row in file if ":\t" in row)
            return int(rows["SigBlk"], 16) & blocked

        wait_until(is_ready, "it takes signals")
        waiter.send_signal(signal.SIGINT)
        _, words = waiter.communicate(timeout=30)
        self.assertEqual((waiter.returncode, words), (130, b""))


if __name__ == "__main__":
    tap.main()
