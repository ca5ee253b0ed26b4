/**
 * Runs all measurements, prints the table and writes build/bench.json. A figure that misses its aim is shown as such and
 * is no failure; one that could not be measured is.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { measureDoctor } from './doctor.ts';
import { measureExplain } from './explain.ts';
import { type Figure, type FigureName, json, table } from './figure.ts';
import { measureManagedHook, measureUnmanagedHook } from './hooks.ts';
import { measureInventory } from './inventory.ts';
import { measureLife } from './life.ts';
import { measureRecovery } from './recovery.ts';
import { measureStart } from './start.ts';

const output = fileURLToPath(new URL('../../bench.json', import.meta.url));

interface Group {
  readonly names: readonly FigureName[];
  readonly measure: () => Promise<readonly Figure[]>;
}

const groups: readonly Group[] = [
  { names: ['hook-unmanaged-ratio'], measure: measureUnmanagedHook },
  { names: ['hook-managed-ratio', 'hook-managed-stopped-ratio'], measure: measureManagedHook },
  { names: ['start-ratio'], measure: measureStart },
  {
    names: [
      ...(['rss-idle', 'rss-100k-calls', 'event-reaction-p99'] as const),
      ...(['dbus-calls', 'dbus-calls-pipelined'] as const),
    ],
    measure: measureLife,
  },
  { names: ['inventory-64'], measure: measureInventory },
  { names: ['doctor-64'], measure: measureDoctor },
  { names: ['explain', 'explain-rss'], measure: measureExplain },
  { names: ['recovery-ratio', 'recovery-worst-ratio'], measure: measureRecovery },
];

/** Processes that ran or wanted to run in the last minute. */
function load(): number {
  return Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);
}

const before = load();
const figures: Figure[] = [];
const failures: Partial<Record<FigureName, string>> = {};
for (const { names, measure } of groups) {
  try {
    figures.push(...(await measure()));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    for (const name of names) failures[name] = why.replaceAll(/\s+/g, ' ').slice(0, 300);
  }
}

const cores = availableParallelism();
writeFileSync(output, json({ figures, failures }));
process.stdout.write(table({ figures, failures }));
process.stdout.write(`${cores} processors, node ${process.version}, load ${before} before\n`);
if (before > cores / 2) {
  process.stdout.write('Others were at work here: only the ratios say something.\n');
}
process.exitCode = Object.keys(failures).length === 0 ? 0 : 1;
