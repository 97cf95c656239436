"""What grows with the queue, the fleet, the sets of labels and the repositories: the broker's CPU for
a job that is handed out and ended, and how long fettle status takes.

A broker with so much of it each time; ten workers of one slot take and end jobs, all others hold
one. CPU is of all the broker's threads while so many jobs pass, less what it took in as much time
before, when all workers held a job and said so. Meanwhile it has one processor: where there are
more its threads wait awake for each other, which is no work. It is asked for its status on all."""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from common import fettle, timed  # noqa: E402  pylint: disable=wrong-import-position
from footprint import cpu_seconds  # noqa: E402  pylint: disable=wrong-import-position
from results import Row, Table  # noqa: E402  pylint: disable=wrong-import-position

RELAY = os.path.join(fettle.BUILD, "tests/fleet/relay")
HORDE = os.path.join(fettle.BUILD, "tests/fleet/horde")
GOAL = 1.5  # the most to the least
ACTIVE = 10  # workers that take jobs
HORDE_MAX = 4000  # workers of a process, which have descriptors
STILL_SECONDS = 1
ASKED = 20
# What each of them is while another grows.
BASE = {"jobs": 20000, "workers": ACTIVE, "sets": 0, "repositories": 1}
QUICK = {"jobs": (1000, 100000), "workers": (10, 1000), "sets": (1, 100), "repositories": (1, 1000)}
FULL = {
    "jobs": (1000, 10000, 100000, 1000000),
    "workers": (10, 100, 1000, 10000),
    "sets": (1, 100, 10000),
    "repositories": (1, 100, 10000),
}
TINY = {"jobs": (100, 200)}
SIZES = {"quick": QUICK, "full": FULL, "tiny": TINY}
LABELS = {"jobs": "jobs queued", "workers": "workers", "sets": "sets of labels"}
LABELS |= {"repositories": "repositories"}


class Program:
    """A part of the fleet, that says what it has come to."""

    def __init__(self, *words):
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            list(map(str, words)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def wait(self, word):
        for line in self.process.stdout:
            if line.startswith(word):
                return
        raise SystemExit(f"the fleet ended before it was {word}")

    def say(self, number):
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def bystanders(address, count):
    """Workers that hold a job for ever."""
    for first in range(0, count, HORDE_MAX):
        yield Program(HORDE, "work", address, first, min(HORDE_MAX, count - first))


def spent(broker, action):
    """Seconds of the broker's CPU while it goes on, and how long that is."""
    cpu, begin = cpu_seconds(broker), time.monotonic()
    action()
    return cpu_seconds(broker) - cpu, time.monotonic() - begin


def pass_jobs(broker, active, count):
    """The broker's CPU for each of so many jobs, in microseconds."""

    def run():
        active.say(count)
        active.wait("ended")

    still, still_seconds = spent(broker, lambda: time.sleep(STILL_SECONDS))
    busy, seconds = spent(broker, run)
    return (busy - still * seconds / still_seconds) / count * 1e6


def ask_status(house, address):
    words = [fettle.program("fettle"), "status", "-b", address]
    return statistics.median(timed(words, house.environment) for _ in range(ASKED)) * 1000


@contextlib.contextmanager
def one_processor():
    """For what is started meanwhile."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(ours)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


def give_all_processors(process):
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        os.sched_setaffinity(int(thread), os.sched_getaffinity(0))


@contextlib.contextmanager
def fleet(house, shape):
    """A broker with all that it has to do; its address, its process and the workers that go on."""
    house.broker_folder = tempfile.mkdtemp(dir=house.folder)
    address = f"ipc:{house.broker_folder}"
    with one_processor():
        broker = house.broker("--log-level", "warn", "--queue-max", "2000000")
    programs = []
    try:
        words = [RELAY, "feed", address, shape["jobs"], shape["sets"], shape["repositories"]]
        subprocess.run(list(map(str, words)), check=True)
        programs = list(bystanders(address, shape["workers"] - ACTIVE))
        programs.append(Program(RELAY, "work", address, ACTIVE, shape["sets"]))
        for program in programs:
            program.wait("holding")
        yield address, broker, programs[-1]
    finally:
        for program in programs:
            program.close()
        house.stop(broker)


def look(house, shape):
    """Microseconds of a job, milliseconds of a status."""
    passing = min(1000, shape["jobs"] // 2)
    with fleet(house, {**shape, "jobs": shape["jobs"] + passing // 2}) as (address, broker, active):
        cost = pass_jobs(broker, active, passing)
        give_all_processors(broker)
        return cost, ask_status(house, address)


def measure(house, rounds, size):
    """Two tables for each thing that grows: the largest is compared with the others."""
    costs, times = {}, {}
    for _ in range(rounds):
        for what, counts in SIZES[size].items():
            for count in counts:
                cost, status = look(house, {**BASE, what: count})
                costs.setdefault((what, count), []).append(cost)
                times.setdefault((what, count), []).append(status)
    for what, counts in SIZES[size].items():
        goals = {counts[0]: GOAL}.items()
        for title, unit, digits, found in (
            ("the broker's CPU for a job,", "us", 0, costs),
            ("fettle status,", "ms", 1, times),
        ):
            rows = [
                Row(count, f"{count:,} {LABELS[what]}", found[what, count])
                for count in reversed(counts)
            ]
            yield Table(f"{title} {LABELS[what]}", unit, digits, rows, goals)
