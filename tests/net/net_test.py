"""A broker, an observer and three workers on five machines, with commits that keep coming while
something happens to their network. When it is mended every commit must get its verdict; at the end
the history checker reads what all of them said and what is stored.

Usage: net_test.py BUILD [--seconds N] [--keep] [CASE...]

Some cases and a few seconds of trouble each; with FETTLE_NIGHTLY=1 all of them and twenty."""

import argparse
import functools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[1:1] = [os.path.join(HERE, "..", name) for name in ("e2e", "history", "chaos")]

import content
import fettle
import history
import machines

DEBUG = ["--log-level", "debug"]
TICK_SECONDS = 0.5
SETTLE_SECONDS = 120  # the deadline for everything to have its verdict
WORKERS = ("a", "b", "c")
LABELS = {"a": ["linux"], "b": ["linux", "gcc"], "c": ["gcc", "linux"]}
NAME = "ci.example"
OLD, NEW = "10.57.0.1", "10.57.0.5"
LEFT = " info: left worker={} "
HELLO = re.compile(r" debug: received peer=(\w+) hello name=(\S+) ")
# What must have been there for the checker to look at.
FACTS = (
    "tips fed, accepted events, commits in a row, tips, builds, jobs, finished events, "
    "verdict events, expected verdicts, attempts, verdicts of workers, result_ok received, "
    "offers received, logs acknowledged, lines of logs, folders looked through"
).split(", ")


class Steady(content.Content):
    """A repository whose branches only grow: whatever was committed gets a verdict."""

    def upset(self, branch, stream):
        pass

    def commit(self, *kinds):
        stream, made = [], []
        for kind in kinds:
            made.append((self.main, self.add(self.main, stream, len(made), kind)))
        self.write(stream, made)


