"""Jobs that do not want to end: they leave their group, ignore TERM, stop themselves, fork away,
keep the output open, or kill all that they can reach (bad input 37)."""

import signal
import time

import arena
import tap

# Leaves the group and the session of its step, twice, and lives on.
DAEMON = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
print("daemon lives", flush=True)
while True: time.sleep(1)
"""

# Forks a child and ends, for as long as it can: no list of processes is ever current.
HOPPER = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork(): os._exit(0)
os.setsid()
ends = time.monotonic() + 60
while time.monotonic() < ends:
    if os.fork(): os._exit(0)
    os.setpgid(0, 0)
"""

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True: time.sleep(1)
"""


class Processes(arena.Attack):
    def ends_clean(self, commit, outcome="passed", reason=""):
        self.assert_job(commit, outcome, reason)
        self.assert_gone()
        self.assert_works()

    def test_a_daemon_that_left_its_session(self):
        commit = self.run_job("python3 daemon.py & sleep 0.5", files={"daemon.py": DAEMON})
        self.ends_clean(commit)

    def test_one_that_forks_away_without_end(self):
        commit = self.run_job("python3 hopper.py & sleep 0.3", files={"hopper.py": HOPPER})
        self.ends_clean(commit)
        self.assert_heartbeats("a process that forks away without end")

    def test_output_that_stays_open(self):
        started = time.monotonic()
        commit = self.run_job("(trap '' TERM HUP; sleep 600; echo late) & echo done")
        self.assertLess(time.monotonic() - started, 15, "nobody waits for the end of the output")
        self.assertIn("done", self.log(commit))
        self.ends_clean(commit)

    def test_one_that_ignores_term_is_out_of_time(self):
        commit = self.run_job(
            "python3 stubborn.py", files={"stubborn.py": STUBBORN}, more="timeout: 1s\n"
        )
        self.ends_clean(commit, "timed_out", "timed out after 1s")

    def test_one_that_stopped_itself_is_out_of_time(self):
        commit = self.run_job("kill -STOP $$", more="timeout: 1s\n")
        self.ends_clean(commit, "timed_out", "timed out after 1s")

    def test_one_that_kills_all_it_can_reach(self):
        self.need_containment()
        commit = self.run_job("(sleep 0.2; kill -9 -1) & sleep 20", more="timeout: 10s\n")
        self.assertIn(self.job(commit)["outcome"], ("failed", "error", "timed_out"))
        self.assertIsNone(self.worker.poll(), "the worker lives")
        self.assertIsNone(self.broker.poll(), "the broker lives")
        self.assert_gone()
        self.assert_works()

    def test_one_that_kills_its_parents(self):
        self.need_containment()
        step = (
            "p=$PPID; while [ ${p:-0} -gt 1 ]; do kill -9 $p 2>/dev/null || break; "
            "p=$(awk '/^PPid/{print $2}' /proc/$p/status 2>/dev/null); done; echo tried"
        )
        commit = self.run_job(step)
        self.assertIsNotNone(self.job(commit)["outcome"])
        self.assertIsNone(self.worker.poll(), "the worker lives")
        self.assert_gone()
        self.assert_works()

    def test_a_job_is_stopped_by_its_worker(self):
        commit = self.repository.commit(
            {
                "daemon.py": DAEMON,
                ".fettle.yaml": 'steps: ["python3 daemon.py & echo working; sleep 600"]\n',
            }
        )
        self.house.wait_running(commit, "one")
        self.assertEqual(self.house.stop(self.worker, signal.SIGTERM), 0)
        # House.finish() asserts that nobody was left behind.


if __name__ == "__main__":
    tap.main()
