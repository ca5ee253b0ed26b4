import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { readHostNeeds, refuseByHand } from '../../../daemon/pipeline/host-needs.ts';
import { inventoryOf } from '../inventory-of.ts';

const controller = '0000:0c:00.3';
const usb = `sys/devices/pci0000:00/0000:00:08.1/${controller}/usb3/3-1`;
/** Esc to S and more, as a USB keyboard has them; and the three of a mouse. */
const allKeys = '10000 7 ff9f207a c14057ff febeffdf ffefffff ffffffff fffffffe';
const wideKeys = '1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe';
const buttons = '1f0000 0 0 0 0';

let root = '';
let paths = { sys: '', proc: '', dev: '' };
const put = (path: string, text: string) => {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  writeFileSync(join(root, path), text);
};
const link = (path: string, target: string) => {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  symlinkSync(join(root, target), join(root, path));
};
const input = (number: number, place: string, keys: string) => {
  put(`${place}/input/input${number}/capabilities/key`, `${keys}\n`);
  link(`sys/class/input/input${number}`, `${place}/input/input${number}`);
};

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'revived-needs-'));
  paths = { sys: join(root, 'sys'), proc: join(root, 'proc'), dev: join(root, 'dev') };
});
afterEach(() => rmSync(root, { recursive: true }));

test('keyboards are told by their keys, and found below their controllers or beside them', () => {
  input(3, `${usb}/3-1:1.0`, allKeys);
  input(4, `${usb}/3-1:1.1`, buttons);
  input(5, 'sys/devices/platform/i8042/serio0', wideKeys);
  input(6, 'sys/devices/LNXSYSTM:00/LNXPWRBN:00', '10000000000000 0');
  input(7, `${usb}/3-1:1.2`, '4 0 0 7fe'); // the digits of a remote control
  const { keyboards, disks } = readHostNeeds(paths);
  assert.deepEqual([keyboards, [...disks]], [[[controller], [null]], []]);
});

test('a keyboard of a program is none, one of Bluetooth is there with its adapters', () => {
  input(3, `${usb}/3-1:1.0`, allKeys);
  input(4, 'sys/devices/virtual', allKeys);
  const uhid = 'sys/devices/virtual/misc/uhid';
  input(5, `${uhid}/0005:046D:B35B.0004`, allKeys);
  put(`${uhid}/0005:046D:B35B.0004/input/input5/id/bustype`, '0005\n');
  input(6, `${uhid}/0003:046D:C31C.0005`, allKeys);
  put(`${uhid}/0003:046D:C31C.0005/input/input6/id/bustype`, '0003\n');
  assert.deepEqual(readHostNeeds(paths).keyboards, [[controller]], 'there is no adapter');
  link('sys/class/bluetooth/hci0', 'sys/devices/pci0000:00/0000:02:00.0/usb1/1-4/bluetooth/hci0');
  link('sys/class/bluetooth/hci1', 'sys/devices/platform/serial8250/bluetooth/hci1');
  for (const path of ['pci0000:00/0000:02:00.0/usb1/1-4', 'platform/serial8250']) {
    put(`sys/devices/${path}/bluetooth/hci${path.startsWith('pci') ? 0 : 1}/uevent`, '');
  }
  const { keyboards } = readHostNeeds(paths);
  assert.deepEqual(keyboards, [[controller], ['0000:02:00.0', null]]);
});

test('the root file system on a USB disk is on its controller', () => {
  put('proc/self/mountinfo', '22 1 8:2 / / rw - ext4 /dev/sda2 rw\n');
  put('dev/sda2', '');
  put(`${usb}/host6/block/sda/sda2/dev`, '8:2\n');
  link('sys/class/block/sda2', `${usb}/host6/block/sda/sda2`);
  assert.deepEqual([...readHostNeeds(paths).disks], [controller]);
});

test('by hand a controller with a mounted data disk is refused', () => {
  put('proc/self/mountinfo', '22 1 8:17 / /srv rw - ext4 /dev/sdb1 rw\n');
  put('dev/sdb1', '');
  put(`${usb}/host6/block/sdb/sdb1/dev`, '8:17\n');
  link('sys/class/block/sdb1', `${usb}/host6/block/sdb/sdb1`);
  const needs = readHostNeeds(paths);
  assert.deepEqual([[...needs.disks], [...needs.mounted]], [[], [controller]]);
  const inventory = inventoryOf([{ at: controller, class: '0c0330' }]);
  const [usbCard] = inventory.cards.values();
  assert.ok(usbCard);
  assert.throws(() => refuseByHand(usbCard, needs), {
    code: 'refused',
    message: /A disk on 0000:0c:00\.3 is mounted/,
  });
});

test('a host that tells nothing needs nothing', () => {
  assert.deepEqual(readHostNeeds(paths), {
    disks: new Set(),
    mounted: new Set(),
    keyboards: [],
  });
});
