# shellcheck shell=bash
# Which reset really ran: kprobes on the kernel's own functions, and what revived wrote down of its rungs. Source it after
# revived.sh.

lab_tracing=/sys/kernel/tracing

# trace_resets: from now on. Each method is probed with probe == 1 when reset_method is written: only the resets count.
trace_resets() {
    local probe
    for probe in 'flr pcie_reset_flr probe=%si:u8' 'pm pci_pm_reset probe=%si:u8' 'bus pci_reset_bus_function probe=%si:u8' \
        'secondary pcibios_reset_secondary_bus' 'subordinate reset_subordinate_store' \
        'remove pci_stop_and_remove_bus_device_locked' 'rescan pci_rescan_bus' \
        'power_off pciehp_sysfs_disable_slot' 'power_on pciehp_sysfs_enable_slot' 'suspend pm_suspend'; do
        echo "p:resets/$probe" >>"$lab_tracing/kprobe_events" || return
        case $probe in *probe=*) echo 'probe == 0' >"$lab_tracing/events/resets/${probe%% *}/filter" || return ;; esac
    done
    echo 1 >"$lab_tracing/events/resets/enable"
}

# resets: what ran since forget_resets, in its order: `bus secondary`
resets() { sed -n 's/.*: \([a-z_]*\): (.*/\1/p' "$lab_tracing/trace" | paste -sd ' '; }

forget_resets() { echo >"$lab_tracing/trace"; }

# ran NAME...: just these, in this order
ran() {
    printf 'ran: %s\n' "$(resets)"
    [[ "$(resets)" == "$*" ]]
}

# last_steps: those of the job that ended last, as JSON, a line per step with its rungs
last_steps() {
    busctl --system --json=short call org.revived /org/revived org.revived1.Manager GetHistory 'ua{sv}' 1 0 |
        sed 's/{"Name":{"type":"s","data":"/\n&/g' | grep '^{"Name"'
}

# step_was NAME STATE [PATTERN...]: the first such step of that job; the patterns are in what was written down of it
step_was() {
    local line pattern
    line=$(last_steps | grep -m 1 "^{\"Name\":{\"type\":\"s\",\"data\":\"$1") || { last_steps; return 1; }
    printf '%s\n' "$line"
    [[ $line == *"\"State\":{\"type\":\"s\",\"data\":\"$2\"}"* ]] || return
    for pattern in "${@:3}"; do
        grep -Eq -- "$pattern" <<<"$line" || return
    done
}

# rung_was RUNG STATE [PATTERN...]
rung_was() { step_was "rung $1\"" "${@:2}"; }

# no_rung RUNG: it was not tried in that job
no_rung() { not grep -F "\"rung $1\"" <(last_steps); }

# wedge_when METHOD CARD: in the background; the card dies when the kernel is asked whether it has that method, which is when revived
# chooses it, just before the reset itself. Gives its process in $wedging.
wedge_when() {
    local port=${2^^}_PORT instance=$lab_tracing/instances/$1 express
    port=${!port}
    mkdir -p "$instance"
    echo 'probe == 1' >"$instance/events/resets/$1/filter" && echo 1 >"$instance/events/resets/$1/enable" || return
    express=$(lspci -vs "$port" | sed -n 's/.*Capabilities: \[\([0-9a-f]*\)\] Express.*/\1/p')
    # Slot Control, Power Controller Control, as lab-wedge does it. The register is written whole, with what it holds.
    # shellcheck disable=SC2016 # perl's own variables
    timeout 300 perl -e '
        my ($pipe, $config, $offset) = @ARGV;
        open(my $file, "+<:raw", $config) or die; open(my $events, "<:raw", $pipe) or die;
        sysseek($file, $offset, 0); sysread($file, my $control, 2) == 2 or die;
        sysread($events, my $line, 4096) or die;
        sysseek($file, $offset, 0); syswrite($file, pack("v", unpack("v", $control) | 0x0400)) == 2 or die;
    ' "$instance/trace_pipe" "/sys/bus/pci/devices/$port/config" $((16#$express + 0x18)) &
    # shellcheck disable=SC2034 # for the caller
    wedging=$!
}
