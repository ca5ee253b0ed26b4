/** What people may ask, what they are refused and why, and what they see. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { RevivedError } from '../../../daemon/errors.ts';
import type { CardAddress } from '../../../daemon/pci/address.ts';
import { createDesk, type Desk } from '../../../daemon/pipeline/desk.ts';
import { openJournal } from '../../../daemon/pipeline/journal.ts';
import type { Change } from '../../../daemon/pipeline/service.ts';
import { machine } from '../../sim/machine.ts';
import type { MachineState } from '../../sim/state.ts';
import { card } from '../inventory-of.ts';
import {
  benchCards,
  gate,
  guest,
  journalOf,
  leasesOnDisk,
  readGuest,
  type SimPipeline,
  simPipeline,
  simStamp,
  treeOf,
  turns,
  until,
} from '../sim-host.ts';

const { bochs, flr } = benchCards;
const windows = guest('win10', 'a', `${bochs}.0`, `${bochs}.1`);

describe('the desk', () => {
  let sim: SimPipeline;
  let desk: Desk;
  let before: unknown;
  let reloads: number;

  const open = async (state?: MachineState) => {
    reloads = 0;
    sim = await simPipeline(state && { machine: state });
    before = treeOf(sim.kernel.sys);
    desk = createDesk({
      host: sim.host,
      leases: sim.leases,
      journal: sim.journal,
      stamp: simStamp,
      version: '1.2.3',
      config: () => sim.config,
      async reload() {
        reloads++;
      },
      readDomain: readGuest,
      libvirtState: () => ({ libvirt: 'connected', libvirtVersion: '11.3.0' }),
      async fetchXml(domain) {
        if (domain === windows.name || domain === windows.uuid) return windows.xml;
        throw new RevivedError('not-found', `There is no domain ${domain}.`);
      },
    });
  };
  beforeEach(() => open());
  afterEach(async () => {
    await desk.settle(5_000);
    await sim.close();
  });

  const view = (address: CardAddress) => desk.cards().find((one) => one.address === address);
  const job = (id: number) => desk.jobs().find((one) => one.id === id);
  const ended = async (id: number) => {
    await until(() => job(id)?.state !== 'running');
    await sim.journal.rotate(); // waits for its entry
    return job(id);
  };
  const hook = (operation: string) =>
    desk.hook({ operation, domain: windows.name, extra: '-', xml: windows.xml });
  const drivers = (address: CardAddress) => view(address)?.functions.map((fn) => fn.driver);
  const requests = (address: CardAddress) => ({
    reset: () => desk.reset(address, null, 'a test'),
    take: () => desk.take(address, 'a test'),
    return: () => desk.giveBack(address, 'a test'),
  });
  const isHome = () => {
    assert.deepEqual(treeOf(sim.kernel.sys), before);
    assert.deepEqual(leasesOnDisk(sim.host.paths.leases), []);
  };

  test('take and return: a card is lent to nobody but the one who took it, and comes home', async () => {
    const taken = await ended(desk.take(bochs, 'uid 1000'));
    assert.deepEqual([taken?.operation, taken?.state], ['take', 'done']);
    assert.equal(taken?.requestedBy, 'uid 1000');
    const lent = view(bochs);
    assert.deepEqual([lent?.state, lent?.domain], ['lent', null]);
    assert.ok((lent?.leasedSince ?? 0) > 0);
    assert.deepEqual(drivers(bochs), ['vfio-pci', 'vfio-pci']);
    for (const request of [requests(bochs).take, requests(bochs).reset]) {
      assert.throws(request, {
        code: 'refused',
        message: /taken by hand/,
        advice: /revivectl return 0000:01:00/,
      });
    }
    assert.equal((await ended(desk.giveBack(bochs, 'uid 1000')))?.state, 'done');
    assert.equal(view(bochs)?.state, 'home');
    isHome();
    assert.throws(requests(bochs).return, { code: 'refused', message: /at home already/ });
  });

  test('a card of a domain is refused by the name of the domain, until it has stopped', async () => {
    await hook('prepare');
    await hook('started');
    assert.equal(view(bochs)?.domain, 'win10');
    for (const request of Object.values(requests(bochs))) {
      assert.throws(request, { code: 'refused', message: /with domain win10/, advice: /Stop/ });
    }
    assert.deepEqual(desk.domains(), [
      { uuid: windows.uuid, name: 'win10', state: 'running', cards: [bochs] },
    ]);
    const lease = sim.leases.get(bochs) ?? assert.fail('it is lent');
    await sim.leases.set({ ...lease, card: flr });
    assert.deepEqual(desk.domains()[0]?.cards, [bochs, flr], 'what it has, whatever its XML says');
    await sim.leases.drop(flr);
    await hook('release');
    await until(() => leasesOnDisk(sim.host.paths.leases).length === 0);
    await desk.settle(5_000);
    assert.equal(sim.host.ledger.kernels()[0]?.clean, true);
    isHome();
  });

  test('a card that a job works on is busy, with the job', async () => {
    const held = gate();
    sim.watch.hold = () => held.opened;
    const running = desk.take(bochs, 'a test');
    for (const request of [requests(bochs).take, requests(bochs).reset]) {
      assert.throws(request, { code: 'busy', message: new RegExp(`job ${running}: take`) });
    }
    await until(() => view(bochs)?.state === 'taking');
    assert.equal(view(bochs)?.job, running);
    assert.equal(desk.manager().runningJobs, 1);
    held.open();
    await ended(running);
    assert.equal(view(bochs)?.job, null);
    assert.equal(desk.manager().runningJobs, 0);
  });

  test('a card with a hanging child is refused with its pid; free again, it may be asked for', async () => {
    const unbind = sim.bus('drivers/bochs-drm/unbind');
    sim.kernel.hang(unbind);
    assert.equal((await ended(desk.take(bochs, 'a test')))?.state, 'stuck');
    const pid = sim.host.stuck.of(bochs);
    for (const request of [requests(bochs).take, requests(bochs).reset]) {
      assert.throws(request, { code: 'refused', message: new RegExp(`child ${pid} hangs`) });
    }
    const verdict = await desk.check(bochs);
    assert.deepEqual([verdict.state, view(bochs)?.health.state], ['wedged', 'wedged']);
    sim.kernel.unhang(unbind);
    desk.onFreed(bochs);
    assert.match(sim.logged.join(''), /hung in the kernel with this card has returned/);
    await sim.journal.rotate(); // waits for its entry
    const failed = journalOf(sim.host.paths.journal).filter(({ event }) => event === 'failed');
    assert.deepEqual(
      failed.map(({ detail }) => detail),
      ['its child hung in the kernel and has returned'],
      'nothing of it is open',
    );
    await until(() => view(bochs)?.state === 'home' && desk.manager().runningJobs === 0);
    assert.equal((await ended(desk.take(bochs, 'a test')))?.state, 'done');
  });

  test('a card that is in use still comes home when nobody has it open any more', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    await hook('prepare');
    const group = sim.kernel.device(`${bochs}.0`).group;
    sim.kernel.hold(4711, 'qemu-system-x86', `${sim.host.paths.dev}/vfio/${group}`);
    await hook('release');
    await until(() => desk.jobs().some((one) => one.state === 'failed'));
    await sim.journal.rotate(); // waits for its entry
    await turns();
    t.mock.timers.tick(5_000);
    assert.deepEqual([view(bochs)?.state, desk.manager().runningJobs], ['lent', 0]);
    sim.kernel.letGo(4711);
    t.mock.timers.tick(5_000);
    await until(() => leasesOnDisk(sim.host.paths.leases).length === 0);
    isHome();
    await desk.settle(5_000);
    assert.deepEqual(sim.host.ledger.kernels(), [], 'no guest has run that speaks for the kernel');
  });

  test('what a daemon before this one left half-way goes home; what was lent or stranded stays as it is', async () => {
    await ended(desk.take(bochs, 'a test'));
    await hook('release'); // of no concern to a person's card
    const lease = sim.leases.get(bochs) ?? assert.fail('it is lent');
    for (const change of [{ state: 'lent' }, { state: 'stranded' }] as const) {
      await sim.leases.set({ ...lease, ...change });
      await desk.recover();
      assert.equal(desk.manager().runningJobs, 0);
    }
    for (const change of [{ state: 'returning' }, { state: 'taking', uuid: 'u' }] as const) {
      await sim.leases.set({ ...lease, ...change });
      await desk.recover();
      // A domain's card waits for libvirt's first list.
      desk.onDomains([]);
      await until(() => leasesOnDisk(sim.host.paths.leases).length === 0);
    }
    isHome();
  });

  test('a slot with the host’s disks in it is not moved by hand', async () => {
    await sim.close();
    await open(machine({ ports: [] }));
    const { take, reset } = requests(card('0000:00:1f'));
    for (const request of [take, reset]) {
      assert.throws(request, { code: 'refused', message: /holds .*0000:00:1f\.2 \(ahci\)/ });
    }
  });

  test('what is not there is said so', () => {
    const nowhere = card('0000:7f:00');
    for (const request of Object.values(requests(nowhere))) {
      assert.throws(request, { code: 'not-found' });
    }
    assert.throws(() => desk.reset(flr, 'kick', 'a test'), {
      code: 'invalid-argument',
      message: /no rung "kick"/,
    });
    assert.throws(() => desk.cancel(99), { code: 'not-found' });
  });

  test('a card that is gone is still on the list while there is a lease of it, and can be had back', async () => {
    sim.kernel.die(bochs);
    assert.equal((await ended(desk.take(bochs, 'a test')))?.state, 'failed');
    const gone = view(bochs);
    assert.deepEqual([gone?.state, gone?.health.state], ['stranded', 'lost']);
    assert.match(gone?.health.evidence.join() ?? '', /could not be brought back/);
    assert.deepEqual(drivers(bochs), [null, null]);
    sim.kernel.die(bochs, { healsBy: ['remove-rescan'] });
    assert.equal((await ended(desk.reset(bochs, null, 'a test')))?.state, 'done');
    assert.equal(view(bochs)?.state, 'home');
  });

  describe('a reset by hand', () => {
    const reset = async (address: CardAddress, rung: string | null = null) => {
      const { state, error } = (await ended(desk.reset(address, rung, 'a test'))) ?? {};
      return { state, error: error ?? '' };
    };

    test('of a healthy card resets it, and gives it back to its drivers', async () => {
      assert.equal((await reset(flr, 'pm')).state, 'done');
      assert.deepEqual(sim.kernel.resets.at(-1), { method: 'pm', address: `${flr}.0` });
      isHome();
    });

    test('of a dead card brings it home alive', async () => {
      sim.kernel.die(bochs, { healsBy: ['subordinate'], clean: true });
      assert.equal((await reset(bochs)).state, 'done');
      isHome();
    });

    test('by a rung that cannot be done is refused at once, with the reason', () => {
      assert.throws(() => desk.reset(bochs, 'bus', 'a test'), {
        code: 'refused',
        message: /refuses it while 0000:01:00\.1 shares the bus/,
      });
      assert.deepEqual([desk.jobs(), sim.kernel.writes], [[], []]);
    });

    test('that the kernel refuses is no success on a healthy card, which goes home', async () => {
      sim.kernel.failWrite(sim.at(`${flr}.0`, 'reset'), 'ENOTTY');
      const { state, error } = await reset(flr, 'flr');
      assert.equal(state, 'failed');
      assert.match(error, /tried flr, but the kernel could not do it/);
      isHome();
    });

    test('that is cancelled leaves a healthy card at home', async () => {
      const id = desk.reset(bochs, null, 'a test');
      sim.watch.atWrite = (path) => {
        if (path.endsWith('/unbind')) desk.cancel(id);
      };
      assert.equal((await ended(id))?.state, 'cancelled');
      isHome();
    });

    test('never gives a dead card back', async () => {
      sim.kernel.die(bochs);
      assert.match((await reset(bochs, 'subordinate')).error, /wedged/);
      assert.deepEqual(drivers(bochs), [null, null]);
      assert.equal(view(bochs)?.state, 'stranded');
    });
  });

  describe('a plan', () => {
    test('shows every step of a start, with its undo, and does nothing', async () => {
      const plan = await desk.plan('win10', 'prepare');
      assert.equal(plan.refusal, null);
      assert.ok(plan.steps.length > 6);
      const unbind = plan.steps.find((step) => step.name === 'unbind 0000:01:00.1');
      assert.deepEqual([unbind?.card, unbind?.undo], [bochs, 'bind the old driver']);
      assert.ok((unbind?.expectedMs ?? 0) > 0);
      assert.equal(sim.kernel.writes.length, 0);
      assert.deepEqual(desk.jobs(), []);
    });

    test('that would be refused says why', async () => {
      await ended(desk.take(bochs, 'a test'));
      const plan = await desk.plan('win10', 'prepare');
      assert.match(plan.refusal ?? '', /is with a person .*revivectl return/);
      assert.deepEqual(plan.steps, []);
    });

    test('of a return: nothing to do at home, all steps while it is away', async () => {
      const nothing = await desk.plan(windows.uuid, 'return');
      assert.deepEqual([nothing.steps, nothing.notes.length], [[], 1]);
      await hook('prepare');
      const names = (await desk.plan('win10', 'return')).steps.map((step) => step.name);
      assert.deepEqual(names.slice(0, 3), [
        'wait-closed 0000:01:00',
        'revive 0000:01:00',
        'bind-home 0000:01:00.0',
      ]);
    });

    test('of an unknown domain is not there', async () => {
      await assert.rejects(desk.plan('nobody', 'prepare'), { code: 'not-found' });
    });
  });

  test('history is in the journal, newest first, and outlives the daemon', async () => {
    await ended(desk.reset(flr, 'flr', 'a test'));
    await ended(desk.reset(bochs, 'subordinate', 'a test'));
    const subjects = (await desk.history(10)).map((one) => one.subject);
    assert.deepEqual(subjects, [bochs, flr]);
    assert.deepEqual((await desk.history(1)).length, 1);
    assert.deepEqual((await desk.history(-5)).length, 1);
    const { paths, log } = sim.host;
    const later = await openJournal(paths.journal, { boot: 'c', kernel: 'k' }, log);
    assert.deepEqual(await later.jobs(10), await desk.history(10));
    await later.close();
  });

  describe('changes', () => {
    test('are told when the view shows them, until the listener has enough', async () => {
      const seen: Change[] = [];
      const states = new Set<string>();
      const stop = desk.onChange((change) => {
        seen.push(change);
        if (change.kind === 'card') states.add(view(bochs)?.state ?? '');
      });
      const id = desk.take(bochs, 'a test');
      await ended(id);
      assert.ok(seen.some((change) => change.kind === 'job' && change.id === id));
      assert.ok(seen.some((change) => change.kind === 'card' && change.address === bochs));
      assert.ok(seen.some((change) => change.kind === 'manager'));
      assert.deepEqual([...states], ['home', 'taking', 'lent']);
      stop();
      const { length } = seen;
      await ended(desk.giveBack(bochs, 'a test'));
      assert.equal(seen.length, length);
    });

    test('are told to a bounded number of listeners', () => {
      const stops = Array.from({ length: 64 }, () => desk.onChange(() => {}));
      assert.throws(() => desk.onChange(() => {}), { code: 'limit-exceeded' });
      stops[0]?.();
      desk.onChange(() => {});
    });
  });

  test('the first checks are of cards that people care about, and wake nothing', async () => {
    await desk.checkAll();
    assert.deepEqual(
      desk.cards().map((one) => [one.address, one.interesting, one.health.state]),
      [bochs, flr].map((address) => [address, true, 'healthy']),
    );
    assert.equal(sim.kernel.writes.length, 0);
  });

  test('who it is, and the configuration is read anew when asked', async () => {
    assert.deepEqual(desk.manager(), {
      version: '1.2.3',
      libvirt: 'connected',
      libvirtVersion: '11.3.0',
      hostAtRisk: '',
      findings: [],
      quarantine: [],
      iommu: true,
      runningJobs: 0,
    });
    await desk.reload();
    assert.equal(reloads, 1);
  });

  test('at the end of the process running jobs are waited for, but not for ever', async () => {
    const held = gate();
    sim.watch.hold = () => held.opened;
    const id = desk.take(bochs, 'a test');
    await desk.settle(10);
    assert.equal(job(id)?.state, 'running');
    const settled = desk.settle(5_000);
    held.open();
    await settled;
    assert.equal(job(id)?.state, 'done');
  });
});
