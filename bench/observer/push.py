"""How long it takes from a push to the first step, all of fettle on one machine.

python3 -B bench/observer/push.py BUILD [--rounds N] [--folder DIR]

A bare repository on the observer's machine, which hears of changes there; by its interval it would
look once an hour. In turn with that, the same with the hook of `fettle repo hook --install`, which
such a repository does not need. A push is there when git has moved the branch; its first step begins
where the step itself reads the clock. Exit code 1 when the goal is missed.
"""

import argparse
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from common import (  # noqa: E402  pylint: disable=wrong-import-position
    Repository,
    default_folder,
    goal,
    head,
    load,
    row,
    run,
    wait_until,
)

GOAL_MS = 100
QUIET_S = 0.7


class Pushes:
    """People who push to a bare repository."""

    def __init__(self, house):
        self.house = house
        self.bare = house.path("bare.git")
        self.hook = os.path.join(self.bare, "hooks/post-receive")
        self.work = Repository(house, "work")
        self.work.git("init", "-q", "--bare", self.bare)
        self.work.steps("date +first-step-%s.%N")
        self.work.git("push", "-q", self.bare, "main")
        self.add()

    def add(self):
        words = ["--broker", f"ipc:{self.house.broker_folder}"]
        for verb in (["add", "app", self.bare], ["hook", "app", "--install"]):
            done = self.house.cli_words(["repo", *verb[:1], *words, *verb[1:]])
            assert done.returncode == 0, done.stderr
        self.first_step(self.work.git("rev-parse", "HEAD"))
        self.hang_up(False)

    def hang_up(self, hooked):
        """Have the hook where git looks for it, or not."""
        aside = self.hook + ".aside"
        if hooked != os.path.exists(self.hook):
            os.rename(*((aside, self.hook) if hooked else (self.hook, aside)))

    def first_step(self, commit):
        """When its job's first step began."""
        assert self.house.verdict(commit, 300) == "passed"
        rows = self.house.cli("log", commit).stdout.splitlines()
        (words,) = [row for row in rows if row.startswith("first-step-")]
        return float(words.removeprefix("first-step-"))

    def push(self, hooked):
        """Seconds from the push, and from its start, to the first step."""
        self.hang_up(hooked)
        commit = self.work.commit({"file": f"{time.time_ns()}\n"})
        start = time.time()
        self.work.git("push", "-q", self.bare, "main")
        time.sleep(QUIET_S)  # who asks at once would be measured, too
        there = os.stat(os.path.join(self.bare, "refs/heads/main")).st_mtime
        first = self.first_step(commit)
        return first - there, first - start


def measure(house, settings):
    house.broker()
    house.worker()
    house.observer(interval="1h")
    wait_until(lambda: house.worker_is_there("one"), "the worker is there")
    pushes = Pushes(house)
    heard, hooked = zip(*[(pushes.push(False), pushes.push(True)) for _ in range(settings.rounds)])
    head(f"{settings.rounds} pushes of each, {load()}")
    row("branch moved to first step", [there for there, _ in heard])
    row("git push begun to first step", [start for _, start in heard])
    row("branch moved to first step, with a hook", [there for there, _ in hooked])
    row("git push begun to first step, with a hook", [start for _, start in hooked])
    median_ms = statistics.median(there for there, _ in heard) * 1000
    return goal("median ms from push to first step", median_ms, most=GOAL_MS)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--folder", default=default_folder())
    settings = parser.parse_args()
    run(measure, settings, settings.folder)


if __name__ == "__main__":
    main()
