/** libvirt and the tools around it (facts/kernel.md 3.3, 48 and 49: libvirt src/util/virpci.c; Proxmox). */
import type { Pattern } from '../log-pattern.ts';

export const libvirtPatterns: readonly Pattern[] = [
  {
    id: 'libvirt-reset-failed',
    hints: ['unable to reset pci device', 'failed to reset pci device:'],
    line: /unable to reset PCI device|failed to reset PCI device: /i,
    shows: ['reset-failed'],
  },
  {
    id: 'libvirt-no-reset',
    hints: ['bus reset available'],
    line: /no FLR, PM reset or bus reset available/,
    shows: ['reset-method-inactive'],
  },
  {
    id: 'libvirt-bus-shared',
    hints: ['not doing bus reset'],
    line: /devices on bus with .*, not doing bus reset/,
    shows: ['group-not-viable'],
  },
  {
    id: 'proxmox-reset-failed',
    hints: ["can't reset pci device"],
    line: /TASK ERROR: can't reset PCI device/i,
    shows: ['reset-failed'],
  },
  {
    id: 'detach-failed',
    hints: ['attach device pci_', 'detach device pci_'],
    line: /failed to (?:detach|re-?attach) device pci_/i,
    shows: ['driver-stuck'],
  },
  {
    id: 'device-gone',
    hints: ['no pci device', 'device not found', 'not found: could not'],
    line: /no PCI device found for|device not found: could not access .*pci|PCI device \S+ not found: could not access/i,
    shows: ['device-lost'],
  },
];
