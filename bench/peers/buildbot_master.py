"""The settings of a Buildbot master for verdict.py: one repository, four workers in the master's own
process, its state in SQLite in its folder.

A line REVISION on its local socket is a change, told as a hook tells it, without a program of
Buildbot's that has to start. Or it polls, every BENCH_POLL seconds; once it knows what is old, there
is a file "polled" in its folder. Each build that is recorded as finished is a line REVISION RESULT TIME
to whoever is connected."""

import os
import time

from buildbot.plugins import changes, schedulers, steps, util, worker
from buildbot.util.service import BuildbotService
from twisted.internet import defer, endpoints, protocol, reactor
from twisted.protocols.basic import LineOnlyReceiver

REPOSITORY = os.environ["BENCH_REPOSITORY"]
POLL = os.environ.get("BENCH_POLL")
WORKERS = ["one", "two", "three", "four"]


class Desk(LineOnlyReceiver):
    """One who is connected."""

    delimiter = b"\n"

    def connectionMade(self):
        self.factory.desks.add(self)

    def connectionLost(self, reason=protocol.connectionDone):
        self.factory.desks.discard(self)

    def lineReceived(self, line):
        self.factory.master.data.updates.addChange(
            author="Ada",
            comments="told",
            files=["file"],
            revision=line.decode(),
            branch="main",
            repository=REPOSITORY,
        )


class Desks(BuildbotService):
    """The socket."""

    name = "desks"

    @defer.inlineCallbacks
    def startService(self):
        yield super().startService()
        factory = protocol.Factory.forProtocol(Desk)
        factory.desks, factory.master = set(), self.master
        self.factory = factory
        yield self.master.mq.startConsuming(self.finished, ("builds", None, "finished"))
        yield endpoints.UNIXServerEndpoint(reactor, "desk").listen(factory)

    @defer.inlineCallbacks
    def finished(self, _key, build):
        now = time.time()
        properties = yield self.master.data.get(("builds", build["buildid"], "properties"))
        revision = properties["got_revision"][0]
        for desk in self.factory.desks:
            desk.sendLine(f"{revision} {build['results']} {now:.6f}".encode())


class Poller(changes.GitPoller):
    """Says when it has looked once."""

    @defer.inlineCallbacks
    def poll(self):
        yield super().poll()
        if self.lastRev:  # it passes over a fetch that failed
            with open("polled", "w", encoding="utf-8"):
                pass


factory = util.BuildFactory()
factory.addStep(steps.Git(repourl=REPOSITORY, branch="main", mode="incremental"))
factory.addStep(steps.ShellCommand(command=["sh", "-c", "true"]))

BuildmasterConfig = {
    "title": "bench",
    "buildbotURL": "http://localhost/",
    "buildbotNetUsageData": None,
    "db": {"db_url": "sqlite:///state.sqlite"},
    "protocols": {"null": {}},  # in its own process
    "workers": [worker.LocalWorker(name) for name in WORKERS],
    "services": [Desks()],
    "change_source": [Poller(REPOSITORY, branch="main", pollInterval=float(POLL), pollAtLaunch=True)]
    if POLL
    else [],
    "collapseRequests": False,
    "schedulers": [
        schedulers.AnyBranchScheduler(name="all", treeStableTimer=None, builderNames=["test"])
    ],
    "builders": [util.BuilderConfig(name="test", workernames=WORKERS, factory=factory)],
}
