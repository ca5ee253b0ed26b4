#!/bin/bash
# libvirtd is killed inside `stopped`, restarted again and again, and hung; a card is attached to a guest that runs. No card is lost, and the state is in step again within 5 s. `85-libvirtd.sh 50` restarts it 50 times.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh
restarts=${1:-8}

before=$(state_of bochs)
define_domain guest plain yes "$BOCHS.0" "$BOCHS.1"

say "killed inside stopped: release never comes"
cat >/etc/libvirt/hooks/qemu.d/00-lab-kill <<'HOOK'
#!/bin/sh
[ "$2" = stopped ] && rm /etc/libvirt/hooks/qemu.d/00-lab-kill && kill -KILL "$PPID"
exit 0
HOOK
chmod 755 /etc/libvirt/hooks/qemu.d/00-lab-kill
check "start" virsh -q start guest
virsh -q destroy guest 2>&1 | sed 's/^/# /'
check "libvirtd was killed" [ ! -e /etc/libvirt/hooks/qemu.d/00-lab-kill ]
check "libvirtd is back" wait_until 60 virsh -q list
check "the card is home" wait_until 60 card_is_home "$BOCHS"
check "as before" same "$before" "$(state_of bochs)"

say "restarted $restarts times in a row, with a guest that runs"
check "start" virsh -q start guest
# It is the restarts in a row that are tried, not systemd's limit for them.
mkdir -p /run/systemd/system/libvirtd.service.d
printf '[Unit]\nStartLimitBurst=1000\n' >/run/systemd/system/libvirtd.service.d/lab.conf
systemctl daemon-reload
for ((round = 1; round <= restarts; round++)); do
    systemctl restart libvirtd || say "restart $round failed"
done
check "libvirtd is back" wait_until 60 virsh -q list
check "in step within 5 s" wait_until 5 libvirt_is_connected
check "the guest still has the card" card_is_lent "$BOCHS" guest
check "it is on vfio-pci" card_is_on_vfio bochs
check "destroy" virsh -q destroy guest
check "home" wait_until 60 card_is_home "$BOCHS"
check "as before" same "$before" "$(state_of bochs)"

say "hung with SIGSTOP for 40 s; the guest ends meanwhile"
check "start" virsh -q start guest
libvirtd=$(systemctl show --property MainPID --value libvirtd)
qemu=$(cat /run/libvirt/qemu/guest.pid)
kill -STOP "$libvirtd"
kill -KILL "$qemu"
deadline=$((SECONDS + 40))
check "the daemon says that libvirt is not there" wait_until 60 not libvirt_is_connected
check "the daemon still answers" in_time 5000 card_state "$BOCHS"
wait_until $((deadline - SECONDS)) false
kill -CONT "$libvirtd"
check "in step within 5 s" wait_until 5 libvirt_is_connected
check "home" wait_until 30 card_is_home "$BOCHS"
check "as before" same "$before" "$(state_of bochs)"

say "what libvirt refuses leaves the card where it is"
check "start" virsh -q start guest
check "managedsave is refused" not virsh -q managedsave guest
check "an internal snapshot is refused" not virsh -q snapshot-create-as guest one
check "the guest runs and has the card" card_is_lent "$BOCHS" guest
check "destroy" virsh -q destroy guest
check "home" wait_until 60 card_is_home "$BOCHS"
check "as before" same "$before" "$(state_of bochs)"

say "attached at run time, where libvirt runs no hook"
before_flr=$(state_of flr)
sed "s|<video>|<controller type='pci' index='1' model='pcie-root-port'/><controller type='pci' index='2' model='pcie-root-port'/>&|; s|<name>guest|<name>plain|; /<hostdev/,/<\/hostdev>/d" \
    /run/lab/guest.xml >/run/lab/plain.xml
check "a guest without a card" virsh -q define /run/lab/plain.xml
check "starts" virsh -q start plain
cat >/run/lab/flr.xml <<XML
<hostdev mode='subsystem' type='pci' managed='yes'>
  <source><address domain='0x${FLR:0:4}' bus='0x${FLR:5:2}' slot='0x${FLR:8:2}' function='0x0'/></source>
</hostdev>
XML
check "attach-device" virsh -q attach-device plain /run/lab/flr.xml --live
check "the daemon knows who has it" wait_until 10 card_is_lent "$FLR" plain
# A card leaves a guest only when the guest lets it go, and nothing runs in this one: taking it out under it is in the unit tests.
check "destroy" virsh -q destroy plain
check "home" wait_until 60 card_is_home "$FLR"
check "as before" same "$before_flr" "$(state_of flr)"
finish
