#!/bin/bash
# A card with a reset procedure of its own, by the stand-in for vendor-reset: loaded before the card is lent, chosen and read
# back, judged by what it says and by the card. Where it is missing, refused, gone or lies, the next rung follows.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh
# shellcheck source=../tracing.sh
. /opt/revived/test/lab/tracing.sh

module=revived_lab_reset
is_loaded() { [[ $(<"/sys/module/$module/initstate") == live ]]; }
methods() { cat "/sys/bus/pci/devices/$ATI.0/reset_method"; }
switch() { echo "$2" >"/sys/module/$module/parameters/$1"; }
# How often the module was called to reset the card.
calls() { journalctl -b -k -o cat --no-pager | grep -c "$ATI.0: AMD_LAB: performing reset"; }
was_called_since() { (($(calls) > $1)); }
is_in_doubt() { [[ $(card_state "$ATI") == stranded && $(card_health "$ATI") == suspect ]]; }
module_state() { lab-module "$1"; }
start_and_stop() {
    check "$1: start" virsh -q start "$2"
    check "$1: destroy" virsh -q destroy "$2"
    check "$1: home, alive" wait_until 90 card_is_home "$ATI"
    check "$1: as before" same "$before" "$(state_of ati)"
}

# In this order, whatever worked before.
cat >/etc/revived/revived.yaml <<YAML
cards:
  "$ATI":
    reset-module: $module
    ladder: [device_specific, remove-rescan, slot-power]
YAML
check "reload" systemctl reload revived
define_domain plain plain yes "$ATI.0" "$ATI.1"
define_domain wedger wedge yes "$ATI.0" "$ATI.1"
before=$(state_of ati)

check "nobody has loaded it" not is_loaded
check "the card starts with the kernel's own method" [ "$(methods)" = bus ]
check "start" virsh -q start plain
check "it was loaded for that" is_loaded
check "the method is chosen" [ "$(methods)" = device_specific ]
check "the kernel's own reset at open went through it" was_called_since 0
called=$(calls)
check "destroy" virsh -q destroy plain
check "home, alive" wait_until 60 card_is_home "$ATI"
check "and at close" was_called_since "$called"
check "as before" same "$before" "$(state_of ati)"
say "reset_method at home: $(methods)"

say "a card that is dead after each guest, and whole after its own reset"
switch keep 1
for round in {1..6}; do
    called=$(calls)
    start_and_stop "round $round" wedger
    check "round $round: its own reset healed it" rung_was device_specific 'done' 'returned 0' ' healthy: '
    check "round $round: what it found before is not held against it" not grep -F 'its own log says' <(last_steps)
    check "round $round: and was done" was_called_since "$called"
done
say "the same, and the reset leaves BARs that are not its own"
switch keep 0
for round in {7..10}; do
    start_and_stop "round $round" wedger
    check "round $round: the BARs were seen" rung_was device_specific failed 'returned 0' 'BAR 0'
    check "round $round: the next rung mended it" rung_was remove-rescan 'done'
done

say "its own reset says 0, and nothing was reset"
switch fail 1
check "dead" lab-wedge ati
check "the ladder revives it" revivectl reset "$ATI" --yes
check "seen through" rung_was device_specific failed 'failed to reset device' 'wedged'
check "the next rungs followed" rung_was slot-power 'done'
check "home, alive" wait_until 60 card_is_home "$ATI"
check "as before" same "$before" "$(state_of ati)"
say "the same on a card that is alive: only the log tells"
check "a reset by that rung alone fails" not revivectl reset "$ATI" --rung device_specific --yes
check "for that reason" rung_was device_specific failed 'failed to reset device'
check "what may be half reset is not given back to the host" is_in_doubt
# Not the slot's power: QEMU takes a live card out of a slot that is switched off (pcie_cap_slot_do_unplug).
switch fail 0
switch keep 1
check "the whole ladder is asked" revivectl reset "$ATI" --yes
check "a reset that worked ends the doubt" rung_was device_specific 'done' ' healthy: '
check "home, alive" wait_until 60 card_is_home "$ATI"
check "as before" same "$before" "$(state_of ati)"

say "unloaded while a guest has the card"
check "start" virsh -q start wedger
check "the method is chosen" [ "$(methods)" = device_specific ]
check "unload" rmmod "$module"
check "destroy" virsh -q destroy wedger
check "home, alive" wait_until 90 card_is_home "$ATI"
check "it is said" grep -Eq 'not loaded' <(last_steps)
check "the next rungs followed" rung_was slot-power 'done'
check "as before" same "$before" "$(state_of ati)"

for state in refused missing; do
    say "a module that is $state"
    check "$state" module_state "$state"
    check "$state: the start goes on without it" virsh -q start wedger
    check "$state: and says so" step_was reset-module 'done' 'device_specific is left out'
    check "$state: the card has another method" [ "$(methods)" != device_specific ]
    check "$state: destroy" virsh -q destroy wedger
    check "$state: home, alive" wait_until 90 card_is_home "$ATI"
    check "$state: its own reset was not tried" no_rung device_specific
    check "$state: the next rungs followed" rung_was slot-power 'done'
    check "$state: as before" same "$before" "$(state_of ati)"
done
check "there" module_state there
start_and_stop "with it" plain
check "it is loaded again" is_loaded
finish
