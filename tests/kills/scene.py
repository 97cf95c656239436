"""A folder, the programs that run in it, and how they ended. Many scenes are played in a minute, so
nothing here waits longer than for the event itself: processes are watched by descriptor."""

import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

import fettle
import history
import strace

# Deadlines are for hangs: the machine may be loaded.
PATIENCE = fettle.PATIENCE
LOOK_S = 0.001  # between two looks at what sends no event
LEFT_S = 5  # until what was left behind has ended by itself

# Short, so that a worker that was away is soon heard of; silent for 5 s is a worker's end.
HEARTBEAT_MS, LIVENESS = 50, 100
READY = " info: ready "


class Failure(Exception):
    """A promise was broken; the text says how."""


class Process:
    def __init__(self, words, **settings):
        self.name = os.path.basename(words[0])
        self.popen = subprocess.Popen(words, bufsize=0, **settings)
        self.pid = self.popen.pid
        self.end = os.pidfd_open(self.pid)

    def close(self):
        os.close(self.end)
        if self.popen.stdin:
            self.popen.stdin.close()

    def send(self, number):
        self.popen.send_signal(number)

    def wait(self):
        """Its exit code; negative is a signal."""
        if first_of([self]) is None:
            raise Failure(f"{self.name} does not end")
        return self.popen.returncode

    @property
    def code(self):
        return self.popen.poll()


def first_of(processes):
    """The first of these that ends, its code known; None when none does in time."""
    poll = select.poll()
    for process in processes:
        if process.popen.returncode is not None:
            return process
        poll.register(process.end, select.POLLIN)
    ended = [descriptor for descriptor, _ in poll.poll(PATIENCE * 1000)]
    for process in processes:
        if process.end in ended:
            process.popen.wait()
            return process
    return None


def look_until(check, what, seconds=PATIENCE):
    """For what sends no event."""
    ends = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() >= ends:
            raise Failure(f"not within {seconds:g} s: {what}")
        time.sleep(LOOK_S)


def children_of(pid):
    """Process ids, also of children that ended and were not waited for."""
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    except OSError:
        pass
    return found


def descendants_of(pid):
    found = []
    for child in children_of(pid):
        found += [child] if fettle.is_alive(child) else []
        found += descendants_of(child)
    return found


