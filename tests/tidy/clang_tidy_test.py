"""clang-tidy has nothing to say about the programs' sources.
Usage: clang_tidy_test.py ROOT BUILD"""

import concurrent.futures
import os
import subprocess
import sys

import tree


def lint(path):
    result = subprocess.run(
        ["clang-tidy", "--quiet", "-p", build, os.path.join(root, path)],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout if result.returncode or "warning:" in result.stdout else ""


root, build = sys.argv[1:]
sources = [path for path in tree.files(root, ".c") if path.split("/")[0] in tree.ROOMS]
with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
    tree.finish([said for said in pool.map(lint, sources) if said])
