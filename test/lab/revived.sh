# shellcheck shell=bash
# What the scenarios ask of revived. Source it after lib.sh. busctl, not revivectl, where it is asked again and again: node
# takes a second to start here.

# card_property CARD PROPERTY: as busctl prints it, without the type and, where it is one string, the quotes
card_property() { property "/org/revived/cards/${1//[:.]/_}" org.revived1.Card "$2"; }

# property OBJECT INTERFACE PROPERTY
property() {
    local value
    value=$(busctl --system get-property org.revived "$@") || return
    value=${value#* }
    value=${value#\"}
    printf '%s\n' "${value%\"}"
}

card_state() { card_property "$1" State; }
card_health() { card_property "$1" Health; }

# Home, alive, and no job of it is left.
card_is_home() {
    [[ $(card_state "$1") == home && $(card_health "$1") == healthy && $(card_property "$1" Job) == / ]]
}

card_is_lent() { [[ $(card_state "$1") == lent && $(card_property "$1" Domain) == "$2" ]]; }

card_is_on_vfio() {
    local address count=0
    for address in $(functions "$1"); do
        count=$((count + 1))
        [[ $(driver_of "$address") == vfio-pci ]] || return
    done
    ((count > 0))
}

# The functions and the port above them.
power_is_pinned() {
    local address port=${1^^}_PORT
    for address in "${!port}" "$(lab_slot "$1").0" $(functions "$1"); do
        [[ $(<"/sys/bus/pci/devices/$address/power/control") == on ]] || return
        [[ ! -e /sys/bus/pci/devices/$address/d3cold_allowed || $(<"/sys/bus/pci/devices/$address/d3cold_allowed") == 0 ]] || return
    done
}

# state_of CARD: snapshot, but for reset_method. After a card was taken off the bus the kernel probes its methods anew, and then a
# second function has a list, a stale one, that it did not have at boot (facts/kernel.md 0.1, the other way round).
state_of() { snapshot "$1" | grep -v ' reset_method '; }

same() { diff <(printf '%s\n' "$1") <(printf '%s\n' "$2"); }

domain_is() { [[ $(virsh -q domstate "$1") == "$2" ]]; }

manager_property() { property /org/revived org.revived1.Manager "$1"; }
libvirt_is_connected() { [[ $(manager_property Libvirt) == connected ]]; }

# domain_property NAME PROPERTY
domain_property() {
    local uuid
    uuid=$(virsh -q domuuid "$1") || return
    property "/org/revived/domains/${uuid//-/_}" org.revived1.Domain "$2"
}

# reboot_is WORD: how far a reboot of the host is; '' for none
reboot_is() { [[ $(manager_property RebootState) == "$1" ]]; }
has_finding() { [[ $(manager_property Findings) == *"$1"* ]]; }

# journal_says PATTERN: in the daemon's own lines of this boot
journal_says() { journalctl -b -u revived -o cat --no-pager | grep -Eq -- "$1"; }

# refused_with PATTERN COMMAND...: it fails, and says so in its output
refused_with() {
    local pattern=$1 output
    shift
    if output=$("$@" 2>&1); then
        printf 'it went through: %s\n' "$output"
        return 1
    fi
    printf '%s\n' "$output" | sed 's/^/# /' >&2
    grep -Eq -- "$pattern" <<<"$output"
}

# in_time MILLISECONDS COMMAND...
in_time() {
    local limit=$1 begin
    shift
    begin=$(now_ms)
    "$@" || return
    printf '%d ms\n' $(($(now_ms) - begin))
    (($(now_ms) - begin < limit))
}

now_ms() { printf '%s\n' "${EPOCHREALTIME/./}" | sed 's/...$//'; }
