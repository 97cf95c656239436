"""Every relative link in the pages leads somewhere. Usage: links_test.py ROOT"""

import os
import re
import sys

import tree


def anchors(text):
    """The anchors that a page's headings get."""
    found = set()
    for heading in re.findall(r"^#+\s+(.*?)\s*$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(plain.replace(" ", "-"))
    return found


def check(root, path):
    text = re.sub(r"^```.*?^```", "", tree.read(root, path), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        other = os.path.normpath(os.path.join(os.path.dirname(path), place)) if place else path
        if not os.path.exists(os.path.join(root, other)):
            yield f"{path}: no such file: {target}"
        elif anchor and other.endswith(".md") and anchor not in anchors(tree.read(root, other)):
            yield f"{path}: no such heading: {target}"


root = sys.argv[1]
tree.finish([c for path in tree.files(root, ".md") for c in check(root, path)])
