#!/bin/sh
# The strict main of the test programs must notice what Criterion lets through.
# Usage: harness_test.sh LEAKING ORPHANING HONEST
leaking=$1 orphaning=$2 honest=$3
echo 1..4

# expect WANTED NAME MESSAGE COMMAND...: the command passes or fails as wanted, and says MESSAGE.
expect() {
	wanted=$1 name=$2 message=$3
	shift 3
	output=$("$@" --tap=- --always-succeed 2>&1 </dev/null)
	result=$?
	if [ "$wanted" = pass ] && [ $result = 0 ]; then
		echo "ok $name"
	elif [ "$wanted" = fail ] && [ $result != 0 ] && [ -z "${output##*"$message"*}" ]; then
		echo "ok $name"
	else
		echo "not ok $name"
		echo "$output" | sed "s/^/# exit $result: /"
	fi
}

expect pass an_honest_test_passes '' "$honest"
expect fail a_filter_that_matches_nothing_fails 'no test ran' "$honest" --filter 'nothing/*'
expect fail a_leak_fails 'sanitizer report' "$leaking"
expect fail an_orphan_fails 'outlived its test' "$orphaning"
