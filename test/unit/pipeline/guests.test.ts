/** Hooks and events come late, twice, in any order or not at all; the cards end where they belong. */
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
  leasesOnDisk,
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
const linux = guest('linux', 'b', `${bochs}.0`, `${bochs}.1`);

describe('guests', () => {
  let sim: SimPipeline;
  let domains: DomainBook;
  let guests: Guests;
  /** What libvirt would give. */
  let libvirt: Map<string, string>;
  let before: Readonly<Record<string, string>>;
  const handlers = (): Guests => {
    const { leases, handover } = sim;
    domains = createDomainBook(() => {});
    return createGuests({
      host: sim.host,
      leases,
      handover,
      homecoming: createHomecoming({ ...sim, isActive: domains.isActive }),
      domains,
      config: () => sim.config,
      readDomain: readGuest,
      async fetchXml(domain) {
        const xml = libvirt.get(domain);
        if (xml === undefined) throw new RevivedError('not-found', `No domain ${domain}.`);
        return xml;
      },
      onCard: () => {},
    });
  };

  beforeEach(async () => {
    libvirt = new Map([windows, linux].map((one) => [one.uuid, one.xml]));
    sim = await simPipeline();
    guests = handlers();
    before = treeOf(sim.kernel.sys);
  });
  afterEach(() => sim.close());

  const hook = (one: Guest, operation: string) =>
    guests.hook({ operation, domain: one.name, extra: '-', xml: one.xml });
  const news = ({ uuid, name }: Guest, state: string) =>
    guests.onNews({ kind: 'state', uuid, name, state });
  const drivers = () => [`${bochs}.0`, `${bochs}.1`].map((fn) => sim.driver(fn));
  const onVfio = ['vfio-pci', 'vfio-pci'];
  const jobs = () => sim.jobs.all().map((job) => job.operation);
  const isHome = () => {
    assert.deepEqual(treeOf(sim.kernel.sys), before);
    assert.deepEqual(sim.leases.all(), []);
  };
  /** libvirt takes a card while the daemon is away. */
  const boundByLibvirt = (...functions: readonly string[]) => {
    for (const fn of functions) {
      sim.kernel.write(sim.at(fn, 'driver_override'), 'vfio-pci');
      sim.kernel.write(sim.at(fn, 'driver/unbind'), fn);
      sim.kernel.write(sim.bus('drivers_probe'), fn);
    }
  };

  describe('hooks', () => {
    test('a whole life: lent in prepare, home in the background after release', async () => {
      await hook(windows, 'prepare');
      assert.deepEqual(drivers(), onVfio);
      assert.equal(sim.leases.get(bochs)?.state, 'lent');
      await hook(windows, 'started');
      await hook(windows, 'stopped');
      assert.deepEqual(jobs(), ['prepare'], 'nothing is done to a card of ours yet');
      const held = gate();
      sim.watch.hold = () => held.opened;
      await hook(windows, 'release');
      assert.deepEqual(drivers(), onVfio, 'release did not wait');
      held.open();
      await sim.idle();
      isHome();
      assert.deepEqual(jobs(), ['prepare', 'return']);
    });

    test('each of them twice, and the event as well: one return', async () => {
      await hook(windows, 'prepare');
      await hook(windows, 'prepare');
      await hook(windows, 'started');
      await hook(windows, 'started');
      await hook(windows, 'stopped');
      await hook(windows, 'stopped');
      await hook(windows, 'release');
      await hook(windows, 'release');
      news(windows, 'shutoff');
      await sim.idle();
      await hook(windows, 'release');
      await sim.idle();
      isHome();
      assert.deepEqual(jobs(), ['prepare', 'prepare', 'return']);
    });

    test('the event before the hook: one return', async () => {
      await hook(windows, 'prepare');
      news(windows, 'running');
      news(windows, 'shutoff');
      await hook(windows, 'stopped');
      await hook(windows, 'release');
      await sim.idle();
      isHome();
      assert.deepEqual(jobs(), ['prepare', 'return']);
    });

    test('an event of the last run that comes late does not take the card from the next start', async () => {
      await hook(windows, 'prepare');
      await hook(windows, 'release');
      await hook(windows, 'prepare');
      news(windows, 'shutoff');
      guests.onDomains([{ ...windows, state: 'shutoff', running: false }]);
      await sim.idle();
      assert.equal(sim.leases.get(bochs)?.state, 'lent');
      assert.deepEqual(drivers(), onVfio);
      await hook(windows, 'started');
      news(windows, 'shutoff');
      await until(() => sim.leases.all().length === 0);
      isHome();
    });

    test('a start of which nothing was heard for minutes is none any more', async (t) => {
      await hook(windows, 'prepare');
      const now = performance.now.bind(performance);
      t.mock.method(performance, 'now', () => now() + 151_000);
      guests.onDomains([{ ...windows, state: 'shutoff', running: false }]);
      await until(() => sim.leases.all().length === 0);
      isHome();
    });

    test('stopped without a start and release without prepare do nothing', async () => {
      for (const operation of ['stopped', 'release', 'stopped']) await hook(windows, operation);
      await sim.idle();
      isHome();
      assert.deepEqual(jobs(), []);
      assert.equal(sim.kernel.writes.length, 0);
    });

    test('what follows a refused prepare finds nothing to do', async () => {
      sim.kernel.failWrite(sim.bus('drivers/bochs-drm/unbind'), 'EBUSY');
      await assert.rejects(hook(windows, 'prepare'), /unbind failed: EBUSY/);
      await hook(windows, 'stopped');
      await hook(windows, 'release');
      await sim.idle();
      isHome();
    });

    test('a second domain is refused by name, and the first keeps the card', async () => {
      await hook(windows, 'prepare');
      await assert.rejects(hook(linux, 'prepare'), {
        code: 'busy',
        message: /0000:01:00 is with domain win10; domain linux cannot/,
      });
      await hook(linux, 'stopped');
      await hook(linux, 'release');
      await sim.idle();
      assert.deepEqual(drivers(), onVfio);
      assert.equal(sim.leases.get(bochs)?.domain, 'win10');
    });

    test('prepare waits for the return that still runs, then has the card', async () => {
      await hook(windows, 'prepare');
      const held = gate();
      sim.watch.hold = () => held.opened;
      await hook(windows, 'release');
      const second = hook(linux, 'prepare');
      await turns();
      assert.equal(sim.leases.get(bochs)?.state, 'returning');
      held.open();
      await second;
      assert.deepEqual(drivers(), onVfio);
      assert.equal(leasesOnDisk(sim.host.paths.leases)[0]?.domain, 'linux');
    });

    for (const starts of ['and is not started again', 'and starts the domain once more'] as const) {
      test(`libvirt gives up on a prepare that waits too long, ${starts}`, async () => {
        await hook(windows, 'prepare');
        const held = gate();
        sim.watch.hold = () => held.opened;
        await hook(windows, 'release');
        sim.config = { ...defaultConfig, prepareReviveSeconds: -19.97, holdersSeconds: 0 }; // + 20 s slack
        await assert.rejects(hook(linux, 'prepare'), {
          code: 'busy',
          message: /did not end within/,
        });
        sim.config = defaultConfig;
        await hook(linux, 'stopped');
        await hook(linux, 'release');
        const again = starts === 'and is not started again' ? undefined : hook(linux, 'prepare');
        held.open();
        await again;
        if (again === undefined) await until(() => sim.leases.all().length === 0);
        await sim.idle();
        if (again === undefined) return isHome();
        assert.equal(sim.leases.get(bochs)?.state, 'lent');
        assert.deepEqual(drivers(), onVfio);
        assert.deepEqual(jobs(), ['prepare', 'return', 'prepare', 'prepare']);
      });
    }

    test('a dead card that nothing heals refuses the start, with the reason', async () => {
      sim.kernel.die(bochs);
      await assert.rejects(hook(windows, 'prepare'), /could not be brought back/);
      await hook(windows, 'release');
      await sim.idle();
      assert.equal(sim.leases.get(bochs)?.state, 'stranded');
      assert.deepEqual(jobs(), ['prepare'], 'a stranded card is not given back by itself');
    });

    test('a domain that is left to libvirt is left to it', async () => {
      sim.config = { ...defaultConfig, unmanagedDomains: new Set(['win10']) };
      await hook(windows, 'prepare');
      boundByLibvirt(`${bochs}.0`, `${bochs}.1`);
      await hook(windows, 'started');
      await hook(windows, 'stopped');
      await hook(windows, 'release');
      assert.deepEqual([sim.leases.all(), jobs()], [[], []]);
    });

    test('the XML of another domain is no call of libvirt', async () => {
      const forged = { operation: 'release', domain: 'win10', extra: '-', xml: linux.xml };
      await assert.rejects(guests.hook(forged), {
        code: 'invalid-argument',
        message: /XML is that of domain "linux", not of "win10"/,
      });
    });

    test('other operations are not served', async () => {
      for (const operation of ['migrate', 'restore', 'attach', '', '__proto__']) {
        await assert.rejects(hook(windows, operation), { code: 'invalid-argument' }, operation);
      }
    });
  });

  describe('a card that libvirt bound while we were away', () => {
    const other = guest('other', 'd', `${flr}.0`);
    const unmanaged = { ...other, xml: other.xml.replaceAll("managed='yes'", '') };
    const changes = () =>
      sim.kernel.writes.filter(({ path }) => /bind|override|probe|power/.test(path));
    beforeEach(() => {
      boundByLibvirt(`${flr}.0`);
      libvirt.set(other.uuid, other.xml);
    });

    for (const operation of ['started', 'reconnect']) {
      test(`is adopted at ${operation}, revived in stopped, and its drivers are libvirt's business`, async () => {
        await hook(unmanaged, operation);
        const lease = leasesOnDisk(sim.host.paths.leases)[0];
        assert.deepEqual([lease?.boundBy, lease?.state], ['libvirt', 'lent']);
        const { length } = changes();
        sim.kernel.die(flr, { sign: 'bars', healsBy: ['flr'], clean: true });
        await hook(unmanaged, 'stopped');
        assert.deepEqual(rungsOf(sim.jobs.all().at(-1)), [['flr', 'done']]);
        await hook(unmanaged, 'release');
        await until(() => sim.leases.all().length === 0);
        assert.equal(changes().length, length);
        assert.equal(sim.driver(`${flr}.0`), 'vfio-pci');
      });
    }

    test('has its reset methods back when the daemon was ended in a rung of stopped', async () => {
      await hook(other, 'started');
      sim.kernel.write(sim.at(`${flr}.0`, 'reset_method'), 'pm');
      await hook(other, 'release');
      await until(() => sim.leases.all().length === 0);
      const key = `${flr}.0 reset_method`;
      assert.equal(treeOf(sim.kernel.sys)[key], before[key]);
    });

    const givenBack = () => {
      sim.kernel.write(sim.at(`${flr}.0`, 'driver_override'), '\n');
      sim.kernel.write(sim.at(`${flr}.0`, 'driver/unbind'), `${flr}.0`);
      sim.kernel.write(sim.bus('drivers_probe'), `${flr}.0`);
    };

    for (const what of ['managed', 'left on vfio-pci', 'unmanaged, but given back'] as const) {
      test(`is ${what}, and has its power back after a rung that pins it`, async () => {
        const [one, port] = [what === 'managed' ? other : unmanaged, '0000:00:07.0'];
        sim.kernel.write(sim.at(port, 'power/control'), 'auto');
        const found = treeOf(sim.kernel.sys);
        sim.kernel.installModule('my_reset', { ids: ['1af4:1050'] });
        sim.kernel.loadModule('my_reset');
        sim.config = { ...defaultConfig, cards: new Map([[flr, { resetModule: 'my_reset' }]]) };
        await hook(one, 'started');
        sim.kernel.die(flr, { healsBy: ['device_specific'], clean: true });
        await hook(one, 'stopped');
        assert.deepEqual(rungsOf(sim.jobs.all().at(-1)), [['device_specific', 'done']]);
        assert.equal(sim.kernel.device(port).control, 'on');
        if (what !== 'left on vfio-pci') givenBack();
        await hook(one, 'release');
        await until(() => sim.leases.all().length === 0);
        const home = { ...before, [`${port} power/control`]: 'auto' };
        assert.deepEqual(treeOf(sim.kernel.sys), what === 'left on vfio-pci' ? found : home);
      });
    }

    for (const libvirt of ['gives it back', 'forgets it'] as const) {
      test(`is managed, and libvirt ${libvirt}: it has its host driver`, async () => {
        await hook(other, 'started');
        if (libvirt === 'gives it back') givenBack();
        const { length } = changes();
        await hook(other, 'release');
        await until(() => sim.leases.all().length === 0);
        assert.equal(sim.driver(`${flr}.0`), 'virtio-pci');
        assert.equal(sim.kernel.device(`${flr}.0`).override, null);
        assert.equal(changes().length - length, libvirt === 'forgets it' ? 3 : 0);
      });
    }

    test('is adopted when libvirt tells that the domain runs, once', async () => {
      news(other, 'running');
      news(other, 'running');
      await until(() => sim.leases.get(flr)?.boundBy === 'libvirt');
    });

    test('is not adopted for a domain that has stopped meanwhile', async () => {
      news(other, 'running');
      news(other, 'shutoff');
      await until(() => domains.all().some((domain) => domain.cards.length > 0));
      await turns();
      assert.deepEqual(sim.leases.all(), []);
    });

    test('is not ours to adopt when somebody has it', async () => {
      await hook(windows, 'prepare');
      await hook(linux, 'started');
      assert.equal(sim.leases.get(bochs)?.domain, 'win10');
    });
  });

  describe('after a restart of the daemon', () => {
    const running = { uuid: windows.uuid, name: windows.name, state: 'running', running: true };
    const off = { ...running, state: 'shutoff', running: false };
    beforeEach(async () => {
      await hook(windows, 'prepare');
      await sim.restart();
      guests = handlers();
    });

    test('the card of a domain that runs stays with it', async () => {
      guests.onDomains([running]);
      await until(() => domains.all()[0]?.cards[0] === bochs);
      await sim.idle();
      assert.deepEqual(drivers(), onVfio);
      assert.deepEqual(jobs(), ['prepare']);
    });

    for (const [name, list] of [
      ['is found stopped', [off]],
      ['is not there any more', []],
    ] as const) {
      test(`the card of a domain that ${name} comes home`, async () => {
        guests.onDomains(list);
        await sim.idle();
        isHome();
      });
    }

    test('a lease that was being changed is lent again when its domain runs', async () => {
      for (const state of ['taking', 'returning'] as const) {
        const lease = sim.leases.get(bochs) ?? assert.fail('it is lent');
        await sim.leases.set({ ...lease, state });
        guests.onDomains([running]);
        await until(() => leasesOnDisk(sim.host.paths.leases)[0]?.state === 'lent');
      }
    });

    test('what a person took, and what is stranded, stays', async () => {
      const lease = sim.leases.get(bochs) ?? assert.fail('it is lent');
      await sim.leases.set({ ...lease, state: 'stranded' });
      await sim.handover.take([sim.card(flr)], { domain: '', uuid: '' }, 'a person').ended;
      guests.onDomains([off]);
      await sim.idle();
      assert.equal(sim.leases.get(bochs)?.state, 'stranded');
      assert.equal(sim.leases.get(flr)?.state, 'lent');
    });
  });
});
