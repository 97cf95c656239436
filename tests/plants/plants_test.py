"""Every planted fault is caught by the suite that base/plants.def names, and by the same command
nothing is caught when nothing is planted. Speaks TAP. Usage: plants_test.py ROOT BUILD [PLANT...]"""

import concurrent.futures
import os
import re
import subprocess
import sys

ROOT, BUILD, *WANTED = sys.argv[1:]


def python(script, *words):
    """A harness of real programs, which takes the planted ones by itself."""
    build = os.path.dirname(os.path.dirname(BUILD))
    return [sys.executable, "-B", os.path.join(ROOT, "tests", script), build, *words]


# A small crowd: seconds.
CROWD = [f"{BUILD}/../fleet/crowd", f"{BUILD}/fettle-broker-planted", "--workers", "40"]
CROWD += ["--jobs", "1000", "--silent", "5"]

# What each catcher runs, and what it says when it caught something: an exit code alone could be a
# crash of the harness.
CATCHERS = {
    "core": ([f"{BUILD}/broker-core-test-planted"], r"\[FAIL\] core::"),
    "crowd_pauses": (CROWD + ["pauses"], r"crowd: FAILED pauses"),
    "crowd_restart": (CROWD + ["killed-broker"], r"crowd: FAILED killed-broker"),
    "crowd_silence": (CROWD + ["silence"], r"crowd: FAILED silence"),
    "sim": ([f"{BUILD}/fettle-sim-planted", "--seeds", "300"], r"sim: FAILED seed="),
    "pauses": (python("e2e/time_test.py", "stopped_broker"), r"info: requeued"),
    "clocks": (python("e2e/time_test.py", "clocks_that_jump"), r"info: requeued|ended by itself"),
    "full_disk": (
        python("e2e/full_disk_test.py", "a_full_disk"),
        r"told before it was stored|no broker answers",
    ),
    "chaos": (python("chaos/chaos_test.py", "--seed", "1", "--seconds", "3"), r"P2: "),
}


def table():
    """(name, catcher) of every plant."""
    with open(os.path.join(ROOT, "base/plants.def"), encoding="utf-8") as file:
        rows = re.findall(r"^PLANT\((\w+), (\w+), ", file.read(), re.MULTILINE)
    assert len(rows) >= 4 and len({name for name, _ in rows}) == len(rows)
    return rows


def run(plant, catcher):
    """(exit code, what it said) of a catcher's command with a plant."""
    words, _ = CATCHERS[catcher]
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "FETTLE_PLANT": plant},
        timeout=300,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


def judge(plant, catcher):
    """(fine?, name of the case, explanation)"""
    code, said = run(plant, catcher)
    if plant == "none":
        return code == 0, f"{catcher} catches nothing when nothing is planted", said
    if re.search(r"^(ok |1\.\.0).*# SKIP", said, re.MULTILINE):
        return True, f"{catcher} would catch {plant} # SKIP it cannot run here", said
    caught = re.search(f"({CATCHERS[catcher][1]}).{{0,80}}", said)
    name = f"{catcher} catches {plant}" + (f": {caught[0]}" if caught else "")
    return code != 0 and caught is not None, name.replace("#", ""), said


def main():
    cases = [("none", catcher) for catcher in CATCHERS]
    cases += table()
    cases = [case for case in cases if not WANTED or case[0] in WANTED]
    failed = 0
    print(f"TAP version 13\n1..{len(cases)}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for number, (fine, name, said) in enumerate(pool.map(lambda c: judge(*c), cases), 1):
            if not fine:
                failed += 1
                print("".join(f"# {line}\n" for line in said.splitlines()[-40:]), end="")
            print(f"{'ok' if fine else 'not ok'} {number} - {name}", flush=True)
    plants = sum(case[0] != "none" for case in cases)
    print(f"# figures: plants: {plants} planted faults, {plants - failed} caught")
    return 1 if failed else 0


sys.exit(main())
