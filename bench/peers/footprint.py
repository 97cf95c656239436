"""What fettle takes when nothing happens, what a build leaves on the disk, and what a job that
waits takes in the broker's memory.

One broker, one observer of one repository, one worker of one slot, all at their default times; each
counted with the processes that it has started and keeps."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from common import Repository, fettle, resident_kib  # noqa: E402  pylint: disable=wrong-import-position
from results import Row, Table  # noqa: E402  pylint: disable=wrong-import-position

MEMORY_GOALS = {"broker": 10, "worker": 8}  # MiB
CPU_GOAL = 0.1  # percent
JOB_GOAL = 128  # bytes
QUEUED = 10000  # the least jobs that wait
FEED = [os.path.join(fettle.BUILD, "tests/fleet/horde"), "feed"]
WAKES = os.path.join(fettle.BUILD, "bench/peers/wakes")
YARDSTICK = 5  # wake-ups a second, of a program that does nothing else
TICKS = os.sysconf("SC_CLK_TCK")


def family(process):
    return [process.pid, *fettle.descendants_of(process.pid)]


def cpu_seconds(process):
    """Of all threads that are there, to the nanosecond; of children that ended, in ticks."""
    total = 0
    for pid in family(process):
        with contextlib.suppress(FileNotFoundError):  # it has just ended: then it is among those
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="utf-8") as file:
                    total += int(file.read().split()[0]) / 1e9
    with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return total + sum(map(int, fields[13:15])) / TICKS


def wake_ups(process):
    """Of all threads: how often they had nothing to do, and then had."""
    total = 0
    for pid in family(process):
        with contextlib.suppress(FileNotFoundError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/status", encoding="utf-8") as file:
                    total += int(dict(line.split(":", 1) for line in file)["voluntary_ctxt_switches"])
    return total


def disk_bytes(folder):
    return sum(
        os.lstat(os.path.join(place, name)).st_blocks * 512
        for place, _, names in os.walk(folder)
        for name in [".", *names]
    )


class Home:
    """The three programs, and a repository."""

    def __init__(self, house):
        self.house = house
        house.broker_folder = house.path("home")
        self.repository = Repository(house, "source")
        self.repository.steps("echo hello")
        self.programs = {}

    def start(self):
        house = self.house
        words = [fettle.program("observer"), "--broker", f"ipc:{house.broker_folder}"]
        words += ["--state", house.path("observer"), "--name", "observer", "--"]
        self.programs = {
            "broker": house.broker("--log-level", "warn"),
            "observer": house.start("observer", [*words, self.repository.path]),
            "worker": house.worker("idle", "--log-level", "warn"),
        }
        # Of what is there when it looks first, the observer takes the tip only.
        house.wait(self.repository.git("rev-parse", "HEAD").strip(), 60)

    def stop(self):
        for process in reversed(self.programs.values()):
            self.house.stop(process)

    def build(self, count):
        """So many builds at once, to their end."""
        for commit in self.repository.push_many(count):
            self.house.wait(commit, 60)

    def leaves(self, builds):
        """Bytes a build, of a broker that was stopped before and after."""
        before = disk_bytes(self.house.broker_folder)
        self.start()
        self.build(builds)
        self.stop()
        return (disk_bytes(self.house.broker_folder) - before) / builds


def idle(programs, rounds, seconds):
    """For each program: the MiB, the percents of a CPU, and the wake-ups a second, round by round."""
    memory, percents, wakes = ({name: [] for name in programs} for _ in range(3))
    for _ in range(rounds):
        before = {name: (cpu_seconds(one), wake_ups(one)) for name, one in programs.items()}
        begin = time.monotonic()
        time.sleep(seconds)
        for name, process in programs.items():
            took = time.monotonic() - begin
            used, woken = before[name]
            percents[name].append(100 * (cpu_seconds(process) - used) / took)
            wakes[name].append((wake_ups(process) - woken) / took)
            memory[name].append(sum(map(resident_kib, family(process))) / 1024)
    return memory, percents, wakes


def settled_kib(process):
    """Its resident memory when that has not changed for a while: what came last is stored by then."""
    sizes = [0, 1]
    while len(set(sizes[-4:])) > 1:
        time.sleep(0.25)
        sizes.append(resident_kib(process.pid))
    return sizes[-1]


def with_queue(house, jobs, each):
    """KiB of a new broker where so many jobs wait, so many of each commit."""
    house.broker_folder = tempfile.mkdtemp(dir=house.folder)
    broker = house.broker("--log-level", "warn", "--queue-max", "2000000")
    words = [*FEED, f"ipc:{house.broker_folder}", str(jobs // each), str(each)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    size = settled_kib(broker)
    house.stop(broker)
    return size


def queued(house, rounds, most):
    """Bytes that a job adds, from ten thousand of them to the most."""
    found = {}
    for each, name in ((1, "a commit's only job"), (50, "one of a commit's 50 jobs")):
        found[name] = [
            (with_queue(house, most, each) - with_queue(house, QUEUED, each))
            * 1024
            / (most - QUEUED)
            for _ in range(rounds)
        ]
    goals = {name: JOB_GOAL for name in found}
    return limited(f"memory, {QUEUED:,} to {most:,} waiting", "B", 0, found, goals)


def measure(house, rounds, seconds, builds, most):
    """The tables; with most jobs in the queue."""
    home = Home(house)
    home.start()
    home.build(1)
    yardstick = house.start("wakes", [WAKES, str(YARDSTICK)])
    label = f"limit: {YARDSTICK} wake-ups a second"
    programs = {**home.programs, label: yardstick}
    memory, percents, wakes = idle(programs, rounds, seconds)
    house.stop(yardstick)
    home.stop()
    del memory[label]
    disk = [home.leaves(builds) / 1024 for _ in range(rounds)]
    goals = {name: CPU_GOAL for name in home.programs}
    return [
        limited("idle: resident memory", "MiB", 2, memory, MEMORY_GOALS),
        limited("idle: CPU", "%", 3, percents, goals),
        limited("idle: wake-ups", "/s", 1, wakes, {}),
        queued(house, rounds, most),
        limited("on the broker's disk", "KiB", 1, {"a build of one step": disk}, {}),
    ]


def limited(title, unit, digits, values, goals):
    rows = [Row(name, name, found) for name, found in values.items()]
    return Table(title, unit, digits, rows, goals.items(), compares=False)
