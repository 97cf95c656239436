"""Chaos: real programs and repositories, of which every half a second to two one is killed, stopped
or ended; then the faults stop, everything gets its verdict, and the history checker reads what all
of them said, what clients were shown, and what is stored.

Usage: chaos_test.py BUILD [--seed N] [--seconds N] [--keep]

The seed decides what is committed and what is done to whom and when. With FETTLE_NIGHTLY=1 rounds
of ten minutes for two hours."""

import argparse
import collections
import datetime
import json
import os
import random
import re
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[1:1] = [os.path.join(HERE, "..", "e2e"), os.path.join(HERE, "..", "history")]

import clients
import content
import faults
import fettle
import history

TICK_SECONDS = 0.5
NIGHTLY_ROUNDS, NIGHTLY_SECONDS = 12, 600
DRAIN_SECONDS = 120  # the deadline for everything to have its verdict
READY_SECONDS = 5  # the same for a broker that starts
DEBUG = ["--log-level", "debug"]
# Everything that the checker looks at must have been there to look at.
FACTS = (
    "tips fed, accepted events, commits in a row, tips, builds, jobs, finished events, "
    "verdict events, expected verdicts, attempts, verdicts of workers, result_ok received, "
    "offers received, logs acknowledged, lines of logs, builds shown, jobs shown, "
    "events followed, steps of jobs, result files, folders looked through"
).split(", ")


READY = re.compile(r"^(\S+) fettle-broker info: ready ", re.MULTILINE)
LEASED = re.compile(r"^(\S+) fettle-broker info: leased .* job=(\d+) .* worker=(\S+)", re.MULTILINE)


