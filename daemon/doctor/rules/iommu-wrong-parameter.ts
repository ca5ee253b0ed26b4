/** The switch for the other vendor's IOMMU does nothing. */
import type { Rule } from '../finding.ts';

export const iommuWrongParameter: Rule = {
  id: 'iommu-wrong-parameter',
  reads: 'proc/cmdline, proc/cpuinfo, sys/kernel/iommu_groups',
  why: 'A parameter that this CPU ignores leaves its owner in the belief that the IOMMU is set up.',
  reference: 'Documentation/admin-guide/kernel-parameters.txt (amd_iommu=, intel_iommu=)',
  judge({ inventory, cmdline, cpu }) {
    const severity = inventory.iommu === true ? 'note' : 'warning';
    const pattern = cpu === 'amd' ? /^intel_iommu=/ : /^amd_iommu=/;
    const wrong = cpu === undefined ? undefined : cmdline?.find((word) => pattern.test(word));
    if (wrong !== undefined) {
      const right = cpu === 'amd' ? 'iommu=pt' : 'intel_iommu=on';
      const name = cpu === 'amd' ? 'AMD' : 'Intel';
      return [
        {
          severity,
          subject: 'host',
          message: {
            en: `The kernel parameter ${wrong} is for the other vendor: this CPU is from ${name} and ignores it. It does not switch the IOMMU on. ${cpu === 'amd' ? 'AMD needs none: the firmware setting is enough (iommu=pt is optional).' : `Use ${right}.`}`,
            ja: `カーネルパラメータ ${wrong} は別のメーカー用です。この CPU は ${name} 製なので無視され、IOMMU は有効になりません。${cpu === 'amd' ? 'AMD ではパラメータは不要で、ファームウェアの設定だけで有効になります(iommu=pt は任意)。' : `${right} を使ってください。`}`,
          },
          fix: null,
        },
      ];
    }
    const useless = cpu === 'amd' && cmdline?.includes('amd_iommu=on') === true;
    if (!useless) return [];
    return [
      {
        severity: 'note',
        subject: 'host',
        message: {
          en: 'The kernel does not know the value of amd_iommu=on and ignores it. That does no harm: on AMD the IOMMU is on as soon as the firmware has it on. You may take it out.',
          ja: 'カーネルは amd_iommu=on という値を知らないため無視します。害はありません。AMD ではファームウェアで有効にすれば IOMMU は有効です。取り除いてかまいません。',
        },
        fix: null,
      },
    ];
  },
};
