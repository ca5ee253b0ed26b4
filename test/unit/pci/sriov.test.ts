/** A card whose virtual functions may be with guests is neither moved nor reset. */
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, test } from 'node:test';
import { RevivedError } from '../../../daemon/errors.ts';
import { createDesk } from '../../../daemon/pipeline/desk.ts';
import { revive } from '../../../daemon/reset/revive.ts';
import {
  benchCards,
  readGuest,
  type SimPipeline,
  simPipeline,
  simStamp,
  treeOf,
} from '../sim-host.ts';

const { flr, bochs } = benchCards;
const refusal = {
  code: 'refused',
  message: /2 virtual functions of 0000:02:00\.0 exist, .*sriov_numvfs/,
};

let sim: SimPipeline;
beforeEach(async () => {
  sim = await simPipeline();
  for (const at of ['0000:02:10.0', '0000:02:10.1']) {
    const directory = `${sim.kernel.sys}/bus/pci/devices/${at}`;
    mkdirSync(directory);
    symlinkSync(`../${flr}.0`, `${directory}/physfn`);
    writeFileSync(`${directory}/vendor`, '0x1af4\n');
  }
});
afterEach(() => sim.close());

test('a start, a take and a reset are refused, other cards are not', async () => {
  const desk = createDesk({
    host: sim.host,
    leases: sim.leases,
    journal: sim.journal,
    stamp: simStamp,
    version: '1.2.3',
    config: () => sim.config,
    reload: async () => {},
    readDomain: readGuest,
    libvirtState: () => ({ libvirt: 'connected', libvirtVersion: '11.3.0' }),
    async fetchXml() {
      throw new RevivedError('not-found', 'There is no domain.');
    },
  });
  const before = treeOf(sim.kernel.sys);
  assert.throws(() => desk.take(flr, 'a test'), refusal);
  assert.throws(() => desk.reset(flr, null, 'a test'), refusal);
  assert.deepEqual(treeOf(sim.kernel.sys), before);
  desk.reset(bochs, null, 'a test');
  await desk.settle(5_000);
});

test('a rung is refused as well, whoever asks for it', async () => {
  sim.kernel.die(flr, { healsBy: ['flr'] });
  const { rungs, gaveUp } = await revive(sim.host, sim.card(flr), { budgetMs: 1_000_000 });
  assert.deepEqual(rungs, []);
  assert.match(gaveUp ?? '', refusal.message);
});
