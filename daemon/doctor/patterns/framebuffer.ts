/** The firmware's framebuffer, or a driver, that sits on the card's memory (facts/kernel.md 1, "platform fb", and 3.3, 25). */
import type { Pattern } from '../log-pattern.ts';

export const framebufferPatterns: readonly Pattern[] = [
  {
    id: 'bar-reserved',
    hints: ["can't reserve"],
    // Of a card's driver, or of none that is named: chipset drivers have such quarrels of their own.
    line: /(?<=(?:vfio-pci|pci-stub|amdgpu|radeon|nouveau|nvidia|i915|xe) [0-9a-f:.]+: |(?<![0-9a-f]: ))BAR \d+(?: \[[^\]]*\])?: can't reserve/i,
    shows: ['framebuffer-held'],
  },
  {
    id: 'firmware-fb-fails',
    hints: ['video memory', 'acquire memory range'],
    line: /(?:efifb|vesafb|simplefb|simple-framebuffer|simpledrm)\b.*(?:cannot reserve video memory|cannot ioremap video memory|could not acquire memory range)/i,
    shows: ['framebuffer-held'],
  },
  {
    id: 'boot-fb-spanned',
    hints: ['bootfb'],
    line: /spans more than BOOTFB|\bBOOTFB\b.*(?:busy|conflict)/i,
    shows: ['framebuffer-held'],
  },
  {
    id: 'nvidia-region-taken',
    hints: ['request_mem_region failed'],
    line: /request_mem_region failed for/,
    shows: ['framebuffer-held'],
  },
  {
    id: 'region-busy',
    hints: ['vfio_region_', 'failed to mmap', 'mmap_fault'],
    line: /vfio_region_(?:write|read)\(.*failed: Device or resource busy|failed to mmap .*BAR \d+/i,
    shows: ['framebuffer-held'],
  },
];
