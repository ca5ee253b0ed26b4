/**
 * What is remembered over reboots (/var/lib/revived/ledger.json): what was being done to a card when the host went down, on
 * which kernels the host ended badly or well while a card was lent, what came of each rung, which resets are in doubt, what
 * cards were like when they were well, what their links can do, and which display drivers guests have. Read with suspicion; without a disk it is kept in memory and that
 * is said.
 */
import { rename } from 'node:fs/promises';
import { asRevivedError } from '../errors.ts';
import type { Log } from '../log.ts';
import { type CardAddress, isCardAddress } from '../pci/address.ts';
import { isRecord } from '../record.ts';
import { readOwn, writeWhole } from './atomic-file.ts';
import { type CardLinks, isCardLinks, withLinks } from './best-link.ts';
import { createDisk } from './disk.ts';
import { isKnownCard, type KnownCard, withKnown } from './known-card.ts';
import {
  isOutcome,
  type Outcome,
  type OutcomeKey,
  type RungResult,
  withResult,
} from './outcome.ts';

/** A card as the ledger knows it: another card in the same slot is not meant. */
export interface CardKey {
  readonly card: CardAddress;
  /** `1002:731f`, of its first function. */
  readonly id: string;
}

/** A rung, or a step of a hand-over, that was open when the host went down: not done again on this kernel. */
export interface Quarantined extends CardKey {
  readonly kind: 'rung' | 'step';
  /** `slot-power`; `unbind 0000:01:00.0`. */
  readonly name: string;
  /** Kernel release. */
  readonly kernel: string;
  /** The boot that ended in it. */
  readonly boot: string;
  /** Microseconds since the epoch, when it was found out. */
  readonly since: number;
}

/** How hosts ended on one kernel while this card was lent. */
export interface KernelEnds extends CardKey {
  readonly kernel: string;
  /** Boots that ended without a shutdown while it was lent, the last ones. */
  readonly died: readonly string[];
  /** It came home here at least once, or the host shut down in order. */
  readonly clean: boolean;
  /** Microseconds since the epoch of the last clean end; 0 for none. */
  readonly cleanAt: number;
}

/** The display driver that a guest has for a card lent to it, as last seen. */
interface DriverSeen extends CardKey {
  /** Of the domain. */
  readonly uuid: string;
  /** Empty: it has none of its own for the card. */
  readonly version: string;
  /** The boot of the host in which it was seen. */
  readonly boot: string;
  /** Microseconds since the epoch, when this version was first seen in that boot. */
  readonly since: number;
}

/** What the kernel log said against the last reset of a card that answers well (reset/revive.ts). */
interface Doubt extends CardKey {
  readonly boot: string;
  /** For people. */
  readonly line: string;
}

export interface Ledger {
  quarantine(): readonly Quarantined[];
  kernels(): readonly KernelEnds[];
  /** Adds what is not there yet. */
  addQuarantine(entries: readonly Quarantined[]): Promise<void>;
  /** False: the file does not have all that is known here. */
  isSaved(): boolean;
  /** Removes what `wanted` accepts; gives their number. */
  clearQuarantine(wanted: (entry: Quarantined) => boolean): Promise<number>;
  /** Notes the end of a boot, or of a lease, once per boot. */
  addEnd(key: CardKey, kernel: string, end: { died: string } | { cleanAt: number }): Promise<void>;
  /** What came of rungs, the newest last. */
  outcomes(): readonly Outcome[];
  addResult(key: OutcomeKey, result: RungResult): Promise<void>;
  /** The best that links were seen to do. */
  links(): readonly CardLinks[];
  /** Notes what is better than before; writes nothing where nothing is. */
  noteLinks(seen: CardLinks): Promise<void>;
  doubts(): readonly Doubt[];
  /** Replaces the doubt about that card; undefined: there is none any more. Those of other boots go with it. */
  setDoubt(key: CardKey, boot: string, line: string | undefined): Promise<void>;
  /** What cards were like in this boot, or an earlier one. */
  known(): readonly KnownCard[];
  /** Notes what is new; writes nothing where nothing is. What is of other boots goes. */
  noteKnown(seen: KnownCard): Promise<void>;
  drivers(): readonly DriverSeen[];
  /** Replaces what was seen of that domain and card. */
  setDriver(seen: DriverSeen): Promise<void>;
}

