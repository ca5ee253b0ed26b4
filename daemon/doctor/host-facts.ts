/** Everything that the rules are judged by, read once from a host or a captured tree. Undefined always means: unknown. */
import { asRevivedError } from '../errors.ts';
import type { FunctionAddress } from '../pci/address.ts';
import { isDisplay, type PciFunction } from '../pci/device.ts';
import { type Inventory, readInventory } from '../pci/inventory.ts';
import { printable } from '../printable.ts';
import { present, readAttribute } from '../sysfs/read.ts';
import type { HostFiles, Unread } from './captured.ts';
import { completed, type DeviceFacts, isAwake, readDeviceFacts } from './device-facts.ts';
import { type DomainFacts, type HostdevFacts, readDomainFacts } from './domain-facts.ts';
import { type HookFacts, readHookFacts } from './hook-facts.ts';
import { type LiveFacts, readCapturedLive } from './live-facts.ts';
import { answeringPaths } from './mounts.ts';
import { type FileFacts, fileFacts, type QemuUser, readQemuUser } from './qemu-user.ts';
import { type DisksInUse, readDisksInUse } from './system-disks.ts';

/** A function that a domain passes; `fn` undefined where the host does not have it. */
export interface Passed {
  readonly domain: DomainFacts;
  readonly hostdev: HostdevFacts;
  readonly fn: PciFunction | undefined;
}

export interface HostFacts {
  /** Of the host that we run on, or of a bundle of one: where a device hangs and what drives it is known. */
  readonly live: boolean;
  readonly inventory: Inventory;
  /** Of displays and of what a domain passes, with the bridges above them. */
  readonly devices: ReadonlyMap<FunctionAddress, DeviceFacts>;
  /** False where no function shows a driver: then a missing driver is unknown, not "none". */
  readonly driversKnown: boolean;
  /** Words of the kernel command line. */
  readonly cmdline: readonly string[] | undefined;
  /** `6.1.0-18-amd64`. */
  readonly kernel: string | undefined;
  readonly cpu: 'amd' | 'intel' | undefined;
  /** Whether the module vendor-reset is loaded. */
  readonly vendorReset: boolean | undefined;
  /** Whether it is there to be loaded on the kernel that runs (modules.dep). */
  readonly vendorResetInstalled: boolean | undefined;
  /** vfio-pci's disable_idle_d3. */
  readonly idleD3Disabled: boolean | undefined;
  /** Who holds memory of a function for the boot screen: `efifb`, `simplefb`, ... (proc/iomem). */
  readonly framebuffers: readonly { readonly at: FunctionAddress; readonly holder: string }[];
  readonly disks: DisksInUse;
  readonly domains: readonly DomainFacts[];
  readonly passed: readonly Passed[];
  readonly qemu: QemuUser | undefined;
  /** Of every ROM and firmware file that a domain names. */
  readonly files: ReadonlyMap<string, FileFacts>;
  readonly hooks: HookFacts | undefined;
  /** Lines of the kernel log that some rule asks for; at most `maxLogLines`, the last ones. */
  readonly log: readonly string[];
  readonly unread: readonly Unread[];
  /** Domain files that are no usable XML, and why. */
  readonly badDomains: readonly { readonly file: string; readonly why: string }[];
}

const maxDomains = 4096;
const maxXmlBytes = 8 * 1024 * 1024;
const maxLogLines = 500;
const qemuFolder = '/etc/libvirt/qemu';

/** Reads the host behind `files`. Never throws: what cannot be read is in `unread` and `badDomains`. */
export function readHostFacts(files: HostFiles): HostFacts {
  const plain = readInventory(files.path('/sys'));
  const inventory = files.live ? plain : completed(files, plain);
  const { domains, badDomains } = readDomains(files);
  const displays = Array.from(inventory.functions.values()).filter(isDisplay);
  const captured = files.live ? undefined : readCapturedLive(files);
  return {
    ...readFacts(files, inventory, domains, displays, captured),
    hooks: readHookFacts(files, captured?.hookLate),
    log: logOf(files),
    unread: files.unread,
    badDomains,
  };
}

