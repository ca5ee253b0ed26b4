/** Rules about devices, red and green. */
import { fn } from '../inventory-of.ts';
import { both, type Case, gpu, nvidia, passes, polaris, ports, sriov, usb } from './rule-case.ts';

const x570 = ['0000:02:00.1', '0000:02:00.3'].map((at) => usb(at, '1022:149c'));

export const devicesCases = {
  'chipset-usb-passed': {
    red: [
      [{ domains: passes('00:14.0') }, 'warning', '0000:00:14.0'],
      [
        { functions: [usb('0000:00:1d.0', '8086:1e26')], domains: passes('00:1d.0') },
        'warning',
        '0000:00:1d.0',
      ],
      [
        { functions: [usb('0000:02:00.0', '1022:43ee')], domains: passes('02:00.0') },
        'warning',
        '0000:02:00.0',
      ],
      // X570: the ids of the processor's controller, twice in one slot.
      [{ functions: x570, domains: passes('02:00.3') }, 'note', '0000:02:00.3'],
      // The host keeps the ports of the other one.
      [
        {
          functions: [usb('0000:00:1a.0', '8086:1e2d'), usb('0000:00:1d.0', '8086:1e26')],
          domains: passes('00:1d.0'),
        },
        'note',
        '0000:00:1d.0',
      ],
    ],
    green: [
      { functions: [usb('0000:0d:00.3', '1022:149c')], domains: passes('0d:00.3') },
      { functions: [usb('0000:00:0d.0', '8086:9a13')], domains: passes('00:0d.0') }, // Thunderbolt
      { domains: passes('00:14.0'), cpu: 'amd' },
    ],
  },
  'boot-vga': {
    red: [
      [
        {
          functions: nvidia,
          domains: passes(...both),
          devices: { '0000:0b:00.0': { bootVga: true } },
        },
        'warning',
        '0000:0b:00.0',
        /no screen/,
      ],
      [{ functions: nvidia, domains: passes(...both) }, 'note', '0000:0b:00.0'],
    ],
    green: [
      {
        functions: nvidia,
        domains: passes(...both),
        devices: { '0000:0b:00.0': { bootVga: false } },
      },
      { functions: nvidia, devices: { '0000:0b:00.0': { bootVga: true } } },
    ],
  },
  'framebuffer-held': {
    red: [
      [
        {
          functions: nvidia,
          domains: passes(...both),
          kernel: '5.10.0',
          framebuffers: [{ at: fn('0000:0b:00.0'), holder: 'efifb' }],
        },
        'warning',
        '0000:0b:00.0',
        /efifb/,
      ],
      [
        {
          functions: nvidia,
          domains: passes(...both),
          kernel: '6.1.0',
          framebuffers: [{ at: fn('0000:0b:00.0'), holder: 'simplefb' }],
        },
        'note',
        '0000:0b:00.0',
      ],
      [
        {
          functions: nvidia,
          domains: passes(...both),
          kernel: '6.1.0',
          log: [
            "vfio-pci 0000:0b:00.0: BAR 1: can't reserve [mem 0xd0000000-0xd1ffffff 64bit pref]",
          ],
        },
        'warning',
        '0000:0b:00.0',
      ],
    ],
    green: [
      { functions: nvidia, domains: passes(...both), kernel: '5.10.0' },
      { functions: nvidia, framebuffers: [{ at: fn('0000:0b:00.0'), holder: 'efifb' }] },
    ],
  },
  'no-reset': {
    red: [
      [
        {
          functions: [{ at: '0000:0f:00.0', id: '1002:164e', class: '030000', ports }],
          domains: passes('0f:00.0'),
        },
        'warning',
        '0000:0f:00.0',
        /integrated/,
      ],
      [
        {
          functions: [{ at: '0000:00:1b.0', class: '040300' }],
          domains: passes('00:1b.0'),
          devices: { '0000:00:1b.0': { resetMethods: [] } },
        },
        'warning',
        '0000:00:1b.0',
      ],
    ],
    green: [
      { functions: sriov('1002:164e'), domains: passes('0b:00.4') },
      // Behind a port VFIO can reset the bus.
      {
        functions: nvidia,
        domains: passes(...both),
        devices: { '0000:0b:00.0': { resetMethods: [] } },
      },
      {
        functions: [{ at: '0000:00:1b.0', class: '040300' }],
        domains: passes('00:1b.0'),
        devices: { '0000:00:1b.0': { resetMethods: ['flr'] } },
      },
    ],
  },
  'device-specific-inactive': {
    red: [
      [
        {
          ...{ functions: polaris, domains: passes(...both), vendorReset: true },
          devices: { '0000:0b:00.0': { resetMethods: ['bus'] } },
        },
        'warning',
        '0000:0b:00.0',
      ],
      [
        { functions: gpu('1002:731f'), domains: passes(...both), vendorReset: false },
        'warning',
        '0000:0b:00.0',
        /not loaded\. .* Install it for this kernel with DKMS/,
      ],
    ],
    green: [
      // revived loads it.
      {
        ...{ functions: gpu('1002:731f'), domains: passes(...both), vendorReset: false },
        vendorResetInstalled: true,
      },
      // What cannot be seen on a live host is not missed.
      {
        ...{ functions: gpu('1002:731f'), domains: passes(...both), vendorReset: false },
        live: true,
      },
      { functions: gpu('1002:731f'), domains: passes(...both) },
      { functions: polaris, domains: passes(...both), vendorReset: false },
      {
        ...{ functions: polaris, domains: passes(...both), vendorReset: true },
        devices: { '0000:0b:00.0': { resetMethods: ['device_specific', 'bus'] } },
      },
      {
        ...{ functions: nvidia, domains: passes(...both), vendorReset: true },
        devices: { '0000:0b:00.0': { resetMethods: ['bus'] } },
      },
      // A Polaris that the module does not know.
      {
        ...{ functions: gpu('1002:67d4'), domains: passes(...both), vendorReset: true },
        devices: { '0000:0b:00.0': { resetMethods: ['bus'] } },
      },
    ],
  },
  'bus-reset-hazard': {
    red: [
      [{ functions: polaris, domains: passes(...both) }, 'warning', '0000:0b:00.0', /vendor-reset/],
      [
        {
          ...{ functions: polaris, domains: passes(...both) },
          devices: { '0000:0b:00.0': { resetMethods: ['device_specific'] } },
        },
        'note',
        '0000:0b:00.0',
      ],
      [
        { functions: gpu('1002:744c'), domains: passes(...both) },
        'note',
        '0000:0b:00.0',
        /may be one of .*S3/,
      ],
      // No module resets it, and it does not come back from a suspend either.
      [
        { functions: gpu('1002:740f', { class: '120000' }), domains: passes(...both) },
        'warning',
        '0000:0b:00.0',
        /until the host is rebooted, and [^(]*never force it off\.$/,
      ],
      [
        {
          functions: [{ at: '0000:04:00.0', id: '1b21:1164', class: '010601', ports }],
          domains: passes('04:00.0'),
        },
        'note',
        '0000:04:00.0',
        /from 6\.12 on know that and do none/,
      ],
    ],
    green: [
      { functions: sriov('1002:74a1'), domains: passes('0b:00.4') },
      { functions: nvidia, domains: passes(...both) },
      { functions: polaris },
      { functions: gpu('1002:67b1'), domains: passes(...both) },
      // usb-reset-hazard says it, and of bridges host-critical-device.
      { functions: [usb('0000:42:00.0', '1912:0014')], domains: passes('42:00.0') },
      {
        functions: [{ at: '0000:42:00.0', id: '10de:22ce', class: '060400' }],
        domains: passes('42:00.0'),
      },
    ],
  },
  'flr-hazard': {
    red: [
      [{ functions: gpu('10de:2b85'), domains: passes(...both) }, 'warning', '0000:0b:00.0'],
      [
        { functions: [usb('0000:0d:00.3', '1022:149c')], domains: passes('0d:00.3') },
        'note',
        '0000:0d:00.3',
        /5\.8/,
      ],
      [
        {
          functions: [{ at: '0000:0d:00.1', id: '1022:17f0', class: '118000', ports }],
          domains: passes('0d:00.1'),
        },
        'note',
        '0000:0d:00.1',
        /from 7\.0 on/,
      ],
      [
        {
          functions: [{ at: '0000:00:02.0', id: '8086:4c8a', class: '030000' }],
          domains: passes('00:02.0'),
        },
        'note',
        '0000:00:02.0',
        /does not always come back/,
      ],
      [
        {
          ...{ functions: [usb('0000:0d:00.3', '1022:149c')], domains: passes('0d:00.3') },
          devices: { '0000:0d:00.3': { resetMethods: ['flr'] } },
        },
        'warning',
        '0000:0d:00.3',
      ],
    ],
    green: [
      { functions: sriov('1002:74a1'), domains: passes('0b:00.4') },
      { functions: nvidia, domains: passes(...both) },
      {
        ...{ functions: gpu('10de:2b85'), domains: passes(...both) },
        devices: { '0000:0b:00.0': { resetMethods: ['bus'] } },
      },
    ],
  },
  'usb-reset-hazard': {
    red: [
      [
        { functions: [usb('0000:42:00.0', '1912:0014')], domains: passes('42:00.0') },
        'warning',
        '0000:42:00.0',
      ],
      [
        { functions: [usb('0000:10:00.0', '1022:15b8')], domains: passes('10:00.0') },
        'warning',
        '0000:10:00.0',
        /whole host/,
      ],
      [
        { functions: [usb('0000:0d:00.3', '1022:149c')], domains: passes('0d:00.3') },
        'note',
        '0000:0d:00.3',
        /from 5\.8 on/,
      ],
      [
        { functions: [usb('0000:0d:00.3', '1022:145c')], domains: passes('0d:00.3') },
        'note',
        '0000:0d:00.3',
        /not always survive/,
      ],
    ],
    green: [
      { functions: [usb('0000:42:00.0', '1b21:2142')], domains: passes('42:00.0') },
      { functions: [usb('0000:42:00.0', '1912:0014')] },
    ],
  },
  'd3cold-hazard': {
    red: [[{ functions: gpu('1002:731f'), domains: passes(...both) }, 'note', '0000:0b:00.0']],
    green: [
      { functions: gpu('1002:731f'), domains: passes(...both), idleD3Disabled: true },
      {
        ...{ functions: gpu('1002:731f'), domains: passes(...both) },
        devices: { '0000:0b:00.0': { d3coldAllowed: false } },
      },
      { functions: nvidia, domains: passes(...both) },
    ],
  },
  'kernel-suspect': {
    red: [
      [{ functions: nvidia, domains: passes(...both), kernel: '6.14.2-arch1' }, 'warning', 'host'],
      [{ functions: polaris, domains: passes(...both), kernel: '6.16.1' }, 'warning', 'host'],
      [{ vendorReset: true, kernel: '5.15.0-91-generic' }, 'warning', 'host', /vendor-reset/],
    ],
    green: [
      { functions: nvidia, domains: passes(...both), kernel: '6.14.3' },
      { functions: nvidia, domains: passes(...both), kernel: '6.16.1' },
      { functions: nvidia, kernel: '6.14.2' },
      { functions: nvidia, domains: passes(...both), kernel: 'custom' },
    ],
  },
} satisfies Readonly<Record<string, Case>>;
