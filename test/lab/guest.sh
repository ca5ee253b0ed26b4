# shellcheck shell=bash
# For scenarios with a guest that really runs (guest/guest.c): it has an agent that answers as Windows does. Source it after lib.sh.
#
#   define_guest NAME VERSION EMULATOR FUNCTION...   a domain with it; VERSION is its display driver's. EMULATOR as for define_domain
#   tell NAME WORDS...             steers it (guest/guest.c has the words); returns when it has taken effect
#   is_up NAME N [VERSION]         its Nth boot is over, with this driver; guest_up NAME: what it said of its last boot
#   boots NAME                     how often it has booted, by its disk
#   asked NAME PATTERN             what its agent was asked since `forget NAME`
#   agent_is NAME STATE            connected or disconnected, as libvirt sees it

# On the disk: all of it is there again before anything starts after a reboot.
guests=/var/lib/lab/guests

define_guest() {
    local name=$1 xml=/run/lab/$1.xml way
    write_domain "$name" "$3" yes "${@:4}"
    mkdir -p "$guests"
    chmod 755 /var/lib/lab /var/lib/lab/job "$guests"
    if [[ ! -e $guests/$name.disk ]]; then
        echo "0 $2" >"$guests/$name.disk"
        truncate -s 64K "$guests/$name.disk"
        : >"$guests/$name.said"
        for way in in out; do mkfifo "$guests/$name.$way" || return; done
        hear "$name"
    fi
    # 16 MiB are enough for it. Its drivers are for virtio's legacy interface, which devices on the root bus have.
    sed -i "s|<memory.*|<memory unit='MiB'>16</memory>|
        s|</os>|<kernel>/var/lib/lab/job/guest</kernel>&|
        s|<video>|<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$guests/$name.disk'/><target dev='vda' bus='virtio'/>\\
<address type='pci' domain='0x0000' bus='0x00' slot='0x06' function='0x0'/></disk>\\
<controller type='virtio-serial' index='0'><address type='pci' domain='0x0000' bus='0x00' slot='0x05' function='0x0'/></controller>\\
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>\\
<serial type='pipe'><source path='$guests/$name'/></serial>\\
&|" "$xml"
    virsh -q define "$xml"
}

# What it says, as long as this script runs; a pipe that is read with a time limit would lose half a line.
hear() { cat <>"$guests/$1.out" >>"$guests/$1.said" 2>/dev/null & }

tell() {
    local name=$1 before
    shift
    before=$(stat -c %s "$guests/$name.said")
    echo "$*" 1<>"$guests/$name.in"
    # What ends the guest has no answer.
    case $1 in reboot | poweroff) return ;; esac
    wait_until 60 said_since "$before" "$name" "done $*"
}
said_since() { tail -c "+$(($1 + 1))" "$guests/$2.said" | grep -qx -- "$3"; }
guest_up() { grep -a '^.*up [0-9]' "$guests/$1.said" | sed 's/.*up /up /' | tail -n 1; }
is_up() { [[ "$(guest_up "$1") " == "up $2 ${3-}"*" "* ]]; }
boots() { head -n 1 "$guests/$1.disk" | cut -d' ' -f1; }
forget() { : >"$guests/$1.said"; }
asked() { grep -q "^asked .*$2" "$guests/$1.said"; }
agent_is() { [[ $(virsh -q dumpxml "$1" | grep -o "guest_agent.0' state='[a-z]*'") == *"'$2'" ]]; }

# After a reboot of the machine.
for guest in "$guests"/*.out; do [[ ! -e $guest ]] || hear "$(basename "$guest" .out)"; done
# For who looks at what went wrong.
trap 'cp "$guests"/*.said /run/lab/out/; journalctl -b -u revived -o short-monotonic >/run/lab/out/revived.log' EXIT
