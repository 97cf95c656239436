"""The checker can fail: a good recorded history is fine, and each small edit of it, that breaks one
promise, is complained of. See record.py for where the history comes from."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

import history
import promises
import spec
import tap

with open(os.path.join(HERE, "good.json"), encoding="utf-8") as good_file:
    GOOD = json.load(good_file)
# What the store itself would refuse, so that the checker is seen to notice.
LAWS = re.compile(r"^CREATE TRIGGER.*|, +UNIQUE\(commit_id, ref, run\)|CHECK\(attempt BETWEEN.*?\)")


class Copy:
    """The recorded history in a folder, to be edited."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="history-")
        for name, rows in GOOD.items():
            if name != "store.sql" and not name.endswith(".export"):
                self.write(name, "".join(f"{row}\n" for row in rows))
        for folder in ("worker-one/jobs", "worker-two/jobs", "observer-every"):
            os.makedirs(self.path(folder))
        laws = [LAWS.sub("", row) for row in GOOD["store.sql"]]
        store = sqlite3.connect(self.path("broker/fettle.db"))
        store.executescript("\n".join(["PRAGMA synchronous = OFF;", *laws]))
        store.close()
        self.settled = True

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(content)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def change(self, name, pattern, by, count=1):
        """Edit a file; a pattern that is not there is an error of the test."""
        text, changed = re.subn(pattern, by, self.read(name), count, re.MULTILINE)
        assert changed, f"{name} has no {pattern}"
        self.write(name, text)

    def add(self, name, *rows):
        text = self.read(name)
        self.write(name, text + "".join(f"2026-01-01T00:00:00.000Z {row}\n" for row in rows))

    def sql(self, statement):
        store = sqlite3.connect(self.path("broker/fettle.db"))
        store.execute("PRAGMA ignore_check_constraints = ON")
        changed = store.execute(statement).rowcount
        store.commit()
        store.close()
        assert changed, statement

    def ask(self, statement):
        store = sqlite3.connect(self.path("broker/fettle.db"))
        row = store.execute(statement).fetchone()
        store.close()
        return row[0]

    def history(self, repositories):
        return history.History(self.folder, self.settled, repositories)


def import_repositories(folder):
    """{name: path} of the recorded git repositories, made anew."""
    paths = {}
    for name in ("every", "latest"):
        path = paths[name] = os.path.join(folder, name)
        rows = "".join(f"{row}\n" for row in GOOD[f"{name}.export"])
        subprocess.run(["git", "init", "-q", "--bare", path], check=True)
        words = ["git", "-C", path, "fast-import", "--quiet", "--force"]
        subprocess.run(words, input=rows.encode(), check=True)
    return paths


def job_log(job, attempt=1):
    return f"broker/logs/{job}.{attempt}.log"


# The recorded jobs: 1 passed, 2 failed, 3 is lost, 4 passed after a restart of the broker, 5 and 6
# rewrote and left a branch; of `latest` some are superseded.
def unknown_tip(copy):
    copy.change("observer-every.log", r"^(.*fed .* tip=).*$", r"\g<1>" + "ab" * 20)


def lose_build(build):
    def edit(copy):
        copy.sql(f"DELETE FROM attempts WHERE job = {build}")  # each has one job, of its number
        copy.sql(f"DELETE FROM jobs WHERE id = {build}")
        copy.sql(f"DELETE FROM builds WHERE id = {build}")

    return edit


def forget_tip(copy):
    copy.sql("UPDATE refs SET mark = (SELECT commit_id FROM builds WHERE id = 1) WHERE id = 1")


def forget_mark(copy):
    """The branch seems to begin anew, although it was never deleted."""
    commit = copy.ask("SELECT commit_id FROM builds WHERE id = 3")
    zeros = rf"\g<1>{'0' * 40} to={commit}"
    copy.change("broker.log", rf"(received update .* from=)\w+ to={commit}", zeros)
    lose_build(2)(copy)


