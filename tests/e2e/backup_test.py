"""A copy of the store, fetched while jobs run, and put back into a new broker."""

import os
import shutil
import signal
import stat

import fettle
import tap


class Backup(fettle.Case):
    def start(self):
        gate = self.house.gate()
        self.house.broker()
        self.house.worker()
        repository = fettle.Repository(self.house)
        self.house.observer(repository)
        return repository, gate

    def verdicts(self):
        builds = self.house.json("builds", "--limit", "0")["builds"]
        return {build["commit"]: build["outcome"] for build in builds}

    def fetch(self, name="copy.db"):
        path = self.house.path(name)
        done = self.house.cli("backup", path, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        answer = fettle.json.loads(done.stdout)
        self.assertEqual(list(answer), ["file", "size"])
        self.assertEqual((answer["file"], answer["size"]), (path, os.path.getsize(path)))
        return path

    def put_back(self, copy):
        """As the operator's guide says: another folder, the logs of before beside it."""
        old, self.house.broker_folder = self.house.broker_folder, self.house.path("restored")
        os.mkdir(self.house.broker_folder, 0o700)
        shutil.copy(copy, os.path.join(self.house.broker_folder, "fettle.db"))
        shutil.copytree(os.path.join(old, "logs"), os.path.join(self.house.broker_folder, "logs"))

    def test_all_verdicts_of_the_time_are_there_again(self):
        repository, gate = self.start()
        commits = []
        for number in range(5):  # one by one: a first look tests the newest only
            commits.append(repository.steps("echo working", message=f"{number}"))
            self.assertEqual(self.house.verdict(commits[-1]), "passed")
        running = repository.steps("echo working", f"until [ -e {gate} ]; do sleep 0.05; done")
        self.house.wait_running(running)
        copy = self.fetch()
        self.assertEqual(stat.S_IMODE(os.stat(copy).st_mode), 0o600)
        then = self.verdicts()
        self.assertEqual(then[running], None)
        self.house.open_gate()
        self.assertEqual(self.house.verdict(running), "passed")
        for process in list(self.house.processes):
            self.house.stop(process, signal.SIGKILL)
        self.put_back(copy)
        self.house.broker()
        self.assertEqual(self.verdicts(), then)
        self.assertEqual(self.house.cli("log", commits[0]).stdout.splitlines()[-1], "working")
        self.house.worker("two")
        self.house.observer(repository, name="observer-two")
        self.assertEqual(self.house.verdict(running), "passed")  # it was to be done yet
        new = repository.steps("true", message="after it")
        self.assertEqual(self.house.verdict(new), "passed")
        self.assertGreater(self.house.only_job(new)["job"], 1000000)

    def test_a_file_is_whole_or_as_it_was(self):
        repository, _ = self.start()
        self.assertEqual(self.house.verdict(repository.steps("true")), "passed")
        path = self.fetch()
        before = os.path.getsize(path)
        self.fetch()  # over it
        self.assertGreaterEqual(os.path.getsize(path), before)
        self.assertEqual([name for name in os.listdir(self.house.folder) if "copy" in name],
                         ["copy.db"])
        nowhere = self.house.cli("backup", self.house.path("no", "such", "folder"))
        self.assertEqual(nowhere.returncode, 5)
        self.assert_line(nowhere.stderr, "no/such/folder")
        self.assertFalse(os.path.exists(os.path.join(self.house.broker_folder, "restored")))

    def test_copies_while_commits_come_hold_nobody_up(self):
        repository, _ = self.start()
        repository.steps("true")
        for number in range(10):
            repository.push_many(3)
            self.fetch(f"copy-{number}.db")
        last = repository.steps("true", message="the last")
        self.assertEqual(self.house.verdict(last), "passed")
        self.assertEqual(len(self.verdicts()), len(set(self.verdicts())))
        self.assertEqual(self.house.end_all(), [])


if __name__ == "__main__":
    tap.main()
