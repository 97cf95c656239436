#!/bin/sh
# Let a target look for what its corpus does not have: half an hour at night, a minute else.
# Usage: fuzz_test.sh TARGET CORPUS
target=$1 corpus=$2
seconds=${FETTLE_FUZZ_SECONDS:-60}
[ -z "$FETTLE_NIGHTLY" ] || seconds=${FETTLE_FUZZ_SECONDS:-1800}
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/new"

set --
[ ! -f "$corpus.dict" ] || set -- "-dict=$corpus.dict"
if "$target" -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=2048 \
	-print_final_stats=1 -artifact_prefix="$folder/" "$@" "$folder/new" "$corpus" \
	>"$folder/log" 2>&1; then
	grep -E '^stat::(number_of_executed_units|new_units_added)' "$folder/log"
	exit 0
fi
tail -n 60 "$folder/log"
for input in "$folder"/crash-* "$folder"/timeout-* "$folder"/oom-* "$folder"/leak-*; do
	[ ! -f "$input" ] || { echo "input, in base64:" && base64 "$input"; }
done
exit 1
