/** The kernel's `device_specific` method (drivers/pci/pci.c; facts/kernel.md 2). */
import { methodRung } from './method.ts';

export const deviceSpecific = methodRung({
  name: 'device_specific',
  does: 'resets the card by its own procedure (kernel quirk or vendor-reset)',
  expectedMs: 2000,
  worstMs: 80000,
  throughConfig: false,
});
