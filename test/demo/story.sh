#!/bin/bash
# The story of `make demo`, told from inside the lab machine. Each step says what it does, asks the machine whether it is so,
# and ends the story where it is not. The lines that `emit` prints are for test/demo/demo; everything else lands in its log.
# shellcheck disable=SC2317 # the steps are called through `step`
set -u
# shellcheck source=../lab/lib.sh
. /opt/revived/test/lab/lib.sh
# shellcheck source=../lab/revived.sh
. /opt/revived/test/lab/revived.sh

hook=/etc/libvirt/hooks/qemu.d/50-revived
display=$BOCHS.0
sound=$BOCHS.1
# What went wrong in the step in hand.
why=

# emit WORD FIELD...: one line for the runner, also from within a command whose own output is kept
exec {runner}>&1
emit() {
    local IFS=$'\x1f' fields=("$@")
    printf 'demo\x1f%s\n' "${fields[*]//[[:cntrl:]]/ }" >&"$runner"
}

# quote TEXT: a program's own words, line by line
quote() {
    local text
    while read -r text; do
        [[ ! $text ]] || emit quote "$text"
    done <<<"$1"
}

# step NAME TITLE FUNCTION
step() {
    local name=$1 since
    emit begin "$name" "$2"
    why=
    since=$(now_ms)
    if "$3"; then
        emit end "$name" ok $(($(now_ms) - since)) ''
    else
        emit end "$name" failed $(($(now_ms) - since)) "$why"
        diagnose
        exit 1
    fi
}

# For the log, after a failure.
diagnose() {
    virsh list --all
    journalctl -b -u revived -u libvirtd -n 100 -o short-precise --no-pager
    dmesg | tail -n 50
    timeout 30 revivectl status
}

# try COMMAND...: quietly; its words are the reason when it fails
try() {
    local words
    words=$("$@" 2>&1) && return
    why="$*: $words"
    return 1
}

# expect WHY COMMAND...: WHY is the reason when it fails
expect() {
    why=$1
    shift
    "$@" >/dev/null && why=
}

tell_drivers() {
    emit tell "$display is with $(driver_of "$display"), $sound with $(driver_of "$sound")"
}

is_dead() { [[ $(header_of "$display") == ffffffff && $(header_of "$sound") == ffffffff ]]; }

# handed_over SINCE: the newest job in revived's history is a hand-over to the guest, begun after SINCE (ms) at the hook's request.
handed_over() {
    local job took
    job=$(busctl --system call org.revived /org/revived org.revived1.Manager GetHistory 'ua{sv}' 1 0) || return
    [[ $job == *'"Operation" s "prepare" "Subject" s "guest"'*'"RequestedBy" s "hook prepare"'* ]] || return
    [[ $job =~ '"Started" t '([0-9]+)' "Finished" t '([0-9]+) ]] || return
    ((BASH_REMATCH[1] / 1000 >= $1)) || return
    took=$(((BASH_REMATCH[2] - BASH_REMATCH[1]) / 1000))
    emit tell "revived took it from the host in $(grep -o '"Name" s' <<<"$job" | wc -l) steps and $((took / 1000)).$((took % 1000 / 100)) s, before libvirt went on"
}

