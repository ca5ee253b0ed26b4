# shellcheck shell=bash
# For scripts that `test/lab/lab run` runs in the lab machine: . /opt/revived/test/lab/lib.sh
#
#   say WORDS...                     a line of its own
#   check DESCRIPTION COMMAND...     `ok` when the command succeeds, else `not ok` and what it printed; the script goes on
#   not COMMAND...                   succeeds when the command fails
#   wait_until SECONDS COMMAND...    tries again until the command succeeds; fails after SECONDS
#   finish                           the last line of every script: the sum, and status 1 if a check failed or if there was none
#   define_domain NAME EMULATOR MANAGED FUNCTION...
#   slot_of CARD                     its directory in /sys/bus/pci/slots
#   functions CARD, snapshot CARD, driver_of FUNCTION, header_of FUNCTION, remove CARD, rescan
#   continue_with FILE               what runs after the next reboot

# shellcheck source=image/files/usr/local/share/lab/cards
. /usr/local/share/lab/cards

lab_passed=0
lab_failed=0

say() { printf '# %s\n' "$*"; }

# A command that hangs fails its check, with what hangs: the time limit of the machine would tell nothing.
lab_check_limit=240   # seconds
# The pipe that `check` reads. Both ends are held here, and it has no name any more.
mkfifo "/run/lab/status.$$"
exec {lab_status}<>"/run/lab/status.$$"
rm "/run/lab/status.$$"

check() {
    local description=$1 output status command started=$SECONDS
    shift
    output=$(mktemp /run/lab/check.XXXXXX)
    # The status comes through a pipe: `wait -n` on the command and a timer has missed, rarely, a command that ended just before it (bash
    # 5.2), and waited for the timer. Job control gives the command, which may be a function with children, a process group of its own.
    set -m
    { ("$@") >"$output" 2>&1 </dev/null {lab_status}>&-; echo $? >&"$lab_status"; } 2>/dev/null & command=$!
    set +m
    if read -r -t "$lab_check_limit" status <&"$lab_status"; then
        wait "$command"
    else
        status=124
        what_hangs "$command" >>"$output" 2>&1
        kill -KILL -- "-$command"
        # This is the shell around the command, which can always be killed, whatever the command hangs in.
        wait "$command"
        # It may have said its status in the meantime, which is not for the next check.
        if read -r -t 0 <&"$lab_status"; then read -r _ <&"$lab_status"; fi
    fi 2>/dev/null
    if ((status == 0)); then
        lab_passed=$((lab_passed + 1))
        printf 'ok %s (%d s)\n' "$description" $((SECONDS - started))
    else
        lab_failed=$((lab_failed + 1))
        printf 'not ok %s (%d s)\n    %s: status %d\n' "$description" $((SECONDS - started)) "$*" "$status"
        sed 's/^/    /' "$output"
    fi
    rm "$output"
}

# what_hangs GROUP: the processes of the group with what each thread waits for and which files are open, those that sleep
# uninterruptibly with where, and the end of the journal
what_hangs() {
    local process task
    for process in $(pgrep -g "$1"); do
        printf 'process %s: %s\n' "$process" "$(tr '\0' ' ' <"/proc/$process/cmdline")"
        for task in /proc/"$process"/task/*; do
            printf '  thread %s: %s %s\n' "${task##*/}" "$(<"$task/wchan")" "$(<"$task/syscall")"
        done
        find "/proc/$process/fd" -mindepth 1 -printf '  %f -> %l\n'
    done
    ps -eo pid,ppid,stat,wchan:32,args | awk '$3 ~ /^D/ || /virsh|revive|libvirt|qemu/'
    for process in /proc/[0-9]*; do
        grep -q '^State:.D' "$process/status" 2>/dev/null || continue
        printf '%s\n' "$process $(<"$process/comm")"
        cat "$process/stack"
    done
    journalctl -b --no-pager -o short-monotonic | tail -n 40
}

not() { ! "$@"; }

wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        # The pause of a poll, not a guess at how long something takes.
        sleep 0.2
    done
}

finish() {
    say "$lab_passed ok, $lab_failed not ok"
    ((lab_failed == 0 && lab_passed > 0))
    exit
}

# lab_slot CARD|SLOT|FUNCTION: the slot's address, 0000:01:00
lab_slot() {
    local name=${1^^}
    if [[ ${!name-} ]]; then printf '%s\n' "${!name}"; else printf '%s\n' "${1%.*}"; fi
}

