/** The daemon as it is built and as its unit runs it, in a mount namespace where /run is the benchmark's own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { withDeadline } from '../../daemon/deadline.ts';
import { type PrivateBus, startPrivateBus } from '../integration/private-bus.ts';
import { simEnvironment } from '../sim/io.ts';
import { SimKernel } from '../sim/kernel.ts';
import { machine } from '../sim/machine.ts';
import { desktopSpec } from '../sim/presets.ts';

/** The command line of units/revived.service. */
export const daemonCommand: readonly string[] = [
  process.execPath,
  '--jitless',
  '--no-expose-wasm',
  fileURLToPath(new URL('../../../dist/revived.mjs', import.meta.url)),
];

/** A place to run daemons in: a desktop PC with three cards that people pass, and a bus. */
export interface Site {
  /** Becomes /run of what runs through `room`. */
  readonly run: string;
  readonly kernel: SimKernel;
  readonly bus: PrivateBus;
  readonly env: NodeJS.ProcessEnv;
  /** Runs the command that follows with our /run: the hook's paths are fixed. */
  readonly room: readonly string[];
  close(): Promise<void>;
}

/** Makes one. `libvirtSocket` is where the daemon looks for libvirt; nowhere by default. */
export async function openSite(libvirtSocket = '/nonexistent/libvirt-sock'): Promise<Site> {
  if (process.getuid?.() !== 0) throw new Error('run this as root: it makes a mount namespace');
  const dir = mkdtempSync(join(tmpdir(), 'revived-bench-'));
  const run = join(dir, 'run');
  mkdirSync(join(run, 'revived/hook'), { recursive: true, mode: 0o700 });
  const kernel = SimKernel.create(machine(desktopSpec));
  const bus = await startPrivateBus();
  return {
    run,
    kernel,
    bus,
    env: {
      ...{ LC_ALL: 'C', PATH: process.env['PATH'] },
      ...simEnvironment(kernel, '/usr/bin/dd'),
      DBUS_SYSTEM_BUS_ADDRESS: bus.address,
      STATE_DIRECTORY: join(dir, 'state'),
      CONFIGURATION_DIRECTORY: join(dir, 'etc'),
      REVIVED_VENDOR_CONFIG: join(dir, 'vendor'),
      REVIVED_LIBVIRT_SOCKET: libvirtSocket,
    },
    room: ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /run && exec "$@"', run],
    async close() {
      await bus.stop();
      kernel.dispose();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export interface Daemon {
  readonly pid: number;
  /** A line of /proc/PID/status in MB of a million bytes: `VmRSS`, `VmHWM`. */
  memory(field: 'VmRSS' | 'VmHWM'): number;
  stop(): Promise<void>;
}

const readyMs = 30_000;

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
  const { pid = 0 } = child; // room execs: it is the daemon's own
  return {
    pid,
    memory(field) {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1];
      return (Number(kilobytes) * 1024) / 1e6;
    },
    async stop() {
      child.kill('SIGTERM');
      await exit;
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
