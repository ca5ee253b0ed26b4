#!/bin/bash
# A write that does not return: the kernel resets a dead nvme for 70 s (facts/kernel.md finding 3) and holds its lock. The
# card is left alone with the reason, other cards move, D-Bus answers, and `systemctl stop` ends.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh

before=$(state_of bochs)
define_domain guest plain yes "$BOCHS.0" "$BOCHS.1"
define_domain with-nvme plain yes "$NVME.0"
# When the daemon last told systemd that it lives: every 30 s, half of WatchdogSec= (daemon/host/notify.ts).
fed() { systemctl show -P WatchdogTimestampMonotonic revived; }
fed_since() { (($(fed) > $1)); }
say "answers when nothing hangs: $(node /opt/revived/test/lab/answers.mjs 10)"

lab-wedge nvme
# It ends with this machine: SIGKILL does not reach it.
(echo 1 >"/sys/bus/pci/devices/$NVME.0/reset") 2>/dev/null &
reset=$!
check "the kernel is in the reset" wait_until 10 grep -q '^State:.D' "/proc/$reset/status"
fed_before=$(fed)
virsh -q start with-nvme >/run/lab/start.out 2>&1 &
starting=$!
node /opt/revived/test/lab/answers.mjs 40 >/run/lab/answers &
asking=$!
check "another card is handed over meanwhile" in_time 40000 virsh -q start guest
check "and comes home" virsh -q destroy guest
check "and is home" wait_until 60 card_is_home "$BOCHS"
check "as before" same "$before" "$(state_of bochs)"
wait "$asking" "$starting"
say "answers while a write hangs, a card is handed over and a domain stopped: $(</run/lab/answers)"
sed 's/^/# /' /run/lab/start.out
check "the start is refused with the reason" grep -q 'revived: .*D state' /run/lab/start.out
worst=$(sed -n 's/^worst \([0-9]*\) ms.*/\1/p' /run/lab/answers)
# A loop that waits for the kernel would stand still for 10 s and more. The figure itself is that of an emulated processor, which
# another machine may share; on a real one test/integration/daemon-hang.test.ts asks for 100 ms, and 20 ms more for its timers,
# beside what the bus itself needs at worst.
check "the daemon never stood still" [ "$worst" -lt 3000 ]
check "the card is known as wedged" [ "$(card_health "$NVME")" = wedged ]
check "risky work on it is refused with that reason" refused_with 'hangs in the kernel|is wedged' revivectl reset "$NVME" --yes
# The answers above took 40 s of the hang; the next line shows that it is not over.
check "the watchdog is fed meanwhile" wait_until 5 fed_since "$fed_before"
check "the child still hangs" grep -q '^State:.D' "/proc/$reset/status"
check "systemctl stop ends in time" in_time 15000 systemctl stop revived
check "and it starts again" systemctl start revived
check "it is in step again" wait_until 10 libvirt_is_connected
check "and never bit" not journal_says 'Watchdog timeout'
finish
