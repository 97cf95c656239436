"""Shells complete the command as its table says: real ones do it."""

import re
import shutil
import unittest

import fettle
import tap
from terminal import Terminal

SCRIPT = """source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_fettle
printf '%s\\n' "${COMPREPLY[@]}"
"""


class Completion(fettle.Case):
    def setUp(self):
        super().setUp()
        self.scripts = {}
        for shell in ("bash", "zsh", "fish"):
            self.scripts[shell] = self.house.path(f"completion.{shell}")
            done = self.fettle("completion", shell, "--file", self.scripts[shell])
            self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def fettle(self, *words):
        return self.house.run([fettle.program("fettle"), *words])

    def complete(self, *words):
        done = self.house.run(
            ["bash", "--norc", "-c", SCRIPT, "bash", self.scripts["bash"], "fettle", *words]
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def verbs(self):
        rows = self.fettle("--help").stdout.splitlines()
        found = [re.match(r"  ([a-z]+(?: [a-z]+)?)  +[A-Z]", row) for row in rows]
        return [one[1] for one in found if one]

    def test_bash_knows_each_command(self):
        verbs = self.verbs()
        self.assertIn("repo add", verbs)
        first = [verb.split()[0] for verb in verbs]
        self.assertEqual(self.complete(""), list(dict.fromkeys(first)))
        self.assertEqual(self.complete("sta"), ["status"])
        self.assertEqual(self.complete("rep"), ["repo"])
        second = [verb.split()[1] for verb in verbs if verb.startswith("repo ")]
        self.assertEqual(self.complete("repo", ""), second)
        self.assertEqual(self.complete("repo", "re"), ["remove", "resume"])

    def test_bash_knows_each_flag(self):
        for verb in self.verbs():
            text = self.fettle(*verb.split(), "--help").stdout
            flags = set(re.findall(r"^  (?:-\w, |    )(--[a-z-]+)", text, re.MULTILINE))
            self.assertEqual(set(self.complete(*verb.split(), "--")), flags, verb)

    def test_bash_offers_files_where_they_are_meant(self):
        with open(self.house.path("here.yaml"), "w", encoding="utf-8"):
            pass
        self.assertEqual(self.complete("lint", "here"), ["here.yaml"])
        self.assertEqual(self.complete("status", "--state", "here"), ["here.yaml"])
        self.assertEqual(self.complete("status", "--timeout", "here"), [])
        self.assertEqual(self.complete("show", "here"), [])
        self.assertEqual(self.complete("completion", ""), ["bash", "zsh", "fish"])
        self.assertEqual(self.complete("nonsense", ""), [])

    def test_an_unknown_shell_is_said(self):
        done = self.fettle("completion", "tcsh")
        self.assertEqual(done.returncode, 2)
        self.assert_line(done.stderr, "'tcsh' is no shell that is known")

    def test_others_have_the_same_words(self):
        for shell in ("zsh", "fish"):
            with open(self.scripts[shell], encoding="utf-8") as file:
                text = file.read()
            for verb in self.verbs():
                self.assertRegex(text, rf"\b{verb.split()[-1]}\b", shell)
            for flag in ("broker", "limit", "timeout", "follow"):
                self.assertIn(flag, text, shell)

    @unittest.skipUnless(shutil.which("fish"), "fish is not here")
    def test_fish_completes(self):
        def complete(line):
            script = f"source {self.scripts['fish']}; complete -C '{line}'"
            done = self.house.run(["fish", "--no-config", "-c", script])
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return {row.split("\t")[0] for row in done.stdout.splitlines()}

        self.assertEqual(complete("fettle "), {verb.split()[0] for verb in self.verbs()})
        self.assertEqual(complete("fettle repo re"), {"remove", "resume"})
        self.assertEqual(complete("fettle status --tim"), {"--timeout"})
        self.assertEqual(complete("fettle completion "), {"bash", "zsh", "fish"})

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not here")
    def test_zsh_completes(self):
        terminal = Terminal(self.house)
        self.addCleanup(terminal.close)
        terminal.type("PS1='zsh> ' exec zsh -f")
        terminal.wait_for("^zsh>")
        terminal.type(f"autoload -U compinit; compinit -u -D; source {self.scripts['zsh']}; clear")
        for typed, completed in (
            ("fettle stat", "fettle status"),
            ("fettle repo rem", "fettle repo remove"),
            ("fettle status --tim", "fettle status --timeout"),
            ("fettle completion fi", "fettle completion fish"),
        ):
            terminal.tmux("send-keys", "-l", typed)
            terminal.wait_for(f"^zsh> {typed}")
            terminal.press("Tab")
            terminal.wait_for(f"^zsh> {completed}$")
            terminal.press("C-u")
            terminal.wait_for("^zsh>$")


if __name__ == "__main__":
    tap.main()
