/** The IOMMU: stuck, faulting, or not there (facts/kernel.md 3.3: drivers/iommu/). */
import type { Pattern } from '../log-pattern.ts';

export const iommuPatterns: readonly Pattern[] = [
  {
    id: 'completion-wait',
    hints: ['completion-wait'],
    line: /Completion-Wait loop timed out/i,
    shows: ['iommu-stuck'],
    risk: true,
  },
  {
    id: 'amd-invalidation',
    hints: ['iotlb_inv_timeout', 'command_hardware_error', 'illegal_command_error'],
    line: /\b(?:IOTLB_INV_TIMEOUT|COMMAND_HARDWARE_ERROR|ILLEGAL_COMMAND_ERROR)\b/,
    shows: ['iommu-stuck'],
    risk: true,
  },
  {
    id: 'intel-invalidation',
    // Fault status bits 4 to 6 are the invalidation errors; 0 and 1 are faults of DMA (VT-d specification, 11.4.7.1).
    hints: ['invalidation ', 'dmar: qi ', 'fault status reg'],
    line: /VT-d detected Invalidation (?:Time-?out|Completion|Queue) Error|Invalidation (?:Time-?out|Completion|Queue) Error \((?:ITE|ICE|IQE)\)|DMAR: QI (?:HEAD|PRIOR):|handling fault status reg (?:0x)?[1-7][0-9a-f]\s*$/i,
    shows: ['iommu-stuck'],
    risk: true,
  },
  {
    id: 'arm-invalidation',
    hints: ['cmd_sync', 'atc invalidat'],
    line: /CMD_SYNC timeout|CMDQ error .*ATC invalidat/i,
    shows: ['iommu-stuck'],
    risk: true,
  },
  // The function goes on with DMA into memory that is no longer its own: it was left running. Faults of a host driver are its bugs.
  {
    id: 'amd-fault',
    hints: ['io_page_fault', 'invalid_device_request', 'illegal_dev_table_entry'],
    line: /(?<=(?:vfio-pci|pci-stub) [0-9a-f:.]+: |ivhd\d+: |(?<![0-9a-f]: ))AMD-Vi: Event logged \[(?:IO_PAGE_FAULT|INVALID_DEVICE_REQUEST|ILLEGAL_DEV_TABLE_ENTRY)\b/,
    shows: ['function-lost'],
  },
  {
    id: 'intel-fault',
    hints: ['request device ['],
    // Bus 00 is the chipset and the iGPU, which fault at boot on healthy hosts.
    line: /\[DMA (?:Read|Write)[^\]]*\] Request device \[(?!(?:[0-9a-f]{4}:)?00:)(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\]/i,
    shows: ['function-lost'],
  },
  {
    id: 'vfio-without-group',
    hints: ['error -22'],
    line: /vfio[-_]pci.*(?:probe of [0-9a-f:.]+|probe with driver vfio-pci) failed with error -22\b/i,
    shows: ['iommu-off'],
  },
  {
    id: 'no-group',
    hints: ['iommu_group', 'iommu group'],
    line: /no iommu_group (?:found|for device)|(?:unable to find|failed to get|cannot find|has no|not (?:in|part of|attached to) an?) IOMMU group\b|iommu_group: No such file|iommu_groups[^:]{0,40}: No such file/i,
    shows: ['iommu-off'],
  },
  {
    id: 'not-present',
    hints: [
      'iommu not present',
      'no iommu detected',
      'iommu is not enabled',
      'iommu not enabled',
      'iommu is not present',
    ],
    line: /IOMMU (?:is )?not (?:present|enabled)|no IOMMU detected/i,
    shows: ['iommu-off'],
  },
  {
    id: 'switched-off',
    hints: ['iommu disabled', 'iommu: disabled', 'iommu is disabled', 'iommu has been disabled'],
    line: /\bIOMMU:? (?:is |has been )?disabled\b/i,
    shows: ['iommu-off'],
  },
  {
    id: 'host-lacks-it',
    hints: ['passthrough'],
    line: /host doesn't support (?:passthrough of host PCI devices|(?:VFIO|legacy) PCI passthrough)|host does not support (?:\w+ )?PCI passthrough/i,
    shows: ['iommu-off'],
  },
  {
    id: 'no-container',
    hints: ['/dev/vfio/vfio', 'iommu models', 'no vfio support'],
    line: /\/dev\/vfio\/vfio'?: No such (?:file|device)|No available IOMMU models/i,
    shows: ['iommu-off'],
  },
  {
    id: 'no-interrupt-remapping',
    hints: ['allow_unsafe_interrupts', 'interrupt remapping support'],
    line: /No interrupt remapping support|allow_unsafe_interrupts" to enable/i,
    shows: ['iommu-off'],
  },
];
