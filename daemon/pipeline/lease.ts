/**
 * Leases: who has a card, since when, and what to give back. Kept in /run/revived/leases.json (RuntimeDirectoryPreserve),
 * so that a restarted daemon knows; read with suspicion, because a card is moved on the strength of it.
 */
import { asRevivedError } from '../errors.ts';
import { readOwn, writeWhole } from '../host/atomic-file.ts';
import {
  type CardAddress,
  type FunctionAddress,
  isCardAddress,
  isFunctionAddress,
} from '../pci/address.ts';
import { deviceDirectory } from '../pci/device.ts';
import type { Card } from '../pci/inventory.ts';
import { type OverrideReader, readOverride } from '../pci/override.ts';
import { isRecord } from '../record.ts';
import { readAttribute } from '../sysfs/read.ts';

/** What a function was before we touched it. */
interface HomeFunction {
  readonly address: FunctionAddress;
  /** `1002:731f`, to see that it is still the same device. */
  readonly id: string;
  readonly classCode: string;
  readonly group: string | null;
  /** Null: none. `anyDriver`: whichever host driver takes it. */
  readonly driver: string | null;
  /** driver_override as the owner had set it; empty for none. */
  readonly override: string;
  /** reset_method; undefined where there was none. */
  readonly resetMethod?: string;
}

/** A power setting before we pinned it: a sysfs file and its value. */
export interface PowerSetting {
  readonly device: FunctionAddress;
  readonly attribute: 'power/control' | 'd3cold_allowed';
  readonly value: string;
  /** The driver that it was found under: another one has its own. Left out: it is put back under any. */
  readonly under?: string;
}

export interface Home {
  readonly functions: readonly HomeFunction[];
  /** Bridges above the card, nearest first: known even when the card is lost. */
  readonly ports: readonly FunctionAddress[];
  readonly power: readonly PowerSetting[];
}

export interface Lease {
  readonly card: CardAddress;
  /** Name and uuid of the domain; both empty when a person took the card. */
  readonly domain: string;
  readonly uuid: string;
  /** Microseconds since the epoch. */
  readonly since: number;
  readonly state: 'taking' | 'lent' | 'returning' | 'resetting' | 'stranded';
  /** Who bound it: libvirt did when we were down; it then also gives back (invariant 2). */
  readonly boundBy: 'revived' | 'libvirt';
  readonly home: Home;
  /** Why it is stranded; empty otherwise. */
  readonly reason: string;
}

/** The home of a function that we found already taken from its driver: whichever host driver the kernel picks. */
export const anyDriver = '*';

const powerAttributes = ['power/control', 'd3cold_allowed'] as const;
/** Characters of a text in a lease. With a longer one it is not read back, and the card with it is forgotten. */
export const maxTextLength = 4096;
const maxFileBytes = 4 * 1024 * 1024;

/** What is there now, to be given back later. `card.functions` are those that will move. Rejects as readOverride does. */
export async function readHome(from: OverrideReader, card: Card): Promise<Home> {
  const overrides = card.functions.map((fn) => readOverride(from, fn.address));
  return homeWith(from.paths.sys, card, await Promise.all(overrides));
}

/** As readHome, where the driver_override of each function (in their order; default: none) is known already. */
export function homeWith(sys: string, card: Card, overrides: readonly string[] = []): Home {
  const devices = [...card.functions.map((fn) => fn.address), ...card.ports];
  return {
    functions: card.functions.map((fn, index) => ({
      address: fn.address,
      id: `${fn.vendor ?? '????'}:${fn.device ?? '????'}`,
      classCode: fn.classCode ?? '',
      group: fn.group ?? null,
      driver: fn.driver ?? null,
      override: overrides[index] ?? '',
      ...methodsAtHome(sys, fn.address),
    })),
    ports: card.ports,
    power: devices.flatMap((device) =>
      powerAttributes.flatMap((attribute) => {
        const value = readAttribute(`${deviceDirectory(sys, device)}/${attribute}`);
        return value === undefined ? [] : [{ device, attribute, value }];
      }),
    ),
  };
}

