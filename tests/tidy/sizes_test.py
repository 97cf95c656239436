"""Sources stay readable: functions of at most 70 lines, files of at most 450, lines of at most 100
columns (the rows of .def tables stay on one line), a comment at the head. Tests may be longer.
Usage: sizes_test.py ROOT"""

import re
import sys

import tree

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 450
COLUMNS_MAX = 100


def functions(lines):
    """(first line number, lines) of each function, by the house format: braces in column one."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            yield start, number - start + 1
            start = None


def check(root, path):
    lines = tree.read(root, path).split("\n")
    product = path.split("/")[0] in tree.ROOMS
    if not lines[0].startswith("/*"):
        yield f"{path}:1: opens without a comment that says what it is for"
    if product and len(lines) - 1 > FILE_LINES_MAX:
        yield f"{path}: {len(lines) - 1} lines, over {FILE_LINES_MAX}"
    for number, line in enumerate(lines, 1):
        if len(line.expandtabs(8)) > COLUMNS_MAX and not path.endswith(".def"):
            yield f"{path}:{number}: wider than {COLUMNS_MAX} columns"
        if re.search(r"\b(TODO|FIXME|XXX)\b", line):
            yield f"{path}:{number}: unfinished"
        if line != line.rstrip():
            yield f"{path}:{number}: space at the end"
    if product:
        for number, count in functions(lines):
            if count > FUNCTION_LINES_MAX:
                yield f"{path}:{number}: a function of {count} lines, over {FUNCTION_LINES_MAX}"


root = sys.argv[1]
tree.finish([c for path in tree.files(root, ".c", ".h", ".def") for c in check(root, path)])
