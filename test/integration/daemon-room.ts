/**
 * The whole of revived on a simulated machine: the built daemon as its own process, a real bus with the installed
 * policy, the real hook, the real revivectl. The daemon runs in the hook's mount namespace, where /run/revived and
 * /var/lib/revived are the room's, and ends with the test even if the test is killed.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor } from '../../daemon/deadline.ts';
import { installDd } from '../sim/dd-wrapper.ts';
import { simEnvironment } from '../sim/io.ts';
import { SimKernel } from '../sim/kernel.ts';
import { type MachineSpec, machine } from '../sim/machine.ts';
import { labSpec } from '../sim/presets.ts';
import { busctl, type Said } from './busctl.ts';
import { type HookRoom, openHookRoom } from './hook-room.ts';
import { startNotifySocket } from './notify-socket.ts';

const top = fileURLToPath(new URL('../../../', import.meta.url));
const ddBundle = fileURLToPath(new URL('../sim/dd.mjs', import.meta.url));
/** Starting takes a tenth of a second; the machine may be busy. */
const readyMs = 30_000;
/** For what the daemon does in the background: some dozen children on a busy machine. */
const settleMs = 30_000;

type Environment = Readonly<Record<string, string | undefined>>;

export interface Daemon {
  readonly pid: number;
  /** What it wrote to stderr so far. */
  log(): string;
  /** Resolves when the log matches; the match. */
  says(pattern: RegExp): Promise<string>;
  kill(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL' | 'SIGHUP'): void;
  /** How it ended, and after how many milliseconds since kill() (since its start, if nobody did). */
  readonly ended: Promise<Ended>;
}

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly ms: number;
}

export interface DaemonRoom {
  readonly kernel: SimKernel;
  readonly hooks: HookRoom;
  /** CONFIGURATION_DIRECTORY of the daemon; made by the test that wants one. */
  readonly config: string;
  /** Starts it and waits for READY=1. */
  start(env?: Environment): Promise<Daemon>;
  /** Starts one that is expected to end by itself. */
  launch(env?: Environment): Daemon;
  /** The built revivectl. */
  readonly revivectl: string;
  /** Runs it as root, without a terminal. */
  ctl(...args: readonly string[]): Promise<Said>;
  /** `revivectl --json`, which must succeed. */
  json(...args: readonly string[]): Promise<unknown>;
  /** busctl as root. */
  bus(...args: readonly string[]): Promise<Said>;
  /** Resolves when the condition holds; `what` is for the message when it never does. */
  until(what: string, condition: () => boolean | Promise<boolean>): Promise<void>;
  /** The driver of each function of a card, in order. */
  drivers(card: string): readonly (string | null)[];
  /** Drivers, overrides and power settings of a card and the port above it: what a return has to restore. */
  home(card: string): unknown;
  /** The entries of leases.json; throws when the file is not whole. */
  leases(): readonly Record<string, unknown>[];
  /** Puts the machine back to its first state, for the next test: with no daemon running. */
  reboot(): void;
  close(): Promise<void>;
}

/** A graphics card of two functions and a USB controller, where the lab machine has them (labCards), and a disk. */
const spec: MachineSpec = {
  ...labSpec,
  ports: [
    { address: '0000:00:04.0', slot: '1', functions: [{ model: 'nvme' }] },
    ...labSpec.ports.slice(1, 3),
  ],
};

