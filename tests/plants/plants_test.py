"""Every planted fault is caught by the suite that base/plants.def names, and by the same command
nothing is caught when nothing is planted. Of all plants a run takes a quarter, others each time, and
all with FETTLE_NIGHTLY=1. Speaks TAP. Usage: plants_test.py ROOT BUILD [PLANT...]"""

import collections
import concurrent.futures
import os
import random
import re
import subprocess
import sys

ROOT, BUILD, *WANTED = sys.argv[1:]
WHOLE_BUILD = os.path.dirname(os.path.dirname(BUILD))
TIMEOUT_SECONDS = 300
SAMPLE = 1 / 4

# What a catcher runs, and what it says when it caught something: an exit code alone could be a
# crash of the harness. `settings` are of its environment.
Catcher = collections.namedtuple("Catcher", "words pattern settings", defaults=[{}])


def python(script, *words):
    """A harness of real programs, which takes the planted ones by itself."""
    return [sys.executable, "-B", os.path.join(ROOT, "tests", script), WHOLE_BUILD, *words]


def crowd(scene):
    """A small one: seconds."""
    words = [f"{BUILD}/../fleet/crowd", f"{BUILD}/fettle-broker-planted", "--workers", "40"]
    words += ["--jobs", "1000", "--silent", "5", scene]
    return Catcher(words, rf"crowd: FAILED {scene}")


# Deaths at which a fault shows, in each role's own time of trouble.
DEATHS = [
    *(f"broker/store:fsync:{number}" for number in (3, 6)),  # while a result is being stored
    *(f"worker/away:write:{number}" for number in (34, 36, 50, 52, 55, 57, 61)),
    *(f"worker/away:unlinkat:{number}" for number in (3, 7, 28, 30, 31, 33, 36)),
    *(f"supervisor:write:{number}" for number in range(8, 15)),  # a step runs; the result
    *(f"supervisor:{call}" for call in ("kill:1", "setpgid:5", "exit_group:1")),  # its end
    "observer/poll:write:8",  # of an index
]

# Tests that show what is wrong with keys.
KEYS = ["strangers", "enters_only", "a_reader_changes", "has_the_name", "a_revoked"]

CATCHERS = {
    "cuts": Catcher([f"{BUILD}/fettle-cuts-planted", "--cuts", "200"], r"cuts: FAILED \S+ "),
    "cuts_errors": Catcher(
        [f"{BUILD}/fettle-cuts-planted", "--cuts", "700", "--only", "eio"],
        r"cuts: FAILED \S+ ",
    ),
    "sim": Catcher([f"{BUILD}/fettle-sim-planted", "--seeds", "240"], r"sim: FAILED seed="),
    "ahead": Catcher([f"{BUILD}/broker-ahead-test-planted"], r"\[FAIL\] (ahead|held)::"),
    "core": Catcher([f"{BUILD}/broker-core-test-planted"], r"\[FAIL\] core::"),
    "events": Catcher([f"{BUILD}/broker-events-test-planted"], r"\[FAIL\] events::"),
    "backup": Catcher([f"{BUILD}/broker-backup-test-planted"], r"\[FAIL\] backup::"),
    "rights": Catcher([f"{BUILD}/broker-rights-test-planted"], r"\[FAIL\] rights::"),
    "gate": Catcher([f"{BUILD}/broker-gate-test-planted"], r"\[FAIL\] gate::"),
    "journal": Catcher([f"{BUILD}/broker-journal-test-planted"], r"\[FAIL\] journal::"),
    "pending": Catcher([f"{BUILD}/broker-pending-test-planted"], r"\[FAIL\] pending::"),
    "mason": Catcher([f"{BUILD}/broker-mason-test-planted"], r"\[FAIL\] mason::"),
    "store": Catcher([f"{BUILD}/broker-store-test-planted"], r"\[FAIL\] store::"),
    "gather": Catcher([f"{BUILD}/broker-gather-test-planted"], r"\[FAIL\] gather::"),
    "gc": Catcher([f"{BUILD}/broker-gc-test-planted"], r"\[FAIL\] gc::"),
    "session": Catcher([f"{BUILD}/worker-session-test-planted"], r"\[FAIL\] worker_session::"),
    "upload": Catcher([f"{BUILD}/worker-upload-test-planted"], r"\[FAIL\] worker_upload::"),
    "watch": Catcher([f"{BUILD}/observer-watch-test-planted"], r"\[FAIL\] watch::"),
    "watchlist": Catcher([f"{BUILD}/broker-watchlist-test-planted"], r"\[FAIL\] watchlist::"),
    "still": Catcher([f"{BUILD}/observer-still-test-planted"], r"\[FAIL\] still::"),
    "cgroup": Catcher([f"{BUILD}/worker-cgroup-test-planted"], r"\[FAIL\] cgroup::"),
    "harvest": Catcher([f"{BUILD}/worker-harvest-test-planted"], r"\[FAIL\] harvest::"),
    "supervisor": Catcher(
        [f"{BUILD}/worker-supervisor-test-planted"]
        + ["--filter", "supervisor/@(its_sudden|without_an_agent)*"],
        r"\[FAIL\] supervisor::",
        {"FETTLE_TEST_PATIENCE": "6"},
    ),
    "agent": Catcher(
        [f"{BUILD}/worker-agent-test-planted", "--filter", "agent/a_running_job*"],
        r"\[FAIL\] agent::",
    ),
    "checkout": Catcher(
        [f"{BUILD}/worker-checkout-test-planted"]
        + ["--filter", "checkout/@(a_damaged|a_job_can)*"],
        r"\[FAIL\] checkout::",
    ),
    "contain": Catcher(
        [f"{BUILD}/worker-contain-test-planted"]
        + ["--filter", "contain/@(whatever|what_a|the_sudden|a_job|a_fork|a_memory|a_key)*"],
        r"\[FAIL\] contain::",
        {"FETTLE_TEST_PATIENCE": "5"},
    ),
    "crowd_pauses": crowd("pauses"),
    "crowd_restart": crowd("killed-broker"),
    "crowd_silence": crowd("silence"),
    "keys": Catcher(
        python("e2e/keys_test.py", *KEYS),
        r"not ok \d+ - Keys",
        {"FETTLE_TEST_PATIENCE": "8"},
    ),
    "kills": Catcher(
        python("kills/kills_test.py", "--planted", *(f"--point={death}" for death in DEATHS)),
        r"FAILED \S+: ",
        {"FETTLE_TEST_PATIENCE": "10"},  # what does not come is not waited for long
    ),
    "pauses": Catcher(python("e2e/time_test.py", "stopped_broker"), r"info: requeued"),
    "clocks": Catcher(
        python("e2e/time_test.py", "clocks_that_jump"), r"info: requeued|ended by itself"
    ),
    "full_disk": Catcher(
        python("e2e/full_disk_test.py", "a_full_disk"),
        r"told before it was stored|no broker answers",
    ),
    "attacks_secrets": Catcher(
        python("attacks/worker/secrets_test.py", "the_workers_own"), r"not ok \d+ - Secrets"
    ),
    "attacks_bombs": Catcher(
        python("attacks/worker/repositories_test.py", "test_a_delta_bomb"),
        r"not ok \d+ - Repositories",
    ),
    "net": Catcher(
        python("net/net_test.py", "nat"),
        r"not within \S+ s: worker a is there",
        {"FETTLE_TEST_PATIENCE": "10"},
    ),
    "chaos": Catcher(python("chaos/chaos_test.py", "--seed", "1", "--seconds", "3"), r"P2: "),
}


