/**
 * What revived wants to know from a domain's XML. The text comes from a hook's stdin, from libvirt or from a
 * file that a user wrote: it is bounded before it is parsed, and whatever is wrong with it is said.
 */
import type { Element } from '@xmldom/xmldom';
import { RevivedError } from '../errors.ts';
import { type FunctionAddress, functionAddress } from '../pci/address.ts';
import { printable } from '../printable.ts';
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

/** Bytes of XML; libvirt itself sends at most 4 MiB over its socket. */
const maxBytes = 8 * 1024 * 1024;
// A real domain has some hundred elements, ten levels and a handful of namespaces. The bounds hold the time
// of one parse under a second; xmldom copies all namespaces of the parent for each element that declares one.
const maxDepth = 256;
const maxTags = 50_000;
const maxAttributes = 100_000;
const maxNamespaces = 256;
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
 * Reads a `<domain>`. Rejects with `invalid-argument` and what is wrong, where it is too large or nested too
 * deep, declares a document type or entities, is not well-formed, is no domain, or has an impossible address.
 */
export async function readDomain(xml: string): Promise<DomainConfig> {
  checkBounds(xml);
  const root = await parse(xml);
  if (root.localName !== 'domain' || root.namespaceURI) {
    throw invalid(`its root is <${shown(root.tagName)}>, not <domain>`);
  }
  const devices = childOf(root, 'devices');
  const hostdevs = (devices === null ? [] : childrenOf(devices, 'hostdev')).filter(
    (node) => node.getAttribute('mode') === 'subsystem' && node.getAttribute('type') === 'pci',
  );
  if (hostdevs.length > maxHostdevs) {
    throw invalid(`it has ${hostdevs.length} PCI hostdevs, more than ${maxHostdevs}`);
  }
  return {
    name: nameOf(root),
    uuid: uuidOf(root),
    id: idOf(root),
    emulator: devices === null ? null : textOf(devices, 'emulator'),
    osInfo: osInfoOf(root),
    hostdevs: hostdevs.map(readHostdev),
  };
}

function nameOf(root: Element): string {
  const name = textOf(root, 'name');
  if (name === null || name === '') throw invalid('it has no <name>');
  return name;
}

function uuidOf(root: Element): string {
  const text = textOf(root, 'uuid');
  if (text === null) throw invalid('it has no <uuid>');
  const uuid = text.trim().toLowerCase();
  if (!isUuid(uuid)) throw invalid(`its <uuid> "${shown(text)}" is no uuid`);
  return uuid;
}

function idOf(root: Element): number | null {
  const text = root.getAttribute('id');
  if (text === null || text === '-1') return null;
  const id = numberOf(text, 0x7fffffff);
  if (id === undefined) throw invalid(`its id "${shown(text)}" is no number`);
  return id;
}

function osInfoOf(root: Element): string | null {
  const metadata = childOf(root, 'metadata');
  const libosinfo = metadata && childOf(metadata, 'libosinfo', osInfoNamespace);
  const os = libosinfo && childOf(libosinfo, 'os', osInfoNamespace);
  return os?.getAttribute('id') ?? null;
}

function readHostdev(node: Element, index: number): Hostdev {
  const alias = childOf(node, 'alias')?.getAttribute('name') ?? null;
  const where = `PCI hostdev ${index + 1}${alias === null ? '' : ` (${shown(alias)})`}`;
  const source = childOf(node, 'source');
  const host = source && childOf(source, 'address');
  if (!host) throw invalid(`${where} has no <source><address .../></source>`);
  const at = readAddress(host, where);
  const address = functionAddress(at.domain, at.bus, at.slot, at.function);
  if (address === undefined) throw invalid(`${where} has an impossible address`);
  const guest = childrenOf(node, 'address').find((a) => a.getAttribute('type') === 'pci');
  return {
    address,
    managed: node.getAttribute('managed') === 'yes',
    guest: guest === undefined ? null : guestAddress(guest, `${where}, in the guest,`),
    driver: childOf(node, 'driver')?.getAttribute('name') ?? null,
    alias,
  };
}

