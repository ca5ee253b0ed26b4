/** The daemon as a process: how it starts, reads its configuration, loses what it needs, and ends. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { promisify } from 'node:util';
import { labCards } from '../sim/presets.ts';
import { type Daemon, type DaemonRoom, openDaemonRoom } from './daemon-room.ts';
import { startNotifySocket } from './notify-socket.ts';

const bounded = { timeout: 60_000 };
const run = promisify(execFile);

let room: DaemonRoom;
let running: Daemon[] = [];

const clean = () => {
  for (const path of ['etc', 'vendor', 'run/revived', 'lib/revived']) {
    rmSync(join(room.hooks.dir, path), { recursive: true, force: true });
  }
};

before(async () => {
  assert.equal(process.getuid?.(), 0, 'run this test as root: it owns a name on a system bus');
  room = await openDaemonRoom();
  clean();
});
after(() => room?.close());
afterEach(async () => {
  for (const daemon of running) daemon.kill('SIGKILL');
  await Promise.all(running.map((daemon) => daemon.ended));
  running = [];
  clean();
});

async function start(env = {}): Promise<Daemon> {
  const daemon = await room.start(env);
  running.push(daemon);
  return daemon;
}

function launch(env = {}): Daemon {
  const daemon = room.launch(env);
  running.push(daemon);
  return daemon;
}

/** Writes a file below the daemon's configuration directory; gives its path. */
function configure(name: string, text: string): string {
  const path = join(room.config, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
  return path;
}

const mode = (name: string) => statSync(join(room.hooks.dir, name)).mode & 0o777;
const policy = () => readFileSync(join(room.hooks.state, 'hook-unreachable'), 'utf8');
const owner = () => room.bus('call', ...driver, 'GetNameOwner', 's', 'org.revived');
const driver = ['org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus'] as const;
const property = (name: string) =>
  room.bus('get-property', 'org.revived', '/org/revived', 'org.revived1.Manager', name);

test(
  'with nothing there, neither files nor libvirt, it gets ready, says so and ends',
  bounded,
  async () => {
    const socket = await startNotifySocket(join(room.hooks.dir, 'notify'));
    try {
      const daemon = launch({ NOTIFY_SOCKET: socket.path, WATCHDOG_USEC: '2000000' });
      const ready = await socket.told(/^READY=1$/m, 15_000);
      // The main process and not the messenger: systemd checks it (NotifyAccess=all).
      assert.match(ready, new RegExp(`^MAINPID=${daemon.pid}$`, 'm'));
      assert.match(ready, /^STATUS=\d+\.\d+\.\d+: ready$/m);
      assert.equal((await owner()).code, 0, 'ready is told when others can call');

      for (const name of ['run/revived', 'run/revived/hook', 'lib/revived']) {
        assert.equal(mode(name), 0o700, name);
      }
      assert.equal(policy(), 'allow\n');
      assert.equal((await property('Libvirt')).out, 's "absent"');
      assert.equal((await property('Iommu')).out, 'b true');
      const { code, out } = await room.ctl('status');
      assert.equal(code, 0);
      for (const card of [labCards.ati, labCards.xhci]) assert.ok(out.includes(card), out);
      await socket.told(/^WATCHDOG=1$/m, 5_000);

      daemon.kill('SIGTERM');
      assert.deepEqual({ ...(await daemon.ended), ms: 0 }, { code: 0, signal: null, ms: 0 });
      await socket.told(/^STOPPING=1$/m, 5_000);
      assert.doesNotMatch(daemon.log(), /<[0-4]>(?!.*libvirt)/);
    } finally {
      await socket.close();
    }
  },
);

// What is wrong, the file it is in, and the line and words that people must be told.
const mistakes = [
  ['revived.yaml', 'hook:\n  unreachable: allow\nholder-seconds: 5\n', 3, 'holder-seconds'],
  ['revived.yaml', '# cards\ncrads:\n  "0b:00":\n    ladder: [bus]\n', 2, 'crads'],
  ['revived.yaml', 'hook:\n  unreachable: perhaps\n', 2, 'allow, refuse'],
  ['revived.yaml', '\n\nholders-seconds: soon\n', 3, 'integer'],
  [
    'revived.yaml',
    'cards:\n  "0b:00":\n    ladder:\n      - bus\n      - kick\n',
    5,
    'subordinate',
  ],
  ['revived.yaml', 'cards:\n  "0b:00": {ladder: [bus]}\n  gpu: {ladder: [bus]}\n', 3, 'gpu'],
  ['revived.yaml', 'domains:\n  a/b:\n    managed: maybe\n', 3, 'boolean'],
  ['revived.yaml', 'hook: {unreachable: allow\n', 2, ''],
  ['revived.yaml', 'hook: &h {unreachable: allow}\ncards: *h\n', 2, 'alias'],
  ['revived.yaml', '- a list\n', 1, 'object'],
  ['revived.yaml', 'hook: {}\n---\nhook: {}\n', 2, ''],
  ['conf.d/50-site.yaml', 'holders-seconds: 5\nholders-seconds: 6\n', 2, 'unique'],
] as const;

test(
  'a configuration with a mistake: no start, but the file, the line and what is wrong',
  bounded,
  async () => {
    const wrong = async ([name, text, line, words]: (typeof mistakes)[number], nth: number) => {
      const config = join(room.config, `${nth}`);
      const path = configure(`${nth}/${name}`, text);
      const daemon = launch({ CONFIGURATION_DIRECTORY: config });
      const { code } = await daemon.ended;
      const log = daemon.log();
      assert.equal(code, 1, log);
      assert.ok(log.startsWith(`<3>revived cannot run: ${path}:${line}: `), log);
      assert.ok(log.includes(words), log);
      assert.equal(log.indexOf('\n'), log.length - 1, `more than one line: ${log}`);
    };
    for (const from of [0, 3, 6, 9]) {
      await Promise.all(mistakes.slice(from, from + 3).map((one, nth) => wrong(one, from + nth)));
    }
    assert.equal(mistakes.length, 12);
    assert.notEqual((await owner()).code, 0, 'nobody took the name');
  },
);

test(
  'SIGHUP and Reload read the configuration anew, and keep the old one where it is wrong',
  bounded,
  async () => {
    const path = configure('revived.yaml', 'hook: {unreachable: refuse}\n');
    const daemon = await start();
    assert.equal(policy(), 'refuse\n');

    configure('revived.yaml', '# a comment\nhook: {unreachable: perhaps}\n');
    daemon.kill('SIGHUP');
    const kept = await daemon.says(/The old configuration stays: .*/);
    assert.ok(kept.includes(`${path}:2: hook.unreachable`), kept);
    const manager = ['org.revived', '/org/revived', 'org.revived1.Manager'];
    const refused = await room.bus('call', ...manager, 'Reload', 'a{sv}', '0');
    assert.equal(refused.code, 1);
    assert.ok(refused.err.includes(`${path}:2: hook.unreachable`), refused.err);
    assert.equal(policy(), 'refuse\n');

    configure('revived.yaml', 'hook: {unreachable: allow}\n');
    daemon.kill('SIGHUP');
    await daemon.says(/The configuration was read anew/);
    await room.until('the policy is the new one', () => policy() === 'allow\n');
    configure('revived.yaml', 'hook: {unreachable: refuse}\n');
    assert.equal((await room.bus('call', ...manager, 'Reload', 'a{sv}', '0')).code, 0);
    assert.equal(policy(), 'refuse\n');
  },
);

test(
  'SIGTERM and SIGINT end it with 0, even right after it said that it is ready',
  bounded,
  async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const daemon = await start();
      daemon.kill(signal);
      const { code, ms } = await daemon.ended;
      assert.equal(code, 0, daemon.log());
      assert.ok(ms < 5_000, `${ms} ms without any job`);
    }
  },
);

