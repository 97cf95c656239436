"""What the benchmarks share: the harness of the e2e tests, tables, repositories."""

import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tests/e2e"))

import fettle  # noqa: E402  pylint: disable=wrong-import-position

# Who is stopped clears up, too.
signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit("stopped"))

House, Repository, wait_until = fettle.House, fettle.Repository, fettle.wait_until
resident_kib = fettle.resident_kib


def default_folder():
    """In memory: on a disk the trees that are removed slow down those that come after them."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"


def timed(words, environment, folder=None):
    """Seconds that a command takes; it must succeed."""
    start = time.monotonic()
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(words, env=environment, cwd=folder, check=True, **quiet)
    return time.monotonic() - start


def figures(words):
    """What a program prints as name=number."""
    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", said)}


def row(name, values, unit="ms", scale=1000, digits=1):
    """One line of a table: least, median and most."""
    values = [value * scale for value in values]
    shown = (min(values), statistics.median(values), max(values))
    print(f"{name:44}" + "".join(f"{value:10.{digits}f}" for value in shown) + f" {unit}", flush=True)


def head(title):
    print(f"\n{title}\n{'':44}{'least':>10}{'median':>10}{'most':>10}", flush=True)


def load():
    """How busy the machine is."""
    return "load " + " ".join(f"{value:.1f}" for value in os.getloadavg())


def goal(what, value, least=None, most=None):
    """Say whether a goal is met; returns that."""
    met = (least is None or value >= least) and (most is None or value <= most)
    bound = f"at least {least:g}" if most is None else f"at most {most:g}"
    print(f"{what}: {value:.2f}, goal {bound}: {'met' if met else 'MISSED'}", flush=True)
    return met


def write_files(folder, count, seed=1):
    """So many source files, fifty a folder, 5 KiB each."""
    draw = random.Random(seed)
    for number in range(count):
        place = os.path.join(folder, f"d{number // 500}", f"s{number // 50}")
        os.makedirs(place, exist_ok=True)
        with open(os.path.join(place, f"f{number}.c"), "w", encoding="utf-8") as file:
            for _ in range(200):
                file.write(f"int v{draw.randrange(10**9)} = {draw.randrange(10**9)};\n")


def run(measure, settings, parent="/tmp"):
    """Have a fleet measured, and end the program as its goals say."""
    house = House(parent)
    try:
        met = measure(house, settings)
    finally:
        wrong = house.finish()
    print("\n".join(wrong))
    sys.exit(0 if met and not wrong else 1)
