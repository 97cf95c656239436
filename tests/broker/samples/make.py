"""Make a state folder of the broker as this version of fettle writes it, for the versions to come:
real programs, a broker that is killed at the end.
Usage: make.py BUILD FOLDER"""

import os
import shutil
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD, FOLDER = sys.argv[1:]
sys.argv[1:] = [BUILD]
sys.path.insert(0, os.path.join(HERE, "../../e2e"))
import fettle  # pylint: disable=wrong-import-position

KEPT = ["fettle.db", "fettle.db-wal", "fettle.journal", "logs", "results", "store-created"]


def fill(house):
    """Verdicts of every kind, a job that waits, and one that runs."""
    repository = fettle.Repository(house, "app")
    gate = house.path("gate")
    house.broker()
    first = house.worker("first")
    house.observer(repository)
    print("passed", house.verdict(repository.steps("seq 1 2000")))
    print("failed", house.verdict(repository.steps("echo broken", "exit 3")))
    print("error", house.verdict(repository.commit({".fettle.yaml": "steps: {\n"})))
    print("skipped", house.verdict(repository.steps("true", message="a change [skip ci]")))
    running = repository.steps("seq 1 1000; echo working", f"until [ -e {gate} ]; do sleep 1; done")
    house.wait_running(running, "first")
    house.stop(first, signal.SIGKILL)
    house.worker("second")
    house.wait_running(running, "second")
    queued = repository.commit({".fettle.yaml": "jobs: {unit: {labels: [arm64], steps: [make]}}\n"})
    fettle.wait_until(lambda: house.only_job(queued), "the last commit is accepted")


def main():
    house = fettle.House()
    try:
        fill(house)
        house.stop(house.processes[0], signal.SIGKILL)
        os.makedirs(FOLDER)
        for name in KEPT:
            path = os.path.join(house.broker_folder, name)
            copy = shutil.copytree if os.path.isdir(path) else shutil.copy
            copy(path, os.path.join(FOLDER, name))
    finally:
        house.finish()


main()
