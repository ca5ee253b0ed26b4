/** A driver install leads to a reboot of the host: the real daemon, libvirtd and QEMU; only logind is scripted. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { createClient } from '../../daemon/ctl/client.ts';
import { type Daemon, type DaemonRoom, openDaemonRoom } from './daemon-room.ts';
import { isRecord } from './json-shapes.ts';
import { type Libvirtd, startLibvirtd } from './libvirtd.ts';
import { type ScriptedLogind, startScriptedLogind } from './scripted-logind.ts';

const bounded = { timeout: 120_000 };
const uri = 'qemu:///system';

let libvirtd: Libvirtd;
let room: DaemonRoom;
let daemon: Daemon;
let logind: ScriptedLogind;

/** Neither of them obeys: they have no system. win is the guest with the driver; web is in the way. */
const config = (webOnRefusal: string) => `reboot: {grace-seconds: 2, shutdown-seconds: 2}
domains:
  win: {on-refusal: destroy}
  web: {on-refusal: ${webOnRefusal}}
`;

before(async () => {
  libvirtd = await startLibvirtd();
  room = await openDaemonRoom();
  logind = await startScriptedLogind(room.hooks.bus.address);
  mkdirSync(room.config);
  for (const name of ['win', 'web']) await define(name);
});
after(async () => {
  logind?.close();
  await room?.close();
  await libvirtd?.stop();
});

/** A boot of the host: both guests run, win is armed. */
beforeEach(async () => {
  logind.asked.length = 0;
  logind.says.inhibitors = [];
  logind.says.goingDown = false;
  writeFileSync(join(room.config, 'revived.yaml'), config('destroy'));
  await boot();
  for (const name of ['web', 'win']) {
    if ((await state(name)) !== 'running') await libvirtd.virsh(uri, 'start', name);
  }
  await ctl('reboot', 'arm', 'win');
});

async function define(name: string): Promise<void> {
  const file = join(libvirtd.etc, `${name}.xml`);
  writeFileSync(
    file,
    `<domain type='qemu'><name>${name}</name><uuid>${randomUUID()}</uuid><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/>
<memballoon model='none'/></devices></domain>`,
  );
  await libvirtd.virsh(uri, 'define', file);
}

async function start(): Promise<void> {
  daemon = await room.start({ REVIVED_LIBVIRT_SOCKET: libvirtd.socket });
  await daemon.says(/connected to libvirt/);
}

async function crash(): Promise<void> {
  daemon.kill('SIGKILL');
  await daemon.ended;
}

/** The host comes up: another boot id, and a daemon. */
async function boot(): Promise<void> {
  if (daemon !== undefined) await crash();
  room.reboot();
  logind.says.scheduled = ['', 0n];
  logind.says.goingDown = false;
  await start();
}

async function ctl(...args: readonly string[]): Promise<void> {
  const { code, err } = await room.ctl(...args);
  assert.deepEqual([code, err], [0, '']);
}

async function state(name: string): Promise<string> {
  return (await libvirtd.virsh(uri, 'domstate', name)).trim();
}
const states = async () => [await state('win'), await state('web')];
const off = ['shut off', 'shut off'];
const isState = (wanted: readonly string[]) => async () =>
  (await states()).join() === wanted.join();

async function word(): Promise<unknown> {
  const shown = await room.json('reboot');
  return isRecord(shown) ? shown['state'] : undefined;
}
/** What everybody on the bus hears of it. */
async function listen() {
  const client = createClient({ address: room.hooks.bus.address, interactive: false });
  const told: string[] = [];
  await client.subscribe((event) => {
    if (event.kind !== 'signal' || event.member !== 'PropertiesChanged') return;
    const [of, changed] = event.args;
    if (!isRecord(changed)) return;
    const whose = of === 'org.revived1.Manager' ? 'manager' : 'domain';
    if ('RebootAt' in changed) told.push(`at ${changed['RebootAt']}`);
    if ('RebootState' in changed) told.push(`${whose} ${changed['RebootState']}`);
  });
  return { told, end: () => client.close() };
}

const reboots = () => logind.asked.filter((call) => call === 'Reboot false').length;
const rebooted = () => room.until('logind is asked to reboot', () => reboots() > 0);
const onDisk = () => readFileSync(join(room.hooks.dir, 'run/revived/reboot.json'), 'utf8');
const mark = () => join(room.hooks.dir, 'run/reboot-required');