class Fleet:
    """The programs, each on its machine, and what is committed."""

    def __init__(self, seed):
        self.house = fettle.House()
        self.hosts = self.house.path("hosts")
        self.name_broker(OLD, "fd57::1")
        self.street = machines.Street(self.hosts)
        self.settle_in()
        self.expected = {}
        self.repository = Steady(
            self.house.folder, "every", ["main"], random.Random(seed), self.expected
        )
        self.programs = {}
        self.before = None  # where the broker was, and how it was found

    def settle_in(self):
        street = self.street
        street.machine("broker", f"{OLD}/24", f"{NEW}/24", "fd57::1/64", "fd57::5/64")
        street.machine("observer", "10.57.0.2/24", "fd57::2/64")
        street.machine("a", "10.57.0.11/24", "fd57::11/64")
        street.machine("b", "10.57.0.12/24", "fd57::12/64")
        street.machine("c", "fd57::13/64")
        street.hide(street.machines["c"], street.machine("router", "10.57.0.20/24"))

    def name_broker(self, *addresses):
        rows = ["127.0.0.1 localhost", "::1 localhost", *(f"{one} {NAME}" for one in addresses)]
        with open(self.hosts, "w", encoding="utf-8") as file:
            file.write("".join(f"{row}\n" for row in rows))

    def start(self, machine, name, words):
        words = self.street.machines[machine].words(words)
        self.programs[name] = self.house.start(name, words)

    def start_broker(self, listen):
        flags = ("--insecure", *DEBUG)
        self.start("broker", "broker", self.house.broker_words(*flags, listen=listen))
        fettle.wait_until(self.house.answers, "the broker answers")

    def start_others(self, broker, keys):
        for name in WORKERS:
            flags = [*DEBUG, *self.key_flags("worker", name, keys)]
            words = self.house.worker_words(
                name, *flags, slots=2, labels=LABELS[name], broker=broker
            )
            self.start(name, f"worker-{name}", words)
        flags = [*DEBUG, *self.key_flags("observer", "observer", keys)]
        words = self.house.observer_words(
            self.repository.path, interval="300ms", flags=flags, broker=broker
        )
        self.start("observer", "observer", words)

    def make_keys(self, keys):
        """New ones for everybody, or none."""
        shutil.rmtree(self.house.path("broker", "keys"), ignore_errors=True)
        if keys:
            self.house.cli_words(["keys", "new"])
            for name in WORKERS:
                self.invite("worker", name)
            self.invite("observer", "observer")

    def key_path(self, role, name):
        return self.house.path(f"{role}-{name}.key")

    def key_flags(self, role, name, keys):
        return ["--key", self.key_path(role, name)] if keys else []

    def invite(self, role, name):
        line = self.house.cli_words(["invite", role, name, "--address", NAME]).stdout
        path = self.key_path(role, name)
        if os.path.exists(path):
            os.unlink(path)
        words = [fettle.program("fettle"), "keys", "accept", path]
        letter = line.removeprefix("echo ").split(" | ")[0] + "\n"
        subprocess.run(words, input=letter, text=True, check=True, stdout=subprocess.DEVNULL)

    def stop(self, *names):
        for name in names:
            code = self.house.stop(self.programs.pop(name))
            if code != 0:
                raise AssertionError(f"{name} ended with {code}")

    def place(self, listen, broker, keys=False):
        """The broker listens there, and the others look for it so."""
        if self.before == (listen, broker, keys):
            return
        self.stop(*list(self.programs)[::-1])
        self.make_keys(keys)
        self.start_broker(listen)
        self.start_others(broker, keys)
        self.before = (listen, broker, keys)
        self.wait_for_workers()
        if not self.expected:  # a first look takes the newest commit only
            self.repository.tick(1)
            self.house.verdict(self.repository.main.commits[-1])

    def wait_for_workers(self):
        for name in WORKERS:
            fettle.wait_until(
                lambda name=name: self.house.worker_is_there(name), f"worker {name} is there"
            )

    def commit_for(self, seconds):
        begin = time.monotonic()
        for tick in range(1, int(seconds / TICK_SECONDS) + 1):
            self.repository.tick(1)
            time.sleep(max(0.0, begin + tick * TICK_SECONDS - time.monotonic()))

    def settle(self):
        """Everything that was committed has its verdict, and everybody is there again."""
        deadline = time.monotonic() + SETTLE_SECONDS
        for tip in self.repository.last():
            self.house.verdict(tip, SETTLE_SECONDS)
        fettle.wait_until(self.is_idle, "no job waits or runs", deadline - time.monotonic())
        self.wait_for_workers()
        self.check_verdicts()

    def is_idle(self):
        status = self.house.json("status")
        return status["queued"] == status["leased"] == 0

    def check_verdicts(self):
        """One build of each commit, whose verdict is the one that was to come."""
        builds = self.house.json("builds", "--limit", "0")["builds"]
        found = sorted(one["commit"] for one in builds)
        if found != sorted(self.expected):
            raise AssertionError(f"{len(found)} builds of {len(self.expected)} commits")
        for one in builds:
            wanted = self.expected[one["commit"]]
            if one["outcome"] != (wanted if isinstance(wanted, str) else "failed"):
                raise AssertionError(f"{one} should be {wanted}")

    def heard(self):
        """What the broker said so far."""
        return self.house.log_of("broker")

    def wait_said(self, pattern, since):
        """When something that the broker does in time is in its log; `since`: a part of that."""
        fettle.wait_until(
            lambda: re.search(pattern, self.heard()[len(since) :]), f"the broker says {pattern}"
        )

    def judge(self):
        """What breaks a promise, in all that was done."""
        with open(self.house.path("expected.json"), "w", encoding="utf-8") as file:
            json.dump(self.expected, file)
        paths = {self.repository.name: self.repository.path}
        read = history.History(self.house.folder, True, paths)
        wrong = read.check()
        wrong += [f"nothing was looked at: {fact}" for fact in FACTS if not read.facts[fact]]
        looked = ", ".join(f"{n} {what}" for what, n in read.facts.items())
        lost = sum(one.end != "finished" for one in read.recorded.attempts.values())
        print(f"# looked at: {looked}\n# {self.figures(lost)}", flush=True)
        return wrong

    def figures(self, lost):
        return f"figures: net: {len(self.expected)} commits, {lost} attempts lost"

    def close(self):
        """The network is there as long as somebody lives in it."""
        self.street.close()
        wrong = self.house.end_all()
        self.house.reap_orphans()
        return wrong


