"""What many repositories in which nothing happens cost: CPU time per look, memory over many looks.

python3 -B bench/observer/quiet.py BUILD [--repositories N] [--looks N] [--interval DURATION]

Local repositories, each with one branch. CPU time is that of the observer and of the children that
look, from /proc. Exit code 1 when a goal is missed.
"""

import argparse
import os
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../tests/e2e"))

import fettle  # noqa: E402  pylint: disable=wrong-import-position

TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
GOAL_MS = 5
GROWTH_MAX_KIB = 1024


def cpu_ms(pid):
    """CPU time of a process, and of its children that ended."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    ticks = [int(field) for field in fields[11:15]]
    return sum(ticks[:2]) * TICK_MS, sum(ticks[2:]) * TICK_MS


def resident_kib(pid):
    with open(f"/proc/{pid}/statm", encoding="utf-8") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


class Looks:
    """Counts the looks in the observer's log, as it grows."""

    def __init__(self, path):
        self.path = path
        self.offset = 0
        self.count = 0

    def update(self):
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            new = file.read()
        end = new.rfind(b"\n") + 1
        self.count += new[:end].count(b" effect poll repository=")
        self.offset += end
        return self.count


def make_repositories(house, count):
    """Copies of one: git init is slow."""
    first = fettle.Repository(house, "repo-1")
    first.commit({"README": "hello\n"})
    for number in range(2, count + 1):
        shutil.copytree(first.path, house.path(f"repo-{number}"))
    return [house.path(f"repo-{number}") for number in range(1, count + 1)]


def measure(house, settings):
    repositories = make_repositories(house, settings.repositories)
    house.broker()
    flags = ["--log-level", "debug"]  # it says when it looks
    observer = house.observer(*repositories, interval=settings.interval, flags=flags)
    looks = Looks(house.logs["observer"])
    # The first look finds something, and the second nothing.
    warm = 3 * settings.repositories
    fettle.wait_until(lambda: looks.update() >= warm, "each was looked at three times", 1800)
    before, own, children = looks.count, *cpu_ms(observer.pid)
    memory, start = resident_kib(observer.pid), time.monotonic()
    wanted = before + settings.looks
    fettle.wait_until(lambda: looks.update() >= wanted, "enough looks", 7200)
    seconds, after = time.monotonic() - start, cpu_ms(observer.pid)
    done = looks.count - before
    growth = resident_kib(observer.pid) - memory
    per_look = (after[1] - children) / done, (after[0] - own) / done
    print(f"{done} looks at {settings.repositories} repositories in {seconds:.0f} s")
    print(f"CPU per look: {per_look[0]:.2f} ms in the child, {per_look[1]:.2f} ms in the observer")
    print(f"resident: {memory + growth} KiB, {growth:+d} KiB since the start")
    return sum(per_look) <= GOAL_MS and growth <= GROWTH_MAX_KIB


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--repositories", type=int, default=500)
    parser.add_argument("--looks", type=int, default=10000)
    parser.add_argument("--interval", default="5s")
    settings = parser.parse_args()
    house = fettle.House()
    try:
        met = measure(house, settings)
    finally:
        wrong = house.finish()
    print("\n".join([*wrong, f"goal, at most {GOAL_MS} ms: {'met' if met else 'MISSED'}"]))
    sys.exit(0 if met and not wrong else 1)


if __name__ == "__main__":
    main()
