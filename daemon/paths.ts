/**
 * Every path of the system in one object. systemd's *_DIRECTORY variables are the seam for tests
 * (the unit sets them on a real host); the REVIVED_* ones point at a simulated tree.
 *
 * State files (design, "Files"): who writes, how long they live.
 *   leases       /run/revived/leases.json     daemon, until host reboot
 *   spool        /run/revived/hook/           hook writes, daemon deletes after the call
 *   journal      /var/lib/revived/journal.jsonl   daemon, append + fdatasync, rotated
 *   ledger       /var/lib/revived/ledger.json    daemon, kept: quarantine, how hosts ended with a card lent
 *   runs         /run/revived/runs.json          daemon, until host reboot: guests that are to be started again
 *   reboot       /run/revived/reboot.json     daemon: how far a host reboot for a card is, until that reboot
 *   resume       /var/lib/revived/resume.json    daemon: what to start after a host reboot, until that is done
 *   rebootRequired   /run/reboot-required, and .pkgs beside it: the distribution's, with a line of ours
 *   hostRisk     /run/revived/host-risk.json     daemon, until a person clears it or the host reboots
 *   hookPolicy   /var/lib/revived/hook-unreachable   daemon, read by the hook when we are down
 */
export interface Paths {
  readonly sys: string;
  readonly proc: string;
  /** Where our own children are: they are real, whatever machine is simulated. */
  readonly ownProc: string;
  readonly dev: string;
  readonly run: string;
  readonly state: string;
  readonly config: string;
  readonly vendorConfig: string;
  readonly leases: string;
  readonly spool: string;
  readonly journal: string;
  readonly ledger: string;
  readonly hostRisk: string;
  readonly runs: string;
  readonly reboot: string;
  readonly resume: string;
  readonly rebootRequired: string;
  readonly hookPolicy: string;
  /** libvirt sockets in the order in which its own client looks (facts/libvirt.md 3.7). */
  readonly libvirtSockets: readonly string[];
  /** The program that carries a hazardous sysfs write or a config read: `dd` (sysfs/child.ts). */
  readonly dd: string;
  readonly systemdNotify: string;
}

/** The paths of this process, from its environment. Absolute paths, no trailing slash. */
export function pathsFrom(env: Readonly<Record<string, string | undefined>>): Paths {
  const run = first(env['RUNTIME_DIRECTORY']) ?? '/run/revived';
  const state = first(env['STATE_DIRECTORY']) ?? '/var/lib/revived';
  const sockets = env['REVIVED_LIBVIRT_SOCKET'];
  return {
    sys: env['REVIVED_SYS'] ?? '/sys',
    proc: env['REVIVED_PROC'] ?? '/proc',
    ownProc: '/proc',
    dev: env['REVIVED_DEV'] ?? '/dev',
    run,
    state,
    config: first(env['CONFIGURATION_DIRECTORY']) ?? '/etc/revived',
    vendorConfig: env['REVIVED_VENDOR_CONFIG'] ?? '/usr/lib/revived/conf.d',
    leases: `${run}/leases.json`,
    spool: `${run}/hook`,
    journal: `${state}/journal.jsonl`,
    ledger: `${state}/ledger.json`,
    hostRisk: `${run}/host-risk.json`,
    runs: `${run}/runs.json`,
    reboot: `${run}/reboot.json`,
    resume: `${state}/resume.json`,
    rebootRequired: '/run/reboot-required',
    hookPolicy: `${state}/hook-unreachable`,
    libvirtSockets:
      sockets !== undefined
        ? [sockets]
        : ['/run/libvirt/virtqemud-sock', '/run/libvirt/libvirt-sock'],
    dd: env['REVIVED_DD'] ?? '/usr/bin/dd',
    systemdNotify: '/usr/bin/systemd-notify',
  };
}

// systemd joins several directories with ':'; the first one is ours.
function first(list: string | undefined): string | undefined {
  const head = list?.split(':')[0];
  return head === undefined || head === '' ? undefined : head;
}
