"""Records the good history that history_test.py edits: real programs, some of them killed.
Usage: record.py BUILD >good.json   (again when a format that the checker reads has changed)"""

import json
import os
import re
import signal
import socket
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from fettle import House, Repository, wait_until

# Lines that the checker does not read.
NOISE = re.compile(r"debug: (\w+ (peer=\w+ )?(heartbeat|request|reply|ready|event|started) "
                   r"|effect|save|publish|send|offer)")
HOST = f"host={socket.gethostname()}"
COUNTED = "for i in 1 2 3; do echo main line $i of 3; done"


class Recording:
    def __init__(self):
        self.house = House()
        self.every = Repository(self.house, "every")
        self.latest = Repository(self.house, "latest")
        self.expected = {}
        self.shown = []

    def broker(self):
        flags = ["--heartbeat", "200ms", "--restart-grace", "2s", "--log-level", "debug"]
        return self.house.broker(*flags)

    def worker(self, name):
        return self.house.worker(name, "--log-level", "debug")

    def observer(self, name, repository, *flags):
        flags = ("--log-level", "debug", "--name", name, *flags)
        return self.house.observer(repository, flags=flags, name=name)

    def show(self, *words):
        self.shown.append(self.house.cli(*words, "--json").stdout)

    def commit(self, repository, outcome, *steps):
        commit = repository.steps(*steps, message=f"ends {outcome}")
        self.expected[commit] = outcome
        return commit

    def leased(self, commit):
        job = self.house.only_job(commit)
        return job and job["state"] == "leased"

    def run(self):
        """A pass, a fail, a job that is lost by three workers, one that a killed broker does not
        lose, a branch that is rewritten and deleted, commits that are superseded."""
        house, every = self.house, self.every
        broker, one = self.broker(), self.worker("one")
        self.observer("observer-every", every)
        house.wait(self.commit(every, "passed", COUNTED))
        failed = self.commit(every, "failed", COUNTED, "exit 3")
        house.wait(failed)
        gate = house.path("gate")
        wait = "until [ -e ../../../../gate ]; do sleep 0.05; done"
        lost = self.commit(every, "passed", wait)
        for number in range(3):
            wait_until(lambda: self.leased(lost), "the job runs")
            house.stop(one, signal.SIGKILL)
            wait_until(lambda: not self.leased(lost), "the job is lost")
            self.show("show", lost)
            if number < 2:
                one = self.worker("one")
        two = self.worker("two")
        kept = self.commit(every, "passed", COUNTED, wait, "echo late")
        wait_until(lambda: self.leased(kept), "the job runs")
        self.show("queue")
        house.stop(broker, signal.SIGKILL)
        self.broker()
        open(gate, "w", encoding="utf-8").close()
        house.wait(kept)
        self.rewrite()
        self.supersede()
        for words in (["builds"], ["status"], ["show", kept], ["show", failed]):
            self.show(*words)
        self.worker("one")
        wait_until(lambda: house.worker_is_there("one"), "worker one is back")
        assert two.poll() is None

    def rewrite(self):
        every = self.every
        every.git("reset", "-q", "--hard", "HEAD~1")
        self.house.wait(self.commit(every, "passed", "echo rewritten"))
        every.git("branch", "side", "HEAD~1")
        every.git("checkout", "-q", "side")
        self.house.wait(self.commit(every, "passed", "echo side"))
        every.git("checkout", "-q", "main")
        every.git("branch", "-q", "-D", "side")
        deleted = "deleted repository=every ref=refs/heads/side"
        wait_until(lambda: deleted in self.house.log_of("observer-every"), "the branch is gone")

    def supersede(self):
        for number in range(3):
            self.commit(self.latest, "passed", f"echo {number}")
        self.observer("observer-latest", self.latest, "--policy", "latest")
        self.house.wait(self.commit(self.latest, "passed", "echo first"))
        self.latest.git("branch", "more")
        tip = self.commit(self.latest, "passed", "echo more")
        for number in range(3):
            tip = self.commit(self.latest, "passed", f"echo more {number}")
        self.house.wait(tip)

    def files(self):
        """{name: lines} of all that the checker reads."""
        house, found = self.house, {"every.export": self.export(self.every)}
        found["latest.export"] = self.export(self.latest)
        for name in house.logs:
            kept = [row for row in house.log_of(name).splitlines() if not NOISE.search(row)]
            found[f"{name}.log"] = kept
        for folder in ("logs", "results"):
            for place, _, names in os.walk(os.path.join(house.broker_folder, folder)):
                for name in names:
                    path = os.path.join(place, name)
                    with open(path, encoding="utf-8") as file:
                        found[os.path.relpath(path, house.folder)] = file.read().splitlines()
        store = sqlite3.connect(os.path.join(house.broker_folder, "fettle.db"))
        found["store.sql"] = list(store.iterdump())
        store.close()
        found["client.shown"] = "".join(self.shown).splitlines()
        found["expected.json"] = [json.dumps(self.expected)]
        return {name: [self.neutral(row) for row in found[name]] for name in sorted(found)}

    def neutral(self, row):
        return row.replace(self.house.folder, "/house").replace(HOST, "host=house")

    @staticmethod
    def export(repository):
        """Of all commits: those that no branch has any more get one for a while."""
        tips = repository.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads")
        rows = ["checkpoint\n"]  # what was imported can then be named by its id
        rows += [f"reset {ref}\nfrom {tip}\n" for ref, tip in map(str.split, tips.splitlines())]
        for number, commit in enumerate(repository.git("rev-list", "--all", "--reflog").split()):
            repository.git("branch", f"all-{number}", commit)
            rows.append(f"reset refs/heads/all-{number}\nfrom {'0' * 40}\n")
        rows.insert(0, repository.git("fast-export", "--all") + "\n")
        return "\n".join(rows).splitlines()


def main():
    recording = Recording()
    recording.run()
    for process in reversed(list(recording.house.processes)):
        recording.house.stop(process)
    files = recording.files()
    wrong = recording.house.finish()
    assert not wrong, wrong
    json.dump(files, sys.stdout, indent=0)
    print()


main()
