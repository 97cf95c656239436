"""Whatever people do to a repository: each tip gets a verdict, and each commit of a line.

Commits without anything to run are skipped, and that is a verdict too: no worker is needed, and
there can be many of them."""

import os
import random
import signal
import time
import unittest

import tap
from fettle import PATIENCE, Case, Repository, is_sanitized, wait_until

ALL = "refs/heads/**,refs/tags/*"


class Detect(Case):
    def watch(self, repository, *flags, ref=ALL):
        self.house.broker()
        return self.observer(repository, *flags, ref=ref)

    def observer(self, repository, *flags, ref=ALL, **settings):
        flags = ("--ref", ref, *flags)
        return self.house.observer(self.url(repository), flags=flags, **settings)

    def url(self, repository):
        return repository.path

    def rows(self, ref=None):
        """All builds, oldest first."""
        rows = self.house.json("builds", "--limit", "0", "--timeout", "60s")["builds"]
        rows.sort(key=lambda row: row["build"])
        return [row for row in rows if ref in (None, row["ref"])]

    def count(self, what):
        """A figure of the status."""
        return self.house.json("status").get(what)

    def count_verdicts(self):
        return sum(row["outcome"] is not None for row in self.rows())

    def commits(self, ref):
        return [row["commit"] for row in self.rows(ref) if row["outcome"]]

    def wait_for(self, commit, ref="refs/heads/main", seconds=None):
        what = f"{commit} on {ref} has a verdict"
        wait_until(lambda: commit in self.commits(ref), what, seconds)

    def delete_topic(self, repository):
        repository.git("update-ref", "-d", "refs/heads/topic")
        said = "deleted repository=sample ref=refs/heads/topic"
        before = self.house.log_of("observer").count(said)
        wait_until(lambda: self.house.log_of("observer").count(said) > before, "it is gone")

    def add(self, repository, ref, parent, message):
        """A commit that appears on a ref at once."""
        words = ["commit-tree", f"{parent}^{{tree}}", "-p", parent, "-m", message]
        commit = repository.git(*words)
        repository.git("update-ref", ref, commit)
        self.wait_for(commit, ref)
        return commit

    def test_a_branch_comes_goes_and_comes_back(self):
        repository = Repository(self.house)
        first = repository.commit()
        self.watch(repository)
        self.wait_for(first)
        topic = self.add(repository, "refs/heads/topic", first, "topic")
        self.delete_topic(repository)
        again = self.add(repository, "refs/heads/topic", first, "again")
        self.assertEqual(self.commits("refs/heads/topic"), [topic, again])

    def test_a_branch_comes_back_where_it_was(self):
        repository = Repository(self.house)
        first = repository.commit()
        self.watch(repository)
        self.wait_for(first)
        topic = self.add(repository, "refs/heads/topic", first, "topic")
        self.delete_topic(repository)
        repository.git("update-ref", "refs/heads/topic", topic)
        fed = f"fed repository=sample ref=refs/heads/topic commits=1 tip={topic}"
        wait_until(lambda: self.house.log_of("observer").count(fed) == 2, "it is back")
        more = self.add(repository, "refs/heads/topic", topic, "more")
        self.assertEqual(self.commits("refs/heads/topic"), [topic, more])

    def test_a_branch_becomes_a_folder(self):
        repository = Repository(self.house)
        repository.commit()
        repository.git("checkout", "-q", "-b", "foo")
        foo = repository.commit(message="foo")
        self.watch(repository)
        self.wait_for(foo, "refs/heads/foo")
        repository.git("branch", "-q", "-m", "foo", "foo/bar")
        bar = repository.commit(message="bar")
        self.wait_for(bar, "refs/heads/foo/bar")
        repository.git("branch", "-q", "-m", "foo/bar", "foo")
        back = repository.commit(message="back")
        self.wait_for(back, "refs/heads/foo")

    def test_a_branch_is_reset_to_an_ancestor(self):
        repository = Repository(self.house)
        older = repository.commit(message="older than the first look")
        first = repository.commit()
        self.watch(repository)
        self.wait_for(first)
        repository.git("reset", "-q", "--hard", older)
        self.wait_for(older)
        after = repository.commit(message="after")
        self.wait_for(after)
        self.assertEqual(self.commits("refs/heads/main"), [first, older, after])

    def test_a_force_push_brings_each_new_commit(self):
        repository = Repository(self.house)
        base = repository.commit()
        self.watch(repository)
        self.wait_for(base)
        old = repository.push_many(3)
        self.wait_for(old[-1])
        repository.git("update-ref", "refs/heads/main", base)
        repository.git("reset", "-q", "--hard")
        new = [repository.commit(message=f"new {number}") for number in range(2)]
        self.wait_for(new[-1])
        self.assertEqual([one for one in self.commits("refs/heads/main") if one in new], new)
        self.assertEqual(self.commits("refs/heads/main")[:4], [base, *old])

    def test_tags(self):
        repository = Repository(self.house)
        first = repository.commit()
        self.watch(repository)
        self.wait_for(first)
        repository.git("checkout", "-q", "--detach")
        light = repository.commit(message="light")
        repository.git("tag", "light")
        annotated = repository.commit(message="annotated")
        repository.git("tag", "-a", "-m", "words", "annotated")
        blob = repository.git("hash-object", "-w", "--stdin", stdin="no commit\n")
        repository.git("tag", "blob", blob)
        tree = repository.git("rev-parse", "HEAD^{tree}")
        repository.git("tag", "-a", "-m", "of a tree", "tree", tree)
        self.wait_for(light, "refs/tags/light")
        self.wait_for(annotated, "refs/tags/annotated")
        moved = repository.commit(message="moved")
        repository.git("tag", "-f", "light")
        self.wait_for(moved, "refs/tags/light")
        refs = {row["ref"] for row in self.rows()}
        self.assertEqual(refs, {"refs/heads/main", "refs/tags/light", "refs/tags/annotated"})

    def test_a_merge_is_one_commit_of_its_line(self):
        repository = Repository(self.house)
        first = repository.commit()
        self.watch(repository, ref="refs/heads/main")
        self.wait_for(first)
        repository.git("checkout", "-q", "-b", "side")
        repository.git("branch", "-q", "keep", "main")
        for number in range(50):
            repository.commit(message=f"side {number}")
        repository.git("checkout", "-q", "main")
        own = repository.commit(message="main's own")
        repository.git("merge", "-q", "--no-ff", "-m", "merged", "side")
        merge = repository.git("rev-parse", "HEAD")
        self.wait_for(merge)
        self.assertEqual(self.commits("refs/heads/main"), [first, own, merge])

    def test_dates_in_the_future_and_before_all(self):
        repository = Repository(self.house)
        first = repository.commit()
        self.watch(repository)
        self.wait_for(first)
        commits, parent = [], first
        tree = repository.git("rev-parse", "HEAD^{tree}")
        for date in (4102444800, 0, 253402300799, 1, 1700000000):
            repository.environment = {
                **self.house.environment,
                "GIT_COMMITTER_DATE": f"@{date} +0000",
                "GIT_AUTHOR_DATE": f"@{date} -1200",
            }
            parent = repository.git("commit-tree", tree, "-p", parent, "-m", f"at {date}")
            commits.append(parent)
        repository.git("update-ref", "refs/heads/main", parent)
        self.wait_for(parent)
        self.assertEqual(self.commits("refs/heads/main"), [first, *commits])

    def import_all(self, repository, rows):
        repository.git("fast-import", "--quiet", stdin="\n".join(rows) + "\n")

    def test_a_change_is_noticed_when_it_happens(self):
        """The next look by the clock would be in an hour."""
        repository = Repository(self.house)
        tip = repository.commit()
        self.house.broker()
        self.observer(repository, interval="1h")
        self.wait_for(tip)
        self.wait_for(repository.commit(message="next"))
        first = self.add(repository, "refs/heads/deep/er/topic", tip, "in a new folder")
        self.add(repository, "refs/heads/deep/er/topic", first, "in the same")
        repository.git("pack-refs", "--all")
        self.add(repository, "refs/heads/deep/er/topic", tip, "in the folder made anew")

    def test_what_happens_after_a_long_quiet(self):
        """Most looks are spared then: nothing must be."""
        repository = Repository(self.house)
        tip = repository.commit()
        self.watch(repository, "--log-level", "debug")
        self.wait_for(tip)
        for name in ("first", "second"):
            self.wait_until_looks_are_spared()
            self.wait_for(repository.commit(message=name))
            self.wait_until_looks_are_spared()
            topic = self.add(repository, "refs/heads/topic", tip, name)
            self.wait_until_looks_are_spared()
            self.delete_topic(repository)
            self.assertEqual(self.commits("refs/heads/topic")[-1], topic)

    def wait_until_looks_are_spared(self):
        said = "nothing was touched repository=sample"
        before = self.house.log_of("observer").count(said)
        wait_until(lambda: self.house.log_of("observer").count(said) > before + 2, "it is quiet")

    @unittest.skipIf(is_sanitized(), "thousands of everything")
    def test_ten_thousand_refs(self):
        repository = Repository(self.house)
        rows = []
        for number in range(10000):
            rows += [f"commit refs/heads/b{number:05}", "committer A <a@b> 1700000000 +0000"]
            rows += [f"data {len(str(number))}", str(number), ""]
        self.import_all(repository, rows)
        repository.git("pack-refs", "--all")
        start = time.monotonic()
        self.watch(repository)
        last = repository.git("rev-parse", "refs/heads/b09999")
        wait_until(lambda: self.count("accepted") == 10000, "all are accepted", PATIENCE * 10)
        print(f"# 10,000 refs: {time.monotonic() - start:.1f} s")
        wait_until(lambda: self.count("finished") == 10000, "all have ended", PATIENCE * 10)
        wait_until(lambda: self.count_verdicts() == 10000, "all are stored")
        tree = repository.git("rev-parse", f"{last}^{{tree}}")
        more = repository.git("commit-tree", tree, "-p", last, "-m", "more")
        repository.git("update-ref", "refs/heads/b09999", more)
        self.wait_for(more, "refs/heads/b09999", PATIENCE * 4)

    @unittest.skipIf(is_sanitized(), "thousands of everything")
    def test_a_long_history_brings_its_tip(self):
        repository = Repository(self.house)
        rows = []
        for number in range(100000):
            rows += ["commit refs/heads/main", f"committer A <a@b> {1600000000 + number} +0000"]
            rows += [f"data {len(str(number))}", str(number), ""]
        self.import_all(repository, rows)
        tip = repository.git("rev-parse", "main")
        self.watch(repository)
        self.wait_for(tip, seconds=PATIENCE * 4)
        commits = repository.push_many(3)
        self.wait_for(commits[-1])
        self.assertEqual(self.commits("refs/heads/main"), [tip, *commits])

    def test_the_observer_dies_at_random(self):
        seed = int(os.environ.get("FETTLE_SEED", random.randrange(10**6)))
        print(f"# FETTLE_SEED={seed}")
        draw = random.Random(seed)
        repository = Repository(self.house)
        first = repository.commit()
        observer = self.watch(repository)
        self.wait_for(first)
        people = People(repository, draw)
        for _ in range(12):
            for _ in range(draw.randrange(1, 6)):
                people.do_something()
            if draw.random() < 0.7:
                time_to_live = draw.random() * 0.4
                self.assertIsNone(observer.poll())
                wait_a_little(time_to_live)
                self.house.stop(observer, signal.SIGKILL)
                observer = self.observer(repository)
        for ref, tip in people.tips().items():
            self.wait_for(tip, ref)
        line = repository.git("rev-list", "--reverse", "--first-parent", "main").split()
        self.assertEqual(self.commits("refs/heads/main"), line)


