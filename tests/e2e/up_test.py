"""`fettle up`: everything on one machine, supervised, and nothing left behind."""

import json
import os
import re
import signal
import subprocess

import tap
from fettle import (
    Case,
    Repository,
    children_of,
    descendants_of,
    is_alive,
    program,
    wait_until,
    words_of,
)


class Up(Case):
    def up(self, *words, name="up", folder=None):
        state = self.house.path("state")
        flags = ["--listen", "none", "--interval", "100ms", "--state", state, "--slots", "1"]
        environment = dict(self.house.environment)
        self.house.logs[name] = self.house.path(f"{name}.log")
        with open(self.house.logs[name], "ab") as log:
            process = subprocess.Popen(
                [program("fettle"), "up", *flags, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=folder or self.house.folder,
            )
        self.house.processes.append(process)
        self.house.broker_folder = os.path.join(state, "broker")
        return process

    def says(self, pattern, name="up"):
        def said():
            return re.search(pattern, self.house.log_of(name), re.MULTILINE)

        return wait_until(said, f"up says {pattern}: {self.house.log_of(name)}")

    def child(self, process, word):
        """The living child that runs this program."""
        for pid in children_of(process.pid):
            words = words_of(pid)
            if words and words[0].endswith(f"fettle-{word}"):
                return pid
        return None

    def test_it_watches_builds_and_stops(self):
        repository = Repository(self.house)
        commit = repository.steps("true")
        process = self.up(repository.path)
        self.says(rf"sample main {commit[:10]} +passed")
        red = repository.steps("false")
        self.says(rf"sample main {red[:10]} +failed.*fettle log {red[:10]} --state")
        family = descendants_of(process.pid)
        self.assertGreaterEqual(len(family), 3)
        self.assertEqual(self.house.stop(process, signal.SIGINT), 130)
        self.assertFalse([pid for pid in family if is_alive(pid)])

    def test_its_flags_reach_the_workers(self):
        repository = Repository(self.house)
        commit = repository.steps("true")
        process = self.up("--allow-root-jobs", "--label", "big", repository.path)
        self.says(rf"sample main {commit[:10]} +passed")
        words = words_of(self.child(process, "worker"))
        self.assertIn("--allow-root-jobs", words)
        for flag, value in (("--slots", "1"), ("--label", "big")):
            self.assertEqual(words[words.index(flag) + 1], value)
        self.assertEqual(self.house.stop(process, signal.SIGINT), 130)

    def test_the_current_folder_is_the_repository(self):
        repository = Repository(self.house)
        commit = repository.steps("true")
        process = self.up(folder=repository.path)
        self.says(rf"{commit[:10]} +passed")
        self.assertEqual(self.house.stop(process), 130)

    def test_stopping_ends_running_jobs(self):
        repository = Repository(self.house)
        commit = repository.steps("echo working; sleep 1000")
        process = self.up(repository.path)
        self.house.wait_running(commit)
        family = descendants_of(process.pid)
        self.assertEqual(self.house.stop(process), 130)
        self.assertFalse([pid for pid in family if is_alive(pid)])

    def test_its_sudden_death_ends_everything(self):
        repository = Repository(self.house)
        commit = repository.steps("echo working; sleep 1000")
        process = self.up(repository.path)
        self.house.wait_running(commit)
        family = descendants_of(process.pid)
        self.assertGreaterEqual(len(family), 4)
        self.house.stop(process, signal.SIGKILL)
        wait_until(lambda: not [pid for pid in family if is_alive(pid)], "all are gone", 15)

    def test_a_killed_child_is_started_again(self):
        repository = Repository(self.house)
        repository.steps("true")
        process = self.up(repository.path)
        self.says("passed")
        for word in ("broker", "worker", "observer"):
            pid = wait_until(lambda word=word: self.child(process, word), f"{word} runs")
            os.kill(pid, signal.SIGKILL)
            self.says(rf"the {word}( local-1)? was killed \(signal 9\); it starts again in 1s")
            wait_until(
                lambda word=word, pid=pid: self.child(process, word) not in (None, pid),
                f"{word} runs again",
            )
            commit = repository.steps("true", message=f"after the {word} was killed")
            self.assertEqual(self.house.verdict(commit), "passed")
        self.assertEqual(self.house.stop(process), 130)

    def test_a_job_goes_on_while_its_worker_is_started_again(self):
        repository = Repository(self.house)
        gate = self.house.path("gate")
        self.house.environment["FETTLE_CONTAINMENT"] = "none"  # the job looks at the gate
        commit = repository.steps("echo working", f"until [ -e {gate} ]; do sleep 0.05; done")
        process = self.up(repository.path)
        self.house.wait_running(commit)
        os.kill(self.child(process, "worker"), signal.SIGKILL)
        self.says(r"the worker local-1 was killed \(signal 9\); it starts again in 1s")
        wait_until(lambda: self.child(process, "worker"), "the worker runs again")
        with open(gate, "w", encoding="utf-8"):
            pass
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assertEqual(self.house.only_job(commit)["attempt"], 1)
        self.assertEqual(self.house.stop(process), 130)

    def test_what_a_killed_worker_left_is_ended(self):
        repository = Repository(self.house)
        commit = repository.steps("setsid sh -c 'sleep 1000 & wait' & echo working; wait")
        process = self.up(repository.path)
        self.house.wait_running(commit)
        worker = self.child(process, "worker")
        family = descendants_of(worker)
        self.assertGreaterEqual(len(family), 5)
        for pid in [worker] + children_of(worker):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not [pid for pid in family if is_alive(pid)], "all are gone", 15)
        self.assertEqual(self.house.stop(process), 130)

    def test_a_restart_remembers(self):
        repository = Repository(self.house)
        commit = repository.steps("true")
        process = self.up(repository.path)
        self.assertEqual(self.house.verdict(commit), "passed")
        self.assertEqual(self.house.stop(process), 130)
        process = self.up(repository.path)
        again = repository.steps("true")
        self.assertEqual(self.house.verdict(again), "passed")
        self.assertEqual(len(self.house.json("builds")["builds"]), 2)
        self.assertEqual(self.house.stop(process), 130)

    def test_a_second_one_on_the_same_state_says_so(self):
        process = self.up()
        self.says("running; Ctrl-C stops")
        second = self.up(name="second")
        self.assertEqual(second.wait(30), 2)
        self.house.processes.remove(second)
        self.assertRegex(self.house.log_of("second"), "(?m)^fettle: .*another `fettle up`")
        self.assertEqual(self.house.stop(process), 130)

    def test_a_repository_in_trouble_is_said(self):
        process = self.up(self.house.path("nowhere"))
        self.says(r"^fettle: nowhere: .+")
        Repository(self.house, "nowhere").steps("true")
        self.says(r"^fettle: nowhere: fine again$")
        self.assertEqual(self.house.stop(process), 130)

    def test_events_as_json(self):
        repository = Repository(self.house)
        commit = repository.steps("true")
        process = self.up(repository.path, "--json")
        self.says('"kind": "verdict"')
        rows = [row for row in self.house.log_of("up").splitlines() if row.startswith("{")]
        events = [json.loads(row) for row in rows]
        kinds = [event["kind"] for event in events if event["commit"] == commit]
        self.assertEqual(kinds, ["accepted", "leased", "finished", "verdict"])
        self.assertEqual(self.house.stop(process), 130)


if __name__ == "__main__":
    tap.main()
