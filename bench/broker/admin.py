"""What looking at a busy broker costs: fettle status, and all pages of fettle queue and builds.

Usage: admin.py BUILD [--jobs N] [--workers N] [--rounds N] [--passes N] [--settle S]

A real broker with so many jobs that wait, each of a build of its own, and so many scripted workers
that hold one each (tests/fleet). The bound is what this machine needs for a program that starts,
asks an idle broker one thing and ends; it takes turns with fettle status. Memory is looked at when
the workers have been there for so many seconds: libzmq's queues of a connection grow until 256
messages have passed, which is as many heartbeats. Exit code 1 when a goal is missed.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from common import (  # noqa: E402  pylint: disable=wrong-import-position
    fettle,
    goal,
    head,
    load,
    resident_kib,
    row,
    run,
    timed,
)

GOAL_MS = 50
GROWTH_MAX_KIB = 1024
# `request` 1 for `none`, which no broker knows: answered at once.
QUESTION = (b"fettle/1", b"\x83\xa4type\xa7request\xa2id\x01\xa6method\xa4none")


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


class Crowd:
    """The broker of tests/fleet/crowd, with all that it has to do."""

    def __init__(self, jobs, workers):
        words = [os.path.join(fettle.BUILD, "tests/fleet/crowd"), fettle.program("broker")]
        words += ["--jobs", str(jobs), "--workers", str(workers), "--commit-jobs", "1"]
        self.process = subprocess.Popen(
            [*words, "--memory", "4096", "stand"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for line in self.process.stdout:
            print(line.rstrip(), flush=True)
            found = re.search(r"^# stands: folder=(\S+) pid=(\d+) ", line)
            if found:
                self.address, self.pid = f"ipc:{found[1]}", int(found[2])
                self.stands = time.monotonic()
                return
        raise SystemExit("the crowd does not stand")

    def settle(self, seconds):
        """Let it stand for so long."""
        time.sleep(max(0, self.stands + seconds - time.monotonic()))

    def close(self):
        self.process.stdin.close()
        for line in self.process.stdout:
            print(line.rstrip(), flush=True)
        if self.process.wait() != 0:
            raise SystemExit("the crowd did not end well")


def measure_status(house, crowd, rounds):
    """Whether it is fast enough; the program starts anew each time, as people start it."""
    fettle_program = fettle.program("fettle")
    ask = [fettle.program("raw_peer"), "dealer", f"ipc://{house.broker_folder}/admin.sock"]
    status = [fettle_program, "status", "-b"]
    ways = {
        "fettle version": [fettle_program, "version"],
        "the bound: one question, idle broker": ask + [frame.hex() for frame in QUESTION],
        "fettle status, idle broker": status + [f"ipc:{house.broker_folder}"],
        "fettle status": status + [crowd.address],
    }
    times = {name: [] for name in ways}
    for _ in range(rounds):
        for name, words in ways.items():
            times[name].append(timed(words, house.environment))
    print(f"\n{rounds} rounds in turn, {load()}\n{'':44}{'p50':>10}{'p99':>10}{'most':>10}")
    for name, values in times.items():
        shown = (percentile(values, 50), percentile(values, 99), max(values))
        print(f"{name:44}" + "".join(f"{value * 1000:10.1f}" for value in shown) + " ms")
    ours, bound = times["fettle status"], times["the bound: one question, idle broker"]
    for percent in (50, 99):
        ratio = percentile(ours, percent) / percentile(bound, percent)
        print(f"ratio to the bound, p{percent}: {ratio:.2f}")
    return goal("ms of fettle status, p99", percentile(ours, 99) * 1000, most=GOAL_MS)


def measure_pages(house, crowd, passes):
    """Whether the broker stays as it is, once it has answered each question."""
    met = True
    for verb in ("queue", "builds"):
        words = [fettle.program("fettle"), verb, "-b", crowd.address, "--limit", "0", "--json"]
        before, seconds, sizes = resident_kib(crowd.pid), [], []
        for _ in range(passes):
            seconds.append(timed(words, house.environment))
            sizes.append(resident_kib(crowd.pid))
        head(f"all pages of fettle {verb}, {passes} passes")
        row("one pass", seconds, unit="s", scale=1, digits=2)
        row("resident after a pass", sizes, unit="KiB", scale=1, digits=0)
        print(f"KiB that the first pass added: {sizes[0] - before}")
        growth = sizes[-1] - sizes[0]
        met &= goal(f"KiB that the others added ({verb})", growth, most=GROWTH_MAX_KIB)
    return met


def measure(house, settings):
    house.broker()
    with contextlib.closing(Crowd(settings.jobs, settings.workers)) as crowd:
        print(f"stands, {resident_kib(crowd.pid)} KiB")
        fast = measure_status(house, crowd, settings.rounds)
        crowd.settle(settings.settle)
        print(f"\nstood for {time.monotonic() - crowd.stands:.0f} s, {resident_kib(crowd.pid)} KiB")
        return measure_pages(house, crowd, settings.passes) and fast


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--jobs", type=int, default=100000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--passes", type=int, default=10)
    parser.add_argument("--settle", type=float, default=300)
    settings = parser.parse_args()
    run(measure, settings)


if __name__ == "__main__":
    main()
