/** Devices that the host cannot do without. */
import type { FunctionAddress } from '../../pci/address.ts';
import type { PciFunction } from '../../pci/device.ts';
import type { Judgement, Rule, Severity } from '../finding.ts';
import type { HostFacts, Passed } from '../host-facts.ts';
import { quoted } from '../label.ts';
import type { Message } from '../message.ts';
import { removeHostdev } from '../removal.ts';
import { isWhole } from '../topology.ts';

interface Critical {
  readonly severity: Severity;
  readonly what: Message;
}

const bridge: Message = {
  en: 'a bridge that other devices hang on, and libvirt refuses to pass bridges',
  ja: '他のデバイスがつながるブリッジ(libvirt は受け渡しを拒否します)',
};
const isa: Message = {
  en: 'the ISA/LPC bridge of the chipset, which the clock, the fan control, the TPM and the firmware chip hang on',
  ja: '時計・ファン制御・TPM・ファームウェアがつながるチップセットの ISA/LPC ブリッジ',
};
const smbus: Message = {
  en: 'the SMBus controller of the chipset, by which the host reads sensors and memory modules',
  ja: 'ホストがセンサーやメモリーの情報を読むためのチップセットの SMBus コントローラー',
};
const spi: Message = {
  en: 'the controller of the chip with the firmware, which a guest could overwrite',
  ja: 'ファームウェアを収めたチップのコントローラー(ゲストが上書きできます)',
};
const disk: Message = {
  en: 'the controller of the disk that the host runs from',
  ja: 'ホストが起動しているディスクのコントローラー',
};
const mountedDisk: Message = {
  en: 'the controller of a disk that the host has mounted or swaps to just now; what is on it is torn away, so unmount it first',
  ja: 'ホストが現在マウントまたはスワップに使っているディスクのコントローラー(中のデータが突然切り離されるため、先にアンマウントが必要)',
};
const maybeDisk: Message = {
  en: 'a disk controller, perhaps that of the disk that the host runs from',
  ja: 'ディスクコントローラーで、ホストが起動しているディスクのものかもしれないデバイス',
};
const onlyDisk: Message = {
  en: "the host's only disk controller",
  ja: 'ホストの唯一のディスクコントローラー',
};

export const hostCriticalDevice: Rule = {
  id: 'host-critical-device',
  reads: 'class of the passed functions, their place, the mounts of a live host',
  why: 'When one of these goes to a guest the host freezes, loses its disk or its sensors, or can be overwritten.',
  reference:
    'libvirt src/hypervisor/virhostdev.c (non-endpoint); Intel PCH datasheets (bus 0, device 31)',
  judge(facts) {
    const seen = new Set<FunctionAddress>();
    const onlyStorage = isOnlyStorage(facts);
    return facts.passed.flatMap((passed): readonly Judgement[] => {
      const { address } = passed.hostdev;
      const critical = seen.has(address) ? undefined : criticalOf(facts, passed, onlyStorage);
      if (critical === undefined) return [];
      seen.add(address);
      const name = quoted(passed.domain.name);
      return [
        {
          severity: critical.severity,
          subject: address,
          message: {
            en: `Domain ${name} passes ${address}: ${critical.what.en}. The host can freeze or lose data when the guest takes or resets it. Remove it from the domain; if it is there only because of its IOMMU group, the device that you want needs another slot or stays with the host.`,
            ja: `ドメイン ${name} は ${address} を渡します。これは${critical.what.ja}です。ゲストが使用またはリセットするとホストが停止したりデータを失ったりします。ドメインから外してください。IOMMU グループのためだけに含めているなら、目的のデバイスを別のスロットに移すか、ホストに残してください。`,
          },
          fix: removeHostdev(passed.domain.name, address),
        },
      ];
    });
  },
};

function criticalOf(
  facts: HostFacts,
  { hostdev, fn }: Passed,
  onlyStorage: boolean,
): Critical | undefined {
  if (facts.disks.system.includes(hostdev.address)) return { severity: 'error', what: disk };
  if (facts.disks.mounted.includes(hostdev.address)) {
    return { severity: 'warning', what: mountedDisk };
  }
  if (fn?.classCode === undefined) return byPlace(facts, hostdev.address);
  return byClass(facts, fn, onlyStorage);
}

function byClass(facts: HostFacts, fn: PciFunction, onlyStorage: boolean): Critical | undefined {
  const kind = fn.classCode?.slice(0, 4) ?? '';
  const onBoard = /^0+:00:/.test(fn.address);
  if (kind === '0600' || kind === '0604') return { severity: 'error', what: bridge };
  if (kind === '0601') return { severity: 'error', what: isa };
  if (kind === '0c05') return { severity: 'warning', what: smbus };
  if (kind === '0c80' && onBoard && /:1f\.5$/.test(fn.address)) {
    return { severity: 'warning', what: spi };
  }
  if (!kind.startsWith('01')) return undefined;
  if (onlyStorage) return { severity: 'warning', what: onlyDisk };
  // A live host knows its disks, and it is none of them.
  return facts.disks.system.length === 0 ? { severity: 'note', what: maybeDisk } : undefined;
}

// No listing of the host: device 31 of bus 0 is Intel's chipset since 1999, and no other maker uses it.
function byPlace(facts: HostFacts, address: FunctionAddress): Critical | undefined {
  if (facts.cpu === 'amd') {
    if (address === '0000:00:14.3') return { severity: 'error', what: isa };
    return address === '0000:00:14.0' ? { severity: 'warning', what: smbus } : undefined;
  }
  if (address === '0000:00:1f.0') return { severity: 'error', what: isa };
  return address === '0000:00:00.0' ? { severity: 'error', what: bridge } : undefined;
}

// Where a live host's disks are known, or where a listing may leave some out, nothing follows from what is not there.
function isOnlyStorage(facts: HostFacts): boolean {
  if (facts.disks.system.length > 0 || !isWhole(facts)) return false;
  const passed = new Set(facts.passed.map(({ hostdev }) => hostdev.address));
  const all = Array.from(facts.inventory.functions.values()).filter(
    (fn) => fn.classCode?.startsWith('01') === true,
  );
  return all.every((fn) => passed.has(fn.address));
}