const version = 1;
const maxFileBytes = 1024 * 1024;
const maxQuarantine = 256;
const maxKernels = 512;
const maxBoots = 8;
/** Pairs of a domain and a card; the one that was set longest ago is forgotten first. */
const maxDrivers = 256;
/** Cards in doubt in one boot, and characters of what is said of one. */
const maxDoubts = 64;
const maxDoubtLength = 512;
/** How exact `cleanAt` is: a card that comes and goes all day does not write all day. */
const cleanAgeUsec = 3600 * 1_000_000;

interface Contents {
  readonly quarantine: readonly Quarantined[];
  readonly kernels: readonly KernelEnds[];
  readonly outcomes: readonly Outcome[];
  readonly links: readonly CardLinks[];
  readonly drivers: readonly DriverSeen[];
  readonly doubts: readonly Doubt[];
  readonly known: readonly KnownCard[];
}

/** Opens the ledger. What cannot be trusted is put aside and said; never throws. */
export async function openLedger(path: string, log: Log): Promise<Ledger> {
  let contents = await read(path, log);
  let isSaved = true;
  const disk = createDisk();
  let writing: Promise<void> = Promise.resolve();
  const save = (change: Partial<Contents>): Promise<void> => {
    contents = { ...contents, ...change };
    writing = writing.then(async () => {
      try {
        await disk.ask(() => writeWhole(path, JSON.stringify({ version, ...contents })));
        isSaved = true;
      } catch (error) {
        if (isSaved) {
          const why = asRevivedError(error).message;
          log.error({ path, why }, 'The ledger cannot be written: it is lost at the next restart');
        }
        isSaved = false;
      }
    });
    return writing;
  };
  return {
    quarantine: () => contents.quarantine,
    kernels: () => contents.kernels,
    isSaved: () => isSaved,
    async addQuarantine(entries) {
      const known = [...contents.quarantine, ...entries];
      const fresh = entries.filter(
        (one, n) => known.findIndex((old) => isSame(old, one)) === contents.quarantine.length + n,
      );
      if (fresh.length === 0) return;
      await save({ quarantine: [...contents.quarantine, ...fresh].slice(-maxQuarantine) });
    },
    async clearQuarantine(wanted) {
      const left = contents.quarantine.filter((entry) => !wanted(entry));
      const count = contents.quarantine.length - left.length;
      if (count > 0) await save({ quarantine: left });
      return count;
    },
    async addEnd(key, kernel, end) {
      const others = contents.kernels.filter((one) => !isOf(one, key, kernel));
      const old = contents.kernels.find((one) => isOf(one, key, kernel));
      const { card, id } = key;
      const before = old ?? { card, id, kernel, died: [], clean: false, cleanAt: 0 };
      if ('died' in end && before.died.includes(end.died)) return;
      // A clock that was set back must not leave an end in the future as the last one.
      const age = 'cleanAt' in end ? Math.abs(end.cleanAt - before.cleanAt) : cleanAgeUsec;
      if (before.clean && age < cleanAgeUsec) return;
      const after =
        'died' in end
          ? { ...before, died: [...before.died, end.died].slice(-maxBoots) }
          : { ...before, clean: true, cleanAt: end.cleanAt };
      await save({ kernels: [...others, after].slice(-maxKernels) });
    },
    outcomes: () => contents.outcomes,
    addResult: (key, result) => save({ outcomes: withResult(contents.outcomes, key, result) }),
    links: () => contents.links,
    async noteLinks(seen) {
      const links = withLinks(contents.links, seen);
      if (links !== contents.links) await save({ links });
    },
    doubts: () => contents.doubts,
    async setDoubt({ card, id }, boot, line) {
      const others = contents.doubts.filter((one) => one.card !== card || one.id !== id);
      if (line === undefined && others.length === contents.doubts.length) return;
      const own =
        line === undefined ? [] : [{ card, id, boot, line: line.slice(0, maxDoubtLength) }];
      const doubts = [...others.filter((one) => one.boot === boot), ...own].slice(-maxDoubts);
      await save({ doubts });
    },
    known: () => contents.known,
    async noteKnown(seen) {
      const known = withKnown(contents.known, seen);
      if (known !== contents.known) await save({ known });
    },
    drivers: () => contents.drivers,
    async setDriver(seen) {
      const others = contents.drivers.filter(
        (one) => one.uuid !== seen.uuid || one.card !== seen.card,
      );
      await save({ drivers: [...others, seen].slice(-maxDrivers) });
    },
  };
}

