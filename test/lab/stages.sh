# shellcheck shell=bash
# For scenarios that go over a reboot of the machine. Source it after lib.sh: $stage is 1, and one more after each reboot; what the
# checks found is carried along.
#
#   next_stage       the next reboot, by whomever, goes on with the next stage; again before it for what was checked meanwhile

stage=$(cat /var/lib/lab/stage 2>/dev/null || echo 1)
if [[ -e /var/lib/lab/sum ]]; then read -r lab_passed lab_failed </var/lib/lab/sum; fi

next_stage() {
    echo "$((stage + 1))" >/var/lib/lab/stage
    echo "$lab_passed $lab_failed" >/var/lib/lab/sum
    sync -f /var/lib/lab
    continue_with "$(readlink -f "$0")"
}
