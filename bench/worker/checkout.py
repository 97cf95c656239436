"""A checkout after a one-file change: ours, by a real worker, beside what git itself offers, in turn.

Usage: checkout.py BUILD [--files N] [--rounds N]

Ours is the time from the agent's start of a supervisor to the first command of the first step: a
process, the look at the mirror, the tree, the mounts, sh. The others are the bare git commands.
"""

import argparse
import calendar
import json
import os
import re
import shutil
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from common import (  # noqa: E402  pylint: disable=wrong-import-position
    House,
    Repository,
    default_folder,
    goal,
    head,
    row,
    timed,
    wait_until,
    write_files,
)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=15)
    return parser.parse_args()



class Ours:
    """A whole fettle with one worker, whose tree goes to and fro between two commits. A commit on
    another branch is another build: so a commit comes again, and the mirror has it already."""

    def __init__(self, house, repository):
        self.house, self.repository = house, repository
        self.count = self.ended = 0
        house.broker()
        house.worker("one")
        house.observer(repository)

    def wait(self, commit, branch):
        """The build of this commit on this branch, once it is final. Asked for when the worker's log
        says that a job ended: each time starts a program, which would have a part in what is measured."""

        def build():
            ended = self.house.log_of("worker-one").count(" job ended ")
            if ended == self.ended:
                return None
            shown = self.house.cli("show", commit, "--json")
            if shown.returncode:  # the job that ended was that of the first look
                return None
            builds = json.loads(shown.stdout)["builds"]
            found = [one for one in builds if one["build"]["ref"] == branch]
            return found[0] if found and found[0]["build"]["outcome"] else None

        found = wait_until(build, f"a verdict of {commit} on {branch}")
        self.ended = self.house.log_of("worker-one").count(" job ended ")
        return found

    def started(self, job):
        """When the agent started a job; its log has milliseconds."""
        text = self.house.log_of("worker-one")
        line = re.search(rf"^(\S+)\.(\d+)Z .* job started job={job} ", text, re.M)
        moment = calendar.timegm(time.strptime(line[1], "%Y-%m-%dT%H:%M:%S"))
        return moment + int(line[2]) / 1000

    def run(self, commit):
        """Seconds from the start of the job of a commit to its first command."""
        self.count += 1
        branch = f"refs/heads/b{self.count}"
        self.repository.git("update-ref", branch, commit)
        build = self.wait(commit, branch)
        assert build["build"]["outcome"] == "passed", build
        log = self.house.cli("log", commit).stdout
        at = int(re.search(r"^at (\d+)$", log, re.M)[1]) / 1e9
        return at - self.started(build["jobs"][0]["job"])


class Git:
    """The ways of git, each on one mirror, in a folder of their own."""

    def __init__(self, house, repository):
        self.folder = house.path("git")
        self.mirror = house.path("git", "mirror")
        self.environment = house.environment
        os.makedirs(self.folder)
        self.git("clone", "-q", "--bare", repository.path, self.mirror)
        self.git("clone", "-q", "--shared", self.mirror, self.path("kept"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def git(self, *words):
        return timed(["git", "-c", "advice.detachedHead=false", *words], self.environment)

    def clone(self, commit, *settings):
        words = [*settings, "clone", "-q", "--shared", "--no-checkout", self.mirror]
        seconds = self.git(*words, self.path("fresh"))
        checkout = ["-C", self.path("fresh"), *settings, "checkout", "-q", "--detach", commit]
        return seconds + self.git(*checkout)

    def clone_with_workers(self, commit):
        return self.clone(commit, "-c", "checkout.workers=0")

    def worktree(self, commit):
        place = self.path("fresh")
        return self.git("-C", self.mirror, "worktree", "add", "-f", "--detach", place, commit)

    def kept(self, commit):
        return self.git("-C", self.path("kept"), "checkout", "-q", "--detach", commit)

    def clear(self):
        shutil.rmtree(self.path("fresh"), ignore_errors=True)


def measure(house, files, rounds):
    repository = Repository(house)
    write_files(repository.path, files)
    commits = [repository.steps('echo "at $(date +%s%N)"')]
    commits.append(repository.commit({"d0/s0/f0.c": "int changed;\n"}))
    ours, git = Ours(house, repository), Git(house, repository)
    ways = {
        "fettle, job started to first command": ours.run,
        "git clone --shared": git.clone,
        "git clone --shared, checkout.workers=0": git.clone_with_workers,
        "git worktree add": git.worktree,
        "git checkout in a kept clone": git.kept,
    }
    values = {name: [] for name in ways}
    for number in range(rounds + 3):  # the first ones fetch, and write whole trees
        for name, way in ways.items():
            seconds = way(commits[number % 2])
            git.clear()
            if number >= 3:
                values[name].append(seconds)
    return values


def main():
    words = arguments()
    house = House(words.folder)
    try:
        values = measure(house, words.files, words.rounds)
    finally:
        wrong = house.finish()
    head(f"checkout of a one-file change, {words.files} files, {words.rounds} rounds in turn")
    for name, seconds in values.items():
        row(name, seconds)
    medians = [statistics.median(seconds) for seconds in values.values()]
    met = goal("ratio of ours to the fastest fresh one", medians[0] / min(medians[1:4]), most=0.2)
    print("\n".join(wrong))
    return 1 if wrong or not met else 0


sys.exit(main())
