#!/bin/bash
# The daemon is ended with SIGKILL before and after its writes to a real kernel, in the handover and in the return. In the
# end the card is lent to a domain that runs, or home as it was.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh
# shellcheck source=../faulty-dd.sh
. /opt/revived/test/lab/faulty-dd.sh

points=0
was_killed() { [[ ! -e /run/revived/lab/armed ]]; }
# lent_or_home DOMAIN: one of the two, and nothing in between
lent_or_home() {
    if domain_is "$1" running; then
        card_is_lent "$BOCHS" "$1" && card_is_on_vfio bochs
    else
        card_is_home "$BOCHS" && [[ $(state_of bochs) == "$before" ]]
    fi
}

before=$(state_of bochs)
define_domain guest plain yes "$BOCHS.0" "$BOCHS.1"
faulty_dd
no_fault
check "start, to count" virsh -q start guest
taking=$(writes)
no_fault
check "destroy, to count" virsh -q destroy guest
check "home" wait_until 60 card_is_home "$BOCHS"
returning=$(writes)
say "$taking writes take the card, $returning give it back"

for ((write = 1; write <= taking; write++)); do
    for when in before after; do
        points=$((points + 1))
        at_write "$write" "$when"
        virsh -q start guest 2>&1 | sed 's/^/# /'
        check "handover, $when write $write: the daemon was killed" was_killed
        check "handover, $when write $write: lent or home" wait_until 60 lent_or_home guest
        if domain_is guest running; then virsh -q destroy guest; fi
        check "handover, $when write $write: home" wait_until 60 card_is_home "$BOCHS"
        check "handover, $when write $write: as before" same "$before" "$(state_of bochs)"
    done
done
for ((write = 1; write <= returning; write += 5)); do
    when=$([[ $((write % 2)) == 1 ]] && echo after || echo before)
    points=$((points + 1))
    check "return, $when write $write: start" virsh -q start guest
    at_write "$write" "$when"
    check "return, $when write $write: destroy" virsh -q destroy guest
    check "return, $when write $write: the daemon was killed" wait_until 30 was_killed
    check "return, $when write $write: home" wait_until 90 card_is_home "$BOCHS"
    check "return, $when write $write: as before" same "$before" "$(state_of bochs)"
done
say "the daemon was killed at $points points"
check "at least twelve points" [ "$points" -ge 12 ]
check "history tells of the jobs that were cut off" grep -q 'daemon was ended during it' <(revivectl history)
finish
