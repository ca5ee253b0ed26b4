/**
 * A mount namespace with a /run and a /var/lib of the test's own, in which the real hook and the daemon's bus half run:
 * the hook's paths are fixed, and it has no seam for tests.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { HookCall } from '../../daemon/pipeline/service.ts';
import { ended, type PrivateBus, started, startPrivateBus } from './private-bus.ts';

const build = fileURLToPath(new URL('.', import.meta.url));
const top = join(build, '..', '..', '..');

interface HookRun {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  /** Milliseconds between the end of the hook and the end of its last descriptor: libvirt waits for both. */
  readonly heldMs: number;
}

interface RunOptions {
  readonly operation: string;
  readonly xml: string;
  readonly domain?: string;
  readonly extra?: string;
  /** What runs the hook: `strace ...`, `setpriv ...`, another shell. */
  readonly through?: readonly string[];
  /** The bus of the hook; the room's own by default. */
  readonly bus?: string;
}

export interface HookRoom {
  /** Real paths of the room's directories. */
  readonly dir: string;
  readonly spool: string;
  readonly state: string;
  readonly bus: PrivateBus;
  /** Arguments of nsenter that run a program in the room. */
  readonly inside: readonly string[];
  run(options: RunOptions): Promise<HookRun>;
  /** Starts the daemon's half; the function ends it. */
  serve(): Promise<() => Promise<void>>;
  /** The calls that the daemon's half got since the last look. */
  calls(): readonly HookCall[];
  close(): Promise<void>;
}

/** Makes the room. Needs root, as the hook does. */
export async function openHookRoom(): Promise<HookRoom> {
  const dir = mkdtempSync(join(tmpdir(), 'revived-hook-'));
  const spool = join(dir, 'run/revived/hook');
  const state = join(dir, 'lib/revived');
  mkdirSync(spool, { recursive: true, mode: 0o700 });
  mkdirSync(state, { recursive: true });
  const hooks = join(dir, 'lib/qemu.d');
  mkdirSync(hooks);
  copyFileSync(join(top, 'hooks/50-revived'), join(hooks, '50-revived'));
  const log = join(dir, 'run/calls');
  writeFileSync(log, '');
  const bus = await startPrivateBus();

  // The shell holds the namespace open until its stdin ends.
  const script =
    'mount --bind "$1/run" /run && mount --bind "$1/lib" /var/lib && echo ready && read -r _';
  const keeper = spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', dir], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [ready] = await once(createInterface({ input: keeper.stdout }), 'line');
  if (ready !== 'ready') throw new Error('the mount namespace was not made: run this as root');
  const inside = ['--mount', `--target=${keeper.pid}`, '--'];

  return {
    dir,
    spool,
    state,
    bus,
    inside,
    run: (options) => runHook(inside, bus.address, options),
    serve: () => serve(inside, bus.address),
    calls() {
      const text = readFileSync(log, 'utf8');
      writeFileSync(log, '');
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line): HookCall => JSON.parse(line));
    },
    async close() {
      const exit = once(keeper, 'exit');
      keeper.stdin.end();
      await exit;
      await bus.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function runHook(
  inside: readonly string[],
  address: string,
  { operation, xml, domain = 'win11', extra = '-', through = [], bus = address }: RunOptions,
): Promise<HookRun> {
  const phase = operation === 'stopped' || operation === 'release' ? 'end' : 'begin';
  const hook = ['/var/lib/qemu.d/50-revived', domain, operation, phase, extra];
  const child = spawn('nsenter', [...inside, ...through, ...hook], {
    // As libvirt calls it (facts/libvirt.md 1.5), and the address of the bus.
    env: { LC_ALL: 'C', PATH: process.env['PATH'], DBUS_SYSTEM_BUS_ADDRESS: bus },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => undefined); // a hook that does not read its stdin is right, most times
  child.stdin.end(xml);
  const texts = Promise.all([textOf(child.stdout), textOf(child.stderr)]);
  const [code] = await once(child, 'exit');
  const exited = performance.now();
  const [out, err] = await texts;
  return { code, out, err, heldMs: performance.now() - exited };
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  const parts: string[] = [];
  for await (const part of stream) parts.push(String(part));
  return parts.join('');
}

async function serve(inside: readonly string[], address: string) {
  const args = [...inside, process.execPath, join(build, 'hook-child.mjs'), address];
  const child = await started('nsenter', args, 'util-linux');
  if (child.stdout === null) throw new Error('no pipe');
  const [ready] = await once(createInterface({ input: child.stdout }), 'line');
  if (ready !== 'ready') throw new Error(`the daemon's half said ${ready}`);
  return () => ended(child);
}
