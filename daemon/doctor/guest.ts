/** What a domain's XML gives away about its guest. Pure. */
import { isDisplay } from '../pci/device.ts';
import { type Family, familyOf } from '../pci/quirks.ts';
import type { DomainFacts } from './domain-facts.ts';
import type { HostFacts } from './host-facts.ts';

/** `maybe-windows`: Hyper-V features are on and nothing says which system it is. */
export type GuestOs = 'windows' | 'maybe-windows' | 'macos' | 'other' | 'unknown';

/** The guest's system. macOS guests are often declared as something else: what QEMU is told counts first. */
export function guestOs(domain: DomainFacts): GuestOs {
  const args = domain.qemuArgs.join(' ');
  if (/isa-applesmc|\+vmware-cpuid-freq|\bvmware-cpuid-freq=on|\bosk=|Penryn/.test(args))
    return 'macos';
  const id = domain.osInfo ?? '';
  if (/microsoft\.com/.test(id)) return 'windows';
  if (/apple\.com/.test(id)) return 'macos';
  if (id !== '' && !id.includes('unknown')) return 'other';
  return domain.hyperv !== null && domain.hyperv.size > 0 ? 'maybe-windows' : 'unknown';
}

/** The argument of `-cpu` in qemu:commandline: null without one, empty where it is there without its value. */
export function cpuArgument(domain: DomainFacts): string | null {
  const at = domain.qemuArgs.lastIndexOf('-cpu');
  return at === -1 ? null : (domain.qemuArgs[at + 1] ?? '');
}

/** Whether KVM's signature is hidden, or that there is a hypervisor; QEMU takes the last -cpu, so qemu:commandline counts before the XML. */
export function hidesKvm(domain: DomainFacts): boolean {
  const cpu = cpuArgument(domain);
  return cpu
    ? /\bkvm=off\b|-hypervisor\b|\bhypervisor=off\b/.test(cpu)
    : domain.kvmHidden || domain.hypervisorHidden;
}

/** Whether Hyper-V's signature is replaced, or nobody looks for it. */
export function hasVendorId(domain: DomainFacts): boolean {
  const cpu = cpuArgument(domain);
  return cpu
    ? /\bhv[-_]vendor[-_]id=|-hypervisor\b|\bhypervisor=off\b/.test(cpu)
    : domain.vendorId !== null || domain.hypervisorHidden;
}

export interface PassedGpu {
  readonly vendor: 'amd' | 'nvidia' | 'intel' | 'other';
  readonly family: Family | undefined;
}

const vendors = new Map<string | undefined, PassedGpu['vendor']>([
  ['1002', 'amd'],
  ['10de', 'nvidia'],
  ['8086', 'intel'],
]);

/**
 * The graphics cards that a domain passes; undefined where the host's devices are unknown and the domain passes function 0
 * of a plug-in slot, as graphics cards have it.
 */
export function passedGpus(
  facts: HostFacts,
  domain: DomainFacts,
): readonly PassedGpu[] | undefined {
  const functions = domain.hostdevs.map(({ address }) => facts.inventory.functions.get(address));
  const known = functions.flatMap((fn) =>
    fn !== undefined && isDisplay(fn)
      ? [{ vendor: vendors.get(fn.vendor) ?? 'other', family: familyOf(fn) } as const]
      : [],
  );
  const complete = functions.every((fn) => fn?.classCode !== undefined);
  return known.length > 0 || complete || !looksLikeGpu(domain) ? known : undefined;
}

// A function 0 in a slot: a graphics card may have lost its sound on the way into the domain.
function looksLikeGpu(domain: DomainFacts): boolean {
  return domain.hostdevs.some(({ address }) => address.endsWith('.0') && !/^0+:00:/.test(address));
}
