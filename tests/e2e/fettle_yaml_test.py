"""docs/fettle-yaml.md: every example is what the page says. And `fettle lint`, which reads them."""

import json
import os
import re

import tap
from fettle import Case, Repository, program

PAGE = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "fettle-yaml.md")
EXAMPLE = re.compile(r"^(?:<!-- (\w+): (\w+) -->\n)?```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What the examples run.
MAKEFILE = """
all lint docs dist upload test:
\tmkdir -p out dist
\techo $@ $(COMPILER) $(PYTHON) | tee out/$@.log dist/$@
\ttest "$(RESULT)" != red
"""


def page():
    with open(PAGE, encoding="utf-8") as file:
        return file.read()


def examples():
    """(what is done with it, what comes out, the file) of each."""
    return [(how or "lint", what or "good", text) for how, what, text in EXAMPLE.findall(page())]


class Examples(Case):
    def lint(self, text, *flags):
        path = self.house.path(".fettle.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return self.house.run([program("fettle"), "lint", *flags])

    def test_all_are_found(self):
        self.assertEqual(len(examples()), page().count("```yaml"))
        self.assertGreaterEqual(sum(how == "run" for how, _, _ in examples()), 7)

    def test_each_is_good_or_refused_as_the_page_says(self):
        for _, what, text in examples():
            done = self.lint(text)
            self.assertEqual(done.returncode, 2 if what == "refused" else 0, text + done.stderr)

    def test_what_lint_says_is_on_the_page(self):
        refused = [text for _, what, text in examples() if what == "refused"]
        self.assertEqual(len(refused), 1)
        said = self.lint(refused[0]).stderr
        self.assertGreater(len(said.splitlines()), 2)
        self.assertIn(f"```text\n{said}```", page())

    def test_each_ends_as_the_page_says(self):
        repository = Repository(self.house)
        repository.write({"Makefile": MAKEFILE})
        self.house.broker()
        self.house.worker(slots=2, labels=["linux", "gcc", "clang"])
        self.house.observer(repository)
        for how, what, text in examples():
            if how != "run":
                continue
            result = self.house.wait(repository.commit({".fettle.yaml": text}), 120)
            self.assertEqual(result["outcome"], what, text + json.dumps(result["builds"]))
            reason = result["builds"][0]["jobs"][0]["reason"]
            if what == "failed":
                self.assertIn(f"`failed: {reason}`", page())

    def test_a_matrix_runs_each_combination(self):
        repository = Repository(self.house)
        repository.write({"Makefile": MAKEFILE})
        self.house.broker()
        self.house.worker(slots=4)
        self.house.observer(repository)
        text = [text for _, _, text in examples() if "matrix:" in text and "PYTHON" in text][0]
        commit = repository.commit({".fettle.yaml": text})
        self.assertEqual(self.house.verdict(commit, 120), "passed")
        for compiler in ("gcc", "clang"):
            for python in ("3.10", "3.11"):
                log = self.house.cli("log", f"{commit}/unit-{compiler}-{python}").stdout
                self.assertIn(f"test {compiler} {python}", log.splitlines())


class Verdicts(Case):
    def everything(self):
        repository = Repository(self.house)
        self.house.broker()
        self.house.worker(slots=2)
        self.house.observer(repository)
        return repository

    def ends(self, commit):
        """Outcome and reason of each job of a commit's only build, and the build's outcome."""
        result = self.house.wait(commit)
        self.assertEqual(len(result["builds"]), 1, result)
        rows = result["builds"][0]["jobs"]
        jobs = {job["name"]: (job["outcome"], job["reason"]) for job in rows}
        return result["outcome"], jobs

    def test_what_branches_and_paths_leave_out_is_skipped(self):
        repository = self.everything()
        text = (
            "jobs:\n"
            "  code: {steps: 'true', paths: [src, .fettle.yaml]}\n"
            "  docs: {steps: 'true', paths: docs}\n"
            "  release: {steps: 'true', branches: 'release/*', paths: src}\n"
        )
        unchanged = ("skipped", "nothing in its paths has changed")
        left_out = ("skipped", "its branches leave out main")
        green = ("passed", None)

        commit = repository.commit({".fettle.yaml": text, "src/a": "1"})
        expected = {"code": green, "docs": unchanged, "release": left_out}
        self.assertEqual(self.ends(commit), ("passed", expected))
        commit = repository.commit({"docs/a": "1"})
        expected = {"code": unchanged, "docs": green, "release": left_out}
        self.assertEqual(self.ends(commit), ("passed", expected))

        commit = repository.commit({"README": "1"})
        expected = {"code": unchanged, "docs": unchanged, "release": left_out}
        self.assertEqual(self.ends(commit), ("skipped", expected))
        self.assertEqual(self.house.cli("wait", commit).returncode, 0)

        repository.git("checkout", "-q", "-b", "release/1")
        commit = repository.commit({"src/a": "2"})
        expected = {"code": green, "docs": unchanged, "release": green}
        self.assertEqual(self.ends(commit), ("passed", expected))

    def test_what_may_fail_leaves_its_build_green(self):
        repository = self.everything()
        text = "jobs:\n  a: {steps: 'true'}\n  b: {steps: 'false', allow_failure: true}\n"
        outcome, jobs = self.ends(repository.commit({".fettle.yaml": text}))
        self.assertEqual((outcome, jobs["a"][0], jobs["b"][0]), ("passed", "passed", "failed"))

    def test_a_bad_file_gets_all_its_problems_into_the_reason(self):
        repository = Repository(self.house)
        self.house.broker()
        self.house.observer(repository)
        rows = "".join(f"  a-{number}: x\n" for number in range(500))
        commit = repository.commit({".fettle.yaml": f"step: [make]\nenv:\n{rows}timeout: soon\n"})
        result = self.house.wait(commit)
        self.assertEqual(result["outcome"], "error")
        reason = result["builds"][0]["jobs"][0]["reason"]
        self.assertIn('.fettle.yaml:1:1: unknown key "step", did you mean "steps"?; ', reason)
        self.assertIn('.fettle.yaml:3:3: "a-0" cannot be the name', reason)
        self.assertRegex(reason, r"; and \d+ more$")
        self.assertLess(len(reason), 1024)


class Lint(Case):
    def lint(self, *words, folder=None):
        folder = folder or self.house.folder
        return self.house.run(["env", "-C", folder, program("fettle"), "lint", *words])

    def write(self, name, text):
        path = self.house.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_jobs_are_listed(self):
        self.write(
            ".fettle.yml",
            "jobs:\n  unit:\n    matrix: {cc: [gcc, clang]}\n"
            "    steps: [make, {name: logs, run: cat x, always: true}]\n"
            "  lint: {after: unit, branches: main, paths: src, priority: 3, timeout: 90s,\n"
            "    allow_failure: yes, network: no, limits: {memory: 1G}, steps: make lint}\n",
        )
        done = self.lint()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(
            done.stdout,
            "unit-gcc\n  env: CC=gcc\n  step 1: make\n  step 2 (logs), always: cat x\n"
            "unit-clang\n  env: CC=clang\n  step 1: make\n  step 2 (logs), always: cat x\n"
            "lint\n  after: unit-gcc, unit-clang\n  branches: main\n  paths: src\n"
            "  step 1: make lint\n  timeout: 1m 30s\n  limits: 1.0 GiB of memory\n"
            "  network: false\n  priority: 3\n  allow_failure: true\n",
        )
        answer = json.loads(self.lint("--json").stdout)
        self.assertEqual(list(answer), ["file", "jobs", "problems"])
        self.assertEqual((answer["file"], answer["problems"]), (".fettle.yml", []))
        self.assertEqual([row["job"]["name"] for row in answer["jobs"]][2], "lint")
        self.assertEqual(answer["jobs"][2]["paths"], ["src"])
        self.assertEqual(answer["jobs"][2]["job"]["after"], ["unit-gcc", "unit-clang"])

    def test_problems_are_told_one_a_line(self):
        path = self.write("bad.yaml", "step: x\nenv: &a {}\n")
        done = self.lint(path)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(
            done.stderr,
            f'{path}:1:1: unknown key "step", did you mean "steps"?\n'
            f"{path}:2:6: anchors (&...) are not supported; quote a text that begins with &\n"
            "fettle: 2 problems\n",
        )
        done = self.lint(path, "--json")
        self.assertEqual(done.returncode, 2)
        problems = json.loads(done.stdout)["problems"]
        self.assertEqual([(row["line"], row["column"]) for row in problems], [(1, 1), (2, 6)])

    def test_stdin(self):
        done = self.lint("-")  # it is empty
        self.assertEqual(done.returncode, 2)
        self.assertIn("stdin:1:1: the file is empty", done.stderr)

    def test_what_is_no_file_is_refused(self):
        path = self.write("good.yaml", "steps: x\n")
        os.symlink(path, self.house.path("link.yaml"))
        os.mkfifo(self.house.path("fifo"))
        self.write("large.yaml", "#" * (256 * 1024 + 1))
        for name, why in (
            ("nowhere.yaml", "No such file"),
            ("link.yaml", "a symbolic link; it must be a regular file"),
            ("fifo", "not a regular file"),
            (".", "not a regular file"),
        ):
            done = self.lint(name)
            self.assertEqual((done.returncode, done.stdout), (2, ""), name)
            self.assert_line(done.stderr, f"^fettle: {re.escape(name)}: {why}")
        self.assertIn("large.yaml:1:1: the file is over 256 KiB", self.lint("large.yaml").stderr)
        self.assertEqual(self.lint(path).returncode, 0)

    def test_a_file_cannot_speak_to_the_terminal(self):
        path = self.write("bad.yaml", 'steps: ["a\\eb"]\n"x\\e[31m": 1\n')
        done = self.lint(path)
        self.assertEqual(done.returncode, 2)
        self.assertNotIn("\x1b", done.stderr + done.stdout)
        path = self.write("good.yaml", 'steps: ["a\\e[31mb"]\n')
        self.assertNotIn("\x1b", self.lint(path).stdout)


if __name__ == "__main__":
    tap.main()
