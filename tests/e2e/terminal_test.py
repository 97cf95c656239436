"""What people see in a terminal, and that they get it back: fettle top and fettle log -f."""

import os
import signal

import fettle
import tap
from terminal import Screen, Terminal


class Top(Screen):
    def test_it_shows_what_happens_and_follows_the_window(self):
        commit = self.set_up()
        terminal = self.open()
        self.run_in(terminal, "top")
        for words in ("fettle top  ", "app +running", "1 running", "1 of 1 slots busy"):
            terminal.wait_for(words)
        screen = terminal.wait_for("1 of 1 to go")
        self.assertTrue(screen.rstrip("\n").splitlines()[-1].startswith("q quit"), screen)
        terminal.resize(40, 12)
        screen = terminal.wait_for(r"…\n")
        rows = fettle.wait_until(lambda: self.rows_when(terminal, 12), "it fits")
        self.assertTrue(all(len(row) <= 40 for row in rows), rows)
        terminal.resize(120, 30)
        fettle.wait_until(lambda: self.rows_when(terminal, 30), "it fits again")
        self.house.open_gate()
        terminal.wait_for(rf"{commit[:10]} +app +main +passed")
        terminal.press("p")
        terminal.wait_for("held")
        terminal.press("Space")
        terminal.wait_for("held", present=False)
        terminal.press("q")
        self.wait_ended(terminal)
        self.assertEqual(terminal.said("echo $?"), "0\n")

    @staticmethod
    def rows_when(terminal, count):
        """The rows of a screen whose last one is the line of keys, else None."""
        rows = terminal.screen().rstrip("\n").split("\n")
        return rows if len(rows) == count and rows[-1].startswith("q quit") else None

    def test_the_terminal_is_given_back(self):
        self.house.broker()
        terminal = self.open()
        before = terminal.said("stty -a")
        rows = [
            (lambda: terminal.press("q"), 0),
            (lambda: terminal.press("C-c"), 130),
            (lambda: os.kill(self.ours(terminal), signal.SIGTERM), 130),
            (lambda: os.kill(self.ours(terminal), signal.SIGHUP), 130),
            (lambda: terminal.press("C-\\"), 130),
        ]
        for end, code in rows:
            self.run_in(terminal, "top")
            terminal.wait_for("q quit")
            self.assertFalse(terminal.is_plain())
            end()
            self.wait_ended(terminal)
            self.assertEqual(terminal.said("echo $?"), f"{code}\n")
            self.assertTrue(terminal.is_plain())
            self.assertEqual(terminal.said("stty -a"), before)

    def test_it_is_given_back_while_stopped(self):
        self.house.broker()
        terminal = self.open()
        before = terminal.said("stty -a")
        self.run_in(terminal, "top")
        terminal.wait_for("q quit")
        terminal.press("C-z")
        terminal.wait_for("Stopped")
        self.assertTrue(terminal.is_plain())
        self.assertEqual(terminal.said("stty -a"), before)
        terminal.type("fg")
        terminal.wait_for("q quit")
        self.assertFalse(terminal.is_plain())
        terminal.press("q")
        self.wait_ended(terminal)
        self.assertEqual(terminal.said("echo $?"), "0\n")
        self.assertTrue(terminal.is_plain())
        self.assertEqual(terminal.said("stty -a"), before)

    def test_a_closed_terminal_ends_it(self):
        """Leaks are not looked for at its end: the search stops its threads, and waits for ever when
        the kernel has them go on, as it does when a terminal goes."""
        self.house.broker()
        options = os.environ.get("ASAN_OPTIONS", "")
        terminal = Terminal(self.house, ASAN_OPTIONS=f"{options}:detect_leaks=0")
        self.run_in(terminal, "top")
        terminal.wait_for("q quit")
        ours = self.ours(terminal)
        terminal.close()
        fettle.wait_until(lambda: not fettle.is_alive(ours), "it ended")

    def test_a_lost_broker_is_waited_for(self):
        broker = self.house.broker()
        terminal = self.open()
        self.run_in(terminal, "top")
        terminal.wait_for("q quit")
        self.house.stop(broker, signal.SIGKILL)
        terminal.wait_for(r"no answer since \d\d:\d\d:\d\d \(")
        terminal.resize(60, 20)  # it answers to us meanwhile
        fettle.wait_until(lambda: self.rows_when(terminal, 20), "it fits")
        self.house.broker()
        terminal.wait_for("no answer", present=False)
        terminal.press("q")
        self.wait_ended(terminal)
        self.assertEqual(terminal.said("echo $?"), "0\n")

    def test_colours_and_letters_are_those_of_the_terminal(self):
        repository = fettle.Repository(self.house, "app")
        self.house.broker()
        self.house.observer(repository)
        repository.commit(message="gr\u00fc\u00dfe [skip ci]")
        terminal = self.open(NO_COLOR="")
        self.run_in(terminal, "top")
        terminal.wait_for("gr\u00fc\u00dfe")
        self.assertIn("\x1b[1mfettle top", terminal.screen("-e"))
        terminal.press("q")
        self.wait_ended(terminal)
        terminal.type("export NO_COLOR=1 LC_ALL=C")
        self.run_in(terminal, "top")
        screen = terminal.wait_for(r"gr\?\?e")
        self.assertTrue(screen.isascii(), screen)
        self.assertNotIn("\x1b", terminal.screen("-e"))
        terminal.press("q")
        self.wait_ended(terminal)

    def test_without_a_terminal_it_is_refused_or_printed_once(self):
        self.house.broker()
        done = self.house.cli("top")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assert_line(done.stderr, "^fettle: .*terminal.*--once")
        done = self.house.cli("top", "--once")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"^fettle top .*\nbroker +ok, ")
        self.assertNotIn("\x1b", done.stdout)
        done = self.house.cli("top", "--timeout", "100ms", broker="ipc:/nowhere")
        self.assertEqual(done.returncode, 3)


class Log(Screen):
    def test_it_shows_lines_as_they_come_and_ends_with_the_job(self):
        commit = self.set_up()
        terminal = self.open()
        fettle.wait_until(lambda: self.house.only_job(commit), "the commit is there")
        self.run_in(terminal, "log", "-f", commit)
        terminal.wait_for(r"(?m)^the beginning$")
        self.assertNotRegex(terminal.screen(), r"(?m)^the end$")
        self.house.open_gate()
        terminal.wait_for(r"(?m)^the end$")
        self.assertEqual(terminal.said("echo $?"), "0\n")

    def test_ctrl_c_leaves_nothing_behind(self):
        commit = self.set_up()
        terminal = self.open()
        before = terminal.said("stty -a")
        fettle.wait_until(lambda: self.house.only_job(commit), "the commit is there")
        self.run_in(terminal, "log", "-f", commit)
        ours = self.ours(terminal)
        terminal.wait_for(r"(?m)^the beginning$")
        terminal.press("C-c")
        self.assertEqual(terminal.said("echo $?"), "130\n")
        self.assertFalse(fettle.is_alive(ours))
        self.assertFalse(fettle.children_of(terminal.shell()))
        self.assertTrue(terminal.is_plain())
        self.assertEqual(terminal.said("stty -a"), before)
        self.assertEqual(self.house.only_job(commit)["state"], "leased")
        self.house.open_gate()


if __name__ == "__main__":
    tap.main()
