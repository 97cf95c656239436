"""Keys: who comes in over TCP, as what, and for how long. Real programs on loopback."""

import glob
import json
import os
import re
import signal
import subprocess

import tap
from fettle import Case, Repository, free_ports, program, wait_until


class Keys(Case):
    def setUp(self):
        super().setUp()
        self.address = f"127.0.0.1:{free_ports()}"
        self.here = f"ipc:{self.house.broker_folder}"
        self.table = self.house.path("broker", "keys", "allowed")
        os.umask(0o022)

    def keys(self, *words, code=0, stdin=""):
        done = subprocess.run(
            [program("fettle"), *words, "--broker", self.here],
            input=stdin,
            capture_output=True,
            env=self.house.environment,
            cwd=self.house.folder,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def serve(self, heartbeat="200ms"):
        """A broker that has a key."""
        self.server_key = self.keys("keys", "new").stdout.strip()
        return self.house.broker("--heartbeat", heartbeat, listen=self.address)

    def invite(self, role, name, *flags):
        """The key file of a new peer, as its machine would have it."""
        line = self.keys("invite", role, name, "--address", self.address, *flags).stdout
        letter = re.fullmatch(r"echo (fettle-invite:\S+) \| fettle keys accept\n", line)[1]
        path = self.house.path(f"{role}-{name}.key")
        said = self.keys("keys", "accept", path, stdin=letter + "\n").stdout
        self.assertIn(f"--broker {self.address}", said)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        return path

    def part(self, path, word):
        with open(path, encoding="utf-8") as file:
            return re.search(rf"^{word} (\S+)$", file.read(), re.MULTILINE)[1]

    def settle(self, what, *names):
        """The broker has read the table."""
        for name in names or ("broker",):
            wait_until(lambda: what in self.house.log_of(name), what)

    def revoke(self, word):
        before = self.house.log_of("broker").count("keys read")
        self.keys("keys", "revoke", word)
        wait_until(lambda: self.house.log_of("broker").count("keys read") > before, "it is read")

    def worker(self, name, key, *flags):
        return self.house.worker(name, "--key", key, *flags, broker=self.address)

    def observer(self, name, key, *repositories):
        words = self.house.observer_words(*repositories, name=name)
        words[words.index("--broker") + 1] = self.address
        words[1:1] = ["--key", key]
        return self.house.start(name, words)

    def ask(self, key, *words, seconds=None):
        """A verb over TCP."""
        flags = ["--key", key] if key else []
        return self.house.cli(*words, *flags, broker=self.address, seconds=seconds)

    def assert_refused(self, done, pattern, code=2):
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assert_line(done.stderr, pattern)
        self.assertEqual(done.stdout, "")

    # ---- what works -------------------------------------------------------------------------

    def test_with_keys_a_commit_goes_to_its_verdict_over_tcp(self):
        self.serve()
        reader = self.invite("reader", "eve")
        self.settle("allowed=1")
        watch = [program("fettle"), "watch", "--broker", self.address, "--key", reader]
        watcher = self.house.start("watch", watch)
        self.worker("one", self.invite("worker", "one"))
        repository = Repository(self.house)
        self.observer("observer", self.invite("observer", "observer"), repository)
        commit = repository.steps("echo working")
        done = self.ask(reader, "wait", commit, "--timeout", "60s", seconds=90)
        self.assertEqual(done.returncode, 0, done.stderr + self.house.all_logs())
        self.assertIn("working", self.ask(reader, "log", commit).stdout)
        wait_until(lambda: commit[:10] in self.house.log_of("watch"), "the event was heard")
        admin = self.invite("admin", "ada")
        self.settle("allowed=4")
        self.assertEqual(self.ask(admin, "pause").returncode, 0)
        self.assertRegex(self.house.log_of("broker"), r"paused by \S+, key ada")
        self.find_no_secret()
        self.house.stop(watcher)

    def find_no_secret(self):
        """Neither in what was said, nor in an argument or the environment of a program."""
        secrets = [self.part(path, "secret") for path in glob.glob(self.house.path("*.key"))]
        secrets.append(self.part(self.house.path("broker", "keys", "server"), "secret"))
        self.assertEqual(len(secrets), 5)
        said = self.house.all_logs()
        for process in self.house.processes:
            for name in ("cmdline", "environ"):
                with open(f"/proc/{process.pid}/{name}", encoding="utf-8") as file:
                    said += file.read()
            with open(f"/proc/{process.pid}/limits", encoding="utf-8") as file:
                self.assertRegex(file.read(), r"Max core file size +[01] ")
        for secret in secrets:
            self.assertNotIn(secret, said)

    def test_a_worker_that_was_refused_comes_in_once_its_key_is_allowed(self):
        self.serve()
        path = self.house.path("late.key")
        self.keys("keys", "new", path, "--server", self.server_key)
        self.worker("late", path)
        self.settle("refuses this key", "worker-late")
        self.keys("keys", "allow", "worker", "late", self.part(path, "public"))
        wait_until(lambda: self.house.worker_is_there("late"), "it is there")

    def test_a_name_has_two_keys_while_it_changes_from_one_to_the_other(self):
        self.serve()
        old = self.invite("worker", "one")
        path = self.house.path("new.key")
        self.keys("keys", "new", path, "--server", self.server_key)
        self.keys("keys", "allow", "worker", "one", self.part(path, "public"))
        self.settle("allowed=2")
        self.worker("one", path)
        wait_until(lambda: self.house.worker_is_there("one"), "it is there")
        self.revoke(self.part(old, "public"))
        again = self.keys("keys", "list", "--json")
        self.assertEqual(
            [row["key"] for row in json.loads(again.stdout)["keys"]], [self.part(path, "public")]
        )
        repository = Repository(self.house)
        self.house.observer(repository)
        self.assertEqual(self.house.verdict(repository.steps("true")), "passed")

    def test_the_brokers_key_changes_under_clients_that_know_both(self):
        self.serve(heartbeat="1s")
        knows_old, knows_both = self.invite("reader", "old"), self.invite("reader", "both")
        worker = self.invite("worker", "one")
        following = self.keys("keys", "rotate").stdout.strip()
        for path in (knows_both, worker):
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"server {following}\n")
        self.settle("allowed=3")
        gate = self.house.gate()
        self.worker("one", worker)
        repository = Repository(self.house)
        commit = repository.steps("echo working", f"until [ -e {gate} ]; do sleep 0.05; done")
        self.house.observer(repository)
        self.house.wait_running(commit, "one")
        self.assertEqual(self.ask(knows_both, "status").returncode, 0)
        said = self.keys("keys", "rotate", "--finish").stderr
        self.assertIn("a broker that runs changes to it now", said)
        self.settle(f"the broker's key is another now server={following}")
        # Connections are cut, and who knows the key is back before its job is missed.
        wait_until(lambda: self.ask(knows_both, "status").returncode == 0, "it is let in")
        self.assert_refused(self.ask(knows_old, "status"), r"hangs up: is `server` in the key")
        self.house.open_gate()
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assertEqual(self.house.only_job(commit)["attempt"], 1)

    def test_a_broken_key_of_the_brokers_own_changes_nothing(self):
        self.serve()
        reader = self.invite("reader", "ada")
        self.settle("allowed=1")
        path = self.house.path("broker", "keys", "server")
        with open(path, "a", encoding="utf-8") as file:
            file.write("nonsense\n")
        self.settle("the broker's key stays as it was: ")
        self.assertEqual(self.ask(reader, "status").returncode, 0)

    # ---- what does not ----------------------------------------------------------------------

    def test_strangers_stay_outside_and_hear_why(self):
        self.serve()
        reader, path = self.invite("reader", "eve"), self.house.path("stranger.key")
        self.settle("allowed=1")
        self.keys("keys", "new", path, "--server", self.server_key)
        self.assert_refused(self.ask(path, "status"), r"the broker refuses this key")
        self.assert_refused(self.ask(None, "status"), r"the broker wants a key: --key FILE")
        wrong = self.house.path("wrong.key")
        self.keys("keys", "new", wrong, "--server", self.part(path, "public"))
        self.assert_refused(self.ask(wrong, "status"), r"hangs up: is `server` in the key file")
        self.house.worker("keyless", broker=self.address)
        self.settle("the broker wants a key", "worker-keyless")
        self.worker("stranger", path)
        self.settle("refuses this key", "worker-stranger")
        status = json.loads(self.ask(reader, "status", "--json").stdout)
        self.assertEqual(status["workers"], 0)
        wait_until(lambda: self.house.json("status")["refused"] >= 2, "they are counted")

    def test_a_key_enters_only_where_its_role_has_business(self):
        self.serve()
        worker, observer = self.invite("worker", "w"), self.invite("observer", "o")
        reader = self.invite("reader", "r")
        self.settle("allowed=3")
        self.assert_refused(self.ask(worker, "status"), r"refuses this key, or its role here")
        self.worker("o", observer)
        self.settle("refuses this key", "worker-o")
        repository = Repository(self.house)
        commit = repository.steps("true")
        self.observer("w", worker, repository)
        self.settle("refuses this key", "w")
        self.observer("r", reader, repository)
        self.settle("forbidden", "r")
        self.assertEqual(self.house.cli("show", commit).returncode, 4)
        self.assertFalse(self.house.worker_is_there("o"))

    def test_a_reader_changes_nothing(self):
        self.serve()
        reader = self.invite("reader", "eve")
        self.settle("allowed=1")
        for verb in ("queue", "workers", "builds", "status"):
            self.assertEqual(self.ask(reader, verb).returncode, 0, verb)
        for words in (
            ("pause",),
            ("resume",),
            ("drain", "one"),
            ("poke",),
            ("gc",),
            ("backup", "copy.db"),
            ("cancel", "abcd1234"),
            ("rerun", "abcd1234"),
        ):
            self.assert_refused(self.ask(reader, *words), r"a key of role reader may not ask for")
        self.assertEqual(self.house.json("status")["paused"], [])
        self.assertFalse(os.path.exists(self.house.path("copy.db")))

    def test_a_worker_has_the_name_of_its_key(self):
        self.serve()
        self.worker("two", self.invite("worker", "one"))
        self.settle("code=forbidden", "worker-two")
        self.assertIn("this key is of worker 'one', not of 'two'", self.house.log_of("worker-two"))
        self.assertFalse(self.house.worker_is_there("two"))

    def test_an_observer_has_the_repositories_of_its_key(self):
        self.serve()
        allowed, other = Repository(self.house, "allowed"), Repository(self.house, "other")
        good, bad = allowed.steps("true"), other.steps("false")
        key = self.invite("observer", "o", "--repository", "allowed")
        self.observer("o", key, allowed)
        wait_until(lambda: self.house.only_job(good), "the commit is accepted")
        second = self.invite("observer", "p", "--repository", "allowed")
        self.observer("p", second, other)
        self.settle("is not for repository 'other'", "p")
        self.assertEqual(self.house.cli("show", bad).returncode, 4)

    # ---- suspension -------------------------------------------------------------------------

    def suspend(self, key, pattern, *words):
        """Ask for what its role may not, as often as suspends it."""
        for _ in range(20):
            self.assert_refused(self.ask(key, *words), pattern)

    def lift(self, key, name):
        words = [program("fettle"), "keys", "lift", name, "--broker", self.address, "--key", key]
        return self.house.run(words)

    def test_a_key_that_is_refused_again_and_again_is_suspended(self):
        self.serve()
        eve, other = self.invite("reader", "eve"), self.invite("reader", "other")
        admin = self.invite("admin", "ada")
        self.settle("allowed=3")
        self.suspend(eve, r"may not ask for `pause`", "pause")
        again = r"suspended for another [\d.]+s: it was refused 20 times, .* may not ask for `pause`"
        self.assert_refused(self.ask(eve, "status"), again)
        self.settle('suspended reason="key of reader eve, for 1m: refused 20 times')
        self.assertIn("key of reader eve, for another", self.ask(other, "status").stdout)
        self.assertIn("# suspended for another", self.keys("keys", "list").stdout)
        listed = json.loads(self.keys("keys", "list", "--json").stdout)["keys"]
        rows = {row["name"]: row for row in listed}
        self.assertEqual(rows["other"]["suspended_ms"], 0)
        self.assertGreater(rows["eve"]["suspended_ms"], 0)
        self.assertIn("may not ask for `pause`", rows["eve"]["suspended_for"])
        self.assertRegex(self.ask(other, "doctor").stdout, r"failed +key +of reader eve is suspend")
        self.assertIn("\nfettle_keys_suspended 1\n", self.ask(other, "metrics").stdout)
        self.assert_refused(self.lift(other, "eve"), r"may not ask for `lift`")
        self.assertIn("may speak again", self.lift(admin, "eve").stdout)
        self.assertEqual(self.ask(eve, "status").returncode, 0)
        self.settle('lifted reason="key of reader eve, by ')
        self.assertIn("no key of 'eve'", self.lift(admin, "eve").stderr)
        self.assertIn("\nfettle_key_suspensions_total 1\n", self.ask(other, "metrics").stdout)

    def test_a_worker_that_knocks_at_the_admin_door_loses_its_session(self):
        self.serve()
        key = self.invite("worker", "one")
        self.worker("one", key)
        wait_until(lambda: self.house.worker_is_there("one"), "it is there")
        self.suspend(key, r"refuses this key, or its role here", "status")
        self.settle("has no business at the door `admin`")
        self.settle('left worker=one reason="its key is suspended"')
        self.settle("this key is suspended for another", "worker-one")
        self.assertFalse(self.house.worker_is_there("one"))
        self.revoke("one")
        self.keys("keys", "allow", "worker", "one", self.part(key, "public"))
        wait_until(lambda: self.house.worker_is_there("one"), "revoked and allowed, it is like new")

    # ---- repositories of workers ------------------------------------------------------------

    def rewrite(self, before, after):
        """The table, as an operator's editor would write it."""
        with open(self.table, encoding="utf-8") as file:
            content = file.read()
        self.assertIn(before, content)
        with open(self.table + ".new", "w", encoding="utf-8") as file:
            file.write(content.replace(before, after))
        os.chmod(self.table + ".new", 0o600)
        os.rename(self.table + ".new", self.table)

    def why(self, commit):
        return json.loads(self.house.cli("why", commit, "--json").stdout)["jobs"][0]

    def test_a_worker_has_the_repositories_of_its_key(self):
        broker = self.serve()
        app, other = Repository(self.house, "app"), Repository(self.house, "other")
        self.worker("one", self.invite("worker", "one", "--repository", "app,tools"))
        wait_until(lambda: self.house.worker_is_there("one"), "it is there")
        self.house.observer(app, other)
        waits, runs = other.steps("echo other"), app.steps("echo app")
        self.assertEqual(self.house.verdict(runs), "passed")
        wait_until(lambda: self.house.only_job(waits), "the commit is accepted")
        self.assertEqual(self.why(waits)["code"], "no_right")
        self.assertIn("for other repositories than other", self.why(waits)["reason"])
        doctor = self.house.cli("doctor").stdout
        self.assertRegex(doctor, r"failed +queue +1 jobs of other wait: the keys of all workers")
        before = self.house.log_of("broker").count("keys read")
        self.rewrite(" app,tools\n", " app,other\n")
        broker.send_signal(signal.SIGHUP)
        wait_until(lambda: self.house.log_of("broker").count("keys read") > before, "it is read")
        self.assertEqual(self.house.verdict(waits), "passed")
        self.rewrite(" app,other\n", " tools\n")
        wait_until(lambda: self.house.log_of("broker").count("keys read") > before + 1, "again")
        last = app.steps("echo again")
        wait_until(lambda: self.house.only_job(last), "the commit is accepted")
        wait_until(lambda: self.why(last)["code"] == "no_right", "it is not offered any more")

    def test_of_two_machines_with_one_key_the_second_stays_outside_and_hears_why(self):
        self.serve()
        gate = self.house.gate()
        key = self.invite("worker", "one")
        first = self.worker("one", key)
        repository = Repository(self.house)
        commit = repository.steps("echo working", f"until [ -e {gate} ]; do sleep 0.05; done")
        self.house.observer(repository)
        self.house.wait_running(commit, "one")
        words = self.house.worker_words("one", "--key", key, broker=self.address)
        words[words.index("--state") + 1] = self.house.path("other-machine")
        self.house.start("other-machine", words)
        self.settle("another worker of this name is connected", "other-machine")
        self.house.open_gate()
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assertEqual(self.house.only_job(commit)["attempt"], 1)
        self.assertNotIn("another worker of this name", self.house.log_of("worker-one"))
        # It goes on asking, and has the name once it is free.
        self.house.stop(first)
        self.settle(" info: connected ", "other-machine")
        self.assertEqual(self.house.verdict(repository.steps("true")), "passed")

    # ---- revocation -------------------------------------------------------------------------

    def test_a_revoked_worker_loses_its_job_to_another(self):
        self.serve()
        gate = self.house.gate()
        self.worker("one", self.invite("worker", "one"))
        repository = Repository(self.house)
        commit = repository.steps("echo working", f"until [ -e {gate} ]; do sleep 0.05; done")
        self.house.observer(repository)
        self.house.wait_running(commit, "one")
        two = self.invite("worker", "two")
        self.settle("allowed=2")
        self.revoke("one")
        self.worker("two", two)
        self.house.wait_running(commit, "two")
        self.settle('left worker=one reason="its key is not allowed any more"')
        self.house.open_gate()
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assertEqual(self.house.only_job(commit)["worker"], "two")
        self.settle("refuses this key", "worker-one")

    def test_a_revoked_reader_hears_no_more_events(self):
        self.serve()
        watches = {}
        keys = {name: self.invite("reader", name) for name in ("stays", "goes")}
        self.settle("allowed=2")
        for name, key in keys.items():
            words = [program("fettle"), "watch", "--broker", self.address, "--key", key]
            watches[name] = self.house.start(name, words)
        self.hear("pause", "stays", "goes")
        self.assertEqual(self.subscriptions(), 2)
        self.revoke("goes")
        wait_until(lambda: self.subscriptions() == 1, "one connection to the events is left")
        self.hear("resume", "stays")  # what was on its way has come by then
        before = self.house.log_of("goes")
        self.hear("pause", "stays")
        self.hear("resume", "stays")
        self.assertEqual(self.house.log_of("goes"), before)
        for watch in watches.values():
            self.house.stop(watch)

    def subscriptions(self):
        """Connections to the events door over TCP, as the kernel knows them."""
        port, count = int(self.address.rsplit(":", 1)[1]) + 3, 0
        for name in ("tcp", "tcp6"):
            with open(f"/proc/net/{name}", encoding="utf-8") as file:
                rows = [row.split() for row in file.readlines()[1:]]
            count += sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)
        return count

    def hear(self, verb, *names):
        """What happens is heard by these; subscriptions take a moment, so it happens again."""
        before = {name: self.house.log_of(name).count(f"{verb}d") for name in names}

        def heard():
            self.house.cli("pause" if verb == "resume" else "resume")
            self.house.cli(verb)
            return all(self.house.log_of(name).count(f"{verb}d") > before[name] for name in names)

        wait_until(heard, f"{verb} is heard by {names}")

    # ---- files ------------------------------------------------------------------------------

    def test_a_bad_table_is_refused_whole_and_the_old_one_stays(self):
        broker = self.serve()
        self.worker("one", self.invite("worker", "one"))
        wait_until(lambda: self.house.worker_is_there("one"), "it is there")
        with open(self.table, "a", encoding="utf-8") as file:
            file.write("worker two nonsense\n")
        self.settle(f"the keys stay as they were: {self.table}:2: not a public key")
        before = self.house.log_of("broker").count("the keys stay")
        broker.send_signal(signal.SIGHUP)
        wait_until(
            lambda: self.house.log_of("broker").count("the keys stay") > before, "it is read again"
        )
        repository = Repository(self.house)
        self.house.observer(repository)
        self.assertEqual(self.house.verdict(repository.steps("true")), "passed")
        self.keys("keys", "revoke", "one", code=2)
        self.house.stop(broker)
        done = self.house.run(self.house.broker_words(listen=self.address))
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"{self.table}:2: not a public key", done.stderr)

    def test_a_hook_shows_the_key_that_it_was_made_with(self):
        repository = Repository(self.house)
        self.serve()
        self.keys("keys", "new", "it's.key", "--server", self.server_key)
        self.house.cli_words(["repo", "add", "sample", repository.path])
        words = ["repo", "hook", "sample", "--key", "it's.key"]
        quoted = "'" + self.house.path("it'\\''s.key") + "'"
        self.assertIn(f" --key {quoted} ", self.house.cli_words(words).stdout)

    def test_key_files_of_others_are_not_read(self):
        self.serve()
        reader = self.invite("reader", "eve")
        os.chmod(reader, 0o640)
        done = self.ask(reader, "status")
        self.assert_refused(done, r"is open to others \(mode 0640\): chmod 600 it")
        os.chmod(reader, 0o600)
        if os.geteuid() == 0:
            os.chown(reader, 12345, 12345)
            done = self.ask(reader, "status")
            self.assert_refused(done, r"belongs to another user \(uid 12345\)")

    def test_beyond_loopback_only_with_keys(self):
        words = self.house.broker_words(listen=self.address.replace("127.0.0.1", "0.0.0.0"))
        done = self.house.run(words)
        self.assertEqual(done.returncode, 2)
        self.assertIn("would let others in without keys", done.stderr)
        self.keys("keys", "new")
        reader = self.invite("reader", "eve")
        self.house.start("broker", words)
        wait_until(self.house.answers, "the broker answers")
        self.assertEqual(self.ask(reader, "status").returncode, 0)

    def test_verbs_say_what_is_wrong(self):
        self.assertIn("has no key", self.keys("invite", "reader", "eve", code=4).stderr)
        self.keys("keys", "new")
        self.assertIn("is there already", self.keys("keys", "new", code=2).stderr)
        self.assertIn("no role 'king'", self.keys("invite", "king", "eve", code=2).stderr)
        self.assertIn("for observers", self.keys("invite", "reader", "r", "-r", "a", code=2).stderr)
        done = self.keys("keys", "allow", "reader", "e", "x", code=2)
        self.assertIn("not a public key", done.stderr)
        self.assertIn("no key of 'eve'", self.keys("keys", "revoke", "eve", code=4).stderr)
        self.assertIn("no key to change to", self.keys("keys", "rotate", "--finish", code=4).stderr)
        self.assertIn("no whole line", self.keys("keys", "accept", "f", stdin="x\n", code=2).stderr)
        self.assertFalse(os.path.exists(self.house.path("f")))
        self.here = "127.0.0.1"
        self.assertIn("files on the broker's machine", self.keys("keys", "list", code=2).stderr)


if __name__ == "__main__":
    tap.main()
