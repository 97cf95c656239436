"""Every planted fault is caught by the suite that base/plants.def names, and by the same command
nothing is caught when nothing is planted. Speaks TAP. Usage: plants_test.py ROOT BUILD [PLANT...]"""

import concurrent.futures
import os
import re
import subprocess
import sys

ROOT, BUILD, *WANTED = sys.argv[1:]

# What each catcher runs, and what it says when it caught something: an exit code alone could be a
# crash of the harness.
CATCHERS = {
    "sim": ([f"{BUILD}/fettle-sim-planted", "--seeds", "300"], r"sim: FAILED seed="),
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
    caught = re.search(CATCHERS[catcher][1] + ".*", said)
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
