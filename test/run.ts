/**
 * Runs the suites that are named on the command line and closes with the line `N passed, N failed`.
 * A test that is skipped, marked as to do or cancelled counts as failed; so does a file or a suite without tests.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join, relative, sep } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { TestFile } from './folder.ts';
import {
  type Ended,
  type Outcome,
  outcomeOf,
  outcomesOfFiles,
  type Tally,
  tally,
  tallyLine,
} from './tally.ts';

const build = fileURLToPath(new URL('.', import.meta.url));
const top = join(build, '..', '..');

/** One file may take this long. */
const fileLimitMs = { unit: 120_000, integration: 600_000 } as const;
/** The files of one folder together: for a test that never lets go of its process, which no timer in there ends. */
const folderLimitMs = 300_000;
/** The lab has its own limit (LAB_TIMEOUT) and ends its machine; this one is for the lab itself. */
const scenarioLimitMs = 1_800_000;

/** A process for each folder of tests: one for each file would spend most of its time on starting. */
async function unitSuite(): Promise<readonly Outcome[]> {
  const folders = foldersOf(join(build, 'unit'));
  const files = folders.flatMap((folder) => folder.files);
  const programs = folders.map(({ program }) => program);
  for (const folder of folders) writeFileSync(folder.program, programText(folder.files));
  const ended = await endedTests(programs, availableParallelism(), folderLimitMs);
  return outcomesOfFiles(
    ended,
    files.map(({ name }) => name),
    programs,
  );
}

interface Folder {
  /** What runs its files, `node --test` by hand as well. Absolute. */
  readonly program: string;
  readonly files: readonly TestFile[];
}

/** The folders right below `root`, with all that is in them, and `root` itself; the longest texts first. */
function foldersOf(root: string): readonly Folder[] {
  const folders = new Map<string, TestFile[]>();
  for (const path of filesBelow(root, '.test.mjs')) {
    const [first = '', ...rest] = relative(root, path).split(sep);
    const program = join(root, rest.length === 0 ? '' : first, 'folder.mjs');
    folders.set(program, [...(folders.get(program) ?? []), { name: relative(top, path), path }]);
  }
  const bytes = ({ files }: Folder) =>
    files.reduce((sum, { path }) => sum + statSync(path).size, 0);
  // What takes longest is not to be what everything waits for in the end.
  return [...folders]
    .map(([program, files]) => ({ program, files }))
    .sort((a, b) => bytes(b) - bytes(a));
}

function programText(files: readonly TestFile[]): string {
  const runner = pathToFileURL(join(build, 'folder.mjs')).href;
  const args = `${JSON.stringify(files)}, ${fileLimitMs.unit}`;
  return `import { runFiles } from ${JSON.stringify(runner)};\nawait runFiles(${args});\n`;
}

/** Integration tests share the machine (processes, mounts, a libvirtd): one file at a time. */
async function integrationSuite(): Promise<readonly Outcome[]> {
  const files = filesBelow(join(build, 'integration'), '.test.mjs');
  const ended = await endedTests(files, 1, fileLimitMs.integration);
  return ended.map(({ event, state }) => outcomeOf(event, state, files));
}

/** Runs each program in a process of its own. */
async function endedTests(
  programs: readonly string[],
  concurrency: number,
  timeout: number,
): Promise<readonly Ended[]> {
  const ended: Ended[] = [];
  const stream = run({ files: [...programs], concurrency, timeout });
  stream.on('test:pass', (event) => ended.push({ event, state: 'passed' }));
  stream.on('test:fail', (event) => ended.push({ event, state: 'failed' }));
  for await (const chunk of stream.compose(new spec())) process.stdout.write(String(chunk));
  return ended;
}

/** Bytes; of a container its own limit, which is 0 or huge without one. */
const memory = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
/** Machines at a time. One keeps 1.3 processors busy and takes 2 GB; a third beside them fails checks with a time limit. */
const machines = availableParallelism() >= 2 && memory >= 7 * 2 ** 30 ? 2 : 1;

