#!/bin/bash
# Is the lab what README.md says? Run it with: LAB_NO_INSTALL=1 test/lab/lab run test/lab/smoke.sh
# Only libvirt and the kernel take part, not the project, which would mend what has to be seen broken.
# shellcheck disable=SC2317 # the helpers are called through check
set -u
# shellcheck source=lib.sh
. /opt/revived/test/lab/lib.sh

has_driver() { [[ $(driver_of "$1") == "$2" ]]; }
has_group_of_its_own() { [[ -e /sys/bus/pci/devices/$1/iommu_group && -z $(comm -23 <(ls "/sys/bus/pci/devices/$1/iommu_group/devices") <(printf '%s\n' "${@:2}" | sort)) ]]; }
reset_methods() { [[ $(cat "/sys/bus/pci/devices/$1/reset_method") == "$2" ]]; }
dead() { [[ $(header_of "$1") == ffffffff ]]; }
fails_with() { local text=$1 output; shift; if output=$("$@" 2>&1); then echo "succeeded: $output"; return 1; fi; printf '%s\n' "$output"; [[ $output == *"$text"* ]]; }
domain_is() { [[ $(virsh domstate "$1") == "$2" ]]; }
no_memory() { [[ $(head -n 1 "/sys/bus/pci/devices/$1/resource") == '0x0000000000000000 '* ]]; }
slot_power() { [[ $(cat "$(slot_of "$1")/power") == "$2" ]]; }
same() { diff <(printf '%s\n' "$1") <(printf '%s\n' "$2"); }

say "$(uname -r), $(virsh --version), $(qemu-system-x86_64 --version | head -n 1), node $(node --version)"

# The cards
check 'bochs has its display driver' has_driver "$BOCHS.0" bochs-drm
check 'bochs has its sound driver' has_driver "$BOCHS.1" snd_hda_intel
check 'ati has no driver' has_driver "$ATI.0" -
check 'ati has its sound driver' has_driver "$ATI.1" snd_hda_intel
check 'ati is the boot display' grep -qx 1 "/sys/bus/pci/devices/$ATI.0/boot_vga"
check 'xhci has its driver' has_driver "$XHCI.0" xhci_hcd
check 'flr has its driver' has_driver "$FLR.0" virtio-pci
check 'nvme has its driver' has_driver "$NVME.0" nvme
check 'switch has its display driver' has_driver "$SWITCH.0" bochs-drm
check 'switch has its sound driver' has_driver "$SWITCH.1" snd_hda_intel
check 'bochs has an IOMMU group of its own' has_group_of_its_own "$BOCHS.0" "$BOCHS.0" "$BOCHS.1"
check 'ati has an IOMMU group of its own' has_group_of_its_own "$ATI.0" "$ATI.0" "$ATI.1"
check 'xhci has an IOMMU group of its own' has_group_of_its_own "$XHCI.0" "$XHCI.0"
check 'flr has an IOMMU group of its own' has_group_of_its_own "$FLR.0" "$FLR.0"
check 'nvme has an IOMMU group of its own' has_group_of_its_own "$NVME.0" "$NVME.0"
check 'switch shares its group with its own port only' has_group_of_its_own "$SWITCH.0" "$SWITCH.0" "$SWITCH.1" "$SWITCH_PORT"
check 'bochs claims a bus reset' reset_methods "$BOCHS.0" bus
check 'flr has a function-level reset' reset_methods "$FLR.0" 'flr pm bus'
check 'nvme has a function-level reset' reset_methods "$NVME.0" 'flr bus'
for card in $LAB_CARDS; do
    port=${card^^}_PORT
    check "$card has a slot with power" slot_power "$card" 1
    check "$card is below $card's port" test -e "/sys/bus/pci/devices/${!port}/$(lab_slot "$card").0"
done
check 'there is sound' test -e /dev/snd/controlC0
check 'there is somebody who is not root' id alice

# A guest that gives its card back
before=$(snapshot bochs)
check 'a domain with bochs, managed' define_domain plain plain yes "$BOCHS.0" "$BOCHS.1"
check 'it starts' virsh -q start plain
check 'bochs is with vfio-pci' has_driver "$BOCHS.0" vfio-pci
check 'and so is its sound' has_driver "$BOCHS.1" vfio-pci
check 'it is destroyed' virsh -q destroy plain
check 'bochs is as before' same "$before" "$(snapshot bochs)"

