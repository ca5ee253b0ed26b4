/**
 * Lets the host sleep for some seconds (S3), for the one rung that takes the power from a card in any slot. logind does it, so
 * that programs are told; the real-time clock wakes the host, as rtcwake(8) does. Only `deep`: s2idle cuts no power, and
 * wedges some cards (facts/kernel.md 6 row 8).
 */
import { waitFor } from '../deadline.ts';
import { RevivedError } from '../errors.ts';
import type { CardAddress } from '../pci/address.ts';
import { printable } from '../printable.ts';
import { writeAttribute } from '../sysfs/attribute.ts';
import type { SysfsIo } from '../sysfs/io.ts';
import { readAttribute } from '../sysfs/read.ts';

export interface Sleep {
  /** Why the host must not sleep for this card now; undefined when it may. */
  against(card: CardAddress): string | undefined;
  /** Sleeps and comes back; rejects with what kept it awake. */
  sleep(): Promise<void>;
  /** What `sleep` changes for as long as it lasts, as it is now: for `undo`, through the journal. */
  survey(): Readonly<Record<string, string>>;
  /** Puts back what a daemon that was ended in `sleep` left; rejects when the host is on its way to sleep for good. */
  undo(before: Readonly<Record<string, string>>): Promise<void>;
}

/** org.freedesktop.login1, as far as it is used here. */
export interface Logind {
  /** BlockInhibited of its manager: what is blocked now, separated by colons. */
  blocked(): Promise<string>;
  /**
   * Calls back for each PrepareForSleep: true before, false when the host is awake again, or never slept. Asked again with the
   * same listener, it listens on.
   */
  onPrepare(listener: (before: boolean) => void): Promise<void>;
  suspend(): Promise<void>;
  /** PreparingForSleep: true from the request to sleep until the host is awake again. */
  isPreparing(): Promise<boolean>;
}

export interface SleepParts {
  readonly sys: string;
  readonly io: SysfsIo;
  readonly logind: Logind;
  /** Milliseconds for one write to an attribute. */
  readonly writeMs: number;
  /** Names of domains that are not shut off, other than that of the card; undefined when libvirt does not say. */
  readonly running: (card: CardAddress) => readonly string[] | undefined;
  /** never: not at all. alone: when no domain runs. always: their owners agree. */
  readonly allowed: () => 'never' | 'alone' | 'always';
  /**
   * How often the alarm is put off while the host still runs, how long news of its sleep are waited for, and how long the end of
   * one that an earlier daemon asked for: the start of ours waits for that (TimeoutStartSec=60 in the unit).
   */
  readonly times?: typeof usualTimes;
}

/**
 * Seconds until the clock rings. It must not ring before the host sleeps, or nothing wakes it: programs that ask for it get
 * 5 s before (logind.conf, InhibitDelayMaxSec=), and freezing all others may take as long again.
 */
const alarmSeconds = 20;
/** It is put off by that much each time that this has passed before the host sleeps (wakealarm_store of drivers/rtc/sysfs.c). */
const pushSeconds = 5;
/** From the request to the news that it is over: the clock of this stands still while the host sleeps. */
const usualTimes = { pushMs: pushSeconds * 1000, wholeMs: 60_000, undoMs: 20_000 };

/** Why this host cannot sleep and wake by itself; undefined when it can. Reads what never blocks. */
export function sleepObstacle(sys: string): string | undefined {
  const kinds = readAttribute(`${sys}/power/mem_sleep`)?.split(' ') ?? [];
  if (!kinds.some((kind) => /^\[?deep\]?$/.test(kind))) {
    return 'this host has no deep sleep (S3), and no other cuts the power of a card';
  }
  const alarm = readAttribute(alarmOf(sys));
  if (alarm === undefined) return 'this host has no clock that could wake it';
  return alarm === '' ? undefined : 'the wake-up alarm of this host is taken by somebody else';
}

