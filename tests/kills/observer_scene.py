"""The observer dies, or the process dies that looks at a repository for it. There are twenty
commits to be fed on one branch, another was rewritten, a third is gone. Each commit must get
exactly one build, in its order."""

import os
import signal

import strace
from scene import READY, Failure, Victim, look_until
from shim import Shim

MAIN, REWRITTEN, GONE = (f"refs/heads/{name}" for name in ("main", "rewritten", "gone"))
ZERO = "0" * 40


class ObserverScene:
    role = "observer"
    attaches = False

    def __init__(self, name, session, wakes, middles):
        self.name = f"observer/{name}"
        self.session = session
        self.wakes = wakes
        self.middles = middles
        self.starts_again = session is Session

    def quiet(self, scene):
        return (scene.path("observer.log"),)

    def list_calls(self, scene, tracers):
        with self.session(scene) as session:
            session.play("listing", tracers, False)

    def run_all(self, scene, points):
        """(point, whether that was reached) one by one."""
        with self.session(scene) as session:
            for number, point in enumerate(points):
                yield point, session.run(f"point-{number}", point)


class Session:
    """One broker; each point is a repository of its own name."""

    def __init__(self, scene):
        self.scene = scene
        self.repository = scene.programs.repository
        self.broker = scene.start_broker()
        self.names = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None:
            self.scene.stop_broker(self.broker)
            self.check()

    def url(self):
        return self.repository.path

    def run(self, name, point):
        """How often it died, or its call failed."""
        log = self.scene.path("strace")
        deaths = self.play(name, point.tracers(log), point.action != "KILL")
        return deaths or strace.was_injected(log)

    def play(self, name, tracers, lenient):
        """How often the observer died."""
        self.set_marks(name)
        observer = self.observer(name, self.scene.programs.path("observer"), tracers, lenient)
        observer.outlive(self.wait_for_tips(name))
        observer.stop()
        return observer.deaths

    def observer(self, name, program, tracers=(), lenient=False):
        words = [program, "--interval", "50ms", "--broker", f"ipc:{self.scene.path('broker')}"]
        words += ["--state", self.scene.path("observer"), "--log-level", "debug"]
        words += ["--", f"{name}={self.url()}"]
        observer = Victim(self.scene, "observer", words, tracers, lenient)
        observer.start()
        return observer

    def set_marks(self, name):
        """As if all this had been accepted before."""
        self.names.append(name)
        marks = [MAIN, self.repository.before, GONE, self.repository.before]
        marks += [REWRITTEN, self.repository.commits[4]]
        self.scene.end_player(self.scene.start_player("mark", name, self.url(), *marks))

    def wait_for_tips(self, name):
        tips = [MAIN, self.repository.commits[-1], GONE, ZERO]
        tips += [REWRITTEN, self.repository.rewritten[-1]]
        return self.scene.start_player("await", name, self.url(), *tips)

    def check(self):
        recorded = self.scene.check_history(settled=False).recorded
        wanted = {MAIN: self.repository.commits, REWRITTEN: self.repository.rewritten}
        for name in self.names:
            got = {}
            for build in recorded.builds.values():
                if build.repository == name:
                    got.setdefault(build.ref, []).append(build.commit)
            if got != wanted:
                counts = {ref: len(commits) for ref, commits in got.items()}
                raise Failure(f"{name}: not each commit has one build in its order: {counts}")


class PollSession(Session):
    """The observer is well; the process dies that fetches into its mirror. The observer looks again
    after five seconds; by day nobody waits for that, and another one is started."""

    def __init__(self, scene):
        super().__init__(scene)
        self.shim = Shim(scene, "observer")

    def url(self):
        return f"file://{self.repository.path}"

    def run(self, name, point):
        log = self.scene.path("strace")
        self.play(name, point.tracers(log), False)
        self.check_mirror(name)
        look_until(self.scene.is_alone, "strace has seen the end")
        return strace.was_reached(log, point)

    def play(self, name, tracers, lenient):
        scene = self.scene
        self.set_marks(name)
        observer = self.start_with_script(name, tracers[0])
        player = self.wait_for_tips(name)
        failing = f"repository failing repository={name} "
        look_until(lambda: player.code is not None or failing in scene.said("observer"), "a look")
        if player.code is None and not self.is_patient():
            observer.stop()
            observer = self.observer(name, scene.programs.path("observer"))
        observer.outlive(player)
        observer.stop()
        if not self.shim.is_taken():
            raise Failure("no look was traced")

    def is_patient(self):
        return self.scene.programs.nightly and len(self.names) == 1

    def start_with_script(self, name, tracer):
        """Its first look waits for the broker's answer, and so for the script."""
        before = self.scene.said("observer").count(READY)
        self.shim.reset()
        self.shim.order(tracer)
        self.broker.send(signal.SIGSTOP)
        observer = self.observer(name, self.shim.path)
        self.scene.wait_said("observer", READY, observer.process, before + 1)
        self.shim.switch()
        self.broker.send(signal.SIGCONT)
        return observer

    def check_mirror(self, name):
        """The look that followed has cleared what the dead one left."""
        for place, _, files in os.walk(self.scene.path("observer", "mirrors")):
            for file in files if f"/mirrors/{name}-" in place else []:
                if file.endswith(".lock") or file.startswith("pack_git"):
                    raise Failure(f"{os.path.join(place, file)} was left")
