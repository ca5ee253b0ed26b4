#!/bin/bash
# Handover and return, over and over, with kills of the daemon, of libvirtd and of QEMU in between; in the end nothing is
# left behind. `90-soak.sh 1200 200` goes on for 1200 s or 200 cycles, whatever comes first, and half as long
# without a kill, for the figures of the daemon; 7 is the seed in `make test`.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh
limit=${1:-90} most=${2:-200} seed=${3:-7}
RANDOM=$seed

daemon() { systemctl show --property MainPID --value revived; }
# Between two of its lives it has the pid 0, and that would be all of us.
kill_daemon() {
    local pid
    pid=$(daemon)
    if ((pid > 1)); then kill -KILL "$pid"; fi
}
# kilobytes and descriptors of the daemon that runs
size_of_daemon() {
    local pid
    pid=$(daemon)
    printf '%s %s\n' "$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status")" "$(find "/proc/$pid/fd" -mindepth 1 | wc -l)"
}
all_home() { card_is_home "$BOCHS" && card_is_home "$ATI"; }

before_bochs=$(state_of bochs)
before_ati=$(state_of ati)
define_domain bochs plain yes "$BOCHS.0" "$BOCHS.1"
define_domain bochs-wedge wedge yes "$BOCHS.0" "$BOCHS.1"
define_domain ati plain no "$ATI.0" "$ATI.1"
mkdir -p /run/systemd/system/{libvirtd,revived}.service.d
for unit in libvirtd revived; do
    printf '[Unit]\nStartLimitBurst=1000\n' >"/run/systemd/system/$unit.service.d/lab.conf"
done
systemctl daemon-reload
check "a first cycle" virsh -q start bochs
virsh -q destroy bochs
check "home" wait_until 60 card_is_home "$BOCHS"

memory_first=0 descriptors_first=0
declare -A kills=([daemon]=0 [libvirtd]=0 [qemu]=0)
names=(bochs bochs-wedge ati)
cycles=0 refused=0 deadline=$((SECONDS + limit))
while ((SECONDS < deadline && cycles < most)); do
    name=${names[RANDOM % 3]}
    if virsh -q start "$name" >/run/lab/start.out 2>&1; then
        cycles=$((cycles + 1))
    else
        refused=$((refused + 1))
        sed 's/^/# /' /run/lab/start.out
    fi
    case $((RANDOM % 5)) in
    0) kills[daemon]=$((kills[daemon] + 1)); kill_daemon ;;
    1) kills[libvirtd]=$((kills[libvirtd] + 1)); systemctl kill --kill-whom=main --signal=KILL libvirtd ;;
    2) kills[qemu]=$((kills[qemu] + 1)); kill -KILL "$(cat "/run/libvirt/qemu/$name.pid" 2>/dev/null)" 2>/dev/null ;;
    esac
    # In the middle of the return as well.
    virsh -q destroy "$name" >/dev/null 2>&1
    if ((RANDOM % 4 == 0)); then kills[daemon]=$((kills[daemon] + 1)); kill_daemon; fi
    wait_until 120 all_home || { say "not home after cycle $cycles ($name)"; break; }
done
say "$cycles cycles, $refused starts refused, killed: ${kills[daemon]} times the daemon, ${kills[libvirtd]} libvirtd, ${kills[qemu]} QEMU; seed $seed"
check "some cycles" [ "$cycles" -ge 2 ]
check "every card is home" wait_until 120 all_home
check "bochs is as before" same "$before_bochs" "$(state_of bochs)"
check "ati is as before" same "$before_ati" "$(state_of ati)"
check "no domain runs" [ -z "$(virsh -q list --name)" ]
check "no lease is left" grep -q '"leases":\[\]' /run/revived/leases.json
check "no domain XML is left" [ -z "$(find /run/revived/hook -mindepth 1)" ]
check "no child of ours is left" not pgrep -x dd
check "the journal is small" [ "$(stat -c %s /var/lib/revived/journal.jsonl)" -lt 4500000 ]

# Flat over one life of the daemon, which the kills above make short. Its first cycles load what later ones have already.
pid=$(daemon)
check "a daemon runs" [ "$pid" -gt 1 ]
warm=3 flat=0 deadline=$((SECONDS + limit / 2))
while ((flat < warm + 5 || (SECONDS < deadline && flat < most / 2))); do
    if ((flat == warm)); then read -r memory_first descriptors_first < <(size_of_daemon); fi
    virsh -q start bochs >/run/lab/start.out 2>&1 || { sed 's/^/# /' /run/lab/start.out; break; }
    virsh -q destroy bochs
    wait_until 60 card_is_home "$BOCHS" || break
    flat=$((flat + 1))
    ((flat % 10)) || say "after $flat cycles: $(size_of_daemon) (kB, descriptors)"
done
check "cycles in one life of the daemon" [ "$flat" -ge $((warm + 5)) ]
check "it is the same daemon" same "$pid" "$(daemon)"
read -r memory descriptors < <(size_of_daemon)
say "the daemon over $((flat - warm)) cycles: from $memory_first kB and $descriptors_first descriptors to $memory kB and $descriptors"
check "descriptors are flat" [ "$descriptors" -le $((descriptors_first + 3)) ]
# What the garbage collector leaves for later is some MB, however many cycles there are.
check "memory is flat" [ "$memory" -le $((memory_first + 20000)) ]
finish
