#!/bin/sh
# Every planted fault must be caught by some seed; without a plant the same build must pass.
sim=$1
count=0
report() { # ok?, name
	count=$((count + 1))
	echo "$1 $count - $2"
}

if "$sim" --seeds 20 >/dev/null 2>&1; then
	report ok "nothing planted, nothing caught"
else
	report "not ok" "nothing planted, nothing caught"
fi
for plant in $("$sim" --plants); do
	said=$("$sim" --plant "$plant" --seeds 300 2>&1)
	code=$?
	case $code,$said in
	1,*"FAILED seed="*) report ok "$plant is caught: $(echo "$said" | head -n 1)" ;;
	*) report "not ok" "$plant is not caught (exit $code): $said" ;;
	esac
done
echo "1..$count"
