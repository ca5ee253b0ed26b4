#!/bin/bash
# Scenario (a): ten start/stop cycles with managed='yes' and ten with 'no', no configuration. Before and after, drivers,
# driver_override, power settings and IOMMU groups are the same; in between the whole card is on vfio-pci.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh

# With the numbers of the groups: nothing is re-enumerated here.
whole_state_of() {
    snapshot "$1"
    local address
    for address in $(functions "$1"); do
        printf '%s group %s\n' "$address" "$(readlink "/sys/bus/pci/devices/$address/iommu_group")"
    done
}

check "the daemon runs" systemctl is-active revived
for managed in yes no; do
    define_domain "cycle-$managed" plain "$managed" "$BOCHS.0" "$BOCHS.1"
    before=$(whole_state_of bochs)
    for round in {1..10}; do
        check "managed=$managed, round $round: start" virsh -q start "cycle-$managed"
        check "managed=$managed, round $round: on vfio-pci" card_is_on_vfio bochs
        check "managed=$managed, round $round: power is pinned" power_is_pinned bochs
        check "managed=$managed, round $round: destroy" virsh -q destroy "cycle-$managed"
        check "managed=$managed, round $round: home" wait_until 60 card_is_home "$BOCHS"
        check "managed=$managed, round $round: as before" same "$before" "$(whole_state_of bochs)"
    done
done
check "the journal has no warning of ours" not journal_says 'failed|stuck|ignoring'
finish
