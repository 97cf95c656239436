"""Addresses: what a broker may listen at, and one broker that has several."""

import signal
import socket
import unittest

import tap
from fettle import Case, Repository, free_ports, program, wait_until


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


class Listen(Case):
    def refusal(self, address):
        state = self.house.path("other")
        done = self.house.run([program("broker"), "--state", state, "--listen", address])
        self.assertEqual(done.returncode, 2, done.stderr)
        return done.stderr

    def test_what_others_can_reach_is_refused_without_insecure(self):
        for host in ("0.0.0.0", "[::]", "[::ffff:0.0.0.0]", "10.127.0.1"):
            self.assert_line(
                self.refusal(f"{host}:{free_ports()}"), r"would let others in.*--insecure"
            )

    def test_a_name_that_nobody_knows(self):
        said = self.refusal("nobody.invalid")
        self.assert_line(said, r"--listen: address: 'nobody\.invalid' cannot be looked up: ")

    def test_a_name(self):
        port = free_ports()
        self.house.broker(listen=f"localhost:{port}")
        self.assertIn(f"listen=127.0.0.1:{port}\n", self.house.log_of("broker"))
        for host in ("localhost", "127.0.0.1"):
            done = self.house.cli("status", broker=f"{host}:{port}")
            self.assertEqual(done.returncode, 0, done.stderr)

    @unittest.skipUnless(has_ipv6(), "there is no IPv6 here")
    def test_ipv6(self):
        port = free_ports()
        self.house.broker(listen=f"[0:0:0:0:0:0:0:1]:{port}")
        repository = Repository(self.house)
        commit = repository.steps("true")
        self.house.worker(broker=f"[::1]:{port}")
        self.house.observer(repository, broker=f"[::1]:{port}")
        done = self.house.cli("wait", commit, "--timeout", "30s", broker=f"[::1]:{port}")
        self.assertEqual(done.returncode, 0, done.stderr)


class Several(Case):
    """One broker at 127.0.0.1 or at 127.0.0.2."""

    def setUp(self):
        super().setUp()
        self.port = free_ports()
        self.one, self.two = f"127.0.0.1:{self.port}", f"127.0.0.2:{self.port}"

    def test_the_one_where_somebody_answers_is_asked(self):
        self.house.broker(listen=self.two)
        for order in (f"{self.one},{self.two}", f"{self.two},{self.one}"):
            done = self.house.cli("status", broker=order)
            self.assertEqual(done.returncode, 0, done.stderr)
        done = self.house.cli("status", "--broker", self.two, broker=self.one)
        self.assertEqual(done.returncode, 0, done.stderr)
        settings = {"FETTLE_BROKER": f"{self.one}, {self.two}"}
        done = self.house.run([program("fettle"), "status"], environment=settings)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_all_are_named_where_nobody_answers(self):
        done = self.house.cli("status", "--timeout", "1s", broker=f"{self.one},{self.two}")
        self.assertEqual(done.returncode, 3)
        self.assert_line(done.stderr, f"no broker answers at {self.one},{self.two}; ")

    def test_more_than_eight_are_refused(self):
        done = self.house.cli("status", broker=",".join(["host"] * 9))
        self.assertEqual(done.returncode, 2)
        self.assert_line(done.stderr, "at most 8")

    def test_a_running_job_goes_on_when_the_broker_moves(self):
        gate = self.house.gate()
        repository = Repository(self.house)
        both = f"{self.one},{self.two}"
        commit = repository.steps(
            f"echo working; while [ ! -e {gate} ]; do sleep 0.1; done"
        )
        broker = self.house.broker(listen=self.two)
        worker = self.house.worker(broker=both)
        self.house.observer(repository, broker=both)
        self.house.wait_running(commit)
        before = self.house.log_of("worker-one")
        self.assertIn(f"connected broker={self.two} ", before)

        self.house.stop(worker, signal.SIGKILL)
        self.house.worker(broker=both)
        self.wait_connected(self.two)
        since = self.house.log_of("worker-one")[len(before) :]
        self.assertNotIn("does not answer", since, "it began where it was let in last")

        self.house.stop(broker, signal.SIGKILL)
        broker = self.house.broker(listen=self.one)
        self.wait_connected(self.one)
        self.house.stop(broker, signal.SIGTERM)
        self.house.broker(listen=self.two)
        self.wait_connected(self.two, 2)

        self.house.open_gate()
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assertEqual(self.house.only_job(commit)["attempt"], 1)
        self.assertEqual(self.house.verdict(repository.steps("true", message="later")), "passed")

    def wait_connected(self, address, times=1):
        said = f"connected broker={address} holding=1"
        wait_until(
            lambda: self.house.log_of("worker-one").count(said) >= times,
            f"the worker is at {address}",
        )


if __name__ == "__main__":
    tap.main()
