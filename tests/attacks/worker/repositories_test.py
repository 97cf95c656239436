"""Commits that do their worst before a step runs, and files that do it after the last one: trees,
in-repo files, vanished commits, artifacts (bad inputs 24 to 29)."""

import json
import os
import shutil
import subprocess
import unittest

import arena
import bomb
import tap
from fettle import wait_until

EXECUTABLE_FILE = "100644"


class Repositories(arena.Attack):
    worker_flags = ("--repository-files", "1000", "--repository-size", "20M")

    def raw_object(self, kind, data):
        """Write an object as it is, sound or not; its id."""
        done = subprocess.run(
            ["git", "hash-object", "-t", kind, "-w", "--stdin", "--literally"],
            cwd=self.repository.path,
            env=self.repository.environment,
            input=data,
            stdout=subprocess.PIPE,
            check=True,
        )
        return done.stdout.decode().strip()

    def raw_tree(self, *entries):
        """A tree of (mode, name, id), names as git would never write them."""
        rows = (
            mode.encode() + b" " + name.encode() + b"\0" + bytes.fromhex(id_)
            for mode, name, id_ in sorted(entries, key=lambda one: one[1])
        )
        return self.raw_object("tree", b"".join(rows))

    def push_tree(self, tree):
        commit = self.repository.git("commit-tree", tree, "-m", "a raw tree")
        self.repository.git("update-ref", "refs/heads/main", commit)
        return commit

    def steps_blob(self):
        return self.raw_object("blob", b'steps: ["echo ran"]\n')

    def assert_refused(self, commit, reason):
        self.house.wait(commit, 120)
        self.assert_job(commit, "error", reason)
        self.assert_gone(15)
        self.assertTrue(self.house.answers())

    def test_a_tree_of_very_many_files(self):
        """Ten thousand entries, a hundred times each: a million files, in two small objects."""
        blob = self.raw_object("blob", b"x")
        inner = self.raw_tree(*((EXECUTABLE_FILE, f"f{i:05}", blob) for i in range(10000)))
        folders = [("40000", f"d{i:03}", inner) for i in range(100)]
        steps = (EXECUTABLE_FILE, ".fettle.yaml", self.steps_blob())
        commit = self.push_tree(self.raw_tree(steps, *folders))
        self.assert_refused(commit, "repository too large.*files")
        self.assert_works_again()

    def test_a_file_that_unpacks_to_very_much(self):
        path = os.path.join(self.repository.path, "zeros")
        with open(path, "wb") as file:
            file.truncate(100 << 20)
        commit = self.repository.steps("echo ran")
        self.assert_refused(commit, "repository too large")
        self.repository.git("rm", "-q", "-f", "zeros")
        self.assert_works()

    def test_a_delta_bomb(self):
        """Three gigabytes, by a pack of 16 KiB: no command of git's may make them."""
        small, large = bomb.plant(self.repository.path, 200)
        files = ((EXECUTABLE_FILE, "small", small), (EXECUTABLE_FILE, "large", large))
        steps = (EXECUTABLE_FILE, ".fettle.yaml", self.steps_blob())
        with arena.Peak(self.worker, self.observer) as peak:
            commit = self.push_tree(self.raw_tree(steps, *files))
            self.assert_refused(commit, "cannot fetch .*: fatal: ")
        self.assertIn(" over limit ", self.log(commit))
        self.assert_small(peak)
        self.assert_works_again()
        self.assert_heartbeats("a delta bomb")

    def test_an_in_repo_file_that_is_a_delta_bomb(self):
        _, large = bomb.plant(self.repository.path, 200)
        with arena.Peak(self.worker, self.observer) as peak:
            commit = self.push_tree(self.raw_tree((EXECUTABLE_FILE, ".fettle.yaml", large)))
            verdict = self.house.wait(commit, 60)
        self.assertEqual(verdict["outcome"], "error", verdict)
        self.assertRegex(self.job(commit)["reason"], r"\.fettle\.yaml.*256 KiB")
        self.assert_small(peak)
        self.assert_works_again()

    @unittest.skipIf(arena.IS_SANITIZED, "sanitized looks at repositories have no limit of memory")
    def test_an_observer_fetches_a_delta_bomb(self):
        """The repository is looked at in vain; the other one, by the same observer, is fine."""
        other = arena.Repository(self.house, "other")
        small, large = bomb.plant(other.path, 200)
        self.house.stop(self.observer)
        self.repository, first = other, self.repository
        files = ((EXECUTABLE_FILE, "small", small), (EXECUTABLE_FILE, "large", large))
        self.push_tree(self.raw_tree(*files))
        self.repository = first
        self.observer = self.house.observer(self.repository, f"file://{other.path}", name="both")
        with arena.Peak(self.observer) as peak:
            said = 'failing repository=other error="fetch: failed to apply delta'
            wait_until(lambda: said in self.house.log_of("both"), "it fails", 60)
        self.assert_small(peak)
        self.assert_works()

    def assert_small(self, peak):
        """In memory and on disk."""
        self.assertLess(peak.memory, 1 << 30, peak.who)
        folder = self.house.path("worker-one")
        stats = (
            os.lstat(os.path.join(root, name))
            for root, _, names in os.walk(folder)
            for name in names
        )
        self.assertLess(sum(one.st_blocks * 512 for one in stats), 64 << 20)

    def assert_works_again(self):
        """From a history of its own, for the tree before is not one to check out."""
        self.repository.git("symbolic-ref", "HEAD", "refs/heads/fresh")
        self.repository.git("read-tree", "--empty")
        self.assert_works()

    def test_names_that_lead_outside(self):
        blob = self.raw_object("blob", b"out of here")
        inner = self.raw_tree((EXECUTABLE_FILE, "escaped", blob))
        for name in ("..", ".git", ".GIT", "a/../../b", "."):
            steps = (EXECUTABLE_FILE, ".fettle.yaml", self.steps_blob())
            commit = self.push_tree(self.raw_tree(steps, ("40000", name, inner)))
            self.house.wait(commit, 60)
            job = self.job(commit)
            self.assertIn(job["outcome"], ("error", "passed"), job)
            if name != ".GIT":  # a name like any other where names differ by case
                self.assertEqual(job["outcome"], "error", (name, job))
        for root, _, names in os.walk(self.house.folder):
            if "/jobs/" not in root and "/trees/" not in root:
                self.assertNotIn("escaped", names, root)

    def test_a_submodule_that_points_away(self):
        gitmodules = self.raw_object(
            "blob", b'[submodule "x"]\n\tpath = x\n\turl = ext::touch pwned\n\tupdate = !touch p\n'
        )
        tree = self.raw_tree(
            (EXECUTABLE_FILE, ".fettle.yaml", self.steps_blob()),
            (EXECUTABLE_FILE, ".gitmodules", gitmodules),
            ("160000", "x", "1" * 40),
        )
        commit = self.push_tree(tree)
        self.house.wait(commit)
        self.assert_job(commit, "passed")
        for root, _, names in os.walk(self.house.folder):
            self.assertFalse({"pwned", "p"} & set(names), root)

    def test_a_commit_that_is_gone_before_its_checkout(self):
        for slot in range(self.slots):
            blocker = self.repository.steps("echo working; sleep 3", message=str(slot))
            self.house.wait_running(blocker, "one")
        doomed = self.repository.steps("echo doomed")
        wait_until(lambda: self.job(doomed), "it is accepted")
        self.stop_worker_at_once()
        self.repository.git("reset", "-q", "--hard", blocker)
        self.repository.git("reflog", "expire", "--expire=now", "--all")
        self.repository.git("gc", "-q", "--prune=now")
        shutil.rmtree(self.house.path("worker-one"), ignore_errors=True)
        self.worker = self.house.worker("one", *self.worker_flags, slots=self.slots)
        self.house.wait(doomed, 60)
        self.assert_job(doomed, "error", "commit gone: .* is not in .* any more")
        self.assert_works()

    def stop_worker_at_once(self):
        self.house.stop(self.worker)

    def test_in_repo_files_that_are_none(self):
        cases = {
            "a link": ("120000", b"/etc/passwd"),
            "a binary": (EXECUTABLE_FILE, bytes(range(256)) * 10),
            "very large": (EXECUTABLE_FILE, b"steps: [a]\n" + b"#" * (100 << 20)),
            "cyclic": (EXECUTABLE_FILE, b"steps: &a [*a]\n"),
            "of very many nodes": (EXECUTABLE_FILE, b"steps: [" + b"a," * 20000 + b"]\n"),
        }
        for name, (mode, data) in cases.items():
            with self.subTest(name):
                blob = self.raw_object("blob", data)
                commit = self.push_tree(self.raw_tree((mode, ".fettle.yaml", blob)))
                verdict = self.house.wait(commit, 60)
                self.assertEqual(verdict["outcome"], "error", verdict)
                self.assertRegex(json.dumps(self.house.json("show", commit)), r"\.fettle\.yaml")
        folder = self.raw_tree((EXECUTABLE_FILE, "file", self.raw_object("blob", b"x")))
        commit = self.push_tree(self.raw_tree(("40000", ".fettle.yaml", folder)))
        self.assertIn(self.house.wait(commit, 60)["outcome"], ("error", "skipped"))


