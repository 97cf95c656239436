"""Every program of a fleet is killed at each of its system calls that changes something, and what
is started again goes on as if nothing had happened: nothing lost, doubled or left running.

    kills_test.py BUILD [--scene NAME]... [--sample N] [--point POINT]... [--keep]

Speaks TAP. A point is `scene:call:N`: at its N-th call of that name the program dies. With
FETTLE_NIGHTLY=1 every call is a point, and no sample is taken of a plain build; those that change
something also fail with an error, and are followed by a second death in the next start."""

import argparse
import collections
import concurrent.futures
import ctypes
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, "..", folder) for folder in ("e2e", "history")]

# pylint: disable=wrong-import-position
import fettle
import strace
from broker_scene import BrokerScene
from observer_scene import ObserverScene, PollSession, Session
from repository import Repository
from scene import Failure, Programs, Scene
from supervisor_scene import LOOSE, SupervisorScene
from worker_scene import AwayPlay, RunPlay, WorkerScene

SCENES = {
    scene.name: scene
    for scene in (
        BrokerScene("main"),
        BrokerScene("store"),
        BrokerScene("results"),
        BrokerScene("io"),
        WorkerScene("run", RunPlay),
        WorkerScene("away", AwayPlay),
        SupervisorScene("supervisor", LOOSE),
        SupervisorScene("supervisor/held"),
        ObserverScene("main", Session, wakes=True, middles=True),
        ObserverScene("poll", PollSession, wakes=False, middles=False),
    )
}
COMMITS = 20
CHUNK = 12  # points of one task
FAILURES_MAX = 10  # then it is time to look at them
MISSED_MAX = 0.5  # of the points of a scene: its runs differ a little
ERRORS = ("EIO", "ENOSPC", "EINTR", "EMFILE")
STARTING = 60  # calls that change something, about, until a program is ready

PROGRAMS = None  # of the process that plays scenes


