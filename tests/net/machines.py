"""Machines of a test's own: network namespaces on one bridge, inside a namespace of the test's.

All of it ends with the test, and nothing outside sees it. The street is 10.57.0.0/24 and
fd57::/64; whoever lives there has one card, `eth0`, whose other end is a port of the bridge. A
machine may live behind a router instead: then its IPv4 is known to nobody in the street."""

import os
import shutil
import subprocess
import sys

INSIDE = "FETTLE_TEST_INSIDE"  # set: this process lives in the namespace
NEEDED = ("ip", "nft", "nsenter", "tc", "unshare")


def shell(script):
    return ["sh", "-euc", script]


def run(words, stdin=None):
    done = subprocess.run(
        words, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def why_not():
    """One line, or None: what is missing for machines here."""
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        return f"no {', '.join(missing)} here"
    script = """
        mount --bind /etc/hosts /etc/hosts
        ip link add probe type veth peer name other
        nft add table netdev probe
    """
    done = subprocess.run(
        [*unshare(), *shell(script)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    said = done.stdout.decode(errors="replace").strip().splitlines()
    return f"network namespaces are not permitted here ({said[-1]})" if done.returncode else None


def unshare():
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--net", "--mount"]


def enter(what):
    """Start this test again in a namespace of its own; returns there. Where that is not permitted
    the test `what` is skipped, and ends."""
    reason = None if os.environ.get(INSIDE) else why_not()
    if reason:
        print(f"TAP version 13\n1..1\nok 1 - {what} # SKIP {reason}")
        sys.exit(0)
    if os.environ.get(INSIDE):
        run(["ip", "link", "set", "lo", "up"])
        return
    words = [*unshare(), sys.executable, "-B", *sys.argv]
    sys.stdout.flush()
    os.execvpe(words[0], words, {**os.environ, INSIDE: "1"})


class Machine:
    """Somebody's machine: a network and an /etc/hosts of its own, and the files of all."""

    def __init__(self, name, hosts):
        self.port = f"port_{name}"  # the other end of its card, in the street
        script = f"mount --bind {hosts} /etc/hosts; ip link set lo up; echo up; exec cat"
        self.holder = subprocess.Popen(  # pylint: disable=consider-using-with
            ["unshare", "--net", "--mount", *shell(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if self.holder.stdout.readline() != b"up\n":
            raise AssertionError(f"machine {name} did not start")

    def words(self, words):
        """The same command, on this machine."""
        return ["nsenter", "-t", str(self.holder.pid), "-n", "-m", "--", *words]

    def run(self, script):
        return run(self.words(shell(script)))

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()


class Street:
    def __init__(self, hosts):
        self.hosts = hosts
        self.machines = {}
        run(shell("ip link add street type bridge; ip link set street up"))

    def machine(self, name, *addresses):
        """One more, with these addresses in the street."""
        machine = self.machines[name] = Machine(name, self.hosts)
        peer = f"peer name eth0 netns {machine.holder.pid}"
        port = machine.port
        run(shell(f"ip link add {port} type veth {peer}; ip link set {port} master street up"))
        rows = [f"ip address add {one} dev eth0 nodad" for one in addresses if ":" in one]
        rows += [f"ip address add {one} dev eth0" for one in addresses if ":" not in one]
        machine.run("\n".join(["ip link set eth0 up", *rows]))
        return machine

    def hide(self, machine, router):
        """Put a machine behind a router, which gives its own address to what comes from there."""
        router.run(
            f"""ip link add inside type veth peer name eth1 netns {machine.holder.pid}
            ip address add 192.168.57.1/24 dev inside
            ip link set inside up
            echo 1 >/proc/sys/net/ipv4/ip_forward
            nft add table ip nat
            nft add chain ip nat leaving '{{ type nat hook postrouting priority 100; }}'
            nft add rule ip nat leaving oifname eth0 masquerade"""
        )
        machine.run(
            """ip address add 192.168.57.2/24 dev eth1
            ip link set eth1 up
            ip route add default via 192.168.57.1"""
        )

    def close(self):
        for machine in self.machines.values():
            machine.close()


class Fault:
    """Something between a machine and the street. `felt` is how many packets felt it."""

    def __init__(self, machine):
        self.machine = machine

    def at(self, there, script):
        """A script on the machine, or at its port in the street."""
        return self.machine.run(script) if there else run(shell(script))

    def card(self, there):
        return "eth0" if there else self.machine.port


class Loss(Fault):
    """Of what comes from the machine, or goes to it, or both: so many of a hundred are lost."""

    def __init__(self, machine, percent, ways=("from", "to")):
        super().__init__(machine)
        self.ways = [way == "to" for way in ways]  # what goes to it is lost on its own card
        self.table = f"at_{machine.port}"
        which = "" if percent == 100 else f"numgen random mod 100 < {percent}"
        for there in self.ways:
            hook = f"type filter hook ingress device {self.card(there)} priority 0;"
            self.at(
                there,
                f"""nft add table netdev {self.table}
                nft add chain netdev {self.table} lost '{{ {hook} }}'
                nft add rule netdev {self.table} lost '{which} counter drop'""",
            )

    def felt(self):
        said = [self.at(there, f"nft list table netdev {self.table}") for there in self.ways]
        return min(int(one.split("counter packets ")[1].split()[0]) for one in said)

    def heal(self):
        for there in self.ways:
            self.at(there, f"nft delete table netdev {self.table}")


class Unplugged(Fault):
    """The cable is out. Both ends see it."""

    def __init__(self, machine):
        super().__init__(machine)
        run(["ip", "link", "set", machine.port, "down"])

    def felt(self):
        return "state DOWN" in run(["ip", "link", "show", self.machine.port])

    def heal(self):
        run(["ip", "link", "set", self.machine.port, "up"])


class Slow(Fault):
    """So many kilobits a second each way, and a queue of some seconds."""

    def __init__(self, machine, kilobits):
        super().__init__(machine)
        for there in (True, False):
            limit = f"tbf rate {kilobits}kbit burst 2000 latency 3s"
            self.at(there, f"tc qdisc add dev {self.card(there)} root {limit}")

    def felt(self):
        return int(self.at(True, "tc -s qdisc show dev eth0").split("Sent ")[1].split()[0])

    def heal(self):
        for there in (True, False):
            self.at(there, f"tc qdisc del dev {self.card(there)} root")
