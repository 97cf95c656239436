"""The same durable work through fettle, through other queues, and at the machine's limit.

Usage: compare.py BUILD [--quick | --full] [--only NAME,...] [--machine WORD] [--results DIR] ...

Rounds in turn. In each, everybody gets 200-byte jobs that do nothing, from one producer with 64
jobs, or one, that are not accepted yet, to eight workers; then jobs at 50 a second, to workers that
have nothing to do. Then what fettle takes when idle (footprint.py), what grows (growth.py), and
commits to verdicts (verdict.py). Exit code 1 when a goal is missed; see README.md."""

import argparse
import datetime
import os
import platform
import re
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import alone  # noqa: E402  pylint: disable=wrong-import-position
import contest  # noqa: E402  pylint: disable=wrong-import-position
import footprint  # noqa: E402  pylint: disable=wrong-import-position
import growth  # noqa: E402  pylint: disable=wrong-import-position
import verdict  # noqa: E402  pylint: disable=wrong-import-position
from common import fettle, goal, load, run  # noqa: E402  pylint: disable=wrong-import-position
from results import Row, Table, plot  # noqa: E402  pylint: disable=wrong-import-position

PACE = 50
PILOT_JOBS = 100
RATE_GOALS = {
    64: dict.fromkeys(("beanstalkd", "redis", "postgres", "gearmand"), 2)
    | dict.fromkeys(("rabbitmq", "quorum"), 1.3)
    | {"limit": 0.9},
    1: {"beanstalkd": 1},
}
LATENCY_GOALS = {"beanstalkd": 1}
SPREAD_GOAL = 3  # p99 to p50
QUICK = {"rounds": 3, "seconds": 1, "paced": 100, "idle": 5, "builds": 20}
QUICK |= {"queue": 100000, "accepted": 20000, "growth": "quick", "growths": 1}
QUICK |= {"verdicts": 0}  # Buildbot takes its time
FULL = {"rounds": 9, "seconds": 5, "paced": 500, "idle": 30, "builds": 100}
FULL |= {"queue": 1000000, "accepted": 50000, "growth": "full", "growths": 3}
FULL |= {"verdicts": 5}
RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../results")


class Measured:
    """What was measured of everybody, and how many jobs fill the time."""

    def __init__(self, settings):
        self.settings = settings
        self.rates, self.p50, self.p99 = {}, {}, {}

    def rate(self, one, outstanding):
        key = (one.name, outstanding)
        values = self.rates.setdefault(key, [])
        jobs = PILOT_JOBS
        if not values:  # as long as it takes to know how many fill the time
            jobs = min(jobs, self.settings.jobs)
            guess = jobs / one.measure(outstanding, jobs)["seconds"]
        else:
            guess = values[-1]
        jobs = min(max(int(guess * self.settings.seconds), PILOT_JOBS), self.settings.jobs)
        values.append(jobs / one.measure(outstanding, jobs)["seconds"])

    def pace(self, one):
        found = one.measure(contest.WORKERS, self.settings.paced, PACE)
        self.p50.setdefault(one.name, []).append(found["in_hand_p50"] / 1000)
        self.p99.setdefault(one.name, []).append(found["in_hand_p99"] / 1000)

    def round(self, everybody):
        for one in everybody:
            with one.started():
                for each in one.riders():
                    for outstanding in each.races:
                        self.rate(each, outstanding)
                    if each.paces:
                        self.pace(each)

    def tables(self, everybody):
        everybody = [each for one in everybody for each in one.riders()]
        for outstanding in contest.OUTSTANDING:
            racing = [one for one in everybody if outstanding in one.races]
            rows = [Row(one.name, one.label, self.rates[one.name, outstanding]) for one in racing]
            goals = RATE_GOALS[outstanding].items()
            yield Table(f"durable jobs, {outstanding} outstanding", "jobs/s", 0, rows, goals)
        for percent, values in (("p50", self.p50), ("p99", self.p99)):
            rows = [Row(one.name, one.label, values[one.name]) for one in everybody if one.paces]
            goals = LATENCY_GOALS.items() if percent == "p50" else ()
            yield Table(f"sent to in hand, {PACE} a second, {percent}", "ms", 2, rows, goals)

    def is_even(self):
        ratios = [p99 / p50 for p99, p50 in zip(self.p99["fettle"], self.p50["fettle"])]
        return goal("\nfettle, p99 to p50", statistics.median(ratios), most=SPREAD_GOAL)