# ---- the cases: what happens while commits come -------------------------------------------------

V4 = ("0.0.0.0:5570", NAME)  # the name has an IPv6 address too, where nobody listens
V6 = ("[::]:5570", "[fd57::1]")


def ipv6(fleet, seconds):
    fleet.place(*V6)
    fleet.commit_for(seconds)
    said = fleet.street.machines["broker"].run("ss -Htn state established sport = :5570")
    for number in ("11", "12", "13"):
        assert f"[fd57::{number}]" in said, said


def nat(fleet, seconds):
    """A name, IPv4, and one worker behind a router."""
    fleet.place(*V4)
    fleet.commit_for(seconds)
    said = fleet.street.machines["broker"].run("ss -Htn state established sport = :5570")
    assert "10.57.0.20" in said and "192.168." not in said, said
    outcome = fleet.house.json("workers")["workers"]
    assert {row["name"] for row in outcome} == set(WORKERS), outcome


def trouble(fleet, seconds, make, leaves=None, keys=False):
    """Something wrong for a while; a worker that it cuts off loses what it holds meanwhile."""
    fleet.place(*V4, keys)
    fleet.commit_for(1)
    before = fleet.heard()
    faults = make(fleet.street.machines)
    fleet.commit_for(seconds)
    if leaves:
        fleet.wait_said(LEFT.format(leaves), before)
    # An idle link carries a heartbeat a second: of few packets, none may have been lost yet.
    fettle.wait_until(lambda: all(fault.felt() for fault in faults), "what was done is felt")
    for fault in faults:
        fault.heal()
    return before


def unplugged(fleet, seconds):
    trouble(fleet, seconds, lambda there: [machines.Unplugged(there["a"])], "a")


def broker_unplugged(fleet, seconds):
    trouble(fleet, seconds, lambda there: [machines.Unplugged(there["broker"])], "a")


def both_ways(fleet, seconds):
    """Nothing arrives, and nobody sees why."""
    trouble(fleet, seconds, lambda there: [machines.Loss(there["a"], 100)], "a")


def not_to_worker(fleet, seconds):
    trouble(fleet, seconds, lambda there: [machines.Loss(there["a"], 100, ["to"])], "a")


def not_to_broker(fleet, seconds):
    """The worker's machine hears, and is not heard."""
    trouble(fleet, seconds, lambda there: [machines.Loss(there["a"], 100, ["from"])], "a")


def old_frames(fleet, seconds):
    """What a worker said arrives when its session ended long ago: it is stopped, or it would have
    hung up by then, and its connection delivers what it holds once the cable is mended."""
    fleet.place(*V4)
    fleet.commit_for(1)
    before, said = fleet.heard(), fleet.house.log_of("worker-a")
    peer = [peer for peer, name in HELLO.findall(before) if name == "a"][-1]
    fault = machines.Loss(fleet.street.machines["a"], 100, ["from"])
    fettle.wait_until(
        lambda: "sent heartbeat" in fleet.house.log_of("worker-a")[len(said) :],
        "a beat is lost",
    )
    fleet.programs["worker-a"].send_signal(signal.SIGSTOP)
    try:
        fleet.commit_for(seconds)
        fleet.wait_said(LEFT.format("a"), before)
        since = fleet.heard()
        fault.heal()
        fleet.wait_said(rf" debug: received peer={peer} heartbeat ", since)
    finally:
        fleet.programs["worker-a"].send_signal(signal.SIGCONT)


def loss(fleet, seconds):
    """Three of ten packets, of all but one worker."""
    trouble(
        fleet,
        seconds,
        lambda there: [machines.Loss(there[name], 30) for name in ("a", "b", "observer")],
    )


