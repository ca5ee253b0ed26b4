/** Cards move: the real hook, revivectl and the real daemon on a simulated machine. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { labCards } from '../sim/presets.ts';
import { type Daemon, type DaemonRoom, domainXml, openDaemonRoom } from './daemon-room.ts';

const bounded = { timeout: 60_000 };
const { ati, xhci } = labCards;

let room: DaemonRoom;
let daemon: Daemon;

before(async () => {
  assert.equal(process.getuid?.(), 0, 'run this test as root: hooks of others end at once');
  room = await openDaemonRoom();
});
after(() => room?.close());
beforeEach(async () => {
  daemon = await room.start();
});
afterEach(async () => {
  daemon.kill('SIGTERM');
  const { code, signal } = await daemon.ended;
  assert.deepEqual([code, signal], [0, null], daemon.log());
  const left = room.leases();
  if (left.length > 0) room.reboot();
  assert.deepEqual(left, [], 'every test brings its cards home');
});

async function restart(): Promise<void> {
  daemon.kill('SIGKILL');
  await daemon.ended;
  daemon = await room.start();
}

interface Guest {
  readonly name: string;
  readonly uuid: string;
  /** Calls the hook as libvirt does for this domain. */
  hook(operation: string): Promise<{ code: number | null; out: string; err: string }>;
}

function guest(name: string, functions: readonly string[]): Guest {
  const uuid = randomUUID();
  const xml = domainXml(name, uuid, functions);
  return {
    name,
    uuid,
    async hook(operation) {
      const { code, out, err } = await room.hooks.run({ operation, domain: name, xml });
      return { code, out, err };
    },
  };
}

const silent = { code: 0, out: '', err: '' };
const atHome = (card: string) =>
  room.until(`card ${card} is at home`, () =>
    room.leases().every((lease) => lease['card'] !== card),
  );

async function cardProperty(card: string, name: string): Promise<string> {
  const path = `/org/revived/cards/${card.replaceAll(':', '_')}`;
  const { out, err } = await room.bus(
    ...['get-property', 'org.revived', path, 'org.revived1.Card', name],
  );
  return out || err;
}

test(
  'a guest gets its card with the start and the host gets it back after the end',
  bounded,
  async () => {
    const home = room.home(ati);
    // It names the display only; the audio function of the card goes along.
    const win = guest('win11', [`${ati}.0`]);
    assert.deepEqual(await win.hook('prepare'), silent);
    assert.deepEqual(room.drivers(ati), ['vfio-pci', 'vfio-pci']);
    const [lease, ...others] = room.leases();
    assert.deepEqual(others, []);
    const { card, domain, uuid, state, boundBy } = lease ?? {};
    assert.deepEqual(
      [card, domain, uuid, state, boundBy],
      [ati, 'win11', win.uuid, 'lent', 'revived'],
    );
    assert.equal(statSync(join(room.hooks.dir, 'run/revived/leases.json')).mode & 0o777, 0o600);
    assert.equal(await cardProperty(ati, 'State'), 's "lent"');
    assert.equal(await cardProperty(ati, 'Domain'), 's "win11"');
    assert.deepEqual(await win.hook('started'), silent);

    const other = guest('other', [`${ati}.1`]);
    const refused = await other.hook('prepare');
    assert.equal(refused.code, 1);
    assert.equal(
      refused.err,
      `revived: Card ${ati} is with domain win11; domain other cannot have it as well. Stop domain win11 first.\n`,
    );

    assert.deepEqual(await win.hook('stopped'), silent);
    assert.deepEqual(room.drivers(ati), ['vfio-pci', 'vfio-pci'], 'nothing moves before release');
    assert.deepEqual(await win.hook('release'), silent);
    await atHome(ati);
    assert.deepEqual(room.home(ati), home);
    assert.equal(await cardProperty(ati, 'State'), 's "home"');
  },
);

