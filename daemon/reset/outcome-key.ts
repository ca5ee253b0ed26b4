/** What the outcome of a rung is counted under: the card, the kernel, and the drivers that have a say in it. */
import type { Host } from '../host/host.ts';
import type { OutcomeKey } from '../host/outcome.ts';
import { type Card, mainFunction } from '../pci/inventory.ts';
import type { Quirk } from '../pci/quirks.ts';
import type { RungName } from '../pci/rung-name.ts';
import { printable } from '../printable.ts';
import { present, readAttribute } from '../sysfs/read.ts';
import { idOfCard } from './verify.ts';

const maxVersion = 40;

/**
 * The key for a rung on a card as its lease knows it: with the host driver that it has at home. `module`: the one that gives it
 * device_specific, loaded or not (reset-module.ts).
 */
export function outcomeKey(
  host: Host,
  card: Card,
  quirk: Quirk,
  rung: RungName,
  module?: string,
): OutcomeKey {
  const home = mainFunction(card)?.driver;
  const { sys } = host.paths;
  // What hooks the kernel's device_specific (facts/kernel.md 4).
  const hooks = new Set(['vendor_reset', ...(module === undefined ? [] : [moduleName(module)])]);
  const extra = [...hooks].filter((name) => present(`${sys}/module/${name}`));
  return {
    card: card.address,
    id: idOfCard(card),
    family: quirk.family?.name ?? '',
    rung,
    kernel: host.kernel,
    driver: [
      home === undefined ? 'none' : versioned(sys, home),
      ...extra.map((name) => versioned(sys, name)),
    ].join(', '),
  };
}

// Modules out of the tree have a version, those of the kernel have the kernel's (MODULE_VERSION, kernel/params.c).
function versioned(sys: string, driver: string): string {
  const version = readAttribute(`${sys}/module/${moduleName(driver)}/version`);
  return version === undefined || version === ''
    ? driver
    : `${driver} ${printable(version.slice(0, maxVersion))}`;
}

// As the kernel has it in sysfs and in its list.
function moduleName(name: string): string {
  return name.replaceAll('-', '_');
}
