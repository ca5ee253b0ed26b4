#!/bin/bash
# Scenarios (h) the daemon is away while a guest stops, (i) libvirtd is restarted while a guest runs; and what goes with
# them: the daemon restarted under a guest, a start without the daemon, the hook's policy.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh

before=$(state_of bochs)
define_domain guest plain yes "$BOCHS.0" "$BOCHS.1"
define_domain guest-no plain no "$BOCHS.0" "$BOCHS.1"

check "(h) start" virsh -q start guest
check "(h) stop the daemon" systemctl stop revived
check "(h) destroy: the hook starts the daemon through D-Bus" virsh -q destroy guest
check "(h) home" wait_until 60 card_is_home "$BOCHS"
check "(h) as before" same "$before" "$(state_of bochs)"

for domain in guest guest-no; do
    check "(h) $domain: start" virsh -q start "$domain"
    check "(h) $domain: mask, so that nobody can start the daemon" systemctl mask --runtime --now revived
    check "(h) $domain: destroy without the daemon" virsh -q destroy "$domain"
    check "(h) $domain: the card is still on vfio-pci" card_is_on_vfio bochs
    check "(h) $domain: unmask" systemctl unmask --runtime revived
    check "(h) $domain: start the daemon" systemctl start revived
    check "(h) $domain: it finds out and gives the card back" wait_until 60 card_is_home "$BOCHS"
    check "(h) $domain: as before" same "$before" "$(state_of bochs)"
done

check "a guest starts" virsh -q start guest
check "the daemon is restarted under it" systemctl restart revived
check "it still knows who has the card" wait_until 30 card_is_lent "$BOCHS" guest
check "destroy" virsh -q destroy guest
check "home" wait_until 60 card_is_home "$BOCHS"
check "as before" same "$before" "$(state_of bochs)"

check "mask" systemctl mask --runtime --now revived
check "a start without the daemon is allowed by default" virsh -q start guest
check "unmask" systemctl unmask --runtime revived
check "start the daemon" systemctl start revived
check "it finds the card with the guest" wait_until 30 card_is_lent "$BOCHS" guest
check "destroy" virsh -q destroy guest
check "home: libvirt gave back what it took" wait_until 60 card_is_home "$BOCHS"
check "drivers are as before" [ "$(driver_of "$BOCHS.0") $(driver_of "$BOCHS.1")" = "bochs-drm snd_hda_intel" ]

echo 'hook: {unreachable: refuse}' >/etc/revived/revived.yaml
check "reload with the policy refuse" systemctl reload revived
check "mask again" systemctl mask --runtime --now revived
check "the start is refused with the reason" refused_with 'revived' virsh -q start guest
check "the card was not touched" same "$before" "$(state_of bochs)"
rm /etc/revived/revived.yaml
check "unmask again" systemctl unmask --runtime revived
check "start the daemon once more" systemctl start revived

check "(i) start" virsh -q start guest
check "(i) restart libvirtd" systemctl restart libvirtd
check "(i) the guest still runs" wait_until 30 domain_is guest running
check "(i) the daemon is connected again" wait_until 30 libvirt_is_connected
check "(i) it still knows who has the card" card_is_lent "$BOCHS" guest
check "(i) destroy" virsh -q destroy guest
check "(i) home" wait_until 60 card_is_home "$BOCHS"
check "(i) as before" same "$before" "$(state_of bochs)"
finish
