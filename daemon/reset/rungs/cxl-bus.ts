/** The kernel's `cxl_bus` method (cxl_reset_bus_function of drivers/pci/pci.c; 6.11): a bus reset with the CXL port unmasked. */
import { refusedBySiblings } from './bus.ts';
import { methodRung } from './method.ts';

export const cxlBus = methodRung({
  name: 'cxl_bus',
  does: 'resets the bus below a CXL port, for a function that is alone on it',
  expectedMs: 200,
  worstMs: 80000,
  reach: 'bus',
  breaksLink: true,
  afterGuest: false,
  throughConfig: false,
  unless: refusedBySiblings,
});
