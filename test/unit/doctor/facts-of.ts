/** Facts for pure tests of rules, from short descriptions: functions of a host, domains as real XML. */

import type { DeviceFacts } from '../../../daemon/doctor/device-facts.ts';
import { readDomainFacts } from '../../../daemon/doctor/domain-facts.ts';
import type { HostFacts } from '../../../daemon/doctor/host-facts.ts';
import type { FunctionAddress } from '../../../daemon/pci/address.ts';
import { type FunctionText, fn, inventoryOf } from '../inventory-of.ts';

export interface DomainText {
  readonly name?: string;
  readonly os?: string;
  /** Between <features> and </features>. */
  readonly features?: string;
  /** `0b:00.0`, or with more: `0b:00.0 managed=no guest=5:0.1 rom=/x.rom bar=off multi`. */
  readonly hostdevs?: readonly string[];
  readonly args?: readonly string[];
  /** Inside <os>. */
  readonly firmware?: string;
  /** Anywhere below <domain>. */
  readonly more?: string;
  readonly agent?: boolean;
  readonly autostart?: boolean;
}

export interface FactsText extends Partial<Omit<HostFacts, 'inventory' | 'domains' | 'devices'>> {
  readonly functions?: readonly FunctionText[];
  readonly iommu?: boolean;
  readonly domains?: readonly DomainText[];
  readonly devices?: Readonly<Record<string, Partial<DeviceFacts>>>;
}

const uefi = "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>";
const nothing: DeviceFacts = {
  bootVga: undefined,
  resetMethods: undefined,
  d3coldAllowed: undefined,
  link: undefined,
};

/** A domain's XML. */
export function xmlOf(text: DomainText): string {
  const args = (text.args ?? []).map((value) => `<qemu:arg value='${value}'/>`).join('');
  const info = `<metadata><o:libosinfo xmlns:o='http://libosinfo.org/xmlns/libvirt/domain/1.0'><o:os id='${text.os ?? ''}'/></o:libosinfo></metadata>`;
  const agent =
    "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>";
  return `<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>${text.name ?? 'vm'}</name>
    ${info}<memory unit='GiB'>8</memory><os><type arch='x86_64'>hvm</type>${text.firmware ?? uefi}</os>
    <features><acpi/>${text.features ?? ''}</features>${text.more ?? ''}
    <devices>${(text.hostdevs ?? []).map(hostdevXml).join('')}${text.agent === false ? '' : agent}</devices>
    <qemu:commandline>${args}</qemu:commandline></domain>`;
}

function hostdevXml(text: string): string {
  const [at = '', ...words] = text.split(' ');
  const word = (name: string) =>
    words.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1);
  const rom = word('rom');
  const bar = word('bar');
  const guest = word('guest');
  const inside = [
    rom === undefined && bar === undefined
      ? ''
      : `<rom ${bar === undefined ? '' : `bar='${bar}'`} ${rom === undefined ? '' : `file='${rom}'`}/>`,
    guest === undefined
      ? ''
      : `<address type='pci' ${address(guest)} ${words.includes('multi') ? "multifunction='on'" : ''}/>`,
  ];
  return `<hostdev mode='subsystem' type='pci' managed='${word('managed') ?? 'yes'}'><source><address ${address(at)}/></source>${inside.join('')}</hostdev>`;
}

function address(text: string): string {
  const [bus = '', slot = '', number = ''] = text.split(/[:.]/);
  return `domain='0x0000' bus='0x${bus}' slot='0x${slot}' function='0x${number}'`;
}

/** Facts in which everything that is not said is unknown. */
export function factsOf(text: FactsText): HostFacts {
  const { functions = [], iommu = true, domains: texts = [], devices = {}, ...rest } = text;
  const inventory = inventoryOf(functions, iommu);
  const domains = texts.map((one) => readDomainFacts(xmlOf(one), one.autostart === true));
  const passed = domains.flatMap((domain) =>
    domain.hostdevs.map((hostdev) => ({
      ...{ domain, hostdev },
      fn: inventory.functions.get(hostdev.address),
    })),
  );
  return {
    live: false,
    inventory,
    devices: new Map<FunctionAddress, DeviceFacts>(
      Object.entries(devices).map(([at, one]) => [fn(at), { ...nothing, ...one }]),
    ),
    driversKnown: functions.some(({ driver }) => driver !== undefined),
    cmdline: undefined,
    kernel: undefined,
    cpu: undefined,
    vendorReset: undefined,
    vendorResetInstalled: undefined,
    idleD3Disabled: undefined,
    framebuffers: [],
    disks: { system: [], mounted: [] },
    domains,
    passed,
    qemu: undefined,
    files: new Map(),
    hooks: undefined,
    log: [],
    unread: [],
    badDomains: [],
    ...rest,
  };
}
