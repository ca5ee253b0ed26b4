#!/bin/bash
# The assertions that the simulated kernel is held to in `make test-unit`, on this real kernel. Without those that wait 70 s
# for each reset of a dead card: `node /opt/revived/build/test/sim/conformance-main.mjs` in `lab shell` runs all.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh

# The daemon looks at cards, and would be in the way of what is tried here.
check "the daemon is stopped" systemctl stop revived
check "nobody starts it" systemctl mask --runtime revived
# Each line `ok N - NAME` or `not ok N - NAME` of the program is one check.
results=$(mktemp /run/lab/conformance.XXXXXX)
conformance() { node /opt/revived/build/test/sim/conformance-main.mjs --quick >"$results" 2>&1 || :; }
check "it ends in time" conformance
check "it ran to its end" [ "$(grep -Ec '^(not )?ok ' "$results")" = "$(sed -n 's/^1\.\.//p' "$results")" ]
while read -r line; do
    check "${line#* - }" [ "${line%% *}" = ok ]
done < <(grep -E '^(not )?ok ' "$results")
grep '^#' "$results"
finish