def with_keys(fleet, seconds):
    """With keys, a worker is cut off and shakes hands again over a line that loses packets."""
    before = trouble(
        fleet,
        seconds,
        lambda there: [machines.Loss(there["a"], 30), machines.Unplugged(there["b"])],
        "b",
        keys=True,
    )
    fleet.wait_said(r"received peer=\w+ hello name=b ", before)
    assert "tcp asks for keys allowed=4" in fleet.heard(), fleet.heard()
    wanted = fleet.house.run(
        fleet.street.machines["c"].words([fettle.program("fettle"), "status", "--broker", NAME])
    )
    assert wanted.returncode == 2 and "the broker wants a key" in wanted.stderr, wanted


def slow(fleet, seconds):
    """As over an old telephone line; and logs of a megabyte, which take all of it. No lease ends."""
    fleet.place(*V4)
    faults = [machines.Slow(fleet.street.machines[name], 64) for name in ("a", "b")]
    fleet.before = None
    fleet.place(*V4)  # who starts on such a line does not find out by losing a session
    before = fleet.heard()
    fleet.repository.commit(*["loud"] * 6)
    fleet.commit_for(max(seconds, 8))
    assert all(fault.felt() for fault in faults)
    for fault in faults:
        fault.heal()
    fleet.settle()
    left = re.findall(r" info: left worker=.*", fleet.heard()[len(before) :])
    assert not left, left


def moved(fleet, seconds):
    """The broker is somewhere else, and its name leads there."""
    fleet.place(*V4)
    fleet.commit_for(1)
    fleet.stop("broker")
    fleet.name_broker(NEW)
    before = fleet.heard()
    fleet.start_broker(f"{NEW}:5570")
    fleet.before = None
    fleet.commit_for(seconds)
    for name in WORKERS:
        fleet.wait_said(rf"received peer=\w+ hello name={name} ", before)


CASES = [ipv6, nat, unplugged, broker_unplugged, both_ways, not_to_worker]
CASES += [not_to_broker, old_frames, loss, with_keys, slow, moved]
SHORT = [ipv6, nat, old_frames, loss, with_keys, slow, moved]


def tell(number, name, wrong):
    for one in wrong[:30]:
        print("\n".join(f"# {row}" for row in str(one).splitlines()))
    print(f"{'not ok' if wrong else 'ok'} {number} - {name}", flush=True)
    return not wrong


def attempt(action):
    """What went wrong."""
    try:
        return action() or []
    except Exception as error:  # the others are to be told, and all to be stopped
        return [f"{type(error).__name__}: {error}"]


def one_case(fleet, case, seconds):
    begin = time.monotonic()
    case(fleet, seconds)
    fleet.settle()
    print(f"# {case.__name__}: {time.monotonic() - begin:.1f} s", flush=True)


def run(cases, seconds, seed, keep):
    print(f"TAP version 13\n1..{len(cases) + 1}\n# seed {seed}", flush=True)
    fleet = Fleet(seed)
    good = True
    for number, case in enumerate(cases, 1):
        wrong = attempt(functools.partial(one_case, fleet, case, seconds))
        good &= tell(number, case.__name__, wrong)
    wrong = fleet.close()
    wrong += attempt(fleet.judge)
    good &= tell(len(cases) + 1, "no promise was broken", wrong)
    if keep or not (good or os.environ.get("CI")):
        print(f"# see {fleet.house.folder}")
    else:
        shutil.rmtree(fleet.house.folder)
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--keep", action="store_true", help="keep the folder in any case")
    parser.add_argument("case", nargs="*", help=", ".join(case.__name__ for case in CASES))
    options = parser.parse_intermixed_args()
    nightly = os.environ.get("FETTLE_NIGHTLY") == "1"
    machines.enter("net")
    fettle.become_subreaper()
    named = [case for case in CASES if case.__name__ in options.case]
    cases = named or (CASES if nightly else SHORT)
    seconds = options.seconds or (20 if nightly else 3)
    sys.exit(0 if run(cases, seconds, options.seed, options.keep) else 1)


if __name__ == "__main__":
    main()
