"""What operators change: done once, kept, and obeyed by programs that are killed meanwhile."""

import os
import signal
import sqlite3
import subprocess

import fettle
import tap


class Admin(fettle.Case):
    def fettle(self, *words, code=0):
        """What a command says: on stdout when it ends well, else its one line on stderr."""
        done = self.house.cli_words(words)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        if code not in (0, 1):
            self.assert_line(done.stderr, ".")
        return done.stderr if code > 1 else done.stdout

    def broker(self):
        return next(one for one in self.house.processes if "fettle-broker" in one.args[0])

    def restart_broker(self, number=signal.SIGKILL):
        self.house.stop(self.broker(), number)
        self.house.broker()

    def changes(self):
        """What the broker keeps of changes; it is stopped for that."""
        self.house.stop(self.broker())
        store = sqlite3.connect(os.path.join(self.house.broker_folder, "fettle.db"))
        rows = store.execute("SELECT who, what, said, code FROM changes ORDER BY id").fetchall()
        store.close()
        self.house.broker()
        return rows

    def in_background(self, *words):
        words = [fettle.program("fettle"), *words, "--broker", f"ipc:{self.house.broker_folder}"]
        return subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.house.environment,
        )


class Changes(Admin):
    def test_a_change_outlives_the_broker_it_was_asked_of(self):
        self.house.broker()
        self.fettle("repo", "add", "app", "/somewhere")
        self.broker().send_signal(signal.SIGSTOP)
        asking = self.in_background("repo", "pause", "app", "--timeout", "60s")
        self.restart_broker()
        said, _ = asking.communicate(timeout=fettle.PATIENCE)
        self.assertEqual((asking.returncode, said), (0, "app: paused\n"))

    def test_who_changed_what_is_kept(self):
        self.house.broker()
        self.fettle("repo", "add", "app", "/somewhere")
        self.fettle("repo", "pause", "ap", code=4)
        rows = self.changes()
        self.assertEqual([row[1:] for row in rows], [
            ("repo_add", "name=app url=/somewhere", None),
            ("repo_pause", "repository=ap", "not_found"),
        ])  # fmt: skip
        self.assertRegex(rows[0][0], r"^.+@.+$")


if __name__ == "__main__":
    tap.main()
