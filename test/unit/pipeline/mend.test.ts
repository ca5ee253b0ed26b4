/** What a rung left when its daemon was ended, put right with the steps of the next return. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { defaultConfig } from '../../../daemon/config/config.ts';
import type { Lease } from '../../../daemon/pipeline/lease.ts';
import { methodMendSteps, powerMendSteps } from '../../../daemon/pipeline/mend.ts';
import { stepTitle } from '../../../daemon/pipeline/step.ts';
import { machine } from '../../sim/machine.ts';
import { benchCards, leasesOnDisk, type SimPipeline, simPipeline, treeOf } from '../sim-host.ts';

const { bochs: gpu } = benchCards;
const fn = `${gpu}.0`;
const person = { domain: '', uuid: '' };
const port = '0000:00:01.0';

let sim: SimPipeline;
beforeEach(async () => {
  const drivers = ['pcieport', 'virtio-pci', 'vfio-pci'];
  const ports = [{ d3cold: true, functions: [{ model: 'virtio-gpu' as const }] }];
  sim = await simPipeline({ machine: machine({ rootDevices: [], drivers, ports }) });
});
afterEach(() => sim.close());

const take = () => sim.handover.take([sim.card(gpu)], person, 'a test').ended;
const lease = (): Lease => sim.leases.get(gpu) ?? assert.fail('it is lent');
const mended = (of: Partial<Lease> = {}) => {
  const broken = { ...lease(), ...of };
  const { sys } = sim.kernel;
  const methods = methodMendSteps(broken, sys, defaultConfig);
  return [...powerMendSteps(broken, sys), ...methods].map(stepTitle);
};
/** As the rung d3cold has it half-way. */
const fallAsleep = () => {
  for (const device of [fn, port]) {
    sim.kernel.write(sim.at(device, 'd3cold_allowed'), '1');
    sim.kernel.write(sim.at(device, 'power/control'), 'auto');
  }
  assert.equal(sim.kernel.device(fn).powerState, 'D3cold');
};

test('a card that is as its lease has it needs nothing', async () => {
  await take();
  assert.deepEqual([mended(), mended({ state: 'resetting' })], [[], []]);
});

test('power that is not pinned any more is pinned, but on a card that libvirt bound', async () => {
  await take();
  sim.kernel.write(sim.at(port, 'd3cold_allowed'), '1');
  assert.deepEqual(mended(), [`pin-power ${gpu}`]);
  assert.deepEqual(mended({ boundBy: 'libvirt' }), []);
});

test('a reset method that a rung chose is taken back, but not what was chosen for the guest', async () => {
  await take();
  sim.kernel.write(sim.at(fn, 'reset_method'), 'pm');
  assert.deepEqual(mended({ state: 'returning' }), [`reset-method ${fn}`]);
  assert.deepEqual(mended(), []);
  assert.deepEqual(mended({ boundBy: 'libvirt' }), [`reset-method ${fn}`]);
});

test('a dead card whose power is off is woken, however long that takes, and comes home alive', async () => {
  const before = treeOf(sim.kernel.sys);
  await take();
  sim.kernel.die(gpu, { healsBy: ['d3cold'] });
  fallAsleep();
  sim.kernel.slowWrite(sim.at(fn, 'power/control'), 60_000);
  await sim.handover.giveBack(gpu, 'a test').ended;
  assert.deepEqual(leasesOnDisk(sim.host.paths.leases), []);
  assert.deepEqual(treeOf(sim.kernel.sys), before);
});

describe('a healthy card comes home as it was', () => {
  let before: Readonly<Record<string, string>>;
  /** A daemon was ended in a rung of its return. */
  beforeEach(async () => {
    before = treeOf(sim.kernel.sys);
    await take();
    await sim.leases.set({ ...lease(), state: 'returning' });
    sim.kernel.write(sim.at(port, 'power/control'), 'auto');
    sim.kernel.write(sim.at(fn, 'reset_method'), 'pm');
  });
  const isHome = () => {
    assert.deepEqual(leasesOnDisk(sim.host.paths.leases), []);
    assert.deepEqual(treeOf(sim.kernel.sys), before);
  };

  for (const afterCrash of [false, true]) {
    for (const path of [() => sim.at(port, 'power/control'), () => sim.at(fn, 'reset_method')]) {
      const what = path.toString().includes('power') ? 'power' : 'a reset method';
      test(`although ${what} is not put right at once${afterCrash ? ', after a crash' : ''}`, async () => {
        sim.kernel.failWrite(path(), 'EIO');
        await sim.handover.giveBack(gpu, 'a test', afterCrash).ended;
        isHome();
      });
    }
  }

  test('although the return after a crash is cancelled before it begins', async () => {
    const { job, ended } = sim.handover.giveBack(gpu, 'a test', true);
    sim.jobs.cancel(job);
    await ended;
    isHome();
  });
});
