/** The real hook under the shell of the machine, with a real bus and the daemon's real bus half. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import type { HookCall } from '../../daemon/pipeline/service.ts';
import { type HookRoom, openHookRoom } from './hook-room.ts';
import { startPrivateBus } from './private-bus.ts';

const bounded = { timeout: 30_000 };
const operations = ['prepare', 'started', 'stopped', 'release', 'reconnect'] as const;
const limit = 8 * 1024 * 1024;

// As libvirt writes it (virDomainHostdevDefFormat).
const hostdev = `    <hostdev mode='subsystem' type='pci' managed='yes'>
      <driver name='vfio'/>
      <source>
        <address domain='0x0000' bus='0x0b' slot='0x00' function='0x0'/>
      </source>
    </hostdev>
`;
const usb = `    <hostdev mode='subsystem' type='usb' managed='no'>\n    </hostdev>\n`;
const filler = `    <controller type='pci' index='1' model='pcie-root-port'/>\n`;

function domainXml(devices: string): string {
  return `<domain type='kvm' id='3'>\n  <name>win11</name>\n  <devices>\n${devices}  </devices>\n</domain>\n`;
}
const managed = domainXml(filler.repeat(100) + hostdev + filler);
const unmanaged = domainXml(filler.repeat(100) + usb);

let room: HookRoom;
let stopDaemon: (() => Promise<void>) | undefined;

before(async () => {
  assert.equal(process.getuid?.(), 0, 'run this test as root: the hook ends at once for others');
  room = await openHookRoom();
  stopDaemon = await room.serve();
});
after(async () => {
  await stopDaemon?.();
  await room?.close();
});
beforeEach(() => {
  rmSync(join(room.state, 'hook-unreachable'), { force: true });
  room.calls();
});

/** Runs `strace` around the hook; the processes that it made, and the order in which all of them ended. */
async function traced(operation: string, xml: string) {
  const log = join(room.dir, 'trace');
  const calls = 'trace=clone,clone3,fork,vfork,execve';
  const through = ['strace', '-f', '-q', '-e', calls, '-o', log];
  const run = await room.run({ operation, xml, through });
  const lines = readFileSync(log, 'utf8').trim().split('\n');
  const made = lines.filter((line) => /\b(clone3?|v?fork)\(/.test(line)).length;
  const ends = lines.filter((line) => /\+\+\+ (exited|killed)/.test(line));
  return { run, made, ends, last: lines.at(-1) ?? '', first: lines[0] ?? '' };
}

for (const operation of operations) {
  test(
    `${operation} of a domain without a PCI hostdev: silent, and not one fork`,
    bounded,
    async () => {
      const { run, made } = await traced(operation, unmanaged);
      assert.deepEqual({ ...run, heldMs: 0 }, { code: 0, out: '', err: '', heldMs: 0 });
      assert.equal(made, 0);
      assert.deepEqual(room.calls(), []);
    },
  );

  test(`${operation} of a managed domain reaches the daemon, byte for byte`, bounded, async () => {
    const run = await room.run({ operation, xml: managed, extra: 'destroyed' });
    assert.deepEqual({ ...run, heldMs: 0 }, { code: 0, out: '', err: '', heldMs: 0 });
    assert.deepEqual(room.calls(), [
      { operation, domain: 'win11', extra: 'destroyed', xml: managed },
    ] satisfies HookCall[]);
    assert.deepEqual(readdirSync(room.spool), []);
  });
}

for (const operation of ['migrate', 'restore', 'start', 'attach', 'launched-by-libvirt-99', '']) {
  test(
    `${operation || 'no operation'} is none of ours: nothing printed, no fork, no call`,
    bounded,
    async () => {
      const { run, made } = await traced(operation, managed);
      assert.deepEqual({ ...run, heldMs: 0 }, { code: 0, out: '', err: '', heldMs: 0 });
      assert.equal(made, 0);
      assert.deepEqual(room.calls(), []);
    },
  );
}

test('an ordinary user (qemu:///session) gets nothing', bounded, async () => {
  const through = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
  const run = await room.run({ operation: 'prepare', xml: managed, through });
  assert.deepEqual({ ...run, heldMs: 0 }, { code: 0, out: '', err: '', heldMs: 0 });
  assert.deepEqual(room.calls(), []);
});

test('names are data', bounded, async () => {
  const names = [
    'with space',
    '--help',
    '-h',
    '--',
    'a/b/../c',
    `quo"te'd`,
    '$(touch /tmp/hook-was-here)`id`',
    'lit\\n\\044x%s%d',
    'x=1',
    '*',
    'new\nline',
    '日本 ü',
    '',
  ];
  for (const domain of names) {
    const run = await room.run({ operation: 'prepare', xml: managed, domain });
    assert.deepEqual({ ...run, heldMs: 0 }, { code: 0, out: '', err: '', heldMs: 0 }, domain);
  }
  assert.deepEqual(
    room.calls().map(({ domain }) => domain),
    names,
  );
});

test('a refused prepare fails with the reason, and with nothing else', bounded, async () => {
  const run = await room.run({ operation: 'prepare', xml: managed, domain: 'refused vm' });
  assert.equal(run.code, 1);
  assert.equal(run.err, 'revived: The card is on fire. Put it out.\n');
  assert.equal(run.out, '');
  assert.deepEqual(readdirSync(room.spool), []);
});

for (const operation of ['started', 'stopped', 'release', 'reconnect']) {
  test(`${operation} never fails: libvirt would kill the guest`, bounded, async () => {
    const run = await room.run({ operation, xml: managed, domain: 'refused vm' });
    assert.equal(run.code, 0);
    assert.equal(run.err, 'revived: The card is on fire. Put it out.\n');
  });
}

test('a managed call leaves no child and no descriptor behind', bounded, async () => {
  const { run, made, ends, first, last } = await traced('prepare', managed);
  assert.equal(run.code, 0);
  assert.ok(made > 0, 'the trace shows the children');
  assert.equal(ends.length, made + 1);
  // The hook's own process is the first of the trace and the last to end.
  assert.match(last, new RegExp(`^${first.split(' ')[0]} .*exited with 0`));
  assert.ok(run.heldMs < 200, `descriptors were held for ${run.heldMs} ms`);
});

const nowhere = 'unix:path=/nonexistent/revived-test-bus';

test('without the daemon a start goes on, with a warning', bounded, async () => {
  for (const operation of operations) {
    const run = await room.run({ operation, xml: managed, bus: nowhere });
    assert.equal(run.code, 0);
    assert.equal(run.out, '');
    assert.match(run.err, /^revived: warning: the daemon cannot be reached \(.*No such file.*\n$/);
    assert.deepEqual(readdirSync(room.spool), []);
  }
});

test('without the daemon a start is refused where that is configured', bounded, async () => {
  writeFileSync(join(room.state, 'hook-unreachable'), 'refuse\n');
  const run = await room.run({ operation: 'prepare', xml: managed, bus: nowhere });
  assert.equal(run.code, 1);
  assert.equal(run.out, '');
  assert.match(run.err, /^revived: the daemon cannot be reached \(.*refuse the start.*\n$/);
  for (const operation of ['started', 'stopped', 'release', 'reconnect']) {
    const later = await room.run({ operation, xml: managed, bus: nowhere });
    assert.equal(later.code, 0, operation);
  }
});

test(
  'a daemon that D-Bus cannot start in time was told nothing: the policy decides',
  bounded,
  async () => {
    const services = join(room.dir, 'services');
    mkdirSync(services);
    const service = '[D-BUS Service]\nName=org.revived\nExec=/usr/bin/sleep 60\nUser=root\n';
    writeFileSync(join(services, 'org.revived.service'), service);
    const brief = '<limit name="service_start_timeout">300</limit>';
    const bus = await startPrivateBus({ more: `<servicedir>${services}</servicedir>${brief}` });
    try {
      const prepare = () => room.run({ operation: 'prepare', xml: managed, bus: bus.address });
      const allowed = await prepare();
      assert.match(
        allowed.err,
        /^revived: warning: the daemon cannot be reached \(.* timed out .*\n$/,
      );
      assert.equal(allowed.code, 0);
      writeFileSync(join(room.state, 'hook-unreachable'), 'refuse\n');
      const refused = await prepare();
      assert.match(
        refused.err,
        /^revived: the daemon cannot be reached \(.* timed out .*refuse the/,
      );
      assert.equal(refused.code, 1);
    } finally {
      await bus.stop();
    }
  },
);

test('a policy that is not the word `refuse` allows', bounded, async () => {
  for (const word of ['allow\n', '', 'refused', '$(reboot)\n', 'refuse me\n']) {
    writeFileSync(join(room.state, 'hook-unreachable'), word);
    const run = await room.run({ operation: 'prepare', xml: managed, bus: nowhere });
    assert.equal(run.code, 0, word);
  }
});

test(
  'a name that nobody owns and a spool that is not there are the same as no daemon',
  bounded,
  async () => {
    rmSync(room.spool, { recursive: true });
    try {
      // More than a pipe holds: the hook has to read it all, or awk dies of it.
      const xml = domainXml(filler.repeat(5000) + hostdev);
      const run = await room.run({ operation: 'prepare', xml });
      assert.equal(run.code, 0);
      assert.match(
        run.err,
        /^revived: warning: .*\/run\/revived\/hook\/prepare-\d+ cannot be written/,
      );
      assert.deepEqual(room.calls(), []);
    } finally {
      mkdirSync(room.spool, { mode: 0o700 });
    }
    await stopDaemon?.();
    try {
      const run = await room.run({ operation: 'prepare', xml: managed });
      assert.equal(run.code, 0);
      assert.match(run.err, /^revived: warning: .*org\.revived/);
      assert.deepEqual(readdirSync(room.spool), []);
    } finally {
      stopDaemon = await room.serve();
    }
  },
);

test(
  'XML beyond the limit is cut off and handed over: the daemon says what is wrong with it',
  bounded,
  async () => {
    const big = filler.repeat(Math.ceil((limit * 1.5) / filler.length));
    for (const xml of [domainXml(hostdev + big), domainXml(big + hostdev), domainXml(big)]) {
      const run = await room.run({ operation: 'prepare', xml });
      assert.equal(run.code, 0);
      const [call] = room.calls();
      assert.ok(call !== undefined && call.xml.length <= limit && xml.startsWith(call.xml));
      assert.ok(call.xml.length > limit - 200);
    }
  },
);

test('an empty stdin and a last line without its end are no trouble', bounded, async () => {
  assert.equal((await room.run({ operation: 'prepare', xml: '' })).code, 0);
  assert.deepEqual(room.calls(), []);
  const run = await room.run({ operation: 'prepare', xml: managed.trimEnd() });
  assert.equal(run.code, 0);
  assert.equal(room.calls().at(-1)?.xml, managed);
});

test('another shell does the same', bounded, async () => {
  const through = ['bash', '--posix'];
  assert.equal((await room.run({ operation: 'prepare', xml: managed, through })).code, 0);
  assert.equal((await room.run({ operation: 'prepare', xml: unmanaged, through })).code, 0);
  assert.equal(room.calls().length, 1);
});
