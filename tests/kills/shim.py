"""A program that another starts for what is done aside, as a worker starts supervisors, or that
starts itself again, as an observer does for looks at repositories: the next such process runs under
strace.

The program is a copy, and a script takes its path. One that starts itself again reads its own path
when it starts: the script takes that when the program is ready."""

import os
import shlex
import shutil

import strace


class Shim:
    def __init__(self, scene, name):
        self.scene = scene
        self.folder = scene.workshop
        self.path = os.path.join(self.folder, name)
        self.real = os.path.join(self.folder, f"{name}-real")
        self.next = os.path.join(self.folder, "next")
        shutil.copy(scene.programs.path(name), self.real)
        self.reset()

    def reset(self):
        """The path leads to the program, for another start of it."""
        if os.path.exists(self.path):
            os.remove(self.path)
        os.link(self.real, self.path)

    def switch(self):
        """From now on the path leads to a script, which takes an order when there is one."""
        aside = os.path.join(self.folder, "script")
        taken = shlex.quote(os.path.join(self.folder, "taken"))
        with open(aside, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n")
            file.write(f"mv {shlex.quote(self.next)} {taken} 2>/dev/null && . {taken}\n")
            file.write(f'exec {shlex.quote(self.real)} "$@"\n')
        os.chmod(aside, 0o755)
        os.rename(aside, self.path)

    def order(self, tracer):
        """The next process runs under this."""
        words = strace.starting(tracer) + [self.real]
        aside = f"{self.next}.new"
        with open(aside, "w", encoding="utf-8") as file:
            file.write(f'exec {shlex.join(words)} "$@"\n')
        os.rename(aside, self.next)

    def is_taken(self):
        return not os.path.exists(self.next)