test(
  'a start that cannot be is refused with the reason, and nothing is touched',
  bounded,
  async () => {
    const writes = room.kernel.writes.length;
    const refused = await guest('win11', ['0000:77:00.0']).hook('prepare');
    assert.deepEqual([refused.code, refused.out], [1, '']);
    // The words of doctor (device-missing).
    assert.match(
      refused.err,
      /^revived: Domain "win11" passes 0000:77:00\.0, and the host has no such device\. .* cold start of the host\.\n$/,
    );
    const bridge = await guest('win11', ['0000:00:04.0']).hook('prepare');
    assert.equal(bridge.code, 1);
    assert.match(
      bridge.err,
      /^revived: Domain "win11" passes 0000:00:04\.0: a bridge that other devices hang on/,
    );
    const shared = await guest('win11', ['0000:00:1f.3']).hook('prepare');
    assert.equal(shared.code, 1);
    // The host's disks share slot and group with it: they do not go along, as a card's audio function does.
    assert.match(
      shared.err,
      /^revived: 0000:00:1f\.3 .* shares its IOMMU group \d+ with .*0000:00:1f\.2 \(SATA, 8086:2922, ahci\)/,
    );
    assert.equal(room.kernel.writes.length, writes);
    assert.deepEqual(room.leases(), []);
  },
);

test('revivectl reset follows the job up the ladder, to the rung that helps', bounded, async () => {
  const home = room.home(xhci);
  const resets = room.kernel.resets.length;
  room.kernel.die(xhci, { healsBy: ['remove-rescan'], clean: true });
  const dead = await room.ctl('reset', xhci);
  assert.equal(dead.code, 0, dead.err);
  assert.match(dead.out, /^job \d+, reset of 0000:03:00\n/);
  assert.match(dead.out, /\n {2}failed .* rung bus: .*wedged/);
  assert.match(dead.out, /\n {2}ok .* rung remove-rescan: .*healthy/);
  assert.match(dead.out, /\njob \d+, reset of 0000:03:00: done in [^\n]*$/);
  assert.ok(room.kernel.resets.slice(resets).some((one) => one.method === 'bus'));
  assert.deepEqual(room.home(xhci), home);
  assert.equal(await cardProperty(xhci, 'Health'), 's "healthy"');
});

test(
  'a card that nothing revives is kept from its host drivers, says so, and comes home later',
  bounded,
  async () => {
    const home = room.home(xhci);
    room.kernel.die(xhci, { clean: true });
    const failed = await room.ctl('reset', xhci, '--rung', 'bus');
    assert.equal(failed.code, 1);
    assert.match(
      failed.err,
      /^revivectl: job \d+, reset of 0000:03:00: failed .*could not be brought back/,
    );
    assert.deepEqual(room.drivers(xhci), [null]);
    assert.equal(await cardProperty(xhci, 'State'), 's "stranded"');
    assert.equal(await cardProperty(xhci, 'Health'), 's "wedged"');

    room.kernel.die(xhci, { healsBy: ['subordinate'], clean: true });
    const back = await room.ctl('return', xhci);
    assert.equal(back.code, 0, back.err);
    assert.deepEqual(room.home(xhci), home);
    assert.equal(await cardProperty(xhci, 'State'), 's "home"');
  },
);

test(
  'killed while a card is lent: the next daemon knows, and the card comes home by hand',
  bounded,
  async () => {
    const home = room.home(xhci);
    const win = guest('win11', [`${xhci}.0`]);
    assert.deepEqual(await win.hook('prepare'), silent);
    const before = room.leases();
    await restart();
    assert.match(daemon.log(), /Ready .*leases=1/);
    assert.deepEqual(room.leases(), before);
    assert.equal(await cardProperty(xhci, 'State'), 's "lent"');
    assert.equal(await cardProperty(xhci, 'Domain'), 's "win11"');
    const other = await guest('other', [`${xhci}.0`]).hook('prepare');
    assert.match(other.err, /^revived: Card 0000:03:00 is with domain win11/);

    // While the guest has it open, it is not taken from it, whoever asks.
    room.kernel.hold(
      4242,
      'qemu-system-x86',
      `${room.kernel.root}/dev/vfio/${room.kernel.device(`${xhci}.0`).group}`,
    );
    const open = room.ctl('return', xhci);
    await room.until(
      'the return waits',
      async () => (await cardProperty(xhci, 'State')) === 's "returning"',
    );
    assert.deepEqual(room.drivers(xhci), ['vfio-pci']);
    room.kernel.letGo(4242);
    const back = await open;
    assert.equal(back.code, 0, back.err);
    assert.deepEqual(room.home(xhci), home);
  },
);

