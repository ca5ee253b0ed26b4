/** Cards go to guests and come home, dead ones are revived on the way, and nothing of it is left behind. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { defaultConfig } from '../../../daemon/config/config.ts';
import type { CardAddress } from '../../../daemon/pci/address.ts';
import type { RungName } from '../../../daemon/pci/rung-name.ts';
import { machine } from '../../sim/machine.ts';
import type { Healer } from '../../sim/state.ts';
import { card as cardAt } from '../inventory-of.ts';
import {
  benchCards,
  benchMachine,
  leasesOnDisk,
  rungsOf,
  type SimPipeline,
  simPipeline,
  treeOf,
} from '../sim-host.ts';

const { bochs } = benchCards;
const guest = { domain: 'win10', uuid: '6695eb01-f6a4-8304-79aa-97f2502e193f' };

describe('handover', () => {
  let sim: SimPipeline;
  beforeEach(async () => {
    sim = await simPipeline();
    // Not what a pin writes, so that it has something to change and to put back.
    for (const address of [`${bochs}.0`, `${bochs}.1`, '0000:00:04.0']) {
      sim.kernel.write(sim.at(address, 'power/control'), 'auto');
    }
  });
  afterEach(() => sim.close());

  const take = (...cards: readonly CardAddress[]) =>
    sim.handover.take(
      cards.map((one) => sim.card(one)),
      guest,
      'a test',
    ).ended;
  const giveBack = (card: CardAddress) => sim.handover.giveBack(card, 'a test').ended;
  const lastJob = () => sim.jobs.all().at(-1);
  const only = (...ladder: readonly RungName[]) => {
    sim.config = { ...defaultConfig, cards: new Map([[bochs, { ladder }]]) };
  };
  const onDisk = () => leasesOnDisk(sim.host.paths.leases);
  const drivers = (card: CardAddress) => sim.functions(card).map((fn) => sim.driver(fn) ?? null);

  test('every card goes to a guest and comes home as it was', async () => {
    await sim.close();
    sim = await simPipeline({ machine: benchMachine(4) });
    const before = treeOf(sim.kernel.sys);
    for (const card of Object.values(benchCards)) {
      const home = drivers(card);
      await take(card);
      assert.deepEqual(
        drivers(card),
        home.map(() => 'vfio-pci'),
      );
      const lease = onDisk()[0];
      assert.deepEqual([lease?.card, lease?.state, lease?.domain], [card, 'lent', 'win10']);
      assert.deepEqual(
        lease?.home.functions.map((fn) => fn.driver),
        home,
      );
      await giveBack(card);
      assert.deepEqual(treeOf(sim.kernel.sys), before);
      assert.deepEqual(onDisk(), []);
    }
    assert.deepEqual(
      sim.jobs.all().map((job) => [job.operation, job.state]),
      Object.values(benchCards).flatMap(() => [
        ['prepare', 'done'],
        ['return', 'done'],
      ]),
    );
  });

  // [card, what it dies of, healer, rungs that are tried]: what is not tried is not available on that card.
  const cases: readonly (readonly [keyof typeof benchCards, 'ff' | 'bars', Healer, RungName[]])[] =
    [
      ['flr', 'bars', 'flr', ['flr']],
      ['flr', 'bars', 'pm', ['flr', 'pm']],
      ['flr', 'bars', 'bus', ['flr', 'pm', 'bus']],
      ['flr', 'ff', 'bus', ['bus']],
      ['flr', 'ff', 'remove-rescan', ['bus', 'subordinate', 'remove-rescan']],
      ['bochs', 'ff', 'subordinate', ['subordinate']],
      ['bochs', 'ff', 'remove-rescan', ['subordinate', 'remove-rescan']],
      ['bochs', 'ff', 'slot-power', ['subordinate', 'remove-rescan', 'slot-power']],
    ];
  for (const [name, sign, healer, rungs] of cases) {
    test(`${name} dead (${sign}) in a guest is healed by ${healer}, after ${rungs.length - 1} others`, async () => {
      const card = benchCards[name];
      const renewed = rungs.includes('remove-rescan') ? (['reset_method'] as const) : [];
      const before = treeOf(sim.kernel.sys, renewed);
      await take(card);
      sim.kernel.die(card, { sign, healsBy: [healer], clean: true });
      await giveBack(card);
      assert.deepEqual(
        rungsOf(lastJob()),
        rungs.map((rung) => [rung, rung === healer ? 'done' : 'failed']),
      );
      assert.deepEqual(treeOf(sim.kernel.sys, renewed), before);
      assert.deepEqual(onDisk(), []);
      assert.equal(sim.health.get(card)?.state, 'healthy');
    });
  }

  describe('a family that needs a reset after every guest', () => {
    const navi = cardAt('0000:01:00');
    const withNavi = async (deviceSpecific: boolean) => {
      await sim.close();
      const host = ['pcieport', 'amdgpu', 'snd_hda_intel', 'vfio-pci'];
      const functions = [{ model: 'navi10', deviceSpecific }, { model: 'navi10-audio' }] as const;
      const ports = [{ functions }];
      sim = await simPipeline({ machine: machine({ rootDevices: [], drivers: host, ports }) });
      await take(navi);
      assert.deepEqual(rungsOf(lastJob()), [], 'a healthy card is handed over as it is');
      await giveBack(navi);
      assert.deepEqual(onDisk(), []);
      assert.deepEqual(drivers(navi), ['amdgpu', 'snd_hda_intel']);
      return lastJob()?.steps.find((step) => step.name.startsWith('revive'))?.detail ?? '';
    };

    test('gets it on a healthy card', async () => {
      const detail = await withNavi(true);
      assert.deepEqual(rungsOf(lastJob()), [['device_specific', 'done']]);
      assert.match(detail, /^healthy before .*, healthy after device_specific/);
    });

    test('comes home without it where nobody can do it, and the journal says why', async () => {
      const detail = await withNavi(false);
      assert.deepEqual([rungsOf(lastJob()), lastJob()?.state], [[], 'done']);
      assert.match(detail, /; a reset after every guest is due .*, but no rung of the ladder/);
    });
  });

  test('rc 0 of a reset on a dead card is seen through', async () => {
    sim.kernel.die(bochs, { healsBy: ['remove-rescan'] });
    await take(bochs);
    const rung = lastJob()?.steps.find((step) => step.name === 'rung subordinate');
    assert.match(rung?.detail ?? '', /returned 0 after .* wedged: .*0000:01:00\.0: .*ones/);
    assert.equal(rung?.state, 'failed');
  });

  test('a reset that restores what was saved of the dead card is no cure: its BARs are wrong', async () => {
    sim.kernel.die(bochs, { healsBy: ['subordinate'], clean: false });
    await take(bochs);
    assert.deepEqual(rungsOf(lastJob()), [
      ['subordinate', 'failed'],
      ['remove-rescan', 'done'],
    ]);
    assert.match(
      lastJob()?.steps.find((step) => step.name === 'rung subordinate')?.detail ?? '',
      /suspect: 0000:01:00\.0: BAR 0 reads .* where the kernel has/,
    );
  });

  describe('BARs lost in a rescan', () => {
    beforeEach(() => {
      sim.kernel.die(bochs, { healsBy: ['remove-rescan'] });
      sim.kernel.loseBars(bochs, 'rescan');
    });

    test('are no cure either, and the next rung is tried', async () => {
      await take(bochs);
      assert.deepEqual(rungsOf(lastJob()), [
        ['subordinate', 'failed'],
        ['remove-rescan', 'failed'],
        ['slot-power', 'done'],
      ]);
    });

    test('make the card suspect, and nobody gets it', async () => {
      only('remove-rescan');
      await assert.rejects(take(bochs), /is suspect and could not .*BAR 0 has no address/);
      assert.equal(onDisk()[0]?.state, 'stranded');
      assert.deepEqual(drivers(bochs), [null, null]);
    });
  });

  describe('a card that nothing heals', () => {
    test('is kept from host drivers and guests alike, with the reason, by the kernel too', async () => {
      only('subordinate');
      sim.kernel.die(bochs);
      await assert.rejects(take(bochs), { code: 'failed', message: /tried subordinate; .*wedged/ });
      assert.deepEqual(drivers(bochs), [null, null]);
      for (const fn of sim.functions(bochs)) {
        assert.equal(sim.kernel.device(fn).override, 'vfio-pci');
      }
      const lease = onDisk()[0];
      assert.equal(lease?.state, 'stranded');
      assert.match(lease?.reason ?? '', /could not be brought back.*revivectl show/);
      assert.equal(sim.health.get(bochs)?.state, 'wedged');
      assert.equal(lastJob()?.state, 'failed');
    });

    test('is tried again by the next one who asks, who gets it when the fault is gone', async () => {
      const before = treeOf(sim.kernel.sys, ['reset_method']);
      const card = sim.card(bochs);
      sim.kernel.die(bochs);
      await assert.rejects(take(bochs));
      assert.equal(sim.kernel.device(`${bochs}.0`).enumerated, false, 'no rung found it again');
      sim.kernel.die(bochs, { healsBy: ['remove-rescan'] });
      await sim.handover.take([card], { domain: 'linux', uuid: 'other' }, 'a test').ended;
      assert.deepEqual([onDisk()[0]?.state, onDisk()[0]?.domain], ['lent', 'linux']);
      await giveBack(bochs);
      assert.deepEqual(treeOf(sim.kernel.sys, ['reset_method']), before);
    });

    test('stays away from its host drivers when its guest is gone, until a return finds it alive', async () => {
      const before = treeOf(sim.kernel.sys);
      only('subordinate');
      await take(bochs);
      sim.kernel.die(bochs, { sign: 'bars' });
      await assert.rejects(giveBack(bochs), /is suspect and could not be brought back/);
      assert.deepEqual(drivers(bochs), ['vfio-pci', 'vfio-pci']);
      assert.equal(onDisk()[0]?.state, 'stranded');
      sim.kernel.die(bochs, { sign: 'bars', healsBy: ['subordinate'] });
      await giveBack(bochs);
      assert.deepEqual(treeOf(sim.kernel.sys), before);
      assert.deepEqual(onDisk(), []);
    });
  });

  test('a card that dies as vfio-pci takes it goes neither to the guest nor back to its drivers', async () => {
    sim.watch.atWrite = (path) => {
      if (path.endsWith('power/control') && sim.driver(`${bochs}.1`) === 'vfio-pci') {
        sim.kernel.die(bochs);
      }
    };
    await assert.rejects(take(bochs), /would not work in a guest: it is wedged/);
    assert.deepEqual(drivers(bochs), ['vfio-pci', 'vfio-pci']);
    assert.equal(onDisk()[0]?.state, 'stranded');
  });

  test('a function that left the bus is missed by name, and the card is not given away without it', async () => {
    await take(bochs);
    sim.kernel.loseFunction(`${bochs}.1`);
    await assert.rejects(giveBack(bochs), /is lost .*0000:01:00\.1: is not on the bus any more/);
    assert.equal(onDisk()[0]?.state, 'stranded');
  });

  test('a card that is busy on the host is not taken from it', async () => {
    const before = treeOf(sim.kernel.sys);
    sim.kernel.hold(77, 'Xorg', `${sim.kernel.root}/dev/dri/card0`);
    await assert.rejects(take(bochs), {
      code: 'busy',
      message: /Xorg \(pid 77\) has .*\/dri\/card0 open/,
    });
    assert.deepEqual(treeOf(sim.kernel.sys), before);
    assert.deepEqual(onDisk(), []);
  });

  test('a card that a guest still has open is not taken from it, and a later return brings it home', async () => {
    const before = treeOf(sim.kernel.sys);
    await take(bochs);
    sim.kernel.hold(4711, 'qemu', `/dev/vfio/${sim.kernel.device(`${bochs}.0`).group}`);
    // As the daemon sees it, devices of the simulated machine lie below its root.
    sim.kernel.hold(
      4711,
      'qemu',
      `${sim.host.paths.dev}/vfio/${sim.kernel.device(`${bochs}.0`).group}`,
    );
    await assert.rejects(giveBack(bochs), { code: 'busy', message: /qemu \(pid 4711\)/ });
    assert.deepEqual(drivers(bochs), ['vfio-pci', 'vfio-pci']);
    assert.equal(onDisk()[0]?.state, 'lent');
    sim.kernel.letGo(4711);
    await giveBack(bochs);
    assert.deepEqual(treeOf(sim.kernel.sys), before);
  });

  test('one function that cannot go home does not keep the others: no override and no pin is left on any', async () => {
    const before = treeOf(sim.kernel.sys);
    await take(bochs);
    let probes = 0;
    // A reason that is longer than a lease may be.
    const errno = `EIO${'.'.repeat(5000)}`;
    sim.watch.atWrite = (path) => {
      if (path.endsWith('drivers_probe') && probes++ === 0) sim.kernel.failWrite(path, errno);
    };
    await assert.rejects(giveBack(bochs), /drivers_probe failed: EIO/);
    await sim.restart();
    assert.equal(sim.leases.get(bochs)?.state, 'stranded', 'its lease is read back');
    assert.deepEqual(treeOf(sim.kernel.sys), { ...before, [`${bochs}.0 driver`]: '-' });
    assert.match(onDisk()[0]?.reason ?? '', /drivers_probe failed: EIO/);
    assert.equal(onDisk()[0]?.state, 'stranded');
  });

  test('a cancel does not stop a return half-way', async () => {
    const before = treeOf(sim.kernel.sys);
    await take(bochs);
    const { job, ended } = sim.handover.giveBack(bochs, 'a test');
    sim.watch.atWrite = () => sim.jobs.cancel(job);
    await ended;
    assert.deepEqual(treeOf(sim.kernel.sys), before);
    assert.deepEqual(onDisk(), []);
  });

  test('whatever write fails, a card is home as it was, or kept with the reason and home after one more return', async () => {
    const home = treeOf(sim.kernel.sys, ['reset_method']);
    const number = fc.nat(16);
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.tuple(number, number), async (dies, [first, second]) => {
        let count = 0;
        sim.watch.atWrite = (path) => {
          if (count === first || count === first + second) sim.kernel.failWrite(path, 'EIO');
          count++;
        };
        const outcomes = [await settled(take(bochs))];
        if (dies) sim.kernel.die(bochs, { healsBy: ['remove-rescan'] });
        if (sim.leases.get(bochs) !== undefined) outcomes.push(await settled(giveBack(bochs)));
        sim.watch.atWrite = () => {};
        const lease = onDisk()[0];
        assert.equal(
          lease !== undefined,
          outcomes.at(-1) === 'rejected' && lease?.state === 'stranded',
        );
        await (lease === undefined
          ? sim.handover.reset(sim.card(bochs), null, 'a test').ended
          : giveBack(bochs));
        assert.deepEqual(onDisk(), []);
        assert.deepEqual(treeOf(sim.kernel.sys, ['reset_method']), home);
      }),
      { numRuns: 12 },
    );
  });

  test('a reset that turns out to be impossible leaves a healthy card at home', async () => {
    const before = treeOf(sim.kernel.sys);
    const { ended } = sim.handover.reset(sim.card(bochs), ['bus'], 'a test');
    await assert.rejects(ended, /no rung of the ladder can be done.*It is healthy/);
    assert.deepEqual([treeOf(sim.kernel.sys), onDisk()], [before, []]);
  });

  test('what is done in `stopped` ends with its budget, whatever it waits for', async () => {
    await sim.close();
    sim = await simPipeline({ deadlines: { closed: 30_000 } });
    await take(bochs);
    const { group } = sim.kernel.device(`${bochs}.0`);
    sim.kernel.hold(4711, 'qemu', `${sim.host.paths.dev}/vfio/${group}`);
    const start = performance.now();
    await assert.rejects(sim.handover.reviveOnly(bochs, 30, 'a test').ended);
    assert.ok(performance.now() - start < 5_000);
    assert.equal(lastJob()?.state, 'cancelled');
    assert.equal(sim.leases.get(bochs)?.state, 'lent');
  });

  test('a card whose lease cannot be written is not touched', async () => {
    const before = treeOf(sim.kernel.sys);
    const { writes } = sim.kernel;
    const { length } = writes;
    mkdirSync(`${sim.host.paths.leases}.new`);
    await assert.rejects(take(bochs), /its lease cannot be written .*EISDIR.*/);
    assert.equal(sim.kernel.writes.length, length);
    assert.equal(sim.leases.get(bochs), undefined);
    rmSync(`${sim.host.paths.leases}.new`, { recursive: true });
    await take(bochs);
    await giveBack(bochs);
    assert.deepEqual(treeOf(sim.kernel.sys), before);
  });

  test('a card whose lease cannot be made to last is not lent: it goes home', async () => {
    const before = treeOf(sim.kernel.sys);
    const inTheWay = `${sim.host.paths.leases}.new`;
    sim.watch.atWrite = (path) => {
      if (path.endsWith('drivers_probe')) mkdirSync(inTheWay, { recursive: true });
    };
    await assert.rejects(take(bochs), /EISDIR/);
    rmSync(inTheWay, { recursive: true });
    assert.deepEqual(treeOf(sim.kernel.sys), before);
  });

  test('a card that was found with a guest has no home but the one that is there when it is taken', async () => {
    await take(bochs);
    const lease = sim.leases.get(bochs) ?? assert.fail('it is lent');
    const home = {
      ...lease.home,
      functions: lease.home.functions.map((fn) => ({ ...fn, driver: 'vfio-pci' })),
      power: lease.home.power.map((one) => ({ ...one, under: 'vfio-pci' })),
    };
    await giveBack(bochs);
    await sim.leases.set({ ...lease, boundBy: 'libvirt', state: 'stranded', home });
    await take(bochs);
    assert.deepEqual(sim.leases.get(bochs)?.home, lease.home);
  });
});

async function settled(ended: Promise<void>): Promise<'fulfilled' | 'rejected'> {
  const [outcome] = await Promise.allSettled([ended]);
  return outcome.status;
}
