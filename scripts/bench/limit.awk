# Prints the output of "go test -bench", and fails unless the least of what is
# reported in a unit keeps within a limit: whatever else the machine does makes
# none of it less.
#
#	go test -bench P256 -count 5 ./pki | awk -v unit=times -v limit=1.5 -f limit.awk
{ print }
{
	for (i = 2; i <= NF; i++)
		if ($i == unit && (!n++ || $(i - 1) + 0 < least)) least = $(i - 1) + 0
}
END {
	if (!n) { print "bench: error: nothing was reported in " unit; exit 1 }
	if (least > limit) { print "bench: error: the least is " least " " unit ", the limit " limit; exit 1 }
	print "the least is " least " " unit ", the limit " limit
}