/** Builds it over its parts. */
export function createSleep(parts: SleepParts): Sleep {
  const { sys, io, logind, writeMs } = parts;
  const set = (path: string, value: string): Promise<unknown> =>
    writeAttribute(io, path, value, writeMs);
  const kinds = `${sys}/power/mem_sleep`;
  const chosenKind = () => /\[(\w+)\]/.exec(readAttribute(kinds) ?? '')?.[1];
  let awake = 0;
  const onPrepare = (before: boolean): void => {
    if (!before) awake++;
  };
  return {
    against(card) {
      if (parts.allowed() === 'never') return 'the configuration forbids it (suspend: never)';
      if (parts.allowed() === 'always') return undefined;
      const running = parts.running(card);
      if (running === undefined) return 'libvirt does not say which domains run';
      return running.length === 0
        ? undefined
        : `${running.map(printable).join(', ')} would sleep as well (suspend: always in the configuration says that they may)`;
    },
    async sleep() {
      const obstacle = sleepObstacle(sys);
      if (obstacle !== undefined) throw notAsleep(obstacle);
      // For root logind overlooks who blocks it.
      const blocked = (await logind.blocked()).split(':').includes('sleep');
      if (blocked) throw notAsleep('a program blocks it (systemd-inhibit --list names it)');
      await logind.onPrepare(onPrepare);
      const chosen = chosenKind();
      const stats = () => readAttribute(`${sys}/power/suspend_stats/success`);
      const before = stats();
      if (chosen !== 'deep') await set(kinds, 'deep');
      const { pushMs, wholeMs } = parts.times ?? usualTimes;
      let maySleepYet = false;
      try {
        await set(alarmOf(sys), `+${alarmSeconds}`);
        const was = awake;
        await logind.suspend();
        maySleepYet = true;
        // How long programs hold it up is theirs to say (InhibitDelayMaxSec=): as long as we still run, it must not ring.
        let next = performance.now() + pushMs;
        const isOver = async (): Promise<true | undefined> => {
          if (awake > was) return true;
          if (performance.now() < next) return undefined;
          next = performance.now() + pushMs;
          // One that has rung cannot be put off (EINVAL): the host is awake again.
          await set(alarmOf(sys), `+=${pushSeconds}`).catch(() => undefined);
          return undefined;
        };
        const over = await waitFor(isOver, wholeMs, 50);
        maySleepYet = over !== true;
        if (maySleepYet) throw notAsleep(`nothing was heard of it for ${wholeMs / 1000} s`);
        if (before !== undefined && stats() === before) throw notAsleep(failedDevice(sys));
      } finally {
        // Where it was not needed it must not ring later; 0 takes it back. A host that sleeps later after all needs it.
        if (!maySleepYet) await set(alarmOf(sys), '0').catch(() => undefined);
        if (chosen !== undefined && chosen !== 'deep') {
          await set(kinds, chosen).catch(() => undefined);
        }
      }
    },
    survey() {
      const kind = chosenKind();
      const alarm = readAttribute(alarmOf(sys));
      return {
        ...(kind === undefined || kind === 'deep' ? {} : { kind }),
        ...(alarm === '' ? { alarm } : {}),
      };
    },
    async undo({ kind, alarm }) {
      // A host that sleeps yet needs both. Without logind there is nobody who would let it.
      const isOver = async (): Promise<true | undefined> =>
        (await logind.isPreparing().catch(() => false)) ? undefined : true;
      const { undoMs } = parts.times ?? usualTimes;
      const over = await waitFor(isOver, undoMs, 250);
      if (over !== true) throw notAsleep('it has been on its way there for too long');
      // Else somebody has chosen anew meanwhile.
      const isOurs = kind !== undefined && /^\w{1,16}$/.test(kind) && chosenKind() === 'deep';
      if (isOurs) await set(kinds, kind);
      // Ours, or the sleep would not have been begun: with it the next one would not be either.
      if (alarm === '' && readAttribute(alarmOf(sys)) !== '') await set(alarmOf(sys), '0');
    },
  };
}

// Documentation/ABI/testing/sysfs-class-rtc: seconds since the epoch, `+` before them: from now; empty when none is set.
function alarmOf(sys: string): string {
  return `${sys}/class/rtc/rtc0/wakealarm`;
}

function failedDevice(sys: string): string {
  const device = readAttribute(`${sys}/power/suspend_stats/last_failed_dev`) ?? '';
  return `the kernel gave it up${device === '' ? '' : ` because of ${printable(device)}`}`;
}

function notAsleep(why: string): RevivedError {
  return new RevivedError('failed', `The host does not sleep: ${why}.`);
}