# Rungs that this card has here, from the property Ladder: `"Rung" s "flr" "Available" b true ...`.
available_rungs() {
    local ladder rungs=
    ladder=$(busctl --system get-property org.revived "/org/revived/cards/${BOCHS//[:.]/_}" org.revived1.Card Ladder) || return
    while [[ $ladder =~ \"Rung\"\ s\ \"([a-z_-]+)\"\ \"Available\"\ b\ (true|false)(.*) ]]; do
        [[ ${BASH_REMATCH[2]} == false ]] || rungs+="${rungs:+, }${BASH_REMATCH[1]}"
        ladder=${BASH_REMATCH[3]}
    done
    [[ ! $rungs ]] || emit tell "its ladder on this host: $rungs"
}

# show_rungs PATH: tells the rungs of the job that were not yet told
show_rungs() {
    local steps name state ms detail verdict said
    local -i seen=0
    steps=$(busctl --system get-property org.revived "$1" org.revived1.Job Steps) || return
    local entry='"Name" s "([^"]*)" "State" s "([a-z-]+)" "Ms" u ([0-9]+) "Detail" s "(([^"\\]|\\.)*)"(.*)'
    while [[ $steps =~ $entry ]]; do
        name=${BASH_REMATCH[1]} state=${BASH_REMATCH[2]} ms=${BASH_REMATCH[3]} detail=${BASH_REMATCH[4]}
        steps=${BASH_REMATCH[6]}
        [[ $name == 'rung '* && $state != running ]] || continue
        ((++seen > told)) || continue
        told=$seen
        # `WHAT THE KERNEL SAID | VERDICT: SIGNS | kernel: ...`
        said=${detail%%' | '*}
        verdict=${detail#*' | '}
        verdict=${verdict%%:*}
        if [[ $state == 'done' ]]; then
            healed=1
            emit rung "${name#rung }" ok "$ms" "$verdict" "$said"
        else
            [[ $verdict != wedged ]] || verdict='still wedged'
            emit rung "${name#rung }" failed "$ms" "$verdict" "$said"
        fi
    done
}

return_is_seen() { job=$(card_property "$BOCHS" Job) && [[ $job != / ]]; }
job_has_ended() {
    show_rungs "$job"
    outcome=$(busctl --system get-property org.revived "$job" org.revived1.Job State) && [[ $outcome != 's "running"' ]]
}

# Follows the return of the card while it runs, rung by rung.
follow_ladder() {
    job=/ outcome='' told=0 healed=''
    expect 'revived did not begin to take the card back' wait_until 60 return_is_seen || return
    expect 'the return of the card did not end in 180 s' wait_until 180 job_has_ended || return
    show_rungs "$job"
    if [[ $outcome != 's "done"' ]]; then
        why=$(busctl --system get-property org.revived "$job" org.revived1.Job Error)
        return 1
    fi
    expect 'the card came home without a rung that healed it' [ "$healed" ]
}

# What was set before a guest. Not reset_method: that is the kernel's own list, and for the sound function it is another one when the
# function is found while the slot is known (multifunction is set after its methods are looked for, drivers/pci/probe.c).
settings() { snapshot bochs | grep -v ' reset_method '; }

is_as_before() {
    if ! wait_until 30 card_is_home "$BOCHS"; then
        why="the card is $(card_state "$BOCHS") and $(card_health "$BOCHS"), not home and healthy"
        return 1
    fi
    if ! why=$(same "$before" "$(settings)"); then
        why="not as before: ${why//$'\n'/; }"
        return 1
    fi
    tell_drivers
    emit tell "$(printf '%s\n' "$before" | wc -l) settings of the card and its port are as they were before the first start"
}

# --- the steps -------------------------------------------------------------------------------------------------------

start() {
    tell_drivers
    available_rungs
    start_again
}

start_again() {
    local since
    since=$(now_ms)
    try virsh -q start guest || return
    expect 'the domain does not run' domain_is guest running || return
    expect 'the card is not with vfio-pci' card_is_on_vfio bochs || return
    expect 'revived does not know that the domain has the card' card_is_lent "$BOCHS" guest || return
    expect 'it was not revived that handed the card over: its hook did not ask' handed_over "$since" || return
    tell_drivers
}

off() {
    try systemctl mask --runtime --now revived.service || return
    try mv "$hook" /run/lab/hook || return
    try systemctl reload libvirtd.service || return
    expect 'the daemon still runs' not systemctl --quiet is-active revived.service
}

stop() {
    # lab-qemu-wedge in the image of the lab
    emit tell "its emulator takes the card's power away as it ends: dead like an AMD card after a lost reset, without a word to anybody"
    try virsh -q destroy guest || return
    expect 'the domain still runs' domain_is guest 'shut off'
}

wedged() {
    emit tell "config space of $display: $(header_of "$display"), of $sound: $(header_of "$sound")"
    expect 'the card is alive' is_dead
}

refused() {
    local words
    emit tell 'virsh start guest'
    if words=$(virsh -q start guest 2>&1); then
        why='the domain started on a dead card'
        return 1
    fi
    quote "$words"
    why='libvirt refused it, but for another reason'
    [[ $words == *"Unknown PCI header type '127'"* ]] && why=
}

on() {
    try mv /run/lab/hook "$hook" || return
    try systemctl reload libvirtd.service || return
    try systemctl unmask --runtime revived.service || return
    try systemctl start revived.service
}

stop_again() {
    try virsh -q destroy guest || return
    follow_ladder || return
    is_as_before
}

before=$(settings)
try define_domain guest wedge yes "$display" "$sound" || { printf '%s\n' "$why"; exit 1; }

step start 'the domain starts on the card, which revived hands over' start
step off 'now without revived: it is stopped, and its hook is taken away' off
step stop 'the domain stops, and the card does not survive it' stop
step wedged 'the card is found wedged' wedged
step refused 'the next start, without revived' refused
step on 'revived is back, and so is its hook' on
step revive 'it finds the card that it had lent wedged, and climbs the ladder' follow_ladder
step home 'the card is healthy and back with its host drivers' is_as_before
step start-again 'the domain starts again' start_again
step stop-again 'it stops and wedges the card once more, this time under the eyes of revived' stop_again
