/**
 * Lines that look like trouble and are none, or that claim more than they prove (facts/kernel.md 0 and 3.3). What another
 * pattern shows outweighs them.
 */
import type { Pattern } from '../log-pattern.ts';

export const harmlessPatterns: readonly Pattern[] = [
  {
    id: 'rom-header',
    hints: ['pci rom', 'device rom', 'option rom'],
    line: /Invalid PCI ROM header signature|No more image in the PCI ROM|Cannot read device rom|option ROM contents are probably invalid|Skip option ROM probe|PCI ROM .*invalid data/i,
    shows: ['benign'],
  },
  {
    id: 'reset-file-refused',
    hints: ['inappropriate ioctl', 'not all devices need a reset'],
    // `reset` lists what the kernel then refuses for cards of several functions (section 0, 1); VFIO resets them its own way.
    line: /inappropriate ioctl for device|not all devices need a reset/i,
    shows: ['benign'],
  },
  {
    id: 'capability-hidden',
    hints: ['hiding ecap', 'hiding cap'],
    line: /vfio_e?cap_init: .*hiding e?cap|hiding e?cap 0x/i,
    shows: ['benign'],
  },
  {
    id: 'rom-alignment',
    hints: ['bogus alignment'],
    line: /can't assign; bogus alignment/,
    shows: ['benign'],
  },
  {
    id: 'reset-announced',
    hints: ['resetting', 'reset done'],
    line: /[0-9a-f]{2}:[01][0-9a-f]\.[0-7]: (?:resetting|reset done)\s*$/i,
    shows: ['benign'],
  },
  {
    id: 'vga-arbiter',
    hints: ['vga decodes', 'deactivate vga console', 'colour dummy device', 'vga device added'],
    line: /VGA decodes(?: changed)?:|deactivate vga console|switching to colour dummy device|VGA device added/i,
    shows: ['benign'],
  },
  {
    id: 'framebuffer-handed-over',
    hints: ['fb0: switching', 'removing generic driver', 'framebuffer/', 'vtcon'],
    line: /fb\d: switching to \w+|removing generic driver|(?:efi|vesa|simple)-framebuffer\/(?:un)?bind: (?:write error: )?No such (?:device|file)|vtcon\d\/bind: No such file/i,
    shows: ['benign'],
  },
  {
    id: 'guest-rdmsr',
    hints: ['rdmsr', 'wrmsr'],
    line: /(?:ignored|unhandled) (?:rd|wr)msr/i,
    shows: ['benign'],
  },
  {
    id: 'bus-moves',
    hints: ['iommu group', 'enabling device (', 'to group'],
    line: /(?:Removing from|Adding to) iommu group|enabling device \([0-9a-f]{4} -> [0-9a-f]{4}\)/i,
    shows: ['benign'],
  },
  {
    id: 'aer-corrected',
    hints: ['correct'],
    line: /severity=Correct(?:ed|able)\b|AER: (?:Multiple )?Correct(?:ed|able) error|severity=Uncorrect(?:ed|able) \(Non-Fatal\)/i,
    shows: ['benign'],
  },
  {
    id: 'recovered',
    hints: ['recovery successful', 'unlocked secondary bus reset'],
    line: /device recovery successful|unlocked secondary bus reset via/i,
    shows: ['benign'],
  },
  {
    id: 'peer-to-peer',
    hints: ['peer-to-peer'],
    line: /PCI peer-to-peer transactions on BARs are not supported/i,
    shows: ['benign'],
  },
  {
    id: 'not-a-bug',
    hints: [
      'this is not a bug',
      'x2apic',
      'iommu perf counter',
      'taints kernel',
      'tainting kernel',
      'unknown parameter',
      'is builtin',
    ],
    line: /This is not a bug|IRQ remapping doesn't support X2APIC|IOMMU perf counter|taints kernel|tainting kernel|unknown parameter '\w+' ignored|FATAL: Module \w+ is builtin/i,
    shows: ['benign'],
  },
  {
    id: 'vf-flr',
    hints: [' flr'],
    line: /\bVF\d+ FLR\b/,
    shows: ['benign'],
  },
  {
    id: 'card-lent',
    hints: ['probe routine was not called', 'no nvidia gpu found', 'is already bound to vfio'],
    line: /NVIDIA probe routine was not called|No NVIDIA GPU found|is already bound to vfio/i,
    shows: ['benign'],
  },
  {
    id: 'type-c-chatter',
    hints: ['i2c timeout', 'ucsi_ccg'],
    line: /nvidia-gpu .*i2c timeout error|ucsi_ccg .*(?:i2c_transfer failed|init failed|failed to reset PPM)/i,
    shows: ['benign'],
  },
  {
    id: 'hook-installed',
    hints: ['vendor_reset_hook'],
    line: /vendor_reset_hook: installed/,
    shows: ['benign'],
  },
  {
    id: 'power-kept',
    hints: ['change power state'],
    line: /refused to change power state(?:,? from \S+ to D[123]|, currently in D0)/i,
    shows: ['benign'],
  },
];
