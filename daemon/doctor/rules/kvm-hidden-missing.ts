/** NVIDIA's GeForce drivers before 465 refuse a guest that shows KVM. Others do not care. */
import type { Judgement, Rule, Severity } from '../finding.ts';
import { guestOs, hidesKvm, type PassedGpu, passedGpus } from '../guest.ts';
import { quoted } from '../label.ts';

export const kvmHiddenMissing: Rule = {
  id: 'kvm-hidden-missing',
  reads: "features/kvm/hidden, the guest's system, the GPUs of domains, -cpu in qemu:commandline",
  why: 'GeForce drivers for Windows before 465 (April 2021) stop with code 43 in a virtual machine that they recognise.',
  reference:
    'NVIDIA, "GeForce GPU Passthrough for Windows Virtual Machine (Beta)"; facts/peers.md 3, pain 25',
  judge(facts) {
    return facts.domains.flatMap((domain): readonly Judgement[] => {
      const os = guestOs(domain);
      if (domain.hostdevs.length === 0 || !(os === 'windows' || os === 'maybe-windows')) return [];
      if (hidesKvm(domain)) return [];
      const severity = severityOf(passedGpus(facts, domain));
      if (severity === null) return [];
      return [
        {
          severity: os === 'windows' ? severity : 'note',
          subject: `domain:${domain.name}`,
          message: {
            en: `Domain ${quoted(domain.name)} runs Windows and shows that it runs on KVM. NVIDIA's GeForce drivers before 465 then stop with code 43${severity === 'warning' ? ', and this card has no newer driver' : '; newer ones do not mind, and AMD cards and professional ones never did'}. If you see code 43, add <kvm><hidden state='on'/></kvm> to <features>, before the driver is installed.`,
            ja: `ドメイン ${quoted(domain.name)} の Windows から KVM で動いていることが見えています。NVIDIA の GeForce ドライバー 465 未満はコード 43 で停止します${severity === 'warning' ? '。このカードにはそれより新しいドライバーがありません' : '(新しいもの、AMD のカード、業務用カードには影響ありません)'}。コード 43 が出る場合は、ドライバーを入れる前に <features> に <kvm><hidden state='on'/></kvm> を追加してください。`,
          },
          fix: {
            kind: 'domain-xml',
            domain: domain.name,
            description: {
              en: "add <kvm><hidden state='on'/></kvm> to <features>",
              ja: "<features> に <kvm><hidden state='on'/></kvm> を追加します",
            },
            edits: [
              { op: 'set', path: ['features', 'kvm', 'hidden'], attributes: { state: 'on' } },
            ],
          },
        },
      ];
    });
  },
};

function severityOf(gpus: readonly PassedGpu[] | undefined): Severity | null {
  if (gpus === undefined) return 'note';
  const nvidia = gpus.filter(({ vendor }) => vendor === 'nvidia');
  if (nvidia.length === 0) return null;
  return nvidia.some(({ family }) => family?.hideKvm === true) ? 'warning' : 'note';
}