class Chaos:
    """One round."""

    def __init__(self, seed, seconds):
        self.seed, self.seconds = seed, seconds
        self.house = fettle.House()
        self.expected = {}
        self.wrong = []
        self.drained = False
        self.repositories = [
            self.repository("every", ["main", "topic", "side"]),
            self.repository("latest", ["main", "topic", "side"]),
            self.repository("busy", ["main", "side"]),
        ]
        self.havoc = faults.Havoc(self.roles(), self.random("havoc"))
        names = [role.name for role in self.havoc.roles]
        self.faults = faults.schedule(self.random("faults"), seconds, names)
        self.to_wait_for = collections.deque()
        self.clients = [
            clients.Poller(self.house, f"{seed} poller"),
            clients.Waiter(self.house, self.next_to_wait_for),
            clients.Follower(self.house),
        ]

    def random(self, what):
        """Each part draws from a stream of its own."""
        return random.Random(f"{self.seed} {what}")

    def repository(self, name, branches):
        return content.Content(
            self.house.folder, name, branches, self.random(name), self.expected
        )

    def next_to_wait_for(self):
        return self.to_wait_for.pop() if self.to_wait_for else None

    def roles(self):
        words = self.house.broker_words(*DEBUG)
        roles = [faults.Role(self.house, "broker", words)]
        for name, slots, labels in (
            ("a", 2, ["linux"]),
            ("b", 2, ["linux", "gcc"]),
            ("c", 1, ["gcc", "linux"]),
            ("d", 3, []),
        ):
            words = self.house.worker_words(name, *DEBUG, slots=slots, labels=labels)
            roles.append(faults.Role(self.house, f"worker-{name}", words))
        every, *latest = [one.path for one in self.repositories]
        for name, policy, paths in (
            ("observer-every-1", "every", [every]),
            ("observer-every-2", "every", [every]),
            ("observer-latest-1", "latest", latest),
            ("observer-latest-2", "latest", latest),
        ):
            flags = (*DEBUG, "--policy", policy)
            words = self.house.observer_words(*paths, interval="500ms", flags=flags, name=name)
            roles.append(faults.Role(self.house, name, words))
        return roles

    # ---- the faults

    def commit(self):
        """Fifty a second; most where only the newest is run, for each run costs a process."""
        every, latest, busy = self.repositories
        every.tick(2)
        latest.tick(9)
        busy.tick(14)
        if not every.main.deleted:
            self.to_wait_for.append(every.main.commits[-1])

    def rage(self):
        begin = time.monotonic()
        waiting, next_tick = collections.deque(self.faults), 0.0
        while (now := time.monotonic() - begin) < self.seconds:
            if now >= next_tick:
                self.commit()
                next_tick += TICK_SECONDS
            while waiting and now >= waiting[0].at:
                self.havoc.carry_out(waiting.popleft(), now)
            self.wrong += self.havoc.turn(now)
            pause = min(next_tick, begin + self.seconds) - (time.monotonic() - begin)
            time.sleep(max(0.0, min(pause, 0.02)))
        self.begin = begin

    # ---- afterwards

    def wait_until(self, check, what):
        """With the time that is left for everything; programs that are away come back meanwhile."""

        def turn():
            self.wrong += self.havoc.turn(time.monotonic() - self.begin)
            return check()

        fettle.wait_until(turn, what, max(1, self.deadline - time.monotonic()))

    def drain(self):
        self.deadline = time.monotonic() + DRAIN_SECONDS
        for role in self.havoc.roles:
            role.go_on()
            role.start_at = 0.0
        self.wait_until(lambda: all(r.is_up() for r in self.havoc.roles), "all programs run")
        tips = [tip for repository in self.repositories for tip in repository.last()]
        for tip in tips:
            self.wait_until(lambda tip=tip: self.verdict(tip), f"a verdict of {tip}")
        self.wait_until(self.is_idle, "no job waits or runs")
        self.wait_until(self.no_result_is_kept, "all results are acknowledged")
        self.look_again()

    def verdict(self, commit):
        done = self.house.cli("wait", commit, "--json", "--timeout", "5s")
        return done.returncode in (0, 1)

    def is_idle(self):
        done = self.house.cli("status", "--json", "--timeout", "5s")
        status = json.loads(done.stdout) if done.returncode == 0 else {}
        return status and status["queued"] == status["leased"] == 0

    def no_result_is_kept(self):
        folders = [self.house.path(role.name, "jobs") for role in self.havoc.roles]
        return not any(os.path.isdir(folder) and os.listdir(folder) for folder in folders)

    def look_again(self):
        """A branch counts as deleted when two looks missed it. Of two observers one looks; a
        repository may just have moved to the other."""
        before = self.looks()
        self.wait_until(
            lambda: all(self.looks()[path] >= count + 6 for path, count in before.items()),
            "the observers looked again",
        )

    def looks(self):
        return collections.Counter(
            path
            for name in self.house.logs
            if "observer" in name
            for path in re.findall(r"effect poll repository=(\S+)", self.house.log_of(name))
        )

    def stop(self):
        for client in self.clients:
            self.wrong += client.finish()
        for role in self.havoc.roles:
            role.go_on()
        self.wrong += self.house.end_all()
        self.house.reap_orphans()

    def judge(self):
        with open(self.house.path("expected.json"), "w", encoding="utf-8") as file:
            json.dump(self.expected, file)
        paths = {one.name: one.path for one in self.repositories}
        excuses = [r"^supervisor died( \(signal 9\))?$"]
        self.history = history.History(self.house.folder, self.drained, paths, excuses)
        self.wrong += self.history.check()
        self.wrong += self.not_killed()
        if self.havoc.kills < self.seconds // 2:
            self.wrong.append(f"only {self.havoc.kills} kills")
        self.wrong += self.slow_starts()
        self.wrong += self.errors()
        self.wrong += [
            f"nothing was looked at: {fact}" for fact in FACTS if not self.history.facts[fact]
        ]

    def not_killed(self):
        """A supervisor that died although nobody killed it."""
        for job in self.history.recorded.jobs.values():
            died = job.outcome == "error" and job.reason.startswith("supervisor died")
            if died and (job.id, job.attempt) not in self.havoc.killed_supervisors:
                yield f"P4: job {job.id} attempt {job.attempt}: {job.reason}; nobody killed it"

    def slow_starts(self):
        """The broker is there again soon after each start, when it is left alone that long."""
        broker, log = self.havoc.roles[0], self.house.log_of("broker")
        ready = [stamp(match[1]) for match in READY.finditer(log)]
        for start in broker.started:
            end = start + READY_SECONDS
            disturbed = any(start <= at <= end for at in broker.killed + broker.stopped)
            if not disturbed and not any(start - 0.01 <= at <= end for at in ready):
                yield f"P13: the broker was not ready within {READY_SECONDS} s"

    def errors(self):
        """No program met an error, but for the supervisors that were killed."""
        for name in self.house.logs:
            for row in self.house.log_of(name).splitlines():
                if re.search(r" error: (?!supervisor died[ (])|Sanitizer|panic", row):
                    yield f"{name} said: {row}"

    def recovery(self):
        """The longest from a worker's SIGKILL to the next attempt of a job that it ran."""
        killed = {role.name.partition("-")[2]: role.killed for role in self.havoc.roles}
        before, longest = {}, 0.0
        for match in LEASED.finditer(self.house.log_of("broker")):
            when, job, worker = stamp(match[1]), match[2], match[3]
            since, loser = before.get(job, (when, worker))
            kills = [kill for kill in killed[loser] if since < kill < when]
            longest = max([longest] + [when - kill for kill in kills[-1:]])
            before[job] = (when, worker)
        return longest

    def figures(self):
        recorded, havoc = self.history.recorded, self.havoc
        commits = sum(repository.made for repository in self.repositories)
        ran = sum(job.attempt > 0 for job in recorded.jobs.values())
        lost = sum(attempt.end != "finished" for attempt in recorded.attempts.values())
        return (
            f"seed={self.seed} {self.seconds} s, {commits} commits, {len(recorded.builds)} builds, "
            f"{ran} jobs run, {havoc.kills} kills, {havoc.stops} stops, {lost} attempts lost, "
            f"slowest recovery {self.recovery():.1f} s"
        )

    def run(self):
        for role in self.havoc.roles:
            role.start()
        for client in self.clients:
            client.start()
        try:
            self.rage()
            self.drain()
            self.drained = True
        except Exception as error:  # what was started must be stopped
            self.wrong.append(f"{type(error).__name__}: {error}")
        self.stop()
        self.judge()
        return self.wrong


