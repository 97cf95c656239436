"""The example of docs/protocol.md does what it says, as it stands there."""

import os
import re
import signal
import subprocess
import sys

import fettle
import tap

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/protocol.md")
LINES_MAX = 60


def example():
    """The only Python on the page."""
    with open(PAGE, encoding="utf-8") as file:
        (text,) = re.findall(r"(?ms)^```python\n(.*?)^```$", file.read())
    return text


def python():
    """One that has the two libraries: Debian's own, where another comes first."""
    for name in (sys.executable, "/usr/bin/python3"):
        done = subprocess.run([name, "-c", "import msgpack, zmq"], capture_output=True, check=False)
        if done.returncode == 0:
            return name
    raise AssertionError("no python3 has python3-zmq and python3-msgpack")


class Example(fettle.Case):
    def start(self):
        """The example in the background; returns a function that gives its lines so far."""
        script, out = self.house.path("example.py"), self.house.path("example.out")
        with open(script, "w", encoding="utf-8") as file:
            file.write(example())
        with open(out, "wb") as file:
            process = subprocess.Popen(  # pylint: disable=consider-using-with
                [python(), script, self.house.broker_folder],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=self.house.environment,
            )
        self.house.processes.append(process)

        def lines():
            with open(out, encoding="utf-8") as file:
                return file.read().splitlines()

        return process, lines

    def test_it_runs(self):
        repository = fettle.Repository(self.house, "app")
        broker = self.house.broker()
        self.house.observer(repository)
        self.house.wait(repository.commit(message="first [skip ci]"))  # a first look is at tips
        self.house.wait([repository.commit(message=f"{n} [skip ci]") for n in range(4)][-1])
        commits = [build["commit"] for build in self.house.json("builds")["builds"]]
        self.assertEqual(len(commits), 5)
        process, lines = self.start()
        fettle.wait_until(lambda: sum("verdict" in row for row in lines()) == len(commits), "told")
        said = lines()
        self.assertRegex(said[0], r"^broker \S+ ok waiting 0$")
        self.assertEqual(said[1], "pause {'changed': 1} again {'changed': 1}")
        self.assertEqual(said[2], "resume {'changed': 1}")
        builds = [row for row in said if row.startswith("build ")]
        self.assertEqual(builds, [f"build {commit} skipped" for commit in commits])
        self.assertIsNone(self.house.json("status")["paused_by"])
        self.assertEqual([row.split()[2] for row in said].count("paused"), 1, said)
        # What comes is told, and what came while the broker was away.
        self.house.stop(broker, signal.SIGKILL)
        self.house.broker()
        late = repository.commit(message="late [skip ci]")
        self.house.wait(late)
        fettle.wait_until(lambda: any(f"verdict {late}" in row for row in lines()), "told, too")
        told = [int(row.split()[1]) for row in lines() if row.startswith("event ")]
        self.assertEqual(told, list(range(1, len(told) + 1)))
        self.assertEqual(self.house.stop(process), -signal.SIGTERM)

    def test_it_is_short(self):
        self.assertLessEqual(len(example().splitlines()), LINES_MAX)


if __name__ == "__main__":
    tap.main()
