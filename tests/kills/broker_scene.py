"""The broker dies. Its peers are scripted and go on: an observer feeds twenty commits by
compare-and-swap, two workers take what they are offered and keep results until they are
acknowledged. When they are done everything must be as if nothing had happened."""

import os

import strace
from scene import READY, Failure, Victim, first_of, look_until

ON_DISK, FINAL = "result files are on disk", "save final"
JOBS, ERROR_JOB, SKIPPED_JOB = 21, 8, 12  # as player.c makes them
CHUNK = 65536
NAMES = {
    "store": "fettle-store",
    "results": "fettle-results",
    "io": "ZMQbg/IO/0",
}


class BrokerScene:
    """`thread` is who dies: `main` from its first call to its last, the others from the moment when
    the broker is ready."""

    role = "broker"
    wakes = False
    middles = True
    starts_again = True

    def __init__(self, thread):
        self.thread = thread
        self.name = f"broker/{thread}"
        self.attaches = thread != "main"

    def quiet(self, scene):
        return (scene.path("broker.log"),)

    def list_calls(self, scene, tracers):
        Play(scene, self.thread, tracers, False).play()

    def run(self, scene, point):
        """How often the broker died, or its call failed."""
        log = scene.path("strace")
        deaths = Play(scene, self.thread, point.tracers(log), point.action != "KILL").play()
        return deaths or strace.was_injected(log)


class Play(Victim):
    """One run of the twenty commits."""

    def __init__(self, scene, thread, tracers, lenient):
        super().__init__(scene, "broker", scene.broker_words(), tracers, lenient)
        self.thread = thread
        self.starts = 0

    def play(self):
        self.start()
        player = self.scene.start_player("fleet", self.scene.folder)
        while first_of([self.process, player]) is self.process:
            self.bury()
            self.start()
            self.scene.tell_player(player)
        self.scene.end_player(player)
        if self.thread == "results":
            self.settle()
        if self.lenient and self.thread != "main":
            self.scene.kill(self.process)
            self.start()  # it writes the plain files of verdicts for which there was no room
        self.stop()
        self.check()
        return self.deaths

    def start(self):
        """Returns once it is ready; it may die before, and is started again."""
        tracer, before = self.next_tracer(), self.scene.said("broker").count(READY)
        is_early = self.thread == "main" or self.starts > 0
        self.starts += 1
        words = strace.starting(tracer if is_early else []) + self.words
        self.process = self.scene.start("broker", words)
        if not self.scene.wait_said("broker", READY, self.process, before + 1):
            self.bury()
            self.start()
        elif tracer and not is_early:
            self.attach(tracer)

    def settle(self):
        """Until the plain files of all verdicts are on disk: they come when nothing else is to do."""

        def is_settled():
            said = self.scene.said("broker")
            return said.rfind(ON_DISK) > said.rfind(FINAL)

        while not is_settled():
            look_until(lambda: is_settled() or self.process.code is not None, "files are on disk")
            if self.process.code is not None:
                self.bury()
                self.start()

    def attach(self, tracer):
        thread = look_until(lambda: thread_of(self.process.pid, self.thread), "its threads run")
        process = self.scene.start("strace", strace.attaching(tracer, thread))
        self.scene.wait_said("strace", "attached", process)

    def check(self):
        told = self.scene.check_history()
        jobs = told.recorded.jobs
        if list(jobs) != list(range(1, JOBS + 1)):
            raise Failure(f"the jobs are {list(jobs)}")
        for job in jobs.values():
            if job.outcome != outcome_of(job.id):
                raise Failure(f"job {job.id} is {job.outcome}: {job.reason}")
            log = told.recorded.log(job.id, job.attempt)
            if job.attempt and log != log_of(job.id, job.attempt):
                raise Failure(f"the log of job {job.id} is not what its worker wrote")
        for worker in told.said.workers:
            for job, attempt in worker.offers:
                if jobs[job].attempt != attempt:
                    raise Failure(f"{worker.name} had job {job}, and was made to give it up")


def outcome_of(job):
    """As player.c decides."""
    if job in (ERROR_JOB, SKIPPED_JOB):
        return "error" if job == ERROR_JOB else "skipped"
    return "failed" if job % 5 == 0 else "passed"


def log_of(job, attempt):
    """As the peers write it: see fleet_log_byte()."""
    size = 2 * CHUNK + 100 if job == 3 else 64 * (1 + job % 3)
    letters = bytes(97 + (job * 7 + attempt * 3 + at) % 26 for at in range(26 * 64))
    block = bytearray(letters)
    block[63::64] = b"\n" * 26
    return bytes(block * (size // len(block) + 1))[:size]


def thread_of(pid, thread):
    """The thread's id, by its name. None: not there yet."""
    for one in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{one}/comm", encoding="ascii") as file:
            if file.read().strip() == NAMES[thread]:
                return int(one)
    return None
