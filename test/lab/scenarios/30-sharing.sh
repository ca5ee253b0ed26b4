#!/bin/bash
# Scenarios (e) two domains with two cards at once, (f) two domains that want the same card, (g) a domain that passes only
# `.0`; then the other cards of the lab: the xHCI controller, the card with FLR, the one behind a switch; and rungs by hand.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh

# both COMMAND DOMAIN DOMAIN: at the same time
both() {
    local first second status=0
    virsh -q "$1" "$2" & first=$!
    virsh -q "$1" "$3" & second=$!
    wait "$first" || status=1
    wait "$second" || status=1
    return "$status"
}

before_bochs=$(state_of bochs)
before_ati=$(state_of ati)
define_domain one plain yes "$BOCHS.0" "$BOCHS.1"
define_domain two plain yes "$ATI.0" "$ATI.1"
check "(e) both start at once" both start one two
check "(e) the first is on vfio-pci" card_is_on_vfio bochs
check "(e) the second is on vfio-pci" card_is_on_vfio ati
check "(e) both stop at once" both destroy one two
check "(e) the first is home" wait_until 90 card_is_home "$BOCHS"
check "(e) the second is home" wait_until 90 card_is_home "$ATI"
check "(e) the first is as before" same "$before_bochs" "$(state_of bochs)"
check "(e) the second is as before" same "$before_ati" "$(state_of ati)"

define_domain rival plain yes "$BOCHS.0" "$BOCHS.1"
check "(f) the first has it" virsh -q start one
check "(f) the second is refused by name" refused_with 'revived: .*with domain one' virsh -q start rival
check "(f) the first still runs" domain_is one running
check "(f) the first still has it" card_is_lent "$BOCHS" one
check "(f) destroy" virsh -q destroy one
check "(f) home" wait_until 60 card_is_home "$BOCHS"
check "(f) now the second may have it" virsh -q start rival
check "(f) destroy the second" virsh -q destroy rival
check "(f) a start right behind it waits for the return and has it" virsh -q start one
check "(f) destroy" virsh -q destroy one
check "(f) home again" wait_until 60 card_is_home "$BOCHS"

define_domain half plain yes "$BOCHS.0"
check "(g) it starts" virsh -q start half
check "(g) the audio function went along" [ "$(driver_of "$BOCHS.1")" = vfio-pci ]
check "(g) the log says so" journal_says "$BOCHS.1 .*goes along"
check "(g) destroy" virsh -q destroy half
check "(g) home" wait_until 60 card_is_home "$BOCHS"
check "(g) as before" same "$before_bochs" "$(state_of bochs)"

for name in xhci flr switch; do
    slot=$(lab_slot "$name")
    before=$(state_of "$name")
    # shellcheck disable=SC2046 # one word per function is what is wanted
    define_domain "with-$name" plain yes $(functions "$name")
    check "$name: start" virsh -q start "with-$name"
    check "$name: on vfio-pci" card_is_on_vfio "$name"
    check "$name: destroy" virsh -q destroy "with-$name"
    check "$name: home" wait_until 60 card_is_home "$slot"
    check "$name: as before" same "$before" "$(state_of "$name")"
done

# kprobes tell which reset the kernel really did (facts/kernel.md 9.2). pcibios_reset_secondary_bus is a weak symbol, so no
# compiler inlines it: of pci_bridge_secondary_bus_reset the kernel of Debian 12 calls a copy.
tracing=/sys/kernel/tracing
printf 'p:flr pcie_flr\np:sbr pcibios_reset_secondary_bus\n' >"$tracing"/kprobe_events
echo 1 >"$tracing"/events/kprobes/enable
# did PROBE COMMAND...: the command succeeds and the kernel went through the probe meanwhile
did() {
    local probe=$1
    shift
    echo >"$tracing"/trace
    "$@" || return
    grep -q "$probe:" "$tracing"/trace
}
check "flr by hand, and it was one" did flr revivectl reset "$FLR" --rung flr --yes
check "pm by hand" revivectl reset "$FLR" --rung pm --yes
check "bus by hand on a function that is alone, and it was one" did sbr revivectl reset "$XHCI" --rung bus --yes
check "bus on a card with two functions is refused with the reason" \
    refused_with 'refuses it while .* shares the bus' revivectl reset "$BOCHS" --rung bus --yes
check "and the card was left alone" card_is_home "$BOCHS"
check "subordinate by hand, and it was a bus reset" did sbr revivectl reset "$BOCHS" --rung subordinate --yes
check "subordinate on the card behind a switch" did sbr revivectl reset "$SWITCH" --rung subordinate --yes
check "remove-rescan by hand" revivectl reset "$ATI" --rung remove-rescan --yes
check "ati is as before" same "$before_ati" "$(state_of ati)"
check "bochs is as before" same "$before_bochs" "$(state_of bochs)"

check "take by hand" revivectl take "$BOCHS"
check "it is on vfio-pci" card_is_on_vfio bochs
check "a domain cannot have it now" refused_with 'revived: .*a person' virsh -q start one
check "return by hand" revivectl return "$BOCHS"
check "home" wait_until 30 card_is_home "$BOCHS"
check "as before" same "$before_bochs" "$(state_of bochs)"
finish
