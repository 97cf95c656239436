"""From a commit to its recorded verdict, and builds that do nothing, beside Buildbot.

One repository whose test is `true`, four executors. A commit is there when its branch has moved. It
is told: ours hears of it, Buildbot's master is told by a line on a socket, without a program that
has to start. Or it is found by polling every 50 ms; for ours in a repository whose refs are a link,
which cannot be heard. Verdicts count from when each has recorded them."""

import datetime
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from common import Repository, wait_until  # noqa: E402  pylint: disable=wrong-import-position
from contest import Peer  # noqa: E402  pylint: disable=wrong-import-position
from results import Row, Table  # noqa: E402  pylint: disable=wrong-import-position

EXECUTORS = 4
PATIENCE = 120
POLL_SECONDS = 0.05
PASSED = "0"  # as Buildbot says it
LATENCY_GOAL, RATE_GOAL = 0.1, 10
HERE = os.path.dirname(os.path.abspath(__file__))


def links(repository):
    """Its refs are behind a link from now on."""
    refs = os.path.join(repository.path, ".git/refs")
    os.rename(refs, refs + "-elsewhere")
    os.symlink("refs-elsewhere", refs)


def moved(repository):
    """When its branch did."""
    return os.stat(os.path.join(repository.path, ".git/refs/heads/main")).st_mtime


class Fettle:
    """Broker, observer, and a worker of four slots."""

    name, label, interval = "fettle", "fettle", POLL_SECONDS

    def __init__(self, house):
        self.house = house
        self.programs = []

    def start(self, repository, polls):
        house = self.house
        house.broker_folder = tempfile.mkdtemp(dir=house.folder)
        name = os.path.basename(house.broker_folder)
        self.programs = [
            house.broker("--log-level", "warn"),
            house.worker(name, "--log-level", "warn", slots=EXECUTORS),
            house.observer(
                repository, name=f"observer-{name}", interval="50ms" if polls else "1h"
            ),
        ]
        # Of what is there when it looks first, it takes the tip only.
        house.wait(repository.git("rev-parse", "HEAD").strip(), PATIENCE)

    def tell(self, commits):
        """It hears of them."""

    def ends(self, commits):
        """When the verdict of each was recorded."""
        wanted = set(commits)

        def finished():
            builds = self.house.json("builds", "--limit", "0")["builds"]
            mine = [one for one in builds if one["commit"] in wanted and one["outcome"]]
            assert all(build["outcome"] == "passed" for build in mine), mine
            return len(mine) == len(wanted) and mine

        self.house.wait(commits[-1], PATIENCE)
        builds = wait_until(finished, "all verdicts", PATIENCE)
        texts = [build["finished_at"].replace("Z", "+00:00") for build in builds]
        return [datetime.datetime.fromisoformat(text).timestamp() for text in texts]

    def stop(self):
        for program in reversed(self.programs):
            self.house.stop(program)


class Buildbot(Peer):
    """A master with its workers; buildbot_master.py has its settings."""

    name, label, program, interval = "buildbot", "Buildbot", "buildbot", POLL_SECONDS

    def __init__(self, house):
        super().__init__(house)
        self.line = self.said = self.context = self.settings = self.polls = None

    def missing(self):
        there = shutil.which("buildbot") and shutil.which("buildbot-worker")
        return None if there else "buildbot is not installed"

    def words(self):
        settings = os.path.join(HERE, "buildbot_master.py")
        words = ["buildbot", "create-master", "-c", settings, self.path("master")]
        quiet = {"stdout": subprocess.DEVNULL, "cwd": self.folder}
        subprocess.run(words, check=True, env=self.house.environment, **quiet)
        return ["buildbot", "start", "--nodaemon", self.path("master")]

    def launch(self):
        return [self.house.start(self.name, self.words(), self.settings)]

    def is_ready(self):
        self.line = socket.socket(socket.AF_UNIX)
        self.line.settimeout(PATIENCE)
        try:
            self.line.connect(self.path("master/desk"))
        except OSError:
            self.line.close()
            return False
        return True

    def start(self, repository, polls):
        self.settings = {"BENCH_REPOSITORY": repository.path}
        self.polls = polls
        if polls:
            self.settings["BENCH_POLL"] = str(POLL_SECONDS)
        self.context = self.started()
        self.context.__enter__()
        self.said = self.line.makefile("r")
        if polls:  # what it finds first is old to it
            polled = self.path("master/polled")
            wait_until(lambda: os.path.exists(polled), "Buildbot has polled", PATIENCE)

    def tell(self, commits):
        if not self.polls:
            self.line.sendall("".join(f"{commit}\n" for commit in commits).encode())

    def ends(self, commits):
        found = {}
        while not found.keys() >= set(commits):
            commit, result, moment = self.said.readline().split()
            assert result == PASSED, (commit, result)
            found[commit] = float(moment)
        return [found[commit] for commit in commits]

    def stop(self):
        self.said.close()
        self.line.close()
        self.context.__exit__(None, None, None)


def wait_for(one, repository, count):
    """Seconds from the last of so many commits to the last verdict."""
    commits = repository.push_many(count)
    begin = moved(repository)
    one.tell(commits)
    return max(one.ends(commits)) - begin


def look(one, polls, rounds, builds):
    """Milliseconds to a verdict, and builds a second, round by round."""
    repository = Repository(one.house, f"{one.name}-{polls:d}")
    repository.steps("true")
    if polls:
        links(repository)
    one.start(repository, polls)
    try:
        wait_for(one, repository, EXECUTORS)  # each has its checkout
        waits, rates = [], []
        for _ in range(rounds):
            time.sleep(random.random() * one.interval)
            waits.append(wait_for(one, repository, 1) * 1000)
        if not polls:
            rates = [builds / wait_for(one, repository, builds) for _ in range(rounds)]
    finally:
        one.stop()
    return waits, rates


def measure(house, rounds, builds, peers):
    """The tables; ours builds so many at once, others a fifth of it."""
    everybody = [Fettle(house), *(kind(house) for kind in (Buildbot,) if kind.name in peers)]
    rows = {"told": [], "polled": [], "rate": []}
    for one in list(everybody):
        if isinstance(one, Buildbot) and one.missing():
            print(f"left out: {one.missing()}", flush=True)
            continue
        count = builds if isinstance(one, Fettle) else max(builds // 5, EXECUTORS)
        told, rates = look(one, False, rounds, count)
        rows["told"].append(Row(one.name, one.label, told))
        rows["rate"].append(Row(one.name, one.label, rates))
        polled, _ = look(one, True, rounds, count)
        rows["polled"].append(Row(one.name, one.label, polled))
    waits, rate = {"buildbot": LATENCY_GOAL}.items(), {"buildbot": RATE_GOAL}.items()
    return [
        Table("commit to recorded verdict, told", "ms", 0, rows["told"], waits),
        Table("commit to recorded verdict, polled", "ms", 0, rows["polled"], waits),
        Table("builds that do nothing, 4 executors", "builds/s", 1, rows["rate"], rate),
    ]