/** Opens a room around such a machine. Needs root. */
export async function openDaemonRoom(): Promise<DaemonRoom> {
  for (const file of ['dist/revived.mjs', 'dist/revivectl.mjs']) {
    if (!existsSync(join(top, file))) throw new Error(`${file} is missing: run make build first.`);
  }
  const hooks = await openHookRoom();
  const kernel = SimKernel.create(machine(spec), { shared: true });
  const dd = installDd(kernel.root, ddBundle);
  const config = join(hooks.dir, 'etc');
  const leasesFile = join(hooks.dir, 'run/revived/leases.json');
  const revivectl = join(top, 'dist/revivectl.mjs');
  const daemons: Daemon[] = [];

  const environment = {
    ...simEnvironment(kernel, dd),
    LC_ALL: 'C',
    PATH: process.env['PATH'],
    DBUS_SYSTEM_BUS_ADDRESS: hooks.bus.address,
    RUNTIME_DIRECTORY: '/run/revived',
    STATE_DIRECTORY: '/var/lib/revived',
    CONFIGURATION_DIRECTORY: config,
    REVIVED_VENDOR_CONFIG: join(hooks.dir, 'vendor'),
  };
  const launch = (env: Environment = {}): Daemon => {
    const argv = [...hooks.inside, 'setpriv', '--pdeathsig=SIGKILL', '--', ...unitCommand()];
    const child = spawn('nsenter', argv, {
      env: { ...environment, ...env },
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    const daemon = watchDaemon(child);
    daemons.push(daemon);
    return daemon;
  };
  const ctl = (...args: readonly string[]): Promise<Said> =>
    said(process.execPath, [revivectl, ...args], {
      ...process.env,
      DBUS_SYSTEM_BUS_ADDRESS: hooks.bus.address,
    });
  const functions = (card: string): readonly string[] =>
    readdirSync(`${kernel.sys}/bus/pci/devices`).filter((name) => name.startsWith(`${card}.`));

  return {
    kernel,
    hooks,
    config,
    launch,
    async start(env = {}) {
      const socket = await startNotifySocket(join(hooks.dir, 'notify'));
      try {
        const daemon = launch({ NOTIFY_SOCKET: socket.path, ...env });
        const early = daemon.ended.then(({ code }) => {
          throw new Error(`the daemon ended with ${code} before it was ready: ${daemon.log()}`);
        });
        early.catch(() => undefined); // its later end is the test's business
        await Promise.race([socket.told(/^READY=1$/m, readyMs), early]);
        return daemon;
      } finally {
        await socket.close();
      }
    },
    revivectl,
    ctl,
    async json(...args) {
      const { code, out, err } = await ctl('--json', ...args);
      if (code !== 0) throw new Error(`revivectl ${args.join(' ')}: exit ${code}: ${err}`);
      return JSON.parse(out);
    },
    bus: (...args) => busctl(hooks.bus.address, 0, args),
    until: (what, condition) => until(what, condition, () => daemons.at(-1)?.log() ?? ''),
    drivers: (card) => functions(card).map((fn) => kernel.device(fn).driver),
    home(card) {
      const parent = kernel.device(`${card}.0`).parent ?? '';
      return [parent, ...functions(card)].map((address) => {
        const { driver, override, control, d3coldAllowed } = kernel.device(address);
        return { address, driver, override, control, d3coldAllowed };
      });
    },
    reboot() {
      kernel.reboot();
      rmSync(leasesFile, { force: true });
    },
    leases() {
      if (!existsSync(leasesFile)) return [];
      const { leases }: { leases: Record<string, unknown>[] } = JSON.parse(
        readFileSync(leasesFile, 'utf8'),
      );
      return leases;
    },
    async close() {
      for (const daemon of daemons) daemon.kill('SIGKILL');
      await Promise.all(daemons.map((daemon) => daemon.ended));
      // A child of a daemon that was killed goes on until its write is done.
      const gone = await waitFor(
        () => (accessesOf(kernel.root).length === 0 ? true : undefined),
        settleMs,
        20,
      );
      if (gone !== true)
        for (const { pid } of accessesOf(kernel.root)) process.kill(pid, 'SIGKILL');
      await hooks.close();
      kernel.dispose();
    },
  };
}

/** Domain XML as a hook gets it, with each PCI function of `functions` (`0000:0b:00.0`) handed over. */
export function domainXml(name: string, uuid: string, functions: readonly string[]): string {
  const text = name.replaceAll(/[&<>\n]/g, (c) => `&#${c.charCodeAt(0)};`);
  return `<domain type='kvm' id='3'>
  <name>${text}</name>
  <uuid>${uuid}</uuid>
  <devices>
${functions.map(hostdevXml).join('')}  </devices>
</domain>
`;
}

/** A function that is handed over, as libvirt writes it (virDomainHostdevDefFormat). */
export function hostdevXml(address: string): string {
  const [domain, bus, slot, fn] = address.split(/[:.]/);
  return `    <hostdev mode='subsystem' type='pci' managed='yes'>
      <driver name='vfio'/>
      <source>
        <address domain='0x${domain}' bus='0x${bus}' slot='0x${slot}' function='0x${fn}'/>
      </source>
    </hostdev>
`;
}

/** What the unit starts, with the node of the test and the daemon that was built. */
function unitCommand(): readonly string[] {
  const unit = readFileSync(join(top, 'units/revived.service'), 'utf8');
  const words = /^ExecStart=@node@ (.+)$/m.exec(unit)?.[1]?.split(' ') ?? [];
  return [process.execPath, ...words.map((word) => word.replace('@libdir@', join(top, 'dist')))];
}

interface Access {
  readonly pid: number;
  /** The file of the simulated machine that it reads or writes. */
  readonly path: string;
  /** What it has open. */
  readonly open: readonly string[];
}

/** The children of daemons that are at a file of the machine in `root` right now. */
export function accessesOf(root: string): readonly Access[] {
  return readdirSync('/proc').flatMap((name) => {
    const words = /^\d+$/.test(name) ? commandOf(name) : [];
    const operand = words.find((word) => /^[io]f=/.test(word) && word.includes(`${root}/`));
    if (operand === undefined) return [];
    return [{ pid: Number(name), path: operand.slice(3), open: openFilesOf(name) }];
  });
}

function commandOf(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
  } catch {
    return []; // it has ended meanwhile
  }
}

function openFilesOf(pid: string): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  } catch {
    return []; // as above
  }
}

function watchDaemon(child: ChildProcess): Daemon {
  const { stderr, pid } = child;
  if (stderr === null || pid === undefined) throw new Error('the daemon could not be started');
  let text = '';
  stderr.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  let since = performance.now();
  const exited = once(child, 'exit').then(() => performance.now());
  // `close` comes when the log is whole.
  const ended = once(child, 'close').then(async ([code, signal]): Promise<Ended> => {
    return { code, signal, ms: (await exited) - since };
  });
  return {
    pid,
    log: () => text,
    async says(pattern) {
      await until(
        `the daemon says ${pattern}`,
        () => pattern.test(text),
        () => text,
      );
      return pattern.exec(text)?.[0] ?? '';
    },
    kill(signal) {
      since = performance.now();
      child.kill(signal);
    },
    ended,
  };
}

async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  log: () => string,
): Promise<void> {
  const held = await waitFor(async () => ((await condition()) ? true : undefined), settleMs, 20);
  if (held !== true) throw new Error(`This never came: ${what}. The daemon's log:\n${log()}`);
}

function said(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Said> {
  return new Promise((resolve) => {
    const child = execFile(program, args, { env, maxBuffer: 33_554_432 }, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, out: out.trim(), err: err.trim() });
    });
    child.stdin?.end();
  });
}
