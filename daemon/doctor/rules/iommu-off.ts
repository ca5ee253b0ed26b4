/** Without an IOMMU the kernel lends no device to anybody. */
import type { Rule } from '../finding.ts';

const off = new Set(['iommu=off', 'iommu=soft']);

export const iommuOff: Rule = {
  id: 'iommu-off',
  reads: 'sys/kernel/iommu_groups, proc/cmdline',
  why: 'vfio-pci needs an IOMMU group for every device that it lends.',
  reference: 'Documentation/driver-api/vfio.rst; Documentation/admin-guide/kernel-parameters.txt',
  judge({ inventory, cmdline, cpu }) {
    // The switch of the other vendor does nothing.
    const vendors = cpu === undefined ? ['amd', 'intel'] : [cpu];
    const word = cmdline?.find(
      (one) => off.has(one) || vendors.some((name) => one === `${name}_iommu=off`),
    );
    if (inventory.iommu === true) return [];
    if (inventory.iommu === undefined) {
      if (word === undefined) return [];
    }
    const param = cpu === 'intel' ? ' and intel_iommu=on' : '';
    const parameterJa = cpu === 'intel' ? '、カーネルパラメータに intel_iommu=on' : '';
    const cause = word === undefined ? '' : ` The kernel was started with ${word}.`;
    const causeJa = word === undefined ? '' : `カーネルは ${word} で起動されています。`;
    return [
      {
        severity: 'error',
        subject: 'host',
        message: {
          en: `The IOMMU is off: the kernel made no IOMMU groups.${cause} Without them no PCI device can be given to a guest. Switch it on in the firmware (AMD: "IOMMU" and "SVM"; Intel: "VT-d")${param}${word === undefined ? '' : `, take ${word} out of the kernel's parameters`} and reboot.`,
          ja: `IOMMU が無効です。カーネルが IOMMU グループを作っていません。${causeJa}これがないと PCI デバイスをゲストに渡せません。ファームウェア設定(AMD は「IOMMU」と「SVM」、Intel は「VT-d」)で有効にし${parameterJa}${word === undefined ? '' : `、${word} を取り除い`}て、再起動してください。`,
        },
        fix: null,
      },
    ];
  },
};
