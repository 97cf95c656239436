"""Every script is of a shell that reads it, and may be run. Usage: scripts_test.py ROOT"""

import os
import subprocess
import sys

import tree


def shell_of(root, path):
    """The shell named in the first line, or None."""
    with open(os.path.join(root, path), "rb") as file:
        first = file.readline(100)
    if not first.startswith(b"#!"):
        return None
    name = first.split()[-1].split(b"/")[-1].decode()
    return name if name in ("sh", "bash") else None


def check(root, path):
    shell = shell_of(root, path)
    if not shell:
        return
    if not os.access(os.path.join(root, path), os.X_OK):
        yield f"{path}: not executable"
    result = subprocess.run(
        [shell, "-n", os.path.join(root, path)], capture_output=True, text=True, check=False
    )
    if result.returncode:
        yield f"{path}: {result.stderr.strip()}"


root = sys.argv[1]
scripts = [path for path in tree.files(root) if "." not in os.path.basename(path)]
scripts += tree.files(root, ".sh")
tree.finish([c for path in scripts for c in check(root, path)])