function methodsAtHome(sys: string, address: FunctionAddress): { resetMethod?: string } {
  const resetMethod = resetMethodOf(sys, address);
  return resetMethod === undefined ? {} : { resetMethod };
}

/** reset_method of a function as it is now; undefined where there is none. */
export function resetMethodOf(sys: string, address: FunctionAddress): string | undefined {
  return readAttribute(`${deviceDirectory(sys, address)}/reset_method`);
}

/** The card as it was when it left home: what a check must find again. */
export function cardFromHome(address: CardAddress, home: Home): Card {
  return {
    address,
    ports: home.ports,
    functions: home.functions.map((fn) => ({
      address: fn.address,
      vendor: fn.id.split(':')[0],
      device: fn.id.split(':')[1],
      classCode: fn.classCode,
      driver: fn.driver ?? undefined,
      group: fn.group ?? undefined,
      ports: home.ports,
      virtual: false,
    })),
  };
}

/** The lease of a card that was to come home and could not: it is with its guest as before, where it is with one. */
export function stillLent(lease: Lease): Lease {
  return { ...lease, state: lease.uuid === '' ? lease.state : 'lent' };
}

/** A home as it was before any of the leases: a port above it may have been pinned for another card already. */
export function beforeLeases(home: Home, leases: readonly Lease[]): Home {
  const pinned = leases.flatMap((lease) => lease.home.power);
  const before = (one: PowerSetting) =>
    pinned.find((other) => other.device === one.device && other.attribute === one.attribute);
  return { ...home, power: home.power.map((one) => before(one) ?? one) };
}

/**
 * The home of a card that libvirt bound, as it was found with its guest. libvirt gives back what it took (`managed`), but not always:
 * it trusts an old entry of its list of devices rather than the driver link (facts/libvirt.md 1.3), and then leaves a managed device
 * on vfio-pci. Any host driver is home for those. power/control is what vfio-pci has made of it (vfio_pci_core_register_device,
 * pm_runtime_allow), and goes with it.
 */
export function adoptedHome(found: Home, managed: boolean, leases: readonly Lease[]): Home {
  const functions = found.functions.map((fn) =>
    managed && fn.driver === 'vfio-pci' && fn.override === 'vfio-pci'
      ? { ...fn, driver: anyDriver, override: '' }
      : fn,
  );
  const drivers = new Map(found.functions.map((fn) => [fn.address, fn.driver]));
  const power = beforeLeases(found, leases).power.map((one) => {
    const driver = drivers.get(one.device) ?? null;
    return one.attribute === 'power/control' && driver !== null ? { ...one, under: driver } : one;
  });
  return { ...found, functions, power };
}

/** The lease without the power of ports that another one of `leases` still needs awake. */
export function withoutShared(lease: Lease, leases: readonly Lease[]): Lease {
  const others = leases.filter((other) => other.card !== lease.card);
  const needed = new Set(others.flatMap((other) => other.home.power.map((one) => one.device)));
  const power = lease.home.power.filter((one) => !needed.has(one.device));
  return { ...lease, home: { ...lease.home, power } };
}

/** The leases of this host, in memory and on disk. Every change is on disk before `set` and `drop` resolve. */
export interface LeaseBook {
  /** The file was not there, or not all of it could be believed. */
  readonly lost: boolean;
  get(card: CardAddress): Lease | undefined;
  all(): readonly Lease[];
  set(lease: Lease): Promise<void>;
  drop(card: CardAddress): Promise<void>;
}