/** `scenarios` is what `make test` has half an hour for; `long` is the rest, for `make test-lab`. */
async function labSuite(folder: 'scenarios' | 'long'): Promise<readonly Outcome[]> {
  const files = filesBelow(join(top, 'test', 'lab', folder), '.sh');
  // Built once, before two machines ask for it.
  if (files.length > 0) await lab(['build']);
  const outcomes: Outcome[] = [];
  const waiting = files.values();
  const worker = async (): Promise<void> => {
    for (const file of waiting) outcomes.push(await scenario(file));
  };
  await Promise.all(Array.from({ length: machines }, worker));
  return outcomes;
}

interface LabRun {
  readonly status: unknown;
  readonly lines: readonly string[];
  readonly seconds: string;
}

async function lab(args: readonly string[]): Promise<LabRun> {
  const started = performance.now();
  const child = spawn(join(top, 'test', 'lab', 'lab'), args, {
    cwd: top,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: scenarioLimitMs,
    // Two machines share the processors.
    env: { LAB_TIMEOUT: '1500', ...process.env },
  });
  const exited = once(child, 'exit');
  const lines: string[] = [];
  const keep = async (input: Readable): Promise<void> => {
    for await (const line of createInterface({ input })) lines.push(line);
  };
  await Promise.all([keep(child.stdout), keep(child.stderr)]);
  const [status] = await exited;
  return { status, lines, seconds: ((performance.now() - started) / 1000).toFixed(1) };
}

/** 124: its time was over, 125: it broke down (test/lab/lab); and no check had failed by then. */
function isMachineFailure({ status, lines }: LabRun): boolean {
  return (status === 124 || status === 125) && !lines.some((line) => line.startsWith('not ok '));
}

/** What failed in a scenario is said again at the end. */
async function scenario(file: string): Promise<Outcome> {
  const name = relative(top, file);
  process.stdout.write(`▶ ${name}\n`);
  const first = await lab(['run', file]);
  let { status, lines, seconds } = first;
  // The machine, not a check in it: an emulated machine that stood still has been seen, rarely. Once more, and said.
  if (isMachineFailure(first)) {
    process.stdout.write(`${lines.join('\n')}\n`);
    process.stdout.write(`↻ ${name}: the machine itself failed (${status}, ${seconds} s), again\n`);
    ({ status, lines, seconds } = await lab(['run', file]));
  }
  process.stdout.write(`${lines.join('\n')}\n`);
  process.stdout.write(`${status === 0 ? '✔' : '✖'} ${name} (${seconds} s)\n`);
  if (status === 0) return { name, state: 'passed' };
  const failed = lines.filter((line) => line.startsWith('not ok '));
  const last = lines.findLast((line) => /^(not )?ok /.test(line)) ?? '';
  const why = failed.length > 0 ? failed.join('; ') : `the last check was "${last}"`;
  return { name, state: 'failed', reason: `in the lab: exit ${status}: ${why}` };
}

function filesBelow(folder: string, ending: string): readonly string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith(ending))
      .map((name) => join(folder, name))
      .sort();
  } catch {
    return []; // no folder is no tests, which fails the suite
  }
}

async function outcomesOf(suite: string): Promise<readonly Outcome[]> {
  switch (suite) {
    case 'unit':
      return unitSuite();
    case 'integration':
      return integrationSuite();
    case 'lab':
      return labSuite('scenarios');
    case 'lab-long':
      return labSuite('long');
    default:
      return [{ name: suite, state: 'failed', reason: 'there is no such suite' }];
  }
}

const suites: Record<string, Tally> = {};
for (const suite of process.argv.slice(2)) suites[suite] = tally(suite, await outcomesOf(suite));

const all = Object.values(suites);
for (const failure of all.flatMap((one) => one.failures)) process.stdout.write(`✖ ${failure}\n`);
for (const [suite, one] of Object.entries(suites)) {
  process.stdout.write(`${suite}: ${tallyLine([one])}\n`);
}
process.stdout.write(`${tallyLine(all)}\n`);
process.exitCode = all.length > 0 && all.every((one) => one.failures.length === 0) ? 0 : 1;
