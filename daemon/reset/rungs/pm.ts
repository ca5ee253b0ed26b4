/** The kernel's `pm` method (drivers/pci/pci.c; facts/kernel.md 2). */
import { methodRung } from './method.ts';

export const pm = methodRung({
  name: 'pm',
  does: 'takes the function to D3hot and back to D0',
  expectedMs: 50,
  worstMs: 80000,
  reach: 'card',
  breaksLink: false,
  afterGuest: false,
  throughConfig: true,
});
