"""How long a broker that is started again is without its workers, and what each of them costs it.

Usage: restart.py BUILD [--workers N] [--processes N] [--settle S] [--ways null,curve]

A real broker on loopback TCP and scripted workers (tests/fleet/horde) that hold a job each, in as
many processes as their descriptors need. It is killed and started again; the time is from that
start until the last worker is let in again. No job may be started twice meanwhile, nor be taken
away. Then the same with a key for each worker. Memory is what the workers add to a broker that has
the same jobs and none of them: when the last came in first, and after so many seconds of
heartbeats. Exit code 1 when a goal is missed."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from common import (  # noqa: E402  pylint: disable=wrong-import-position
    default_folder,
    fettle,
    goal,
    load,
    resident_kib,
    run,
    wait_until,
)

GOAL_SECONDS = {"null": 5, "curve": 20}
GOAL_KIB = 32
JOBS = 50  # of a commit
PATIENCE = 300
HORDE = os.path.join(fettle.BUILD, "tests/fleet/horde")


class Part:
    """Some of the workers, in a process of their own."""

    def __init__(self, address, first, count, keys):
        words = [HORDE, "work", address, str(first), str(count), *([keys] if keys else [])]
        self.count = count
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def wait(self, word):
        """Until it says so; returns what it counted."""
        for line in self.process.stdout:
            if line.startswith(word):
                return [int(number) for number in re.findall(r"=(\d+)", line)]
        raise SystemExit(f"the workers ended before they were {word}")

    def expect(self):
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        self.wait("waiting")

    def close(self):
        """Returns what it counted to its end."""
        self.process.stdin.close()
        counted = self.wait("end")
        if self.process.wait() != 0:
            raise SystemExit("the workers did not end well")
        return counted


class Way:
    """A broker of its own, with or without keys, and everybody at it."""

    def __init__(self, house, name, settings):
        self.house, self.name, self.settings = house, name, settings
        house.broker_folder = house.path(name)
        self.address = f"127.0.0.1:{fettle.free_ports()}"
        self.keys = None
        if name == "curve":
            self.keys = tempfile.mkdtemp(dir=default_folder(), prefix="fettle-keys-")
            self.make_keys()
        self.parts = []

    def make_keys(self):
        server = self.house.cli_words(["keys", "new"]).stdout.strip()
        words = [HORDE, "keys", server, self.keys, "0", str(self.settings.workers)]
        rows = subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout
        path = os.path.join(self.house.broker_folder, "keys", "allowed")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(rows)

    def start(self):
        self.broker = self.house.start(
            self.name, self.house.broker_words("--log-level", "warn", listen=self.address)
        )

    def feed(self):
        commits = self.settings.workers * 5 // 4 // JOBS + 1
        words = [HORDE, "feed", f"ipc:{self.house.broker_folder}", str(commits), str(JOBS)]
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True)

    def fill(self):
        each = -(-self.settings.workers // self.settings.processes)
        for first in range(0, self.settings.workers, each):
            count = min(each, self.settings.workers - first)
            self.parts.append(Part(self.address, first, count, self.keys))
        for word in ("welcome", "holding"):
            for part in self.parts:
                part.wait(word)

    def status(self):
        return self.house.json("status")

    def measure(self):
        self.start()
        wait_until(self.house.answers, "the broker answers", PATIENCE)
        self.feed()
        empty = resident_kib(self.broker.pid)
        begin = time.monotonic()
        self.fill()
        print(f"{self.name}: all in, with a job each, after {time.monotonic() - begin:.2f} s")
        came = resident_kib(self.broker.pid) - empty
        time.sleep(self.settings.settle)
        stay = resident_kib(self.broker.pid) - empty
        seconds = self.restart()
        memory = resident_kib(self.broker.pid)
        status = self.status()
        ends = [part.close() for part in self.parts]
        started, taken = (sum(column) for column in zip(*ends))
        workers = self.settings.workers
        print(f"{self.name}: {workers} workers, {status['leased']} leases, {load()}")
        print(f"{self.name}: KiB of the broker after it was started again: {memory}")
        print(f"{self.name}: KiB a worker after {self.settings.settle:g} s: {stay / workers:.1f}")
        met = goal(f"{self.name}: seconds to the last worker", seconds, most=GOAL_SECONDS[self.name])
        met &= goal(f"{self.name}: KiB a worker when they came", came / workers, most=GOAL_KIB)
        met &= goal(f"{self.name}: jobs started twice", started - workers, most=0)
        met &= goal(f"{self.name}: jobs taken away", taken, most=0)
        met &= goal(f"{self.name}: workers without a lease", workers - status["leased"], most=0)
        return met

    def restart(self):
        for part in self.parts:
            part.expect()
        self.house.stop(self.broker, 9)
        begin = time.monotonic()
        self.start()
        for part in self.parts:
            part.wait("welcome")
        return time.monotonic() - begin

    def close(self):
        for part in self.parts:
            if part.process.poll() is None:
                part.process.kill()
                part.process.wait()
        if self.keys:
            shutil.rmtree(self.keys)
        if self.broker.poll() is None:
            self.house.stop(self.broker)


def measure(house, settings):
    met = True
    for name in settings.ways.split(","):
        way = Way(house, name, settings)
        try:
            met &= way.measure()
        finally:
            way.close()
    return met


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--workers", type=int, default=10000)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--settle", type=float, default=20)
    parser.add_argument("--ways", default="null,curve")
    run(measure, parser.parse_args())


if __name__ == "__main__":
    main()
