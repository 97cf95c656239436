"""The supervisor of a job dies. Its agent says so, once; nothing that the job started lives on, no
file of it stays, and the next job runs on the mirror that the dead one left."""

import json
import os
import shutil

import strace
from scene import Failure, descendants_of, look_until
from shim import Shim

# In the first commit: one process has left the job's group, one does not mind TERM; both hold its
# output.
STEP = """echo one; (setsid sleep 1000 &)
if grep -q 1 file; then (trap '' TERM; exec sleep 1000) & fi; echo two"""
DIED = ("error", "supervisor died (signal 9)")


LOOSE = ("--containment", "none", "--allow-root-jobs")


class SupervisorScene:
    """With all that the machine has to hold the job, or with nothing."""

    role = "supervisor"
    wakes = False
    middles = True
    attaches = False
    starts_again = False

    def __init__(self, name, flags=()):
        self.name = name
        self.flags = flags

    def quiet(self, scene):
        return (scene.path("worker-w.log"),)

    def list_calls(self, scene, tracers):
        with Session(scene, self.flags) as session:
            session.play("listing", tracers[0])

    def run_all(self, scene, points):
        """(point, how often the supervisor died) one by one."""
        with Session(scene, self.flags) as session:
            for number, point in enumerate(points):
                yield point, session.run(f"point-{number}", point)


class Session:
    """One broker and one agent; each point is a repository of its own."""

    def __init__(self, scene, flags):
        self.scene = scene
        worker = os.path.join(scene.workshop, "worker")  # it looks for `supervisor` beside it
        shutil.copy(scene.programs.path("worker"), worker)
        self.shim = Shim(scene, "supervisor")
        self.shim.switch()
        self.repository = scene.programs.repository
        self.broker = scene.start_broker()
        words = [worker, "--broker", f"ipc:{scene.path('broker')}", "--name", "w"]
        words += ["--state", scene.path("worker-w"), "--slots", "1", "--kill-grace", "50ms", *flags]
        self.agent = scene.start("worker-w", words + ["--log-level", "debug"])
        scene.wait_said("worker-w", " info: connected ", self.agent)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None:
            self.agent.popen.terminate()
            code = self.scene.ended(self.agent)
            self.scene.stop_broker(self.broker)
            if code != 0:
                raise Failure(f"the worker ended with {code}")
            self.scene.check_history()

    def run(self, repository, point):
        log = self.scene.path("strace")
        first, second = self.play(repository, strace.injecting(log, point))
        if second["outcome"] != "passed" or first["attempt"] != 1 or second["attempt"] != 1:
            raise Failure(f"the next job should have passed: {first}, {second}")
        died = point.call == "exit_group" or not strace.came_to_its_end(log)
        got = (first["outcome"], first["reason"])
        if point.action == "KILL" and got != self.expected(log, died):
            raise Failure(f"the verdict should be {self.expected(log, died)}, it is {got}")
        return died or strace.was_injected(log)

    def expected(self, log, died):
        """A result that had its name before is told."""
        placed = any(
            call.name == "rename" and call.made and '/result")' in call.text
            for call in strace.calls_of(log)
        )
        return DIED if died and not placed else ("passed", None)

    def play(self, repository, tracer):
        """Two commits; the job of the first is traced. Returns the rows of both jobs."""
        scene = self.scene
        shown = scene.path("player.shown")
        before = os.path.getsize(shown) if os.path.exists(shown) else 0
        self.shim.order(tracer)
        where = [repository, self.repository.path, "refs/heads/main", STEP]
        scene.end_player(scene.start_player("feed", *where, *self.repository.commits[:2]))
        if not self.shim.is_taken():
            raise Failure("no supervisor was traced")
        look_until(lambda: not descendants_of(self.agent.pid), f"no process of {repository} lives")
        look_until(lambda: not os.listdir(scene.path("worker-w", "jobs")), "its folders are gone")
        with open(shown, encoding="utf-8") as file:
            file.seek(before)
            rows = [row for row in map(json.loads, file) if "job" in row]
        return sorted(rows, key=lambda row: row["job"])
