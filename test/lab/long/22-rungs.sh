#!/bin/bash
# Every rung that this machine can do: it heals its card or honestly says that it did not, and kprobes show which reset the
# kernel really did.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh
# shellcheck source=../tracing.sh
. /opt/revived/test/lab/tracing.sh

check "kprobes on the kernel's resets" trace_resets
# What worked before goes first otherwise.
cat >/etc/revived/revived.yaml <<YAML
cards:
  "$BOCHS": { ladder: [subordinate, remove-rescan, slot-power] }
  "$FLR": { ladder: [flr, pm, remove-rescan, slot-power] }
YAML
check "reload" systemctl reload revived

# heals CARD RUNG EVENT...: a rung that is asked for on a healthy card does what it says, and the card is home as before
heals() {
    local card=$1 slot=${1^^} rung=$2 before
    slot=${!slot}
    before=$(state_of "$card")
    forget_resets
    check "$rung of a healthy $card" revivectl reset "$slot" --rung "$rung" --yes
    check "$rung: it did just that: ${*:3}" ran "${@:3}"
    check "$rung: it is written down" rung_was "$rung" 'done'
    check "$rung: $card is home" wait_until 60 card_is_home "$slot"
    check "$rung: as before" same "$before" "$(state_of "$card")"
}
heals flr flr flr
heals flr pm pm
heals xhci bus bus secondary
heals bochs subordinate subordinate secondary
heals switch subordinate subordinate secondary
heals bochs remove-rescan remove remove rescan

say "a dead card without a power-management capability: the kernel says that it was reset"
before=$(state_of bochs)
lab-wedge bochs
forget_resets
check "the ladder revives it" revivectl reset "$BOCHS" --yes
check "in this order" ran subordinate secondary remove remove rescan power_off power_on
check "the false success is seen as one" rung_was subordinate failed 'returned 0' 'all ones|wedged'
check "the rescan did not find it, and says so" rung_was remove-rescan failed 'did not come back'
check "the power of the slot healed it" rung_was slot-power 'done'
check "home" wait_until 60 card_is_home "$BOCHS"
check "as before" same "$before" "$(state_of bochs)"

say "a card that answers, with BARs that are not its own"
lab-wedge bochs
lab-unwedge bochs
forget_resets
check "the ladder mends it" revivectl reset "$BOCHS" --yes
check "a reset restores what it found: the wrong BARs are seen" rung_was subordinate failed 'BAR 0'
check "a rescan gives it new ones" rung_was remove-rescan 'done'
check "in this order" ran subordinate secondary remove remove rescan
check "home" wait_until 60 card_is_home "$BOCHS"
check "as before" same "$before" "$(state_of bochs)"

say "a card that gets no memory in a rescan"
lab-wedge upstream
lab-unwedge upstream
remove upstream
rescan
check "it answers" [ "$(header_of "$SWITCH.0")" = 11111234 ]
head -n 3 "/sys/bus/pci/devices/$SWITCH.0/resource" | sed 's/^/# resource: /'
check "the rung does not take that for health" not revivectl reset "$SWITCH" --rung remove-rescan --yes
check "and says what is missing" rung_was remove-rescan failed 'BAR [0-9] has no address'
echo 1 >"/sys/bus/pci/devices/$UPSTREAM_PORT/remove"
rescan
check "with the port above it new it is whole" revivectl reset "$SWITCH" --rung remove-rescan --yes
check "home" wait_until 60 card_is_home "$SWITCH"

say "a card that dies right before its function-level reset: the kernel waits 65 s for it"
before=$(state_of flr)
wedge_when flr flr
forget_resets
check "the ladder revives it inside its budget" in_time 200000 revivectl reset "$FLR" --yes
# Not in a check, which is a shell of its own.
wait "$wedging"
check "it died then" [ $? = 0 ]
check "in this order" ran flr remove rescan power_off power_on
check "the dead reset is seen" rung_was flr failed 'ENOTTY after [67][0-9]\.' 'wedged|all ones'
check "the power of the slot healed it" rung_was slot-power 'done'
check "home" wait_until 60 card_is_home "$FLR"
check "as before" same "$before" "$(state_of flr)"

# In the end, and not with bochs: after a sleep the kernel has hung when it unbound the driver of that one.
say "the whole host sleeps for a dead card"
before=$(state_of ati)
lab-wedge ati
forget_resets
if [[ $(uname -r) == 6.1.* ]]; then
    # Nobody looks into the slot at the wake-up (pciehp_device_replaced is of 6.11), and the kernel gives it back the power switch that
    # the emulated death consists of: the rung is done, helps nothing, and says so.
    check "the rung cannot revive it" not revivectl reset "$ATI" --rung suspend --yes
    check "in this order" ran suspend remove remove rescan
    check "it is written down" rung_was suspend failed 'did not come back'
    check "the host did sleep" grep -qx 1 /sys/power/suspend_stats/success
    check "the ladder revives it" revivectl reset "$ATI" --yes
    check "by the power of the slot" rung_was slot-power 'done'
else
    check "the rung revives it" revivectl reset "$ATI" --rung suspend --yes
    check "in this order" ran suspend remove remove rescan
    check "it is written down" rung_was suspend 'done' 'healthy'
    check "the host did sleep" grep -qx 1 /sys/power/suspend_stats/success
fi
check "home" wait_until 60 card_is_home "$ATI"
check "as before" same "$before" "$(state_of ati)"
finish
