#!/bin/bash
# What speaks about a card beside its answer, on the real kernel: a fatal error of its port, a success that is none, BARs that are
# wrong, and what came of each rung afterwards. No host reboot.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh

card=/org/revived/cards/${BOCHS//[:.]/_}
# The verdict of a check that is made now, with its evidence.
verdict() { busctl --system call org.revived "$card" org.revived1.Card Check 'a{sv}' 0; }
verdict_is() { verdict | tee /dev/stderr | grep -Eq -- "$1"; }
# The last job's step of that name.
step() { revivectl history --limit 1 --json | tr '{' '\n' | grep "\"name\":\"$1"; }
step_says() { step "$1" | tee /dev/stderr | grep -Eq -- "$2"; }
# inject_fatal DEVICE FUNCTION: SDES at 0000:00:DEVICE.FUNCTION (struct aer_error_inj of drivers/pci/pcie/aer_inject.c)
inject_fatal() {
    # shellcheck disable=SC2059 # the bytes are the format
    printf "\\x00\\x$1\\x$2\\x00\\x20\\x00\\x00\\x00$(printf '\\x00%.0s' {1..24})" >/dev/aer_inject
}
port=/sys/bus/pci/devices/$BOCHS_PORT
before=$(state_of bochs)

check "the card is well" verdict_is '"healthy"'
check "the injector" modprobe aer_inject aer_mask_override=1
check "a fatal error at the port" inject_fatal "${BOCHS_PORT:8:2}" "${BOCHS_PORT:11:1}"
check "the kernel has counted it" wait_until 20 grep -qx 1 "$port/aer_rootport_total_err_fatal"
journalctl -k -b -o cat --no-pager | grep -E "$BOCHS|$BOCHS_PORT" | tail -n 12 | sed 's/^/# kernel: /'
check "the check sees it, and says where" verdict_is "\"suspect\".*$BOCHS_PORT: fatal PCIe errors \(AER\): 1 \(SDES\)"
check "it stays until something was done" verdict_is '"suspect".*fatal PCIe errors'
check "a reset mends it" revivectl reset "$BOCHS" --yes
check "and it is well" wait_until 60 card_is_home "$BOCHS"
check "as before" same "$before" "$(state_of bochs)"

say "rc 0 on a dead card without a PM capability"
lab-wedge bochs
check "the rung fails, whatever the kernel answers" not revivectl reset "$BOCHS" --rung subordinate --yes
check "seen as a false success" step_says 'rung subordinate' '"state":"failed".*returned 0 after.*wedged'
lab-unwedge bochs
check "power alone: it answers, and its BARs are wrong" verdict_is '"suspect".*BAR 0 reads 0 where the kernel has'
check "the same rung restores nothing" not revivectl reset "$BOCHS" --rung subordinate --yes
check "seen as well" step_says 'rung subordinate' '"state":"failed".*returned 0 after.*suspect.*BAR 0 reads 0'
check "the ladder mends it" revivectl reset "$BOCHS" --yes
check "home, alive" wait_until 60 card_is_home "$BOCHS"

say "what came of the rungs"
revivectl history --rungs | tee /run/lab/matrix | sed 's/^/# /'
check "the rung that never helped" grep -Eq '^  subordinate +healed 0 of 3,' /run/lab/matrix
check "one that did" grep -Eq '^  [a-z-]+ +.*healed ([1-9]) of \1,' /run/lab/matrix
check "on this kernel" grep -q "$(uname -r)" /run/lab/matrix
revivectl history --rungs --export | tee /run/lab/export | sed 's/^/# /'
check "the export has no address and no name" not grep -Eq "0000:|$(hostname)" /run/lab/export
check "and has the counts" grep -q '"rung":"subordinate"' /run/lab/export
lab-wedge bochs
check "a dead card once more" revivectl reset "$BOCHS" --yes
check "another rung mended it" step_says 'rung slot-power' '"state":"done".*healthy'
check "the rung that never helped was not done before it" not step_says 'rung subordinate' .
check "home once more" wait_until 60 card_is_home "$BOCHS"
check "as before in the end" same "$before" "$(state_of bochs)"
finish
