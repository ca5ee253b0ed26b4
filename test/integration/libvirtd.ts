/**
 * A real libvirtd of the test's own, with the qemu and the test driver. It lives in a mount namespace where
 * /etc/libvirt, /run/libvirt, /var/lib/libvirt and the like are the test's: it neither sees nor disturbs a
 * libvirt of the machine. Domains run under TCG.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { waitFor } from '../../daemon/deadline.ts';

const program = '/usr/sbin/libvirtd';
const packages =
  'libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 util-linux';
// What libvirt learns about the qemu binary takes seconds; it is kept between tests (libvirt checks its age).
const cache = fileURLToPath(new URL('../../libvirt-cache', import.meta.url));
/** A libvirtd that is not ready by then will never be; probing qemu is not part of it. */
const readyMs = 20_000;
const virshMs = 30_000;

export interface Libvirtd {
  /** The read-write socket; `${socket}-ro` is the other. */
  readonly socket: string;
  /** What libvirtd sees as /etc/libvirt; hooks go to `hooks/`. */
  readonly etc: string;
  /** Of the libvirtd that runs, or of the last one. */
  readonly pid: number;
  /** Runs virsh with an argument list; resolves with its output, rejects with what it says. */
  virsh(uri: Uri, ...args: readonly string[]): Promise<string>;
  /** Sends a signal; resolves when a signal that ends it has ended it. Domains go on. */
  kill(signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT' | 'SIGHUP'): Promise<void>;
  /** Ends every qemu of its domains, as a crash of qemu does. */
  endQemu(): Promise<void>;
  /** Starts it again after kill(). */
  start(): Promise<void>;
  /** Ends libvirtd and its domains, and removes what they left. */
  stop(): Promise<void>;
}

export type Uri = 'test:///default' | 'qemu:///system';

export interface LibvirtdOptions {
  /** What libvirtd.conf says about the socket; `default` leaves it to libvirt (polkit). */
  readonly auth?: 'none' | 'default';
  /** Scripts in /etc/libvirt/hooks, by name (`qemu`, `qemu.d/50-revived`); libvirtd looks for them as it starts. */
  readonly hooks?: Readonly<Record<string, string>>;
}

/** Starts one. Needs root. Fails with the packages to install where something is missing. */
export async function startLibvirtd(options: LibvirtdOptions = {}): Promise<Libvirtd> {
  checkMachine();
  const dir = await mkdtemp(join(tmpdir(), 'revived-libvirtd-'));
  await mkdir(cache, { recursive: true });
  for (const name of ['etc/hooks', 'run', 'lib', 'log', 'sock']) {
    await mkdir(join(dir, name), { recursive: true });
  }
  await writeFile(join(dir, 'libvirtd.conf'), daemonConfig(dir, options.auth ?? 'none'));
  await writeFile(join(dir, 'etc/qemu.conf'), qemuConfig);
  for (const [name, text] of Object.entries(options.hooks ?? {})) {
    const path = join(dir, 'etc/hooks', name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text, { mode: 0o755 });
  }
  // The qemu driver does not start without its user, even where qemu.conf names another.
  await writeFile(
    join(dir, 'passwd'),
    await withUser('/etc/passwd', ':x:64055:65534::/:/bin/false'),
  );
  await writeFile(join(dir, 'group'), await withUser('/etc/group', ':x:64055:'));
  const room = await openRoom(dir);
  const socket = join(dir, 'sock/libvirt-sock');
  let daemon = await startDaemon(room, dir, socket);

  return {
    socket,
    etc: join(dir, 'etc'),
    get pid() {
      return daemon.pid ?? 0;
    },
    async virsh(uri, ...args) {
      const [driver, rest] = uri.split(':');
      const { stdout } = await promisify(execFile)(
        'virsh',
        ['-c', `${driver}+unix:${rest}?socket=${socket}`, ...args],
        { timeout: virshMs, killSignal: 'SIGKILL' },
      );
      return stdout;
    },
    async kill(signal) {
      const exit = once(daemon, 'exit');
      daemon.kill(signal);
      if (signal === 'SIGKILL' || signal === 'SIGTERM') await exit;
    },
    endQemu: () => room.end((comm) => comm.startsWith('qemu-')),
    async start() {
      daemon = await startDaemon(room, dir, socket);
    },
    async stop() {
      await room.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function checkMachine(): void {
  if (process.getuid?.() !== 0) {
    throw new Error('Run this test as root: it starts a libvirtd in a mount namespace of its own.');
  }
  for (const path of [program, '/usr/bin/virsh', '/usr/bin/qemu-system-x86_64']) {
    try {
      accessSync(path, constants.X_OK);
    } catch (error) {
      throw new Error(`${path} is missing: apt-get install --no-install-recommends ${packages}`, {
        cause: error,
      });
    }
  }
}

function daemonConfig(dir: string, auth: 'none' | 'default'): string {
  const none = 'auth_unix_rw = "none"\nauth_unix_ro = "none"\n';
  return `unix_sock_dir = "${dir}/sock"
log_outputs = "2:file:${dir}/libvirtd.log"
${auth === 'none' ? none : ''}`;
}

// No root helpers, no cgroups, no labels: none of them is what is tested.
const qemuConfig = `user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
namespaces = []
cgroup_controllers = []
dynamic_ownership = 0
remember_owner = 0
`;

async function withUser(path: string, fields: string): Promise<string> {
  const text = await readFile(path, 'utf8');
  return /^libvirt-qemu:/m.test(text) ? text : `${text}libvirt-qemu${fields}\n`;
}

interface Room {
  /** Runs a program in the room; it ends with us, even if we crash. */
  spawn(argv: readonly string[]): ChildProcess;
  /** Ends what is in the room and has such a name; resolves when it is gone. */
  end(which: (comm: string) => boolean): Promise<void>;
  /** Ends everything in the room. */
  close(): Promise<void>;
}

async function openRoom(dir: string): Promise<Room> {
  const script = `set -e
for d in /run /var/lib /var/cache /var/log; do mkdir -p "$d/libvirt"; done
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/group" /etc/group
mount --bind "$1/etc" /etc/libvirt
mount --bind "$1/run" /run/libvirt
mount --bind "$1/lib" /var/lib/libvirt
mount --bind "$1/log" /var/log/libvirt
mount --bind "$2" /var/cache/libvirt
echo ready
read -r _ || true`;
  // This shell keeps the namespace, so that its number is not given to another, until its stdin ends.
  const keeper = spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', dir, cache], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exit = once(keeper, 'exit');
  const ready = await Promise.race([once(createInterface({ input: keeper.stdout }), 'line'), exit]);
  if (ready[0] !== 'ready') throw new Error('The mount namespace of the test was not made.');
  const namespace = await readlink(`/proc/${keeper.pid}/ns/mnt`);
  const end: Room['end'] = async (which) => {
    const gone = await waitFor(
      async () => {
        const found: number[] = [];
        for (const pid of await inNamespace(namespace)) {
          const comm = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => undefined);
          if (pid !== keeper.pid && comm !== undefined && which(comm)) found.push(pid);
        }
        for (const pid of found) killQuietly(pid);
        return found.length === 0 ? true : undefined;
      },
      10_000,
      20,
    );
    if (gone === undefined) throw new Error('Something of libvirtd could not be ended.');
  };
  return {
    spawn: (argv) =>
      spawn(
        'nsenter',
        ['--mount', `--target=${keeper.pid}`, 'setpriv', '--pdeathsig=SIGKILL', '--', ...argv],
        { stdio: ['ignore', 'ignore', 'inherit'] },
      ),
    end,
    async close() {
      await end(() => true);
      keeper.stdin.end();
      await exit;
    },
  };
}

async function inNamespace(namespace: string): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const owners = await Promise.all(
    pids.map((pid) => readlink(`/proc/${pid}/ns/mnt`).catch(() => '')),
  );
  return pids.filter((_, index) => owners[index] === namespace);
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it ended by itself meanwhile
  }
}

async function startDaemon(room: Room, dir: string, socket: string): Promise<ChildProcess> {
  const daemon = room.spawn([
    ...[program, '--config', join(dir, 'libvirtd.conf'), '--pid-file', join(dir, 'pid')],
  ]);
  let ended = false;
  daemon.once('exit', () => {
    ended = true;
  });
  const ready = await waitFor(() => (ended ? false : answers(socket)), readyMs, 20);
  if (ready !== true) {
    const log = await readFile(join(dir, 'libvirtd.log'), 'utf8').catch(() => '');
    daemon.kill('SIGKILL');
    throw new Error(`libvirtd did not get ready: ${log.slice(-2000)}`);
  }
  return daemon;
}

function answers(socket: string): Promise<true | undefined> {
  return new Promise((resolve) => {
    const attempt = connect(socket);
    attempt.once('connect', () => {
      attempt.destroy();
      resolve(true);
    });
    attempt.once('error', () => resolve(undefined));
  });
}
