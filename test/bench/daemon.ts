/** The daemon as it is built and as its unit runs it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { atDeadline, withDeadline } from '../../daemon/deadline.ts';
import type { Site } from './site.ts';

const top = fileURLToPath(new URL('../../../', import.meta.url));

/** The arguments of node in units/revived.service, before the program. */
export const nodeArguments: readonly string[] = argumentsOf(
  readFileSync(join(top, 'units/revived.service'), 'utf8'),
);

/** The command line of units/revived.service. */
export const daemonCommand: readonly string[] = [
  process.execPath,
  ...nodeArguments,
  join(top, 'dist/revived.mjs'),
];

function argumentsOf(unit: string): readonly string[] {
  const found = /^ExecStart=@node@ (.+) @libdir@\/revived\.mjs$/m.exec(unit)?.[1];
  if (found === undefined)
    throw new Error('units/revived.service does not start the daemon as it did');
  return found.split(' ');
}

export interface Daemon {
  /** A line of /proc/PID/status in MB of a million bytes: `VmRSS`, `VmHWM`. */
  memory(field: 'VmRSS' | 'VmHWM'): number;
  stop(): Promise<void>;
}

const readyMs = 30_000;
const stopMs = 10_000;

/** Starts the daemon in a site; resolves when it says that it is ready. */
export async function startDaemon(site: Site): Promise<Daemon> {
  const [program = '', ...args] = [...site.room, ...daemonCommand];
  const child = spawn(program, args, { env: site.env, stdio: ['ignore', 'ignore', 'pipe'] });
  const exit = once(child, 'exit');
  try {
    await withDeadline(ready(child), readyMs, 'The start of the daemon');
  } catch (error) {
    child.kill('SIGKILL');
    await exit;
    throw error;
  }
  const { pid } = child; // the daemon's own: nothing on the way to it forks
  return {
    memory(field) {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1];
      return (Number(kilobytes) * 1024) / 1e6;
    },
    async stop() {
      child.kill('SIGTERM');
      // It has nothing in hand. One that does not end is no reason to hang here.
      const killed = atDeadline(stopMs, () => child.kill('SIGKILL'));
      await exit;
      killed();
    },
  };
}

// Its log is read on, so that it never waits for us.
async function ready(child: ChildProcess): Promise<void> {
  if (child.stderr === null) throw new Error('no pipe');
  const lines = createInterface({ input: child.stderr });
  const said: string[] = [];
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      if (line.startsWith('<6>Ready')) resolve();
      if (said.length < 20) said.push(line);
    });
    child.once('exit', () => reject(new Error(`the daemon ended: ${said.join(' ')}`)));
  });
}