/**
 * Of a live host what matters for the start of one domain: its XML as the hook got it, its functions, an inventory that was
 * just read. Neither log, nor what could not be read, nor files that the daemon does not see or that could make it wait, nor
 * links, whose state is in registers (sysfs/read.ts). Throws `invalid-argument` where the XML is no domain.
 */
export function readStartFacts(files: HostFiles, inventory: Inventory, xml: string): HostFacts {
  const domains = [readDomainFacts(xml, false)];
  const nothing = { log: [], unread: [], badDomains: [] };
  return {
    ...readFacts(files, inventory, domains, [], undefined, answeringPaths(files), () => false),
    hooks: readHookFacts(files),
    ...nothing,
  };
}

/**
 * `displays`: of those the attributes are read whether a domain passes them or not. `isAsked`: which files are looked at;
 * `hasLink`: of which displays the links.
 */
function readFacts(
  files: HostFiles,
  inventory: Inventory,
  domains: readonly DomainFacts[],
  displays: readonly PciFunction[],
  captured: LiveFacts | undefined,
  isAsked: (path: string) => boolean = () => true,
  hasLink = (fn: PciFunction): boolean => !files.live || isAwake(files.path('/sys'), fn),
): Omit<HostFacts, 'hooks' | 'log' | 'unread' | 'badDomains'> {
  const sys = files.path('/sys');
  const passed = domains.flatMap((domain) =>
    domain.hostdevs.map((hostdev) => ({
      domain,
      hostdev,
      fn: inventory.functions.get(hostdev.address),
    })),
  );
  const qemu = readQemuUser(files);
  const live = files.live || captured !== undefined;
  const modules = present(`${sys}/module`);
  const idle = readAttribute(`${sys}/module/vfio_pci/parameters/disable_idle_d3`);
  return {
    live,
    inventory,
    devices: readDevices(sys, displays, passed, hasLink),
    driversKnown: live || Array.from(inventory.functions.values()).some((fn) => fn.driver),
    cmdline: files
      .text('/proc/cmdline', 65536)
      ?.split(/\s+/)
      .filter((word) => word !== '')
      .map(printable), // findings quote it
    kernel: kernelOf(files),
    cpu: cpuOf(files, inventory),
    vendorReset: modules ? present(`${sys}/module/vendor_reset`) : undefined,
    vendorResetInstalled: installed(files, 'vendor-reset'),
    idleD3Disabled: idle === undefined ? undefined : idle === 'Y',
    framebuffers: framebuffersIn(files.text('/proc/iomem', 1024 * 1024) ?? ''),
    disks: captured?.disks ?? readDisksInUse(files),
    domains,
    passed,
    qemu,
    files: captured?.files ?? filesOf(files, qemu, domains, isAsked),
  };
}

function readDevices(
  sys: string,
  displays: readonly PciFunction[],
  passed: readonly Passed[],
  hasLink: (fn: PciFunction) => boolean,
): HostFacts['devices'] {
  // Only displays and the bridges above them are asked for their links.
  const lent = passed.flatMap(({ fn }) => fn ?? []);
  const asked = [...displays, ...lent.filter(isDisplay)];
  const shown = new Set(asked.flatMap((fn) => [fn.address, ...fn.ports]));
  const linked = new Set(asked.filter(hasLink).flatMap((fn) => [fn.address, ...fn.ports]));
  return new Map(
    Array.from(new Set([...shown, ...lent.map((fn) => fn.address)]), (address) => {
      const isWanted = { asDisplay: shown.has(address), links: linked.has(address) };
      return [address, readDeviceFacts(sys, address, isWanted)];
    }),
  );
}

