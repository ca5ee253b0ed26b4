/** Rules about domains, red and green. */
import {
  type Case,
  gpu,
  hook,
  nvidia,
  passes,
  polaris,
  ports,
  qemu,
  rom,
  usb,
  windows,
} from './rule-case.ts';

export const domainsCases = {
  'hyperv-vendor-id-missing': {
    red: [
      [{ functions: polaris, domains: windows() }, 'warning', 'domain:vm'],
      [{ functions: nvidia, domains: windows() }, 'warning', 'domain:vm'],
      [
        { functions: polaris, domains: windows({ args: ['-cpu', 'host,-vmware-cpuid-freq'] }) },
        'warning',
        'domain:vm',
      ],
      [{ functions: gpu('10de:2482'), domains: windows() }, 'note', 'domain:vm'],
      [{ domains: windows() }, 'note', 'domain:vm', /If it passes/],
      [{ domains: windows({ hostdevs: ['0b:00.0'] }) }, 'note', 'domain:vm', /If it passes/],
      [
        {
          functions: polaris,
          // QEMU takes the last -cpu, so the XML does not count.
          domains: windows({
            features: "<hyperv><vendor_id state='on' value='x'/></hyperv>",
            args: ['-cpu', 'host,kvm=off'],
          }),
        },
        'warning',
        'domain:vm',
      ],
      [
        {
          functions: polaris,
          domains: windows({ os: '', features: "<hyperv><relaxed state='on'/></hyperv>" }),
        },
        'note',
        'domain:vm',
      ],
    ],
    green: [
      {
        functions: polaris,
        domains: windows({ features: "<hyperv><vendor_id state='on' value='x'/></hyperv>" }),
      },
      { functions: polaris, domains: windows({ args: ['-cpu', 'host,hv_vendor_id=x'] }) },
      { functions: polaris, domains: windows({ os: 'http://debian.org/debian/12' }) },
      { functions: polaris, domains: windows({ args: ['-device', 'isa-applesmc,osk=x'] }) },
      { functions: polaris, domains: windows({ args: ['-cpu', 'host,+vmware-cpuid-freq'] }) },
      {
        functions: [usb('0000:0b:00.0', '1b21:2142')],
        domains: windows({ hostdevs: ['0b:00.0'] }),
      },
    ],
  },
  'kvm-hidden-missing': {
    red: [
      [
        { functions: gpu('10de:1080'), domains: windows() },
        'warning',
        'domain:vm',
        /no newer driver/,
      ],
      [{ functions: nvidia, domains: windows() }, 'note', 'domain:vm'],
    ],
    green: [
      { functions: polaris, domains: windows() },
      { functions: nvidia, domains: windows({ features: "<kvm><hidden state='on'/></kvm>" }) },
      { functions: nvidia, domains: windows({ args: ['-cpu', 'host,kvm=off'] }) },
      {
        functions: nvidia,
        domains: windows({
          more: "<cpu><feature policy='disable' name='hypervisor'/></cpu>",
        }),
      },
      { functions: nvidia, domains: windows({ os: 'http://debian.org/debian/12' }) },
    ],
  },
  'rom-on-secondary-function': {
    red: [[{ domains: passes('0b:00.0', '0b:00.1 rom=/r.rom') }, 'warning', '0000:0b:00.1']],
    green: [{ domains: passes('0b:00.0 rom=/r.rom', '0b:00.1 bar=on') }],
  },
  'rom-bar-off': {
    red: [[{ domains: passes('0b:00.0 rom=/r.rom bar=off') }, 'warning', '0000:0b:00.0']],
    green: [{ domains: passes('0b:00.0 bar=off', '0c:00.0 rom=/r.rom bar=on') }],
  },
  'rom-unreadable': {
    red: [
      [
        { ...rom, files: new Map([['/r.rom', { exists: false, readable: undefined }]]) },
        'error',
        '0000:0b:00.0',
      ],
      [
        { ...rom, qemu, files: new Map([['/r.rom', { exists: true, readable: false }]]) },
        'error',
        '0000:0b:00.0',
        /alice/,
      ],
      [{ domains: passes('0b:00.0 rom=r.rom') }, 'note', '0000:0b:00.0', /full path/],
      [{ domains: passes('0b:00.0 rom=/home/a/r.rom') }, 'note', '0000:0b:00.0', /home/],
    ],
    green: [rom, { ...rom, files: new Map([['/r.rom', { exists: true, readable: true }]]) }],
  },
  'functions-split': {
    red: [
      [
        { functions: nvidia, domains: passes('0b:00.0 guest=5:0.0', '0b:00.1 guest=6:0.0') },
        'warning',
        '0000:0b:00.0',
      ],
      [{ domains: passes('00:1f.0 guest=5:0.0', '00:1f.3 guest=6:0.0') }, 'note', '0000:00:1f.0'],
      // The ports of a network card are devices of their own.
      [
        {
          functions: ['0', '1'].map((n) => ({ at: `0000:0c:00.${n}`, class: '020000', ports })),
          domains: passes('0c:00.0 guest=5:0.0', '0c:00.1 guest=6:0.0'),
        },
        'note',
        '0000:0c:00.0',
      ],
    ],
    green: [
      { domains: passes('0b:00.0 guest=5:0.0 multi', '0b:00.1 guest=5:0.1') },
      { domains: passes('0b:00.0 guest=5:0.0', '0c:00.0 guest=6:0.0') },
      { domains: passes('0b:00.0', '0b:00.1') },
    ],
  },
  'managed-no-unbound': {
    red: [
      [
        {
          functions: gpu('10de:1b80', { driver: 'nouveau' }),
          domains: passes('0b:00.0 managed=no'),
        },
        'warning',
        '0000:0b:00.0',
        /nouveau/,
      ],
      [
        {
          functions: gpu('10de:1b80', { driver: 'nouveau' }),
          domains: passes('0b:00.0 managed=no'),
          hooks: hook,
        },
        'note',
        '0000:0b:00.0',
      ],
    ],
    green: [
      {
        functions: gpu('10de:1b80', { driver: 'vfio-pci' }),
        domains: passes('0b:00.0 managed=no'),
      },
      { functions: nvidia, domains: passes('0b:00.0 managed=no') },
      { functions: gpu('10de:1b80', { driver: 'nouveau' }), domains: passes('0b:00.0') },
    ],
  },
  'vfio-in-qemu-args': {
    red: [[{ domains: [{ args: ['-device', 'vfio-pci,host=0b:00.0'] }] }, 'warning', 'domain:vm']],
    green: [
      { domains: [{ args: ['-device', 'ivshmem-plain,memdev=looking-glass'] }] },
      { domains: [{ args: ['-global', 'vfio-pci.x-igd-opregion=on'] }] },
    ],
  },
  'cpu-override': {
    red: [
      [{ domains: [{ args: ['-cpu', 'host,kvm=off'] }] }, 'warning', 'domain:vm', /kvm=off/],
      [{ domains: [{ args: ['-cpu'] }] }, 'warning', 'domain:vm'],
      [
        { domains: [{ args: ['-cpu', 'Penryn,vendor=GenuineIntel'] }] },
        'note',
        'domain:vm',
        /macOS/,
      ],
    ],
    green: [{ domains: [{ args: ['-smbios', 'type=2'] }] }],
  },
  'bios-guest': {
    red: [
      [
        { functions: gpu('10de:2482'), domains: windows({ firmware: ' ' }) },
        'warning',
        'domain:vm',
      ],
      [{ functions: polaris, domains: windows({ firmware: ' ' }) }, 'note', 'domain:vm'],
    ],
    green: [
      { functions: gpu('10de:2482'), domains: windows() },
      {
        functions: [usb('0000:0b:00.0', '1b21:2142')],
        domains: [{ firmware: ' ', hostdevs: ['0b:00.0'] }],
      },
    ],
  },
} satisfies Readonly<Record<string, Case>>;
