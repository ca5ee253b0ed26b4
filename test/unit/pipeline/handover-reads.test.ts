/** What is asked of the kernel through a child, each a process: no more often than something may have changed. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { defaultConfig } from '../../../daemon/config/config.ts';
import { benchCards, type SimPipeline, simPipeline } from '../sim-host.ts';

const { bochs } = benchCards;
const guest = { domain: 'win10', uuid: '6695eb01-f6a4-8304-79aa-97f2502e193f' };

let sim: SimPipeline;
let accesses: string[] = [];
/** Accesses to the card's first function and to the bus during some work, in order. */
const during = async (work: Promise<void>): Promise<string> => {
  accesses = [];
  await work;
  return accesses.join(' ');
};
const take = () => sim.handover.take([sim.card(bochs)], guest, 'a test').ended;
const giveBack = () => sim.handover.giveBack(bochs, 'a test').ended;

beforeEach(async () => {
  sim = await simPipeline();
});
afterEach(() => sim.close());

test('driver_override is read before it is written and after, and once where it is right', async () => {
  const path = sim.at(`${bochs}.0`, 'driver_override');
  sim.watch.atRead = (one) => {
    if (one === path) accesses.push('read');
  };
  sim.watch.atWrite = (one) => {
    if (one === path) accesses.push('write');
  };
  // For the lease, for the step, and when vfio-pci is bound.
  assert.equal(await during(take()), 'read read write read read');
  // Where it is aimed home, and cleared last.
  assert.equal(await during(giveBack()), 'write read write read');
  sim.kernel.write(path, 'bochs-drm');
  await take();
  assert.equal(await during(giveBack()), 'write read', 'its owner had aimed it home');
});

test('config space is read again only after a driver has got the card, or a rung was done', async () => {
  sim.watch.atRead = (path) => {
    if (path === sim.at(`${bochs}.0`, 'config')) accesses.push('read');
  };
  sim.watch.atWrite = (path) => {
    const name = /(drivers_probe|rescan)$/.exec(path)?.[0];
    if (name !== undefined) accesses.push(name);
  };
  const bound = 'read drivers_probe drivers_probe read';
  assert.equal(await during(take()), bound);
  assert.equal(await during(giveBack()), bound);
  await take();
  sim.config = { ...defaultConfig, cards: new Map([[bochs, { ladder: ['remove-rescan'] }]]) };
  sim.kernel.die(bochs, { sign: 'bars', healsBy: ['remove-rescan'], clean: true });
  assert.equal(await during(giveBack()), 'read rescan read', 'the rescan itself has bound it');
  assert.equal(sim.health.get(bochs)?.state, 'healthy');
});
