# shellcheck shell=bash
# For scenarios about the daemon's end: the daemon's `dd` (REVIVED_DD) becomes a wrapper that does something at a write.
#
#   faulty_dd                     puts the wrapper in place and restarts the daemon with it
#   at_write N before|after       at the Nth write from now on: the daemon gets SIGKILL before or after it is done
#   at_file PATTERN               at the first write to a file of that name: the write waits for good, before it is done
#   no_fault                      writes are writes again
#   writes                        how many there were since at_write, at_file or no_fault

faults=/run/revived/lab

faulty_dd() {
    cat >/usr/local/bin/lab-dd <<'WRAPPER'
#!/bin/sh
# Only writes count: dd of=FILE. The daemon is our parent.
faults=/run/revived/lab
target=
for word; do case $word in of=*) target=${word#of=} ;; esac; done
[ -n "$target" ] && [ -e $faults/armed ] || exec /usr/bin/dd "$@"
echo "$target" >>$faults/seen
read -r kind what when <$faults/armed
case $kind in
write)
    [ "$(wc -l <$faults/seen)" -eq "$what" ] || exec /usr/bin/dd "$@"
    if [ "$when" = after ]; then /usr/bin/dd "$@"; fi
    rm $faults/armed
    kill -KILL "$PPID"
    ;;
file)
    # shellcheck disable=SC2254 # a pattern is what it is
    case $target in $what) ;; *) exec /usr/bin/dd "$@" ;; esac
    : >$faults/reached
    exec tail -f /dev/null
    ;;
*) exec /usr/bin/dd "$@" ;;
esac
WRAPPER
    chmod 755 /usr/local/bin/lab-dd
    mkdir -p /etc/systemd/system/revived.service.d
    printf '[Service]\nEnvironment=REVIVED_DD=/usr/local/bin/lab-dd\n' >/etc/systemd/system/revived.service.d/lab-dd.conf
    systemctl daemon-reload
    systemctl restart revived
    mkdir -p "$faults"
}

arm() {
    rm -f "$faults"/*
    : >"$faults/seen"
    printf '%s\n' "$*" >"$faults/armed"
}
at_write() { arm write "$1" "$2"; }
at_file() { arm file "$1"; }
no_fault() { arm none; }
writes() { wc -l <"$faults/seen"; }
