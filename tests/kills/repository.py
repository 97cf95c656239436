"""A small git repository, made once and only read then."""

import os
import subprocess

import fettle

class Repository:
    """`main` is a chain: `commits`, oldest first, on `before`; `rewritten`, oldest first, stands
    on that, too, on a branch of its own."""

    def __init__(self, folder, count):
        self.path = os.path.join(folder, "repository.git")
        self.environment = fettle.clean_environment(folder)
        self.git("init", "-q", "--bare", "-b", "main", self.path)
        self.git("-C", self.path, "fast-import", "--quiet", stdin=stream(count))
        self.before, *self.commits = self.chain("main")
        _, *self.rewritten = self.chain("rewritten")
        # The third of four fails.
        self.expected = {
            commit: "failed" if number % 4 == 2 else "passed"
            for number, commit in enumerate(self.commits)
        }

    def chain(self, branch):
        return self.git("-C", self.path, "rev-list", "--reverse", branch).split()

    def git(self, *words, stdin=""):
        done = subprocess.run(
            ["git", *words],
            env=self.environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"git {words}: {done.stderr}")
        return done.stdout


def stream(count):
    """For git fast-import. Every fourth commit has a file `fail`."""
    rows = []
    for number in range(count + 1):
        change = "M 100644 inline fail\n" + data("") if number % 4 == 3 else "D fail"
        rows += commit("main", number, change)
    rows += ["reset refs/heads/rewritten", "from :1000", ""]
    for number in range(count + 1, count + 3):
        rows += commit("rewritten", number, "D fail")
    return "\n".join(rows) + "\n"


def commit(branch, number, change):
    return [
        f"commit refs/heads/{branch}",
        f"mark :{1000 + number}",
        f"committer Ada <ada@example.org> {1700000000 + number} +0000",
        data(f"number {number}"),
        f"M 100644 inline file\n{data(str(number))}",
        "M 100644 inline .fettle.yaml\n" + data("steps:\n  - 'true'\n"),
        change,
    ]


def data(text):
    return f"data {len(text)}\n{text}"
