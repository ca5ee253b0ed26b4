#!/bin/bash
# Guest agents that come and go with what they say, hang, or lie: no reboot of the host comes of it, and the daemon stays as it is.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh
# shellcheck source=../guest.sh
. /opt/revived/test/lab/guest.sh

# A change that is believed would reboot the machine at the guest's next restart.
settings() {
    cat >/etc/revived/revived.yaml <<YAML
driver-poll-seconds: 1
reboot: {grace-seconds: 1, shutdown-seconds: 2}
domains: {win: {after-driver-install: $1}}
YAML
    systemctl reload revived
}
check "auto" settings auto
daemon=$(systemctl show --property MainPID --value revived)
resident() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$daemon/status"; }
version_is() { [[ $(domain_property win DriverVersion) == "$1" ]]; }
# asked_times N: about the version
asked_times() { (($(grep -c '^asked .*"DriverVersion"' "$guests/win.said") >= $1)); }
nothing_changed() { reboot_is '' && [[ ! -e /run/reboot-required ]]; }

before=$(state_of bochs)
check "a guest" define_guest win 31.0.1 plain "$BOCHS.0" "$BOCHS.1"
check "start" virsh -q start win
check "it is up, with its card" wait_until 120 is_up win 1 '31.0.1 1234:1111 8086:293e'
check "its agent answers" wait_until 20 virsh -q qemu-agent-command win '{"execute":"guest-ping"}'
check "its driver is known" wait_until 60 version_is 31.0.1

say "two versions by turns"
tell win version 31.0.1 31.0.2
forget win
check "it is asked ten times" wait_until 120 asked_times 10
check "no change" nothing_changed
tell win reboot
check "its restart is its own" wait_until 120 is_up win 2
check "it has its card" card_is_lent "$BOCHS" win
check "no change still" nothing_changed
tell win version 31.0.1
resident_before=$(resident)

# said_times PATTERN: how often the daemon has
said_times() { journalctl -b -u revived -o cat --no-pager | grep -c -- "$1"; }
says_once_more() { (($(said_times "$1") > $2)); }
# What is said of each, in the log and as a finding; nothing where the agent is only slow, or not for us.
for agent in 'hang|cannot be read' 'mute|cannot be read' 'garbage|cannot be read' 'flood 16|cannot be read' 'flood 3|cannot be read' \
    'lie-text|cannot be read' 'lie-huge|cannot be read' 'lie-other|cannot be read' 'lie-never|' 'blocked|guest-exec is blocked' 'linux|'; do
    what=${agent#*|} agent=${agent%|*}
    say "agent $agent"
    # What was said of the one before is gone as soon as the agent behaves: what is there below is of this one.
    check "$agent: the agent behaves before it" tell win agent ok
    check "$agent: nothing is said of it" wait_until 90 not has_finding 'driver installations are not noticed'
    check "$agent: nor that it cannot be read" wait_until 90 not has_finding 'cannot be read'
    before_it=$(said_times "$what")
    forget win
    check "$agent: it begins" tell win agent "$agent"
    check "$agent: it is connected" wait_until 20 agent_is win connected
    check "$agent: it is asked" wait_until 60 asked win guest-
    if [[ $what ]]; then
        check "$agent: that is said" wait_until 90 says_once_more "$what" "$before_it"
        check "$agent: it is a finding" has_finding "$what"
    fi
    check "$agent: the daemon answers" in_time 8000 libvirt_is_connected
    check "$agent: so does libvirt" in_time 10000 virsh -q list
    check "$agent: no change" nothing_changed
done
forget win
tell win agent linux
wait_until 5 false
check "another system is not asked for its drivers" not asked win guest-exec
check "what the daemon has in memory did not grow by 64 MiB" [ "$(resident)" -lt $((resident_before + 65536)) ]
check "the agent behaves again" tell win agent ok
check "nothing is said of it any more" wait_until 90 not has_finding 'cannot be read'
check "ask" settings ask
tell win version 31.0.3
# Pending at once where its restart is less than five minutes ago: that counts as the install's.
is_noticed() { reboot_is reboot-pending || reboot_is driver-changed; }
check "and a real change is noticed" wait_until 60 is_noticed
check "which can be forgotten" revivectl reboot cancel
check "nothing is pending" reboot_is ''
check "it is the same daemon" [ "$(systemctl show --property MainPID --value revived)" = "$daemon" ]

say "an agent that hangs does not keep the card"
tell win agent hang
check "destroy" in_time 30000 virsh -q destroy win
check "home" wait_until 60 card_is_home "$BOCHS"
check "as before" same "$before" "$(state_of bochs)"
finish
