"""A terminal of a test's own: tmux, whose screen is looked at and whose keys are pressed."""

import os
import re
import shlex
import subprocess

import fettle


class Terminal:
    """A shell in a terminal of its own, with a server of its own in the test's folder."""

    def __init__(self, house, width=100, height=24, **environment):
        self.house = house
        self.environment = {**house.environment, "LC_ALL": "C.UTF-8", "TERM": "xterm"}
        self.environment.update(environment)
        self.tmux("new-session", "-d", "-x", str(width), "-y", str(height), "sh")
        self.wait_for("[#$]")

    def tmux(self, *words):
        server = ["tmux", "-f", "/dev/null", "-S", self.house.path("tmux")]
        done = subprocess.run(
            [*server, *words],
            env=self.environment,
            cwd=self.house.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def type(self, text):
        self.tmux("send-keys", "-l", text)
        self.press("Enter")

    def press(self, key):
        self.tmux("send-keys", key)

    def resize(self, width, height):
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    def screen(self, *flags):
        return self.tmux("capture-pane", "-p", *flags)

    def wait_for(self, pattern, present=True):
        """The screen, once it shows this, or shows it no more."""
        found = {}

        def look():
            found["screen"] = self.screen()
            return bool(re.search(pattern, found["screen"], re.MULTILINE)) == present

        try:
            fettle.wait_until(look, f"{pattern!r} is {'' if present else 'not '}there")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{found['screen']}") from None
        return found["screen"]

    def is_plain(self):
        """Is it on its first screen, with a cursor, and wraps lines?"""
        flags = "#{alternate_on} #{cursor_flag} #{wrap_flag}"
        return self.tmux("display-message", "-p", flags).strip() == "0 1 1"

    def said(self, line):
        """What a shell command of this terminal says, aside of the screen."""
        path = self.house.path("said")
        self.type(f"{{ {line}; }} >said.new; mv said.new said")
        fettle.wait_until(lambda: os.path.exists(path), f"{line} was run")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        os.remove(path)
        return text

    def shell(self):
        return int(self.tmux("display-message", "-p", "#{pane_pid}"))

    def close(self):
        self.tmux("kill-server")


class Screen(fettle.Case):
    def open(self, **settings):
        terminal = Terminal(self.house, **settings)
        self.addCleanup(terminal.close)
        return terminal

    def run_in(self, terminal, *words):
        """Have the terminal's shell run a verb."""
        words = [fettle.program("fettle"), words[0], "--broker", "ipc:broker", *words[1:]]
        terminal.type("clear; " + shlex.join(words))

    @staticmethod
    def wait_ended(terminal):
        """What is typed while it still reads keys is its own, and gone."""
        fettle.wait_until(lambda: not fettle.children_of(terminal.shell()), "it ended")

    @staticmethod
    def ours(terminal):
        """The process of the verb that runs in the terminal."""
        return fettle.wait_until(lambda: fettle.children_of(terminal.shell()), "it runs")[0]

    def set_up(self):
        """A broker, a worker, and a commit whose job waits for its gate."""
        repository = fettle.Repository(self.house, "app")
        gate = self.house.gate()
        self.house.broker()
        self.house.worker()
        self.house.observer(repository)
        wait = f"until [ -e {gate} ]; do sleep 0.02; done"
        return repository.steps("echo the beginning", wait, "echo the end")
