/** A driver that does not let go of its card, or hangs on it (facts/kernel.md 1, "Known to block forever", and 3.3). */
import type { Pattern } from '../log-pattern.ts';

export const driverPatterns: readonly Pattern[] = [
  {
    id: 'nvidia-in-use',
    hints: ['non-zero usage count'],
    line: /Attempting to remove device .*with non-zero usage count/i,
    shows: ['driver-stuck'],
  },
  {
    id: 'module-in-use',
    hints: ['is in use'],
    line: /(?:FATAL|ERROR): Module \w+ is in use/,
    shows: ['driver-stuck'],
  },
  {
    id: 'amdgpu-leaves-behind',
    hints: [
      'leaking bo va',
      'gem object close',
      'bo inside vm',
      'hotplug removal',
      'device removal is',
    ],
    line: /leaking bo va|failed to clear page tables on GEM object close|still active bo inside vm|Hotplug removal is not supported|Device removal is currently not supported/i,
    shows: ['driver-stuck'],
  },
  {
    id: 'duplicate-name',
    hints: ['duplicate filename', 'with -eexist'],
    line: /sysfs: cannot create duplicate filename|kobject_add_internal failed for .* with -EEXIST/,
    shows: ['driver-stuck'],
  },
  {
    id: 'eviction-failed',
    hints: ['evict', 'uninitialized gart'],
    line: /\[TTM\] Buffer eviction failed|failed to evict (?:vram|memory)|trying to bind memory to uninitialized GART/i,
    shows: ['driver-stuck'],
  },
  {
    id: 'driver-oops',
    hints: ['rip:'],
    line: /RIP: 0010:.*\[(?:amdgpu|radeon|nouveau|nvidia\w*|i915|xe|snd_hda\w*|gpu_sched|ttm)\]/,
    shows: ['driver-stuck'],
  },
  {
    id: 'driver-warns-on-removal',
    hints: ['drivers/gpu/drm'],
    line: /WARNING: .*\bat drivers\/gpu\/drm\/.* \w*(?:fini|remove|unplug|release|unload|takedown)\w*\+0x/,
    shows: ['driver-stuck'],
  },
  {
    id: 'libvirt-waits',
    hints: ['state change lock'],
    line: /cannot acquire state change lock/i,
    shows: ['driver-stuck'],
  },
  {
    id: 'nvidia-waits',
    hints: ['gpu progress'],
    line: /nvidia-modeset: ERROR: .*waiting for GPU progress/i,
    shows: ['driver-stuck'],
  },
  {
    id: 'task-hangs',
    hints: ['blocked for more than', 'blocked in i/o wait for more'],
    line: /\btask .{1,64} blocked (?:in I\/O wait )?for more than \d+ seconds/,
    shows: ['driver-stuck'],
    risk: true,
  },
  {
    id: 'cpu-locked',
    hints: ['lockup', 'detected stall', 'detected expedited stall', 'self-detected'],
    line: /\bBUG: soft lockup|\bhard LOCKUP\b|rcu\w*: .*detected (?:expedited )?stall|self-detected stall on CPU/i,
    shows: ['driver-stuck'],
    risk: true,
  },
];