# A card that does not survive a guest. A hook writes down what it sees of the card when libvirt calls it.
mkdir -p /etc/libvirt/hooks/qemu.d
cat >/etc/libvirt/hooks/qemu.d/lab <<HOOK
#!/bin/sh
echo "\$2 \$(od -An -N4 -tx4 /sys/bus/pci/devices/$BOCHS.0/config)" >>/run/lab/hooks
HOOK
chmod +x /etc/libvirt/hooks/qemu.d/lab
systemctl restart libvirtd
check 'a domain whose emulator wedges' define_domain wedge wedge yes "$BOCHS.0" "$BOCHS.1"
check 'it starts' virsh -q start wedge
check 'bochs is alive in it' not dead "$BOCHS.0"
check 'it is destroyed' virsh -q destroy wedge
check 'bochs is dead' dead "$BOCHS.0"
check 'and so is its sound' dead "$BOCHS.1"
check 'it was alive at the started hook' grep -qx 'started  11111234' /run/lab/hooks
check 'it was dead at the stopped hook' grep -qx 'stopped  ffffffff' /run/lab/hooks
check 'the second start is refused' fails_with "Unknown PCI header type '127'" virsh start wedge
check 'lab-unwedge gives it power' lab-unwedge bochs
check 'bochs answers' not dead "$BOCHS.0"
remove bochs
check 'bochs is gone' not test -e "/sys/bus/pci/devices/$BOCHS.0"
rescan
check 'bochs is back with its display driver' wait_until 20 has_driver "$BOCHS.0" bochs-drm
check 'bochs is back with its sound driver' wait_until 20 has_driver "$BOCHS.1" snd_hda_intel
check 'the domain starts again' virsh -q start wedge

# The wedge without libvirt asking for the end: the emulator is killed.
pid=$(pgrep -f '^/usr/bin/qemu-system-x86_64 .*guest=wedge')
check 'QEMU is a child of the wrapper' test -n "$pid"
kill -KILL "$pid"
check 'the domain ends' wait_until 20 domain_is wedge 'shut off'
check 'bochs is dead again' dead "$BOCHS.0"

# The power of the slot
slot=$(slot_of bochs)
check "a dead card's slot is off" slot_power bochs 0
check 'power on is refused while its functions are there' fails_with 'No such device' bash -c "echo 1 >$slot/power"
remove bochs
check 'power off is refused' fails_with 'Invalid argument' bash -c "echo 0 >$slot/power"
check 'power on works' bash -c "echo 1 >$slot/power"
check 'bochs is back with its display driver' wait_until 20 has_driver "$BOCHS.0" bochs-drm
check 'bochs answers' not dead "$BOCHS.0"

# The switch of a card
check 'the switch loses its power' lab-wedge upstream
check 'what is below is dead' dead "$SWITCH.0"
check 'the switch has power again' lab-unwedge upstream
check 'what is below is still dead' dead "$SWITCH.0"
remove upstream
rescan
# The port above keeps its window, which is too small for what the kernel wants to put there now: the card answers and is of no use.
check 'what was below is back' not dead "$SWITCH.0"
check 'and has no memory' no_memory "$SWITCH.0"
check 'and no driver' has_driver "$SWITCH.0" -
echo 1 >"/sys/bus/pci/devices/$UPSTREAM_PORT/remove"
rescan
check 'with its root port new too it has its driver' wait_until 20 has_driver "$SWITCH.0" bochs-drm

# By hand, every card. The reset of a dead nvme takes 70 s and more: only look at it.
for card in $LAB_CARDS; do
    function=$(lab_slot "$card").0
    check "lab-wedge $card" lab-wedge "$card"
    check "$card is dead" dead "$function"
    check "lab-unwedge $function" lab-unwedge "$function"
    check "$card answers" not dead "$function"
done
check 'what is no card is refused' fails_with 'not a card' lab-wedge 0000:00:1f.2

mkdir -p /run/lab/out
{ lspci -nnk; for card in $LAB_CARDS; do snapshot "$card"; done; } >/run/lab/out/cards.txt
cp /run/lab/hooks /run/lab/out/hooks.txt
dmesg >/run/lab/out/dmesg.txt
finish
