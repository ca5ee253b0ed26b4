/** Rules about topology, red and green. */
import { fn } from '../inventory-of.ts';
import {
  both,
  type Case,
  gpu,
  link,
  nvidia,
  passes,
  polaris,
  ports,
  root,
  sriov,
  usb,
} from './rule-case.ts';

export const topologyCases = {
  'iommu-off': {
    red: [
      [{ iommu: false }, 'error', 'host', /VT-d/],
      [{ iommu: false, cmdline: ['amd_iommu=off'] }, 'error', 'host', /take amd_iommu=off out/],
      // The switch of the other vendor is not the reason.
      [
        { iommu: false, cpu: 'intel', cmdline: ['amd_iommu=off'] },
        'error',
        'host',
        /groups\. Without/,
      ],
    ],
    green: [{ functions: nvidia }],
  },
  'iommu-wrong-parameter': {
    red: [
      [{ iommu: false, cpu: 'amd', cmdline: ['intel_iommu=on'] }, 'warning', 'host', /AMD/],
      [{ iommu: false, cpu: 'intel', cmdline: ['amd_iommu=on'] }, 'warning', 'host', /Intel/],
      [{ cpu: 'amd', cmdline: ['intel_iommu=on'] }, 'note', 'host'],
      [{ cpu: 'amd', cmdline: ['amd_iommu=on'] }, 'note', 'host', /does no harm/],
    ],
    green: [
      { cpu: 'intel', cmdline: ['intel_iommu=on'] },
      { cmdline: ['intel_iommu=on'] },
      { cpu: 'amd', cmdline: ['amd_iommu=force_isolation', 'iommu=pt'] },
    ],
  },
  'group-shared': {
    red: [
      // What mostly has no driver bars the group only where it has one.
      [
        {
          functions: [...nvidia, { at: '0000:0c:00.0', class: '108000', group: '20', ports }],
          domains: passes(...both),
        },
        'warning',
        '0000:0b:00.0',
      ],
      [
        {
          functions: [...nvidia, { at: '0000:0c:00.0', class: '010601', group: '20', ports }],
          domains: passes(...both),
        },
        'error',
        '0000:0b:00.0',
        /0000:0c:00\.0 \(SATA/,
      ],
      // A host bridge or a memory device bars it too where a driver has it.
      [
        {
          functions: [
            ...gpu('10de:1b80', { driver: 'nouveau' }),
            { at: '0000:0c:00.0', class: '058000', driver: 'pmt', group: '20', ports },
          ],
          domains: passes(...both),
        },
        'error',
        '0000:0b:00.0',
        /pmt/,
      ],
      [
        { functions: [...nvidia, { at: '0000:0c:00.0', class: '020000', group: '20', ports }] },
        'note',
        '0000:0b:00.0',
      ],
    ],
    green: [
      // Root port, host bridge and a placeholder in the group.
      {
        functions: [
          { ...root, group: '20' },
          { at: '0000:00:03.0', class: '060000', group: '20' },
          { at: '0000:0c:00.0', class: '130000', group: '20', ports },
          ...nvidia.slice(1),
        ],
        domains: passes(...both),
      },
      // The other one goes to the same guest, is on vfio-pci, or has no driver.
      {
        functions: [...nvidia, { at: '0000:0c:00.0', class: '020000', group: '20', ports }],
        domains: passes(...both, '0c:00.0'),
      },
      {
        functions: [
          ...gpu('10de:1b80', { driver: 'nouveau' }),
          { at: '0000:0c:00.0', class: '020000', group: '20', ports },
          { at: '0000:0d:00.0', class: '020000', driver: 'vfio-pci', group: '20', ports },
        ],
        domains: passes(...both),
      },
    ],
  },
  'function-left-behind': {
    red: [
      [{ functions: nvidia, domains: passes('0b:00.0') }, 'warning', '0000:0b:00.0', /0b:00\.1/],
      // Two controllers of one chipset slot in one group.
      [
        {
          functions: [
            { at: '0000:0c:00.0', id: '1022:1485', class: '130000', group: '9', ports },
            { at: '0000:0c:00.1', id: '1022:149c', class: '0c0330', group: '9', ports },
            { at: '0000:0c:00.3', id: '1022:149c', class: '0c0330', group: '9', ports },
          ],
          domains: passes('0c:00.1'),
        },
        'warning',
        '0000:0c:00.1',
        /0c:00\.3/,
      ],
      // The sound of an APU is a device of its own kind.
      [
        {
          functions: [
            { at: '0000:0f:00.0', id: '1002:164e', class: '030000', group: '1', ports },
            { at: '0000:0f:00.1', id: '1002:1640', class: '040300', group: '2', ports },
            { at: '0000:0f:00.3', id: '1022:15b6', class: '0c0330', group: '3', ports },
          ],
          domains: passes('0f:00.0'),
        },
        'note',
        '0000:0f:00.0',
        /0f:00\.1/,
      ],
    ],
    green: [
      { functions: nvidia, domains: passes(...both) },
      { functions: nvidia },
      { functions: sriov('10de:2235'), domains: passes('0b:00.4') },
      {
        functions: [
          { at: '0000:0c:00.0', class: '020000', group: '8', ports },
          { at: '0000:0c:00.1', class: '020000', group: '9', ports },
        ],
        domains: passes('0c:00.1'),
      },
    ],
  },
  'acs-override': {
    red: [
      [{ cmdline: ['pcie_acs_override=downstream,multifunction'] }, 'warning', 'host'],
      [
        { functions: gpu('1002:67df', {}, '21'), domains: passes(...both) },
        'warning',
        '0000:0b:00.0',
      ],
      [{ functions: gpu('10de:2482', {}, '21') }, 'note', '0000:0b:00.0'],
    ],
    green: [
      { functions: gpu('1002:731f', {}, '21'), domains: passes(...both) }, // a switch of its own
      { functions: gpu('1002:164e', {}, '21') }, // an APU
      { functions: gpu('1002:fffe', {}, '21') }, // nobody knows
      { functions: sriov('10de:2235'), domains: passes('0b:00.4') },
      { functions: gpu('10de:2482', {}, '21'), cmdline: ['quiet'] },
      { functions: polaris },
    ],
  },
  'identical-ids': {
    red: [
      [
        {
          functions: [...nvidia, { at: '0000:0c:00.0', id: '10de:1b80', class: '030000', ports }],
          domains: passes(...both),
        },
        'note',
        '0000:0b:00.0',
      ],
      [
        {
          functions: [...nvidia, { at: '0000:0c:00.0', id: '10de:1b80', class: '030000', ports }],
          domains: passes(...both),
          cmdline: ['vfio-pci.ids=10DE:1b80'],
        },
        'warning',
        '0000:0b:00.0',
        /Take 10de:1b80 out/,
      ],
    ],
    green: [
      { functions: nvidia, domains: passes(...both), cmdline: ['vfio-pci.ids=10de:1b80'] },
      { functions: sriov('10de:2235'), domains: passes('0b:00.4') },
      {
        functions: [usb('0000:0c:00.1', '1022:149c'), usb('0000:0c:00.3', '1022:149c')],
        domains: passes('0c:00.1'),
      },
    ],
  },
  'device-missing': {
    red: [
      [{ live: true, functions: nvidia, domains: passes('25:00.0') }, 'error', '0000:25:00.0'],
      [{ functions: nvidia, domains: passes('25:00.0') }, 'note', '0000:25:00.0'],
      [
        { functions: nvidia.slice(1), domains: passes('0b:00.2') },
        'note',
        '0000:0b:00.2',
        /0b:00\.1/,
      ],
    ],
    green: [{ functions: nvidia, domains: passes(...both) }, { domains: passes('25:00.0') }],
  },
  'claimed-twice': {
    red: [
      [
        {
          domains: [
            { name: 'a', hostdevs: both },
            { name: 'b', hostdevs: ['0b:00.0'] },
          ],
        },
        'note',
        '0000:0b:00.0',
        /"a", "b"/,
      ],
      [
        {
          domains: ['a', 'b'].map((name) => ({ name, autostart: true, hostdevs: ['0b:00.0'] })),
        },
        'warning',
        '0000:0b:00.0',
      ],
      [{ domains: passes('0b:00.0', '0b:00.0') }, 'error', '0000:0b:00.0', /twice/],
    ],
    green: [
      {
        domains: [
          { name: 'a', hostdevs: ['0b:00.0'] },
          { name: 'b', hostdevs: ['0c:00.0'] },
        ],
      },
    ],
  },
  'host-critical-device': {
    red: [
      [{ domains: passes('00:1f.0') }, 'error', '0000:00:1f.0', /ISA/],
      [
        {
          functions: [{ at: '0000:00:14.3', id: '1022:790e', class: '060100' }],
          domains: passes('00:14.3'),
        },
        'error',
        '0000:00:14.3',
      ],
      [{ domains: passes('00:14.3'), cpu: 'amd' }, 'error', '0000:00:14.3'],
      [{ functions: [root], domains: passes('00:03.1') }, 'error', '0000:00:03.1', /bridge/],
      [
        {
          functions: [
            { at: '0000:04:00.0', class: '010802', ports },
            { at: '0000:05:00.0', class: '010601', ports },
          ],
          domains: passes('04:00.0'),
          disks: { system: [fn('0000:04:00.0')], mounted: [] },
        },
        'error',
        '0000:04:00.0',
        /runs from/,
      ],
      [
        {
          functions: [{ at: '0000:04:00.0', class: '010802', ports }],
          domains: passes('04:00.0'),
          disks: { system: [fn('0000:05:00.0')], mounted: [fn('0000:04:00.0')] },
        },
        'warning',
        '0000:04:00.0',
        /unmount it first/,
      ],
      [
        {
          live: true,
          functions: [{ at: '0000:04:00.0', class: '010802', ports }],
          domains: passes('04:00.0'),
        },
        'warning',
        '0000:04:00.0',
        /only disk/,
      ],
      // An excerpt of a listing does not tell which disks there are.
      [
        { functions: [{ at: '0000:04:00.0', class: '010802', ports }], domains: passes('04:00.0') },
        'note',
        '0000:04:00.0',
        /perhaps/,
      ],
    ],
    green: [
      // The host runs from a stick.
      {
        live: true,
        functions: [{ at: '0000:04:00.0', class: '010802', ports }],
        domains: passes('04:00.0'),
        disks: { system: [fn('0000:00:14.0')], mounted: [] },
      },
      // Intel's Wi-Fi is where AMD has its ISA bridge.
      { functions: [{ at: '0000:00:14.3', class: '028000' }], domains: passes('00:14.3') },
      { domains: passes('00:14.3') },
      {
        functions: [
          { at: '0000:04:00.0', class: '010802', ports },
          { at: '0000:05:00.0', class: '010601', ports },
        ],
        domains: passes('04:00.0'),
        disks: { system: [fn('0000:05:00.0')], mounted: [] },
      },
    ],
  },
  'link-degraded': {
    red: [
      [
        {
          functions: nvidia,
          devices: { '0000:0b:00.0': link(4, 16), '0000:00:03.1': link(4, 16) },
        },
        'warning',
        '0000:0b:00.0',
        /4 of 16/,
      ],
      [
        {
          functions: nvidia,
          devices: { '0000:0b:00.0': link(8, 16), '0000:00:03.1': link(8, 16) },
        },
        'note',
        '0000:0b:00.0',
        /8 of 16/,
      ],
      [
        {
          functions: [
            { at: '0000:04:00.0', id: '1b21:1080', class: '060401' },
            { at: '0000:05:00.0', class: '030000', ports: ['0000:04:00.0'] },
          ],
        },
        'warning',
        '0000:05:00.0',
        /conventional/,
      ],
      // A listing without the tree: nothing else on its bus can have the next number.
      [
        {
          functions: [
            { at: '0000:04:00.0', id: '1b21:1080', class: '060401' },
            { at: '0000:05:00.0', class: '030000' },
          ],
        },
        'warning',
        '0000:05:00.0',
        /conventional/,
      ],
    ],
    green: [
      // The management controller of a server.
      {
        functions: [
          { at: '0000:04:00.0', id: '8086:244e', class: '060401' },
          { at: '0000:05:03.0', id: '102b:0534', class: '030000', ports: ['0000:04:00.0'] },
        ],
      },
      {
        functions: [
          { at: '0000:04:00.0', id: '1b21:1080', class: '060401' },
          { at: '0000:04:01.0', id: '1022:57a3', class: '060400' },
          { at: '0000:05:00.0', class: '030000' },
          { at: '0000:06:00.0', class: '030000' },
        ],
      },
      // The slot has no more; a slow link is an idle one.
      { functions: nvidia, devices: { '0000:0b:00.0': link(4, 16), '0000:00:03.1': link(4, 4) } },
      {
        functions: nvidia,
        devices: { '0000:0b:00.0': link(16, 16), '0000:00:03.1': link(16, 16) },
      },
      { functions: nvidia },
    ],
  },
} satisfies Readonly<Record<string, Case>>;
