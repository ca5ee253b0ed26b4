/**
 * Reboots the host through logind's D-Bus API (org.freedesktop.login1(5)), and asks first who objects. Nothing is shelled
 * out. The calls themselves are handed in: this layer knows no bus.
 */
import { RevivedError } from '../errors.ts';
import { printable } from '../printable.ts';

/** org.freedesktop.login1.Manager. Both reject with the bus's error, in bounded time; variants are taken off. */
export interface LogindDoor {
  call(member: string, signature: string, body: readonly unknown[]): Promise<readonly unknown[]>;
  property(name: string): Promise<unknown>;
}

export interface Power {
  /**
   * Rejects with `refused` naming who or what is in the way: inhibitors of others, a shutdown that somebody has scheduled, a
   * host that cannot reboot. `announcedMs`: the time that we have announced, if any (ms since the epoch).
   */
  checkReboot(announcedMs: number): Promise<void>;
  /** Tells everybody who is logged in, and logind, that the host reboots at that time (ms since the epoch). */
  announce(atMs: number, message: string): Promise<void>;
  /** Takes the announcement of that time back. One that is not ours stays. */
  withdraw(atMs: number): Promise<void>;
  /** Resolves when logind has taken the request. */
  reboot(): Promise<void>;
  /** True when logind is shutting the host down or rebooting it already. */
  isGoingDown(): Promise<boolean>;
}

/** Names in a refusal. */
const maxNamed = 5;
const maxName = 100;

/** Power over a host with logind. */
export function createPower(logind: LogindDoor): Power {
  return {
    async checkReboot(announcedMs) {
      // For root logind would pass over the inhibitors of others until systemd 257, so they are looked at here, before the
      // request (logind-dbus.c verify_shutdown_creds: ACTION_IGNORE_INHIBIT is always granted to uid 0).
      const [list] = await logind.call('ListInhibitors', '', []);
      const blockers = blockersIn(list);
      if (blockers.length > 0) {
        throw new RevivedError(
          'refused',
          `The host must not be rebooted now: ${blockers.join(', ')}.`,
          'See "systemd-inhibit --list"; when that has ended: revivectl reboot now',
        );
      }
      const [type, when] = scheduled(await logind.property('ScheduledShutdown'));
      if (isOfOthers(type, when, announcedMs)) {
        throw new RevivedError(
          'refused',
          `Somebody has scheduled a ${shown(type)} of this host for ${timeText(when)}, which is not to be overtaken.`,
          'Let it happen, or take it back with "shutdown -c"; then: revivectl reboot now',
        );
      }
      const [can] = await logind.call('CanReboot', '', []);
      if (can === 'yes') return;
      throw new RevivedError(
        'refused',
        `logind says that this host cannot be rebooted by revived (CanReboot: ${shown(can)}).`,
        'Reboot it by hand.',
      );
    },

    async announce(atMs, message) {
      const [type, when] = scheduled(await logind.property('ScheduledShutdown'));
      // Somebody else's plan is theirs: it is not replaced by ours. Ours is known by its time.
      if (type !== '' && when !== usec(atMs)) return;
      await logind.call('SetWallMessage', 'sb', [printable(message), true]);
      // dry-: logind tells everybody and does nothing at that time. The reboot itself stays ours to ask for, after a last
      // look at the inhibitors, and a daemon that is killed meanwhile leaves no reboot behind.
      await logind.call('ScheduleShutdown', 'st', ['dry-reboot', usec(atMs)]);
    },

    async withdraw(atMs) {
      const [type, when] = scheduled(await logind.property('ScheduledShutdown'));
      if (type === '' || when !== usec(atMs)) return;
      await logind.call('CancelScheduledShutdown', '', []);
      await logind.call('SetWallMessage', 'sb', ['', true]);
    },

    async reboot() {
      await logind.call('Reboot', 'b', [false]);
    },

    async isGoingDown() {
      return (await logind.property('PreparingForShutdown')) === true;
    },
  };
}

// a(ssssuu): what, who, why, mode, uid, pid. `block-weak` (systemd 257) is meant to stop services as well.
function blockersIn(list: unknown): readonly string[] {
  if (!Array.isArray(list)) return [];
  const found = list.flatMap((entry: unknown): readonly string[] => {
    if (!Array.isArray(entry)) return [];
    const [what, who, why, mode]: readonly unknown[] = entry;
    const isBlocking = typeof mode === 'string' && mode.startsWith('block');
    if (!isBlocking || typeof what !== 'string' || !what.split(':').includes('shutdown')) return [];
    return [`${shown(who)} holds it up (${shown(why)})`];
  });
  const more = found.length - maxNamed;
  return more > 0 ? [...found.slice(0, maxNamed), `and ${more} more`] : found;
}

// A dry one does nothing, one of the past neither: what really goes down says so itself (PreparingForShutdown).
function isOfOthers(type: string, when: bigint, announcedMs: number): boolean {
  if (type === '' || type.startsWith('dry-') || when === usec(announcedMs)) return false;
  return when > usec(Date.now());
}

// USEC_INFINITY is beyond what a date can be.
function timeText(when: bigint): string {
  const date = new Date(Number(when / 1000n));
  return Number.isNaN(date.getTime()) ? 'some time' : date.toISOString();
}

function usec(ms: number): bigint {
  return BigInt(Math.round(ms)) * 1000n;
}

// (st): `reboot`, `poweroff`, ... or nothing; not every version says that it is a dry one.
function scheduled(value: unknown): readonly [type: string, usec: bigint] {
  const [type, usec]: readonly unknown[] = Array.isArray(value) ? value : [];
  return [typeof type === 'string' ? type : '', typeof usec === 'bigint' ? usec : 0n];
}

function shown(value: unknown): string {
  return printable(String(value)).slice(0, maxName);
}
