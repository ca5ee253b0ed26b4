/** The kernel's `acpi` method (drivers/pci/pci.c; facts/kernel.md 2). */
import { methodRung } from './method.ts';

export const acpi = methodRung({
  name: 'acpi',
  does: 'asks the firmware to reset the function (_RST)',
  expectedMs: 500,
  worstMs: 80000,
  reach: 'card',
  breaksLink: false,
  afterGuest: true,
  throughConfig: false,
});
