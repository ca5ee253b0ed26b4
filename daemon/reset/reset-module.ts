/**
 * The kernel module that gives a card the reset method `device_specific`: gnif's vendor-reset for the families that it knows,
 * or the one that the configuration names. Pure.
 */
import type { CardConfig } from '../config/config.ts';
import type { Card } from '../pci/inventory.ts';
import { quirkOf } from '../pci/quirks.ts';

/** github.com/gnif/vendor-reset; which ids it knows is in the quirk data (facts/kernel.md 4). */
const vendorReset = 'vendor-reset';

/**
 * The module for this card; undefined where none is wanted: nobody knows one, the kernel itself has the method, or the
 * ladder (of the configuration, else of the family) does without device_specific.
 */
export function resetModuleOf(card: Card, settings: CardConfig | undefined): string | undefined {
  const { deviceSpecific, ladder, never } = quirkOf(card);
  const harmful = never.has('device_specific') && settings?.force !== true;
  if (harmful || !(settings?.ladder ?? ladder).includes('device_specific')) return undefined;
  return settings?.resetModule ?? (deviceSpecific?.by === 'vendor-reset' ? vendorReset : undefined);
}
