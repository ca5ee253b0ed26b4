/**
 * What revived wants to know from a domain's XML. The text comes from a hook's stdin, from libvirt or from a
 * file that a user wrote: it is bounded before it is parsed, and whatever is wrong with it is said.
 */

import { childOf, childrenOf, readElement, type XmlElement } from '../domain/element.ts';
import { invalidXml, numberOf, shown } from '../domain/xml.ts';
import { type FunctionAddress, functionAddress } from '../pci/address.ts';
import { isUuid } from './xdr.ts';

export interface DomainConfig {
  /** Any text: spaces, quotes, `$(...)`. Never part of a shell line, escaped wherever it is shown. */
  readonly name: string;
  /** Lower case. */
  readonly uuid: string;
  /** Null in the XML of a domain that does not run. */
  readonly id: number | null;
  readonly emulator: string | null;
  /** libosinfo's id of the guest's system: `http://microsoft.com/win/11`. */
  readonly osInfo: string | null;
  /** `restart`, `destroy`, `preserve`, `rename-restart`; null where it is not written, which means restart. */
  readonly onReboot: string | null;
  /** The PCI devices that are handed to it, in the order of the XML. */
  readonly hostdevs: readonly Hostdev[];
}

interface Hostdev {
  /** On the host. */
  readonly address: FunctionAddress;
  /** managed='yes'; the default is no. */
  readonly managed: boolean;
  /** In the guest; null while libvirt has not chosen. */
  readonly guest: { readonly bus: number; readonly slot: number; readonly function: number } | null;
  /** `vfio`, `xen`; null when it is not written. */
  readonly driver: string | null;
  /** `hostdev0`: what device events name. */
  readonly alias: string | null;
}

const maxHostdevs = 1024;

const osInfoNamespace = 'http://libosinfo.org/xmlns/libvirt/domain/1.0';

/**
 * False only where the XML has no PCI hostdev for certain; costs microseconds and no parser. Anything
 * else is for `readDomain` to say.
 */
export function mentionsPciHostdev(xml: string): boolean {
  // An `&` may spell `pci` as character references.
  return /<hostdev\s[^<]*(?:pci|&)/.test(xml);
}

/**
 * Reads a `<domain>`. Throws `invalid-argument` and what is wrong, where it is too large or nested too
 * deep, declares a document type or entities, is not well-formed, is no domain, or has an impossible address.
 */
export function readDomain(xml: string): DomainConfig {
  const root = readElement(xml);
  if (root.name !== 'domain' || root.namespace !== null) {
    const where = root.namespace === null ? '' : ` of "${shown(root.namespace)}"`;
    throw invalidXml(`its root is <${shown(root.name)}>${where}, not <domain>`);
  }
  const devices = childOf(root, 'devices');
  const hostdevs = childrenOf(devices, 'hostdev').filter(
    (node) => node.attributes.get('mode') === 'subsystem' && node.attributes.get('type') === 'pci',
  );
  if (hostdevs.length > maxHostdevs) {
    throw invalidXml(`it has ${hostdevs.length} PCI hostdevs, more than ${maxHostdevs}`);
  }
  return {
    name: nameOf(root),
    uuid: uuidOf(root),
    id: idOf(root),
    emulator: textOf(devices, 'emulator'),
    osInfo: osInfoOf(root),
    onReboot: textOf(root, 'on_reboot'),
    hostdevs: hostdevs.map(readHostdev),
  };
}

// The text of a child; null when there is no such child.
function textOf(parent: XmlElement | null, name: string): string | null {
  return childOf(parent, name)?.text ?? null;
}

function nameOf(root: XmlElement): string {
  const name = textOf(root, 'name');
  if (name === null || name === '') throw invalidXml('it has no <name>');
  return name;
}

function uuidOf(root: XmlElement): string {
  const text = textOf(root, 'uuid');
  if (text === null) throw invalidXml('it has no <uuid>');
  const uuid = text.trim().toLowerCase();
  if (!isUuid(uuid)) throw invalidXml(`its <uuid> "${shown(text)}" is no uuid`);
  return uuid;
}

function idOf(root: XmlElement): number | null {
  const text = root.attributes.get('id');
  if (text === undefined || text === '-1') return null;
  const id = numberOf(text, 0x7fffffff);
  if (id === undefined) throw invalidXml(`its id "${shown(text)}" is no number`);
  return id;
}

function osInfoOf(root: XmlElement): string | null {
  const libosinfo = childOf(childOf(root, 'metadata'), 'libosinfo', osInfoNamespace);
  const os = childOf(libosinfo, 'os', osInfoNamespace);
  return os?.attributes.get('id') ?? null;
}

function readHostdev(node: XmlElement, index: number): Hostdev {
  const alias = childOf(node, 'alias')?.attributes.get('name') ?? null;
  const where = `PCI hostdev ${index + 1}${alias === null ? '' : ` (${shown(alias)})`}`;
  const host = childOf(childOf(node, 'source'), 'address');
  if (host === null) throw invalidXml(`${where} has no <source><address .../></source>`);
  const at = readAddress(host, where);
  const address = functionAddress(at.domain, at.bus, at.slot, at.function);
  if (address === undefined) throw invalidXml(`${where} has an impossible address`);
  const guest = childrenOf(node, 'address').find((a) => a.attributes.get('type') === 'pci');
  return {
    address,
    managed: node.attributes.get('managed') === 'yes',
    guest: guest === undefined ? null : guestAddress(guest, `${where}, in the guest,`),
    driver: childOf(node, 'driver')?.attributes.get('name') ?? null,
    alias,
  };
}

function guestAddress(node: XmlElement, where: string): Hostdev['guest'] {
  const { bus, slot, function: fn } = readAddress(node, where);
  return { bus, slot, function: fn };
}

interface Numbers {
  readonly domain: number;
  readonly bus: number;
  readonly slot: number;
  readonly function: number;
}

// libvirt writes all four; only the domain may be left out by people. A bus or slot that is missing would
// silently mean 0000:00:00.0, the host bridge.
function readAddress(node: XmlElement, where: string): Numbers {
  const part = (name: keyof Numbers, max: number, fallback?: number): number => {
    const text = node.attributes.get(name);
    if (text === undefined && fallback !== undefined) return fallback;
    if (text === undefined) throw invalidXml(`${where} has an address without ${name}`);
    const value = numberOf(text, max);
    if (value !== undefined) return value;
    throw invalidXml(
      `${where} has an address with ${name}="${shown(text)}", which is no number from 0 to 0x${max.toString(16)}`,
    );
  };
  return {
    domain: part('domain', 0xffffffff, 0),
    bus: part('bus', 0xff),
    slot: part('slot', 0x1f),
    function: part('function', 7),
  };
}
