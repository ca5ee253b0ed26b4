#!/bin/bash
# From the end of QEMU until the card is healthy and home, in milliseconds: by revived, and by a hook of the kind that people share
# (unbind, remove, rescan, bind, with pauses in between). Same domain, same card, same fault: after the guest the card answers,
# and its registers are 0. Prints `time revived N` and `time hook N`. Run it with: test/lab/lab run test/bench/lab/recovery.sh ROUNDS
set -u
# shellcheck source=../../lab/lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../../lab/revived.sh
. /opt/revived/test/lab/revived.sh
# shellcheck source=../../lab/tracing.sh
. /opt/revived/test/lab/tracing.sh

rounds=${1:-5}
gone=/run/lab/gone   # when QEMU ended, in microseconds

# Called by the emulator's wrapper, which ends right after it.
cat >/usr/local/lib/lab/wedge-helper <<'HELPER'
#!/bin/bash
read -r -t 10 -a cards || exit
lab-wedge "${cards[@]}" && lab-unwedge "${cards[@]}" || exit
printf '%s\n' "${EPOCHREALTIME/./}" >/run/lab/gone
echo ok
HELPER

# 7 s of pauses in all: of the hooks in circulation that remove and rescan, the quicker ones have that.
cat >/usr/local/lib/lab/hook <<HOOK
#!/bin/bash
functions='$BOCHS.0 $BOCHS.1'
case \$1/\$2 in
guest/prepare)
    modprobe vfio-pci
    for function in \$functions; do
        echo "\$function" >/sys/bus/pci/devices/\$function/driver/unbind
        echo vfio-pci >/sys/bus/pci/devices/\$function/driver_override
        echo "\$function" >/sys/bus/pci/drivers/vfio-pci/bind
    done
    ;;
guest/release)
    for function in \$functions; do echo "\$function" >/sys/bus/pci/drivers/vfio-pci/unbind; done
    sleep 1
    for function in \$functions; do echo 1 >/sys/bus/pci/devices/\$function/remove; done
    sleep 2
    echo 1 >/sys/bus/pci/rescan
    sleep 3
    echo $BOCHS.0 >/sys/bus/pci/drivers/bochs-drm/bind
    echo $BOCHS.1 >/sys/bus/pci/drivers/snd_hda_intel/bind
    sleep 1
    printf '%s\n' "\${EPOCHREALTIME/./}" >/run/lab/back
    ;;
esac 2>/dev/null
exit 0
HOOK
chmod +x /usr/local/lib/lab/hook

# Alive, with its registers and its drivers.
is_whole() {
    local start
    read -r start _ <"/sys/bus/pci/devices/$BOCHS.0/resource"
    [[ $(driver_of "$BOCHS.0") == bochs-drm && $(driver_of "$BOCHS.1") == snd_hda_intel ]] &&
        (((16#$(setpci -s "$BOCHS.0" 10.l) & ~15) == start))
}
job_ended() {
    busctl --system --json=short call org.revived /org/revived org.revived1.Manager GetHistory 'ua{sv}' 1 0 |
        sed -n 's/.*"Finished":{"type":"t","data":\([0-9]*\)}.*/\1/p'
}
# What the time went into.
steps() { last_steps | sed -n 's/.*"Name":{"type":"s","data":"\([^"]*\)"}.*"Ms":{"type":"u","data":\([0-9]*\)}.*/# \2 ms \1/p'; }
# took NAME END: in milliseconds
took() {
    local ms=$((($2 - $(<"$gone")) / 1000))
    ((ms > 0)) && printf 'time %s %d\n' "$1" "$ms" >&3
}
# What a check prints is shown only when it fails.
exec 3>&1

define_domain guest wedge no "$BOCHS.0" "$BOCHS.1"

check "the daemon is stopped" systemctl stop revived
check "and stays so" systemctl mask --runtime revived
mv /etc/libvirt/hooks/qemu.d/50-revived /run/lab/hook-of-revived
cp /usr/local/lib/lab/hook /etc/libvirt/hooks/qemu.d/50-hook
for ((round = 1; round <= rounds; round++)); do
    rm -f /run/lab/back
    check "hook, round $round: start" virsh -q start guest
    check "hook, round $round: destroy" virsh -q destroy guest
    check "hook, round $round: home" wait_until 90 test -s /run/lab/back
    check "hook, round $round: whole" is_whole
    check "hook, round $round: its time" took hook "$(</run/lab/back)"
done

rm /etc/libvirt/hooks/qemu.d/50-hook
mv /run/lab/hook-of-revived /etc/libvirt/hooks/qemu.d/50-revived
check "revived may start" systemctl unmask --runtime revived
check "and does" systemctl start revived
check "it is in step" wait_until 20 libvirt_is_connected
for ((round = 1; round <= rounds; round++)); do
    check "revived, round $round: start" virsh -q start guest
    check "revived, round $round: destroy" virsh -q destroy guest
    check "revived, round $round: home" wait_until 90 card_is_home "$BOCHS"
    check "revived, round $round: whole" is_whole
    check "revived, round $round: its time" took revived "$(job_ended)"
done
steps
finish
