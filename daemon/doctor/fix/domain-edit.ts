/**
 * Applies the edits of a fix to a domain's XML, as text: what is not meant stays byte for byte. An edit that is there already
 * changes nothing. Pure.
 */
import { childOf, childrenOf, readElement, type XmlElement } from '../../domain/element.ts';
import {
  attributesSet,
  childAdded,
  elementRemoved,
  gapBefore,
  type Splice,
  spliced,
} from '../../domain/patch.ts';
import { RevivedError } from '../../errors.ts';
import { type FunctionAddress, functionAddress, functionNumber } from '../../pci/address.ts';
import { hostdevElements, numbersOf, readDomainFacts } from '../domain-facts.ts';
import type { DomainEdit, GuestSlot } from '../finding.ts';

/** A card has eight functions and an edit for each; every edit reads the XML anew. */
const maxEdits = 64;

/**
 * The XML with all edits done. Throws `invalid-argument` where the XML cannot be used, `failed` where an edit does not fit it:
 * the hostdev that it names is not there, or the result would be another domain.
 */
export function editDomain(xml: string, edits: readonly DomainEdit[]): string {
  if (edits.length > maxEdits) {
    throw new RevivedError(
      'limit-exceeded',
      `The fix has ${edits.length} changes to one domain, more than ${maxEdits}.`,
      'Make them with `virsh edit`.',
    );
  }
  const before = readDomainFacts(xml, false);
  const edited = edits.reduce((text, edit) => apply(text, edit), xml);
  const after = readDomainFacts(edited, false);
  if (after.name !== before.name || after.uuid !== before.uuid) {
    throw new RevivedError('failed', 'The fix would have changed the name or the uuid.');
  }
  return edited;
}

function apply(xml: string, edit: DomainEdit): string {
  const root = readElement(xml);
  switch (edit.op) {
    case 'set':
      return spliced(xml, setPath(xml, root, edit.path, edit.attributes));
    case 'add-hostdev':
      return addHostdev(xml, root, edit);
    case 'place': {
      const node = hostdevAt(root, edit.hostdev);
      return spliced(xml, placed(xml, node, edit.guest, edit.multifunction));
    }
    case 'remove-rom': {
      const roms = childrenOf(hostdevAt(root, edit.hostdev), 'rom');
      return spliced(
        xml,
        roms.map((rom) => elementRemoved(xml, rom)),
      );
    }
    case 'remove-hostdev': {
      const found = hostdevsAt(root, edit.hostdev);
      return spliced(
        xml,
        found.map((node) => elementRemoved(xml, node)),
      );
    }
    case 'managed': {
      const node = hostdevAt(root, edit.hostdev);
      return spliced(xml, attributesSet(xml, node, { managed: 'yes' }));
    }
  }
}

// The deepest element of the path that is there gets what lacks below it, or the attributes.
function setPath(
  xml: string,
  root: XmlElement,
  path: readonly string[],
  attributes: Readonly<Record<string, string>>,
): readonly Splice[] {
  let at = root;
  for (const [index, name] of path.entries()) {
    const next = childOf(at, name);
    if (next === null) return childAdded(xml, at, nested(path.slice(index), attributes));
    at = next;
  }
  return attributesSet(xml, at, attributes);
}

function nested(path: readonly string[], attributes: Readonly<Record<string, string>>): string {
  const [name = '', ...rest] = path;
  if (rest.length === 0) {
    return `<${name}${Object.entries(attributes)
      .map(([key, value]) => ` ${key}='${value}'`)
      .join('')}/>`;
  }
  const inside = nested(rest, attributes).replaceAll('\n', '\n  ');
  return `<${name}>\n  ${inside}\n</${name}>`;
}

