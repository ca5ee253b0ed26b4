/** A device behind libvirt's back. */
import type { DomainFacts } from '../domain-facts.ts';
import type { Judgement, Rule } from '../finding.ts';
import { listed, quoted } from '../label.ts';

export const vfioInQemuArgs: Rule = {
  id: 'vfio-in-qemu-args',
  reads: 'qemu:commandline',
  why: 'libvirt does not know of such a device: it neither binds nor resets it, nor does it allow QEMU to open it.',
  reference: 'https://libvirt.org/kbase/qemu-passthrough-security.html',
  judge(facts) {
    return facts.domains.flatMap((domain): readonly Judgement[] => {
      const devices = vfioArgs(domain);
      if (devices.length === 0) return [];
      const shown = listed(devices.map((one) => quoted(one)));
      return [
        {
          severity: 'warning',
          subject: `domain:${domain.name}`,
          message: {
            en: `Domain ${quoted(domain.name)} passes a device in qemu:commandline (${shown}). libvirt does not know of it, so it is neither bound nor reset, its group is not opened to QEMU, the memory limit is not raised, and revived does not see it either. Write it as <hostdev mode='subsystem' type='pci' managed='yes'>.`,
            ja: `ドメイン ${quoted(domain.name)} は qemu:commandline でデバイスを渡しています(${shown})。libvirt は関知しないため、割り当てもリセットも行われず、グループへのアクセスやメモリー上限の設定も行われません。revived からも見えません。<hostdev mode='subsystem' type='pci' managed='yes'> として書いてください。`,
          },
          fix: null,
        },
      ];
    });
  },
};

/** The -device vfio-pci arguments of a domain. */
export function vfioArgs(domain: DomainFacts): readonly string[] {
  return domain.qemuArgs.filter((one) =>
    /^(?:vfio-pci(?:-nohotplug)?(?=,|$)|\{.*"vfio-pci")/.test(one),
  );
}