def table():
    """(name, catcher) of every plant."""
    with open(os.path.join(ROOT, "base/plants.def"), encoding="utf-8") as file:
        rows = re.findall(r"^PLANT\((\w+), (\w+), ", file.read(), re.MULTILINE)
    assert len(rows) >= 20 and len({name for name, _ in rows}) == len(rows)
    return rows


def run(plant, catcher):
    """(exit code, what it said) of a catcher's command with a plant, at its everyday length."""
    inherited = {key: value for key, value in os.environ.items() if key != "FETTLE_NIGHTLY"}
    done = subprocess.run(
        catcher.words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**inherited, **catcher.settings, "FETTLE_PLANT": plant},
        timeout=TIMEOUT_SECONDS,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


def judge(plant, name):
    """(fine?, name of the case, explanation)"""
    catcher = CATCHERS[name]
    code, said = run(plant, catcher)
    if plant == "none":
        return code == 0, f"{name} catches nothing when nothing is planted", said
    caught = re.search(f"({catcher.pattern}).{{0,80}}", said)
    if not caught and re.search(r"^ok .*# SKIP", said, re.MULTILINE):
        return True, f"{name} would catch {plant} # SKIP it cannot run here", said
    case = f"{name} catches {plant}" + (f": {caught[0]}" if caught else "")
    return code != 0 and caught is not None, case.replace("#", ""), said


def choose(plants):
    """Those that were asked for, or some."""
    if WANTED:
        return [case for case in plants if case[0] in WANTED]
    if os.environ.get("FETTLE_NIGHTLY") == "1":
        return plants
    return random.sample(plants, int(len(plants) * SAMPLE))


def main():
    plants = choose(table())
    used = {catcher for _, catcher in plants}
    cases = [("none", name) for name in CATCHERS if name in used]
    cases += plants
    failed = 0
    print(f"TAP version 13\n1..{len(cases)}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for number, (fine, name, said) in enumerate(pool.map(lambda c: judge(*c), cases), 1):
            if not fine:
                failed += 1
                print("".join(f"# {line}\n" for line in said.splitlines()[-40:]), end="")
            print(f"{'ok' if fine else 'not ok'} {number} - {name}", flush=True)
    print(f"# figures: plants: {len(plants)} planted faults, {len(plants) - failed} caught")
    return 1 if failed else 0


sys.exit(main())