function guestAddress(node: Element, where: string): Hostdev['guest'] {
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
function readAddress(node: Element, where: string): Numbers {
  const part = (name: keyof Numbers, max: number, fallback?: number): number => {
    const text = node.getAttribute(name);
    if (text === null && fallback !== undefined) return fallback;
    if (text === null) throw invalid(`${where} has an address without ${name}`);
    const value = numberOf(text, max);
    if (value !== undefined) return value;
    throw invalid(
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

// As strtoul with base 0, which libvirt uses (virXMLPropUInt): 0x1f, 017, 15.
function numberOf(text: string, max: number): number | undefined {
  const octal = /^0[0-7]+$/.test(text);
  if (!octal && !/^(0x[0-9a-f]+|0|[1-9][0-9]*)$/i.test(text)) return undefined;
  const value = octal ? Number.parseInt(text, 8) : Number(text);
  return value <= max ? value : undefined;
}

function childrenOf(parent: Element, name: string, namespace: string | null = null): Element[] {
  const found: Element[] = [];
  for (let node = parent.firstChild; node !== null; node = node.nextSibling) {
    if (isElement(node) && node.localName === name && (node.namespaceURI || null) === namespace) {
      found.push(node);
    }
  }
  return found;
}

function childOf(parent: Element, name: string, namespace: string | null = null): Element | null {
  return childrenOf(parent, name, namespace)[0] ?? null;
}

function textOf(parent: Element, name: string): string | null {
  return childOf(parent, name)?.textContent ?? null;
}

function isElement(node: { readonly nodeType: number }): node is Element {
  return node.nodeType === 1;
}

// Loaded when the first domain is read: it takes 12 ms (bundled), which the start of the daemon need not pay.
async function parse(xml: string): Promise<Element> {
  const { DOMParser } = await import('@xmldom/xmldom');
  let wrong = 'it is empty';
  const parser = new DOMParser({
    // Every level, warnings too: what it warns of is not well-formed (attributes without quotes, ...).
    onError(_level, message, context: { locator?: { lineNumber?: number } }) {
      const line = context.locator?.lineNumber;
      wrong = `${shown(message)}${line === undefined ? '' : ` (line ${line})`}`;
      throw new Error(wrong);
    },
  });
  try {
    const root = parser.parseFromString(xml, 'text/xml').documentElement;
    if (root !== null) return root;
  } catch (error) {
    throw invalid(`it is not well-formed: ${wrong}`, error);
  }
  throw invalid('it has no root element');
}

/** One pass over the text, before any parser sees it: an entity bomb costs nothing. */
function checkBounds(xml: string): void {
  const size = Buffer.byteLength(xml);
  if (size > maxBytes) throw invalid(`it has ${size} bytes, more than ${maxBytes}`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the ones that XML 1.0 forbids
  if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(xml)) {
    throw invalid('it contains control characters');
  }
  const seen = { depth: 0, tags: 0, attributes: 0 };
  for (let at = xml.indexOf('<'); at !== -1; at = xml.indexOf('<', at)) {
    at = skipMarkup(xml, at, seen);
    if (seen.depth > maxDepth) throw invalid(`it is nested more than ${maxDepth} levels deep`);
    if (seen.tags > maxTags) throw invalid(`it has more than ${maxTags} tags`);
    if (seen.attributes > maxAttributes) {
      throw invalid(`it has more than ${maxAttributes} attributes`);
    }
  }
  if (xml.split('xmlns', maxNamespaces + 2).length > maxNamespaces + 1) {
    throw invalid(`it declares more than ${maxNamespaces} namespaces`);
  }
}

// Counts what begins at `at` (a '<') and returns where it ends; what is not closed is the parser's to refuse.
function skipMarkup(
  xml: string,
  at: number,
  seen: { depth: number; tags: number; attributes: number },
): number {
  const after = (mark: string, from: number) => {
    const end = xml.indexOf(mark, from);
    return end === -1 ? xml.length : end + mark.length;
  };
  seen.tags += 1;
  if (xml.startsWith('<!--', at)) return after('-->', at + 4);
  if (xml.startsWith('<![CDATA[', at)) return after(']]>', at + 9);
  if (xml.startsWith('<?', at)) return after('?>', at + 2);
  if (xml.startsWith('<!', at)) {
    throw invalid('it declares a document type or entities, which libvirt never writes');
  }
  if (xml.startsWith('</', at)) {
    seen.depth -= 1;
    return after('>', at + 2);
  }
  const stops = /["'>]/g;
  stops.lastIndex = at + 1;
  for (let stop = stops.exec(xml); stop !== null; stop = stops.exec(xml)) {
    if (stop[0] === '>') {
      if (xml[stop.index - 1] !== '/') seen.depth += 1;
      return stops.lastIndex;
    }
    seen.attributes += 1;
    stops.lastIndex = after(stop[0], stops.lastIndex);
  }
  return xml.length;
}

// What is quoted from the XML in a message: short, on one line.
function shown(text: string): string {
  return printable(text.length > 120 ? `${text.slice(0, 120)}...` : text);
}

function invalid(what: string, cause?: unknown): RevivedError {
  return new RevivedError(
    'invalid-argument',
    `The domain XML cannot be used: ${what}.`,
    'Look at it with `virsh dumpxml` and correct it with `virsh edit`.',
    { cause },
  );
}