test(
  'the guest is caught, the other stops, all are told, and after the boot both run again, once',
  bounded,
  async () => {
    assert.equal(await word(), 'armed');
    const { told, end } = await listen();
    await libvirtd.virsh(uri, 'reset', 'win');
    await rebooted();
    await room.until('it is told', () => told.at(-1)?.endsWith('rebooting') === true);
    end();
    const steps = ['guest-restarting', 'reboot-pending', 'rebooting'];
    assert.deepEqual(
      told.filter((one) => one.startsWith('manager ')),
      steps.map((step) => `manager ${step}`),
    );
    assert.deepEqual(
      told.filter((one) => one.startsWith('domain ')),
      steps.map((step) => `domain ${step}`),
    );
    assert.match(told.join(), /at 1\d{15},.*at 0/, 'when it is announced for, and that it is over');
    assert.deepEqual(await states(), off);
    assert.equal(await word(), 'rebooting');
    assert.equal(readFileSync(`${mark()}.pkgs`, 'utf8'), 'revived\n');
    const calls = logind.asked.map((call) => call.replace(/ \d+$/, ''));
    assert.match(calls[0] ?? '', /^SetWallMessage .*win.*revivectl reboot cancel true$/);
    assert.deepEqual(calls.slice(1), ['ScheduleShutdown dry-reboot', 'Reboot false']);
    assert.match(daemon.log(), /id=guest-caught/);

    await boot();
    await room.until('both run', isState(['running', 'running']));
    assert.equal(await word(), 'resumed');
    const log = daemon.log();
    assert.ok(
      log.indexOf('Domain web runs again') < log.indexOf('Domain win runs again'),
      'in order',
    );
    await libvirtd.virsh(uri, 'destroy', 'web');
    await crash();
    await start();
    await room.until('it is ready', async () => (await word()) === 'resumed');
    assert.equal(await state('web'), 'shut off', 'once is enough');
    await boot();
    assert.equal(await word(), '', 'the next boot is an ordinary one');
    assert.equal(existsSync(join(room.hooks.state, 'resume.json')), false);
  },
);

test(
  'a daemon that is killed in each state goes on, and the host reboots once',
  bounded,
  async () => {
    await crash();
    await start();
    assert.equal(await word(), 'armed');
    await libvirtd.virsh(uri, 'reset', 'win');
    let earlier = '';
    for (const id of [
      'host-reboot-guest-restarting',
      'host-reboot-stopping',
      'host-reboot-announced',
    ]) {
      // A daemon may have been quick enough to say the next one too before it was killed.
      await room.until(id, () => `${earlier}${daemon.log()}`.includes(`id=${id}`));
      // It is said before it is on disk, and the guest restarts only once.
      await room.until('it is on disk', () => !onDisk().includes('"mark":"armed"'));
      await crash();
      earlier += daemon.log();
      assert.equal(reboots(), 0, `no reboot is left behind in ${id}`);
      await start();
    }
    await rebooted();
    await crash();
    await start();
    await room.until('it knows', async () => (await word()) === 'rebooting');
    assert.deepEqual([await states(), reboots()], [off, 1]);
    await boot();
    await daemon.says(/id=resuming/);
    await crash();
    await start();
    await room.until('both run', isState(['running', 'running']));
  },
);

test(
  'cancelled in the grace period: the other guest runs again, the caught one waits',
  bounded,
  async () => {
    await libvirtd.virsh(uri, 'reset', 'win');
    await daemon.says(/id=host-reboot-announced/);
    await ctl('reboot', 'cancel');
    await room.until('web runs again', isState(['shut off', 'running']));
    await room.until('it is given up', () => /id=host-reboot-given-up/.test(daemon.log()));
    assert.ok(logind.asked.includes('CancelScheduledShutdown'));
    assert.deepEqual([await word(), existsSync(mark()), reboots()], ['reboot-pending', true, 0]);
    assert.match(String((await room.ctl()).out), /has to reboot: .*win stays stopped until then/);
    await libvirtd.virsh(uri, 'start', 'win');
    await ctl('reboot', 'cancel');
    assert.deepEqual([await word(), existsSync(mark())], ['', false]);
  },
);

test(
  'a guest that does not shut down, and an inhibitor, end it by name; what was stopped runs on',
  bounded,
  async () => {
    writeFileSync(join(room.config, 'revived.yaml'), config('wait'));
    daemon.kill('SIGHUP');
    await daemon.says(/read anew/);
    await libvirtd.virsh(uri, 'reset', 'win');
    await daemon.says(/given up: Domain web has not shut down within 2 s/);
    await room.until('it is over', async () => (await states()).join() === 'shut off,running');

    logind.says.inhibitors = [
      ['sleep', 'desk', 'x', 'block'],
      ['shutdown:sleep', 'PackageKit\u001b[2J', 'updates', 'block'],
      ['shutdown', 'nm', 'y', 'delay'],
    ];
    await room.until(
      'it can be asked for',
      async () => (await room.ctl('reboot', 'now')).code === 0,
    );
    await daemon.says(
      /given up: The host must not be rebooted now: PackageKit\\u001b\[2J holds it up \(updates\)\./,
    );
    assert.equal(reboots(), 0);
  },
);
