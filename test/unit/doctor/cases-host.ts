/** Rules about host, red and green. */
import { both, type Case, denied, hook, loader, passes, qemu } from './rule-case.ts';

export const hostCases = {
  'firmware-unreadable': {
    red: [
      [
        { domains: [{}], qemu, files: new Map([[loader, { exists: true, readable: false }]]) },
        'error',
        'domain:vm',
        /alice/,
      ],
      [
        { domains: [{}], files: new Map([[loader, { exists: false, readable: undefined }]]) },
        'error',
        'domain:vm',
      ],
      [{ qemu: { ...qemu, unknownNames: ['alice'] } }, 'error', 'host', /"alice"/],
    ],
    green: [
      { domains: [{}], qemu },
      { domains: [{}], qemu, files: new Map([[loader, { exists: true, readable: true }]]) },
    ],
  },
  'agent-missing': {
    red: [[{ domains: [{ hostdevs: both, agent: false }] }, 'note', 'domain:vm']],
    green: [{ domains: [{ hostdevs: both }, { agent: false }] }],
  },
  'hook-inactive': {
    red: [
      [
        { domains: passes(...both), hooks: { ...hook, installed: false } },
        'warning',
        'host',
        /missing/,
      ],
      [
        { domains: passes(...both), hooks: { ...hook, executable: false } },
        'warning',
        'host',
        /chmod/,
      ],
      [{ domains: passes(...both), hooks: { ...hook, late: true } }, 'warning', 'host', /reload/],
    ],
    green: [
      { domains: passes(...both), hooks: hook },
      { domains: passes(...both) },
      { hooks: { ...hook, installed: false } },
    ],
  },
  apparmor: {
    red: [
      [
        { log: [denied('libvirt-657be474-64d0-472d-a362-065f9db2d4d8')] },
        'warning',
        'host',
        /v\.rom/,
      ],
    ],
    green: [
      { log: [denied('snap.firefox.firefox')] },
      // A capability, no file.
      { log: [denied('libvirtd').replace(' name=', ' capname=')] },
      {},
    ],
  },
  memlock: {
    red: [
      [{ log: ['qemu: VFIO_MAP_DMA failed: Cannot allocate memory'] }, 'warning', 'host'],
      [{ log: ['vfio_pin_pages_remote: RLIMIT_MEMLOCK (65536) exceeded'] }, 'warning', 'host'],
      [
        {
          domains: [
            { hostdevs: both, more: "<memtune><hard_limit unit='GiB'>8</hard_limit></memtune>" },
          ],
        },
        'error',
        'domain:vm',
        /8\.0 GiB/,
      ],
      [{ domains: [{ args: ['-device', 'vfio-pci,host=0b:00.0'] }] }, 'warning', 'domain:vm'],
    ],
    green: [
      { log: ['qemu: VFIO_MAP_DMA failed: Invalid argument', 'qemu: VFIO_MAP_DMA: -14'] },
      {
        domains: [
          { hostdevs: both, more: "<memtune><hard_limit unit='GiB'>12</hard_limit></memtune>" },
        ],
      },
      {
        domains: [
          {
            args: ['-device', 'vfio-pci,host=0b:00.0'],
            more: '<memoryBacking><locked/></memoryBacking>',
          },
        ],
      },
    ],
  },
  unreadable: {
    red: [
      [{ unread: [{ path: '/proc/cmdline', why: 'loop' }] }, 'note', 'host', /loop/],
      [
        { badDomains: [{ file: '/etc/libvirt/qemu/a.xml', why: 'No.' }] },
        'warning',
        'host',
        /No\./,
      ],
    ],
    green: [{}],
  },
} satisfies Readonly<Record<string, Case>>;
