"""Who takes part: each does the same durable work, and says how long it took.

Whoever is started listens on loopback, keeps its state in a folder of its own, and is stopped by
its process id. Everybody syncs a job before it counts as accepted. The folders are removed at the
end: a disk that removes many files is slow for whoever comes next.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from common import fettle, figures, wait_until  # noqa: E402  pylint: disable=wrong-import-position

WORKERS = 8
OUTSTANDING = 64, 1
AT_ONCE = 10**6  # a second: no job waits for its time
START_SECONDS = 60
SPRINT = os.path.join(fettle.BUILD, "tests/fleet/sprint")
HANDS = os.path.join(fettle.BUILD, "bench/peers/hands")
COMMITS = os.path.join(fettle.BUILD, "bench/commits")


class Ours:
    """Who is always there, and has nothing that runs between two measurements."""

    def __init__(self, house):
        self.house = house

    def missing(self):
        return None

    def started(self):
        return contextlib.nullcontext()

    def riders(self):
        return [self]


class Fettle(Ours):
    """A broker of ours for each measurement, over its local socket."""

    name, label = "fettle", "fettle"
    races, paces = OUTSTANDING, True

    def measure(self, outstanding, jobs, *pace):
        self.house.broker_folder = tempfile.mkdtemp(dir=self.house.folder)
        broker = self.house.broker("--log-level", "warn")
        try:
            words = [SPRINT, f"ipc:{self.house.broker_folder}", WORKERS, outstanding, jobs, *pace]
            return figures(list(map(str, words)))
        finally:
            self.house.stop(broker)


class Sqlite(Ours):
    """Bare SQLite: the rows of as many jobs in a transaction as can be under way."""

    name, label = "sqlite", "SQLite alone"
    races, paces = OUTSTANDING, False

    def measure(self, outstanding, jobs):
        folder = tempfile.mkdtemp(dir=self.house.folder)
        each = min(outstanding, WORKERS)
        return figures([COMMITS, os.path.join(folder, "jobs.db"), str(jobs), str(each)])


class Hands(Ours):
    """As many threads as a job passes, and a sync, without anything else."""

    name, label = "hands", "limit: a sync, eight wake-ups"
    races, paces = (1,), True  # one after the other only

    def measure(self, _outstanding, jobs, pace=AT_ONCE):
        path = os.path.join(tempfile.mkdtemp(dir=self.house.folder), "record")
        return figures([HANDS, path, str(jobs), str(pace)])


class Peer:
    """A server from a Debian package, and our driver for it."""

    name = label = program = None
    races, paces = OUTSTANDING, True
    stop_signal = signal.SIGTERM
    gives_back = ()  # a job by itself, when its consumer is there no more: closed, silent

    def __init__(self, house):
        self.house = house
        self.folder = self.port = None
        self.driver = os.path.join(fettle.BUILD, "bench/peers", f"peer_{self.name}")

    def missing(self):
        """What is not there; None when all is."""
        if not shutil.which(self.program) and not os.access(self.program, os.X_OK):
            return f"{self.name} is not installed"
        return None if os.access(self.driver, os.X_OK) else f"its library was not there at build time: {self.name}"

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def launch(self):
        """Start it; returns its processes, the server last."""
        return [self.house.start(self.name, self.words())]

    def words(self):
        raise NotImplementedError

    def is_ready(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    @contextlib.contextmanager
    def started(self):
        self.folder = tempfile.mkdtemp(dir=self.house.folder)
        self.port = fettle.free_ports()
        processes = self.launch()
        try:
            wait_until(
                lambda: processes[-1].poll() is not None or self.is_ready(),
                f"{self.name} listens",
                START_SECONDS,
            )
            if processes[-1].poll() is not None:
                raise SystemExit(f"{self.name} ended: {self.house.log_of(self.name)[-300:]}")
            yield
        finally:
            for process in reversed(processes):
                self.house.stop(process, self.stop_signal)
            self.house.reap_orphans()

    def riders(self):
        """Who is measured while it runs."""
        return [self]

    def measure(self, outstanding, jobs, *pace):
        outstanding = 1 if pace else outstanding  # who paces does not gather
        words = [self.driver, self.port, WORKERS, outstanding, jobs, *pace]
        return figures(list(map(str, words)))

    def hand_over(self, how):
        """Seconds from a consumer's end until another one has its job."""
        program = os.path.join(fettle.BUILD, "bench/peers", f"handover_{self.name}")
        return figures([program, str(self.port), how])["seconds"]