def leave_out(job):
    return sql(
        "UPDATE jobs SET outcome = 'skipped', reason = 'superseded by ab' "
        f"WHERE id = (SELECT {job} FROM jobs)"
    )


def accept_twice(copy):
    copy.sql(
        "INSERT INTO builds(id, ref, commit_id, run, accepted_at, outcome, finished_at) "
        "SELECT 100, ref, commit_id, run, accepted_at, outcome, finished_at FROM builds "
        "WHERE id = 1"
    )


def say_again(kind):
    """Two times, one after the other."""
    return lambda copy: copy.change("broker.log", rf"^(.*info: {kind} .*\n)", r"\1\1")


def acknowledge(worker, job, attempt, answer="result_ok"):
    line = f"fettle-worker debug: received {answer} job={job} attempt={attempt}"
    return lambda copy: copy.add(f"worker-{worker}.log", line)


def said_and_told(worker, job, attempt, outcome, answer):
    def edit(copy):
        name = f"worker-{worker}.log"
        copy.write(name, re.sub(rf"(?m)^.*sent result job={job} .*\n", "", copy.read(name)))
        said = f"fettle-worker debug: sent result job={job} attempt={attempt} outcome={outcome}"
        copy.add(name, said)
        acknowledge(worker, job, attempt, answer)(copy)

    return edit


def show_otherwise(pattern, by):
    return lambda copy: copy.change("client.shown", pattern, by)


def sql(statement):
    return lambda copy: copy.sql(statement)


def add(name, *rows):
    return lambda copy: copy.add(name, *rows)


def change(name, pattern, by):
    return lambda copy: copy.change(name, pattern, by)


def leave(*paths):
    def edit(copy):
        for path in paths:
            copy.write(path, "")

    return edit


def result_of(copy, build):
    commit = copy.ask(f"SELECT commit_id FROM builds WHERE id = {build}")
    return f"broker/results/{commit}/main.txt"


def remove_result(copy):
    os.remove(copy.path(result_of(copy, 1)))


def turn_result(copy):
    copy.change(result_of(copy, 2), r"\Afailed", "passed")


def cut_result(copy):
    copy.change(result_of(copy, 1), r"^main line 3 of 3\n", "")


LEASED = "fettle-broker info: leased build=2 job=2 attempt=1 worker=one commit=ab"
OFFERED = "fettle-broker debug: sent peer=ab offer job=3 attempt=2 build=3"

def say(job, **words):
    """What the stored spec of a job says, besides its name."""

    def edit(copy):
        packed = spec.pack({"name": "main", **words}).hex()
        copy.sql(f"UPDATE jobs SET spec = X'{packed}' WHERE id = {job}")

    return edit


def join(outcome, reason="", **words):
    """Build 1 has another job, `lint`, which never ran; `main` says these words besides."""

    def edit(copy):
        lint = spec.pack({"name": "lint", "after": ["main"]}).hex()
        copy.sql(
            "INSERT INTO jobs(id, build, name, labels, spec, state, attempt, outcome, reason, "
            f"queued_at, finished_at) VALUES(99, 1, 'lint', '', X'{lint}', 'final', 0, "
            f"'{outcome}', '{reason}', 1, 1)"
        )
        say(1, **words)(copy)

    return edit


def early(copy):
    """Job 1 was handed out before job 2 of the same build had ended."""
    copy.sql("UPDATE jobs SET build = 1, name = 'lint' WHERE id = 2")
    say(1, after=["lint"])(copy)


