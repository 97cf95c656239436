"""How fast commits are accepted while no worker is there, beside bare SQLite with the same rows,
which nobody else is asked for; and how long a job waits whose worker is no more, here and where
others give it back."""

import contextlib
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from common import fettle, figures  # noqa: E402  pylint: disable=wrong-import-position
from results import Row, Table  # noqa: E402  pylint: disable=wrong-import-position

HORDE = os.path.join(fettle.BUILD, "tests/fleet/horde")
ROWS = os.path.join(fettle.BUILD, "bench/rows")
HANDOVER = os.path.join(fettle.BUILD, "tests/fleet/handover")
UPDATES = (1, 16, 256)  # commits of each
OF_TRANSACTION = 256  # commits, for SQLite alone
ACCEPT_GOALS = {"sqlite": 0.7}
HANDOVER_GOALS = {"silent": 4, "goodbye": 0.1}  # seconds


@contextlib.contextmanager
def broker(house):
    """A new one."""
    house.broker_folder = tempfile.mkdtemp(dir=house.folder)
    process = house.broker("--log-level", "warn")
    try:
        yield f"ipc:{house.broker_folder}"
    finally:
        house.stop(process)


def accept(house, commits, each):
    with broker(house) as address:
        words = [HORDE, "feed", address, commits, 1, each]
        return commits / figures(list(map(str, words)))["seconds"]


def write(house):
    """The rows that the last broker wrote."""
    folder = tempfile.mkdtemp(dir=house.folder)
    store = os.path.join(house.broker_folder, "fettle.db")
    found = figures([ROWS, os.path.join(folder, "rows.db"), store, str(OF_TRANSACTION)])
    return found["commits"] / found["seconds"]


def accepted(house, rounds, commits):
    """A table for each size of an update."""
    ours = {each: [] for each in UPDATES}
    bare = []
    for _ in range(rounds):
        for each in UPDATES:
            ours[each].append(accept(house, commits, each))
        bare.append(write(house))
    for each in UPDATES:
        rows = [Row("fettle", "fettle", ours[each]), Row("sqlite", "SQLite alone", bare)]
        title = f"commits of one job accepted, {each} in an update"
        yield Table(title, "jobs/s", 0, rows, ACCEPT_GOALS.items())


def handed_over(house, rounds):
    found = {"silent": [], "goodbye": []}
    with broker(house) as address:
        for number in range(rounds):
            for turn, how in enumerate(found):
                words = [HANDOVER, address, how, str(2 * number + turn + 1)]
                found[how].append(figures(words)["seconds"])
    labels = {"silent": "fettle: its worker went silent", "goodbye": "fettle: its worker said goodbye"}
    return [Row(how, labels[how], values) for how, values in found.items()]


def given_back(peers, rounds, ways):
    """What others do by themselves; a silent one takes a minute or more."""
    labels = {"closed": "the connection closed", "silent": "its consumer went silent"}
    for peer in peers:
        for how in ways:
            if how in peer.gives_back:
                with peer.started():
                    values = [peer.hand_over(how) for _ in range(rounds if how == "closed" else 1)]
                yield Row(f"{peer.name}-{how}", f"{peer.label}: {labels[how]}", values)


def measure(house, rounds, commits, peers, ways):
    """`ways`: in which the consumers of others end."""
    rows = [*handed_over(house, rounds), *given_back(peers, rounds, ways)]
    title = "from there until another has the job"
    handover = Table(title, "s", 3, rows, HANDOVER_GOALS.items(), compares=False)
    return [*accepted(house, rounds, commits), handover]
