/** What the rules want to know of a domain's XML. Lenient where libvirt is: what is missing is null, never a guess. */
import { childOf, childrenOf, readElement, type XmlElement } from '../domain/element.ts';
import { invalidXml, numberOf } from '../domain/xml.ts';
import { type FunctionAddress, functionAddress } from '../pci/address.ts';
import type { GuestSlot } from './finding.ts';

export interface HostdevFacts {
  readonly address: FunctionAddress;
  readonly managed: boolean;
  readonly guest: (GuestSlot & { readonly multifunction: boolean }) | null;
  readonly rom: { readonly file: string | null; readonly bar: boolean | null } | null;
}

export interface DomainFacts {
  readonly name: string;
  /** Lower case; null when it is not written. */
  readonly uuid: string | null;
  readonly autostart: boolean;
  /** libosinfo's id: `http://microsoft.com/win/11`. */
  readonly osInfo: string | null;
  readonly arch: string | null;
  readonly machine: string | null;
  /** True with a pflash loader or firmware='efi'. */
  readonly uefi: boolean;
  readonly loader: string | null;
  readonly nvram: string | null;
  readonly emulator: string | null;
  /** Bytes; null when it is not written. */
  readonly memory: number | null;
  /** memtune/hard_limit in bytes. */
  readonly hardLimit: number | null;
  readonly locked: boolean;
  /** Children of <hyperv> with their state; null without <hyperv>. */
  readonly hyperv: ReadonlyMap<string, boolean> | null;
  /** The value of an active <hyperv><vendor_id>. */
  readonly vendorId: string | null;
  readonly kvmHidden: boolean;
  /** The CPU does not tell that there is a hypervisor at all (<feature name='hypervisor' policy='disable'>). */
  readonly hypervisorHidden: boolean;
  readonly agent: boolean;
  readonly hostdevs: readonly HostdevFacts[];
  readonly qemuArgs: readonly string[];
}

const maxHostdevs = 1024;
const osInfoNamespace = 'http://libosinfo.org/xmlns/libvirt/domain/1.0';
const qemuNamespace = 'http://libvirt.org/schemas/domain/qemu/1.0';

/** Reads a domain. Throws `invalid-argument` where it is no domain, or as domain/element.ts says. */
export function readDomainFacts(xml: string, autostart: boolean): DomainFacts {
  const root = readElement(xml);
  const name = textOf(root, 'name');
  if (root.name !== 'domain' || name === null || name === '') {
    throw invalidXml('it is no domain with a name');
  }
  const devices = childOf(root, 'devices');
  const os = childOf(root, 'os');
  const type = childOf(os, 'type');
  const features = childOf(root, 'features');
  const hyperv = childOf(features, 'hyperv');
  const vendorId = childOf(hyperv, 'vendor_id');
  const memtune = childOf(root, 'memtune');
  const backing = childOf(root, 'memoryBacking');
  return {
    name,
    uuid: textOf(root, 'uuid')?.trim().toLowerCase() ?? null,
    autostart,
    osInfo: osInfoOf(root),
    arch: attributeOf(type, 'arch'),
    machine: attributeOf(type, 'machine'),
    uefi: os !== null && isUefi(os),
    loader: textOf(os, 'loader')?.trim() || null,
    nvram: textOf(os, 'nvram')?.trim() || null,
    emulator: textOf(devices, 'emulator'),
    memory: bytesOf(childOf(root, 'memory')),
    hardLimit: bytesOf(childOf(memtune, 'hard_limit')),
    locked: backing !== null && childOf(backing, 'locked') !== null,
    hyperv: hyperv && statesOf(hyperv),
    vendorId: vendorId && isOn(vendorId) ? attributeOf(vendorId, 'value') : null,
    kvmHidden: isHidden(features),
    hypervisorHidden: childrenOf(childOf(root, 'cpu'), 'feature').some(
      (one) =>
        attributeOf(one, 'name') === 'hypervisor' && attributeOf(one, 'policy') === 'disable',
    ),
    agent: devices !== null && hasAgent(devices),
    hostdevs: devices === null ? [] : hostdevsOf(devices),
    qemuArgs: qemuArgsOf(root),
  };
}

// UEFI by firmware='efi' (libvirt chooses the file) or by a loader of type pflash; `rom` loaders are SeaBIOS and the like.
function isUefi(os: XmlElement): boolean {
  const loader = childOf(os, 'loader');
  return attributeOf(os, 'firmware') === 'efi' || attributeOf(loader, 'type') === 'pflash';
}