// /etc/libvirt/qemu/NAME.xml, and the links of those that start with the host.
function readDomains(files: HostFiles): Pick<HostFacts, 'domains' | 'badDomains'> {
  const domains: DomainFacts[] = [];
  const badDomains: { file: string; why: string }[] = [];
  const autostart = new Set(files.names(`${qemuFolder}/autostart`) ?? []);
  const names = (files.names(qemuFolder) ?? []).filter((name) => name.endsWith('.xml'));
  for (const name of names.slice(0, maxDomains)) {
    const xml = files.text(`${qemuFolder}/${name}`, maxXmlBytes);
    if (xml === undefined) continue;
    try {
      domains.push(readDomainFacts(xml, autostart.has(name)));
    } catch (error) {
      badDomains.push({ file: `${qemuFolder}/${name}`, why: asRevivedError(error).message });
    }
  }
  return { domains, badDomains };
}

function filesOf(
  files: HostFiles,
  qemu: QemuUser | undefined,
  domains: readonly DomainFacts[],
  isAsked: (path: string) => boolean,
): HostFacts['files'] {
  const paths = domains.flatMap((domain) => [
    domain.loader,
    ...domain.hostdevs.map(({ rom }) => rom?.file ?? null),
  ]);
  const named = Array.from(new Set(paths.filter((path) => path !== null))).filter(isAsked);
  return new Map(named.map((path) => [path, fileFacts(files, qemu, path)]));
}

// depmod(8) lists all modules of a kernel there, those of DKMS as well; compressed ones end in .xz, .gz or .zst.
function installed(files: HostFiles, module: string): boolean | undefined {
  const release = kernelOf(files) ?? '';
  const list = /^[\w.+~-]+$/.test(release)
    ? files.text(`/lib/modules/${release}/modules.dep`, 16 * 1024 * 1024)
    : undefined;
  return list === undefined ? undefined : new RegExp(`/${module}\\.ko[.:]`).test(list);
}

function kernelOf(files: HostFiles): string | undefined {
  return /^Linux version (\S+)/.exec(files.text('/proc/version', 4096) ?? '')?.[1];
}

// The CPU, or the maker of the host bridge, which is the same on every x86 with an IOMMU.
function cpuOf(files: HostFiles, inventory: Inventory): HostFacts['cpu'] {
  const text = files.head('/proc/cpuinfo', 65_536) ?? '';
  const maker = /^vendor_id\s*:\s*(\S+)/m.exec(text)?.[1];
  if (maker === 'AuthenticAMD' || maker === 'HygonGenuine') return 'amd';
  if (maker === 'GenuineIntel') return 'intel';
  const bridge = Array.from(inventory.functions.values()).find((fn) =>
    fn.classCode?.startsWith('0600'),
  );
  // 1002: the chipsets before Zen.
  if (bridge?.vendor === '1022' || bridge?.vendor === '1002') return 'amd';
  return bridge?.vendor === '8086' ? 'intel' : undefined;
}

// "  d0000000-d08fffff : efifb" below "d0000000-dfffffff : 0000:0b:00.0"; names are there for every reader.
function framebuffersIn(iomem: string): HostFacts['framebuffers'] {
  const found: { at: FunctionAddress; holder: string }[] = [];
  let at: FunctionAddress | undefined;
  for (const line of iomem.split('\n')) {
    const name = line.split(' : ')[1]?.trim() ?? '';
    if (/^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/.test(name)) at = name as FunctionAddress;
    else if (/^(efifb|simplefb|vesafb|simpledrm|BOOTFB)$/.test(name) && at !== undefined) {
      found.push({ at, holder: name });
    } else if (!line.startsWith(' ')) at = undefined;
  }
  return found;
}

function logOf(files: HostFiles): readonly string[] {
  const text = files.kernelLog() ?? '';
  const asked = /^.*(?:apparmor="DENIED"|RLIMIT_MEMLOCK|can't reserve|VFIO_MAP_DMA).*$/gm;
  return (text.match(asked) ?? []).slice(-maxLogLines).map((line) => line.slice(0, 1000));
}
