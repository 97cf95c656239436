"""What an installation puts where, and that a service manager and man would take it."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

import tap
from fettle import BUILD

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PROGRAMS = ("fettle", "fettle-broker", "fettle-observer", "fettle-supervisor", "fettle-worker")
PAGES = ("fettle", "fettle-broker", "fettle-observer", "fettle-worker")
UNITS = ("fettle-broker.service", "fettle-observer.service", "fettle-worker@.service")


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="fe-")
        cls.addClassCleanup(shutil.rmtree, cls.root)
        environment = os.environ | {"DESTDIR": cls.root}
        subprocess.run(
            ["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet"],
            env=environment,
            check=True,
            capture_output=True,
        )
        with open(os.path.join(BUILD, "meson-info", "intro-buildoptions.json"), encoding="utf-8") as file:
            cls.prefix = re.search(r'"name": "prefix", "value": "([^"]+)"', file.read())[1]

    def path(self, *names):
        return os.path.join(self.root + self.prefix, *names)

    def read(self, *names):
        with open(self.path(*names), encoding="utf-8") as file:
            return file.read()

    def test_programs_are_side_by_side(self):
        for name in PROGRAMS:
            self.assertTrue(os.access(self.path("bin", name), os.X_OK), name)

    def test_each_unit_starts_a_program_that_is_there(self):
        for name in UNITS:
            unit = self.read("lib/systemd/system", name)
            program = re.search(r"^ExecStart=(\S+)", unit, re.MULTILINE)[1]
            self.assertTrue(os.access(self.root + program, os.X_OK), program)
            for line in ("Type=notify", "NotifyAccess=main", "PartOf=fettle.target"):
                self.assertIn(f"\n{line}\n", unit)
            self.assertRegex(unit, r"\nWatchdogSec=\d+s\n")
        self.assertIn("[Install]", self.read("lib/systemd/system/fettle.target"))

    def test_shells_find_how_to_complete(self):
        for name in ("bash-completion/completions/fettle", "zsh/site-functions/_fettle"):
            self.assertIn("_fettle() {", self.read("share", name))
        self.assertIn("complete -c fettle", self.read("share/fish/vendor_completions.d/fettle.fish"))

    def test_the_users_of_units_are_made(self):
        users = re.findall(r"^u (\S+)", self.read("lib/sysusers.d/fettle.conf"), re.MULTILINE)
        for name in UNITS:
            for user in re.findall(r"^User=(\S+)", self.read("lib/systemd/system", name), re.MULTILINE):
                self.assertIn(user, users)

    def test_each_program_has_its_page_with_all_its_flags(self):
        for name in PAGES:
            page = self.read("share/man/man1", f"{name}.1").replace("\\-", "-")
            self.assertNotIn("@", re.sub(r"\S+@\S+", "", page), name)
            flags = re.findall(r" --([a-z-]+)", self.help_of(name))
            self.assertIn("help", flags + ["help"])
            for flag in flags:
                self.assertIn(f"--{flag}", page, name)

    def test_each_verb_is_in_the_page_with_all_its_flags(self):
        page = self.read("share/man/man1/fettle.1").replace("\\-", "-")
        with open(os.path.join(SOURCES, "cli", "commands.def"), encoding="utf-8") as file:
            verbs = re.findall(r"^COMMAND\((\w+)", file.read(), re.MULTILINE)
        self.assertGreaterEqual(len(verbs), 10)
        for verb in (verb.replace("_", " ") for verb in verbs):
            self.assertIn(f".SS fettle {verb}", page)
            part = page.partition(f".SS fettle {verb}")[2].partition(".SS")[0]
            for flag in re.findall(r"^  .{4}--([a-z-]+)", self.help_of("fettle", *verb.split()), re.MULTILINE):
                self.assertIn(f"--{flag}", part, verb)

    def help_of(self, *words):
        program = self.path("bin", words[0])
        done = subprocess.run(
            [program, *words[1:], "--help"], capture_output=True, text=True, check=True
        )
        return done.stdout

    def test_man_finds_nothing_wrong(self):
        if not shutil.which("mandoc"):
            self.skipTest("mandoc is not installed")
        for name in PAGES:
            done = subprocess.run(
                ["mandoc", "-T", "lint", "-W", "error", self.path("share/man/man1", f"{name}.1")],
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual(done.stdout, "")

    def test_systemd_finds_nothing_wrong(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd is not installed")
        folder = self.path("lib/systemd/system")
        for name in UNITS:  # as they would find their programs
            unit = self.read("lib/systemd/system", name).replace(
                f"ExecStart={self.prefix}", f"ExecStart={self.root}{self.prefix}"
            )
            unit = re.sub(r"^Documentation=.*\n", "", unit, flags=re.MULTILINE)
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(unit)
        paths = [os.path.join(folder, name.replace("@.", "@1.")) for name in UNITS]
        done = subprocess.run(
            ["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False
        )
        complaints = [line for line in done.stderr.splitlines() if "fettle" in line]
        self.assertEqual(complaints, [])


if __name__ == "__main__":
    tap.main()
