"""Jobs that do nothing, per second, by one worker with two slots; and what its processes weigh.

Usage: jobs.py BUILD [--jobs N] [--rounds N]

A whole fettle runs the commits of a small repository: first those of one branch that appear at once,
then some that each have a branch of their own, so that nothing is fetched ahead. The bound is what
two processes do on the same machine that only run the programs each of these jobs needs: git fetch,
git read-tree, sh; for the same commits, in turn. The rate is that from the tenth verdict on."""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from common import (  # noqa: E402  pylint: disable=wrong-import-position
    House,
    Repository,
    default_folder,
    fettle,
    goal,
    head,
    row,
    wait_until,
)

WARM = 10
SLOTS = 2
MIB = 1024 * 1024


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    words = parser.parse_args()
    if words.jobs <= WARM:
        parser.error(f"--jobs: more than {WARM}, which only warm it up")
    return words


def push_apart(repository, count):
    """`count` commits on the same parent, each the tip of a new branch; returns them."""
    parent, tree = repository.git("rev-parse", "HEAD", "HEAD^{tree}").split()
    known = len(repository.git("for-each-ref", "--format=x").split())
    commits = []
    for number in range(known, known + count):
        words = ["commit-tree", tree, "-p", parent, "-m", f"apart {number}"]
        commits.append(repository.git(*words))
        repository.git("update-ref", f"refs/heads/apart-{number}", commits[-1])
    return commits


def spawn(words, environment):
    """Run a program to its end, at the least cost that Python has."""
    pid = os.posix_spawnp(words[0], words, environment)
    assert os.waitpid(pid, 0)[1] == 0, words


def work_off(lane, mirror, url, commits, environment):
    """What a worker's slot cannot do without, for every second commit."""
    tree = f"{mirror}-{lane}"
    there = {**environment, "GIT_DIR": tree + "/.git", "GIT_WORK_TREE": tree}
    fetch = ["git", "-C", mirror, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", url]
    for commit in commits[lane::SLOTS]:
        spawn([*fetch, f"+{commit}:refs/fettle/{lane}"], environment)
        spawn(["git", "read-tree", "-m", "-u", commit], there)
        spawn(["sh", "-ec", "true"], environment)


class Bound:
    def __init__(self, house, repository):
        self.mirror, self.url = house.path("bound"), repository.path
        self.environment = {**house.environment, "GIT_CONFIG_GLOBAL": house.path("bound-config")}
        with open(self.environment["GIT_CONFIG_GLOBAL"], "w", encoding="utf-8") as file:
            file.write("[gc]\nauto = 0\n[maintenance]\nauto = false\n[core]\nfsync = none\n")
        for words in (["clone", "-q", "--bare", self.url, self.mirror], *self.trees()):
            subprocess.run(["git", *words], env=self.environment, check=True)

    def trees(self):
        return (
            ["clone", "-q", "--shared", self.mirror, f"{self.mirror}-{lane}"]
            for lane in range(SLOTS)
        )

    def rate(self, commits):
        words = (self.mirror, self.url, commits, self.environment)
        start = time.monotonic()
        lanes = [
            multiprocessing.Process(target=work_off, args=(lane, *words)) for lane in range(SLOTS)
        ]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
            assert lane.exitcode == 0
        return len(commits) / (time.monotonic() - start)


def rate_of(house, commits):
    """From the times at which the verdicts were recorded."""
    wanted = set(commits)

    def ends():
        builds = house.json("builds", "--limit", "0")["builds"]
        mine = [build for build in builds if build["commit"] in wanted]
        assert all(build["outcome"] in (None, "passed") for build in mine), mine
        ends = [build["finished_at"] for build in mine if build["outcome"]]
        return ends if len(ends) == len(commits) else None

    house.wait(commits[-1], 300)
    moments = sorted(moment(text) for text in wait_until(ends, "all verdicts"))
    return (len(moments) - WARM) / (moments[-1] - moments[WARM - 1])


def moment(text):
    """Seconds of an RFC 3339 time of this day."""
    hours, minutes, seconds = text.rstrip("Z").split("T")[1].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def memory(pid):
    """Bytes of a process: all that is resident, and what is its own."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
        rows = dict(line.split(":", 1) for line in file if ":" in line and "kB" in line)
    sizes = {name: int(value.split()[0]) * 1024 for name, value in rows.items()}
    return sizes["Rss"], sizes["Private_Clean"] + sizes["Private_Dirty"]


def weigh(house, repository, agent):
    """Agent and supervisor while a job runs: (resident, private) of each."""
    commit = repository.steps("echo working; sleep 3")
    house.wait_running(commit)
    supervisors = [pid for pid in fettle.children_of(agent) if "--supervise" in (
        fettle.words_of(pid))]
    assert len(supervisors) == 1, supervisors
    sizes = memory(agent), memory(supervisors[0])
    house.wait(commit)
    return sizes


def measure(house, jobs, rounds):
    repository = Repository(house)
    first = repository.steps("true")
    house.broker()
    agent = house.worker("one", slots=SLOTS)
    house.observer(repository)
    house.wait(first)
    bound = Bound(house, repository)
    rates = {way: ([], []) for way in (Repository.push_many, push_apart)}
    for _ in range(rounds):
        for push, (ours, bounds) in rates.items():
            commits = push(repository, jobs)
            ours.append(rate_of(house, commits))
            bounds.append(bound.rate(commits))
    return rates.values(), weigh(house, repository, agent.pid)


def show_rates(rates):
    """Whether the goal is met, which is for commits that are pushed together."""
    ratios = []
    for how, (ours, bounds) in zip(("pushed together", "apart"), rates):
        row(f"fettle, commits {how}", ours, "jobs/s", 1)
        row(f"bound, commits {how}", bounds, "jobs/s", 1)
        ratios.append([one / other for one, other in zip(ours, bounds)])
    row("ratio, commits pushed together", ratios[0], "", 1, 2)
    row("ratio, commits apart", ratios[1], "", 1, 2)
    return goal("ratio to the bound", statistics.median(ratios[0]), least=0.5)


def main():
    words = arguments()
    house = House(words.folder)
    try:
        rates, (agent, supervisor) = measure(house, words.jobs, words.rounds)
    finally:
        wrong = house.finish()
    head(f"jobs that do nothing, {words.jobs} a round, {words.rounds} rounds in turn")
    met = [show_rates(rates)]
    head("memory, while a job runs")
    for name, sizes in (("agent", agent), ("supervisor", supervisor)):
        print(f"{name:44}{sizes[0] / MIB:10.1f} MiB resident, {sizes[1] / MIB:.1f} MiB its own")
    met += [
        goal("resident MiB of the agent", agent[0] / MIB, most=8),
        goal("resident MiB of a supervisor", supervisor[0] / MIB, most=3),
    ]
    print("\n".join(wrong))
    return 1 if wrong or not all(met) else 0


sys.exit(main())
