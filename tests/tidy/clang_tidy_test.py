"""clang-tidy has nothing to say about the sources of the programs and of bench/. Without a peer's
library what speaks to that peer is not built, and left out; nothing else may be.
Usage: clang_tidy_test.py ROOT BUILD"""

import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile

import tree


def write_commands(folder):
    """The build's commands, each file once: clang-tidy would look at it for every build it is part
    of, and its analyzer takes the va_list of the second look for uninitialized."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        commands = {entry["file"]: entry for entry in reversed(json.load(file))}
    with open(os.path.join(folder, "compile_commands.json"), "w", encoding="utf-8") as file:
        json.dump(list(commands.values()), file)
    return {os.path.realpath(os.path.join(e["directory"], e["file"])) for e in commands.values()}


def lint(path):
    result = subprocess.run(
        ["clang-tidy", "--quiet", "-p", commands_folder, os.path.join(root, path)],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout if result.returncode or "warning:" in result.stdout else ""


root, build = sys.argv[1:]
sources = [path for path in tree.files(root, ".c") if path.split("/")[0] in tree.LINTED]
with tempfile.TemporaryDirectory() as commands_folder:
    built = write_commands(commands_folder)
    left_out = [path for path in sources if os.path.realpath(os.path.join(root, path)) not in built]
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        said = pool.map(lint, [path for path in sources if path not in left_out])
        complaints = [text for text in said if text]
complaints += [f"{path} is not built" for path in left_out if not path.startswith("bench/peers/")]
tree.finish(complaints)
