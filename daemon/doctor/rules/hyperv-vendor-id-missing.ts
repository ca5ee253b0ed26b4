/** Windows drivers of graphics cards look at who runs the guest. */
import type { Fix, Judgement, Rule, Severity } from '../finding.ts';
import { guestOs, hasVendorId, type PassedGpu, passedGpus } from '../guest.ts';
import { quoted } from '../label.ts';

export const hypervVendorIdMissing: Rule = {
  id: 'hyperv-vendor-id-missing',
  reads:
    "features/hyperv/vendor_id, the guest's system, the GPUs of domains, -cpu in qemu:commandline",
  why: 'AMD and NVIDIA drivers for Windows stop (black screen, code 43) when they find the name of a hypervisor that they do not like.',
  reference: 'https://libvirt.org/formatdomain.html#hypervisor-features; facts/peers.md 3, pain 25',
  judge(facts) {
    return facts.domains.flatMap((domain): readonly Judgement[] => {
      const os = guestOs(domain);
      if (domain.hostdevs.length === 0 || !(os === 'windows' || os === 'maybe-windows')) return [];
      if (hasVendorId(domain)) return [];
      const gpus = passedGpus(facts, domain);
      const severity = os === 'windows' ? severityOf(gpus) : gpus?.length === 0 ? null : 'note';
      if (severity === null) return [];
      const name = quoted(domain.name);
      const whose = gpus === undefined ? 'If it passes an AMD or NVIDIA card, its' : "The card's";
      return [
        {
          severity,
          subject: `domain:${domain.name}`,
          message: {
            en: `Domain ${name} runs Windows and shows the name of its hypervisor: <vendor_id> is missing below <features><hyperv>. ${whose} driver may stop with a black screen or code 43, often after an update. Add <vendor_id state='on' value='revived'/>; any text of up to 12 characters will do. If the card works, leave it.`,
            ja: `ドメイン ${name} の Windows からハイパーバイザーの名前が見えています。<features><hyperv> に <vendor_id> がありません。${gpus === undefined ? 'AMD や NVIDIA のカードを渡す場合、' : ''}ドライバーの更新後などに画面が黒くなったり、コード 43 で停止したりすることがあります。<vendor_id state='on' value='revived'/> を追加してください(値は 12 文字以内なら何でもかまいません)。正常に動いていればそのままでかまいません。`,
          },
          fix: fixOf(domain.name),
        },
      ];
    });
  },
};

// NVIDIA's drivers allow virtual machines since 465, and cards since Ampere have no older ones that people still use.
function severityOf(gpus: readonly PassedGpu[] | undefined): Severity | null {
  if (gpus === undefined) return 'note';
  if (gpus.some(({ vendor }) => vendor === 'amd')) return 'warning';
  const nvidia = gpus.filter(({ vendor }) => vendor === 'nvidia');
  if (nvidia.length === 0) return null;
  return nvidia.some(({ family }) => family?.uefiOnly !== true) ? 'warning' : 'note';
}

function fixOf(domain: string): Fix {
  return {
    kind: 'domain-xml',
    domain,
    description: {
      en: "add <vendor_id state='on' value='revived'/> to <hyperv>",
      ja: "<hyperv> に <vendor_id state='on' value='revived'/> を追加します",
    },
    edits: [
      {
        op: 'set',
        path: ['features', 'hyperv', 'vendor_id'],
        attributes: { state: 'on', value: 'revived' },
      },
    ],
  };
}
