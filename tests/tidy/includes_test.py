"""The rooms know only what they may know. Usage: includes_test.py ROOT"""

import re
import sys

import tree

# What a path may include from our own tree: the first pattern that matches a path counts.
OURS = [
    (r"base/", r"base/"),
    (r"proto/(wire|client|address|allowed|greeting|handshake|key|secret)\.", r"base/|proto/"),
    (r"proto/", r"base/|proto/(entry|message|messages|outcomes|schema|since|peer)\."),
    (r"jobfile/", r"base/|jobfile/|proto/message\.h"),
    (r"report/", r"base/|report/|proto/message\.h"),
    (
        r"(broker|observer|worker)/core/",
        r"base/(arena|clock|error|glob|memory|plant|scoped|table|text)\.h|proto/(entry|message|peer)\.h|{room}/core/",
    ),
    (r"observer/", r"base/|proto/|observer/|jobfile/"),
    (r"worker/", r"base/|proto/|worker/|report/report\.h"),
    (r"broker/", r"base/|proto/|broker/"),
    (r"cli/", r"base/|proto/|jobfile/|cli/"),
]

# Who may include a library's header.
LIBRARIES = [
    (r"ini\.h", r"base/settings\.c"),
    (r"uthash\.h", r"base/table\.h"),
    (r"sodium.*", r"base/table\.c|proto/(key|secret)\.c|cli/invite\.c|(broker|observer|worker)/[a-z_]+\.c"),
    (r"msgpack.*", r"proto/pack\.c"),
    (r"c?zmq\.h", r"proto/(wire|client|handshake|key)\.[ch]|(broker|observer|worker|cli)/[a-z_]+\.[ch]"),
    (r"expat\.h", r"report/junit\.c"),
    (r"yaml\.h", r"jobfile/document\.c"),
    (r"sqlite3\.h", r"broker/store[a-z_]*\.[ch]"),
    (r"git2\.h", r"(observer/(history|instructions|line|mirror|repository|scan|selection|ssh)|worker/checkout)\.[ch]"),
    (r"jansson\.h", r"cli/.*"),
]

# A core decides; it has no need of the system. (stdio.h is for snprintf; purity_test.sh sees the
# rest of it.)
CORE_SYSTEM = (
    r"(assert|inttypes|limits|stdarg|stdbool|stddef|stdint|stdio|stdlib|string|utlist)\.h"
)


def check(path, include, system):
    room = path.split("/")[0]
    if system:
        if "/core/" in path and not re.fullmatch(CORE_SYSTEM, include):
            yield f"a core includes <{include}>"
        for header, users in LIBRARIES:
            if re.fullmatch(header, include) and not re.fullmatch(users, path):
                yield f"<{include}> is not for this file"
        return
    for place, allowed in OURS:
        if re.match(place, path):
            if not re.match(allowed.replace("{room}", room), include):
                yield f'"{include}" is not for this room'
            return


def complaints(root):
    for path in tree.files(root, ".c", ".h"):
        if path.split("/")[0] not in tree.ROOMS:
            continue
        for number, line in enumerate(tree.read(root, path).split("\n"), 1):
            match = re.match(r'\s*#\s*include\s+(["<])([^">]+)', line)
            if match:
                for complaint in check(path, match[2], match[1] == "<"):
                    yield f"{path}:{number}: {complaint}"


# The rules themselves: a planted breach is seen.
assert list(check("broker/core/queue.c", "time.h", True))
assert list(check("broker/core/queue.c", "proto/wire.h", False))
assert list(check("broker/admin.c", "sqlite3.h", True))
assert list(check("cli/show.c", "broker/store.h", False))
assert list(check("base/text.c", "proto/message.h", False))
assert not list(check("broker/core/queue.c", "broker/core/core.h", False))

tree.finish(list(complaints(sys.argv[1])))
