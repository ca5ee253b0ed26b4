/** Guests under a real qemu that reboot, shut down and crash: what the daemon makes of it, with libvirt in between. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { labCards } from '../sim/presets.ts';
import { bootSector } from './boot-sector.ts';
import { type Daemon, type DaemonRoom, domainXml, openDaemonRoom } from './daemon-room.ts';
import { isRecord } from './json-shapes.ts';
import { type Libvirtd, startLibvirtd } from './libvirtd.ts';

const bounded = { timeout: 120_000 };
const uri = 'qemu:///system';
const { ati } = labCards;

let libvirtd: Libvirtd;
let room: DaemonRoom;
let daemon: Daemon;

before(async () => {
  libvirtd = await startLibvirtd();
  room = await openDaemonRoom();
  await mkdir(room.config, { recursive: true });
  await writeFile(
    join(room.config, 'revived.yaml'),
    'domains:\n  again: {guest-reboot: cold, restart: on-crash}\n  off: {guest-reboot: cold}\n',
  );
  daemon = await start();
});
after(async () => {
  await room?.close();
  await libvirtd?.stop();
});

function start(): Promise<Daemon> {
  return room.start({ REVIVED_LIBVIRT_SOCKET: libvirtd.socket });
}

/** A guest that does `what` at the first key. Its XML for libvirt is without the card: there is no vfio here. */
async function define(name: string, what: Parameters<typeof bootSector>[0]): Promise<string> {
  const uuid = randomUUID();
  const disk = join(libvirtd.etc, `${uuid}.img`);
  await writeFile(disk, bootSector(what));
  const file = join(libvirtd.etc, `${uuid}.xml`);
  await writeFile(
    file,
    `<domain type='qemu'><name>${name}</name><uuid>${uuid}</uuid><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/>
<disk type='file'><source file='${disk}'/><target dev='hda'/></disk><memballoon model='none'/></devices></domain>`,
  );
  await libvirtd.virsh(uri, 'define', file);
  return uuid;
}

/** Hands the card over as libvirt's hooks would. */
async function lend(name: string, uuid: string): Promise<void> {
  const xml = domainXml(name, uuid, [`${ati}.0`]);
  for (const operation of ['prepare', 'started']) {
    const { code, err } = await room.hooks.run({ operation, domain: name, xml });
    assert.deepEqual([code, err], [0, '']);
  }
}

const idOf = async (name: string) => (await libvirtd.virsh(uri, 'domid', name)).trim();

/** Presses a key until the BIOS is there to pass it on and the guest has acted. */
async function press(name: string, done: () => boolean | Promise<boolean>): Promise<void> {
  await room.until(`${name} has acted`, async () => {
    await libvirtd.virsh(uri, 'send-key', name, 'KEY_A').catch(() => undefined); // it may be gone by now
    return done();
  });
}

async function lastReturn(): Promise<string> {
  const shown = await room.json('history', '--limit', '1');
  const jobs = isRecord(shown) && Array.isArray(shown['jobs']) ? shown['jobs'] : [];
  return JSON.stringify(jobs[0]);
}

test(
  'a cold reboot: the card comes home, and the guest starts again; so it does after a crash',
  bounded,
  async () => {
    const home = room.home(ati);
    const uuid = await define('again', 'reboots');
    await libvirtd.virsh(uri, 'start', 'again');
    await lend('again', uuid);
    await daemon.says(/A reboot from inside this guest is a stop/);
    const first = await idOf('again');
    await press('again', () => /return of 0000:\S+: done/.test(daemon.log()));
    await room.until('it runs again', async () => !['-', first].includes(await idOf('again')));
    assert.match(daemon.log(), /A guest is started again: it rebooted/);
    assert.deepEqual([room.leases(), room.home(ati)], [[], home]);

    const second = await idOf('again');
    await lend('again', uuid);
    await libvirtd.endQemu();
    await daemon.says(/A guest has crashed, or its QEMU was killed. It is started again/);
    await room.until('it runs again', async () => !['-', second].includes(await idOf('again')));
    assert.match(await lastReturn(), /"name":"rung/, 'a card that looks healthy was reset');
    await libvirtd.virsh(uri, 'destroy', 'again');
    await room.until('it is off', async () => (await idOf('again')) === '-');
  },
);

test('a shutdown stays one, and so does what was not seen', bounded, async () => {
  const uuid = await define('off', 'powersOff');
  await libvirtd.virsh(uri, 'start', 'off');
  await lend('off', uuid);
  await room.until('its reboots are stops', async () =>
    /<on_reboot>destroy</.test(await libvirtd.virsh(uri, 'dumpxml', 'off')),
  );
  assert.match(await libvirtd.virsh(uri, 'dumpxml', '--inactive', 'off'), /<on_reboot>restart</);
  const returns = () => daemon.log().match(/return of \S+: done/g)?.length ?? 0;
  const before = returns();
  await press('off', () => returns() > before);
  assert.equal(await idOf('off'), '-');

  await libvirtd.virsh(uri, 'start', 'off');
  await lend('off', uuid);
  await room.until('its reboots are stops', async () =>
    /<on_reboot>destroy</.test(await libvirtd.virsh(uri, 'dumpxml', 'off')),
  );
  daemon.kill('SIGKILL');
  await daemon.ended;
  await press('off', async () => (await idOf('off')) === '-');
  daemon = await start();
  await daemon.says(/whether it was to reboot is not known, so it stays off/);
  await daemon.says(/return of \S+: done/);
  assert.equal(await idOf('off'), '-');
  assert.equal(/started again/.test(daemon.log()), false);
});
