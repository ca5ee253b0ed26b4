/** Times a program of ours and a yardstick side by side (stopwatch.pl). */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Times } from './figure.ts';

const script = fileURLToPath(new URL('../../../test/bench/stopwatch.pl', import.meta.url));

export interface Duel {
  readonly rounds: number;
  readonly ours: readonly string[];
  readonly yardstick: readonly string[];
  /** File that both get on their stdin; at most 64 KiB. */
  readonly input?: string;
  /** What ends the time of ours: its end, or READY=1 to systemd. */
  readonly until: 'exit' | 'ready';
  readonly env: NodeJS.ProcessEnv;
  /** What runs the stopwatch itself: its time is not measured. */
  readonly through?: readonly string[];
  /** For the notify socket. */
  readonly directory: string;
}

/** Runs the rounds. Rejects where a program fails; with `until: 'exit'` also where it says anything on stderr. */
export async function duel(parts: Duel): Promise<Times> {
  const { rounds, ours, yardstick, input = '/dev/null', until, through = [], directory } = parts;
  const watch = ['perl', script, String(rounds), input, until, ...ours, '--', ...yardstick];
  const [program = '', ...args] = [...through, ...watch];
  const env = { ...parts.env, STOPWATCH_DIRECTORY: directory };
  const { stdout, stderr } = await promisify(execFile)(program, args, { env });
  // A hook that cannot reach the daemon warns and ends well: its time would be that of something else.
  if (until === 'exit' && stderr !== '') throw new Error(`${ours[0]}: ${stderr.trim()}`);
  const lines = stdout.trim().split('\n');
  const of = (which: string) =>
    lines.flatMap((line) => (line.startsWith(`${which} `) ? [Number(line.slice(2))] : []));
  const times = { ours: of('0'), yardstick: of('1') };
  if (times.ours.length !== rounds || times.yardstick.length !== rounds) {
    throw new Error(`the stopwatch gave ${lines.length} times for ${rounds} rounds`);
  }
  return times;
}
