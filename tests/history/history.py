"""Reads what a run of fettle left and says what broke a promise.

    history.py FOLDER [--unsettled] [--repository NAME=PATH]...

FOLDER holds, as tests/e2e/fettle.py makes them: `broker/`, the broker's state; `worker-*/` and
`observer*/`, theirs; `*.log`, what the programs said at debug level (one file a worker, one file
for all runs of the broker); `*.shown`, the JSON answers that clients got, one a line;
`expected.json`, {commit: outcome of its jobs, or {job: outcome}}. Only the broker's state must be
there, and the broker must not run: it has its store for itself. A complaint is a line; the exit
code is 1 when there is one.

A history is settled when the faults stopped, everything had its time, every worker was there again
to bring what it had, and all programs ended: then each job must have its verdict, and nothing may
be left."""

import argparse
import collections
import glob
import json
import os
import subprocess
import sys

import logs
import promises
import recorded


class Repository:
    """A git repository that was watched."""

    def __init__(self, path):
        self.path = path

    def git(self, *words, stdin=""):
        return subprocess.run(
            ["git", "-C", self.path, *words],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
        ).stdout

    def parents(self, commits):
        """{commit: [parents, first one first]} of these and all before them that are there."""
        form = "--batch-check=%(objectname) %(objecttype)"
        there = self.git("cat-file", form, stdin=rows(commits))
        known = [row.split()[0] for row in there.splitlines() if row.endswith(" commit")]
        walked = self.git("rev-list", "--parents", "--stdin", stdin=rows(known)) if known else ""
        return {row[0]: row[1:] for row in map(str.split, walked.splitlines())}

    def tips(self):
        """{ref: commit} of its branches."""
        found = self.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads")
        return dict(row.split() for row in found.splitlines())


def rows(words):
    return "".join(f"{word}\n" for word in sorted(words))


def read_shown(paths):
    """The answers; one that a kill cut off was not shown."""
    for path in paths:
        for line in logs.whole_lines(path):
            try:
                yield json.loads(line)
            except ValueError:
                continue


def running_in(folder):
    """Processes that have to do with a folder: by their words, or where they are."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
            place = os.readlink(f"/proc/{entry}/cwd")
        except OSError:
            continue
        inside = place == folder or place.startswith(folder + "/") or folder + "/" in words
        if inside and int(entry) not in (os.getpid(), os.getppid()):
            found.append(f"{entry}: {words}")
    return found


class History:
    """All that is known of a run. `check` returns the complaints."""

    def __init__(self, folder, settled=True, repositories=None, excuses=()):
        """`repositories`: {name: path}; `excuses`: what reasons of a verdict that differs from
        what was expected may say, as regular expressions."""
        self.folder = os.path.abspath(folder)
        self.settled = settled
        self.excuses = excuses
        self.facts = collections.Counter()
        paths = (repositories or {}).items()
        self.repositories = {name: Repository(path) for name, path in paths}
        self.recorded = recorded.Recorded(self.path("broker"))
        self.said = logs.Said(self.find("*.log"))
        self.shown = read_shown(self.find("*.shown"))
        self.expected = {}
        if os.path.exists(self.path("expected.json")):
            with open(self.path("expected.json"), encoding="utf-8") as file:
                self.expected = json.load(file)
        self.workers = [one for one in self.find("worker-*") if os.path.isdir(one)]
        self.observers = [one for one in self.find("observer*") if os.path.isdir(one)]
        self.processes = running_in(self.folder) if settled else []

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def find(self, pattern):
        return sorted(glob.glob(self.path(pattern)))

    def check(self):
        return [
            f"{promise}: {complaint}"
            for promise, check in promises.CHECKS
            for complaint in check(self)
        ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--unsettled", action="store_true", help="verdicts may still be missing")
    parser.add_argument("--repository", action="append", default=[], metavar="NAME=PATH")
    options = parser.parse_args()
    repositories = dict(row.split("=", 1) for row in options.repository)
    history = History(options.folder, not options.unsettled, repositories)
    complaints = history.check()
    for complaint in complaints:
        print(complaint)
    looked_at = ", ".join(f"{count} {what}" for what, count in history.facts.items())
    print(f"history: {len(complaints)} complaints; looked at {looked_at}", file=sys.stderr)
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