test(
  'killed in the middle of a hand-over: what was done is on record and is given back',
  bounded,
  async () => {
    const home = room.home(xhci);
    const unbind = `${room.kernel.sys}/bus/pci/drivers/xhci_hcd/unbind`;
    const writes = room.kernel.writes.length;
    room.kernel.hang(unbind);
    const starting = guest('win11', [`${xhci}.0`]).hook('prepare');
    await room.until('the card is being unbound', () =>
      room.kernel.writes.slice(writes).some((one) => one.path === unbind),
    );
    daemon.kill('SIGKILL');
    await daemon.ended;
    // Its child ends without it.
    room.kernel.unhang(unbind);
    assert.deepEqual(room.drivers(xhci), [null]);
    daemon = await room.start();
    // Nobody knows how far it came, so the guest does not start.
    const { code, err } = await starting;
    assert.equal(code, 1);
    assert.match(err, /^revived: the daemon has not finished handing the card over /);
    await daemon.says(/return of 0000:03:00: done/);
    assert.deepEqual(room.leases(), []);
    assert.deepEqual(room.home(xhci), home);
    const history = await room.ctl('history');
    assert.match(history.out, /The daemon was ended during it \(unbind 0000:03:00\.0\)/);
  },
);

test(
  'names of domains are only text, all the way to the lease and the screen',
  bounded,
  async () => {
    const canary = join(room.hooks.dir, 'canary');
    const names = [
      `it's "quoted" \`touch ${canary}\` $(touch ${canary}); touch ${canary}`,
      'two\nlines',
      '--help',
      '<b>&amp;</b>',
      '\u65e5\u672c \u00fc %s\\n',
    ];
    for (const name of names) {
      const refused = await guest(name, ['0000:77:00.0']).hook('prepare');
      assert.equal(refused.code, 1, name);
      assert.ok(refused.err.startsWith('revived: Domain '), refused.err);
      assert.equal(refused.err.split('\n').length, 2, `one line: ${refused.err}`);
    }
    const [evil = ''] = names;
    const win = guest(evil, [`${xhci}.0`]);
    assert.deepEqual(await win.hook('prepare'), silent);
    assert.equal(room.leases()[0]?.['domain'], evil);
    const shown = await room.json('show', win.uuid);
    assert.ok(
      typeof shown === 'object' && shown !== null && 'name' in shown && shown.name === evil,
    );
    assert.deepEqual(await win.hook('release'), silent);
    await atHome(xhci);
    assert.equal(existsSync(canary), false);
    for (const line of daemon.log().trim().split('\n')) assert.match(line, /^<[2-7]>/);
  },
);

test('operations that are none: the hook is silent, the daemon refuses', bounded, async () => {
  const win = guest('win11', [`${xhci}.0`]);
  for (const operation of ['start', 'migrate', 'attach', 'launched', '']) {
    assert.deepEqual(await win.hook(operation), silent, operation);
  }
  const manager = ['org.revived', '/org/revived', 'org.revived1.Manager'];
  const call = (operation: string, spool: string) =>
    room.bus('call', ...manager, 'Hook', 'ssssa{sv}', operation, 'win11', '-', spool, '0');
  for (const [operation, spool] of [
    ['prepare', ''],
    ['prepare', '/etc/passwd'],
    ['prepare', '/run/revived/hook/nosuch'],
  ] as const) {
    const { code, err } = await call(operation, spool);
    assert.equal(code, 1);
    assert.match(err, /^Call failed: revived: /);
  }
  const spool = join(room.hooks.spool, 'launched-1');
  writeFileSync(spool, domainXml('win11', win.uuid, [`${xhci}.0`]), { mode: 0o600 });
  const unknown = await call('launched', '/run/revived/hook/launched-1');
  assert.match(
    unknown.err,
    /^Call failed: revived: "launched" is no operation .* that revived serves/,
  );
  assert.equal(existsSync(spool), false);
  assert.deepEqual(room.drivers(xhci), ['xhci_hcd']);
});
