"""Runs a program with the filter of system calls that a unit of systemd would give it.

filtered.py UNIT PROGRAM ...

What is not allowed fails with EPERM. systemd says what its sets hold, the compiler which numbers
the calls have here.
"""

import ctypes
import errno
import os
import re
import struct
import subprocess
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2  # prctl(2)
LOAD_NUMBER, IS_EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD+W+ABS, BPF_JMP+JEQ+K, BPF_RET+K
ALLOW, FAIL = 0x7FFF0000, 0x00050000 | errno.EPERM


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=True, **more).stdout


def numbers():
    """Of each call of this machine, by its name."""
    said = run("cc", "-E", "-dM", "-x", "c", "-", input="#include <sys/syscall.h>\n")
    defined = dict(re.findall(r"#define (__NR\w+) (\w+)", said))
    found = {}
    for name, value in defined.items():
        value = defined.get(value, value)  # some are another's
        if name.startswith("__NR_") and value.isdigit():
            found[name.removeprefix("__NR_")] = int(value)
    return found


def calls_of(name):
    if not name.startswith("@"):
        return {name}
    found = set()
    for line in run("systemd-analyze", "syscall-filter", "--no-pager", name).splitlines()[1:]:
        if line.strip() and not line.strip().startswith("#"):
            found |= calls_of(line.strip())
    return found


def allowed_by(unit):
    """Each line adds to what is allowed, or takes away: systemd.exec(5)."""
    allowed = set()
    for line in re.findall(r"^SystemCallFilter=(.*)", unit, re.MULTILINE):
        calls = set().union(*(calls_of(name) for name in line.lstrip("~").split()))
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    return allowed


def program_of(allowed):
    steps = [(LOAD_NUMBER, 0, 0, 0)]
    for number in sorted(allowed):
        steps += [(IS_EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    return [*steps, (RETURN, 0, 0, FAIL)]


def confine(allowed):
    steps = program_of(allowed)
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    whole = struct.pack("@HP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(whole)
    ):
        sys.exit(f"filtered: {os.strerror(ctypes.get_errno())}")


def main():
    known = numbers()
    with open(sys.argv[1], encoding="utf-8") as file:
        allowed = allowed_by(file.read())
    confine({known[name] for name in allowed if name in known})
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
