/** vfio-pci in the kernel and in QEMU (facts/kernel.md 3.3: drivers/vfio/, QEMU hw/vfio/). */
import type { Pattern } from '../log-pattern.ts';

export const vfioPatterns: readonly Pattern[] = [
  // That the card was handed over at all (Pattern.handled).
  {
    id: 'handed-over',
    hints: ['vfio-pci '],
    line: /\bvfio-pci [0-9a-f]{4,8}:[0-9a-f]{2}:/,
    shows: [],
  },
  // 0xff@0xff is config space that reads as all ones; any other hidden capability is everyday.
  {
    id: 'capability-ff',
    hints: ['hiding cap'],
    line: /hiding cap 0xff@0xff/i,
    shows: ['device-lost'],
  },
  // Once is a reset that the guest's driver did by itself; over and over is the reset bug of Polaris.
  {
    id: 'bars-lost',
    hints: ['restoring bars'],
    line: /vfio_bar_restore: reset recovery - restoring BARs/,
    shows: ['reset-failed'],
    least: 2,
  },
  {
    id: 'stuck-in-d3',
    hints: ['power on device'],
    line: /unable to power on device, stuck in D\d/i,
    shows: ['device-lost'],
  },
  {
    id: 'state-not-reloaded',
    hints: ['reload saved state'],
    line: /couldn't reload saved state/i,
    shows: ['reset-failed'],
  },
  {
    id: 'irq-assertion',
    hints: ['irq_num'],
    // The interrupt pin was read from config space of all ones.
    line: /pci_irq_handler: Assertion .*irq_num/,
    shows: ['device-lost'],
  },
  {
    id: 'unrecoverable',
    hints: ['unrecoverable error'],
    line: /unrecoverable error detected/i,
    shows: ['device-lost'],
  },
  {
    id: 'no-reset-mechanism',
    hints: ['reset mechanism'],
    line: /cannot reset device .*, no available reset mechanism/i,
    shows: ['reset-method-inactive'],
  },
  {
    id: 'hot-reset-failed',
    hints: ['hot reset'],
    line: /vfio: hot reset (?:info )?failed|hot reset failed/i,
    shows: ['reset-failed'],
  },
  {
    id: 'group-not-owned',
    hints: ['which is not owned'],
    line: /cannot reset device .*depends on group \d+ which is not owned/i,
    shows: ['reset-method-inactive', 'group-not-viable'],
  },
  {
    id: 'group-not-viable',
    hints: ['not viable', 'devices within the iommu_group', 'all devices in group'],
    line: /\bgroup \d+ is not viable|ensure all devices within the iommu_group are bound|verify all devices in group \d+ are bound/i,
    shows: ['group-not-viable'],
  },
  {
    id: 'firmware-claims-memory',
    hints: ['1:1 iommu mapping', '1:1 mapping', 'rmrr requirement'],
    line: /rejecting configuring the device without a 1:1 mapping|requested this device have a 1:1 IOMMU mapping|ineligible for IOMMU domain attach due to platform RMRR/i,
    shows: ['group-not-viable'],
  },
  {
    // The group has its file only while vfio-pci holds a function of it.
    id: 'group-file-missing',
    hints: ['/dev/vfio/'],
    line: /\/dev\/vfio\/\d+'?: No such file or directory/,
    shows: ['group-not-viable'],
  },
  {
    id: 'container-refused',
    hints: ['container for group', 'iommu for container'],
    line: /failed to (?:setup container for group|set iommu for container)(?!.*(?:= -12\b|Cannot allocate memory))/i,
    shows: ['group-not-viable'],
  },
  {
    id: 'group-busy',
    hints: ['/dev/vfio/'],
    line: /(?:open|opening) '?\/dev\/vfio\/\d+'?: Device or resource busy/i,
    shows: ['driver-stuck'],
  },
  {
    id: 'vfio-refused',
    hints: ['failed with error -16'],
    line: /vfio[-_]pci.*failed with error -16\b/i,
    shows: ['driver-stuck'],
  },
  {
    id: 'device-relayed',
    hints: ['device request to user'],
    line: /relaying device request to user \(#\d+\)/i,
    shows: ['driver-stuck'],
  },
  {
    id: 'blocked-until-released',
    hints: ['until device is released', 'until released by user'],
    line: /blocked until (?:device is released|released by user)/i,
    shows: ['driver-stuck'],
  },
];
