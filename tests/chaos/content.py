"""Git repositories that never rest: commits on several branches, branches that are rewritten,
deleted and made again. What each commit's jobs do, and so their verdicts, is known beforehand."""

import json
import os
import subprocess

# Each line of a log says whose it is, so that a doubled, missing or foreign one shows.
WHO = 'W="$FETTLE_COMMIT/$FETTLE_JOB/$FETTLE_ATTEMPT"'
LINES = WHO + "; i=1; while [ $i -le {count} ]; do echo \"$W line $i of {count}\"; {more}" + (
    "i=$((i+1)); done"
)
PAD = "x" * 100


def lines(count, more=""):
    return LINES.format(count=count, more=more)


def job(*steps, labels=()):
    return {"steps": list(steps), "labels": list(labels)}


# kind: (share of the commits, what its jobs do, how they end). JSON is YAML.
KINDS = {
    "short": (40, job(lines(3)), "passed"),
    "longer": (12, job(lines(30), "exit 0"), "passed"),
    "fails": (14, job(lines(5), "exit 3"), "failed"),
    "slow": (8, job(lines(8, "sleep 0.2; ")), "passed"),
    "slower": (3, job(lines(15, "sleep 0.2; ")), "passed"),
    "long": (2, job(lines(35, "sleep 0.2; ")), "passed"),
    "leaves": (6, job("sleep 1000 & sleep 1000 &", lines(4)), "passed"),
    "escapes": (2, job("setsid sleep 1000 &", lines(4)), "passed"),
    "loud": (3, job(f'{WHO}; seq -f "$W line %.0f of 10000 {PAD}" 10000'), "passed"),
    "linux": (5, job(lines(3), labels=["linux"]), "passed"),
    "gcc": (3, job(lines(3), labels=["linux", "gcc"]), "passed"),
    "several": (
        4,
        {"jobs": {"good": job(lines(4)), "bad": job(lines(4), "exit 1"), "late": job(lines(9))}},
        {"good": "passed", "bad": "failed", "late": "passed"},
    ),
}
ZERO = "0" * 40


class Branch:
    def __init__(self, name):
        self.ref = f"refs/heads/{name}"
        self.commits = []  # its line, oldest first
        self.deleted = False


class Content:
    """One repository. A tick adds commits; git writes them in one go."""

    def __init__(self, folder, name, branches, seed_random, expected):
        self.name = name
        self.path = os.path.join(folder, name)
        self.random = seed_random
        self.expected = expected  # shared by all repositories
        self.branches = [Branch(one) for one in branches]
        self.main = self.branches[0]  # always there
        self.made = 0  # commits
        self.rewritten = self.deleted = 0
        self.environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": folder}
        self.git("init", "-q", "--bare", "-b", "main", self.path, place=folder)

    def git(self, *words, stdin=None, place=None):
        done = subprocess.run(
            ["git", *words],
            cwd=place or self.path,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"git {words}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode()

    def tick(self, count):
        """Make `count` commits, each on some branch; sometimes change what a branch is."""
        stream, made = [], []
        for branch in self.branches:
            if self.random.random() < 0.04:
                self.upset(branch, stream)
        for _ in range(count):
            there = [one for one in self.branches if not one.deleted and self.main.commits]
            branch = self.random.choice(there or [self.main])
            made.append((branch, self.add(branch, stream, len(made))))
        self.write(stream, made)

    def upset(self, branch, stream):
        """Rewind a branch, delete it, or make it anew from another one."""
        if branch.deleted:
            source = self.main
            branch.commits = source.commits[: self.random.randint(1, len(source.commits))]
            branch.deleted = False
            stream.append(f"reset {branch.ref}\nfrom {branch.commits[-1]}\n\n")
        elif branch is not self.main and branch.commits and self.random.random() < 0.5:
            branch.deleted = True
            self.deleted += 1
            stream.append(f"reset {branch.ref}\nfrom {ZERO}\n\n")
        elif len(branch.commits) > 10:
            del branch.commits[-self.random.randint(1, 5) :]
            self.rewritten += 1
            stream.append(f"reset {branch.ref}\nfrom {branch.commits[-1]}\n\n")

    def pick(self):
        names = list(KINDS)
        return self.random.choices(names, [KINDS[name][0] for name in names])[0]

    def add(self, branch, stream, number, kind=None):
        """The words for one commit; its id is known once git made it. Returns its kind."""
        kind = kind or self.pick()
        self.made += 1
        file = json.dumps(KINDS[kind][1], indent=1).encode()
        message = f"{kind} {self.name} {self.made}".encode()
        branch.commits = branch.commits or list(self.main.commits)
        parent = branch.commits[-1] if branch.commits else None
        rows = [f"commit {branch.ref}\nmark :{number + 1}\n"]
        rows.append(f"committer Ada <ada@example.org> {1700000000 + self.made} +0000\n")
        rows.append(f"data {len(message)}\n{message.decode()}\n")
        if parent:
            rows.append(f"from {parent}\n")
        rows.append(f"M 100644 inline .fettle.yaml\ndata {len(file)}\n{file.decode()}\n\n")
        stream.append("".join(rows))
        branch.commits.append(f":{number + 1}")  # until it has an id
        return kind

    def write(self, stream, made):
        """Let git make what was thought of, and learn the ids."""
        if not stream:
            return
        marks = os.path.join(self.path, "marks")
        words = ["fast-import", "--quiet", "--force", f"--export-marks={marks}"]
        self.git(*words, stdin="".join(stream).encode())
        with open(marks, encoding="utf-8") as file:
            ids = dict(row.split() for row in file)
        os.remove(marks)
        for branch in self.branches:
            branch.commits = [ids.get(one, one) for one in branch.commits]
        for number, (_, kind) in enumerate(made):
            self.expected[ids[f":{number + 1}"]] = KINDS[kind][2]

    def last(self):
        """One more commit on each branch that is there: at the end each tip is a new one."""
        stream, made = [], []
        for branch in self.branches:
            if not branch.deleted:
                made.append((branch, self.add(branch, stream, len(made), "short")))
        self.write(stream, made)
        return [branch.commits[-1] for branch, _ in made]
