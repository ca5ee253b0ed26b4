/** What a log showed so far, in bounded memory however long it is. */
import { type CardAddress, cardOf, type FunctionAddress } from '../pci/address.ts';
import type { LogClass } from './log-class.ts';
import type { Pattern } from './log-pattern.ts';

/** A line that counts. `text` is cut and clean of escape sequences; it is still data to escape before it is shown. */
export interface Sighting {
  readonly line: number;
  readonly text: string;
  readonly devices: readonly FunctionAddress[];
}

/** What is known of one class or of one pattern. */
export interface Seen {
  readonly count: number;
  readonly devices: ReadonlySet<FunctionAddress>;
  readonly lines: readonly Sighting[];
}

export interface Tally {
  /** Counts a line that a pattern matched. */
  add(pattern: Pattern, sighting: Sighting, key: string): void;
  /** Ends what no line closed. Nothing is added after it. */
  end(): void;
  readonly patterns: ReadonlyMap<string, Seen>;
  readonly classes: ReadonlyMap<LogClass, Seen>;
  /** Whether a line said that the host is in danger. */
  readonly risk: boolean;
}

/** Longest evidence, in UTF-16 units. */
const longestText = 400;
const mostLinesOfClass = 12;
const mostLinesOfPattern = 3;
const mostDevices = 64;
const mostOpen = 256;
const mostCounters = 1024;

interface Growing {
  count: number;
  readonly devices: Set<FunctionAddress>;
  readonly lines: Sighting[];
  /** Lines taken of each pattern, so that a flood of one leaves room for others. */
  readonly taken: Map<string, number>;
}

interface Open {
  readonly pattern: Pattern;
  readonly device: FunctionAddress | undefined;
  readonly key: string;
  readonly sighting: Sighting;
}

/** An empty tally. */
export function createTally(): Tally {
  const patterns = new Map<string, Growing>();
  const classes = new Map<LogClass, Growing>();
  const repeats = new Map<string, number>();
  const handled = new Set<CardAddress>();
  const held: Pick<Open, 'pattern' | 'sighting'>[] = [];
  let open: Open[] = [];
  let risk = false;

  const show = (pattern: Pattern, names: readonly LogClass[], sighting: Sighting): void => {
    for (const name of names) grow(classes, name, pattern.id, sighting, mostLinesOfClass);
  };
  const close = (pattern: Pattern, device: FunctionAddress | undefined, key: string): boolean => {
    const before = open.length;
    open = open.filter(
      (one) =>
        one.pattern.opens !== pattern.closes ||
        one.key !== key ||
        (device !== undefined && one.device !== undefined && one.device !== device),
    );
    return open.length < before;
  };
  return {
    patterns,
    classes,
    get risk() {
      return risk;
    },
    add(pattern, whole, key) {
      const sighting = { ...whole, text: cutText(whole.text) };
      const [device] = sighting.devices;
      grow(patterns, pattern.id, pattern.id, sighting, mostLinesOfPattern);
      risk ||= pattern.risk === true;
      const closed = pattern.closes !== undefined && close(pattern, device, key);
      if (pattern.handled === true) {
        if (held.length < mostOpen) held.push({ pattern, sighting });
        return;
      }
      if (/vfio|reset/i.test(whole.text)) {
        for (const one of sighting.devices)
          if (handled.size < mostDevices) handled.add(cardOf(one));
      }
      if (closed && pattern.closing !== undefined) {
        show(pattern, [pattern.closing], sighting);
      } else if (pattern.opens !== undefined) {
        const known = open.some(
          (one) => one.pattern === pattern && one.device === device && one.key === key,
        );
        if (!known && open.length < mostOpen) open.push({ pattern, device, key, sighting });
      } else if (repeated(repeats, pattern, device) >= (pattern.least ?? 1)) {
        show(pattern, pattern.shows, sighting);
      }
    },
    end() {
      for (const { pattern, sighting } of open) show(pattern, pattern.shows, sighting);
      open = [];
      for (const { pattern, sighting } of held) {
        const counts = sighting.devices.some((one) => handled.has(cardOf(one)));
        if (counts) show(pattern, pattern.shows, sighting);
      }
      held.length = 0;
    },
  };
}

/** Adds a conclusion: a class with the lines that it rests on. */
export function asSeen(lines: readonly Sighting[]): Seen {
  return {
    count: lines.length,
    devices: new Set(lines.flatMap(({ devices }) => devices)),
    lines,
  };
}

/** Whether an address can be a function of a card: not of the chipset, which lies on bus 00. */
export function isOfCard(address: FunctionAddress): boolean {
  return !cardOf(address).split(':').slice(1).join(':').startsWith('00:');
}

function repeated(
  repeats: Map<string, number>,
  pattern: Pattern,
  device: string | undefined,
): number {
  if (pattern.least === undefined) return 1;
  const key = `${pattern.id} ${device ?? ''}`;
  const count = (repeats.get(key) ?? 0) + 1;
  if (repeats.has(key) || repeats.size < mostCounters) repeats.set(key, count);
  return count;
}

function grow<Name>(
  into: Map<Name, Growing>,
  name: Name,
  patternId: string,
  sighting: Sighting,
  mostLines: number,
): void {
  let seen = into.get(name);
  if (seen === undefined) {
    seen = { count: 0, devices: new Set(), lines: [], taken: new Map() };
    into.set(name, seen);
  }
  seen.count++;
  for (const device of sighting.devices) {
    if (seen.devices.size < mostDevices) seen.devices.add(device);
  }
  const taken = seen.taken.get(patternId) ?? 0;
  if (taken < mostLinesOfPattern && seen.lines.length < mostLines) {
    seen.taken.set(patternId, taken + 1);
    seen.lines.push(sighting);
  }
}

// Through a buffer, so that no piece of the file that was read stays in memory with it.
function cutText(text: string): string {
  const short = text.length <= longestText ? text : `${text.slice(0, longestText - 1)}…`;
  return Buffer.from(short, 'utf8').toString('utf8');
}
