"""Logs of any size and content: they hold nothing up, make nothing grow, and arrive whole, once."""

import datetime
import os
import re
import signal

import tap
from fettle import Case, Repository, descendants_of, is_sanitized, is_supervisor, wait_until

MIB = 1 << 20
HEAD = TAIL = 8 * MIB
HEARTBEAT_S, LIVENESS = 0.5, 3
DEBUG = ("--log-level", "debug")
IS_SANITIZED = is_sanitized()
# Resident memory in KiB. What is promised, and what only a fault would pass.
AGENT_PROMISED, AGENT_MOST = 8 << 10, 12 << 10
SUPERVISOR_PROMISED, SUPERVISOR_MOST = 3 << 10, 4 << 10
GROWTH_MOST = 4 << 10

# No newline, NULs, and both ends of a step at once; then a word at the very end.
LOUD = "head -c {half} /dev/zero & head -c {half} /dev/zero >&2; wait; echo; echo the end"


def peak_kib(pid):
    """The most memory that it had at once."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"^VmHWM:\s+(\d+) kB", file.read(), re.MULTILINE)[1])


def stamps(log, pattern):
    """When a program said this, in seconds."""
    rows = re.findall(rf"^(\S+) \S+ debug: {pattern}", log, re.MULTILINE)
    return [datetime.datetime.fromisoformat(row).timestamp() for row in rows]


class Logs(Case):
    def gate(self, name):
        return f"until [ -e {self.house.gate(name)} ]; do sleep 0.02; done"

    def stored(self):
        """Bytes of the only job's log that are in the broker's file."""
        folder = os.path.join(self.house.broker_folder, "logs")
        paths = [os.path.join(folder, name) for name in os.listdir(folder)]
        return max((os.path.getsize(path) for path in paths), default=0)

    def offsets(self):
        """(offset, size) of each piece that the broker received."""
        said = re.findall(
            r" debug: received peer=\S+ log job=1 attempt=1 offset=(\d+) bytes=\((\d+) bytes\)",
            self.house.log_of("broker"),
        )
        return [(int(offset), int(size)) for offset, size in said]

    def kept(self):
        """The log as the broker keeps it."""
        folder = os.path.join(self.house.broker_folder, "logs")
        (name,) = os.listdir(folder)
        with open(os.path.join(folder, name), "rb") as file:
            return file.read()

    def test_a_huge_log_holds_nothing_up_and_makes_nothing_grow(self):
        size = 64 * MIB if IS_SANITIZED else 1024 * MIB
        repository = Repository(self.house)
        loud = LOUD.format(half=size // 2)
        commit = repository.steps("echo working", self.gate("one"), loud, self.gate("two"))
        heartbeat = f"{HEARTBEAT_S * 1000:.0f}ms"
        broker = self.house.broker(*DEBUG, "--heartbeat", heartbeat, "--liveness", str(LIVENESS))
        worker = self.house.worker()
        self.house.observer(repository)
        self.house.wait_running(commit)
        (supervisor,) = [
            pid
            for pid in descendants_of(worker.pid, is_supervisor)
            if os.getsid(pid) == pid  # not the leader of its group, which has the same name
        ]
        before = {pid: peak_kib(pid) for pid in (broker.pid, worker.pid, supervisor)}
        self.house.open_gate("one")
        wait_until(lambda: self.stored() >= HEAD, "the first part is stored", 120)
        tail = self.house.path("worker-one", "jobs", "1.1", "log")
        self.assertLess(os.path.getsize(tail), HEAD + MIB)
        wait_until(lambda: not self.is_writing(supervisor), "all is written", 120)
        after = {pid: peak_kib(pid) for pid in before}
        self.house.open_gate("two")
        self.assertEqual(self.house.verdict(commit, 120), "passed")
        self.check_kept(size, loud)
        gaps = self.heartbeat_gaps()
        print(
            f"# figures: a log of {size // MIB} MiB: longest time between two heartbeats of "
            f"{HEARTBEAT_S} s {max(gaps):.2f} s; resident memory of the agent {after[worker.pid]} KiB, of the "
            f"supervisor {after[supervisor]} KiB, of the broker {after[broker.pid]} KiB "
            f"(before it {before[worker.pid]}, {before[supervisor]}, {before[broker.pid]})"
        )
        self.assertNotIn(" info: left worker=", self.house.log_of("broker"))
        if IS_SANITIZED:
            return
        self.assertLess(after[worker.pid], AGENT_MOST)
        self.assertLess(after[supervisor], SUPERVISOR_MOST)
        for pid, peak in before.items():
            self.assertLess(after[pid] - peak, GROWTH_MOST)
        for what, peak, promised in (
            ("agent", after[worker.pid], AGENT_PROMISED),
            ("supervisor", after[supervisor], SUPERVISOR_PROMISED),
        ):
            print(f"# the {what} is {'within' if peak <= promised else 'OVER'} {promised} KiB")

    @staticmethod
    def is_writing(supervisor):
        """Does a process of the job still fill its pipes?"""
        return any("head" in name_of(pid) for pid in descendants_of(supervisor))

    def check_kept(self, size, loud):
        """Head and tail of all that was written, with what was left out between them."""
        log = self.kept()
        first = loud.split("\n", maxsplit=1)[0]
        own = sum(len(step) + 3 for step in ("echo working", self.gate("one"), first))
        written = own + len("working\n") + size + len("\nthe end\n") + len(self.gate("two")) + 3
        cut = f"\n[fettle: {written - HEAD - TAIL} bytes cut here]\n".encode()
        self.assertEqual(len(log), HEAD + len(cut) + TAIL)
        self.assertEqual(log[HEAD : HEAD + len(cut)], cut)
        self.assertTrue(log.startswith(b"$ echo working\nworking\n"))
        self.assertTrue(log.endswith(f"\nthe end\n$ {self.gate('two')}\n".encode()))
        self.assertEqual(log.count(0), HEAD + TAIL - (written - size))
        end = 0
        for offset, piece in self.offsets():
            self.assertLessEqual(offset, end)
            end = max(end, offset + piece)
        self.assertEqual(end, len(log))

    def heartbeat_gaps(self):
        def beats_so_far():
            pattern = r"received peer=\S+ heartbeat (?:holding|slots)"
            beats = stamps(self.house.log_of("broker"), pattern)
            return beats if len(beats) > 2 else None

        beats = wait_until(beats_so_far, "three heartbeats")
        return [later - earlier for earlier, later in zip(beats, beats[1:])]

    def test_a_broker_restart_resumes_in_the_middle(self):
        repository = Repository(self.house)
        lines = 160000
        repository.commit({"lines.py": PACED.format(lines=lines)})
        commit = repository.steps("python3 -B lines.py")
        broker = self.house.broker(*DEBUG)
        self.house.worker()
        self.house.observer(repository)
        middles = []
        for number in (1, 2, 3):
            wait_until(lambda number=number: self.stored() > number * 300_000, "some of it is there")
            self.house.stop(broker, signal.SIGKILL)
            middles.append((len(self.offsets()), self.stored()))
            broker = self.house.broker(*DEBUG)
        self.assertEqual(self.house.verdict(commit, 120), "passed")
        log = self.kept().decode().splitlines()
        self.assertEqual([row for row in log if row.startswith("line ")], all_lines(lines))
        pieces = self.offsets()
        again = 0
        for before, stored in middles:
            first = pieces[before][0]
            again += max(0, stored - first)
            self.assertGreater(first, 0)
            self.assertLessEqual(abs(first - stored), 256 << 10)  # the window
        print(
            f"# figures: three broker restarts within a log: {again} bytes that it had were sent "
            f"again, of {sum(size for _, size in pieces)}"
        )

    def test_any_bytes_arrive_as_they_were(self):
        """Every byte there is, in pieces that fit nowhere evenly, from two writers in turn."""
        repository = Repository(self.house)
        repository.commit({"bytes.py": BYTES})
        commit = repository.steps("python3 -B bytes.py")
        self.house.broker()
        self.house.worker()
        self.house.observer(repository)
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assertEqual(self.kept(), b"$ python3 -B bytes.py\n" + bytes(range(256)) * 4099)


# It takes a while, so that the broker dies in the middle.
PACED = """import time
for number in range({lines}):
    print(f"line {{number}} of many", flush=number % 500 == 0)
    if number % 500 == 0:
        time.sleep(0.01)
"""

BYTES = """import os
data = bytes(range(256)) * 4099
at, turn = 0, 0
while at < len(data):
    at += os.write(1 + turn % 2, data[at : at + 1 + turn * 37 % 9973])
    turn += 1
"""


def all_lines(count):
    return [f"line {number} of many" for number in range(count)]


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    tap.main()
