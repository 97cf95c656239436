"""The first set-up of three machines, as docs/security.md has it: its lines are run on machines of
the test's own, with the addresses that the page gives them, and a commit gets its verdict.

Usage: setup_test.py BUILD"""

import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(1, os.path.join(HERE, "..", "e2e"))

import fettle
import machines
import tap

PAGE = os.path.join(HERE, "..", "..", "docs", "security.md")
BROKER, OBSERVER, WORKER, OWN = "192.0.2.10", "192.0.2.11", "192.0.2.12", "192.0.2.13"
WHERE = {"broker": BROKER, "observer": OBSERVER, "worker": WORKER, "own": OWN}
LINES = 10
INVITED = re.compile(r"echo fettle-invite:(?!.*\.\.\.)\S+ \| fettle keys accept$", re.MULTILINE)


def lines_of_page():
    """[(machine, line)] in the order of the page; comments are no part of a line."""
    with open(PAGE, encoding="utf-8") as file:
        chapter = file.read().split("\n## First set-up\n")[1].split("\n## ")[0]
    found = []
    for block in re.findall(r"```sh\n(.*?)```", chapter, re.DOTALL):
        head, *rows = block.strip().splitlines()
        machine = re.fullmatch(r"# the (\w+)'s machine", head)[1]
        found += [(machine, re.sub(r"\s+# .*", "", row)) for row in rows]
    return found


class Setup(fettle.Case):
    def setUp(self):
        super().setUp()
        path = self.house.path("hosts")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"127.0.0.1 localhost\n{BROKER} git.example\n")
        self.street = machines.Street(path)
        self.addCleanup(self.street.close)
        self.link_programs()
        for name, address in WHERE.items():
            self.furnish(self.street.machine(name, f"{address}/24"), name)
        self.letters = []

    def link_programs(self):
        """On the way where a shell looks for programs."""
        folder = self.house.path("programs")
        os.mkdir(folder)
        for name in ("broker", "observer", "worker"):
            os.symlink(fettle.program(name), os.path.join(folder, f"fettle-{name}"))
        os.symlink(fettle.program("fettle"), os.path.join(folder, "fettle"))
        self.path = f"{folder}:{self.house.environment['PATH']}"

    def furnish(self, machine, name):
        """A home and a /var/lib of its own."""
        for folder in ("home", "lib"):
            os.makedirs(self.house.path(name, folder))
        machine.run(f"mount --bind {self.house.path(name, 'lib')} /var/lib")

    def environment(self, name):
        return {"HOME": self.house.path(name, "home"), "PATH": self.path}

    def run_on(self, name, line):
        """A line to its end; returns what it printed."""
        words = self.street.machines[name].words(["sh", "-c", line])
        done = self.house.run(words, environment=self.environment(name))
        self.assertEqual(done.returncode, 0, f"{line}\n{done.stdout}{done.stderr}")
        return done.stdout

    def start_on(self, name, line):
        words = self.street.machines[name].words(["sh", "-c", f"exec {line}"])
        self.house.start(name, words, self.environment(name))

    def serve(self, repository):
        """git.example is on the broker's machine, and has no certificate."""
        words = ["git", "daemon", f"--base-path={os.path.dirname(repository.path)}"]
        words += ["--export-all", "--reuseaddr"]
        daemon = self.house.start("git", self.street.machines["broker"].words(words))
        self.addCleanup(self.house.stop, daemon)
        there = self.street.machines["broker"].run
        fettle.wait_until(lambda: ":9418" in there("ss -Hltn"), "git is served")

    def do(self, name, line):
        """A line of the page, as somebody at that machine does it."""
        line = line.replace("https://git.example/", "git://git.example/")
        if line.startswith("echo fettle-invite:"):
            line = self.letters.pop(0)
        if line.endswith(" &"):
            self.start_on(name, line[:-2])
            return ""
        printed = self.run_on(name, line)
        self.letters += INVITED.findall(printed)
        return printed

    def wait_for(self, name, line, pattern):
        fettle.wait_until(lambda: re.search(pattern, self.run_on(name, line)), f"{line}: {pattern}")

    def peers(self):
        """Who is connected to the broker's workers' door, as its machine knows it."""
        said = self.street.machines["broker"].run("ss -Htn state established sport = :5570")
        return {row.split()[-1].rsplit(":", 1)[0].strip("[]:f") for row in said.splitlines()}

    def refuses_strangers(self):
        words = self.street.machines["own"].words([fettle.program("fettle"), "status"])
        done = self.house.run([*words, "--broker", BROKER])
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assert_line(done.stderr, "the broker wants a key")

    def test_ten_lines_set_up_three_machines(self):
        repository = fettle.Repository(self.house, "project.git")
        commit = repository.steps("cat /etc/hosts", "echo working")
        self.serve(repository)
        lines = lines_of_page()
        self.assertEqual(len(lines), LINES)
        for name, line in lines[:-1]:
            self.do(name, line)
        self.wait_for(*lines[-1], r"build1 .*\bidle\b")
        own = self.run_on("own", self.letters.pop(0))
        ask = re.search(r"next: (fettle) status (--broker .*)", own).groups()
        self.assertEqual(self.letters, [])
        self.run_on("own", f"{ask[0]} wait {commit} {ask[1]} --timeout {int(fettle.PATIENCE)}s")
        self.assertIn("build1", self.run_on("own", f"{ask[0]} show {commit} {ask[1]}"))
        self.assertIn("working", self.run_on("own", f"{ask[0]} log {commit} {ask[1]}"))
        self.assertEqual(self.peers(), {WORKER})
        self.refuses_strangers()


def main():
    machines.enter("setup")
    tap.main()


if __name__ == "__main__":
    main()
