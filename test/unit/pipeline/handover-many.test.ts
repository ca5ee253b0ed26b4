/** Several cards: of one domain all or none, of several at the same time, below one port that they share. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { CardAddress } from '../../../daemon/pci/address.ts';
import { machine } from '../../sim/machine.ts';
import { card } from '../inventory-of.ts';
import {
  benchCards,
  benchMachine,
  gate,
  leasesOnDisk,
  type SimPipeline,
  simPipeline,
  treeOf,
  turns,
} from '../sim-host.ts';

const { ati, bochs, flr, xhci } = benchCards;
const guest = { domain: 'win10', uuid: '6695eb01-f6a4-8304-79aa-97f2502e193f' };

describe('several cards', () => {
  let sim: SimPipeline;
  beforeEach(async () => {
    sim = await simPipeline();
  });
  afterEach(() => sim.close());

  const start = (...cards: readonly CardAddress[]) =>
    sim.handover.take(
      cards.map((one) => sim.card(one)),
      guest,
      'a test',
    );
  const take = (...cards: readonly CardAddress[]) => start(...cards).ended;
  const giveBack = (one: CardAddress) => sim.handover.giveBack(one, 'a test').ended;
  const onDisk = () => leasesOnDisk(sim.host.paths.leases);

  describe('of one domain', () => {
    test('are taken all or none', async () => {
      await sim.close();
      sim = await simPipeline({ machine: benchMachine(4) });
      const before = treeOf(sim.kernel.sys, ['reset_method']);
      sim.kernel.die(xhci);
      await assert.rejects(take(bochs, ati, xhci), /0000:04:00/);
      assert.deepEqual(
        onDisk().map((lease) => [lease.card, lease.state]),
        [[xhci, 'stranded']],
      );
      const after = treeOf(sim.kernel.sys, ['reset_method']);
      for (const [key, value] of Object.entries(before)) {
        const own = key.startsWith(xhci) || key.startsWith('0000:00:06.0');
        if (!own) assert.equal(after[key], value, key);
      }
    });

    test('come home when the start is cancelled at the second one', async () => {
      const before = treeOf(sim.kernel.sys);
      const { job, ended } = start(bochs, flr);
      sim.watch.atWrite = (path) => {
        if (path.includes(flr)) sim.jobs.cancel(job);
      };
      await assert.rejects(ended, { code: 'cancelled' });
      assert.deepEqual(treeOf(sim.kernel.sys), before);
      assert.deepEqual(onDisk(), []);
      assert.equal(sim.jobs.all().at(-1)?.state, 'cancelled');
    });
  });

  describe('at once', () => {
    test('do not wait for each other', async () => {
      const held = gate();
      sim.watch.hold = (path) => (path.endsWith('bochs-drm/unbind') ? held.opened : undefined);
      const first = take(bochs);
      await take(flr);
      assert.equal(sim.leases.get(bochs)?.state, 'taking');
      assert.equal(sim.handover.busy(bochs), true);
      held.open();
      await first;
      assert.equal(sim.handover.busy(bochs), false);
    });

    test('are never removed and looked for at the same time', async () => {
      const seen: string[] = [];
      sim.watch.hold = async (path) => {
        if (!/(remove|rescan|slots.*power)$/.test(path)) return;
        seen.push(/0000:01:00|0000:00:04\.0|slots\/1/.test(path) ? 'bochs' : 'flr');
        await turns(5);
      };
      for (const one of [bochs, flr]) sim.kernel.die(one, { healsBy: ['slot-power'] });
      await Promise.all([take(bochs), take(flr)]);
      assert.equal(seen.length, 9, seen.join());
      // Each rung of a card is one piece: remove-rescan and slot-power of each, in any order.
      const pieces = seen.filter((one, n) => one !== seen[n - 1]);
      assert.ok(pieces.length <= 4, seen.join());
    });

    test('jobs of one card wait for each other, in the order of their coming', async () => {
      const taken = take(bochs);
      const back = giveBack(bochs);
      const again = sim.handover.take([sim.card(bochs)], { domain: 'linux', uuid: 'other' }, 'b');
      await Promise.all([taken, back, again.ended]);
      assert.equal(onDisk()[0]?.domain, 'linux');
      assert.deepEqual(
        sim.jobs.all().map((job) => job.state),
        ['done', 'done', 'done'],
      );
    });
  });

  test('of two domains that ask for one card in the same moment the second is refused by name', async () => {
    const first = take(bochs);
    const other = { domain: 'linux', uuid: 'other' };
    const second = sim.handover.take([sim.card(bochs)], other, 'a test').ended;
    await assert.rejects(second, { code: 'busy', message: /is with domain win10; domain linux/ });
    await first;
    assert.equal(onDisk()[0]?.domain, 'win10');
  });

  test('below one switch: its ports stay awake until the last one is home', async () => {
    await sim.close();
    sim = await simPipeline({
      machine: machine({
        rootDevices: [],
        drivers: ['pcieport', 'xhci_hcd', 'vfio-pci'],
        ports: [
          {
            upstream: 'x3130-upstream',
            downstream: [{ functions: [{ model: 'xhci' }] }, { functions: [{ model: 'xhci' }] }],
          },
        ],
      }),
    });
    const [one, other] = [card('0000:03:00'), card('0000:04:00')];
    const shared = ['0000:00:01.0', '0000:01:00.0'];
    for (const port of shared) sim.kernel.write(sim.at(port, 'power/control'), 'auto');
    const before = treeOf(sim.kernel.sys);
    const control = () => shared.map((port) => sim.kernel.device(port).control);
    for (const [first, last] of [
      [one, other],
      [other, one],
    ] as const) {
      await take(one);
      await take(other);
      await giveBack(first);
      assert.deepEqual(control(), ['on', 'on'], 'the other one needs them');
      await giveBack(last);
      assert.deepEqual(treeOf(sim.kernel.sys), before);
    }
  });
});