# (what was broken, how, what is said of it); the words before the colon name the check.
BROKEN = [
    ("a tip is acknowledged that is not stored", unknown_tip, "P1: an observer was told"),
    ("an accepted build is gone", lose_build(4), "P1: build 4 .* is not stored"),
    (
        "the store breaks its own law",
        sql("UPDATE jobs SET state = 'half' WHERE id = 2"),
        "P1: the store is damaged: CHECK constraint failed in jobs",
    ),
    ("a commit in the middle is left out", lose_build(2), "P2: .* its parent .* was not"),
    ("a mark is forgotten", forget_mark, "P2: .* its parent .* was not"),
    ("the newest commit was not accepted", lose_build(5), "P2: .* was never accepted"),
    ("the newest commit is left out", leave_out("max(id)"), "P2: .* newest commit .* left out"),
    ("a commit is left out of every", leave_out(2), "P2: refs/heads/main of every: .* nobody"),
    ("the mark stays behind", forget_tip, "P2: .* its mark at"),
    ("a commit is accepted twice", accept_twice, "P3: .* has run 1 twice"),
    ("a commit gets a second run", sql("UPDATE builds SET run = 2 WHERE id = 2"), "P3: .* run 2"),
    (
        "a job has no verdict",
        sql("UPDATE jobs SET state = 'leased', outcome = NULL WHERE id = 2"),
        "P4: job 2 of build 2 is leased",
    ),
    (
        "a build has no verdict",
        sql("UPDATE builds SET outcome = NULL WHERE id = 2"),
        "P4: build 2 .* has no verdict",
    ),
    (
        "a build is greener than its job",
        sql("UPDATE builds SET outcome = 'passed' WHERE id = 2"),
        "P4: build 2 is passed, of 1 jobs are",
    ),
    (
        "an allowed failure counts",
        say(2, allow_failure=True),
        "P4: build 2 is failed, of 1 jobs are",
    ),
    ("a job is handed out early", early, "P4: job 1 was handed out, it is after job 2, failed"),
    (
        "a job is after one that is not there",
        say(1, after=["lint"]),
        "P4: job 1 is after .*, not all of build 1",
    ),
    (
        "a job is skipped after a green one",
        join("skipped", "after main"),
        "P4: job 99 was skipped after main, which does not stop it",
    ),
    ("a job finishes twice", say_again("finished"), "P4: finished was said twice"),
    ("a build gets two verdicts", say_again("verdict"), "P4: verdict was said twice"),
    (
        "an event says otherwise",
        change("broker.log", "(finished build=2 .*)outcome=failed", r"\1outcome=passed"),
        "P4: finished of 2 was said: passed",
    ),
    (
        "a verdict is not what the job does",
        change("expected.json", r'"failed"', '"passed"'),
        "P4: job 2 should be passed, it is failed",
    ),
    ("a fourth attempt", sql("UPDATE jobs SET attempt = 4 WHERE id = 3"), "P5: job 3 is at .* 4"),
    (
        "an attempt is missing",
        sql("DELETE FROM attempts WHERE job = 3 AND attempt = 2"),
        r"P5: job 3 .* attempts are \[1, 3\]",
    ),
    (
        "a lost job names another worker",
        sql("UPDATE jobs SET reason = '3 workers lost: one, two, one' WHERE id = 3"),
        "P5: job 3 is lost",
    ),
    (
        "an attempt never ended",
        sql("UPDATE attempts SET ended_at = NULL WHERE job = 2"),
        "P5: job 2 is final, its attempt 1 ended",
    ),
    (
        "a verdict that nobody said",
        change("broker.log", r"^.*received peer=\w+ result job=2 .*\n", ""),
        "P6: job 2 is failed in attempt 1 by one; what came is",
    ),
    (
        "a verdict of another worker",
        sql("UPDATE attempts SET worker = 'two' WHERE job = 2"),
        "P6: job 2 is failed in attempt 1 by two; what came is",
    ),
    (
        "the log is shorter than was said",
        change(job_log(2), r"\A.*\n", ""),
        r"P6: job 2: its log was said to have \d+ bytes, stored are \d+",
    ),
    (
        "two outcomes of one attempt",
        add("worker-one.log", "fettle-worker debug: sent result job=2 attempt=1 outcome=passed"),
        "P6: one said failed, then passed of job 2",
    ),
    (
        "a result is acknowledged that is not recorded",
        acknowledge("one", 3, 1),
        "P6: one was told that its None of job 3 attempt 1 is recorded",
    ),
    (
        "the acknowledged outcome is another one",
        said_and_told("one", 2, 1, "passed", "result_ok"),
        "P6: one was told that its passed of job 2 attempt 1 is recorded; stored is failed",
    ),
    (
        "the result of the newest attempt is called stale",
        said_and_told("one", 2, 1, "passed", "stale"),
        "P6: one was told that its passed of job 2 attempt 1 is stale",
    ),
    (
        "an offer that is not stored",
        add("worker-two.log", "fettle-worker debug: received offer job=99 attempt=1 build=9"),
        "P6: two was offered job 99 attempt 1; stored is None",
    ),
    (
        "an offer that is stored for another",
        add("worker-two.log", "fettle-worker debug: received offer job=2 attempt=1 build=2"),
        "P6: two was offered job 2 attempt 1; stored is one",
    ),
    (
        "an offer to a session that is not its worker's",
        sql("UPDATE attempts SET session = 'ab' WHERE job = 4"),
        "P6: two was offered job 4 attempt 1; stored is a session that it never had",
    ),
    ("attempts fall", add("broker.log", OFFERED), "P6: the broker offered job 3 attempt 2 after"),
    (
        "acknowledged bytes of a log are gone",
        change(job_log(4), r"^.*late\n", ""),
        r"P8: two was told that job 4 has \d+ bytes stored, not",
    ),
    (
        "a line of a log is there twice",
        change(job_log(1), r"^(main line 2 of 3\n)", r"\1\1"),
        "P8: job 1 attempt 1: of 3 lines of main there are 1 2 2 3",
    ),
    (
        "a line of a log is missing",
        change(job_log(1), r"^main line 3 of 3\n", ""),
        "P8: job 1 attempt 1: of 3 lines of main there are 1 2",
    ),
    (
        "a build was shown that is not stored",
        show_otherwise(r'"build": ?2, ?"repository"', '"build":99,"repository"'),
        "P8: build 99 was shown",
    ),
    (
        "a verdict was shown that changed",
        sql("UPDATE builds SET outcome = 'error' WHERE id = 1"),
        "P8: build 1 was shown as passed, recorded is error",
    ),
    (
        "a verdict was shown while jobs were unfinished",
        show_otherwise(r'("outcome": ?"passed".*?"unfinished": ?)0', r"\g<1>1"),
        "P8: build .* was shown as passed with 1 jobs unfinished",
    ),
    (
        "the reason of a verdict changed",
        sql("UPDATE jobs SET reason = 'step 9' WHERE id = 2"),
        "P8: job 2 was shown as failed in attempt 1: step 2",
    ),
    (
        "a job was shown with a worker that never had it",
        show_otherwise(r'("attempt": ?2, ?"worker": ?)"one"', r'\1"two"'),
        "P8: job 3 was shown as None in attempt 2 by two",
    ),
    (
        "a job was shown in an attempt that is not recorded",
        sql("UPDATE jobs SET attempt = 0 WHERE id = 4"),
        "P8: job 4 was shown as .* in attempt 1",
    ),
    ("a final job is leased", add("broker.log", LEASED), "P10: job 2 was leased .* had finished"),
    (
        "an attempt is leased twice",
        change("broker.log", r"leased build=3 job=3 attempt=3", "leased build=3 job=3 attempt=2"),
        "P10: job 3 was leased in attempt 2 after attempt 2",
    ),
    (
        "another worker is said to have the lease",
        change("broker.log", r"(leased build=4 .*)worker=two", r"\1worker=one"),
        "P10: job 4 was leased in attempt 1 by one, recorded is two",
    ),
    ("a result file is missing", remove_result, r"results: results/\w+/main.txt is missing"),
    ("a result file says otherwise", turn_result, "results: .* begins with 'passed: step"),
    ("a result file lacks a line", cut_result, "results: .* begins with 'passed' and has"),
    ("a workspace is left", leave("worker-one/jobs/3.1/offer"), "left: worker-one/jobs/3.1"),
    ("a damaged spool is left", leave("worker-two/damaged/3.1/x"), "left: worker-two/damaged/3.1"),
    ("a half-written file is left", leave("broker/x.new"), "left: broker/x.new was left"),
    (
        "git's lock is left",
        leave("worker-one/mirrors/m/HEAD", "worker-one/mirrors/m/a.lock"),
        "left: worker-one/mirrors/m/a.lock",
    ),
    (
        "a result file that no start will replace is left half-written",
        lambda copy: copy.write(f"{result_of(copy, 1)}.new", ""),
        r"left: broker/results/\w+/main.txt.new was left",
    ),
]

