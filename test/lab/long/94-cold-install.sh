#!/bin/bash
# The way of the README for a card whose guests' reboots are stops: arm, and the guest's own restart, which is a stop, is the reboot of
# the host. It is not started again before it, and once after it.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh
# shellcheck source=../guest.sh
. /opt/revived/test/lab/guest.sh
# shellcheck source=../stages.sh
. /opt/revived/test/lab/stages.sh

is_announced() { [[ $(manager_property RebootAt) != 0 ]]; }
alive='1234:1111 8086:293e'

say "boot $stage"
check "the daemon runs" wait_until 120 systemctl is-active revived
case $stage in
1)
    cat >/etc/revived/revived.yaml <<'YAML'
reboot: {grace-seconds: 45, shutdown-seconds: 20}
domains: {win: {guest-reboot: cold}}
YAML
    check "reload" systemctl reload revived
    check "a guest with a card" define_guest win 31.0.1 plain "$BOCHS.0" "$BOCHS.1"
    check "start" virsh -q start win
    check "it is up" wait_until 120 is_up win 1 "31.0.1 $alive"
    check "its reboot is made a stop" wait_until 30 journal_says 'A reboot from inside this guest is a stop'
    check "arm" revivectl reboot arm win
    check "armed" reboot_is armed
    tell win version 31.0.2
    cat /proc/sys/kernel/random/boot_id >/var/lib/lab/boot
    next_stage
    tell win reboot
    check "the guest is off" wait_until 30 domain_is win 'shut off'
    check "the reboot is announced" wait_until 30 is_announced
    check "its card is home" wait_until 30 card_is_home "$BOCHS"
    check "it is not started again before the reboot" not wait_until 8 domain_is win running
    check "it did not boot again" [ "$(boots win)" = 1 ]
    next_stage
    say "the host reboots by itself"
    # The limit of the machine ends it if it does not.
    tail -f /dev/null
    ;;
2)
    check "the host has rebooted" [ "$(</proc/sys/kernel/random/boot_id)" != "$(</var/lib/lab/boot)" ]
    check "the guest runs again, with its card and the new driver" wait_until 180 is_up win 2 "31.0.2 $alive"
    check "the card is lent" card_is_lent "$BOCHS" win
    check "it says so" wait_until 30 reboot_is resumed
    check "its reboot is a stop again" wait_until 30 journal_says 'A reboot from inside this guest is a stop'
    check "it is started once" [ "$(boots win)" = 2 ]
    check "no reboot is needed any more" [ ! -e /run/reboot-required ]
    finish
    ;;
*)
    check "no other reboot" false
    finish
    ;;
esac