/** Opens the book. Entries that are not ours or not whole are left out and reported through `onBad`. */
export async function openLeases(path: string, onBad: (why: string) => void): Promise<LeaseBook> {
  const leases = new Map<CardAddress, Lease>();
  let lost = false;
  const found = await readLeases(path, (why) => {
    lost = true;
    onBad(why);
  });
  for (const lease of found ?? []) leases.set(lease.card, lease);
  let writing: Promise<void> = Promise.resolve();
  const save = (): Promise<void> => {
    const write = () =>
      writeWhole(path, JSON.stringify({ version: 1, leases: [...leases.values()] }));
    writing = writing.then(write, write);
    return writing;
  };
  return {
    lost: lost || found === undefined,
    get: (card) => leases.get(card),
    all: () => [...leases.values()],
    set(lease) {
      leases.set(lease.card, lease);
      return save();
    },
    drop(card) {
      leases.delete(card);
      return save();
    },
  };
}

// Undefined: there is no file.
async function readLeases(
  path: string,
  onBad: (why: string) => void,
): Promise<readonly Lease[] | undefined> {
  try {
    const text = await readOwn(path, maxFileBytes);
    if (text === undefined) return undefined;
    const file: unknown = JSON.parse(text);
    if (!isRecord(file) || file['version'] !== 1 || !Array.isArray(file['leases'])) {
      onBad(`${path} is not a lease file of this version; it is ignored`);
      return [];
    }
    return file['leases'].flatMap((entry: unknown) => {
      if (isLease(entry)) return [entry];
      onBad(`an entry of ${path} is not a lease; it is ignored`);
      return [];
    });
  } catch (error) {
    onBad(`${path} cannot be read (${asRevivedError(error).message}); it is ignored`);
    return [];
  }
}

const states: readonly string[] = [
  'taking',
  'lent',
  'returning',
  'resetting',
  'stranded',
] satisfies Lease['state'][];
// Driver names end up in sysfs files: letters, digits, dash and underscore only.
const driverName = /^([A-Za-z0-9_-]{0,64}|\*)$/;

/** True for a whole lease: what is read back is believed only then. */
export function isLease(entry: unknown): entry is Lease {
  return (
    isRecord(entry) &&
    text(entry['card']) &&
    isCardAddress(entry['card']) &&
    text(entry['domain']) &&
    text(entry['uuid']) &&
    typeof entry['since'] === 'number' &&
    text(entry['state']) &&
    states.includes(entry['state']) &&
    (entry['boundBy'] === 'revived' || entry['boundBy'] === 'libvirt') &&
    text(entry['reason']) &&
    isHome(entry['home'])
  );
}

function isHome(home: unknown): home is Home {
  if (!isRecord(home) || !Array.isArray(home['functions']) || !Array.isArray(home['power']))
    return false;
  const functions = home['functions'].every(
    (fn: unknown) =>
      isRecord(fn) &&
      text(fn['address']) &&
      isFunctionAddress(fn['address']) &&
      text(fn['id']) &&
      text(fn['classCode']) &&
      (fn['group'] === null || (text(fn['group']) && /^[0-9]{1,9}$/.test(fn['group']))) &&
      (fn['driver'] === null || (text(fn['driver']) && driverName.test(fn['driver']))) &&
      text(fn['override']) &&
      driverName.test(fn['override']) &&
      (fn['resetMethod'] === undefined ||
        (text(fn['resetMethod']) && /^[a-z_ ]{0,128}$/.test(fn['resetMethod']))),
  );
  const power = home['power'].every(
    (setting: unknown) =>
      isRecord(setting) &&
      text(setting['device']) &&
      isFunctionAddress(setting['device']) &&
      powerAttributes.some((attribute) => attribute === setting['attribute']) &&
      text(setting['value']) &&
      /^(on|auto|[01])$/.test(setting['value']) &&
      (setting['under'] === undefined ||
        (text(setting['under']) && driverName.test(setting['under']))),
  );
  const ports =
    Array.isArray(home['ports']) &&
    home['ports'].every((port: unknown) => text(port) && isFunctionAddress(port));
  return functions && power && ports;
}

function text(value: unknown): value is string {
  return typeof value === 'string' && value.length <= maxTextLength;
}
