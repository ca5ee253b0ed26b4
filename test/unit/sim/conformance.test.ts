/** The assertions that the lab runs on a real kernel hold on the simulated one. */
import { after, before, describe, test } from 'node:test';
import { assertions } from '../../sim/conformance.ts';
import { simIo } from '../../sim/io.ts';
import { SimKernel } from '../../sim/kernel.ts';
import { labCards, labMachine } from '../../sim/presets.ts';

describe('conformance of the simulated kernel', () => {
  let kernel: SimKernel;
  before(() => {
    kernel = SimKernel.create(labMachine());
  });
  after(() => kernel.dispose());

  for (const { name, run } of assertions) {
    test(name, async () => {
      await run({
        io: simIo(kernel),
        sys: kernel.sys,
        dev: `${kernel.root}/dev`,
        cards: labCards,
        wedge: async (card) => kernel.wedge(card),
        unwedge: async (card) => kernel.unwedge(card),
      });
    });
  }
});