class Artifacts(arena.Attack):
    worker_flags = ("--max-artifacts", "1M")

    def collect(self, step, patterns="out/**"):
        return self.run_job(step, more=f'artifacts: ["{patterns}"]\n', seconds=120)

    def listed(self, commit):
        return self.house.cli("artifacts", commit).stdout

    def test_files_that_are_none(self):
        secret = self.house.path("secret")
        with open(secret, "w", encoding="utf-8") as file:
            file.write("canary-of-the-host")
        os.chmod(secret, 0o644)
        step = (
            f"mkdir out; cd out; ln -s {secret} link; ln -s {self.house.folder} folder; "
            f"ln {secret} hard 2>/dev/null || true; mkfifo fifo; echo good > good"
        )
        commit = self.collect(step)
        self.assert_job(commit, "passed")
        self.assertIn("good", self.listed(commit))
        log = self.log(commit)
        for name in ("link", "fifo"):
            self.assertNotRegex(self.listed(commit), rf"out/{name}\b")
            self.assertRegex(log, rf"out/{name}\b")
        target = self.house.path("fetched")
        done = self.house.cli("artifacts", commit, "-o", target)
        self.assertEqual(done.returncode, 0, done.stderr)
        for root, _, names in os.walk(target):
            for name in names:
                with open(os.path.join(root, name), "rb") as file:
                    self.assertNotIn(b"canary", file.read())

    def test_very_much(self):
        for step in (
            "mkdir out; truncate -s 8G out/sparse",
            "mkdir out; head -c 2M /dev/urandom > out/large",
            "mkdir out; cd out; seq 20000 | xargs touch",
        ):
            commit = self.collect(step)
            self.assert_job(commit, "error", "limit")
            self.assert_gone()
        self.assert_works()


if __name__ == "__main__":
    tap.main()
