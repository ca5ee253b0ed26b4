# fish completion for revivectl(1)

function __revivectl_cards
    revivectl list --all --json 2>/dev/null | grep -oE '\{"address":"[0-9a-f:]+"' | grep -oE '[0-9a-f]+:[0-9a-f:]+'
end
function __revivectl_domains
    revivectl list --all --json 2>/dev/null | grep -oE '"uuid":"[0-9a-f-]+","name":"[A-Za-z0-9._+@-]+"' | cut -d '"' -f 8
end
function __revivectl_rungs
    set -l card (commandline -opc | string match -e ':')[1]
    test -n "$card"; and revivectl show $card --json 2>/dev/null | grep -oE '"rung":"[a-z0-9_-]+"' | cut -d '"' -f 4
end
function __revivectl_rules
    revivectl doctor --rules --json 2>/dev/null | grep -oE '"id":"[a-z0-9-]+"' | cut -d '"' -f 4
end

set -l verbs status list show plan reset take return doctor explain bundle history monitor quarantine reboot version help
set -l none "not __fish_seen_subcommand_from $verbs"
complete -c revivectl -f
complete -c revivectl -l json -d 'print JSON'
complete -c revivectl -l no-color -d 'print without colours'
complete -c revivectl -s y -l yes -d 'ask nothing'
complete -c revivectl -s h -l help -d 'say how it is used'
complete -c revivectl -n $none -a status -d 'show the daemon, the cards and what needs attention'
complete -c revivectl -n $none -a list -d 'list cards, and domains with cards'
complete -c revivectl -n $none -a show -d 'show everything about a card or a domain'
complete -c revivectl -n $none -a plan -d 'say what would be done for a domain, and do nothing'
complete -c revivectl -n $none -a reset -d 'reset a card until it is healthy, and follow that'
complete -c revivectl -n $none -a take -d 'take a card from the host, ready for a guest'
complete -c revivectl -n $none -a return -d 'give a card back to the host'
complete -c revivectl -n $none -a doctor -d 'look for what keeps cards from working in guests'
complete -c revivectl -n $none -a explain -d 'say what a kernel, QEMU or libvirt log shows'
complete -c revivectl -n $none -a bundle -d 'write an archive that others can judge this host by'
complete -c revivectl -n $none -a history -d 'list the jobs that ended, newest first'
complete -c revivectl -n $none -a monitor -d 'print changes as they happen'
complete -c revivectl -n $none -a quarantine -d 'list, or allow again, what once took the host down'
complete -c revivectl -n $none -a reboot -d 'reboot the host after a driver install in a guest'
complete -c revivectl -n $none -a version -d 'print the versions of revivectl and of the daemon'
complete -c revivectl -n $none -a help -d 'say how it, or one verb, is used'
complete -c revivectl -n '__fish_seen_subcommand_from help' -a "$verbs"
complete -c revivectl -n '__fish_seen_subcommand_from reboot' -a 'arm status cancel now'
complete -c revivectl -n '__fish_seen_subcommand_from reboot; and __fish_seen_subcommand_from arm' -a '(__revivectl_domains)'
complete -c revivectl -n '__fish_seen_subcommand_from list' -l all -d 'every PCI card, every domain'
complete -c revivectl -n '__fish_seen_subcommand_from show' -a '(__revivectl_cards) (__revivectl_domains)'
complete -c revivectl -n '__fish_seen_subcommand_from plan' -a '(__revivectl_domains)'
complete -c revivectl -n '__fish_seen_subcommand_from plan' -x -l op -a 'prepare return' -d 'for which end of the run'
complete -c revivectl -n '__fish_seen_subcommand_from reset take return' -a '(__revivectl_cards)'
complete -c revivectl -n '__fish_seen_subcommand_from reset' -x -l rung -a '(__revivectl_rungs)' -d 'use this rung and no other'
complete -c revivectl -n '__fish_seen_subcommand_from explain' -F
complete -c revivectl -n '__fish_seen_subcommand_from bundle' -F
complete -c revivectl -n '__fish_seen_subcommand_from bundle' -x -l root -a '(__fish_complete_directories)' -d 'bundle a captured host'
complete -c revivectl -n '__fish_seen_subcommand_from history' -x -s n -l limit -d 'at most so many jobs'
complete -c revivectl -n '__fish_seen_subcommand_from history' -l rungs -d 'what came of each way to reset a card'
complete -c revivectl -n '__fish_seen_subcommand_from history' -l export -d 'with --rungs: JSON to give away'
complete -c revivectl -n '__fish_seen_subcommand_from doctor' -a '(__revivectl_domains)'
complete -c revivectl -n '__fish_seen_subcommand_from doctor' -x -l root -a '(__fish_complete_directories)' -d 'judge a captured host'
complete -c revivectl -n '__fish_seen_subcommand_from doctor' -l only-errors -d 'print errors only'
complete -c revivectl -n '__fish_seen_subcommand_from doctor' -x -l fix -a '(__revivectl_rules)' -d 'mend what this rule found'
complete -c revivectl -n '__fish_seen_subcommand_from doctor' -l undo -d 'put back what the last fix changed'
complete -c revivectl -n '__fish_seen_subcommand_from doctor' -l rules -d 'list what is looked at, and why'
