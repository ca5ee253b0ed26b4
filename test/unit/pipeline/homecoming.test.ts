/** A card that cannot come home yet comes home later, unless it has got another lease meanwhile. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createHomecoming, type Homecoming } from '../../../daemon/pipeline/homecoming.ts';
import { benchCards, type SimPipeline, simPipeline } from '../sim-host.ts';

const { bochs } = benchCards;
const guest = { domain: 'win10', uuid: 'u' };

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
