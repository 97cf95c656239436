"""Instructions of a message in the broker's core and in the codec, against the figures of figures.json.

Usage: cost_test.py COST_PROGRAM COMPILER OPTIMIZATION [--write]

Counted by callgrind, with so many messages and with twice as many: the difference has no start in
it, and unlike time it is the same on every machine. A figure that is off by more than a tenth, to
either side, fails: --write says that the new one is meant. Figures are of one compiler; another one
skips them, but not that a longer queue costs nothing.
"""

import json
import os
import re
import shutil
import subprocess
import sys

FIGURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "figures.json")
TOLERANCE = 0.1
DEEPER = 1.5  # at most, to dispatch from a queue that is twenty times as long
# Name of the work: how often it is done, and messages in each.
WORK = {
    "dispatch": (300, 2),
    "dispatch_deep": (300, 2),
    "heartbeat": (2000, 1),
    "pack": (2000, 1),
    "pack_unpack": (2000, 1),
}


def instructions(program, work, count):
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    words = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    done = subprocess.run(
        [*words, program, work, str(count)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(f"{' '.join(done.args)}: exit code {done.returncode}\n{done.stderr}")
    return int(found[1])


def measure(program):
    """Instructions per message of each work."""
    per_message = {}
    for work, (count, messages) in WORK.items():
        more = instructions(program, work, 2 * count) - instructions(program, work, count)
        per_message[work] = round(more / (count * messages))
    return per_message


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def tell(self, good, what, skip=None):
        self.count += 1
        self.failed += not good
        said = f" # SKIP {skip}" if skip else ""
        print(f"{'ok' if good else 'not ok'} {self.count} - {what}{said}", flush=True)

    def end(self):
        print(f"1..{self.count}", flush=True)
        return 1 if self.failed else 0


def compare(tap, measured, stored, built):
    for work, figure in measured.items():
        wanted = stored["instructions"].get(work, 0)
        if stored["built"] != built:
            tap.tell(True, work, f"figures are of {stored['built']}, this is {built}")
            continue
        near = abs(figure - wanted) <= TOLERANCE * wanted
        if not near:
            print(f"# {work}: {figure} instructions a message, {wanted} stored in {FIGURES}")
            print("# look why; if it is meant: cost_test.py PROGRAM COMPILER OPTIMIZATION --write")
        tap.tell(near, work)


def main():
    program, *built = sys.argv[1:4]
    built = " ".join(built)
    if not shutil.which("valgrind"):
        print("1..0 # SKIP no valgrind here")
        return 0
    measured = measure(program)
    if sys.argv[4:] == ["--write"]:
        with open(FIGURES, "w", encoding="utf-8") as file:
            json.dump({"built": built, "instructions": measured}, file, indent=2)
            file.write("\n")
    with open(FIGURES, encoding="utf-8") as file:
        stored = json.load(file)
    said = ", ".join(f"{work} {figure}" for work, figure in measured.items())
    print(f"# figures: instructions a message: {said}")
    tap = Tap()
    compare(tap, measured, stored, built)
    deeper = measured["dispatch_deep"] / measured["dispatch"]
    if deeper > DEEPER:
        print(f"# dispatch costs {deeper:.2f} times as much from the longer queue")
    tap.tell(deeper <= DEEPER, "a longer queue costs nothing")
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
