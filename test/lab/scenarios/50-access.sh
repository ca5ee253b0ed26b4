#!/bin/bash
# Scenario (j): unprivileged calls of every method are denied, reading works; bad input is refused and touches nothing; the
# log, the hook and the uninstaller do what they say.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh

# A fresh install, a domain with a card, nothing wrong: notes at most.
define_domain healthy plain yes "$BOCHS.0" "$BOCHS.1"
check "doctor has no error and no warning for a healthy host" revivectl doctor
check "nor for its domain" revivectl doctor healthy
virsh -q undefine healthy

before=$(state_of bochs)
pid=$(systemctl show -P MainPID revived)
as_alice() { setpriv --reuid=alice --regid=alice --clear-groups env HOME=/ "$@"; }
card=/org/revived/cards/${BOCHS//[:.]/_}

# Every method of our interfaces that introspection knows, so that a new one joins by itself. Reading ones are free.
free=' Plan GetHistory GetOutcomes GetCard GetDomain '
methods() { # PATH INTERFACE
    busctl --system --no-legend introspect org.revived "$1" "$2" | awk '$2 == "method" { print substr($1, 2), $3 }'
}
denied() { # PATH INTERFACE METHOD SIGNATURE
    local signature=$4 arguments=()
    [[ $signature == - ]] && signature=
    local rest=$signature
    while [[ $rest ]]; do
        case $rest in
        s*) arguments+=(x) rest=${rest#s} ;;
        u*) arguments+=(1) rest=${rest#u} ;;
        a\{sv\}*) arguments+=(0) rest=${rest#a\{sv\}} ;;
        *) printf 'no arguments are known for %s\n' "$rest"; return 1 ;;
        esac
    done
    refused_with '[Aa]ccess denied|not authori[sz]ed|[Ii]nteractive authentication' \
        as_alice busctl --system --timeout=30 call org.revived "$1" "$2" "$3" ${signature:+"$signature"} "${arguments[@]}"
}
check "take the card by hand, for a job to look at" revivectl take "$BOCHS"
job=$(busctl --system --no-pager --list tree org.revived | grep /jobs/ | tail -1)
count=0
for object in "/org/revived org.revived1.Manager" "$card org.revived1.Card" "$job org.revived1.Job"; do
    read -r path interface <<<"$object"
    while read -r method signature; do
        [[ $free != *" $method "* ]] || continue
        count=$((count + 1))
        check "(j) $interface.$method is denied" denied "$path" "$interface" "$method" "$signature"
    done < <(methods "$path" "$interface")
done
check "(j) there were methods to deny" [ "$count" -ge 6 ]
check "give it back" revivectl return "$BOCHS"
check "(j) alice may not own the name" refused_with 'denied|not allowed' \
    as_alice busctl --system call org.freedesktop.DBus / org.freedesktop.DBus RequestName su org.revived 0
check "(j) alice reads a property" as_alice busctl --system get-property org.revived /org/revived org.revived1.Manager Version
check "(j) alice reads all objects" as_alice busctl --system call org.revived /org/revived org.freedesktop.DBus.ObjectManager GetManagedObjects
check "(j) alice may not set one" refused_with 'cannot be written|[Aa]ccess denied' as_alice busctl --system set-property org.revived "$card" org.revived1.Card State s wedged
check "(j) alice sees the status" as_alice revivectl status
as_alice revivectl reset "$BOCHS" --yes
check "(j) a reset by alice ends with 5" [ $? -eq 5 ]

hook() { /etc/libvirt/hooks/qemu.d/50-revived "$@"; }
# hook_refuses PATTERN XML HOOK-ARGUMENT...
hook_refuses() {
    local pattern=$1 xml=$2
    shift 2
    refused_with "revived: .*$pattern" hook "$@" <<<"$xml"
}
hook_is_silent() { local output; output=$(hook "$@" 2>&1 </run/lab/odd.xml) && [[ ! $output ]]; }
define_domain odd plain yes "$BOCHS.0" "$BOCHS.1"
good=$(virsh dumpxml odd)
pci="<hostdev mode='subsystem' type='pci' managed='yes'>"
check "malformed XML" hook_refuses '' "<domain>$pci</domain>" odd prepare begin -
check "an entity bomb" hook_refuses '' "<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><domain><name>&b;</name>$pci</hostdev></domain>" odd prepare begin -
check "an address that does not exist" hook_refuses '0000:7f:1f.0' "${good//"bus='0x01' slot='0x00' function='0x0'/>"$'\n'"      </source>"/"bus='0x7f' slot='0x1f' function='0x0'/></source>"}" odd prepare begin -
check "an address that is none" hook_refuses '' "${good//"bus='0x01'"/"bus='0xzz'"}" odd prepare begin -
big=$(head -c 1048576 /dev/zero | tr '\0' x)
check "1 MB that is no XML" hook_refuses '' "<domain>$pci$big" odd prepare begin -
check "the XML of another domain" hook_refuses 'odd' "$good" other prepare begin -
# shellcheck disable=SC2016 # not to be expanded is the point
for name in 'two words' "quo'te\"s" $'new\nline' 'sla/sh' '$(touch /tmp/pwned)' '-dash' '`touch /tmp/pwned`'; do
    check "a domain called ${name@Q}" hook_refuses '' "$good" "$name" prepare begin -
done
check "an unknown operation passes without a word" hook_is_silent odd explode begin -
check "migrate prints nothing" hook_is_silent odd migrate begin -
check "restore prints nothing" hook_is_silent odd restore begin -
check "the spool is empty" [ -z "$(ls -A /run/revived/hook)" ]
check "nothing was executed" [ ! -e /tmp/pwned ]
check "the card was not touched" same "$before" "$(state_of bochs)"
check "the daemon is still the same process" [ "$(systemctl show -P MainPID revived)" = "$pid" ]
check "journald has its lines by priority" sh -c 'journalctl -b -u revived -o export --no-pager | grep -qx PRIORITY=6'
systemd-analyze --no-pager security revived | tail -1 | sed 's/^/# /'

check "uninstall" make -s -C /opt/revived uninstall
check "the hook is gone" [ ! -e /etc/libvirt/hooks/qemu.d/50-revived ]
check "the unit is gone" [ ! -e /usr/lib/systemd/system/revived.service ]
check "the daemon is gone" not systemctl is-active revived
finish
