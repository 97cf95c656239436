"""What bad input gets: one clear line and an exit code, or a refusal; never a dead daemon."""

import os
import shutil
import socket
import subprocess
import unittest

import tap
from fettle import Case, Repository, free_ports, program, wait_until

PROTOCOL = b"fettle/1"
# msgpack, written by hand: what an honest encoder would never send.
MALFORMED = {
    "empty": b"",
    "no map": b"\x93\x01\x02\x03",
    "cut": b"\x82\xa4type\xa5hello",
    "huge array": b"\x81\xa4type\xdd\x0f\xff\xff\xff",
    "deep": b"\x81\xa4type" + b"\x91" * 20000,
    "double key": b"\x82\xa4type\xa9heartbeat\xa4type\xa9heartbeat",
    "trailing bytes": b"\x81\xa4type\xa9heartbeat\x00",
    "bad UTF-8": b"\x82\xa4type\xa9heartbeat\xa1x\xa2\xff\xfe",
    "no type": b"\x81\xa4name\xa3abc",
    "number as type": b"\x81\xa4type\x07",
}


class BadInput(Case):
    def end_of(self, words):
        """Exit code and words of a program that must end by itself."""
        done = self.house.run(words, 30)
        return done.returncode, done.stderr

    def raw(self, door, *frames, kind="dealer"):
        endpoint = f"ipc://{self.house.broker_folder}/{door}.sock"
        words = [program("raw_peer"), kind, endpoint]
        done = self.house.run(words + [frame.hex() for frame in frames])
        self.assertEqual(done.returncode, 0, done.stderr)
        return [bytes.fromhex(row) for row in done.stdout.split()]

    def test_unknown_flags_and_settings(self):
        config = self.house.path("bad.conf")
        for name in ("broker", "observer", "worker"):
            code, words = self.end_of([program(name), "--lissten", "x"])
            self.assertEqual(code, 2, words)
            self.assertRegex(words, "unknown flag '--lissten'")
            with open(config, "w", encoding="utf-8") as file:
                file.write(f"[{name}]\nlog-levl = info\n")
            done = self.house.run([program(name)], 30, {"FETTLE_CONFIG": config})
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertRegex(done.stderr, r"bad\.conf:2: unknown setting 'log-levl'.*'log-level'")

    def test_every_daemon_has_help(self):
        for name in ("broker", "observer", "worker"):
            done = self.house.run([program(name), "--help"], 30)
            self.assertEqual(done.returncode, 0)
            self.assertRegex(done.stdout, f"^Usage: fettle-{name} ")

    def test_a_port_in_use(self):
        port = free_ports()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port + 1))
            taken.listen()
            state = self.house.path("other")
            code, words = self.end_of(
                [program("broker"), "--state", state, "--listen", f"127.0.0.1:{port}"]
            )
        self.assertEqual(code, 2, words)
        self.assertRegex(words.strip().splitlines()[-1], f"{port + 1}.*another process")

    def test_a_state_folder_in_use(self):
        self.house.broker()
        code, words = self.end_of(
            [program("broker"), "--state", self.house.broker_folder, "--listen", "none"]
        )
        self.assertEqual(code, 2, words)
        self.assertRegex(words.strip().splitlines()[-1], "another")
        self.assertTrue(self.house.answers(), "the first broker was not disturbed")

    def test_an_address_that_is_none(self):
        for name in ("observer", "worker"):
            words = [program(name), "--state", self.house.path(name), "--broker", "a b c"]
            code, said = self.end_of(words + (["/tmp"] if name == "observer" else []))
            self.assertEqual(code, 2, said)
            self.assertRegex(said, "address")

    def test_repositories_in_trouble_do_not_stop_others(self):
        good = Repository(self.house, "good")
        gone = Repository(self.house, "gone")
        Repository(self.house, "empty")
        os.makedirs(self.house.path("plain"))
        commit = good.steps("true")
        gone.steps("true")
        self.house.broker()
        self.house.worker()
        paths = [self.house.path(name) for name in ("good", "gone", "empty", "plain", "nowhere")]
        self.house.observer(*paths)
        self.assertEqual(self.house.verdict(commit), "passed")
        wait_until(lambda: self.state_of("plain") == "failing", "no repository is failing")
        wait_until(lambda: self.state_of("nowhere") == "failing", "a missing one is failing")
        wait_until(lambda: self.state_of("gone") == "ok", "a good one is ok")
        wait_until(lambda: self.state_of("empty") == "waiting", "an empty one waits")
        self.assertEqual(self.row_of("empty")["error"], "no commit on a watched ref yet")
        shutil.rmtree(gone.path)
        wait_until(lambda: self.state_of("gone") == "failing", "a deleted one is failing")
        self.assertTrue(self.row_of("gone")["error"])
        again = good.steps("true")
        self.assertEqual(self.house.verdict(again), "passed")
        self.assertEqual(self.state_of("good"), "ok")

    def row_of(self, name):
        for row in self.house.json("status")["repositories"]:
            if row["repository"] == name:
                return row
        return None

    def state_of(self, name):
        row = self.row_of(name)
        return row and row["state"]

    def test_a_repository_that_comes_later(self):
        self.house.broker()
        self.house.worker()
        path = self.house.path("later")
        self.house.observer(path)
        wait_until(lambda: self.state_of("later") == "failing", "it is not there yet")
        repository = Repository(self.house, "later")
        commit = repository.steps("true")
        self.assertEqual(self.house.verdict(commit, 60), "passed")

    def test_malformed_messages_are_refused_whole(self):
        self.house.broker()
        before = self.house.json("status")["refused"]
        for door in ("workers", "admin"):
            for name, body in MALFORMED.items():
                with self.subTest(door=door, body=name):
                    answer = self.raw(door, PROTOCOL, body)
                    self.assertEqual(answer[:1], [PROTOCOL], name)
                    self.assertIn(b"error", answer[1])
                    self.assertIn(b"malformed", answer[1])
        for body in MALFORMED.values():
            self.raw("updates", PROTOCOL, body, kind="push")
        sent = 3 * len(MALFORMED)
        wait_until(
            lambda: self.house.json("status")["refused"] - before == sent,
            f"{sent} refusals are counted",
        )

    def test_frames_that_are_not_ours(self):
        self.house.broker()
        for door in ("workers", "admin"):
            self.assertIn(b"unknown_type", self.raw(door, PROTOCOL, b"\x81\xa4type\xa6xyzzy!")[-1])
            self.assertIn(b"unknown_protocol", self.raw(door, b"fettle/9", b"\x80")[-1])
            self.assertIn(b"malformed", self.raw(door, b"one frame")[-1])
            self.assertIn(b"malformed", self.raw(door, *[PROTOCOL] * 20)[-1])
        self.assertTrue(self.house.answers())

    def test_refusals_do_not_flood_the_log(self):
        self.house.broker()
        for _ in range(20):
            self.raw("updates", PROTOCOL, b"\xc1", kind="push")
        wait_until(lambda: self.house.json("status")["refused"] >= 20, "all are counted")
        lines = [row for row in self.house.log_of("broker").splitlines() if "refused" in row]
        self.assertTrue(1 <= len(lines) < 20, lines)

    def test_unknown_questions(self):
        self.house.broker()
        answer = self.raw("admin", PROTOCOL, b"\x83\xa4type\xa7request\xa2id\x07\xa6method\xa4rule")
        self.assertIn(b"unknown_method", answer[-1])

    def test_a_broker_that_is_not_there(self):
        """Observer and worker wait for it, and say so once."""
        repository = Repository(self.house)
        commit = repository.steps("true")
        self.house.worker()
        self.house.observer(repository)
        wait_until(lambda: self.house.log_of("observer"), "the observer says something")
        self.house.broker()
        self.assertEqual(self.house.verdict(commit), "passed")


