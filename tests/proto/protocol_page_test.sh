#!/bin/sh
# docs/protocol.md must hold the tables that follow from messages.def.
# Usage: protocol_page_test.sh PROTOCOL_TABLES PAGE [--write]
tables=$1 page=$2
wanted=$(mktemp) && got=$(mktemp) && whole=$(mktemp) || exit 1
trap 'rm -f "$wanted" "$got" "$whole"' EXIT

"$tables" >"$wanted" || exit 1
if [ "$3" = --write ]; then
	sed '/^<!-- tables -->$/q' "$page" >"$whole"
	{ echo; cat "$wanted"; echo; } >>"$whole"
	sed -n '/^<!-- end of tables -->$/,$p' "$page" >>"$whole"
	cat "$whole" >"$page"
	exit 0
fi
sed -n '/^<!-- tables -->$/,/^<!-- end of tables -->$/p' "$page" | sed '1,2d;$d' | sed '$d' >"$got"
if ! diff -u "$got" "$wanted"; then
	echo "docs/protocol.md differs from messages.def; write it anew with" >&2
	echo "  tests/proto/protocol_page_test.sh BUILD/tests/proto/protocol_tables docs/protocol.md --write" >&2
	exit 1
fi
