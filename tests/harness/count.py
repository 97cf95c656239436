"""Count the test cases of one `meson test` run. Usage: count.py LOG.json
Prints "passed failed skipped"; what failed, and the figures that harnesses give (lines that begin
with "figures:"), go to stderr. A program that speaks TAP counts as its
cases, another one as one."""

import json
import re
import sys


def count(entry):
    """(passed, failed, skipped) of one test program."""
    cases = re.findall(r"^\s*(not ok|ok)\b(.*)$", entry.get("stdout") or "", re.MULTILINE)
    good = entry["result"] in ("OK", "EXPECTEDFAIL")
    if not cases or entry["result"] == "SKIP":
        return (good, not good and entry["result"] != "SKIP", entry["result"] == "SKIP")
    skipped = sum(bool(re.search(r"#\s*skip", rest, re.IGNORECASE)) for _, rest in cases)
    failed = sum(word == "not ok" for word, _ in cases)
    passed = len(cases) - skipped - failed
    # Its cases passed, but not the program: a leak, a child left behind, a crash, a timeout.
    return (passed, failed if good or failed else 1, skipped)


def explain(entry):
    """What a failed program said, without the cases that passed."""
    stdout = re.sub(r"^\s*ok\b.*\n", "", entry.get("stdout") or "", flags=re.MULTILINE)
    said = (stdout + (entry.get("stderr") or "")).split("\n")
    print(f"---- {entry['name']}: {entry['result']}", *said[:100], sep="\n", file=sys.stderr)


def show_figures(entry):
    for line in (entry.get("stdout") or "").split("\n"):
        match = re.match(r"\s*(?:#\s*)?figures: (.*)", line)
        if match:
            print(match[1], file=sys.stderr)


totals = [0, 0, 0]
with open(sys.argv[1], encoding="utf-8") as log:
    for line in log:
        entry = json.loads(line)
        numbers = count(entry)
        totals = [total + more for total, more in zip(totals, numbers)]
        show_figures(entry)
        if numbers[1]:
            explain(entry)
print(*totals)
