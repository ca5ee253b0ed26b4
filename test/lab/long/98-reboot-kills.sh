#!/bin/bash
# The daemon is killed in each state on the way to a reboot of the host: it goes on from there, the host reboots once, and each guest
# starts once.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh
# shellcheck source=../guest.sh
. /opt/revived/test/lab/guest.sh
# shellcheck source=../stages.sh
. /opt/revived/test/lab/stages.sh

# is_back PID: another than that one
is_back() { systemctl -q is-active revived && [[ $(systemctl show --property MainPID --value revived) != "$1" ]] && libvirt_is_connected; }
# killed WORD: in this state
killed() {
    local daemon
    daemon=$(systemctl show --property MainPID --value revived)
    check "killed: $1" kill -KILL "$daemon"
    check "killed: $1: it is back" wait_until 60 is_back "$daemon"
}
is_stopping() { [[ $(manager_property RebootReason) == *"shutting down $1"* ]]; }
is_announced() { [[ $(manager_property RebootAt) != 0 ]]; }
version_is() { [[ $(domain_property win DriverVersion) == "$1" ]]; }

say "boot $stage"
check "the daemon runs" wait_until 120 systemctl is-active revived
case $stage in
1)
    # One kill after the other is what is tried, not systemd's limit for them.
    mkdir -p /etc/systemd/system/revived.service.d
    printf '[Unit]\nStartLimitBurst=1000\n' >/etc/systemd/system/revived.service.d/lab.conf
    # Reboots wait for those who delay them: time to see that state.
    mkdir -p /etc/systemd/logind.conf.d
    printf '[Login]\nInhibitDelayMaxSec=40\n' >/etc/systemd/logind.conf.d/lab.conf
    systemctl daemon-reload
    systemctl restart systemd-logind
    cat >/etc/revived/revived.yaml <<'YAML'
driver-poll-seconds: 1
reboot: {grace-seconds: 30, shutdown-seconds: 40}
domains:
  win: {after-driver-install: ask}
  side: {on-refusal: destroy}
YAML
    check "reload" systemctl reload revived
    check "a guest with a card" define_guest win 31.0.1 plain "$BOCHS.0" "$BOCHS.1"
    check "a guest without" define_guest side 31.0.1 plain
    check "start" virsh -q start win
    check "start of the other" virsh -q start side
    check "it is up" wait_until 120 is_up win 1
    check "the other too" wait_until 120 is_up side 1
    check "its driver is known" wait_until 60 version_is 31.0.1
    # It takes the whole time to stop: the other states are seen meanwhile.
    tell side shutdown refuse

    check "arm" revivectl reboot arm win
    check "armed" reboot_is armed
    killed armed
    check "armed still" wait_until 30 reboot_is armed
    check "its driver is known again" wait_until 60 version_is 31.0.1
    tell win version 31.0.2
    check "the new driver is noticed" wait_until 60 reboot_is driver-changed
    killed driver-changed
    check "changed still" wait_until 30 reboot_is driver-changed

    cat /proc/sys/kernel/random/boot_id >/var/lib/lab/boot
    next_stage
    systemd-inhibit --what=shutdown --mode=delay --who=lab --why=look tail -f /dev/null &
    tell win reboot
    check "the guest is stopped in its restart" wait_until 30 domain_is win 'shut off'
    killed guest-restarting
    check "the guest stays off" domain_is win 'shut off'
    check "the other is asked to shut down" wait_until 60 is_stopping side
    killed stopping
    check "the other is ended at last" wait_until 120 domain_is side 'shut off'
    check "it is announced" wait_until 60 is_announced
    killed grace
    check "it is announced still" wait_until 60 is_announced
    check "the guest did not boot again" [ "$(boots win)" = 1 ]
    check "the host reboots" wait_until 120 reboot_is rebooting
    killed rebooting
    next_stage
    say "the host reboots by itself"
    # The limit of the machine ends it if it does not.
    tail -f /dev/null
    ;;
2)
    check "the host has rebooted" [ "$(</proc/sys/kernel/random/boot_id)" != "$(</var/lib/lab/boot)" ]
    # In the middle of the starts, if it is not too late for that.
    wait_until 60 domain_is win running
    killed resuming
    check "the guest runs again, with its card and the new driver" wait_until 180 is_up win 2 '31.0.2 1234:1111 8086:293e'
    check "so does the other" wait_until 180 is_up side 2
    check "it says so" wait_until 60 reboot_is resumed
    killed resumed
    check "it says so still" wait_until 60 reboot_is resumed
    check "no reboot is needed any more" [ ! -e /run/reboot-required ]
    check "each has booted once more" [ "$(boots win) $(boots side)" = '2 2' ]
    check "the card is lent" card_is_lent "$BOCHS" win

    say "ask, and nobody has agreed"
    check "its driver is known" wait_until 60 version_is 31.0.2
    tell win version 31.0.3
    check "the new driver is noticed" wait_until 60 reboot_is driver-changed
    tell win reboot
    check "the guest's restart is its own" wait_until 120 is_up win 3 31.0.3
    check "the reboot is pending" wait_until 60 reboot_is reboot-pending
    killed reboot-pending
    check "it is pending still" wait_until 30 reboot_is reboot-pending
    check "it is marked for others" [ -e /run/reboot-required ]
    check "the guest runs on" domain_is win running
    finish
    ;;
*)
    check "no other reboot" false
    finish
    ;;
esac