test(
  'when the bus goes away it ends with a failure, so that systemd starts it again',
  bounded,
  async () => {
    const own = await openDaemonRoom();
    try {
      const daemon = await own.start();
      await own.hooks.bus.kill();
      const { code } = await daemon.ended;
      assert.equal(code, 1);
      assert.match(daemon.log(), /<3>The system bus is gone/);
    } finally {
      await own.close();
    }
  },
);

test(
  'a second daemon is refused the name, says why, and leaves the first alone',
  bounded,
  async () => {
    const first = await start();
    const second = launch();
    const { code } = await second.ended;
    assert.equal(code, 1);
    assert.match(
      second.log(),
      /<3>revived cannot run: The bus name org.revived is taken .*busctl status/,
    );
    assert.equal((await room.ctl('status')).code, 0);
    assert.ok(first.pid > 0);
  },
);

test('without a bus it says so and ends with a failure', bounded, async () => {
  const daemon = launch({ DBUS_SYSTEM_BUS_ADDRESS: 'unix:path=/nonexistent/bus' });
  assert.equal((await daemon.ended).code, 1);
  assert.match(daemon.log(), /^<3>revived cannot run: The message bus at \S+ cannot be reached/);
});

test('a torn leases.json: it starts, says what it lost, and works', bounded, async () => {
  const first = await start();
  const took = await room.ctl('take', labCards.xhci);
  assert.equal(took.code, 0, took.err);
  first.kill('SIGKILL');
  await first.ended;
  const file = join(room.hooks.dir, 'run/revived/leases.json');
  const whole = readFileSync(file, 'utf8');
  writeFileSync(file, whole.slice(0, whole.length / 2));

  const second = await start();
  assert.match(second.log(), /<4>.*leases\.json cannot be read .*ignored/);
  // What it does not know any more it leaves as it found it; people see it and can move it on.
  assert.deepEqual(room.drivers(labCards.xhci), ['vfio-pci']);
  writeFileSync(file, whole);
  second.kill('SIGKILL');
  await second.ended;
  await start();
  const back = await room.ctl('return', labCards.xhci);
  assert.equal(back.code, 0, back.err);
  assert.deepEqual(room.drivers(labCards.xhci), ['xhci_hcd']);
});

for (const [what, directory, script] of [
  ['read-only', '/var/lib/revived', 'mount -t tmpfs -o ro none /var/lib/revived'],
  [
    'missing and not to be made',
    '/var/lib/revived/state',
    'mount -t tmpfs -o ro none /var/lib/revived',
  ],
  ['a file', '/var/lib/revived/file', 'echo > /var/lib/revived/file'],
] as const) {
  test(
    `a state directory that is ${what}: it starts and says what is lost, and cards move`,
    bounded,
    async () => {
      mkdirSync(room.hooks.state, { recursive: true });
      await run('nsenter', [...room.hooks.inside, 'sh', '-c', script]);
      try {
        const daemon = await start({ STATE_DIRECTORY: directory });
        assert.match(daemon.log(), /The journal cannot be written: history is lost/);
        assert.match(daemon.log(), /The hook cannot be told its policy/);
        assert.equal((await room.ctl('history')).code, 0);
        if (what !== 'read-only') return;
        const took = await room.ctl('take', labCards.xhci);
        assert.equal(took.code, 0, took.err);
        const back = await room.ctl('return', labCards.xhci);
        assert.equal(back.code, 0, back.err);
      } finally {
        const unmount = 'umount -l /var/lib/revived || :';
        await run('nsenter', [...room.hooks.inside, 'sh', '-c', unmount]);
      }
    },
  );
}
