"""What happens is told without a hole, also to who was away, and over restarts of the broker."""

import json
import signal
import subprocess

import fettle
import tap


class Watch(fettle.Case):
    def watch(self, *flags):
        """Its lines so far, and the process."""
        path = self.house.path(f"watch-{len(self.house.processes)}.out")
        words = [fettle.program("fettle"), "watch", "--broker"]
        words += [f"ipc:{self.house.broker_folder}", "--timeout", "1s", *flags]
        with open(path, "wb") as out, open(path + ".err", "wb") as said:
            process = subprocess.Popen(  # pylint: disable=consider-using-with
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=said,
                env=self.house.environment,
            )
        self.house.processes.append(process)

        def lines(which=path):
            with open(which, encoding="utf-8") as file:
                return file.read().splitlines()

        return process, lines, lambda: lines(path + ".err")

    def events(self, *flags):
        done = self.house.cli("watch", "--once", "--json", *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def kinds(self, *flags):
        return [event["kind"] for event in self.events(*flags)]

    def test_who_was_away_misses_nothing(self):
        repository = fettle.Repository(self.house, "app")
        broker = self.house.broker()
        self.house.observer(repository)
        first = repository.commit(message="one [skip ci]")
        self.house.wait(first)
        before = self.events("--since", "0")
        numbers = [event["sequence"] for event in before]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertEqual(before[-1]["kind"], "verdict")
        self.assertEqual(before[-1]["commit"], first)
        self.house.stop(broker, signal.SIGKILL)
        self.house.broker()
        self.house.worker()
        second = repository.steps("true")
        self.house.wait(second)
        after = self.events("--since", str(numbers[-1]))
        self.assertEqual(after[0]["sequence"], numbers[-1] + 1)
        kinds = [event["kind"] for event in after if event["commit"] == second]
        self.assertEqual(kinds, ["accepted", "leased", "finished", "verdict"])
        self.assertEqual(self.events("--since", str(after[-1]["sequence"])), [])

    def test_a_watcher_outlives_the_broker(self):
        repository = fettle.Repository(self.house, "app")
        broker = self.house.broker()
        self.house.observer(repository)
        self.house.wait(repository.commit(message="before [skip ci]"))
        process, lines, said = self.watch("--json", "--since", "0")
        fettle.wait_until(lines, "it prints what was")
        for number in range(3):
            self.house.stop(broker, signal.SIGKILL)
            fettle.wait_until(
                lambda wanted=number: len(said()) > wanted, "it says that the broker is away"
            )
            broker = self.house.broker()
            commit = repository.commit(message=f"{number} [skip ci]")
            fettle.wait_until(
                lambda wanted=commit: any(
                    wanted in line and "verdict" in line for line in lines()
                ),
                "its verdict is told",
            )
        self.assertEqual(self.house.stop(process, signal.SIGINT), 130)
        self.assertEqual(len(said()), 3, said())
        numbers = [json.loads(line)["sequence"] for line in lines()]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertIn("waiting for it to come back", said()[0])

    def test_lines_for_people_begin_now(self):
        repository = fettle.Repository(self.house, "app")
        self.house.broker()
        self.house.observer(repository)
        old = repository.commit(message="old [skip ci]")
        self.house.wait(old)
        process, lines, said = self.watch()
        fettle.wait_until(said, "it begins")
        self.assertRegex(said()[0], r"watching from event \d+ on")
        new = repository.commit(message="new [skip ci]")
        fettle.wait_until(
            lambda: any(new[:10] in line and "skipped" in line for line in lines()), "it is told"
        )
        self.assertFalse(any(old[:10] in line for line in lines()), lines())
        self.house.stop(process, signal.SIGTERM)

    def test_what_it_cannot_do_it_says(self):
        self.house.broker()
        self.assertEqual(self.house.cli("watch", "--once", "--since", "x").returncode, 2)
        done = self.house.cli("watch", "--once", "--since", "1000")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("has told 0 events only", done.stderr)
        nobody = self.house.cli("watch", "--timeout", "100ms", broker="ipc:/nowhere")
        self.assertEqual(nobody.returncode, 3, nobody.stderr)


if __name__ == "__main__":
    tap.main()
