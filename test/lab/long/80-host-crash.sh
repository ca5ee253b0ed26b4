#!/bin/bash
# The host goes down in a rung, and twice while a domain has the xHCI card: quarantine and kernel-suspect after the next boot.
set -u
# shellcheck source=../lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../revived.sh
. /opt/revived/test/lab/revived.sh
# shellcheck source=../stages.sh
. /opt/revived/test/lab/stages.sh
# shellcheck source=../faulty-dd.sh
. /opt/revived/test/lab/faulty-dd.sh

# crash: the next boot goes on with the next stage
crash() {
    next_stage
    say "the host goes down"
    # b: reboot at once, nothing is synced, nobody is told.
    echo b >/proc/sysrq-trigger
    tail -f /dev/null
}

say "boot $stage"
check "the daemon runs" wait_until 60 systemctl is-active revived
case $stage in
1)
    define_domain wedger wedge yes "$BOCHS.0" "$BOCHS.1"
    define_domain usb plain yes "$XHCI.0"
    faulty_dd
    # What belongs to the test; what the daemon writes it has to bring to the disk itself.
    sync
    check "start" virsh -q start wedger
    at_file '*reset_subordinate'
    check "destroy" virsh -q destroy wedger
    check "the rung is begun" wait_until 60 [ -e "$faults/reached" ]
    crash
    ;;
2)
    check "the rung is in quarantine" grep -q 'rung *subordinate' <(revivectl quarantine)
    check "the log says so" journal_says 'went down during rung subordinate of card'
    check "so does status" grep -q 'went down during rung "subordinate"' <(revivectl status)
    check "the ladder leaves it out, with the reason" grep -q 'quarantine' <(revivectl show "$BOCHS")
    before=$(state_of bochs)
    check "start" virsh -q start wedger
    check "destroy" virsh -q destroy wedger
    check "the card is revived by another rung" wait_until 90 card_is_home "$BOCHS"
    check "as before" same "$before" "$(state_of bochs)"
    check "the rung was skipped, and said so" grep -q 'rung subordinate","state":"skipped"' <(revivectl history --limit 1 --json)
    check "another one did it" grep -q '"state":"done".*healthy' <(revivectl history --limit 1 --json)
    check "clear" revivectl quarantine clear "$BOCHS" subordinate
    check "nothing is in quarantine" grep -q 'nothing is in quarantine' <(revivectl quarantine)
    check "start again" virsh -q start wedger
    check "destroy again" virsh -q destroy wedger
    check "home" wait_until 90 card_is_home "$BOCHS"
    check "now the rung is tried again" grep -q 'rung subordinate","state":"failed"' <(revivectl history --limit 1 --json)
    check "a domain has the xHCI card" virsh -q start usb
    crash
    ;;
3)
    check "the log has the end of the host" journal_says 'without a shutdown while the card was lent'
    check "once says nothing about the kernel" not grep -q 'kernel' <(revivectl quarantine)
    check "a domain has the xHCI card again" virsh -q start usb
    crash
    ;;
4)
    check "twice makes the kernel suspect" grep -q "On kernel $(uname -r) this host went down 2 times while card $XHCI" <(revivectl status)
    check "with what to do" grep -q 'No kernel on which it went well is known' <(revivectl quarantine)
    check "a domain still gets it" virsh -q start usb
    check "destroy" virsh -q destroy usb
    check "home" wait_until 60 card_is_home "$XHCI"
    check "and that it came home speaks for the kernel" not grep -q 'went down' <(revivectl status)
    finish
    ;;
esac
