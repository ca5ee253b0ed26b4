/** A card that cannot come home yet comes home later, unless it has got another lease meanwhile. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createDesk, type Desk } from '../../../daemon/pipeline/desk.ts';
import { createHomecoming, type Homecoming } from '../../../daemon/pipeline/homecoming.ts';
import {
  benchCards,
  guest as guestOf,
  leasesOnDisk,
  readGuest,
  type SimPipeline,
  simPipeline,
  simStamp,
  treeOf,
  turns,
  until,
} from '../sim-host.ts';

const { bochs } = benchCards;
const guest = { domain: 'win10', uuid: 'u' };
const windows = guestOf('win10', 'a', `${bochs}.0`, `${bochs}.1`);

describe('homecoming', () => {
  let sim: SimPipeline;
  let homecoming: Homecoming;
  const active = new Set<string>();
  beforeEach(async () => {
    active.clear();
    sim = await simPipeline();
    homecoming = createHomecoming({ ...sim, isActive: (uuid) => active.has(uuid) });
    await sim.handover.take([sim.card(bochs)], guest, 'a test').ended;
  });
  afterEach(() => sim.close());
  const jobs = () => sim.jobs.all().map(({ operation, state }) => `${operation} ${state}`);

  test('waits for a child that hangs, without a job, and is for the lease that it was asked for', async () => {
    sim.host.stuck.note(bochs, 77);
    homecoming.bring(bochs, 'a test');
    homecoming.look();
    await assert.rejects(sim.handover.giveBack(bochs, 'by hand').ended, { code: 'stuck' });
    assert.deepEqual(jobs(), ['prepare done', 'return stuck']);
    assert.equal(sim.leases.get(bochs)?.state, 'lent', 'it is left as it was');
    sim.host.stuck.freed(77);
    homecoming.look();
    await sim.idle();
    assert.equal(sim.leases.get(bochs), undefined);
  });

  test('waits too where a return that was begun finds that a child has come to hang', async () => {
    homecoming.bring(bochs, 'a test');
    sim.host.stuck.note(bochs, 77); // by the job in front of it
    await sim.idle();
    assert.deepEqual(jobs(), ['prepare done', 'return stuck']);
    sim.host.stuck.freed(77);
    homecoming.look();
    await sim.idle();
    assert.equal(sim.leases.get(bochs), undefined);
  });

  const others: readonly (readonly [string, () => Promise<void>])[] = [
    ['a domain that runs again', async () => void active.add(guest.uuid)],
    [
      'another lease',
      async () => {
        const lease = sim.leases.get(bochs) ?? assert.fail('it is lent');
        await sim.leases.set({ ...lease, since: lease.since + 1 });
      },
    ],
  ];
  for (const [name, change] of others) {
    test(`takes nothing from ${name}`, async () => {
      sim.host.stuck.note(bochs, 77);
      homecoming.bring(bochs, 'a test');
      await change();
      sim.host.stuck.freed(77);
      homecoming.look();
      await sim.idle();
      assert.equal(sim.leases.get(bochs)?.state, 'lent');
    });
  }
});

describe('a card that a hang left stranded', () => {
  let sim: SimPipeline;
  let desk: Desk;
  let before: unknown;
  beforeEach(async () => {
    sim = await simPipeline();
    before = treeOf(sim.kernel.sys);
    desk = createDesk({
      ...sim,
      stamp: simStamp,
      version: '',
      config: () => sim.config,
      reload: async () => {},
      readDomain: readGuest,
      libvirtState: () => ({ libvirt: 'connected', libvirtVersion: '' }),
      fetchXml: async () => windows.xml,
    });
  });
  afterEach(async () => {
    await desk.settle(5_000);
    await sim.close();
  });
  const hook = (operation: string) =>
    desk.hook({ operation, domain: windows.name, extra: '-', xml: windows.xml });

  test('comes home by itself when the child is back, and is tried once', async () => {
    const probe = sim.bus('drivers_probe');
    const unbind = sim.bus('drivers/bochs-drm/unbind');
    sim.kernel.hang(unbind);
    await assert.rejects(hook('prepare'), { code: 'stuck' });
    await hook('release'); // libvirt's answer to a refused start
    assert.equal(sim.leases.get(bochs)?.state, 'stranded');
    // The way home hangs too, in another file.
    sim.kernel.hang(probe);
    sim.kernel.unhang(unbind);
    desk.onFreed(bochs);
    const returns = () => desk.jobs().filter(({ operation }) => operation === 'return');
    await until(() => returns().at(-1)?.state === 'stuck');
    await sim.journal.rotate(); // waits for its entry
    const reason = sim.leases.get(bochs)?.reason ?? '';
    assert.match(reason, /drivers_probe/);
    sim.kernel.unhang(probe);
    desk.onFreed(bochs);
    await turns(50);
    assert.deepEqual(
      [returns().length, sim.leases.get(bochs)?.state],
      [1, 'stranded'],
      'not again and again',
    );
    assert.equal(sim.leases.get(bochs)?.reason, reason);
    desk.giveBack(bochs, 'a test');
    await until(() => leasesOnDisk(sim.host.paths.leases).length === 0);
    assert.deepEqual(treeOf(sim.kernel.sys), before);
  });

  test('comes home as well where something else had failed before the hang', async () => {
    // The start fails, and what was begun is taken back: there it hangs.
    const probe = sim.bus('drivers_probe');
    sim.kernel.failWrite(probe, 'EIO');
    sim.kernel.hang(probe);
    await assert.rejects(hook('prepare'), { code: 'failed' });
    await hook('release');
    assert.equal(sim.leases.get(bochs)?.state, 'stranded');
    sim.kernel.unhang(probe);
    desk.onFreed(bochs);
    await until(() => leasesOnDisk(sim.host.paths.leases).length === 0);
    assert.deepEqual(treeOf(sim.kernel.sys), before);
  });

  test('stays as it is while its domain runs', async () => {
    const unbind = sim.bus('drivers/bochs-drm/unbind');
    sim.kernel.hang(unbind);
    await assert.rejects(hook('prepare'), { code: 'stuck' });
    desk.onNews({ kind: 'state', uuid: windows.uuid, name: windows.name, state: 'running' });
    sim.kernel.unhang(unbind);
    desk.onFreed(bochs);
    await turns(50);
    assert.deepEqual(
      desk.jobs().map(({ operation }) => operation),
      ['prepare'],
    );
  });
});