# functions CARD: the addresses of the functions that are there now, one per line
functions() {
    local slot device
    slot=$(lab_slot "$1")
    for device in /sys/bus/pci/devices/"$slot".*; do
        [[ ! -e $device ]] || printf '%s\n' "${device##*/}"
    done
}

# slot_of CARD: the directory of its hotplug slot
slot_of() {
    local file
    file=$(grep -lx "$(lab_slot "$1")" /sys/bus/pci/slots/*/address) && printf '%s\n' "${file%/address}"
}

# driver_of FUNCTION: the driver's name, `-` without one
driver_of() {
    local driver
    driver=$(readlink "/sys/bus/pci/devices/$1/driver") || driver=-
    printf '%s\n' "${driver##*/}"
}

# header_of FUNCTION: the first four bytes of the config space as sysfs gives them: ffffffff is a dead card
header_of() { od -An -N4 -tx4 "/sys/bus/pci/devices/$1/config" | tr -d ' '; }

# remove CARD: takes all functions of a card off the bus
remove() {
    local address
    for address in $(functions "$1"); do
        echo 1 >"/sys/bus/pci/devices/$address/remove"
    done
}

rescan() { echo 1 >/sys/bus/pci/rescan; }

# snapshot CARD: the state that has to be the same after a guest, a line per value, for the functions and the ports above them
snapshot() {
    local address device file
    local -A ports=()
    for address in $(functions "$1"); do
        device=$(readlink -f "/sys/bus/pci/devices/$address")
        while device=${device%/*}; [[ ${device##*/} == ????:??:??.? ]]; do
            ports[${device##*/}]=1
        done
    done
    for address in $(printf '%s\n' "${!ports[@]}" | sort) $(functions "$1"); do
        device=/sys/bus/pci/devices/$address
        printf '%s driver %s\n' "$address" "$(driver_of "$address")"
        for file in driver_override power/control d3cold_allowed reset_method iommu_group/type; do
            printf '%s %s %s\n' "$address" "$file" "$(if [[ -e $device/$file ]]; then cat "$device/$file"; else echo '(no file)'; fi)"
        done
    done
}

# define_domain NAME EMULATOR MANAGED FUNCTION...: a domain with these host functions, 128 MiB, a BIOS and nothing to boot. EMULATOR is
# `plain`, `wedge` (its cards are dead after it) or a path; MANAGED is yes or no. Functions of one host slot share a slot in the guest, with
# the function numbers that they have here.
define_domain() { write_domain "$@" && virsh -q define "/run/lab/$1.xml"; }

# write_domain: the same, without telling libvirt; /run/lab/NAME.xml
write_domain() {
    local name=$1 emulator=$2 managed=$3 address function bus=0 more
    local -A buses=()
    shift 3
    case $emulator in
    plain) emulator=/usr/bin/qemu-system-x86_64 ;;
    wedge) emulator=/usr/local/bin/lab-qemu-wedge ;;
    esac
    {
        cat <<XML
<domain type='qemu'>
  <name>$name</name>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>$emulator</emulator>
    <controller type='usb' model='none'/>
    <video><model type='none'/></video>
    <memballoon model='none'/>
XML
        for address; do
            # 0000:01:00.1
            function=${address##*.}
            if [[ ! ${buses[${address%.*}]-} ]]; then
                buses[${address%.*}]=$((++bus))
            fi
            more=
            ((function > 0)) || more=" multifunction='on'"
            cat <<XML
    <hostdev mode='subsystem' type='pci' managed='$managed'>
      <source><address domain='0x${address:0:4}' bus='0x${address:5:2}' slot='0x${address:8:2}' function='0x$function'/></source>
      <address type='pci' domain='0x0000' bus='$(printf '0x%02x' "${buses[${address%.*}]}")' slot='0x00' function='0x$function'$more/>
    </hostdev>
XML
        done
        cat <<XML
  </devices>
</domain>
XML
    } >"/run/lab/$name.xml"
}

# continue_with FILE: after the next reboot of the machine `lab run` goes on with this bash script instead of the one that it was given.
continue_with() {
    install -m 755 "$1" /var/lib/lab/continue
    # A crash may be the next thing that happens.
    sync /var/lib/lab/continue /var/lib/lab
}
