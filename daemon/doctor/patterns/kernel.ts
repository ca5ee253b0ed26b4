/** The kernel's own faults near PCI, VFIO and the IOMMU: what a kernel update brings and the next one takes away. */
import type { Pattern } from '../log-pattern.ts';

export const kernelPatterns: readonly Pattern[] = [
  {
    id: 'refcount',
    hints: ['refcount_t:'],
    line: /refcount_t: (?:underflow|saturated|addition on 0|decrement hit 0)/,
    shows: ['kernel-regression'],
  },
  {
    id: 'kernel-oops',
    hints: [
      'null pointer dereference',
      'unable to handle',
      'general protection fault',
      'kernel bug at',
      'oops:',
      'bug: kasan',
      ' corruption',
      'bug: bad page',
      'scheduling while atomic',
      'locking dependency',
      'recursive locking',
    ],
    line: /\bBUG: (?:kernel NULL pointer dereference|unable to handle|KASAN)|unable to handle kernel (?:NULL|paging)|general protection fault, .*(?:address|SMP|PREEMPT|maybe)|kernel BUG at|\bOops: .*\[#\d+\]|list_(?:add|del) corruption|\bBUG: (?:Bad page|scheduling while atomic)|possible (?:circular|recursive) locking/i,
    shows: ['kernel-regression'],
  },
  {
    id: 'kernel-warns',
    hints: ['drivers/vfio/', 'drivers/pci/', 'drivers/iommu/', 'lib/refcount', 'mm/ioremap'],
    line: /WARNING: .*(?:drivers\/(?:vfio|pci|iommu)\/|lib\/refcount|arch\/x86\/mm\/ioremap)/,
    shows: ['kernel-regression'],
  },
  {
    id: 'vfio-oops',
    hints: ['rip:'],
    line: /RIP: 0010:(?:vfio|pci|iommu|amd_iommu|intel_iommu|iommufd)\w*\+0x/,
    shows: ['kernel-regression'],
  },
  {
    id: 'module-not-built',
    hints: ['bad return status', 'asm/unaligned.h', 'version magic', 'version of symbol'],
    line: /Bad return status for module build on kernel|asm\/unaligned\.h: No such file|version magic '.*' should be|disagrees about version of symbol/,
    shows: ['kernel-regression'],
  },
];
