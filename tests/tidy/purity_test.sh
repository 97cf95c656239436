#!/bin/sh
# The cores decide and do nothing else: what they ask of the world is memory, text and assertions.
# Usage: purity_test.sh COMPILER LIBRARY...
compiler=$1
shift

# Ours without input, output, clock or chance; then libc's; then what compilers add.
allowed='arena_[a-z_]*|memory_[a-z_]*|text_[a-z0-9_]*|table_hash|glob_[a-z]*|clock_text|clock_duration_text
message_[a-z_]*|record_[a-z_]*|entry_[a-z_]*|outcome_[a-z_]*|error_text|fail
mem(cmp|cpy|move|set|chr)|str(len|cmp|ncmp|chr|rchr|str|spn|cspn|dup|nlen|casecmp)
calloc|malloc|realloc|free|qsort|bsearch|v?snprintf|strto(k_r|l|ul|ll|ull)|exit
__assert_fail|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__(mem|str|v?snprintf)[a-z]*_chk'
pattern="^($(echo "$allowed" | tr '\n' '|'))\$"

# The symbols that an archive needs, does not define, and may not have.
impure() {
	nm "$1" | awk '$1 == "U" { print $2 } NF == 3 { print "defined", $3 }' |
		sed 's/@.*//' | sort -u >"$folder/all"
	sed -n 's/^defined //p' "$folder/all" | sort -u >"$folder/defined"
	grep -v '^defined ' "$folder/all" | sort -u >"$folder/needed"
	comm -23 "$folder/needed" "$folder/defined" | grep -Ev "$pattern"
}

folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
failed=0

# The check itself: a planted call is seen.
echo '#include <time.h>
long planted(void);
long planted(void) { return (long)time(0); }' >"$folder/planted.c"
$compiler -c -o "$folder/planted.o" "$folder/planted.c" && ar rcs "$folder/planted.a" "$folder/planted.o"
if [ "$(impure "$folder/planted.a")" != time ]; then
	echo "a planted time() was not noticed"
	failed=1
fi

if [ $# = 0 ]; then
	echo "no core to look at"
	failed=1
fi
for library; do
	found=$(impure "$library")
	if [ -n "$found" ]; then
		echo "$(basename "$library") is not pure: it needs" $found
		failed=1
	fi
done
exit $failed