function isSame(a: Quarantined, b: Quarantined): boolean {
  return (
    a.card === b.card &&
    a.id === b.id &&
    a.kind === b.kind &&
    a.name === b.name &&
    a.kernel === b.kernel
  );
}

function isOf(ends: KernelEnds, key: CardKey, kernel: string): boolean {
  return ends.card === key.card && ends.id === key.id && ends.kernel === kernel;
}

async function read(path: string, log: Log): Promise<Contents> {
  const nothing: Contents = {
    quarantine: [],
    kernels: [],
    outcomes: [],
    links: [],
    drivers: [],
    doubts: [],
    known: [],
  };
  try {
    const text = await readOwn(path, maxFileBytes);
    if (text === undefined) return nothing;
    const file: unknown = JSON.parse(text);
    if (!isRecord(file) || file['version'] !== version) throw new Error('it is of another version');
    const { quarantine, kernels } = file;
    if (!Array.isArray(quarantine) || !Array.isArray(kernels)) throw new Error('it is not whole');
    // A daemon before this one had none of these: without them it is whole all the same.
    const outcomes = listOf(file['outcomes']);
    const links = listOf(file['links']);
    const drivers = listOf(file['drivers']);
    const doubts = listOf(file['doubts']);
    const known = listOf(file['known']);
    const found: Contents = {
      quarantine: quarantine.filter(isQuarantined),
      kernels: kernels.filter(isEnds),
      outcomes: outcomes.filter((one): one is Outcome => isOfCard(one) && isOutcome(one)),
      links: links.filter((one): one is CardLinks => isOfCard(one) && isCardLinks(one)),
      drivers: drivers.filter(isDriverSeen),
      doubts: doubts.filter(isDoubt).slice(-maxDoubts),
      known: known.filter((one): one is KnownCard => isOfCard(one) && isKnownCard(one)),
    };
    const all = [quarantine, kernels, outcomes, links, drivers, doubts, known];
    const lost = all.flat().length - countOf(found);
    if (lost > 0) log.warn({ path, lost }, 'Entries of the ledger are not whole, ignoring them');
    return found;
  } catch (error) {
    const aside = `${path}.untrusted`;
    const kept = await rename(path, aside).then(
      () => `It was put aside as ${aside}.`,
      () => '',
    );
    log.error(
      { path, why: asRevivedError(error).message },
      `The ledger cannot be trusted: what was quarantined and learnt about kernels is lost. ${kept}`,
    );
    return nothing;
  }
}

function isQuarantined(value: unknown): value is Quarantined {
  return (
    isRecord(value) &&
    isKey(value) &&
    (value['kind'] === 'rung' || value['kind'] === 'step') &&
    text(value['name']) &&
    text(value['kernel']) &&
    text(value['boot']) &&
    typeof value['since'] === 'number'
  );
}

function isEnds(value: unknown): value is KernelEnds {
  return (
    isRecord(value) &&
    isKey(value) &&
    text(value['kernel']) &&
    Array.isArray(value['died']) &&
    value['died'].every(text) &&
    typeof value['clean'] === 'boolean' &&
    typeof value['cleanAt'] === 'number'
  );
}

function countOf(contents: Contents): number {
  return Object.values(contents).flat().length;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isOfCard(value: unknown): value is Record<string, unknown> {
  return isRecord(value) && isKey(value);
}

function isDriverSeen(value: unknown): value is DriverSeen {
  return (
    isRecord(value) &&
    isKey(value) &&
    text(value['uuid']) &&
    text(value['version']) &&
    text(value['boot']) &&
    typeof value['since'] === 'number'
  );
}

function isDoubt(value: unknown): value is Doubt {
  return (
    isRecord(value) &&
    isKey(value) &&
    text(value['boot']) &&
    typeof value['line'] === 'string' &&
    value['line'].length <= maxDoubtLength
  );
}

function isKey(value: Record<string, unknown>): boolean {
  return text(value['card']) && isCardAddress(value['card']) && text(value['id']);
}

function text(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 256;
}
