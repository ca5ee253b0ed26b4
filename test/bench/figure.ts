/** The figures of the benchmark: which there are, what they may be, and how they are shown. Pure. */

/** `aim`: the most that it may be, with `more` the least; null for what is only on record. */
const known = {
  'hook-unmanaged-ratio': { unit: 'ratio', aim: 2 },
  'hook-managed-ratio': { unit: 'ratio', aim: 2 },
  'hook-managed-stopped-ratio': { unit: 'ratio', aim: null },
  'start-ratio': { unit: 'ratio', aim: 2.5 },
  'rss-idle': { unit: 'MB', aim: 80 },
  'rss-100k-calls': { unit: 'MB', aim: 110 },
  'event-reaction-p99': { unit: 'ms', aim: 10 },
  'inventory-64': { unit: 'ms', aim: 50 },
  'doctor-64': { unit: 'ms', aim: 500 },
  explain: { unit: 'MB/s', aim: 20, more: true },
  'explain-rss': { unit: 'MB', aim: 150 },
  'recovery-ratio': { unit: 'ratio', aim: 0.2 },
  'recovery-worst-ratio': { unit: 'ratio', aim: 1 },
  'dbus-calls': { unit: 'calls/s', aim: null },
  'dbus-calls-pipelined': { unit: 'calls/s', aim: null },
} as const satisfies Readonly<Record<string, Aim>>;

interface Aim {
  readonly unit: string;
  readonly aim: number | null;
  readonly more?: boolean;
}

export type FigureName = keyof typeof known;

export interface Figure {
  readonly name: FigureName;
  readonly value: number;
  /** What was measured and how it spread, for people. */
  readonly how: string;
}

/** The value below which `share` (0 to 1) of the samples lie, by nearest rank. Throws where there are none. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  if (value === undefined) throw new Error('there are no samples');
  return value;
}

/** The middle of the samples. Throws where there are none. */
export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/** `2.05 ms (1.90 to 4.01)`: median, least and most. */
export function spread(milliseconds: readonly number[]): string {
  const [least, middle, most] = [0, 0.5, 1].map((share) =>
    quantile(milliseconds, share).toFixed(2),
  );
  return `${middle} ms (${least} to ${most})`;
}

/** Milliseconds of our program and of a yardstick, measured side by side. */
export interface Times {
  readonly ours: readonly number[];
  readonly yardstick: readonly number[];
}

/** The ratio of the two medians. */
export function ratio(
  name: FigureName,
  what: readonly [ours: string, yardstick: string],
  { ours, yardstick }: Times,
): Figure {
  const runs = `${ours.length} runs of each`;
  const how = `${what[0]} ${spread(ours)}, ${what[1]} ${spread(yardstick)}; ${runs}`;
  return { name, value: median(ours) / median(yardstick), how };
}

/** What could be measured, and why the others could not. */
export interface Outcome {
  readonly figures: readonly Figure[];
  readonly failures: Readonly<Partial<Record<FigureName, string>>>;
}

interface Row {
  readonly name: string;
  /** Null: it was not measured. */
  readonly value: number | null;
  readonly unit: string;
  readonly aim: number | null;
  readonly more: boolean;
  readonly how: string;
}

function rowsOf({ figures, failures }: Outcome): readonly Row[] {
  return Object.entries<Aim>(known).map(([name, { unit, aim, more = false }]) => {
    const figure = figures.find((one) => one.name === name);
    const why = Object.entries(failures).find(([failed]) => failed === name)?.[1];
    const value = figure === undefined ? null : Number(figure.value.toPrecision(3)); // the rest is noise
    return { name, value, unit, aim, more, how: figure?.how ?? why ?? '' };
  });
}

/** What stands in build/bench.json: all figures, `value` null for what was not measured. */
export function json(outcome: Outcome): string {
  const rows = rowsOf(outcome).map(({ how: _how, more: _more, ...row }) => row);
  return `${JSON.stringify(rows, null, 2)}\n`;
}

/** The table for people. */
export function table(outcome: Outcome): string {
  const rows = rowsOf(outcome).map((row) => [
    row.name,
    String(row.value ?? '-'),
    row.unit,
    row.aim === null ? '-' : `${row.more ? '>= ' : ''}${row.aim}`,
    verdict(row),
    row.how,
  ]);
  const all = [['figure', 'value', 'unit', 'aim', '', 'how'], ...rows];
  const width = (column: number) => Math.max(...all.map((row) => row[column]?.length ?? 0));
  const widths = [0, 1, 2, 3, 4].map(width);
  const line = (row: readonly string[]) =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
  return all.map((row) => `${line(row).trimEnd()}\n`).join('');
}

function verdict({ value, aim, more }: Row): string {
  if (value === null) return 'not measured';
  if (aim === null) return '';
  return (more ? value >= aim : value <= aim) ? 'ok' : 'MISSED';
}
