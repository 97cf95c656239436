"""What the broker's state folder holds once the broker is gone: store, logs and results."""

import collections
import os
import shutil
import sqlite3
import tempfile

import spec

Build = collections.namedtuple("Build", "id repository ref commit run outcome")
Job = collections.namedtuple("Job", "id build name state attempt outcome reason after allowed")
Attempt = collections.namedtuple("Attempt", "job attempt worker session ended_at end")

BUILDS = """SELECT b.id, p.name, r.name, b.commit_id, b.run, b.outcome
    FROM builds b JOIN refs r ON r.id = b.ref JOIN repositories p ON p.id = r.repository
    ORDER BY b.id"""
JOBS = "SELECT id, build, name, state, attempt, outcome, reason, spec FROM jobs ORDER BY id"
ATTEMPTS = """SELECT job, attempt, worker, session, ended_at, end FROM attempts
    ORDER BY job, attempt"""
MARKS = "SELECT p.name, r.name, r.mark FROM refs r JOIN repositories p ON p.id = r.repository"


class Recorded:
    """The rows of the store, by id. The database is read from a copy: its log may have to be
    replayed, and what a check looks at must not change."""

    def __init__(self, folder):
        self.folder = folder
        self.is_closed = not os.path.exists(os.path.join(folder, "fettle.db-wal"))
        with tempfile.TemporaryDirectory(prefix="history-") as aside:
            for name in ("fettle.db", "fettle.db-wal"):
                if os.path.exists(os.path.join(folder, name)):
                    shutil.copy(os.path.join(folder, name), aside)
            store = sqlite3.connect(os.path.join(aside, "fettle.db"))
            try:
                self.load(store)
            finally:
                store.close()

    def load(self, store):
        self.damage = [row[0] for row in store.execute("PRAGMA integrity_check") if row[0] != "ok"]
        self.builds = {row[0]: Build(*row) for row in store.execute(BUILDS)}
        self.jobs = {row[0]: read_job(row) for row in store.execute(JOBS)}
        self.attempts = {row[:2]: Attempt(*row) for row in store.execute(ATTEMPTS)}
        self.marks = {row[:2]: row[2] for row in store.execute(MARKS)}
        self.unwritten = {row[0] for row in store.execute("SELECT job FROM unwritten")}
        self.of_build = collections.defaultdict(list)
        for job in self.jobs.values():
            self.of_build[job.build].append(job)
        self.of_job = collections.defaultdict(list)
        for attempt in self.attempts.values():
            self.of_job[attempt.job].append(attempt)

    def log_path(self, job, attempt):
        return os.path.join(self.folder, "logs", f"{job}.{attempt}.log")

    def log_size(self, job, attempt):
        try:
            return os.stat(self.log_path(job, attempt)).st_size
        except FileNotFoundError:
            return 0

    def log(self, job, attempt):
        return content(self.log_path(job, attempt)) or b""

    def result(self, commit, name):
        """The plain file of a verdict, or None."""
        return content(self.result_path(commit, name))

    def result_path(self, commit, name):
        return os.path.join(self.folder, "results", commit, f"{name}.txt")


def read_job(row):
    said = spec.unpack(row[-1])
    return Job(*row[:-1], said.get("after", []), said.get("allow_failure", False))


def content(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
