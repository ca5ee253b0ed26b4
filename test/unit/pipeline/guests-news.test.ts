/** What libvirt tells of domains and of devices that come and go while a guest runs, for which it runs no hook. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { defaultConfig } from '../../../daemon/config/config.ts';
import { RevivedError } from '../../../daemon/errors.ts';
import { createDomainBook, type DomainBook } from '../../../daemon/pipeline/domains.ts';
import { createGuests, type Guests } from '../../../daemon/pipeline/guests.ts';
import { createHomecoming } from '../../../daemon/pipeline/homecoming.ts';
import {
  benchCards,
  type Guest,
  gate,
  guest,
  readGuest,
  rungsOf,
  type SimPipeline,
  simPipeline,
  treeOf,
  turns,
  until,
} from '../sim-host.ts';

const { bochs, flr } = benchCards;
const windows = guest('win10', 'a', `${bochs}.0`, `${bochs}.1`);
const both = guest('win10', 'a', `${bochs}.0`, `${bochs}.1`, `${flr}.0`);

describe('news of libvirt', () => {
  let sim: SimPipeline;
  let domains: DomainBook;
  let guests: Guests;
  /** What libvirt would give. */
  let libvirt: Map<string, string>;
  /** While it answers. */
  let answering: () => Promise<void>;
  /** Of whose end its events say that it was no proper one. */
  let crashed: Set<string>;
  let before: unknown;
  beforeEach(async () => {
    crashed = new Set();
    answering = async () => {};
    libvirt = new Map([[windows.uuid, windows.xml]]);
    sim = await simPipeline();
    domains = createDomainBook(() => {});
    guests = createGuests({
      ...sim,
      homecoming: createHomecoming({ ...sim, isActive: domains.isActive }),
      domains,
      config: () => sim.config,
      readDomain: readGuest,
      crashed: (uuid) => crashed.has(uuid),
      async fetchXml(domain) {
        await answering();
        const xml = libvirt.get(domain);
        if (xml === undefined) throw new RevivedError('not-found', `No domain ${domain}.`);
        return xml;
      },
      onCard: () => {},
    });
    before = treeOf(sim.kernel.sys);
  });
  afterEach(() => sim.close());

  const hook = (one: Guest, operation: string, extra = '-') =>
    guests.hook({ operation, domain: one.name, extra, xml: one.xml });
  const news = ({ uuid, name }: Guest, state: string) =>
    guests.onNews({ kind: 'state', uuid, name, state });
  /** A device was attached or detached: now the guest has these. */
  const devices = (...functions: readonly string[]) => {
    libvirt.set(windows.uuid, guest('win10', 'a', ...functions).xml);
    guests.onNews({ kind: 'devices', uuid: windows.uuid });
  };
  const view = (uuid: string) => domains.all().find((one) => one.uuid === uuid);
  const leases = () => sim.leases.all().map(({ card, state }) => [card, state]);
  const jobs = () => sim.jobs.all().map((job) => `${job.operation} ${job.subject}`);
  const boundByLibvirt = (fn: string) => {
    sim.kernel.write(sim.at(fn, 'driver_override'), 'vfio-pci');
    sim.kernel.write(sim.at(fn, 'driver/unbind'), fn);
    sim.kernel.write(sim.bus('drivers_probe'), fn);
  };

  for (const [how, isKnown, extra] of [
    ['the hook says so', false, 'crashed'],
    ['its events say so', true, '-'],
  ] as const) {
    test(`after a crash (${how}) even a card that looks healthy is reset`, async () => {
      const one = guest('flr', 'd', `${flr}.0`);
      await hook(one, 'prepare');
      await hook(one, 'started');
      if (isKnown) crashed.add(one.uuid);
      await hook(one, 'stopped');
      await hook(one, 'release', extra);
      await sim.idle();
      assert.deepEqual(rungsOf(sim.jobs.all().at(-1)), [['flr', 'done']]);
      assert.deepEqual(treeOf(sim.kernel.sys), before);
    });
  }

  test('of a host with very many domains all are known, and those that run first', async () => {
    let open = 0;
    let asked = 0;
    answering = async () => {
      if (open >= 256) throw new RevivedError('limit-exceeded', 'as libvirt/connection.ts');
      open++;
      asked++;
      await turns(1);
      open--;
    };
    const many = Array.from({ length: 300 }, (_, n) => {
      const uuid = windows.uuid.replace('aaaaaaaa', String(10_000_000 + n));
      libvirt.set(uuid, windows.xml);
      return { uuid, name: `vm${n}`, state: 'shutoff', running: false };
    });
    for (const address of [`${bochs}.0`, `${bochs}.1`]) boundByLibvirt(address);
    guests.onDomains([...many, { ...windows, state: 'running', running: true }]);
    await until(() => leases().length === 1);
    assert.ok(
      many.slice(-1).every(({ uuid }) => view(uuid)?.cards.length === 0),
      'not yet',
    );
    await until(() => many.every(({ uuid }) => view(uuid)?.cards.length === 1));
    // After a reconnect what is left of the older list is not asked for.
    asked = 0;
    for (const _ of ['older', 'younger']) guests.onDomains(many);
    await until(() => asked >= many.length && open === 0);
    assert.ok(asked < 1.5 * many.length, `${asked}`);
  });

  test('after a crash a healthy card that nothing can reset goes home, and its job is done', async () => {
    sim.config = { ...defaultConfig, cards: new Map([[flr, { ladder: ['pm'] }]]) };
    const one = guest('flr', 'd', `${flr}.0`);
    await hook(one, 'prepare');
    await hook(one, 'started');
    sim.kernel.write(sim.at(`${flr}.0`, 'reset_method'), 'flr');
    await hook(one, 'release', 'crashed');
    await sim.idle();
    assert.equal(sim.jobs.all().at(-1)?.state, 'done');
    assert.deepEqual(leases(), []);
  });

  test('after a crash a healthy card is not taken off its bus, whatever fails', async () => {
    const one = guest('win10', 'e', `${bochs}.0`, `${bochs}.1`);
    await hook(one, 'prepare');
    await hook(one, 'started');
    sim.kernel.failWrite(sim.at('0000:00:04.0', 'reset_subordinate'), 'ENOTTY');
    await hook(one, 'release', 'crashed');
    await sim.idle();
    assert.ok(rungsOf(sim.jobs.all().at(-1)).some(([name]) => name === 'subordinate'));
    const drastic = sim.kernel.writes.filter(({ path }) => /\/(remove|power)$/.test(path));
    assert.deepEqual(drastic, []);
    assert.deepEqual(leases(), []);
  });

  test('defined: the domain and its cards are known; undefined: not any more', async () => {
    guests.onNews({ kind: 'defined', uuid: windows.uuid, name: windows.name });
    await until(() => view(windows.uuid)?.cards.length === 1);
    assert.deepEqual(view(windows.uuid), {
      uuid: windows.uuid,
      name: 'win10',
      state: 'shutoff',
      cards: [bochs],
    });
    guests.onNews({ kind: 'undefined', uuid: windows.uuid });
    assert.equal(view(windows.uuid), undefined);
  });

  test('undefined while it runs: known, and its card is with it, until it is shut off', async () => {
    await hook(windows, 'prepare');
    await hook(windows, 'started');
    guests.onNews({ kind: 'undefined', uuid: windows.uuid });
    assert.equal(view(windows.uuid)?.state, 'running');
    assert.equal(domains.isActive(windows.uuid), true);
    await hook(windows, 'release');
    news(windows, 'shutoff');
    assert.equal(view(windows.uuid), undefined);
    await sim.idle();
    assert.deepEqual(leases(), []);
  });

  test('a device plugged into a running domain is a card of it', async () => {
    news(windows, 'running');
    libvirt.set(windows.uuid, guest('win10', 'a', `${flr}.0`).xml);
    boundByLibvirt(`${flr}.0`);
    guests.onNews({ kind: 'devices', uuid: windows.uuid });
    await until(() => sim.leases.get(flr)?.boundBy === 'libvirt');
    assert.deepEqual(view(windows.uuid)?.cards, [flr]);
  });

  test('a domain whose XML cannot be had is known all the same', async () => {
    libvirt.clear();
    news(windows, 'running');
    await until(() => /XML of a domain could not be read, ignoring/.test(sim.logged.join('')));
    assert.equal(view(windows.uuid)?.state, 'running');
  });

  describe('a card that is detached from a running guest', () => {
    beforeEach(async () => {
      libvirt.set(both.uuid, both.xml);
      await hook(both, 'prepare');
      await hook(both, 'started');
    });

    test('comes home, and the guest keeps its others', async () => {
      devices(`${flr}.0`);
      await until(() => sim.leases.get(bochs) === undefined);
      await sim.idle();
      assert.deepEqual(leases(), [[flr, 'lent']]);
      assert.deepEqual(jobs(), ['prepare win10', `return ${bochs}`]);
      assert.deepEqual(
        [`${bochs}.0`, `${bochs}.1`, `${flr}.0`].map((fn) => sim.driver(fn)),
        ['bochs-drm', 'snd_hda_intel', 'vfio-pci'],
      );
      assert.deepEqual(view(windows.uuid)?.cards, [flr]);
      await hook(both, 'release');
      await sim.idle();
      assert.deepEqual(treeOf(sim.kernel.sys), before);
    });

    test('comes home, whatever the clock says', async () => {
      const lease = sim.leases.get(bochs) ?? assert.fail('it is lent');
      await sim.leases.set({ ...lease, since: (Date.now() + 3_600_000) * 1000 });
      devices(`${flr}.0`);
      await until(() => sim.leases.get(bochs) === undefined);
    });

    test('in part is with it still', async () => {
      devices(`${flr}.0`, `${bochs}.1`);
      await sim.idle();
      assert.deepEqual(leases(), [
        [bochs, 'lent'],
        [flr, 'lent'],
      ]);
    });

    test('and that QEMU has open still is lent until it has let go', async () => {
      const { group } = sim.kernel.device(`${flr}.0`);
      sim.kernel.hold(4711, 'qemu-system-x86', `${sim.host.paths.dev}/vfio/${group}`);
      devices(`${bochs}.0`, `${bochs}.1`);
      await until(() => jobs().length === 2);
      await sim.idle();
      assert.match(sim.jobs.all().at(-1)?.error ?? '', /4711/);
      assert.equal(sim.driver(`${flr}.0`), 'vfio-pci');
      assert.equal(sim.leases.get(flr)?.state, 'lent');
      sim.kernel.letGo(4711);
      devices(`${bochs}.0`, `${bochs}.1`);
      await until(() => sim.leases.get(flr) === undefined);
      assert.equal(sim.driver(`${flr}.0`), 'virtio-pci');
    });
  });

  test('a stranded card with which its domain runs is lent to it, and comes home with its end', async () => {
    await hook(windows, 'prepare');
    await hook(windows, 'started');
    const lease = sim.leases.get(bochs) ?? assert.fail('it is lent');
    await sim.leases.set({ ...lease, state: 'stranded', reason: 'a return failed' });
    guests.onDomains([{ ...windows, state: 'running', running: true }]);
    await until(() => sim.leases.get(bochs)?.state === 'lent');
    assert.equal(sim.leases.get(bochs)?.reason, '');
    await hook(windows, 'release');
    await sim.idle();
    assert.deepEqual(treeOf(sim.kernel.sys), before);
  });

  test('a start in progress is left alone, whatever libvirt has of the guest by then', async () => {
    await hook(both, 'prepare');
    const lent = [
      [bochs, 'lent'],
      [flr, 'lent'],
    ];
    devices(`${bochs}.0`, `${bochs}.1`);
    await until(() => view(both.uuid)?.cards.length === 1);
    await turns();
    await sim.idle();
    assert.deepEqual(leases(), lent);
    await hook(both, 'started');
    devices(`${bochs}.0`, `${bochs}.1`);
    await until(() => sim.leases.get(flr) === undefined);
    assert.deepEqual(leases(), [[bochs, 'lent']]);
  });

  describe('libvirt that dies in prepare', () => {
    const off = { ...windows, state: 'shutoff', running: false };
    /** libvirt is back while the prepare of its earlier life is still held. */
    const dieInPrepare = async () => {
      const held = gate();
      sim.watch.hold = () => held.opened;
      const refused = assert.rejects(hook(windows, 'prepare'), /came to nothing/);
      await until(() => sim.leases.get(bochs)?.state === 'taking');
      guests.onLibvirtState();
      guests.onDomains([off]);
      return { held, refused };
    };

    test('and knows nothing of the start when it is back: the card goes home at once', async () => {
      const { held, refused } = await dieInPrepare();
      held.open();
      await refused;
      await sim.idle();
      assert.deepEqual(treeOf(sim.kernel.sys), before);
      assert.deepEqual([leases(), jobs()], [[], ['prepare win10', `return ${bochs}`]]);
    });

    test('after the card was lent', async () => {
      await hook(windows, 'prepare');
      guests.onLibvirtState();
      guests.onDomains([off]);
      await sim.idle();
      assert.deepEqual(treeOf(sim.kernel.sys), before);
      assert.deepEqual([leases(), jobs()], [[], ['prepare win10', `return ${bochs}`]]);
    });

    test('and starts the domain once more: the card is with that start', async () => {
      const { held, refused } = await dieInPrepare();
      const again = hook(windows, 'prepare');
      await turns();
      held.open();
      await Promise.all([refused, again]);
      await sim.idle();
      assert.equal(sim.leases.get(bochs)?.state, 'lent');
      assert.equal(sim.driver(`${bochs}.0`), 'vfio-pci');
    });

    test('or only hangs: it goes on with the start, which it lists as paused', async () => {
      await hook(windows, 'prepare');
      guests.onLibvirtState();
      guests.onDomains([{ ...windows, state: 'paused', running: true }]);
      await sim.idle();
      assert.equal(sim.leases.get(bochs)?.state, 'lent');
      assert.deepEqual(jobs(), ['prepare win10']);
    });
  });

  test('a card that libvirt attached and detached is given back by libvirt alone', async () => {
    news(windows, 'running');
    boundByLibvirt(`${flr}.0`);
    devices(`${flr}.0`);
    await until(() => sim.leases.get(flr)?.boundBy === 'libvirt');
    sim.kernel.write(sim.at(`${flr}.0`, 'driver_override'), '\n');
    sim.kernel.write(sim.at(`${flr}.0`, 'driver/unbind'), `${flr}.0`);
    sim.kernel.write(sim.bus('drivers_probe'), `${flr}.0`);
    const { length } = sim.kernel.writes;
    devices();
    await until(() => sim.leases.get(flr) === undefined);
    await sim.idle();
    assert.deepEqual(treeOf(sim.kernel.sys), before);
    const moved = sim.kernel.writes.slice(length).filter(({ path }) => /bind|probe/.test(path));
    assert.deepEqual(moved, []);
  });
});