def sample(points, count):
    """About so many of them, from all over the run; others each time."""
    step = -(-len(points) // count) if count else 1
    return points[random.randrange(step) :: step]


def for_the_night(changing):
    """Errors, and a second death in the next start: at one of the calls at which a start dies."""
    points = [point._replace(action=error) for point in changing for error in ERRORS]
    starts = [(point.call, point.number) for point in changing[:STARTING]]
    if SCENES[changing[0].scene].starts_again:
        points += [
            point._replace(second=starts[number % len(starts)])
            for number, point in enumerate(changing)
        ]
    return points


# ---- in the processes that play scenes ---------------------------------------------------------


def be_stopped(_number, _frame):
    sys.exit("stopped")


def begin(programs):
    """Orphans of what is started here come to this process, and who is stopped leaves nothing."""
    global PROGRAMS
    signal.signal(signal.SIGTERM, be_stopped)
    PROGRAMS = programs
    ctypes.CDLL(None).prctl(fettle.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def list_points(name):
    """(points, calls that were left out) of a scene."""
    scene = SCENES[name]
    with Scene(PROGRAMS) as place:
        log = place.path("listing")
        scene.list_calls(place, [strace.listing(log)])
        settings = {"quiet": scene.quiet(place), "wakes": scene.wakes, "middles": scene.middles}
        points, left_out = strace.points_of(name, log, **settings)
        if PROGRAMS.nightly:
            every, left_out = strace.points_of(name, log, every=True)
            points = every + for_the_night(points)
        return points, left_out


def play(scene, points):
    """(point, reached?) of each; a scene that is no session gets a new place for each."""
    if hasattr(scene, "run_all"):
        with Scene(PROGRAMS) as place:
            yield from scene.run_all(place, points)
        return
    for point in points:
        with Scene(PROGRAMS) as place:
            reached = scene.run(place, point)
        yield point, reached


def run_points(points):
    """[(point, reached?, what is wrong or None)]. After a failure the others go on."""
    results, left = [], list(points)
    while left:
        session = list(left)
        try:
            for point, reached in play(SCENES[left[0].scene], session):
                results.append((point, reached, None))
                left.remove(point)
            assert not left, "a scene played less than it was told"
        except Exception as failure:  # pylint: disable=broad-except
            text = str(failure) if isinstance(failure, Failure) else traceback.format_exc()
            if left:
                results.append((left.pop(0), True, text))
            else:
                together = " ".join(f"--point {point}" for point in session)
                results.append((session[-1], True, f"{text}; at the end of {together}"))
    return results


def work_on(work, argument):
    """What the pool runs; after a stop it would go on with the next."""
    try:
        return work(argument)
    except SystemExit:
        os._exit(1)


# ---- in the process that hands out -------------------------------------------------------------


class Tally:
    """What came of the points of one scene."""

    def __init__(self):
        self.killed = 0
        self.missed = 0
        self.failed = []
        self.left_out = collections.Counter()
        self.error = None
        self.skipped = None  # why

    def add(self, results):
        for point, reached, failure in results:
            if failure:
                self.failed.append((point, failure))
            elif reached:
                self.killed += 1
            else:
                self.missed += 1

    def is_good(self):
        most = max(2, MISSED_MAX * (self.killed + self.missed))
        return self.killed > 0 and not self.failed and not self.error and self.missed <= most


def chunks(points):
    for at in range(0, len(points), CHUNK):
        yield points[at : at + CHUNK]


class Run:
    def __init__(self, programs, options):
        self.programs = programs
        self.options = options
        self.tallies = {}
        self.pool = concurrent.futures.ProcessPoolExecutor(
            os.cpu_count(), initializer=begin, initargs=(programs,)
        )

    def play(self):
        signal.signal(signal.SIGTERM, be_stopped)
        try:
            self.wait_for(self.first_tasks())
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        finally:
            self.pool.shutdown(cancel_futures=True)

    def wait_for(self, waiting):
        while waiting:
            done, _ = concurrent.futures.wait(
                waiting, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for task in done:
                waiting.update(self.take(task, waiting.pop(task)))
            if sum(len(tally.failed) for tally in self.tallies.values()) >= FAILURES_MAX:
                for task in [task for task in waiting if task.cancel()]:
                    del waiting[task]

    def first_tasks(self):
        """{task: scene's name}: listings, or the points that were asked for."""
        if not self.options.point:
            names = self.options.scene or list(SCENES)
            self.tallies = {name: Tally() for name in names}
            self.skip(name for name in names if SCENES[name].attaches)
            return {
                self.pool.submit(work_on, list_points, name): name
                for name, tally in self.tallies.items()
                if not tally.skipped
            }
        tasks = {}
        by_scene = collections.defaultdict(list)
        for text in self.options.point:
            point = strace.point_of(text)
            by_scene[point.scene].append(point)
        self.tallies = {name: Tally() for name in by_scene}
        self.skip(name for name in by_scene if SCENES[name].attaches)
        for name, points in by_scene.items():
            for part in chunks(points if not self.tallies[name].skipped else []):
                tasks[self.pool.submit(work_on, run_points, part)] = name
        return tasks

    def skip(self, names):
        """Those who attach to a thread may not be allowed to."""
        why_not = strace.why_not_attach()
        for name in names:
            self.tallies[name].skipped = why_not

    def sample_size(self):
        """0: all."""
        whole = self.programs.nightly and not self.programs.sanitized
        return 0 if whole else self.options.sample

    def take(self, task, name):
        """The tasks that follow from one that is done."""
        tally = self.tallies[name]
        try:
            result = task.result()
        except Exception as failure:  # pylint: disable=broad-except
            tally.error = f"without a death: {failure!r}"
            return {}
        if isinstance(result, list):
            tally.add(result)
            return {}
        points, tally.left_out = result
        parts = list(chunks(sample(points, self.sample_size())))
        random.Random(1).shuffle(parts)
        return {self.pool.submit(work_on, run_points, part): name for part in parts}


def say(text):
    print("".join(f"# {row}\n" for row in text.splitlines()), end="", flush=True)


def replay(run):
    """A command, but for the point."""
    words = ["FETTLE_NIGHTLY=1"] if run.programs.nightly else []
    words += [sys.argv[0], run.programs.build, "--keep"]
    words += ["--planted"] if run.programs.planted else []
    return " ".join(words + (["--sanitized"] if run.programs.sanitized else []))


def report(run, seconds):
    """True when all is well."""
    counts, missed, good = collections.Counter(), 0, True
    for number, (name, tally) in enumerate(run.tallies.items(), 1):
        if tally.skipped:
            print(f"ok {number} - {name} # SKIP {tally.skipped}", flush=True)
            continue
        for point, failure in tally.failed:
            say(f"FAILED {point}: {failure}")
            say(f"replay: {replay(run)} --point {point}")
        if tally.error:
            say(f"FAILED {name} {tally.error}")
        if tally.left_out:
            rare = ", ".join(f"{call} {count}" for call, count in tally.left_out.most_common(12))
            say(f"{name} left out {tally.left_out.total()} calls that change nothing: {rare}, ...")
        word = "ok" if tally.is_good() else "not ok"
        points = f"{tally.killed} points, {tally.missed} not reached, {len(tally.failed)} failed"
        print(f"{word} {number} - {name}: {points}", flush=True)
        counts[SCENES[name].role] += tally.killed
        missed += tally.missed
        good = good and tally.is_good()
    roles = ", ".join(f"{role} {count}" for role, count in counts.items())
    say(f"figures: kills: {roles} points; {missed} not reached; {seconds:.0f} s")
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--scene", action="append", default=[], choices=list(SCENES))
    parser.add_argument("--point", action="append", default=[])
    parser.add_argument("--sample", type=int, default=0, help="so many points of each scene")
    parser.add_argument("--planted", action="store_true", help="the programs of tests/plants")
    parser.add_argument("--sanitized", action="store_true", help="leaks are not looked for")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a failure")
    options = parser.parse_args()
    print("TAP version 13", flush=True)
    why_not = strace.why_not()
    if why_not:
        print(f"ok 1 - kills # SKIP {why_not}\n1..1")
        return 0
    started = time.monotonic()
    workshop = tempfile.mkdtemp(prefix="fk-", dir="/tmp")
    try:
        settings = {key: getattr(options, key) for key in ("planted", "sanitized", "keep")}
        settings["nightly"] = os.environ.get("FETTLE_NIGHTLY") == "1"
        repository = Repository(workshop, COMMITS)
        build = os.path.abspath(options.build)
        run = Run(Programs(build, workshop, repository, **settings), options)
        run.play()
    finally:
        shutil.rmtree(workshop)
    good = report(run, time.monotonic() - started)
    print(f"1..{len(run.tallies)}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
