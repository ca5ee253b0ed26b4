/** A passed device pins all memory of its guest; a limit below that ends the start. */
import type { DomainFacts } from '../domain-facts.ts';
import type { Judgement, Rule } from '../finding.ts';
import { quoted } from '../label.ts';
import { vfioArgs } from './vfio-in-qemu-args.ts';

const gib = 1024 ** 3;

export const memlock: Rule = {
  id: 'memlock',
  reads: 'memory, memtune and qemu:commandline of domains, the kernel log',
  why: 'DMA needs memory that stays in its place: QEMU locks all of it, and the kernel counts it against a limit.',
  reference:
    'drivers/vfio/vfio_iommu_type1.c ("RLIMIT_MEMLOCK exceeded"); libvirt src/qemu/qemu_domain.c qemuDomainGetMemLockLimitBytes',
  judge(facts) {
    const exceeded = facts.log.some((line) =>
      /RLIMIT_MEMLOCK.*exceeded|VFIO_MAP_DMA.*(?:-12\b|Cannot allocate memory)/.test(line),
    );
    const logged: readonly Judgement[] = exceeded
      ? [
          {
            severity: 'warning',
            subject: 'host',
            message: {
              en: 'The kernel log says that a guest hit its limit of locked memory (RLIMIT_MEMLOCK). A guest with a PCI device locks all of its memory, so it fails to start. Let the system libvirt run it (qemu:///system) with a <hostdev>, which raises the limit, or raise memlock for your user.',
              ja: 'カーネルログに、ゲストがロック可能なメモリーの上限(RLIMIT_MEMLOCK)に達した記録があります。PCI デバイスを渡すゲストは全メモリーをロックするため、起動に失敗します。上限を引き上げるシステムの libvirt(qemu:///system)と <hostdev> を使うか、ユーザーの memlock を引き上げてください。',
            },
            fix: null,
          },
        ]
      : [];
    return [
      ...logged,
      ...facts.domains.flatMap((domain) => [...hardLimit(domain), ...unraised(domain)]),
    ];
  },
};

function hardLimit(domain: DomainFacts): readonly Judgement[] {
  const { memory, hardLimit: limit } = domain;
  if (domain.hostdevs.length === 0 || memory === null || limit === null || limit > memory)
    return [];
  return [
    {
      severity: 'error',
      subject: `domain:${domain.name}`,
      message: {
        en: `Domain ${quoted(domain.name)} has a <hard_limit> of ${inGib(limit)} GiB and ${inGib(memory)} GiB of memory. Its PCI devices make QEMU lock all of it, and QEMU itself needs more on top, so it does not start or is killed. Take <hard_limit> out: libvirt then computes the limit.`,
        ja: `ドメイン ${quoted(domain.name)} のメモリーは ${inGib(memory)} GiB ですが、<hard_limit> は ${inGib(limit)} GiB です。PCI デバイスを渡すと QEMU は全メモリーをロックし、自身の分も必要なため、起動しないか強制終了されます。<hard_limit> を削除すれば libvirt が上限を計算します。`,
      },
      fix: null,
    },
  ];
}

// libvirt raises the limit for <hostdev> only (and for <locked/> and <hard_limit>).
function unraised(domain: DomainFacts): readonly Judgement[] {
  const raised = domain.hostdevs.length > 0 || domain.locked || domain.hardLimit !== null;
  if (raised || vfioArgs(domain).length === 0) return [];
  return [
    {
      severity: 'warning',
      subject: `domain:${domain.name}`,
      message: {
        en: `Domain ${quoted(domain.name)} passes a device in qemu:commandline only, so libvirt does not raise its limit of locked memory, and QEMU fails with VFIO_MAP_DMA: -12. Use <hostdev>, or set <memtune><hard_limit>.`,
        ja: `ドメイン ${quoted(domain.name)} は qemu:commandline だけでデバイスを渡しているため、libvirt がロック可能なメモリーの上限を引き上げず、QEMU は VFIO_MAP_DMA: -12 で失敗します。<hostdev> を使うか、<memtune><hard_limit> を設定してください。`,
      },
      fix: null,
    },
  ];
}

function inGib(bytes: number): string {
  return (bytes / gib).toFixed(1);
}
