/** Removes the functions and rescans below the port: re-reads and re-programs everything, resets nothing. */
import { hostDriven, type Rung, unavailable } from '../rung.ts';
import {
  onTheBus,
  removeAll,
  rescanBelow,
  restoreSettings,
  saveSettings,
  waitForAll,
} from './reenumerate.ts';

export const removeRescan: Rung = {
  name: 'remove-rescan',
  does: 'takes the functions off the bus and lets the kernel find and set them up anew',
  expectedMs: 1500,
  worstMs: 100000,
  reach: 'machine',
  breaksLink: false,
  busWide: true,
  afterGuest: false,
  assess(facts) {
    const driven = hostDriven(facts);
    if (driven !== undefined) return unavailable(driven);
    return { available: true, reaches: facts.card.functions.map((fn) => fn.address) };
  },
  run(facts, host) {
    return onTheBus(facts, host, async () => {
      const settings = await saveSettings(facts, host);
      const refused = await removeAll(facts, host);
      if (refused?.state === 'stuck') return refused;
      // After a removal that failed half-way the rescan brings the others back.
      const lost = await rescanBelow(facts, host);
      if (lost !== undefined) return lost;
      // The rescan itself is synchronous (pci_rescan_bus): what it did not find is not on the way.
      const answer = await waitForAll(facts, host, 0);
      await restoreSettings(settings, host);
      return refused ?? answer;
    });
  },
};
