"""The daemons at work with the filters of system calls that their units give them."""

import os
import re
import shutil
import signal
import sys
import unittest

import tap
from fettle import Case, Repository, is_sanitized

HERE = os.path.dirname(os.path.abspath(__file__))
UNITS = os.path.join(HERE, "..", "..", "etc", "systemd")


def filtered(unit, words):
    path = os.path.join(UNITS, f"{unit}.service.in")
    return [sys.executable, "-B", os.path.join(HERE, "filtered.py"), path, *words]


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not installed")
@unittest.skipIf(is_sanitized(), "sanitizers make system calls of their own")
class Units(Case):
    def start(self, unit, words):
        return self.house.start(unit, filtered(unit, words))

    def test_only_these_units_have_a_filter(self):
        having = set()
        for name in os.listdir(UNITS):
            with open(os.path.join(UNITS, name), encoding="utf-8") as file:
                if re.search(r"^SystemCallFilter=", file.read(), re.MULTILINE):
                    having.add(name)
        self.assertEqual(having, {"fettle-broker.service.in", "fettle-observer.service.in"})

    def test_a_commit_gets_its_verdict(self):
        house = self.house
        repository = Repository(house)
        first = repository.steps("true")
        broker = self.start("fettle-broker", house.broker_words())
        observer = self.start("fettle-observer", house.observer_words(repository))
        house.worker()
        self.assertEqual(house.verdict(first), "passed")
        self.assertEqual(house.verdict(repository.steps("exit 3")), "failed")
        for process in (observer, broker):
            house.stop(process, signal.SIGTERM)
            self.assertEqual(process.returncode, 0)
        for name in ("fettle-broker", "fettle-observer"):
            self.assertNotIn("not permitted", house.log_of(name))

    def test_a_filter_is_one(self):
        """Without the line that allows it again no socket can be made."""
        with open(os.path.join(UNITS, "fettle-broker.service.in"), encoding="utf-8") as file:
            unit = file.read().replace("SystemCallFilter=sched_setscheduler\n", "")
        with open(self.house.path("strict.service.in"), "w", encoding="utf-8") as file:
            file.write(unit)
        words = filtered(self.house.path("strict"), self.house.broker_words())
        done = self.house.run(words)
        self.assertEqual(done.returncode, -signal.SIGABRT)
        self.assertIn("not permitted", done.stderr)


if __name__ == "__main__":
    tap.main()
