/** The kernel's `flr` method (drivers/pci/pci.c; facts/kernel.md 2). */
import { methodRung } from './method.ts';

export const flr = methodRung({
  name: 'flr',
  does: 'resets one function at a time (Function Level Reset)',
  expectedMs: 150,
  worstMs: 80000,
  reach: 'card',
  breaksLink: false,
  afterGuest: true,
  throughConfig: true,
});