def nothing_left():
    """Orphans are our children: none may live. Those that ended are waited for."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid == 0:
            return False


def memory_folder():
    """Where files cost no disk: there are thousands of scenes."""
    fits = os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK)
    return "/dev/shm" if fits and shutil.disk_usage("/dev/shm").free > 1 << 28 else "/tmp"


class Programs:
    """What all scenes know: where the programs are, a repository, how much is to be done."""

    def __init__(self, build, workshop, repository, **settings):
        self.build = build
        self.workshop = workshop  # a folder that programs can be started from
        self.repository = repository
        self.planted = settings.get("planted", False)
        self.sanitized = settings.get("sanitized", False)
        self.nightly = settings.get("nightly", False)
        self.keep = settings.get("keep", False)
        self.environment = {"FETTLE_DRAIN_TIMEOUT": "0"}
        if self.planted and "FETTLE_PLANT" in os.environ:
            self.environment["FETTLE_PLANT"] = os.environ["FETTLE_PLANT"]
        if self.sanitized:  # leaks are not looked for in what is traced
            options = os.environ.get("ASAN_OPTIONS", "")
            self.environment["ASAN_OPTIONS"] = f"{options}:detect_leaks=0"

    def path(self, name):
        if name == "player":
            return os.path.join(self.build, "tests/kills/kills_player")
        if self.planted:
            return os.path.join(self.build, f"tests/plants/fettle-{name}-planted")
        room = "worker" if name == "supervisor" else name
        return os.path.join(self.build, f"{room}/fettle-{name}")


class Scene:
    """Use as a context. What is left behind at its end is a failure."""

    def __init__(self, programs):
        self.programs = programs
        self.folder = tempfile.mkdtemp(prefix="fk-", dir=memory_folder())
        self.workshop = tempfile.mkdtemp(prefix="fk-", dir=programs.workshop)
        os.makedirs(self.path("home"))
        self.environment = {**fettle.clean_environment(self.path("home")), **programs.environment}
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        left = self.end_processes()
        if error is not None and self.programs.keep:
            print(f"# kept: {self.folder}", flush=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.workshop, ignore_errors=True)
        if left and error is None:
            raise Failure(f"left behind: {left}")

    def path(self, *names):
        return os.path.join(self.folder, *names)

    # ---- processes -----------------------------------------------------------------------------

    def start(self, log, words, stdin=None, stdout=None):
        """A program that appends what it says to <log>.log."""
        with open(self.path(f"{log}.log"), "ab") as said:
            process = Process(
                words,
                stdin=stdin or subprocess.DEVNULL,
                stdout=stdout or said,
                stderr=said,
                env=self.environment,
                cwd=self.folder,
            )
        self.processes.append(process)
        return process

    def ended(self, process):
        """Its exit code, once it is gone."""
        code = process.wait()
        self.processes.remove(process)
        process.close()
        return code

    def kill(self, process):
        process.send(signal.SIGKILL)
        self.ended(process)

    def stop_broker(self, process):
        """For what it recorded: the journal of one that was killed is for its next start to read."""
        process.popen.terminate()
        code = self.ended(process)
        if code != 0:
            raise Failure(f"the broker ended with {code}")

    def is_alone(self):
        """Nothing runs here but what was started here."""
        ours = {process.pid for process in self.processes}
        return all(pid in ours for pid in children_of(os.getpid()) if fettle.is_alive(pid))

    def end_processes(self):
        """Whatever still runs is killed; what nobody started here is told."""
        for process in list(self.processes):
            process.send(signal.SIGKILL)
            self.ended(process)
        try:
            look_until(nothing_left, "no process is left", LEFT_S)
            return ""
        except Failure:
            left = descendants_of(os.getpid())
            told = ", ".join(map(fettle.describe, left))
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            look_until(nothing_left, "what was killed is gone")
            return told

    # ---- what they say -------------------------------------------------------------------------

    def said(self, log):
        try:
            with open(self.path(f"{log}.log"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def last_words(self, log):
        return " | ".join(self.said(log).splitlines()[-3:])

    def wait_said(self, log, word, process, times=1):
        """Until it said this word so many times, or ended. True when it said it."""
        look_until(
            lambda: self.said(log).count(word) >= times or process.code is not None,
            f"{log} says '{word}'",
        )
        return self.said(log).count(word) >= times

    # ---- the parts of a fleet ------------------------------------------------------------------

    def broker_words(self):
        words = [self.programs.path("broker"), "--state", self.path("broker"), "--listen", "none"]
        words += ["--heartbeat", f"{HEARTBEAT_MS}ms", "--liveness", str(LIVENESS)]
        return words + ["--restart-grace", "1s", "--log-level", "debug"]

    def start_broker(self):
        """Returns once it is ready."""
        before = self.said("broker").count(READY)
        broker = self.start("broker", self.broker_words())
        if not self.wait_said("broker", READY, broker, before + 1):
            raise Failure(f"the broker does not start: {self.last_words('broker')}")
        return broker

    def start_player(self, *words):
        """Peers that do what words say: see player.c."""
        words = [self.programs.path("player"), self.path("broker"), *words]
        with open(self.path("player.shown"), "ab") as shown:
            return self.start("player", words, stdin=subprocess.PIPE, stdout=shown)

    def tell_player(self, player):
        """The broker was started anew."""
        try:
            player.popen.stdin.write(b"!")
        except BrokenPipeError:
            pass  # it had all it wanted

    def end_player(self, player):
        if self.ended(player) != 0:
            raise Failure(f"the player did not get done: {self.last_words('player')}")

    def check_history(self, forgive=None, **settings):
        """By all that was said, shown and stored, once those who trace are gone. `forgive`: what
        a complaint may say."""
        try:
            look_until(self.is_alone, "nothing else runs", LEFT_S)
        except Failure:
            pass  # the checker names it
        told = history.History(self.folder, **settings)
        complaints = [c for c in told.check() if not forgive or not re.search(forgive, c)]
        if complaints:
            raise Failure("; ".join(complaints[:5]))
        return told


class Victim:
    """The program that dies: started again each time, its first starts under these tracers. A
    `lenient` one, whose calls fail, may end as it likes, but not more often."""

    def __init__(self, scene, log, words, tracers, lenient=False):
        self.scene = scene
        self.log = log
        self.words = words
        self.tracers = list(tracers)
        self.lives = len(tracers)
        self.lenient = lenient
        self.deaths = 0
        self.process = None

    def next_tracer(self):
        return self.tracers.pop(0) if self.tracers else []

    def start(self):
        """One that was started again also knows by then how to stop."""
        before = self.scene.said(self.log).count(READY)
        words = strace.starting(self.next_tracer()) + self.words
        self.process = self.scene.start(self.log, words)
        if self.deaths:
            self.scene.wait_said(self.log, READY, self.process, before + 1)

    def bury(self):
        """It ended; that must be the death that was meant."""
        code = self.scene.ended(self.process)
        self.deaths += 1
        if self.deaths > self.lives or (code != -signal.SIGKILL and not self.lenient):
            raise Failure(f"{self.log} ended with {code}: {self.scene.last_words(self.log)}")

    def outlive(self, player):
        """Start it again and again until the player has what it wanted."""
        while True:
            ended = first_of([self.process, player])
            if ended is None:
                raise Failure("the run hangs")
            if ended is player:
                self.scene.end_player(player)
                return
            self.bury()
            self.start()

    def be_idle(self):
        """Wait until it can be asked to stop."""

    def stop(self):
        """A clean end. It may die on the way there; then it is started once more."""
        while True:
            self.be_idle()
            self.process.send(signal.SIGTERM)
            if self.process.wait() == 0:
                self.scene.ended(self.process)
                return
            self.bury()
            self.start()
