"""Strange peers at the workers' door of a real broker, while a real worker is there: its session
never ends, and its heartbeats are counted. Each test is a line of the bad inputs: tests/attacks/README.md
has them all, with the tests that hold the others."""

import datetime
import os
import random
import re
import socket
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[1:1] = [os.path.join(HERE, "../..", name) for name in ("e2e", "history", "chaos")]

import clients
import fettle
import spec
import tap
from zmtp import COMMAND, GREETING, HELLO, LONG, MORE, PROTOCOL, frame, greeting, hello

DEBUG = ["--log-level", "debug"]
HEARTBEAT = spec.pack({"type": "heartbeat", "holding": []})
FLOOD = 200_000 if not fettle.is_sanitized() else 20_000
HANDSHAKES_AT_ONCE = 30
OFFENCES = 20  # that suspend a key
GROWTH_MAX_KIB = 4096 if not fettle.is_sanitized() else 1 << 20


def message(body):
    return frame(PROTOCOL, MORE) + frame(body)


class Peer:
    """A worker that says what it likes."""

    def __init__(self, port, said=HELLO):
        self.socket = socket.create_connection(("127.0.0.1", port), fettle.PATIENCE)
        self.said = self.socket.makefile("rb")
        if said:
            self.socket.sendall(said)

    def meet(self):
        """Read the broker's half of the handshake."""
        self.said.read(len(GREETING))
        flags, _ = self.frame()
        assert flags & COMMAND, flags
        return self

    def frame(self):
        flags = self.said.read(1)[0]
        size = self.said.read(8 if flags & LONG else 1)
        return flags, self.said.read(int.from_bytes(size, "big"))

    def say(self, *parts):
        self.socket.sendall(b"".join(parts))

    def hear(self, *types):
        """The next message of one of these types."""
        while True:
            flags, body = self.frame()
            if flags & (MORE | COMMAND):
                continue  # the protocol's name, or a ping
            heard = clients.unpack(body, 0)[0]
            if heard["type"] in types:
                return heard

    def enter(self, name):
        """Say a proper hello, and be let in."""
        session = f"{random.getrandbits(80):020x}"
        self.say(
            message(
                spec.pack(
                    {
                        "type": "hello",
                        "name": name,
                        "session": session,
                        "instance": session,
                        "version": "0",
                        "slots": 1,
                    }
                )
            )
        )
        return self.hear("welcome", "error")

    def so_far(self):
        """What came until now, as bytes."""
        self.socket.settimeout(0)
        try:
            return self.socket.recv(1 << 16)
        except BlockingIOError:
            return b""

    def is_shown_out(self):
        """The broker closes the connection, sooner or later."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
        return True


class Served(fettle.Case):
    """A broker, and a worker whose heartbeats show that it is served."""

    def setUp(self):
        super().setUp()
        self.port = fettle.free_ports()
        flags = self.make_keys()
        self.broker = self.house.broker(*DEBUG, listen=f"127.0.0.1:{self.port}")
        self.house.worker("one", *flags, broker=f"127.0.0.1:{self.port}")
        fettle.wait_until(lambda: self.house.worker_is_there("one"), "the worker is there")

    def make_keys(self):
        return ()

    def beats(self):
        """When heartbeats of the worker came so far, in seconds."""
        log = self.house.log_of("broker")
        peer = re.search(r"received peer=(\w+) hello name=one ", log)[1]
        rows = re.findall(rf"^(\S+)Z .* received peer={peer} heartbeat ", log, re.MULTILINE)
        return [datetime.datetime.fromisoformat(row).timestamp() for row in rows]

    def assert_undisturbed(self):
        before = len(self.beats())
        fettle.wait_until(lambda: len(self.beats()) >= before + 2, "the worker's heartbeats arrive")
        self.assertNotIn(" left worker=one ", self.house.log_of("broker"))


class Wire(Served):
    def setUp(self):
        super().setUp()
        self.peers = []

    def peer(self, said=HELLO):
        self.peers.append(Peer(self.port, said))
        self.addCleanup(self.peers[-1].socket.close)
        return self.peers[-1]

    def refused(self, code, *parts):
        """This is answered with the code, and a proper hello on the same connection is heard."""
        peer = self.peer().meet()
        peer.say(*parts)
        self.assertEqual(peer.hear("error")["code"], code, parts)
        self.assertEqual(peer.enter(f"w{len(self.peers)}")["type"], "welcome")
        peer.socket.close()

    def test_03_other_mechanisms_and_noise(self):
        draw = random.Random(3)
        wrong = [greeting(b"PLAIN"), greeting(b"CURVE")]
        wrong += [GREETING + frame(b"\x05HELLO" + bytes(200), COMMAND)]
        wrong += [b"GET / HTTP/1.1\r\n" + draw.randbytes(500) for _ in range(100)]
        for peer in [self.peer(said) for said in wrong]:
            self.assertTrue(peer.is_shown_out())
        self.assert_undisturbed()

    def test_04_half_a_gibibyte_before_the_handshake(self):
        before = fettle.resident_kib(self.broker.pid)
        for flags in (COMMAND | LONG, LONG):
            said = GREETING + bytes([flags]) + struct.pack(">Q", 512 << 20)
            self.assertTrue(self.peer(said).is_shown_out())
        self.assertLess(fettle.resident_kib(self.broker.pid) - before, GROWTH_MAX_KIB)
        self.assert_undisturbed()

    def test_06_the_routing_id_of_another(self):
        """It gets nothing of what is meant for who had it first."""
        repository = fettle.Repository(self.house)
        victim = self.peer(hello(b"the-same")).meet()
        self.assertEqual(victim.enter("victim")["type"], "welcome")
        thief = self.peer(hello(b"the-same")).meet()
        thief.say(message(HEARTBEAT))
        ready = spec.pack({"type": "ready", "slots": 1})
        victim.say(message(ready))
        commit = repository.commit({".fettle.yaml": "steps: [true]\n"})
        self.house.cli("drain", "one")
        self.house.observer(repository)
        self.assertEqual(victim.hear("offer")["commit"], commit)
        self.assertNotIn(b"offer", thief.so_far())
        victim.socket.close()
        thief.socket.close()
        self.house.cli("resume", "one")
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assert_undisturbed()

    def test_13_a_flood_of_heartbeats(self):
        peer = self.peer().meet()
        self.assertEqual(peer.enter("loud")["type"], "welcome")
        many = message(HEARTBEAT) * 1000
        for _ in range(FLOOD // 1000):
            peer.say(many)
        self.assert_undisturbed()

    def test_14_an_array_of_millions_in_seven_bytes(self):
        before = fettle.resident_kib(self.broker.pid)
        for size in (b"\xdd\x10\x00\x00\x00", b"\xdd\xff\xff\xff\xff", b"\xdf\x10\x00\x00\x00"):
            self.refused("malformed", message(b"\x81\xa4type" + size))
        self.assertLess(fettle.resident_kib(self.broker.pid) - before, GROWTH_MAX_KIB)
        self.assert_undisturbed()

    def test_15_a_hundred_thousand_nested_arrays(self):
        for depth in (9, 33, 100_000):
            self.refused("malformed", message(b"\x81\xa1x" + b"\x91" * depth + b"\x01"))
        self.assert_undisturbed()

    def test_16_values_that_are_none(self):
        beat = HEARTBEAT[1:]  # without the size of its map
        for wrong in (
            b"\x83" + beat + spec.pack("type") + spec.pack("goodbye"),  # a key twice
            HEARTBEAT + b"\x01",
            b"\x83" + beat + b"\xa1x\xa2\xff\xfe",
            b"\x83" + beat + b"\xa1x\xcb\x7f\xf8" + bytes(6),  # not a number
            b"\x83" + beat + spec.pack("slots") + b"\xcf\x80" + bytes(7),  # 2^63
            b"\x83" + beat + spec.pack("slots") + spec.pack("one"),
            b"\x83" + beat + b"\xa1x\xa3a\0b",
        ):
            self.refused("malformed", message(wrong))
        self.assert_undisturbed()

    def test_17_frames_too_few_and_too_many(self):
        for parts in (
            [frame(b"")],
            [frame(PROTOCOL)],
            [frame(b"", MORE), frame(b"", MORE), frame(b"")],
            [frame(PROTOCOL, MORE), frame(HEARTBEAT, MORE), frame(b"")],
            [frame(b"x", MORE)] * 63 + [frame(b"x")],
            [frame(PROTOCOL, MORE), frame(b"")],
        ):
            self.refused("malformed", *parts)
        self.assertTrue(
            self.peer(HELLO + bytes([LONG]) + struct.pack(">Q", (1 << 20) + 2048)).is_shown_out()
        )
        self.assert_undisturbed()

    def test_18_another_protocol_another_type(self):
        self.refused("unknown_protocol", frame(b"fettle/2", MORE), frame(HEARTBEAT))
        self.refused("unknown_type", message(spec.pack({"type": "please"})))
        self.assert_undisturbed()


class Hasty(Served):
    """Keys that are allowed, and do a thing too often."""

    def make_keys(self):
        self.gate = self.house.gate()  # before workers start
        self.house.cli_words(["keys", "new"])
        self.keys = {name: self.invite(name) for name in ("one", "loud")}
        return "--key", self.keys["one"]

    def invite(self, name):
        words = ["invite", "worker", name, "--address", f"127.0.0.1:{self.port}"]
        letter = self.house.cli_words(words).stdout.split()[1] + "\n"
        path = self.house.path(f"{name}.key")
        words = [fettle.program("fettle"), "keys", "accept", path]
        subprocess.run(words, input=letter, text=True, check=True, stdout=subprocess.DEVNULL)
        return path

    def hasty_words(self, what, count):
        """How it fared, in its own words."""
        endpoint = f"tcp://127.0.0.1:{self.port}"
        words = [fettle.program("hasty_peer"), what, endpoint, self.keys["loud"], str(count)]
        done = self.house.run(words, 10 * fettle.PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def hasty(self, what, count):
        words = self.hasty_words(what, count)
        return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", words)}

    def tell_delay(self, what):
        beats = self.beats()
        most = max(b - a for a, b in zip(beats, beats[1:]))
        print(f"# {what}: heartbeats of another {most:.2f} s apart at most", flush=True)

    def test_08_a_key_that_says_what_its_role_may_not(self):
        """It is suspended: its job goes to another, who notices nothing of it."""
        self.house.cli("drain", "one")
        self.house.worker("loud", "--key", self.keys["loud"], broker=f"127.0.0.1:{self.port}")
        fettle.wait_until(lambda: self.house.worker_is_there("loud"), "it is there")
        repository = fettle.Repository(self.house)
        commit = repository.steps(
            "echo working", f"until [ -e {self.gate} ]; do sleep 0.05; done"
        )
        self.house.observer(repository)
        self.house.wait_running(commit, "loud")
        self.house.cli("resume", "one")
        fared = self.hasty_words("stray", OFFENCES)
        self.assertRegex(fared, rf"^forbidden={OFFENCES} this key is suspended for another \d")
        self.assertIn("a key of role worker may not say `request` here", fared)
        self.house.wait_running(commit, "one")
        log = self.house.log_of("broker")
        self.assertIn('left worker=loud reason="its key is suspended"', log)
        self.assertEqual(len(re.findall(r' suspended reason="key of worker loud, ', log)), 1)
        self.assertEqual(self.house.json("status")["suspended"][0]["name"], "loud")
        self.assertEqual(self.house.json("status")["paused"], [], "it had no effect")
        self.house.open_gate()
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assert_undisturbed()
        self.house.cli_words(["keys", "lift", "loud"])
        fettle.wait_until(lambda: self.house.worker_is_there("loud"), "it is back")
        self.tell_delay("a suspension")

    def test_13_a_key_that_shakes_hands_all_the_time(self):
        fared = self.hasty("shake", 200)
        self.assertGreaterEqual(fared["done"], HANDSHAKES_AT_ONCE)
        self.assertGreater(fared["later"], 0, fared)
        self.assertEqual(fared["refused"], 0)
        self.assert_undisturbed()
        self.assertIn('reason="a key that connects too often"', self.house.log_of("broker"))
        self.house.worker("loud", "--key", self.keys["loud"], broker=f"127.0.0.1:{self.port}")
        fettle.wait_until(lambda: self.house.worker_is_there("loud"), "it gets in after a while")
        self.tell_delay("handshakes")

    def test_13_a_key_that_floods(self):
        before = self.house.json("status")["refused"]
        fared = self.hasty("flood", FLOOD)
        self.assertEqual(fared["sent"], FLOOD)
        if fettle.is_sanitized():  # nobody can say too much to a broker that is so slow
            self.assert_undisturbed()
            return
        self.assertGreater(fared["refusals"], 0)
        self.assertIn('reason="too many messages of this key"', self.house.log_of("broker"))
        refused = self.house.json("status")["refused"] - before
        self.assertGreater(refused, 10 * fared["refusals"], "most of it is not answered")
        self.assert_undisturbed()
        self.tell_delay(f"{refused} of {FLOOD} messages refused")


if __name__ == "__main__":
    tap.main()
