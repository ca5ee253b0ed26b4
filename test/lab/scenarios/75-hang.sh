#!/bin/bash
# A write that does not return: the kernel resets a dead nvme for 70 s (facts/kernel.md finding 3) and holds its lock. The
# card is left alone with the reason, other cards move, D-Bus answers, and `systemctl stop` ends.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh

answer_ms() {
    local begin
    begin=$(now_ms)
    busctl --system get-property org.revived /org/revived org.revived1.Manager RunningJobs >/dev/null || return
    printf '%d\n' $(($(now_ms) - begin))
}
# worst_answer SECONDS: asks one after the other; busctl itself is most of it
worst_answer() {
    local deadline=$((SECONDS + $1)) worst=0 ms
    while ((SECONDS < deadline)); do
        ms=$(answer_ms) || return
        ((ms <= worst)) || worst=$ms
    done
    printf '%d\n' "$worst"
}
job_is_stuck() { [[ $(busctl --system tree org.revived --list) == *jobs/1* && $(busctl --system get-property org.revived /org/revived/jobs/1 org.revived1.Job State) == 's "stuck"' ]]; }

before=$(state_of bochs)
define_domain guest plain yes "$BOCHS.0" "$BOCHS.1"
quiet=$(worst_answer 10)
say "worst answer, nothing hangs: $quiet ms"

lab-wedge nvme
# It ends with this machine: SIGKILL does not reach it.
(echo 1 >"/sys/bus/pci/devices/$NVME.0/reset") 2>/dev/null &
reset=$!
check "the kernel is in the reset" wait_until 10 grep -q '^State:.D' "/proc/$reset/status"
systemctl restart revived
revivectl take "$NVME" >/run/lab/take.out 2>&1 &
taking=$!
worst_answer 30 >/run/lab/worst &
asking=$!
check "another card is handed over meanwhile" in_time 40000 virsh -q start guest
check "and comes home" virsh -q destroy guest
check "and is home" wait_until 60 card_is_home "$BOCHS"
check "as before" same "$before" "$(state_of bochs)"
wait "$asking" "$taking"
worst=$(</run/lab/worst)
say "worst answer, a write hangs, a card is handed over and a domain stopped: $worst ms (with busctl and all; $quiet when quiet)"
sed 's/^/# /' /run/lab/take.out
check "the job ended as stuck, with the reason" grep -q 'D state' /run/lab/take.out
check "D-Bus answers while a write hangs" [ "$worst" -lt $((quiet + 400)) ]
check "the card is known as wedged" [ "$(card_health "$NVME")" = wedged ]
check "risky work on it is refused with that reason" refused_with 'hangs in the kernel|is wedged' revivectl reset "$NVME" --yes
check "the child still hangs" grep -q '^State:.D' "/proc/$reset/status"
check "systemctl stop ends in time" in_time 15000 systemctl stop revived
check "and it starts again" systemctl start revived
check "it answers" answer_ms
check "the watchdog was fed all the while" not journal_says 'Watchdog timeout'
finish
