"""File systems of a test's own: small, in memory, in a mount namespace that nobody else sees.

`enter()` starts the test again in such a namespace, as root or as a user who may make one."""

import os
import subprocess
import sys

MARK = "FETTLE_TEST_MOUNTS"
NAMESPACES = (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"])


def is_allowed(words, path="/tmp"):
    probe = f"mount -t tmpfs -o size=1m none {path}"
    try:
        done = subprocess.run([*words, "sh", "-c", probe], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def enter():
    """False when no namespace is allowed here; otherwise we are in one after this."""
    if os.environ.get(MARK):
        return True
    for words in NAMESPACES:
        if is_allowed(words):
            os.environ[MARK] = "yes"
            os.execvp(words[0], [*words, sys.executable, "-B", *sys.argv])
    return False


class Small:
    """A file system that can be filled, freed and made larger."""

    def __init__(self, path, options):
        self.path = path
        os.makedirs(path, exist_ok=True)
        self.mount("mode=755," + options)

    def mount(self, options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", self.path], check=True)

    def resize(self, options):
        self.mount("remount," + options)

    def fill(self, name="filler"):
        """Use up every byte that is free."""
        with open(os.path.join(self.path, name), "ab", buffering=0) as file:
            for size in (65536, 512, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def free(self, name="filler"):
        os.remove(os.path.join(self.path, name))

    def fill_inodes(self):
        """Use up every inode; what there is of bytes stays."""
        number = 0
        try:
            while True:
                with open(os.path.join(self.path, f"inode-{number}"), "x", encoding="utf-8"):
                    number += 1
        except OSError:
            return

    def free_inodes(self):
        for name in os.listdir(self.path):
            if name.startswith("inode-"):
                os.remove(os.path.join(self.path, name))

    def unmount(self):
        subprocess.run(["umount", "--lazy", self.path], check=True)
