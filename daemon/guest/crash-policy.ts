/** How the run of a guest ended, and whether it is started again. Pure. */
import type { DomainSettings } from '../config/config.ts';

/** reboot: from inside the guest, where that is made a stop; crash: the guest or its QEMU died; stop: all else. */
export type RunEnd = 'reboot' | 'crash' | 'stop';

/** A start of ours, and what for. */
export interface Start {
  readonly kind: 'reboot' | 'crash';
  /** Microseconds since the epoch. */
  readonly at: number;
}

const windowUsec = 600 * 1_000_000;
/** Starts in that time; then it stays off. A guest may well reboot several times while it is updated. */
const limits = { reboot: 10, crash: 3 } as const;

/**
 * True for QEMU's words for a reset that ends the guest instead: by the guest itself, or from outside (`virsh reset`,
 * qapi/run-state.json ShutdownCause).
 */
export function isReset(ending: string | undefined): boolean {
  return ending === 'guest-reset' || ending === 'host-qmp-system-reset';
}

/**
 * From libvirt's word for why it stopped (crashed: the guest panicked; failed: QEMU is gone, facts/libvirt.md 1.4) and QEMU's
 * first word for it, if it had one.
 */
export function endOfRun(
  run: { readonly cold: boolean },
  detail: string,
  ending: string | undefined,
): RunEnd {
  if (detail === 'crashed' || detail === 'failed') return 'crash';
  return run.cold && isReset(ending) ? 'reboot' : 'stop';
}

/** True when the end of a run is followed by a start. */
export function isStartDue(
  end: RunEnd,
  settings: DomainSettings | undefined,
): end is 'reboot' | 'crash' {
  return end === 'reboot' || (end === 'crash' && settings?.restart === 'on-crash');
}

/** The starts that count at that moment. A clock that was set back does not make them count for longer. */
export function recentStarts(starts: readonly Start[], nowUsec: number): readonly Start[] {
  return starts.filter(({ at }) => Math.abs(nowUsec - at) < windowUsec);
}

/** Why a domain is not started once more; undefined when it is. */
export function refuseStart(
  kind: Start['kind'],
  starts: readonly Start[],
  nowUsec: number,
): string | undefined {
  const count = recentStarts(starts, nowUsec).filter((start) => start.kind === kind).length;
  if (count < limits[kind]) return undefined;
  const what = kind === 'crash' ? 'crashed' : 'rebooted';
  return `It has ${what} ${count + 1} times within ${windowUsec / 60_000_000} minutes and stays off: starting it over and over does its card no good. Look at its log, then start it by hand.`;
}