function isHidden(features: XmlElement | null): boolean {
  const kvm = childOf(features, 'kvm');
  const hidden = childOf(kvm, 'hidden');
  return attributeOf(hidden, 'state') === 'on';
}

function isOn(node: XmlElement): boolean {
  return attributeOf(node, 'state') !== 'off';
}

function statesOf(hyperv: XmlElement): ReadonlyMap<string, boolean> {
  const states = new Map<string, boolean>();
  for (const node of hyperv.children) states.set(node.name, isOn(node));
  return states;
}

function osInfoOf(root: XmlElement): string | null {
  const metadata = childOf(root, 'metadata');
  const libosinfo = childOf(metadata, 'libosinfo', osInfoNamespace);
  const os = childOf(libosinfo, 'os', osInfoNamespace);
  return attributeOf(os, 'id');
}

function hasAgent(devices: XmlElement): boolean {
  return childrenOf(devices, 'channel').some(
    (channel) => attributeOf(childOf(channel, 'target'), 'name') === 'org.qemu.guest_agent.0',
  );
}

function qemuArgsOf(root: XmlElement): readonly string[] {
  const line = childOf(root, 'commandline', qemuNamespace);
  if (line === null) return [];
  return childrenOf(line, 'arg', qemuNamespace).map((arg) => attributeOf(arg, 'value') ?? '');
}

/** Elements of hostdevs below <devices>, and of interfaces of type hostdev, which are PCI devices too. At most 1024. */
export function hostdevElements(devices: XmlElement): readonly XmlElement[] {
  const nodes = [
    ...childrenOf(devices, 'hostdev').filter((node) => attributeOf(node, 'type') === 'pci'),
    ...childrenOf(devices, 'interface').filter((node) => attributeOf(node, 'type') === 'hostdev'),
  ];
  return nodes.slice(0, maxHostdevs);
}

function hostdevsOf(devices: XmlElement): readonly HostdevFacts[] {
  return hostdevElements(devices).flatMap((node) => {
    const source = childOf(node, 'source');
    const host = childOf(source, 'address');
    const at = host && numbersOf(host);
    const address = at ? functionAddress(at.domain, at.bus, at.slot, at.function) : undefined;
    return address === undefined ? [] : [{ address, ...hostdevOf(node) }];
  });
}

function hostdevOf(node: XmlElement): Omit<HostdevFacts, 'address'> {
  const place = childrenOf(node, 'address').find((one) => attributeOf(one, 'type') === 'pci');
  const guest = place && numbersOf(place);
  const rom = childOf(node, 'rom');
  const bar = attributeOf(rom, 'bar');
  return {
    managed: attributeOf(node, 'managed') === 'yes',
    guest: guest
      ? {
          ...{ bus: guest.bus, slot: guest.slot, function: guest.function },
          multifunction: attributeOf(place, 'multifunction') === 'on',
        }
      : null,
    rom: rom && { file: attributeOf(rom, 'file'), bar: bar === null ? null : bar !== 'off' },
  };
}

/** The four numbers of an <address>, as libvirt reads them; undefined where one is none or out of range. */
export function numbersOf(node: XmlElement) {
  const part = (name: string, max: number) => numberOf(attributeOf(node, name) ?? '0', max);
  const domain = part('domain', 0xffffffff);
  const bus = part('bus', 0xff);
  const slot = part('slot', 0x1f);
  const fn = part('function', 7);
  return domain === undefined || bus === undefined || slot === undefined || fn === undefined
    ? undefined
    : { domain, bus, slot, function: fn };
}

// Units as libvirt's virScaleInteger takes them; KiB is the default of <memory> and <hard_limit>.
function bytesOf(node: XmlElement | null): number | null {
  const value = Number(node?.text.trim() || Number.NaN);
  const unit = attributeOf(node, 'unit') ?? 'KiB';
  if (!Number.isFinite(value) || value < 0) return null;
  if (unit === 'b' || unit === 'bytes') return value;
  const power = ['K', 'M', 'G', 'T'].indexOf(unit.charAt(0).toUpperCase()) + 1;
  return power === 0 ? null : value * (/^.B$/.test(unit) ? 1000 : 1024) ** power;
}

function attributeOf(node: XmlElement | null | undefined, name: string): string | null {
  return node?.attributes.get(name) ?? null;
}

function textOf(parent: XmlElement | null, name: string): string | null {
  return childOf(parent, name)?.text ?? null;
}
