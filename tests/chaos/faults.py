"""What is done to the programs, and when: drawn from a seed, the same each time."""

import collections
import os
import signal
import time

import fettle

Fault = collections.namedtuple("Fault", "at kind role seconds")

# Weights of what is done, and to whom.
KINDS = {"kill": 60, "stop": 20, "end": 6, "supervisor": 16, "everything": 2}
ROLES = {"broker": 30, "worker": 45, "observer": 25}


def draw(random, weights):
    return random.choices(list(weights), list(weights.values()))[0]


def schedule(random, seconds, names):
    """Faults every 0.5 to 2 s, of which enough are kills. `seconds` of a fault: how long
    the program is away or stopped."""
    faults, at = [], random.uniform(1, 2)
    while at < seconds:
        kind = draw(random, KINDS)
        family = "worker" if kind == "supervisor" else draw(random, ROLES)
        role = random.choice([name for name in names if name.startswith(family)])
        away = random.uniform(0.1, 10) if kind == "stop" else random.choice([0.05, 0.5, 1, 3])
        faults.append(Fault(at, kind, role, away))
        at += random.uniform(0.5, 2) if random.random() > 0.1 else 0.02
    kills = sum(fault.kind not in ("stop", "end") for fault in faults)
    return faults if kills >= seconds * 0.55 else schedule(random, seconds, names)


def supervisors(pid):
    """(process id, (job, attempt)) of each job that a worker runs."""
    found = []
    for child in fettle.children_of(pid):
        words = fettle.words_of(child)
        if len(words) > 2 and words[1] == "--supervise":
            job, attempt = os.path.basename(words[2]).split(".")
            found.append((child, (int(job), int(attempt))))
    return found


class Role:
    """A program that is started again whenever it is gone."""

    def __init__(self, house, name, words):
        self.house = house
        self.name = name
        self.words = words
        self.process = None
        self.started, self.killed, self.stopped = [], [], []  # wall clock of each
        self.start_at = 0.0  # when it may be started again
        self.go_on_at = None  # it is stopped until then
        self.ends = False  # it was told to end
        self.spared_until = 0.0

    def start(self):
        self.started.append(time.time())
        self.process = self.house.start(self.name, self.words)
        self.ends = False

    def is_up(self):
        return self.process is not None and not self.ends and self.go_on_at is None

    def can_be_killed(self, now):
        return self.process is not None and now >= self.spared_until

    def gone(self, now, seconds):
        self.house.processes.remove(self.process)
        self.process = self.go_on_at = None
        self.ends = False
        self.start_at = now + seconds

    def kill(self, now, seconds):
        self.killed.append(time.time())
        self.process.kill()
        self.process.wait()
        self.gone(now, seconds)

    def stop(self, now, seconds):
        self.stopped.append(time.time())
        self.process.send_signal(signal.SIGSTOP)
        self.go_on_at = now + seconds

    def go_on(self):
        if self.go_on_at is not None:
            self.process.send_signal(signal.SIGCONT)
        self.go_on_at = None

    def end(self):
        self.killed.append(time.time())
        self.process.terminate()
        self.ends = True

    def turn(self, now):
        """Start it, or let it go on, when it is time to; says what it did of its own accord."""
        if self.process is None and now >= self.start_at:
            self.start()
        elif self.go_on_at is not None and now >= self.go_on_at:
            self.go_on()
        code = self.process.poll() if self.process else None
        if code is None:
            return None
        told = self.ends
        self.gone(now, 0)
        return None if told and code == 0 else f"{self.name} ended by itself with {code}"


class Havoc:
    """The roles, and what was done to them."""

    def __init__(self, roles, random):
        self.roles = roles
        self.random = random
        self.kills = self.stops = self.ends = 0
        self.killed_supervisors = set()  # (job, attempt)

    def turn(self, now):
        return [said for role in self.roles for said in [role.turn(now)] if said]

    def carry_out(self, fault, now):
        if fault.kind == "everything":
            for role in self.roles:
                if role.can_be_killed(now):
                    role.kill(now, fault.seconds)
                    self.kills += 1
            return
        if fault.kind == "supervisor" and self.kill_supervisor(fault, now):
            return
        role = self.choose(fault, now)
        if not role:
            return
        if fault.kind == "stop":
            role.stop(now, fault.seconds)
            self.stops += 1
        elif fault.kind == "end":
            role.end()
            self.ends += 1
        else:
            role.kill(now, fault.seconds)
            self.kills += 1

    def choose(self, fault, now):
        """The role that was meant, or else the next one that is up, of its kind if there is one."""
        kind = fault.role.partition("-")[0]
        same = [role for role in self.roles if role.name.startswith(kind)]
        first = [role.name for role in same].index(fault.role)
        order = same[first:] + same[:first] + [role for role in self.roles if role not in same]
        able = [role for role in order if role.can_be_killed(now)]
        if fault.kind in ("stop", "end"):  # but one that is stopped can be killed
            able = [role for role in able if role.is_up()]
        return able[0] if able else None

    def kill_supervisor(self, fault, now):
        """One of this worker, or of the next that has some. The worker itself is spared meanwhile:
        when both are gone, nobody clears up what left the job's group."""
        workers = [role for role in self.roles if role.name.startswith("worker")]
        first = [role.name for role in workers].index(fault.role)
        for worker in workers[first:] + workers[:first]:
            found = supervisors(worker.process.pid) if worker.is_up() else []
            if found:
                pid, lease = self.random.choice(found)
                os.kill(pid, signal.SIGKILL)
                self.killed_supervisors.add(lease)
                self.kills += 1
                worker.spared_until = now + 2
                return True
        return False
