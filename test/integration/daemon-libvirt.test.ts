/** The daemon beside a real libvirtd: what it shows of domains, and what their end means for cards. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { labCards } from '../sim/presets.ts';
import {
  type Daemon,
  type DaemonRoom,
  domainXml,
  hostdevXml,
  openDaemonRoom,
} from './daemon-room.ts';
import { isRecord, shapes, wrongWith } from './json-shapes.ts';
import { type Libvirtd, startLibvirtd } from './libvirtd.ts';

const bounded = { timeout: 60_000 };
const uri = 'qemu:///system';
const { ati, xhci } = labCards;

let libvirtd: Libvirtd;
let room: DaemonRoom;
let daemon: Daemon;

before(async () => {
  libvirtd = await startLibvirtd();
  room = await openDaemonRoom();
  daemon = await start();
});
after(async () => {
  await room?.close();
  await libvirtd?.stop();
});

function start(): Promise<Daemon> {
  return room.start({ REVIVED_LIBVIRT_SOCKET: libvirtd.socket });
}

/** Defines a domain under TCG without a disk: it boots into SeaBIOS and stays there. Gives its uuid. */
async function define(name: string, functions: readonly string[] = []): Promise<string> {
  const uuid = randomUUID();
  const file = join(libvirtd.etc, `${uuid}.xml`);
  await writeFile(
    file,
    `<domain type='qemu'><name>${name}</name><uuid>${uuid}</uuid><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/>
<memballoon model='none'/>${functions.map(hostdevXml).join('')}</devices></domain>`,
  );
  await libvirtd.virsh(uri, 'define', file);
  return uuid;
}

async function property(uuid: string, name: string): Promise<string> {
  const path = `/org/revived/domains/${uuid.replaceAll('-', '_')}`;
  const { out, err } = await room.bus(
    ...['get-property', 'org.revived', path, 'org.revived1.Domain', name],
  );
  return out || err;
}
const becomes = (uuid: string, state: string) =>
  room.until(
    `the domain is ${state}`,
    async () => (await property(uuid, 'State')) === `s "${state}"`,
  );

async function cardState(card: string): Promise<unknown> {
  const shown = await room.json('show', card);
  return isRecord(shown) ? shown['state'] : undefined;
}

/** Hands the card to a domain as libvirt's hook would: its own XML may say something else. */
async function lend(card: string, name: string, uuid: string): Promise<void> {
  const xml = domainXml(name, uuid, [`${card}.0`]);
  const { code, err } = await room.hooks.run({ operation: 'prepare', domain: name, xml });
  assert.deepEqual([code, err], [0, '']);
  assert.equal(await cardState(card), 'lent');
}

async function restart(): Promise<void> {
  daemon.kill('SIGKILL');
  await daemon.ended;
  daemon = await start();
}

test('domains come, change and go on D-Bus as they do in libvirt', bounded, async () => {
  const manager = ['get-property', 'org.revived', '/org/revived', 'org.revived1.Manager'];
  await room.until(
    'it is connected',
    async () => (await room.bus(...manager, 'Libvirt')).out === 's "connected"',
  );
  assert.match((await room.bus(...manager, 'LibvirtVersion')).out, /^s "\d+\.\d+\.\d+"$/);

  const uuid = await define('plain');
  await becomes(uuid, 'shutoff');
  assert.equal(await property(uuid, 'Name'), 's "plain"');
  assert.equal(await property(uuid, 'Cards'), 'ao 0');
  await libvirtd.virsh(uri, 'start', 'plain');
  await becomes(uuid, 'running');
  await libvirtd.virsh(uri, 'suspend', 'plain');
  await becomes(uuid, 'paused');
  await libvirtd.virsh(uri, 'resume', 'plain');
  await becomes(uuid, 'running');
  await libvirtd.virsh(uri, 'destroy', 'plain');
  await becomes(uuid, 'shutoff');
  await libvirtd.virsh(uri, 'undefine', 'plain');
  await room.until('it is gone', async () =>
    /Unknown object|no object/i.test(await property(uuid, 'State')),
  );
});

test(
  'a domain with a card shows it, and plan says what its start would do, without doing it',
  bounded,
  async () => {
    const uuid = await define('with card', [`${ati}.0`]);
    const path = `/org/revived/cards/${ati.replaceAll(':', '_')}`;
    await room.until(
      'its card is known',
      async () => (await property(uuid, 'Cards')) === `ao 1 "${path}"`,
    );
    const writes = room.kernel.writes.length;
    for (const args of [['with card'], [uuid, '--op', 'prepare'], [uuid, '--op', 'return']]) {
      const plan = await room.json('plan', ...args);
      assert.deepEqual(wrongWith(plan, shapes.plan, args.join(' ')), []);
      const { refusal, steps, notes } = isRecord(plan) ? plan : {};
      assert.equal(refusal, null);
      const names = Array.isArray(steps)
        ? steps.map((step: unknown) => isRecord(step) && step['name'])
        : [];
      if (args[2] === 'return')
        assert.deepEqual([names, notes], [[], ['all cards of this domain are at home']]);
      else
        assert.ok(
          names.includes(`unbind ${ati}.1`) && names.includes(`bind-vfio ${ati}.0`),
          names.join(),
        );
    }
    assert.equal(room.kernel.writes.length, writes);

    await define('impossible', ['0000:77:00.0']);
    const refused = await room.ctl('--json', 'plan', 'impossible');
    assert.equal(refused.code, 4);
    const plan: unknown = JSON.parse(refused.out);
    assert.deepEqual(wrongWith(plan, shapes.plan, 'plan'), []);
    assert.ok(isRecord(plan) && /0000:77:00\.0/.test(String(plan['refusal'])));
    const nosuch = await room.ctl('plan', 'nosuch');
    assert.equal(nosuch.code, 3, nosuch.err);
  },
);

test(
  'the card was taken out of a running guest while the daemon was away: it comes home',
  bounded,
  async () => {
    const home = room.home(xhci);
    // test:///default starts no domain with a PCI hostdev: its XML does not have the card. With a guest that has it, the
    // restart is a scenario of the lab (40-restarts).
    const uuid = await define('survivor');
    await libvirtd.virsh(uri, 'start', 'survivor');
    await lend(xhci, 'survivor', uuid);
    await restart();
    await becomes(uuid, 'running');
    await daemon.says(/return of 0000:03:00: done/);
    assert.deepEqual(room.leases(), []);
    assert.deepEqual(room.home(xhci), home);
    const history = await room.ctl('history', '--limit', '1');
    assert.match(history.out, /it was detached from its domain/);
    await libvirtd.virsh(uri, 'destroy', 'survivor');
  },
);

test(
  'the guest ends while the daemon is away: the next daemon brings the card home',
  bounded,
  async () => {
    const home = room.home(xhci);
    const uuid = await define('gone', [`${xhci}.0`]);
    await lend(xhci, 'gone', uuid);
    await restart();
    await daemon.says(/return of 0000:03:00: done/);
    assert.deepEqual(room.leases(), []);
    assert.deepEqual(room.home(xhci), home);
    const history = await room.json('history', '--limit', '1');
    const [job] = isRecord(history) && Array.isArray(history['jobs']) ? history['jobs'] : [];
    assert.equal(isRecord(job) && job['requestedBy'], 'its domain was found stopped');
  },
);
