"""What the tidy checks look at: the files of the source tree, without build folders."""

import os
import sys

ROOMS = ["base", "proto", "jobfile", "report", "broker", "observer", "worker", "cli"]
LINTED = [*ROOMS, "bench"]


def files(root, *endings):
    """Paths under `root`, relative to it, that end so; build folders and hidden ones left out."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [
            name
            for name in sorted(folders)
            if (not name.startswith(".") or name == ".ci")
            and not os.path.exists(os.path.join(folder, name, "meson-private"))
        ]
        for name in sorted(names):
            if name.endswith(endings) or not endings:
                found.append(os.path.relpath(os.path.join(folder, name), root))
    return found


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def finish(complaints):
    """Print the complaints, one a line, and exit."""
    for complaint in complaints:
        print(complaint)
    sys.exit(1 if complaints else 0)
