/** managed='no' leaves the binding to somebody, and nobody has done it. */
import type { Judgement, Rule } from '../finding.ts';
import { label, quoted } from '../label.ts';

const stubs = new Set(['vfio-pci', 'pci-stub']);

export const managedNoUnbound: Rule = {
  id: 'managed-no-unbound',
  reads: 'managed= of hostdevs, the driver of the passed functions, the hook',
  why: "With managed='no' libvirt does not bind the device and refuses to start the domain while a host driver has it.",
  reference:
    'libvirt src/hypervisor/virhostdev.c ("must be manually detached from the host"); facts/libvirt.md 1.2',
  judge(facts) {
    return facts.passed.flatMap(({ domain, hostdev, fn }): readonly Judgement[] => {
      if (hostdev.managed || fn === undefined || !facts.driversKnown) return [];
      if (fn.driver !== undefined && stubs.has(fn.driver)) return [];
      const hooked = facts.hooks?.executable === true;
      return [
        {
          severity: hooked ? 'note' : 'warning',
          subject: fn.address,
          message: {
            en: `Domain ${quoted(domain.name)} passes ${label(fn)} with managed='no', and it is not bound to vfio-pci. libvirt leaves that to you and refuses the start. ${hooked ? 'revived binds it when the domain starts; nothing needs to be done while its hook is active.' : "Set managed='yes', or bind it before the start (revived's hook does that)."}`,
            ja: `ドメイン ${quoted(domain.name)} は ${label(fn)} を managed='no' で渡しますが、vfio-pci に割り当てられていません。libvirt は割り当てを行わず、起動を拒否します。${hooked ? 'revived が起動時に割り当てるため、フックが有効なら何もする必要はありません。' : "managed='yes' にするか、起動前に割り当ててください(revived のフックが行います)。"}`,
          },
          fix: {
            kind: 'domain-xml',
            domain: domain.name,
            description: { en: "set managed='yes'", ja: "managed='yes' にします" },
            edits: [{ op: 'managed', hostdev: fn.address }],
          },
        },
      ];
    });
  },
};
