"""The admin door under abuse: thousands of connections, halves of everything, too much, and noise.
Others are served meanwhile, and the broker is as large afterwards as it was before. Figures are
printed."""

import contextlib
import os
import random
import resource
import select
import socket
import struct

import fettle
import tap
from zmtp import GREETING, HELLO, LONG, MORE, PROTOCOL, frame

UNKNOWN = b"\x83\xa4type\xa7request\xa2id\x07\xa6method\xa4rule"

TOO_LONG = (1 << 20) + 2048  # the limit has room for our own refusal

MANY = 10000 if not fettle.is_sanitized() else 1000  # connections
BATCH = 500  # of them at once: the backlog of a unix socket is bounded by the kernel
ROUNDS = 20  # of those that say something wrong
PEERS = 100  # in a round
GROWTH_MAX_KIB = 2048 if not fettle.is_sanitized() else 1 << 20
FEW_FILES = 200


def wrong_ones(draw):
    """What a connection says, one after the other, for ever."""
    request = frame(PROTOCOL, MORE) + frame(UNKNOWN)
    while True:
        yield b""
        yield GREETING[: draw.randrange(1, len(GREETING))]
        yield HELLO[: draw.randrange(len(GREETING), len(HELLO))]
        yield HELLO + request[: draw.randrange(1, len(request))]
        yield HELLO + frame(PROTOCOL, MORE)  # and no second frame
        yield HELLO + frame(b"x" * 1000, MORE) * 100  # a message without an end
        yield HELLO + bytes([LONG]) + struct.pack(">Q", 1 << 40)  # a frame that is too long
        yield HELLO + bytes([LONG]) + struct.pack(">Q", TOO_LONG) + b"x" * 4096
        yield HELLO + frame(PROTOCOL, MORE) + frame(b"\x81\xa4type" + b"\x91" * 20000)
        yield HELLO + request * 20  # and reads no answer
        yield HELLO + frame(b"")
        yield draw.randbytes(draw.randrange(1, 4096))
        yield GREETING + draw.randbytes(draw.randrange(1, 4096))


def is_closed(peer):
    """Did the other end close this connection, or not take it?"""
    try:
        return peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Abuse(fettle.Case):
    def setUp(self):
        super().setUp()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        self.files = limits[1]
        self.peers = contextlib.ExitStack()
        self.addCleanup(self.peers.close)

    def connect(self):
        """A connection to the admin door; waits for its turn where too many do."""
        peer = self.peers.enter_context(socket.socket(socket.AF_UNIX))
        peer.settimeout(fettle.PATIENCE)
        peer.connect(os.path.join(self.house.broker_folder, "admin.sock"))
        return peer

    def say(self, what):
        peer = self.connect()
        peer.setblocking(False)
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            peer.sendall(what)  # what has no room is not said
        return peer

    def assert_served(self):
        done = self.house.cli("status", "--timeout", "5s")
        self.assertEqual(done.returncode, 0, done.stderr + self.house.log_of("broker"))

    def ends(self, broker, start):
        """Once nobody of ours is there any more: how large it is, in KiB."""
        self.peers.close()  # the newest first: what libzmq has the most work with
        self.assert_served()
        fettle.wait_until(lambda: descriptors(broker.pid) <= start, "all connections are gone")
        return fettle.resident_kib(broker.pid)

    def test_ten_thousand_connections(self):
        many = min(MANY, self.files - 100)
        broker = self.house.broker()
        self.assert_served()
        first, before = descriptors(broker.pid), fettle.resident_kib(broker.pid)
        most = []
        for _ in range(2):
            for number in range(many):
                self.say(HELLO)
                if number % BATCH == BATCH - 1:
                    self.assert_served()
            fettle.wait_until(lambda: descriptors(broker.pid) >= many, "they are all there")
            self.assert_served()
            most.append(fettle.resident_kib(broker.pid))
            self.ends(broker, first)
        fettle.wait_until(
            lambda: fettle.resident_kib(broker.pid) <= before + GROWTH_MAX_KIB,
            "it gives memory back",
        )
        after = fettle.resident_kib(broker.pid)
        print(f"# figures: {many} connections, twice: {before}, {most}, {after} KiB")

    def test_who_never_says_hello_is_shown_out(self):
        broker = self.house.broker()
        self.assert_served()
        first = descriptors(broker.pid)
        for what in (b"", GREETING[:20], GREETING):
            for _ in range(300):
                self.say(what)
        fettle.wait_until(lambda: descriptors(broker.pid) <= first, "they were shown out")
        self.assert_served()

    def test_halves_noise_and_too_much(self):
        broker = self.house.broker()
        self.assert_served()
        first = descriptors(broker.pid)
        what = wrong_ones(random.Random(1))
        sizes = []
        for _ in range(ROUNDS):
            for _ in range(PEERS):
                self.say(next(what))
            self.assert_served()
            sizes.append(self.ends(broker, first))
        print(f"# figures: {ROUNDS} rounds of {PEERS} wrong ones: {sizes[1]} to {sizes[-1]} KiB")
        self.assertLessEqual(sizes[-1] - sizes[ROUNDS // 2], GROWTH_MAX_KIB)
        status = self.house.json("status")
        self.assertGreater(status["refused"], ROUNDS * PEERS // 13)
        lines = [row for row in self.house.log_of("broker").splitlines() if "refused" in row]
        self.assertLess(len(lines), status["refused"] // 4)

    def test_a_frame_that_is_too_long_ends_its_connection(self):
        self.house.broker()
        peer = self.connect()
        peer.sendall(HELLO + bytes([LONG]) + struct.pack(">Q", TOO_LONG))
        while peer.recv(4096):  # the broker's own greeting, then the end
            pass

    def test_without_free_descriptors_it_goes_on(self):
        words = ["prlimit", f"--nofile={FEW_FILES}:{FEW_FILES}", *self.house.broker_words()]
        broker = self.house.start("broker", words)
        fettle.wait_until(self.house.answers, "the broker answers")
        self.assertIn("few open files are allowed: 200; ", self.house.log_of("broker"))
        kept = self.connect()
        kept.sendall(HELLO)
        first = descriptors(broker.pid)
        peers = [self.say(HELLO) for _ in range(2 * FEW_FILES)]
        fettle.wait_until(lambda: sum(map(is_closed, peers)) > FEW_FILES, "it refuses most")
        said = "too many connections"
        fettle.wait_until(lambda: said in self.house.log_of("broker"), "it says so")
        self.assertLess(descriptors(broker.pid), FEW_FILES)
        kept.sendall(frame(PROTOCOL, MORE) + frame(UNKNOWN))
        self.assertIn(b"unknown_method", self.read_until(kept, b"unknown_method"))
        self.ends(broker, first)
        self.assert_served()
        self.assertGreater(self.house.json("status")["refused"], FEW_FILES)

    def test_with_hardly_any_descriptors_it_does_not_start(self):
        done = self.house.run(["prlimit", "--nofile=64:64", *self.house.broker_words()])
        self.assertEqual(done.returncode, 2)
        self.assert_line(done.stderr, r"64 open files are allowed: a broker needs 96 at least")

    @staticmethod
    def read_until(peer, word):
        said = b""
        while word not in said:
            ready, _, _ = select.select([peer], [], [], fettle.PATIENCE)
            assert ready, said
            said += peer.recv(4096)
        return said


if __name__ == "__main__":
    tap.main()
