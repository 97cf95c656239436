"""What the programs said: their logs at debug level become lists of facts.

A line is `<time> <program> <level>: <text>`; at debug level the text of a message is
`sent|received|unsent [peer=...] <message> key=value ...` (proto/wire.c). A log may be that of
several runs, one after the other; a line that a kill cut off is left out.
"""

import collections
import re

FIELD = re.compile(r" (\w+)=(\S*)")
LOG_SIZE = re.compile(r" log_size=(\d+)$")

# What the broker records and then says at info level.
EVENTS = ("accepted", "leased", "requeued", "finished", "verdict", "joined", "left")

Event = collections.namedtuple("Event", "kind build job attempt worker commit outcome reason")
Result = collections.namedtuple("Result", "job attempt outcome log_size")
Fed = collections.namedtuple("Fed", "repository ref commits tip")
Update = collections.namedtuple("Update", "repository ref start to tip forced latest")
Offer = collections.namedtuple("Offer", "job attempt")


def fields(text):
    """The keys of a line; of a key that is there twice the first, for texts come later."""
    found = {}
    for key, value in FIELD.findall(text):
        found.setdefault(key, value)
    return found


def whole_lines(path):
    """Lines that were written to their end."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.endswith("\n"):
                yield line[:-1]


def lease(found):
    return Offer(int(found["job"]), int(found["attempt"]))


def result(text):
    """A result message; its reason is free text, so the size is looked for at the end."""
    found = fields(text)
    size = LOG_SIZE.search(text)
    return Result(
        int(found["job"]), int(found["attempt"]), found["outcome"], int(size[1]) if size else 0
    )


class WorkerLog:
    """One worker, all its runs: what it was offered, what it said, what it was told."""

    def __init__(self):
        self.name = None
        self.sessions = set()
        self.offers = []  # in the order they came
        self.results = []  # said, whether or not they arrived
        self.acknowledged = []
        self.stale = []
        self.log_ok = {}  # (job, attempt): the most that was said to be stored

    def info(self, text):
        if text.startswith("ready name="):
            self.name = fields(text)["name"]

    def debug(self, text):
        way, _, message = text.partition(" ")
        kind = message.partition(" ")[0]
        if way == "received":
            self.receive(kind, message)
        elif way in ("sent", "unsent") and kind == "result":
            self.results.append(result(message))
        elif way == "sent" and kind == "hello":
            found = fields(message)
            self.name = found["name"]
            self.sessions.add(found["session"])

    def receive(self, kind, message):
        if kind == "log_ok":
            found = fields(message)
            key, size = lease(found), int(found["offset"])
            self.log_ok[key] = max(size, self.log_ok.get(key, 0))
        elif kind == "offer":
            self.offers.append(lease(fields(message)))
        elif kind == "result_ok":
            self.acknowledged.append(lease(fields(message)))
        elif kind == "stale":
            self.stale.append(lease(fields(message)))


class BrokerLog:
    """All runs of the broker on one state folder, in their order."""

    def __init__(self):
        self.events = []
        self.offers = []  # in the order they were sent
        self.results = []  # (worker or None, result), in the order they came
        self.updates = []
        self.peers = {}

    def info(self, text):
        kind = text.partition(" ")[0]
        if kind not in EVENTS or "=" not in text:
            return
        found = fields(text)
        reason = text.partition(' reason="')[2]
        self.events.append(
            Event(
                kind,
                int(found.get("build", 0)),
                int(found.get("job", 0)),
                int(found.get("attempt", 0)),
                found.get("worker"),
                found.get("commit"),
                found.get("outcome"),
                reason[:-1] if reason else None,
            )
        )

    def debug(self, text):
        way, _, message = text.partition(" ")
        if way not in ("received", "sent", "unsent"):
            return
        peer = None
        if message.startswith("peer="):
            peer, _, message = message.partition(" ")
        kind = message.partition(" ")[0]
        if way == "received":
            self.receive(kind, peer, message)
        elif kind == "offer":
            self.offers.append(lease(fields(message)))

    def receive(self, kind, peer, message):
        if kind == "result":
            self.results.append((self.peers.get(peer), result(message)))
        elif kind == "hello":
            self.peers[peer] = fields(message)["name"]
        elif kind == "update":
            self.updates.append(update(message))


def update(message):
    found = fields(message.partition(" commits=[")[0])
    return Update(
        found["repository"],
        found["ref"],
        found["from"],
        found["to"],
        found["tip"],
        found.get("forced") == "yes",
        found.get("latest") == "yes",
    )


class ObserverLog:
    """What an observer was told to be accepted."""

    def __init__(self):
        self.fed = []

    def info(self, text):
        if text.startswith("fed repository="):
            found = fields(text)
            self.fed.append(
                Fed(found["repository"], found["ref"], int(found["commits"]), found["tip"])
            )

    def debug(self, text):
        pass


class Said:
    """Every program's log. A worker has a log of its own; the broker's may be several, in order."""

    def __init__(self, paths):
        self.broker = BrokerLog()
        self.workers = []
        self.observers = []
        for path in paths:
            self.read(path)

    def read(self, path):
        readers = {"fettle-broker": self.broker}
        for line in whole_lines(path):
            parts = line.split(" ", 3)
            if len(parts) < 4 or not parts[0].endswith("Z") or not parts[1].startswith("fettle"):
                continue
            reader = readers.get(parts[1]) or self.reader(parts[1], readers)
            if reader and parts[2] == "debug:":
                reader.debug(parts[3])
            elif reader and parts[2] == "info:":
                reader.info(parts[3])

    def reader(self, program, readers):
        """A new log of this program begins in this file."""
        if program == "fettle-worker":
            readers[program] = WorkerLog()
            self.workers.append(readers[program])
        elif program == "fettle-observer":
            readers[program] = ObserverLog()
            self.observers.append(readers[program])
        return readers.get(program)
