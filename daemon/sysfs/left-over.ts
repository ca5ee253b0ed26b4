/**
 * Children of a daemon that is no more. The unit has KillMode=process, and what hangs in the kernel survives SIGKILL anyway: a
 * write of the daemon before this one may still be at work on a card. They are found by what child.ts gives them.
 */
import { statSync } from 'node:fs';
import { every, waitFor } from '../deadline.ts';
import { readAttribute, readNames } from './read.ts';

/** An access to sysfs that nobody waits for any more. */
export interface LeftOver {
  readonly pid: number;
  readonly path: string;
  /** What it writes, without its newline; empty for a read. */
  readonly value: string;
}

/** In the environment of each child: the daemon that started it, and what it writes. */
export const childMarks = { by: 'REVIVED_BY', value: 'REVIVED_VALUE' } as const;

/** What is looked at: the processes of the host, and the sysfs that the accesses are below. */
interface Where {
  readonly proc: string;
  readonly sys: string;
}

/** Milliseconds in which one may still end by itself: most writes take less than a second. */
const endMs = 2_000;
/** After that SIGKILL gets this long to work; what survives it is in D state. */
const killGraceMs = 300;
/** Most that are taken notice of; each has a card that nothing more is done to. */
const maxLeftOvers = 64;

/** Ends what is left over, within endMs + killGraceMs; where there is nothing, at once. Gives what cannot be ended. */
export async function endLeftOvers(
  where: Where,
  limits = { endMs, killGraceMs },
): Promise<readonly LeftOver[]> {
  const found = (readNames(where.proc) ?? [])
    .filter((name) => /^[0-9]{1,10}$/.test(name))
    .flatMap((pid) => leftOverOf(where, pid) ?? [])
    .slice(0, maxLeftOvers);
  const left = () => found.filter((one) => isThere(where, one));
  const areGone = () => (left().length === 0 ? true : undefined);
  if ((await waitFor(areGone, limits.endMs, 20)) === true) return [];
  for (const { pid } of left()) kill(pid);
  await waitFor(areGone, limits.killGraceMs, 20);
  return left();
}

/**
 * `onFreed` hears of each that is gone, once. Node has no pidfd, and the end of a process that is not its child is no event:
 * it is looked for every `lookMs`, while there is one.
 */
export function watchLeftOvers(
  where: Where,
  leftOver: readonly LeftOver[],
  onFreed: (pid: number) => void,
  lookMs = 1_000,
): void {
  const hanging = new Set(leftOver);
  const end = every(lookMs, () => {
    for (const one of hanging) {
      if (isThere(where, one)) continue;
      hanging.delete(one);
      onFreed(one.pid);
    }
    if (hanging.size === 0) end();
  });
}

function isThere(where: Where, { pid, path }: LeftOver): boolean {
  return leftOverOf(where, String(pid))?.path === path;
}

// Undefined: it is none, or has ended. The control group comes first: unlike cmdline and environ (fs/proc/base.c,
// access_remote_vm) it is read without a lock of the process, which one that hangs elsewhere may hold for good.
function leftOverOf({ proc, sys }: Where, pid: string): LeftOver | undefined {
  const of = (name: string, whose = pid): string => readAttribute(`${proc}/${whose}/${name}`) ?? '';
  if (of('cgroup') !== of('cgroup', 'self') || !isOurs(`${proc}/${pid}`)) return undefined;
  const path = of('cmdline')
    .split('\0')
    .find((word) => /^[io]f=/.test(word) && word.startsWith(`${sys}/`, 3))
    ?.slice(3);
  if (path === undefined) return undefined;
  const marks = new Map(of('environ').split('\0').map(pairOf));
  const by = marks.get(childMarks.by);
  // The name in parentheses may hold anything: the parent's pid is the second word behind it (proc_pid_stat(5)).
  const parent = of('stat').split(')').at(-1)?.split(' ')[2];
  if (by === undefined || parent === undefined || by === parent) return undefined;
  return { pid: Number(pid), path, value: marks.get(childMarks.value) ?? '' };
}

function pairOf(assignment: string): readonly [string, string] {
  const at = assignment.indexOf('=');
  return [assignment.slice(0, at), assignment.slice(at + 1)];
}

function isOurs(directory: string): boolean {
  return statSync(directory, { throwIfNoEntry: false })?.uid === process.geteuid?.();
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended meanwhile
  }
}
