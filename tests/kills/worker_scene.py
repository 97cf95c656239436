"""The worker's agent dies. Broker, git repository, supervisors and steps are real; the agent is
started again on the same folder, and everything must end as if nothing had happened."""

import glob
import json
import os
import re
import signal

import strace
from scene import PATIENCE, Failure, Victim, look_until

# A line before and after something that leaves the job's process group and holds its output.
SAY = 'echo "$FETTLE_COMMIT line 1 of 2"; (setsid sleep 1000 &); echo "$FETTLE_COMMIT line 2 of 2"'
WAIT = "until [ -e {gate} ]; do sleep 0.01; done"
END = "test ! -e fail"
# What an error that was injected may make of a verdict, and of a log that cannot be read.
EXCUSES = ("Input/output error|No space left|Interrupted|Too many open files",)
UNREAD = r"P8: .* lines of \?*[0-9a-f]{40} the"


class WorkerScene:
    role = "worker"
    wakes = True  # the agent's messages leave by ZeroMQ's thread
    middles = True
    attaches = False
    starts_again = True

    def __init__(self, name, play):
        self.name = f"worker/{name}"
        self.play = play

    def quiet(self, scene):
        return (scene.path("worker-w.log"),)

    def list_calls(self, scene, tracers):
        self.play(scene, tracers, False).play()

    def run(self, scene, point):
        """How often the agent died, or its call failed."""
        log = scene.path("strace")
        deaths = self.play(scene, point.tracers(log), point.action != "KILL").play()
        return deaths or strace.was_injected(log)


class RunPlay(Victim):
    """Some commits, one after the other. Their jobs pass through the same calls, so a few are
    enough: every point of them is a run of all."""

    commits = 8

    def __init__(self, scene, tracers, lenient):
        words = [scene.programs.path("worker"), "--broker", f"ipc:{scene.path('broker')}"]
        words += ["--state", scene.path("worker-w"), "--name", "w", "--slots", "1"]
        # Jobs wait for a gate that is outside of their folders.
        words += ["--containment", "none", "--allow-root-jobs"]
        words += ["--kill-grace", "1s", "--log-level", "debug"]
        super().__init__(scene, "worker-w", words, tracers, lenient)
        self.kept = set()  # results that were on the disk when the agent died
        count = 20 if scene.programs.nightly else self.commits
        self.chain = scene.programs.repository.commits[:count]
        self.broker = None

    def play(self):
        self.broker = self.scene.start_broker()
        self.start()
        self.work()
        self.stop()
        self.scene.stop_broker(self.broker)
        self.check()
        return self.deaths

    def work(self):
        self.outlive(self.feed(f"{SAY}; {END}"))

    def feed(self, step):
        where = ["repo", self.scene.programs.repository.path, "refs/heads/main", step]
        return self.scene.start_player("feed", *where, *self.chain)

    def bury(self):
        paths = glob.glob(self.scene.path("worker-w", "jobs", "*", "result"))
        self.kept |= {tuple(map(int, path.split("/")[-2].split("."))) for path in paths}
        super().bury()

    def be_idle(self):
        """All that it held was acknowledged, and is off its disk. What an injected error kept from
        being removed goes with the next start."""
        if self.lenient and not self.is_idle_within(1):
            self.process.send(signal.SIGTERM)
            self.scene.ended(self.process)
            self.start()
        if not self.is_idle_within(PATIENCE):
            raise Failure("jobs are left in the worker's folder")

    def is_idle_within(self, seconds):
        jobs = self.scene.path("worker-w", "jobs")
        try:
            return look_until(
                lambda: self.process.code is not None or not os.listdir(jobs), "idle", seconds
            )
        except Failure:
            return False

    def check(self):
        scene = self.scene
        with open(scene.path("expected.json"), "w", encoding="utf-8") as file:
            json.dump(scene.programs.repository.expected, file)
        lenient = {"excuses": EXCUSES, "forgive": UNREAD} if self.lenient else {}
        recorded = scene.check_history(**lenient).recorded
        if [row.commit for row in recorded.builds.values()] != self.chain:
            raise Failure("not one build for each commit")
        ended = re.findall(r"job ended job=(\d+) attempt=(\d+) ", scene.said("worker-w"))
        for job, attempt in self.kept | {(int(j), int(a)) for j, a in ended}:
            if recorded.jobs[job].attempt != attempt:
                raise Failure(f"the result of job {job} attempt {attempt} was wasted")
        if sum(job.attempt for job in recorded.jobs.values()) > len(self.chain) + self.deaths:
            raise Failure("more attempts than deaths explain")


class AwayPlay(RunPlay):
    """The broker is killed while a job runs whose whole log it has, and comes back after that has
    ended: its result has nowhere to go for a while."""

    commits = 2

    def work(self):
        gate = self.scene.path("gate")
        player = self.feed(f"{SAY}; {WAIT.format(gate=gate)}; {END}")
        self.go_on_until(lambda: self.is_log_stored() or self.has_ended())
        self.scene.kill(self.broker)
        with open(gate, "w", encoding="utf-8"):
            pass
        self.go_on_until(lambda: self.deaths or self.has_ended())
        self.broker = self.scene.start_broker()
        self.scene.tell_player(player)
        self.outlive(player)

    def has_ended(self):
        return "job ended" in self.scene.said("worker-w")

    def is_log_stored(self):
        """All that is written before the gate, and the agent knows: it was told so, or found it so
        when it took the job up again."""
        logs = glob.glob(self.scene.path("broker", "logs", "1.*.log"))
        sizes = [os.path.getsize(log) for log in logs if b" line 2 of 2\n" in read(log)]
        said = self.scene.said("worker-w")
        return any(
            re.search(rf"job=1 attempt=\d (?:log_)?offset={size}[}}\n]", said) for size in sizes
        )

    def go_on_until(self, check):
        """The agent may die meanwhile."""

        def look():
            if self.process.code is not None:
                self.bury()
                self.start()
            return check()

        look_until(look, "the job comes that far")


def read(path):
    with open(path, "rb") as file:
        return file.read()
