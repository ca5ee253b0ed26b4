/** Machines that many tests want. */
import { type FunctionSpec, type MachineSpec, machine } from './machine.ts';
import type { MachineState } from './state.ts';

const bochsCard: readonly FunctionSpec[] = [{ model: 'bochs' }, { model: 'hda' }];

/** The lab machine (test/lab/machine.sh): same addresses, IOMMU groups and reset methods, native hotplug. */
export const labSpec: MachineSpec = {
  slotPower: 'ejects',
  rootDevices: [
    { address: '0000:00:00.0', model: 'q35-host' },
    { address: '0000:00:03.0', model: 'virtio-serial' },
    { address: '0000:00:10.0', model: 'virtio-blk' },
    { address: '0000:00:11.0', model: 'virtio-blk' },
    { address: '0000:00:1f.0', model: 'lpc' },
    { address: '0000:00:1f.2', model: 'ahci' },
    { address: '0000:00:1f.3', model: 'smbus' },
  ],
  ports: [
    { address: '0000:00:04.0', slot: '1', multifunctionBit: 'first', functions: bochsCard },
    {
      address: '0000:00:05.0',
      slot: '2',
      multifunctionBit: 'first',
      functions: [{ model: 'ati-vga' }, { model: 'hda' }],
    },
    { address: '0000:00:06.0', slot: '3', functions: [{ model: 'xhci' }] },
    { address: '0000:00:07.0', slot: '4', functions: [{ model: 'virtio-gpu' }] },
    { address: '0000:00:08.0', slot: '5', functions: [{ model: 'nvme' }] },
    {
      address: '0000:00:09.0',
      slot: '6',
      upstream: 'x3130-upstream',
      downstream: [
        { slot: '7', multifunctionBit: 'first', groups: 'with-port', functions: bochsCard },
      ],
    },
  ],
};

/** The lab machine. */
export function labMachine(): MachineState {
  return machine(labSpec);
}

/** Cards of the lab machine by what they are for. */
export const labCards = {
  bochs: '0000:01:00',
  ati: '0000:02:00',
  xhci: '0000:03:00',
  flr: '0000:04:00',
  nvme: '0000:05:00',
  switched: '0000:08:00',
} as const;

/**
 * A desktop with real boards: 0000:03:00 a Navi 21 behind its own switch (VGA, audio, USB, UCSI), 0000:05:00 a
 * Polaris behind its slot (VGA, audio; boot_vga is the Navi), 0000:06:00 an add-in USB controller.
 */
export const desktopSpec: MachineSpec = {
  drivers: ['pcieport', 'ahci', 'amdgpu', 'snd_hda_intel', 'xhci_hcd', 'nvme', 'vfio-pci'],
  ports: [
    {
      upstream: 'amd-upstream',
      downstream: [
        {
          d3cold: true,
          model: 'amd-downstream',
          groups: 'apart',
          functions: [
            { model: 'navi21' },
            { model: 'navi21-audio' },
            { model: 'navi21-usb' },
            { model: 'navi21-ucsi' },
          ],
        },
      ],
    },
    {},
    { slot: '2', functions: [{ model: 'polaris' }, { model: 'polaris-audio' }] },
    { functions: [{ model: 'xhci' }] },
  ],
};

/** A machine for figures: `cards` cards (at most 64) with `functionsEach` functions (at most 8). */
export function bigMachine(cards: number, functionsEach: number): MachineState {
  const kinds = ['bochs', 'hda', 'xhci', 'hda', 'hda', 'hda', 'hda', 'hda'] as const;
  const functions = Array.from({ length: functionsEach }, (_, place) => ({
    model: kinds[place % kinds.length] ?? 'hda',
  }));
  return machine({ ports: Array.from({ length: cards }, (_, n) => ({ slot: `${n}`, functions })) });
}
