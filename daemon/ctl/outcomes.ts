/** What came of rungs, as people read it (rung by kernel) and as they may give it away. Pure. */
import { isRungName } from '../pci/rung-name.ts';
import { type Cell, columns } from './columns.ts';
import type { Paint } from './paint.ts';
import type { Outcome } from './shapes.ts';
import { durationText } from './time.ts';

/** What `history --rungs --export` writes: nothing in it tells which machine it is from. */
interface OutcomeExport {
  readonly format: 'revived-outcomes';
  readonly version: 1;
  /** By id, rung, kernel and driver; cards of the same kind are counted together. */
  readonly outcomes: readonly Omit<Outcome, 'card' | 'lastUsec'>[];
}

/**
 * Words that distributions put into the release of a kernel. Whoever builds a kernel may write anything there, like the name of
 * a host: the release is cut before the first word that is none of these.
 */
const kernelWord =
  /^(?:\d{1,8}|rc\d{1,2}|git\d*|fc\d{1,3}|el\d{1,2}(?:_\d{1,2})?|deb\d{1,2}|bpo|un|amd64|arm64|x86|x86_64|aarch64|generic|lowlatency|pve|arch\d?|zen\d?|lts|hardened|default|desktop|server|cloud|rt|oem|hwe|azure|aws|gcp|kvm|xanmod\d?|cachyos|liquorix|zabbly|bazzite|gentoo|dist|manjaro|unraid)$/i;

/** A table for each card: its rungs down, kernels (and drivers) across, `healed 2 of 3, 240 ms` in the cells. */
export function matrixLines(outcomes: readonly Outcome[], paint: Paint): string[] {
  if (outcomes.length === 0) return ['no rung has been done on any card yet'];
  const cards = groupBy(outcomes, ({ card, id }) => `${card} ${id}`);
  return [...cards.values()].flatMap((own, index) => {
    const [first] = own;
    const title = [first?.card, first?.id, first?.family].filter((text) => text !== '').join('  ');
    const heads = [...new Set(own.map(headOf))];
    const rungs = groupBy(own, ({ rung }) => rung);
    const rows = [...rungs].map(([rung, some]): readonly Cell[] => [
      rung,
      ...heads.map((head) => cellOf(some.find((one) => headOf(one) === head))),
    ]);
    const top = ['RUNG', ...heads].map((text) => ({ text, brush: paint.dim }));
    return [...(index === 0 ? [] : ['']), paint.bold(title), ...columns([top, ...rows], '  ')];
  });
}

/** The outcomes without what tells of the machine: no addresses, no times, no words of whoever built its kernel. */
export function exportOf(outcomes: readonly Outcome[]): OutcomeExport {
  const rows = outcomes.flatMap(({ card: _card, lastUsec: _last, ...row }) => {
    if (!isRungName(row.rung) || !/^[0-9a-f]{4}:[0-9a-f]{4}$/.test(row.id)) return [];
    const [kernel, driver] = [publicKernel(row.kernel), publicDriver(row.driver)];
    return [{ ...row, kernel, driver }];
  });
  const kinds = groupBy(rows, ({ id, rung, kernel, driver }) =>
    [id, rung, kernel, driver].join(' '),
  );
  const merged = [...kinds].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, same]) => sumOf(same));
  return { format: 'revived-outcomes', version: 1, outcomes: merged };
}

/** `6.12.117-1-pve` stays; of `6.12.117-office-pc` remains `6.12.117`. */
function publicKernel(release: string): string {
  const [version = ''] = /^\d{1,3}(?:\.\d{1,5}){1,3}/.exec(release) ?? [];
  let kept = version;
  for (const [part, word] of release.slice(version.length).matchAll(/[-.+~]([^-.+~]+)/g)) {
    if (word === undefined || !kernelWord.test(word)) break;
    kept += part;
  }
  return kept;
}

// `nvidia 550.54.14, vendor_reset 0.1.1`: of each its name, and the numbers of its version.
function publicDriver(text: string): string {
  return text
    .split(', ')
    .map((part) => {
      const [name = '', version] = part.split(' ');
      if (!/^[a-z0-9][a-z0-9_-]{0,31}$/.test(name)) return 'other';
      const [numbers] = /^\d{1,5}(?:\.\d{1,5}){0,3}/.exec(version ?? '') ?? [];
      return numbers === undefined ? name : `${name} ${numbers}`;
    })
    .join(', ');
}

function sumOf<T extends Omit<Outcome, 'card' | 'lastUsec'>>(same: readonly T[]): T {
  const [first, ...others] = same;
  if (first === undefined) throw new RangeError('a group is never empty');
  const all = (name: 'tried' | 'healed' | 'triedHealthy' | 'keptHealthy'): number =>
    others.reduce((sum, one) => sum + one[name], first[name]);
  const times = same.map(({ medianMs }) => medianMs).sort((a, b) => a - b);
  return {
    ...first,
    tried: all('tried'),
    healed: all('healed'),
    triedHealthy: all('triedHealthy'),
    keptHealthy: all('keptHealthy'),
    medianMs: times[times.length >> 1] ?? 0,
  };
}

function headOf({ kernel, driver }: Outcome): string {
  return `${kernel} (${driver})`;
}

function cellOf(outcome: Outcome | undefined): string {
  if (outcome === undefined) return '-';
  const { tried, healed, triedHealthy, keptHealthy, medianMs } = outcome;
  return [
    ...(tried === 0 ? [] : [`healed ${healed} of ${tried}`]),
    ...(triedHealthy === 0 ? [] : [`kept well ${keptHealthy} of ${triedHealthy}`]),
    durationText(medianMs),
  ].join(', ');
}

function groupBy<T>(list: readonly T[], keyOf: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of list) groups.set(keyOf(one), [...(groups.get(keyOf(one)) ?? []), one]);
  return groups;
}
