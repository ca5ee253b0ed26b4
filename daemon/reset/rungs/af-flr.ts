/** The kernel's `af_flr` method (drivers/pci/pci.c; facts/kernel.md 2). */
import { methodRung } from './method.ts';

export const afFlr = methodRung({
  name: 'af_flr',
  does: 'resets one function at a time (FLR of conventional PCI)',
  expectedMs: 150,
  worstMs: 80000,
  reach: 'card',
  breaksLink: false,
  afterGuest: true,
  throughConfig: true,
});
