#!/bin/bash
# A driver is installed in a guest, and the guest restarts itself: the host reboots where that is agreed to, and what ran runs again,
# once. Without consent, after a cancel, and where a domain does not shut down, it does not.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh
# shellcheck source=../guest.sh
. /opt/revived/test/lab/guest.sh
# shellcheck source=../stages.sh
. /opt/revived/test/lab/stages.sh

# settings POLICY GRACE
settings() {
    cat >/etc/revived/revived.yaml <<YAML
driver-poll-seconds: 1
reboot: {grace-seconds: $2, shutdown-seconds: 20}
domains: {win: {after-driver-install: $1}}
YAML
    systemctl reload revived
}
version_is() { [[ $(domain_property win DriverVersion) == "$1" ]]; }
is_required() { [[ -e /run/reboot-required ]] && grep -qx revived /run/reboot-required.pkgs; }
is_announced() { [[ $(manager_property RebootAt) != 0 ]]; }
boot_is() { [[ $(</proc/sys/kernel/random/boot_id) == "$(</var/lib/lab/boot)" ]]; }

say "boot $stage"
check "the daemon runs" wait_until 120 systemctl is-active revived
case $stage in
1)
    check "auto" settings auto 20
    check "a guest with a card" define_guest win 31.0.1 plain "$BOCHS.0" "$BOCHS.1"
    check "a guest without" define_guest side 31.0.1 plain
    check "start" virsh -q start win
    check "start of the other" virsh -q start side
    check "it is up" wait_until 120 is_up win 1 '31.0.1 1234:1111 8086:293e'
    check "the other too" wait_until 120 is_up side 1
    check "its driver is known" wait_until 60 version_is 31.0.1
    check "nothing is pending" reboot_is ''
    tell win version 31.0.2
    check "the new driver is noticed" wait_until 60 reboot_is driver-changed
    check "no reboot is needed before the guest restarts" [ ! -e /run/reboot-required ]
    cat /proc/sys/kernel/random/boot_id >/var/lib/lab/boot
    next_stage
    tell win reboot
    check "the guest is stopped in its restart" wait_until 30 domain_is win 'shut off'
    check "the other is shut down" wait_until 60 domain_is side 'shut off'
    check "the reboot is announced" wait_until 30 is_announced
    check "it is marked for others" is_required
    check "it did not boot again" [ "$(boots win)" = 1 ]
    next_stage
    say "the host reboots by itself"
    # The limit of the machine ends it if it does not.
    tail -f /dev/null
    ;;
2)
    check "the host has rebooted" not boot_is
    check "the guest runs again, with its card and the new driver" wait_until 180 is_up win 2 '31.0.2 1234:1111 8086:293e'
    check "so does the other" wait_until 180 is_up side 2
    check "the card is lent" card_is_lent "$BOCHS" win
    check "it says so" wait_until 30 reboot_is resumed
    check "no reboot is needed any more" [ ! -e /run/reboot-required ]
    check "its driver is known" wait_until 60 version_is 31.0.2
    cat /proc/sys/kernel/random/boot_id >/var/lib/lab/boot

    say "auto once more in the same boot: asks"
    tell win version 31.0.3
    check "the new driver is noticed" wait_until 60 reboot_is driver-changed
    tell win reboot
    check "the guest's restart is its own" wait_until 120 is_up win 3 31.0.3
    check "the reboot is pending" wait_until 60 reboot_is reboot-pending
    check "it is marked for others" is_required
    check "it is a finding" has_finding host-reboot-pending
    check "it says what is waited for" grep -q 'revivectl reboot now' <(revivectl reboot status)

    say "a domain that does not shut down"
    tell side shutdown refuse
    check "consent" revivectl reboot now --yes
    check "the guest is shut down" wait_until 60 domain_is win 'shut off'
    check "the reboot is given up, with the reason" wait_until 60 journal_says 'given up: Domain side has not shut down'
    check "what was stopped for it runs again" wait_until 120 is_up win 4
    check "the one that refused goes on" is_up side 2
    check "the reboot stays pending" reboot_is reboot-pending

    say "a cancel in the grace period"
    tell side shutdown obey
    settings ask 300
    check "consent" revivectl reboot now --yes
    check "the others are shut down and it is announced" wait_until 90 is_announced
    check "both are off" domain_is side 'shut off'
    check "cancel" revivectl reboot cancel
    check "the guest runs again" wait_until 180 is_up win 5
    check "so does the other" wait_until 180 is_up side 3
    check "nothing is announced" not is_announced
    check "the reboot stays pending" reboot_is reboot-pending
    check "cancel once more: forgotten" revivectl reboot cancel
    check "no mark" wait_until 10 [ ! -e /run/reboot-required ]

    say "ask, and nobody answers"
    # The driver of its last run; the next is a change.
    check "its driver is known" wait_until 60 version_is 31.0.3
    tell win version 31.0.4
    check "the new driver is noticed" wait_until 60 journal_says '31.0.3 -> 31.0.4'
    tell win reboot
    check "the guest's restart is its own" wait_until 120 is_up win 6 31.0.4
    check "the reboot is pending" wait_until 60 reboot_is reboot-pending
    check "it is marked for others" is_required
    check "it is a finding" has_finding host-reboot-pending
    check "the host has not rebooted" boot_is
    check "the guests run" domain_is side running
    finish
    ;;
*)
    check "no other reboot" false
    finish
    ;;
esac
