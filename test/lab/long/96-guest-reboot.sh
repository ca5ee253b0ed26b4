#!/bin/bash
# guest-reboot: cold, with a card that is dead after every guest: each restart from inside has a live card. A shutdown stays one,
# a crash is what restart: says.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh
# shellcheck source=../guest.sh
. /opt/revived/test/lab/guest.sh

cat >/etc/revived/revived.yaml <<'YAML'
domains:
  win: {guest-reboot: cold, after-driver-install: 'off'}
  passing: {guest-reboot: pass, after-driver-install: 'off'}
  crasher: {restart: on-crash}
YAML
check "reload" systemctl reload revived
alive='31.0.1 1234:1111 8086:293e'
stays_off() { not wait_until 8 domain_is "$1" running; }
# The last is the handover for the start, the one before it the return.
last_return_healed() { revivectl history --limit 2 --json | grep -q 'wedged before.*healthy after'; }

before=$(state_of bochs)
check "a guest whose card is dead after it" define_guest win 31.0.1 wedge "$BOCHS.0" "$BOCHS.1"
check "start" virsh -q start win
check "it is up, its card alive" wait_until 120 is_up win 1 "$alive"
check "its reboot is made a stop" wait_until 20 journal_says 'A reboot from inside this guest is a stop'
for round in {2..6}; do
    tell win reboot
    check "reboot $((round - 1)): it is up again, its card alive" wait_until 220 is_up win "$round" "$alive"
    check "reboot $((round - 1)): it has the card" card_is_lent "$BOCHS" win
    check "reboot $((round - 1)): which was dead, and revived" last_return_healed
done
tell win poweroff
check "a shutdown from inside stays one" wait_until 60 domain_is win 'shut off'
check "home" wait_until 90 card_is_home "$BOCHS"
check "it stays off" stays_off win
check "as before" same "$before" "$(state_of bochs)"
check "start" virsh -q start win
check "it is up, its card alive" wait_until 120 is_up win 7 "$alive"
check "a shutdown by the power button stays one" virsh -q shutdown win --mode acpi
check "off" wait_until 60 domain_is win 'shut off'
check "home" wait_until 90 card_is_home "$BOCHS"
check "it stays off" stays_off win
check "it has booted as often as it was told to" [ "$(boots win)" = 7 ]
check "the definition is as it was" grep -q '<on_reboot>restart' <(virsh dumpxml --inactive win)

say "where a reboot is left to the guest"
check "a guest" define_guest passing 31.0.1 plain "$BOCHS.0" "$BOCHS.1"
check "start" virsh -q start passing
check "it is up" wait_until 120 is_up passing 1 "$alive"
qemu=$(cat /run/libvirt/qemu/passing.pid)
tell passing reboot
check "it is up again" wait_until 120 is_up passing 2 "$alive"
check "in the same QEMU" [ "$(cat /run/libvirt/qemu/passing.pid)" = "$qemu" ]
check "destroy" virsh -q destroy passing
check "home" wait_until 60 card_is_home "$BOCHS"

say "crashes"
check "a guest that may be started again" define_domain crasher plain yes "$BOCHS.0" "$BOCHS.1"
check "start" virsh -q start crasher
# runs_anew PID: another QEMU than that one has it, and the start is over: one that dies in its start is not tried again
runs_anew() { domain_is crasher running && [[ $(</run/libvirt/qemu/crasher.pid) != "$1" ]] && card_is_lent "$BOCHS" crasher; }
for round in {1..3}; do
    qemu=$(</run/libvirt/qemu/crasher.pid)
    check "crash $round" kill -KILL "$qemu"
    check "crash $round: it is started again" wait_until 120 runs_anew "$qemu"
done
check "crash 4" kill -KILL "$(</run/libvirt/qemu/crasher.pid)"
check "that is too often, and said" wait_until 60 has_finding 'stays off: starting it over and over'
check "home" wait_until 60 card_is_home "$BOCHS"
check "it stays off" stays_off crasher
check "as before" same "$before" "$(state_of bochs)"
finish
