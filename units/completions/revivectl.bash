# shellcheck shell=bash
# bash completion for revivectl(1)

# What revivectl knows, from its JSON. Only words of harmless characters pass: compgen expands what it is given,
# and the name of a domain can be anything.
_revivectl_cards() {
  revivectl list --all --json 2>/dev/null | grep -oE '\{"address":"[0-9a-f:]+"' | grep -oE '[0-9a-f]+:[0-9a-f:]+'
}
_revivectl_domains() {
  revivectl list --all --json 2>/dev/null | grep -oE '"uuid":"[0-9a-f-]+","name":"[A-Za-z0-9._+@-]+"' | cut -d '"' -f 8
}
_revivectl_rungs() {
  revivectl show "$1" --json 2>/dev/null | grep -oE '"rung":"[a-z0-9_-]+"' | cut -d '"' -f 4
}
_revivectl_rules() {
  revivectl doctor --rules --json 2>/dev/null | grep -oE '"id":"[a-z0-9-]+"' | cut -d '"' -f 4
}

_revivectl() {
  local verbs='status list show plan reset take return doctor explain bundle history monitor quarantine reboot version help'
  local line=${COMP_LINE:0:COMP_POINT} verb='' card='' index current previous words options candidates='' prefix
  # Not COMP_WORDS: bash splits addresses at their colons.
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  current=${words[-1]}
  previous=${words[-2]}
  for ((index = 1; index < ${#words[@]} - 1; index++)); do
    if [[ ${words[index]} == -* ]]; then
      continue
    elif [[ -z $verb ]]; then
      verb=${words[index]}
    elif [[ ${words[index]} == *:* ]]; then
      card=${words[index]}
    fi
  done
  case $previous in
  --op) candidates='prepare return' ;;
  --rung) [[ -n $card ]] && candidates=$(_revivectl_rungs "$card") ;;
  --fix) candidates=$(_revivectl_rules) ;;
  --limit | -n) ;;
  --root) mapfile -t COMPREPLY < <(compgen -d -- "$current") && return ;;
  *)
    options='--json --no-color --yes --help'
    case $verb in
    reboot) [[ $previous == arm ]] && candidates=$(_revivectl_domains) || candidates='arm status cancel now' ;;
    '' | help) candidates=$verbs ;;
    list) options+=' --all' ;;
    show) candidates="$(_revivectl_cards) $(_revivectl_domains)" ;;
    plan) options+=' --op' candidates=$(_revivectl_domains) ;;
    reset) options+=' --rung' candidates=$(_revivectl_cards) ;;
    take | return) candidates=$(_revivectl_cards) ;;
    doctor) options+=' --root --only-errors --fix --undo --rules' candidates=$(_revivectl_domains) ;;
    bundle) options+=' --root' && [[ $current != -* ]] && mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
    history) options+=' --limit --rungs --export' ;;
    esac
    [[ $current == -* ]] && candidates=$options
    ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$candidates" -- "$current")
  if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
    prefix=${current%"${current##*:}"}
    COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
  fi
}
complete -F _revivectl revivectl