def who_takes_part(house, only):
    """Ours, the others that are there, the limits; a line for each that is not."""
    peers = []
    for kind in contest.PEERS:
        if only and kind.name not in only:
            continue
        peer = kind(house)
        missing = peer.missing()
        if missing:
            print(f"left out: {missing}", flush=True)
        else:
            peers.append(peer)
    return [contest.Fettle(house), *peers, *(kind(house) for kind in contest.LIMITS)]


def machine_word():
    return f"{os.cpu_count()}-cores-{platform.machine()}"


def write(settings, title, tables):
    """The page and the plot, in place of those of the same day, machine and size."""
    os.makedirs(settings.results, exist_ok=True)
    size = "-quick" if settings.size is QUICK else ""
    name = f"{datetime.date.today().isoformat()}-{settings.machine}{size}"
    with open(os.path.join(settings.results, f"{name}.svg"), "w", encoding="utf-8") as file:
        file.write(plot([table for table in tables if table.compares]))
    with open(os.path.join(settings.results, f"{name}.md"), "w", encoding="utf-8") as file:
        file.write(f"# {title}\n\n![The medians as bars]({name}.svg)\n")
        file.writelines("\n" + table.page() for table in tables)
        file.write("\nWhat each row means: [performance](../../docs/performance.md).\n")
    print(f"\nwritten: bench/results/{name}.md" if settings.results == RESULTS else "\nwritten")


def measure(house, settings):
    fettle.become_subreaper()
    everybody = who_takes_part(house, settings.only)
    measured = Measured(settings)
    for number in range(settings.rounds):
        measured.round(everybody)
        print(f"round {number + 1} of {settings.rounds}, {load()}", flush=True)
    tables = list(measured.tables(everybody))
    few, queue = min(settings.rounds, 3), settings.queue
    peers = [one for one in everybody if isinstance(one, contest.Peer)]
    ways = ("closed", "silent") if settings.size is FULL else ("closed",)
    tables += alone.measure(house, few, settings.accepted, peers, ways)
    tables += footprint.measure(house, few, settings.idle, settings.builds, queue)
    tables += growth.measure(house, settings.growths, settings.growth)
    if settings.verdicts:
        others = settings.only or [verdict.Buildbot.name]
        tables += verdict.measure(house, settings.verdicts, settings.builds, others)
    for table in tables:
        table.print()
    title = f"{settings.rounds} rounds in turn, {settings.machine}, {datetime.date.today()}"
    even = measured.is_even()
    write(settings, title, tables)
    return all(table.is_met() for table in tables) and even


def word(text):
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text):
        raise argparse.ArgumentTypeError(f"'{text}' is no word of letters, digits, '-', '_', '.'")
    return text


def positive(text):
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no number above 0")
    return int(text)


def names(text):
    known = [kind.name for kind in (*contest.PEERS, verdict.Buildbot)]
    for name in text.split(","):
        if name not in known:
            raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(known)}")
    return text.split(",")


def main():
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("build")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", dest="size", action="store_const", const=QUICK, default=QUICK)
    sizes.add_argument("--full", dest="size", action="store_const", const=FULL)
    parser.add_argument("--only", type=names, default=[])
    parser.add_argument("--machine", type=word, default=machine_word())
    parser.add_argument("--results", default=RESULTS)
    parser.add_argument("--folder", default=fettle.BUILD, help="where state is kept: on a disk")
    parser.add_argument("--rounds", type=positive)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--paced", type=positive)
    parser.add_argument("--idle", type=float, help="seconds of each look at what does nothing")
    parser.add_argument("--builds", type=positive)
    parser.add_argument("--accepted", type=positive, help="commits, while no worker is there")
    parser.add_argument("--queue", type=positive, help="most jobs that wait, above 10,000")
    parser.add_argument("--verdicts", type=positive, help="rounds beside Buildbot; --quick has none")
    parser.add_argument("--growth", choices=growth.SIZES, help="how much queue and fleet grow")
    parser.add_argument("--growths", type=positive, help="rounds of that")
    parser.add_argument("--jobs", type=positive, default=10**7, help="at most so many a measurement")
    settings = parser.parse_args()
    for name, value in settings.size.items():
        if getattr(settings, name) is None:
            setattr(settings, name, value)
    run(measure, settings, settings.folder)


if __name__ == "__main__":
    main()