class Limit(Peer):
    """What the wire and the disk allow together. A new one for each measurement: it does not notice
    that workers are gone."""

    name, label = "limit", "limit: group commit"
    program = os.path.join(fettle.BUILD, "bench/peers/group_commit")

    def words(self):
        return [self.program, str(self.port), self.path("limit.db")]

    def started(self):
        return contextlib.nullcontext()

    def measure(self, outstanding, jobs, *pace):
        with super().started():
            return super().measure(outstanding, jobs, *pace)


class Beanstalkd(Peer):
    name, label, program = "beanstalkd", "beanstalkd -f0", "beanstalkd"
    gives_back = ("closed", "silent")

    def words(self):
        return ["beanstalkd", "-l", "127.0.0.1", "-p", str(self.port), "-b", self.folder, "-f0"]


class Redis(Peer):
    name, label, program = "redis", "Redis, fsync always", "redis-server"

    def words(self):
        words = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        return words + ["--dir", self.folder, "--appendonly", "yes", "--appendfsync", "always"]


class Gearmand(Peer):
    name, label, program = "gearmand", "gearmand, sqlite", "gearmand"
    gives_back = ("closed",)

    def words(self):
        words = ["gearmand", "--config-file", self.write("empty.conf", ""), "-L", "127.0.0.1"]
        words += ["-p", str(self.port), "-l", "stderr", "-P", self.path("pid")]
        return words + ["-q", "libsqlite3", "--libsqlite3-db", self.path("queue.db")]


def postgres_folder():
    """Where the newest server's programs are: Debian keeps them out of the PATH."""
    parent = "/usr/lib/postgresql"
    versions = os.listdir(parent) if os.path.isdir(parent) else []
    newest = max((name for name in versions if name.isdigit()), key=int, default="none")
    return os.path.join(parent, newest, "bin")


class Postgres(Peer):
    name, label = "postgres", "PostgreSQL"
    program = os.path.join(postgres_folder(), "postgres")
    stop_signal = signal.SIGINT  # fast: without waiting for its clients

    def words(self):
        folder = os.path.dirname(self.program)
        # It refuses to run as root.
        su = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        su = su if os.getuid() == 0 else []
        if su:
            shutil.chown(self.folder, "postgres")
        data = self.path("data")
        words = [*su, os.path.join(folder, "initdb"), "-A", "trust", "-U", "postgres", "-D", data]
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True, cwd=self.folder)
        words = [*su, self.program, "-D", data, "-c", "listen_addresses=127.0.0.1"]
        words += ["-c", f"port={self.port}", "-c", f"unix_socket_directories={self.folder}"]
        return words + ["-c", "fsync=on", "-c", "synchronous_commit=on"]

    def is_ready(self):
        words = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(words, check=False).returncode == 0


class Quorum:
    """RabbitMQ's queue whose log has the ends of jobs, too; its server is started by the other."""

    name, label = "quorum", "RabbitMQ, quorum queue"
    races, paces = OUTSTANDING[:1], False
    driver = os.path.join(fettle.BUILD, "bench/peers/peer_quorum")

    def __init__(self, server):
        self.server = server

    def measure(self, outstanding, jobs):
        words = [self.driver, self.server.port, WORKERS, outstanding, jobs]
        return figures(list(map(str, words)))


class RabbitMQ(Peer):
    name, label = "rabbitmq", "RabbitMQ, durable"
    program = "/usr/lib/rabbitmq/bin/rabbitmq-server"
    gives_back = ("closed", "silent")

    def riders(self):
        return [self, Quorum(self)]

    def environment(self):
        """Nothing of a RabbitMQ that serves this machine."""
        config = f"listeners.tcp.1 = 127.0.0.1:{self.port}\ndisk_free_limit.absolute = 50MB\n"
        return {
            "HOME": self.folder,
            "ERL_EPMD_PORT": str(self.port + 1),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"bench{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": self.path("mnesia"),
            "RABBITMQ_LOG_BASE": self.folder,
            "RABBITMQ_CONFIG_FILE": self.write("rabbit.conf", config).removesuffix(".conf"),
            "RABBITMQ_DIST_PORT": str(self.port + 2),
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.write("plugins", "[].\n"),
            "RABBITMQ_PID_FILE": self.path("pid"),
            "RABBITMQ_CONF_ENV_FILE": self.path("none"),
        }

    def words(self):
        return [self.program]

    def launch(self):
        environment = self.environment()
        words = ["epmd", "-address", "127.0.0.1", "-port", str(self.port + 1)]
        names = self.house.start("epmd", words, environment)
        return [names, self.house.start(self.name, self.words(), environment)]


LIMITS = [Limit, Sqlite, Hands]
PEERS = [Beanstalkd, Redis, RabbitMQ, Postgres, Gearmand]
