"""SIGHUP: settings are read again, and what can change under way does."""

import json
import signal

import tap
from fettle import Case, Repository, wait_until


class Reload(Case):
    def write(self, text):
        path = self.house.path("fettle.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return {"FETTLE_CONFIG": path}

    def hang_up(self, process, name, *lines):
        """All of these lines are said after the signal."""
        before = self.house.log_of(name).count(lines[-1])
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.house.log_of(name).count(lines[-1]) > before, lines[-1])
        for line in lines:
            self.assertIn(line, self.house.log_of(name))

    def test_a_broker_takes_a_limit_over_and_says_what_needs_a_restart(self):
        config = self.write("")
        broker = self.house.start("broker", self.house.broker_words(), config)
        repository = Repository(self.house)
        first = repository.steps("true")
        self.house.observer(repository)
        wait_until(lambda: self.house.only_job(first), "the commit is accepted")
        self.write("[broker]\nqueue-max = 1\nheartbeat = 2s\n")
        self.hang_up(
            broker,
            "broker",
            "info: setting changed name=queue-max",
            "warn: setting changed, a restart takes it over name=heartbeat",
            "info: settings read again",
        )
        self.assertEqual(self.status(), "queue_full")
        self.write("[broker]\nqueue-max = none\n")
        self.hang_up(broker, "broker", "error: settings stay as they were")
        self.assertEqual(self.status(), "queue_full")
        self.write("")
        self.hang_up(broker, "broker", "info: settings read again")
        self.assertEqual(self.status(), "ok")

    def status(self):
        return json.loads(self.house.cli("status", "--json").stdout)["state"]

    def test_a_worker_goes_by_its_new_settings_with_the_next_job(self):
        config, gate = self.write(""), self.house.gate()
        self.house.broker()
        worker = self.house.start("worker", self.house.worker_words("one"), config)
        repository = Repository(self.house)
        before = repository.steps("echo working", f"until [ -e {gate} ]; do sleep 0.05; done")
        self.house.observer(repository)
        self.house.wait_running(before)
        self.write("[worker]\njob-timeout = 1s\n")
        self.hang_up(worker, "worker", "setting changed name=job-timeout", "settings read again")
        after = repository.steps("sleep 600")
        self.house.open_gate()  # the job that runs goes by what held when it began
        self.assertEqual(self.house.verdict(before), "passed")
        self.assertEqual(self.house.verdict(after), "timed_out")


if __name__ == "__main__":
    tap.main()
