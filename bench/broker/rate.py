"""Jobs that do nothing, through a broker that syncs each step, against bare SQLite with the same steps.

Usage: rate.py BUILD [--jobs N] [--rounds N] [--paced N] [--folder DIR]

A real broker over its local socket, eight scripted workers of one slot (tests/fleet/sprint), and a
producer with one job, or 64 jobs, that are not in a worker's hand yet. The bound writes the rows of
as many jobs in a transaction as can be under way: eight, or one. Then so many jobs at 50 a second,
each to an idle worker: from its update to the worker that has it, which takes one sync. The folder
must be on a disk. Takes turns.
"""

import argparse
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from common import (  # noqa: E402  pylint: disable=wrong-import-position
    fettle,
    figures,
    head,
    load,
    row,
    run,
    wait_until,
)

SPRINT = os.path.join(fettle.BUILD, "tests/fleet/sprint")
COMMITS = os.path.join(fettle.BUILD, "bench/commits")
WORKERS = 8
PACE = 50


def sprint(house, number, refs, jobs, *pace):
    """Through a new broker."""
    house.broker_folder = house.path(f"broker-{number}-{refs}-{len(pace)}")
    broker = house.start("broker", house.broker_words("--log-level", "warn"))
    wait_until(house.answers, "the broker answers")
    words = [f"ipc:{house.broker_folder}", str(WORKERS), str(refs), str(jobs)]
    found = figures([SPRINT, *words, *map(str, pace)])
    house.stop(broker)
    return found


def commits(folder, jobs, each):
    inner = tempfile.mkdtemp(dir=folder)
    try:
        return figures([COMMITS, os.path.join(inner, "bound.db"), str(jobs), str(each)])
    finally:
        shutil.rmtree(inner)


def measure(house, settings):
    few = max(settings.jobs // 8, 1)
    sizes = {64: (settings.jobs, WORKERS), 1: (few, 1)}
    ours = {refs: [] for refs in sizes}
    bounds = {refs: [] for refs in sizes}
    paced = []
    for number in range(settings.rounds):
        for refs, (jobs, each) in sizes.items():
            ours[refs].append(jobs / sprint(house, number, refs, jobs)["seconds"])
            bounds[refs].append(jobs / commits(house.folder, jobs, each)["seconds"])
        paced.append(sprint(house, number, WORKERS, settings.paced, PACE))
    head(f"{settings.jobs} and {few} jobs, {settings.rounds} rounds in turn, {load()}")
    for refs, (_, each) in sizes.items():
        ratios = [one / other for one, other in zip(ours[refs], bounds[refs])]
        row(f"fettle, {refs} outstanding", ours[refs], "jobs/s", 1, 0)
        row(f"bare SQLite, {each} in a commit", bounds[refs], "jobs/s", 1, 0)
        row("ratio", ratios, "", 1, 2)
    for percent in ("p50", "p99"):
        values = [one[f"in_hand_{percent}"] / 1000 for one in paced]
        row(f"update to worker, {PACE} a second, {percent}", values, "ms", 1, 2)
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--jobs", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--paced", type=int, default=500)
    parser.add_argument("--folder", default=fettle.BUILD)
    settings = parser.parse_args()
    run(measure, settings, settings.folder)


if __name__ == "__main__":
    main()
