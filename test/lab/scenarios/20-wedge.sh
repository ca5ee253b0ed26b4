#!/bin/bash
# Scenarios (b) a card that is dead after every guest, (c) a guest killed with SIGKILL, (d) a card that is dead already at
# `prepare`. No host reboot.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh

# The last return of the card found it wedged, and a rung healed it.
last_return_healed() { revivectl history --limit 1 --json | grep -q 'wedged before.*healthy after'; }

before=$(state_of bochs)
define_domain wedger wedge yes "$BOCHS.0" "$BOCHS.1"
define_domain plain plain yes "$BOCHS.0" "$BOCHS.1"
for round in {1..5}; do
    check "(b) round $round: start" virsh -q start wedger
    check "(b) round $round: destroy returns" in_time 30000 virsh -q destroy wedger
    check "(b) round $round: and did not wait for the reset: the card is not home yet" not card_is_home "$BOCHS"
    check "(b) round $round: home, alive" wait_until 90 card_is_home "$BOCHS"
    check "(b) round $round: it was wedged, and a rung healed it" last_return_healed
    check "(b) round $round: as before" same "$before" "$(state_of bochs)"
done
revivectl history --limit 1 --json | tr '{' '\n' | grep -o '"name":"rung [^}]*' | sed 's/^/# /'

check "(c) start" virsh -q start plain
check "(c) SIGKILL" kill -KILL "$(cat /run/libvirt/qemu/plain.pid)"
check "(c) libvirt notices" wait_until 30 domain_is plain "shut off"
check "(c) home" wait_until 60 card_is_home "$BOCHS"
check "(c) as before" same "$before" "$(state_of bochs)"
check "(c) start of the guest that takes the card along" virsh -q start wedger
check "(c) SIGKILL of its QEMU" pkill -KILL -f '^/usr/bin/qemu-system-x86_64 .*guest=wedger'
check "(c) libvirt notices" wait_until 60 domain_is wedger "shut off"
check "(c) home, alive" wait_until 90 card_is_home "$BOCHS"
check "(c) as before" same "$before" "$(state_of bochs)"

lab-wedge bochs
check "(d) the card is dead" [ "$(header_of "$BOCHS.0")" = ffffffff ]
check "(d) the start revives it" virsh -q start plain
check "(d) destroy" virsh -q destroy plain
check "(d) home, alive" wait_until 60 card_is_home "$BOCHS"
check "(d) as before" same "$before" "$(state_of bochs)"

say "a dead card that no allowed rung can revive"
printf 'cards:\n  "%s":\n    ladder: [subordinate]\n' "$BOCHS" >/etc/revived/revived.yaml
check "(d) reload" systemctl reload revived
lab-wedge bochs
check "(d) the start is refused with the reason" refused_with 'revived: .*could not be brought back' virsh -q start plain
check "(d) the card is kept from its host drivers" [ "$(card_state "$BOCHS")" = stranded ]
check "(d) by the kernel too" [ "$(driver_of "$BOCHS.0")" != bochs-drm ]
rm /etc/revived/revived.yaml
check "(d) reload without the restriction" systemctl reload revived
check "(d) a reset by hand brings it home" revivectl reset "$BOCHS" --yes
check "(d) home, alive" wait_until 60 card_is_home "$BOCHS"
check "(d) as before" same "$before" "$(state_of bochs)"
check "it starts once more" virsh -q start plain
check "destroy" virsh -q destroy plain
check "home once more" wait_until 60 card_is_home "$BOCHS"
finish
