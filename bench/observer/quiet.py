"""What many repositories in which nothing happens cost: CPU time per look, memory over many looks.

python3 -B bench/observer/quiet.py BUILD [--repositories N] [--looks N] [--interval DURATION]
                                         [--links]

Local repositories, each with one branch. CPU time is that of the observer and of the children that
look, from /proc, for twenty parts of the looks; the goal is for all together. With --links the refs
are behind a symbolic link, and no look is spared. Exit code 1 when a goal is missed.
"""

import argparse
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from common import fettle, goal, head, load, resident_kib, row, run  # noqa: E402  pylint: disable=wrong-import-position

PARTS = 20
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
GOAL_MS = 5
GROWTH_MAX_KIB = 1024


def cpu_ms(pid):
    """CPU time of a process, and of its children that ended."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    ticks = [int(field) for field in fields[11:15]]
    return sum(ticks[:2]) * TICK_MS, sum(ticks[2:]) * TICK_MS


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


def make_repositories(house, count, links):
    """Copies of one: git init is slow."""
    first = fettle.Repository(house, "repo-1")
    first.commit({"README": "hello\n"})
    if links:
        refs = os.path.join(first.path, ".git/refs")
        os.rename(refs, refs + "-elsewhere")
        os.symlink("refs-elsewhere", refs)
    for number in range(2, count + 1):
        shutil.copytree(first.path, house.path(f"repo-{number}"), symlinks=True)
    return [house.path(f"repo-{number}") for number in range(1, count + 1)]


class Part:
    """What the observer had used up at one time."""

    def __init__(self, observer, looks):
        self.looks = looks.count
        self.own, self.children = cpu_ms(observer.pid)
        self.resident = resident_kib(observer.pid)

    def per_look(self, before):
        """CPU time in the child, and in the observer."""
        looks = self.looks - before.looks
        return (self.children - before.children) / looks, (self.own - before.own) / looks


def watch(house, settings):
    """The observer at the beginning and after each part of the looks."""
    repositories = make_repositories(house, settings.repositories, settings.links)
    house.broker()
    flags = ["--log-level", "debug"]  # it says when it looks
    observer = house.observer(*repositories, interval=settings.interval, flags=flags)
    looks = Looks(house.logs["observer"])
    # The first look finds something, and the second nothing.
    warm = 3 * settings.repositories
    fettle.wait_until(lambda: looks.update() >= warm, "each was looked at three times", 1800)
    parts, first = [Part(observer, looks)], looks.count
    for number in range(1, PARTS + 1):
        wanted = first + settings.looks * number // PARTS
        fettle.wait_until(lambda: looks.update() > wanted - 1, "enough looks", 7200)
        if looks.count > parts[-1].looks:
            parts.append(Part(observer, looks))
    return parts


def measure(house, settings):
    start = time.monotonic()
    parts = watch(house, settings)
    looks = parts[-1].looks - parts[0].looks
    seconds = time.monotonic() - start
    print(f"{looks} looks at {settings.repositories} repositories, {seconds:.0f} s, {load()}")
    costs = [after.per_look(before) for before, after in zip(parts, parts[1:])]
    head("CPU time of a look")
    row("in the child", [child for child, _ in costs], scale=1, digits=2)
    row("in the observer", [own for _, own in costs], scale=1, digits=2)
    head("the observer's memory")
    row("resident", [part.resident for part in parts], unit="KiB", scale=1, digits=0)
    cost = goal("CPU ms per look", sum(parts[-1].per_look(parts[0])), most=GOAL_MS)
    growth = parts[-1].resident - parts[0].resident
    return goal("KiB that it grew", growth, most=GROWTH_MAX_KIB) and cost


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--repositories", type=int, default=500)
    parser.add_argument("--looks", type=int, default=10000)
    parser.add_argument("--interval", default="5s")
    parser.add_argument("--links", action="store_true")
    settings = parser.parse_args()
    run(measure, settings)


if __name__ == "__main__":
    main()