def write_again(copy):
    copy.sql("INSERT INTO unwritten(job) SELECT id FROM jobs WHERE build = 1")
    copy.write(f"{result_of(copy, 1)}.new", "")


# Edits that change nothing that was promised.
FINE = [
    ("a result that is repeated is stale", acknowledge("one", 2, 1, "stale")),
    ("the result of a lost attempt is stale", said_and_told("one", 3, 1, "passed", "stale")),
    ("an event is not said", change("broker.log", r"^.*info: finished build=2.*\n", "")),
    ("a line is cut off", change("broker.log", r"\n\Z", "\n2026 fettle-broker info: verdict bu")),
    ("our lock beside a mirror", leave("worker-one/mirrors/m.lock")),
    ("a lease that was taken up again is lost again", say_again("requeued")),
    ("the next start replaces a half-written result file", write_again),
]


class Checker(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        aside = tempfile.mkdtemp(prefix="history-")
        cls.addClassCleanup(shutil.rmtree, aside)
        cls.repositories = import_repositories(aside)

    def setUp(self):
        self.copy = Copy()
        self.addCleanup(shutil.rmtree, self.copy.folder)

    def check(self):
        return self.copy.history(self.repositories).check()

    def test_a_good_history_is_good(self):
        good = self.copy.history(self.repositories)
        self.assertEqual(good.check(), [])
        self.assertFalse([what for what, count in good.facts.items() if count == 0], good.facts)
        self.assertGreaterEqual(len(good.facts), 20)

    def test_what_is_not_settled_may_be_unfinished(self):
        self.copy.settled = False
        self.copy.sql("UPDATE jobs SET state = 'leased', outcome = NULL WHERE id = 6")
        self.copy.sql("UPDATE builds SET outcome = NULL, finished_at = NULL WHERE id = 6")
        self.copy.sql("UPDATE attempts SET ended_at = NULL WHERE job = 6")
        self.copy.change("broker.log", r"^.*info: (finished|verdict) build=6 .*\n", "", 2)
        self.copy.change("client.shown", r"^.*\n", "", 0)
        self.copy.change("worker-two.log", r"^.*(received result_ok|sent result) job=6 .*\n", "", 2)
        os.remove(self.copy.path(result_of(self.copy, 6)))
        self.assertEqual(self.check(), [])

    def test_a_process_that_is_left_is_found(self):
        with subprocess.Popen(["sleep", "60"], cwd=self.copy.folder) as process:
            said = self.check()
            process.kill()
        self.assertEqual(len(said), 1)
        self.assertRegex(said[0], rf"left: still runs: {process.pid}: sleep 60")

    def test_every_check_is_broken_by_an_edit(self):
        names = {pattern.partition(":")[0] for _, _, pattern in BROKEN}
        self.assertEqual(names, {promise for promise, _ in promises.CHECKS})


def broken(edit, pattern):
    def test(self):
        edit(self.copy)
        said = self.check()
        self.assertTrue(any(re.match(pattern, one) for one in said), "\n".join(said) or "nothing")

    return test


def fine(edit):
    def test(self):
        edit(self.copy)
        self.assertEqual(self.check(), [])

    return test


for title, edit_, pattern_ in BROKEN:
    setattr(Checker, f"test_complains_when_{title.replace(' ', '_')}", broken(edit_, pattern_))
for title, edit_ in FINE:
    setattr(Checker, f"test_is_fine_when_{title.replace(' ', '_')}", fine(edit_))


if __name__ == "__main__":
    tap.main()