def wait_a_little(seconds):
    """The moment of a death is not to be known: nothing is waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        os.sched_yield()


class People:
    """They only add to main; with their own branches they do as they like."""

    def __init__(self, repository, draw):
        self.repository = repository
        self.draw = draw
        self.count = 0

    def tips(self):
        rows = self.repository.git("for-each-ref", "--format=%(refname) %(objectname)")
        return dict(row.split() for row in rows.splitlines())

    def others(self):
        return [ref for ref in self.tips() if ref != "refs/heads/main"]

    def make(self, parent):
        self.count += 1
        tree = self.repository.git("rev-parse", "main^{tree}")
        words = ["-p", parent, "-m", f"number {self.count}"]
        return self.repository.git("commit-tree", tree, *words)

    def move(self, ref, tip):
        self.repository.git("update-ref", ref, tip)

    def do_something(self):
        self.draw.choice((self.push, self.push, self.merge, self.branch, self.rewrite, self.leave))()

    def push(self):
        tip = "refs/heads/main"
        for _ in range(self.draw.randrange(1, 8)):
            tip = self.make(tip)
        self.move("refs/heads/main", tip)

    def merge(self):
        others = self.others()
        if others:
            tree = self.repository.git("rev-parse", "main^{tree}")
            words = ["-p", "main", "-p", self.draw.choice(others), "-m", "merged"]
            self.move("refs/heads/main", self.repository.git("commit-tree", tree, *words))

    def branch(self):
        self.count += 1
        self.move(f"refs/heads/topic-{self.count}", self.make("main"))

    def rewrite(self):
        others = self.others()
        if others:
            ref = self.draw.choice(others)
            self.move(ref, self.make(f"{ref}~1"))

    def leave(self):
        others = self.others()
        if others:
            self.repository.git("update-ref", "-d", self.draw.choice(others))


class DetectByUrl(Detect):
    """The same through a mirror, but for what takes a minute."""

    test_ten_thousand_refs = None
    test_a_long_history_brings_its_tip = None
    test_what_happens_after_a_long_quiet = None  # only a look at a path is spared,
    test_a_change_is_noticed_when_it_happens = None  # and only a path is listened to

    def url(self, repository):
        return f"file://{repository.path}"


if __name__ == "__main__":
    tap.main()
