"""Clients of a broker that comes and goes. What they are shown is kept, one JSON answer a line, for
the history checker: what was ever shown must be what is recorded at the end."""

import json
import os
import random
import socket
import struct
import threading

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x05READY\x0bSocket-Type\0\0\0\x03SUB"
SUBSCRIBE = b"\x01"
MORE, LONG, COMMAND = 1, 2, 4


class Client(threading.Thread):
    """Something that asks again and again until it is stopped."""

    def __init__(self, house, name):
        super().__init__(daemon=True)
        self.house = house
        self.path = house.path(f"{name}.shown")
        self.stopping = threading.Event()
        self.wrong = []

    def run(self):
        with open(self.path, "a", encoding="utf-8") as shown:
            while not self.stopping.is_set():
                try:
                    self.turn(shown)
                except Exception as error:  # a client that is gone would prove nothing
                    self.wrong.append(f"{type(self).__name__}: {error!r}")
                    return

    def finish(self):
        """What was wrong with the answers."""
        self.stopping.set()
        self.join(60)
        return self.wrong + ([f"{self.name} did not end"] if self.is_alive() else [])


class Poller(Client):
    """Asks for lists all the time, and for commits that it was shown."""

    def __init__(self, house, seed):
        super().__init__(house, "poller")
        self.random = random.Random(seed)
        self.commits = []

    def turn(self, shown):
        for words in (["builds"], ["queue"], ["status"], ["show"]):
            if words == ["show"]:
                if not self.commits:
                    continue
                words = ["show", self.random.choice(self.commits)]
            answer = self.ask(*words)
            if answer is None:
                continue
            shown.write(answer)
            shown.flush()
            if words == ["builds"]:
                rows = json.loads(answer)["builds"]
                self.commits = (self.commits + [row["commit"] for row in rows[:5]])[-200:]
        self.stopping.wait(0.1)

    def ask(self, *words):
        done = self.house.cli(*words, "--json", "--timeout", "1s")
        if done.returncode not in (0, 3):
            self.wrong.append(f"fettle {words}: {done.returncode} {done.stderr}")
        return done.stdout if done.returncode == 0 else None


class Waiter(Client):
    """Waits for commits, and looks whether the exit code is the verdict."""

    def __init__(self, house, next_commit):
        super().__init__(house, "waiter")
        self.next_commit = next_commit
        self.verdicts = 0

    def turn(self, shown):
        commit = self.next_commit()
        if not commit:
            self.stopping.wait(0.2)
            return
        done = self.house.cli("wait", commit, "--json", "--timeout", "8s")
        if done.returncode in (0, 1):
            outcome = json.loads(done.stdout)["outcome"]
            if (outcome in ("passed", "skipped")) != (done.returncode == 0):
                self.wrong.append(f"wait {commit}: {outcome} with exit code {done.returncode}")
            shown.write(done.stdout)
            shown.flush()
            self.verdicts += 1
        elif done.returncode not in (3, 124):
            self.wrong.append(f"wait {commit}: {done.returncode} {done.stderr}")


class Follower(Client):
    """Follows the events, by the bytes of ZMTP 3.0 on the broker's socket."""

    def __init__(self, house):
        super().__init__(house, "events")
        self.events = 0

    def turn(self, shown):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(1)
            try:
                peer.connect(os.path.join(self.house.broker_folder, "events.sock"))
                peer.sendall(GREETING)
                read_exactly(peer, 64, self.stopping)
                send_frame(peer, READY, COMMAND)
                read_frame(peer, self.stopping)
                send_frame(peer, SUBSCRIBE, 0)
                while not self.stopping.is_set():
                    self.receive(peer, shown)
            except OSError:
                self.stopping.wait(0.2)  # no broker, or not any more

    def receive(self, peer, shown):
        frames, more = [], True
        while more:
            flags, body = read_frame(peer, self.stopping)
            if not flags & COMMAND:
                frames.append(body)
            more = flags & MORE or not frames
        if len(frames) != 2 or frames[0] != b"fettle/1":
            self.wrong.append(f"an event of {len(frames)} frames: {frames}")
            return
        event, end = unpack(frames[1], 0)
        if end != len(frames[1]):
            self.wrong.append(f"an event with bytes behind it: {frames[1]}")
        shown.write(json.dumps(event) + "\n")
        shown.flush()
        self.events += 1


def read_exactly(peer, size, stopping):
    got = b""
    while len(got) < size:
        try:
            part = peer.recv(size - len(got))
        except TimeoutError as error:
            if stopping.is_set():
                raise ConnectionError("stopping") from error
            continue
        if not part:
            raise ConnectionError("the broker went away")
        got += part
    return got


def read_frame(peer, stopping):
    flags = read_exactly(peer, 1, stopping)[0]
    size = read_exactly(peer, 8 if flags & LONG else 1, stopping)
    return flags, read_exactly(peer, int.from_bytes(size, "big"), stopping)


def send_frame(peer, body, flags):
    peer.sendall(bytes([flags, len(body)]) + body)


# What messages are made of (proto/pack.c): maps, arrays, texts, numbers, flags.
FIXED = {0xC0: None, 0xC2: False, 0xC3: True}
NUMBERS = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
NUMBERS |= {0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
SIZES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
COUNTS = {0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I"}


def unpack(data, at):
    """(value, where the next one begins) of msgpack."""
    head, at = data[at], at + 1
    if head < 0x80:
        return head, at
    if head >= 0xE0:
        return head - 256, at
    if head in FIXED:
        return FIXED[head], at
    form = NUMBERS.get(head) or SIZES.get(head) or COUNTS.get(head)
    number = head & (0x1F if 0xA0 <= head < 0xC0 else 0x0F)
    if form:
        (number,), at = struct.unpack_from(form, data, at), at + struct.calcsize(form)
    if head in NUMBERS:
        return number, at
    if head in SIZES or 0xA0 <= head < 0xC0:
        return data[at : at + number].decode(errors="replace"), at + number
    is_map = head < 0x90 or head >= 0xDE
    values = []
    for _ in range(number * 2 if is_map else number):
        value, at = unpack(data, at)
        values.append(value)
    return (dict(zip(values[::2], values[1::2])) if is_map else values), at
