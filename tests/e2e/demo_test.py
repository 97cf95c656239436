"""`./demo`: the first command of a newcomer."""

import os
import re
import signal
import subprocess
import tempfile

import tap
from fettle import BUILD, Case, Repository, descendants_of, is_alive, wait_until, words_of

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
DEMO = os.path.join(ROOT, "demo")


class Demo(Case):
    def setUp(self):
        super().setUp()
        self.temporary = self.house.path("tmp")
        os.makedirs(self.temporary)

    def words(self, *words):
        return [DEMO, "--build", BUILD, *words]

    def demo(self, *words):
        done = self.house.run(self.words(*words), 120, {"TMPDIR": self.temporary, "CI": "true"})
        self.assertEqual(os.listdir(self.temporary), [], "it leaves its folder behind")
        return done

    def verdicts(self, text):
        line = r"^\S+  \S+ \S+ [0-9a-f]{10}  ([a-z_]+)(?:$|:|  \(| in )"
        return re.findall(line, text, re.MULTILINE)

    def test_green_red_green(self):
        done = self.demo("--once")
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = [word for word in self.verdicts(done.stdout) if word != "accepted"]
        self.assertEqual(seen, ["passed", "failed", "passed"], done.stdout)

    def test_a_repository_of_yours(self):
        repository = Repository(self.house, "yours")
        repository.steps("true")
        before = repository.git("for-each-ref") + repository.git("status", "--porcelain")
        done = self.demo("--once", repository.path, "--interval", "100ms")
        self.assertEqual(done.returncode, 0, done.stderr)
        repository.steps("echo oh no; false")
        done = self.demo(repository.path, "--once")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("oh no", done.stderr)
        repository.git("reset", "-q", "--hard", "HEAD~1")
        after = repository.git("for-each-ref") + repository.git("status", "--porcelain")
        self.assertEqual(before, after)
        repository.steps("true")
        repository.git("checkout", "-q", "--detach", "HEAD~1")
        done = self.demo(repository.path, "--once")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assert_line(done.stderr, "^demo: HEAD of .* is not the newest commit of a branch")

    def test_what_it_cannot_read(self):
        for words, text in (
            (["--once", self.house.path("nowhere")], "cannot read"),
            (["--onse"], "unknown flag"),
            (["one", "two"], "one repository at most"),
            (["--interval"], "needs a value"),
        ):
            done = self.demo(*words)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assert_line(done.stderr, f"^demo: .*{text}")

    def start(self, out, words, said):
        """A demo in the background, from when it has said this."""
        process = subprocess.Popen(
            self.words(*words),
            env={**self.house.environment, "TMPDIR": self.temporary},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )

        def has_said():
            out.seek(0)
            text = out.read()
            self.assertIsNone(process.poll(), text.decode())
            return said in text

        wait_until(has_said, f"it says {said}", 120)
        return process

    def test_it_ends_with_what_it_runs(self):
        repository = Repository(self.house, "yours")
        repository.steps(f"until [ -e {self.house.path('gate')} ]; do sleep 1; done")
        with tempfile.TemporaryFile() as out:
            process = self.start(out, ["--once", repository.path], b"  accepted")
            family = descendants_of(process.pid)
            up = [pid for pid in family if "up" in words_of(pid)[1:2]]
            self.assertEqual(len(up), 1)
            os.kill(up[0], signal.SIGKILL)
            self.assertEqual(process.wait(30), 128 + signal.SIGKILL)
        wait_until(lambda: not [pid for pid in family if is_alive(pid)], "all are gone")
        self.assertEqual(os.listdir(self.temporary), [])

    def test_ctrl_c_leaves_nothing(self):
        with tempfile.TemporaryFile() as out:
            process = self.start(out, [], b"== Following")
            family = descendants_of(process.pid)
            self.assertGreaterEqual(len(family), 4)
            os.killpg(process.pid, signal.SIGINT)
            self.assertEqual(process.wait(30), 130)
        wait_until(lambda: not [pid for pid in family if is_alive(pid)], "all are gone")
        self.assertEqual(os.listdir(self.temporary), [])


if __name__ == "__main__":
    tap.main()
