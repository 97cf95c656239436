"""What a service manager hears from the daemons: ready, alive, stopping. The manager is a socket of
the test's own that speaks sd_notify(3)."""

import os
import signal
import socket
import time

import tap
from fettle import PATIENCE, Case, Repository, wait_until

INTERVAL_US = 300_000  # of the watchdog: a daemon speaks three times in it


class Manager:
    """Hears one program."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(PATIENCE)

    def environment(self, watchdog=True):
        found = {"NOTIFY_SOCKET": self.path}
        return found | ({"WATCHDOG_USEC": str(INTERVAL_US)} if watchdog else {})

    def word(self):
        """The next one, as a table."""
        text = self.socket.recv(4096).decode()
        return dict(line.split("=", 1) for line in text.splitlines())

    def forget(self):
        """What was said until now."""
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(4096)
        except BlockingIOError:
            self.socket.settimeout(PATIENCE)

    def says(self, what):
        """The first word that holds all of this."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            word = self.word()
            if all(part in word.get(key, "") for key, part in what.items()):
                return word
        raise AssertionError(f"the manager did not hear {what}")

    def close(self):
        self.socket.close()


class Service(Case):
    def hear(self, name):
        manager = Manager(self.house.path(f"{name}.notify"))
        self.addCleanup(manager.close)
        return manager

    def start_all(self):
        """Broker, worker and observer, each with a manager."""
        house, managers = self.house, {}
        repository = Repository(house)
        commit = repository.steps("true")
        words = {
            "broker": house.broker_words(),
            "worker": house.worker_words("one"),
            "observer": house.observer_words(repository),
        }
        self.processes = {}
        for name, line in words.items():
            managers[name] = self.hear(name)
            process = house.start(name, line, managers[name].environment())
            self.processes[name] = process
            managers[name].says({"READY": "1"})
        house.wait(commit)
        return managers

    def test_each_daemon_says_that_it_is_ready_alive_and_what_it_does(self):
        managers = self.start_all()
        managers["broker"].says({"WATCHDOG": "1", "STATUS": "serving: 0 jobs wait, 0 run, 1 fin"})
        managers["worker"].says({"WATCHDOG": "1", "STATUS": ": 0 of 1 slots busy"})
        managers["observer"].says({"WATCHDOG": "1", "STATUS": "watching 1 repositor"})

    def test_the_watchdog_hears_each_third_of_its_time(self):
        managers = self.start_all()
        for manager in managers.values():
            manager.forget()
            begin = time.monotonic()
            for _ in range(7):
                self.assertEqual(manager.word()["WATCHDOG"], "1")
            # Slower only by what the machine is slower; a word a turn would be much faster.
            self.assertGreater(time.monotonic() - begin, 6 * INTERVAL_US / 3e6 * 0.5)

    def test_a_loop_that_stands_still_says_nothing(self):
        managers = self.start_all()
        for name, process in self.processes.items():
            process.send_signal(signal.SIGSTOP)
            managers[name].forget()
            managers[name].socket.settimeout(INTERVAL_US / 1e6)
            with self.assertRaises(TimeoutError):
                managers[name].word()
            managers[name].socket.settimeout(PATIENCE)
            process.send_signal(signal.SIGCONT)
            managers[name].says({"WATCHDOG": "1"})

    def test_a_stop_is_told(self):
        managers = self.start_all()
        for name in ("observer", "worker", "broker"):
            self.processes[name].send_signal(signal.SIGTERM)
            managers[name].says({"STOPPING": "1"})
            self.assertEqual(self.processes[name].wait(PATIENCE), 0)

    def test_a_manager_that_went_away_harms_nobody(self):
        managers = self.start_all()
        for manager in managers.values():
            manager.close()
            os.unlink(manager.path)
        repository = Repository(self.house, "other")
        commit = repository.steps("echo on")
        self.house.observer(repository, name="second")
        self.assertEqual(self.house.verdict(commit), "passed")
        for process in self.processes.values():
            self.assertIsNone(process.poll())

    def test_a_job_cannot_speak_for_its_worker(self):
        repository = Repository(self.house)
        commit = repository.steps("env", "! env | grep -q -e NOTIFY_SOCKET -e WATCHDOG")
        self.house.broker()
        manager = self.hear("worker")
        self.house.start("worker", self.house.worker_words("one"), manager.environment())
        self.house.observer(repository)
        self.assertEqual(self.house.verdict(commit), "passed")


if __name__ == "__main__":
    tap.main()