@unittest.skipUnless(os.geteuid() == 0, "a small file system needs root")
class FullDisk(Case):
    def setUp(self):
        super().setUp()
        self.folder = self.house.path("small")
        os.makedirs(self.folder)
        words = ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", self.folder]
        if subprocess.run(words, stderr=subprocess.DEVNULL, check=False).returncode != 0:
            self.skipTest("may not mount a small file system")
        self.house.broker_folder = os.path.join(self.folder, "broker")

    def close_house(self):
        wrong = [] if not os.path.isdir(self.house.folder) else self.finish_small()
        self.assertFalse(wrong, "\n".join(wrong))

    def finish_small(self):
        for process in reversed(self.house.processes):
            process.terminate()
            process.wait(30)
        subprocess.run(["umount", self.folder], stderr=subprocess.DEVNULL, check=False)
        return self.house.finish()

    def fill(self):
        ballast = os.path.join(self.folder, "ballast")
        with open(ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return ballast

    def test_a_full_disk_loses_nothing(self):
        repository = Repository(self.house)
        gate = self.house.gate()
        running = repository.steps(f"echo working; until [ -e {gate} ]; do sleep 0.05; done")
        self.house.broker("--min-free", "0")
        self.house.worker()
        self.house.observer(repository)
        self.house.wait_running(running)
        ballast = self.fill()
        late = [repository.steps("true", message=f"late {number}") for number in range(30)]
        open(gate, "w", encoding="utf-8").close()
        wait_until(self.is_full, "status says store_full", 60)
        os.unlink(ballast)
        self.assertEqual(self.house.verdict(running, 60), "passed")
        for commit in late:
            self.assertEqual(self.house.verdict(commit, 60), "passed")
        wait_until(lambda: not self.is_full(), "the broker is well again")
        self.assertEqual(self.house.only_job(running)["attempt"], 1)

    def is_full(self):
        return self.house.json("status")["state"] == "store_full"


if __name__ == "__main__":
    tap.main()
