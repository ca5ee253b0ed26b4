/**
 * Stands in for dd before a simulated machine: takes the arguments of daemon/sysfs/child.ts, finds the machine by the
 * path, and prints errors as GNU dd does with LC_ALL=C. What is pending in the kernel is waited for, until killed.
 * It never touches a file that is not in a simulated machine.
 */
import { closeSync, constants, existsSync, openSync, readSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { type ReadOutcome, SimKernel, type WriteOutcome } from './kernel.ts';
import { pipeOf } from './store.ts';
import { ddLine } from './strerror.ts';
import { simDirectory } from './tree.ts';

const inputMs = 10_000;

/** The machine that a path lies in; undefined when it lies in none. */
function machineOf(path: string): string | undefined {
  for (let at = dirname(path); at !== dirname(at); at = dirname(at)) {
    if (existsSync(join(at, simDirectory, 'state.json'))) return at;
  }
  return undefined;
}

function pause(ms: number): void {
  if (ms > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Blocks until the access has ended; gives how. The pipe is opened first: an end after that leaves a byte in it. */
function waitFor(kernel: SimKernel, id: number): string | null {
  const pipe = openSync(pipeOf(kernel.root, id), constants.O_RDWR);
  const byte = Buffer.alloc(1);
  while (kernel.ended(id) === undefined) readSync(pipe, byte, 0, 1, null);
  closeSync(pipe);
  return kernel.ended(id)?.errno ?? null;
}

/**
 * All of stdin. It is a socket that may have nothing yet and say so (EAGAIN): node opens what it inherits without blocking,
 * where dd blocks.
 */
function readInput(): string {
  const chunks: Buffer[] = [];
  const limit = performance.now() + inputMs;
  for (;;) {
    const chunk = Buffer.alloc(65_536);
    try {
      const bytes = readSync(0, chunk);
      if (bytes === 0) return Buffer.concat(chunks).toString('utf8');
      chunks.push(chunk.subarray(0, bytes));
    } catch (error) {
      const isEmpty = error instanceof Error && 'code' in error && error.code === 'EAGAIN';
      if (!isEmpty || performance.now() > limit) throw error;
      pause(1);
    }
  }
}

function main(args: readonly string[]): number {
  const operands = new Map(args.map((arg) => [arg.split('=')[0], arg.slice(arg.indexOf('=') + 1)]));
  const output = operands.get('of');
  const path = output ?? operands.get('if') ?? '';
  const doing = output === undefined ? 'reading' : 'writing';
  const fail = (line: string): number => {
    process.stderr.write(`${line}\n`);
    return 1;
  };
  const root = machineOf(path);
  if (root === undefined) return fail(`dd: '${path}' is in no simulated machine`);
  const kernel = SimKernel.open(root);
  const go = (): WriteOutcome | ReadOutcome =>
    output === undefined
      ? kernel.read(path, Number(operands.get('bs') ?? '512'))
      : kernel.write(path, readInput());
  let outcome = go();
  if (outcome.pending !== null) {
    const errno = waitFor(kernel, outcome.pending);
    // A read is done again, now that it can be: its bytes are those of now.
    outcome = output === undefined ? go() : { ...outcome, errno };
  }
  pause(outcome.delayMs);
  if (outcome.errno !== null) return fail(ddLine(doing, path, outcome.errno));
  if ('data' in outcome) process.stdout.write(outcome.data);
  return 0;
}

process.exitCode = main(process.argv.slice(2));
