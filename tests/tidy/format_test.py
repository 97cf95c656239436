"""Every source is as clang-format writes it. Usage: format_test.py ROOT"""

import subprocess
import sys

import tree

root = sys.argv[1]
sys.exit(
    subprocess.run(
        ["clang-format", "--dry-run", "-Werror", *tree.files(root, ".c", ".h")],
        cwd=root,
        check=False,
    ).returncode
)
