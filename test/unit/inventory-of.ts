/** Inventories for pure tests, from a short description; nothing is read from a disk. */
import assert from 'node:assert/strict';
import {
  type CardAddress,
  cardOf,
  type FunctionAddress,
  isCardAddress,
  isFunctionAddress,
} from '../../daemon/pci/address.ts';
import type { PciFunction } from '../../daemon/pci/device.ts';
import type { Card, Inventory } from '../../daemon/pci/inventory.ts';

export interface FunctionText {
  readonly at: string;
  readonly id?: string;
  readonly class: string;
  readonly driver?: string;
  readonly group?: string;
  readonly ports?: readonly string[];
  readonly virtual?: boolean;
}

export function fn(text: string): FunctionAddress {
  assert.ok(isFunctionAddress(text), text);
  return text;
}

export function card(text: string): CardAddress {
  assert.ok(isCardAddress(text), text);
  return text;
}

/** `iommu` false: no groups on this host. */
export function inventoryOf(list: readonly FunctionText[], iommu = true): Inventory {
  const functions = new Map<FunctionAddress, PciFunction>();
  const cards = new Map<CardAddress, Card>();
  const groups = new Map<string, FunctionAddress[]>();
  for (const one of list) {
    const address = fn(one.at);
    const ports = (one.ports ?? []).map(fn);
    const [vendor, device] = (one.id ?? '1002:731f').split(':');
    const made: PciFunction = {
      address,
      vendor,
      device,
      classCode: one.class,
      driver: one.driver,
      group: iommu ? one.group : undefined,
      ports,
      virtual: one.virtual === true,
    };
    functions.set(address, made);
    if (made.group !== undefined)
      groups.set(made.group, [...(groups.get(made.group) ?? []), address]);
    if (made.virtual || one.class.startsWith('0604')) continue;
    const slot = cardOf(address);
    const before = cards.get(slot);
    cards.set(slot, { address: slot, ports, functions: [...(before?.functions ?? []), made] });
  }
  return { functions, cards, groups, iommu };
}

const port = ['0000:00:03.1'];

/** A desktop: a 5700 XT with audio behind its switch, a second GPU, chipset devices, an APU slot. */
export const desktop: readonly FunctionText[] = [
  { at: '0000:00:03.1', class: '060400', driver: 'pcieport', group: '1' },
  {
    at: '0000:09:00.0',
    id: '1002:1478',
    class: '060400',
    driver: 'pcieport',
    group: '20',
    ports: port,
  },
  {
    at: '0000:0a:00.0',
    id: '1002:1479',
    class: '060400',
    driver: 'pcieport',
    group: '21',
    ports: ['0000:09:00.0', ...port],
  },
  {
    at: '0000:0b:00.0',
    class: '030000',
    driver: 'amdgpu',
    group: '22',
    ports: ['0000:0a:00.0', '0000:09:00.0', ...port],
  },
  {
    at: '0000:0b:00.1',
    id: '1002:ab38',
    class: '040300',
    driver: 'snd_hda_intel',
    group: '23',
    ports: ['0000:0a:00.0', '0000:09:00.0', ...port],
  },
  { at: '0000:00:01.2', class: '060400', driver: 'pcieport', group: '2' },
  {
    at: '0000:01:00.0',
    id: '1022:43d0',
    class: '0c0330',
    driver: 'xhci_hcd',
    group: '12',
    ports: ['0000:00:01.2'],
  },
  {
    at: '0000:01:00.1',
    id: '1022:43c8',
    class: '010601',
    driver: 'ahci',
    group: '12',
    ports: ['0000:00:01.2'],
  },
  { at: '0000:00:08.1', class: '060400', driver: 'pcieport', group: '8' },
  {
    at: '0000:0d:00.0',
    id: '1002:164e',
    class: '030000',
    driver: 'amdgpu',
    group: '30',
    ports: ['0000:00:08.1'],
  },
  {
    at: '0000:0d:00.1',
    id: '1002:1640',
    class: '040300',
    driver: 'snd_hda_intel',
    group: '31',
    ports: ['0000:00:08.1'],
  },
  {
    at: '0000:0d:00.2',
    id: '1022:1649',
    class: '108000',
    driver: 'ccp',
    group: '32',
    ports: ['0000:00:08.1'],
  },
  {
    at: '0000:0d:00.3',
    id: '1022:15b6',
    class: '0c0330',
    driver: 'xhci_hcd',
    group: '33',
    ports: ['0000:00:08.1'],
  },
  {
    at: '0000:05:00.0',
    id: '8086:1521',
    class: '020000',
    driver: 'igb',
    group: '40',
    ports: ['0000:00:02.1'],
  },
  {
    at: '0000:05:00.1',
    id: '8086:1521',
    class: '020000',
    driver: 'igb',
    group: '41',
    ports: ['0000:00:02.1'],
  },
  {
    at: '0000:05:10.0',
    id: '8086:1520',
    class: '020000',
    group: '42',
    ports: ['0000:00:02.1'],
    virtual: true,
  },
];