/** A copy without what only one device may have: its alias, its place in the boot order, its ROM, its place in the guest. */
function addHostdev(
  xml: string,
  root: XmlElement,
  edit: Extract<DomainEdit, { op: 'add-hostdev' }>,
): string {
  if (hostdevsAt(root, edit.hostdev).length > 0) return xml;
  const model = hostdevAt(root, edit.like);
  if (model.name !== 'hostdev') throw misfit(edit.like, 'is no <hostdev> that could be copied');
  const gap = gapBefore(xml, model);
  const copied = spliced(xml, [
    { from: model.end, to: model.end, text: gap + xml.slice(model.start, model.end) },
  ]);
  const copy = elementAt(readElement(copied), model.end + gap.length);
  const host = copy === null ? null : childOf(childOf(copy, 'source'), 'address');
  if (copy === null || host === null)
    throw misfit(edit.like, 'has no address that could be copied');
  const single = ['alias', 'boot', 'rom', 'address'].flatMap((name) => childrenOf(copy, name));
  const own = spliced(copied, [
    ...attributesSet(copied, host, hostAddress(edit.hostdev)),
    ...single.map((node) => elementRemoved(copied, node)),
  ]);
  if (edit.guest === null) return own;
  const made = elementAt(readElement(own), model.end + gap.length);
  return made === null ? own : spliced(own, placed(own, made, edit.guest, false));
}

function hostAddress(address: FunctionAddress): Readonly<Record<string, string>> {
  const [domain = '', bus = '', slot = ''] = address.split(/[:.]/);
  return {
    domain: `0x${domain}`,
    bus: `0x${bus}`,
    slot: `0x${slot}`,
    function: `0x${functionNumber(address)}`,
  };
}

// Numbers that are right stay as they are written.
function placed(
  xml: string,
  node: XmlElement,
  guest: GuestSlot,
  multifunction: boolean,
): readonly Splice[] {
  const hex = (value: number, width: number) => `0x${value.toString(16).padStart(width, '0')}`;
  const wanted = {
    bus: hex(guest.bus, 2),
    slot: hex(guest.slot, 2),
    function: hex(guest.function, 1),
  };
  const place = childrenOf(node, 'address').find((one) => one.attributes.get('type') === 'pci');
  if (place === undefined) {
    const more = multifunction ? " multifunction='on'" : '';
    const { bus, slot, function: fn } = wanted;
    return childAdded(
      xml,
      node,
      `<address type='pci' domain='0x0000' bus='${bus}' slot='${slot}' function='${fn}'${more}/>`,
    );
  }
  const now = numbersOf(place);
  const keep = place.attributes.get('multifunction') === (multifunction ? 'on' : 'off');
  return attributesSet(xml, place, {
    ...(now?.bus === guest.bus ? {} : { bus: wanted.bus }),
    ...(now?.slot === guest.slot ? {} : { slot: wanted.slot }),
    ...(now?.function === guest.function ? {} : { function: wanted.function }),
    ...(keep ? {} : { multifunction: multifunction ? 'on' : null }),
  });
}

function hostdevsAt(root: XmlElement, address: FunctionAddress): readonly XmlElement[] {
  const devices = childOf(root, 'devices');
  return (devices === null ? [] : hostdevElements(devices)).filter((node) => {
    const host = childOf(childOf(node, 'source'), 'address');
    const at = host === null ? undefined : numbersOf(host);
    return at !== undefined && functionAddress(at.domain, at.bus, at.slot, at.function) === address;
  });
}

function hostdevAt(root: XmlElement, address: FunctionAddress): XmlElement {
  const [node] = hostdevsAt(root, address);
  if (node === undefined) throw misfit(address, 'is not in it any more');
  return node;
}

function elementAt(root: XmlElement, start: number): XmlElement | null {
  if (root.start === start) return root;
  const around = root.children.find((one) => one.start <= start && start < one.end);
  return around === undefined ? null : elementAt(around, start);
}

function misfit(address: FunctionAddress, what: string): RevivedError {
  return new RevivedError(
    'failed',
    `The fix does not fit the domain: the device ${address} ${what}.`,
    'Look at it with `virsh dumpxml --inactive`, then ask doctor again.',
  );
}