def stamp(text):
    """Seconds since 1970 of a time in a log."""
    return datetime.datetime.fromisoformat(text).timestamp()


def one_round(seed, seconds, keep):
    chaos = Chaos(seed, seconds)
    wrong = chaos.run()
    print(f"# figures: chaos: {chaos.figures()}", flush=True)
    print(f"# looked at: {', '.join(f'{n} {what}' for what, n in chaos.history.facts.items())}")
    if wrong:
        for one in wrong[:50]:
            print(f"# {one}")
        print(f"# again: {sys.argv[0]} {fettle.BUILD} --seed {seed} --seconds {seconds}")
    nobody_looks = os.environ.get("CI") or os.environ.get("FETTLE_PLANT")
    if keep or (wrong and not nobody_looks):
        print(f"# see {chaos.house.folder}", flush=True)
    else:
        shutil.rmtree(chaos.house.folder, ignore_errors=True)
    return not wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", action="store_true", help="keep the folder in any case")
    options = parser.parse_args()
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    rounds, seconds = 1, options.seconds
    if os.environ.get("FETTLE_NIGHTLY") == "1" and options.seed is None:
        rounds, seconds = NIGHTLY_ROUNDS, NIGHTLY_SECONDS
    fettle.become_subreaper()
    print(f"TAP version 13\n1..{rounds}", flush=True)
    good = True
    for number in range(rounds):
        fine = one_round(first + number, seconds, options.keep)
        print(f"{'ok' if fine else 'not ok'} {number + 1} - chaos with seed {first + number}")
        good = good and fine
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
