/** From mounts to the PCI functions below them, on trees as the kernel and udev make them. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { createHostFiles } from '../../../daemon/doctor/captured.ts';
import { readDisksInUse } from '../../../daemon/doctor/system-disks.ts';
import { liveFiles } from './live-files.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'disks-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

function link(path: string, to: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  symlinkSync(relative(dirname(join(root, path)), join(root, to)), join(root, path));
}

/** A block device that hangs below `place` in sys/devices. */
function block(name: string, place: string): void {
  put(`sys/devices/${place}/${name}/size`, '1');
  link(`sys/class/block/${name}`, `sys/devices/${place}/${name}`);
}

function mounts(...lines: (readonly [place: string, type: string, source: string])[]): void {
  const text = lines.map(([at, type, source]) => {
    const number = type === 'zfs' || type === 'btrfs' ? '0:25' : '8:1';
    return `22 1 ${number} / ${at} rw - ${type} ${source} rw\n`;
  });
  put('proc/self/mountinfo', text.join(''));
}

const disks = () => readDisksInUse(liveFiles(root));

test('a volume on a partition, and a swap file beside a disk with data', () => {
  block('nvme0n1p2', 'pci0000:00/0000:00:01.2/0000:03:00.0/nvme/nvme0/nvme0n1');
  block('sda1', 'pci0000:00/0000:00:17.0/ata1/host0/block/sda');
  block('sdb', 'pci0000:00/0000:00:14.0/usb2/2-1/block');
  put('sys/devices/virtual/block/dm-0/slaves/nvme0n1p2', '');
  link('sys/class/block/dm-0', 'sys/devices/virtual/block/dm-0');
  put('dev/dm-0', '');
  link('dev/mapper/root', 'dev/dm-0');
  mounts(
    ...([
      ['/', 'ext4', '/dev/mapper/root'],
      ['/proc', 'proc', 'proc'],
      ['/srv', 'xfs', '/dev/sda1'],
    ] as const),
  );
  put('proc/swaps', 'Filename\tType\n/dev/sdb partition 1 0 -2\n/swapfile file 1 0 -2\n');
  assert.deepEqual(disks(), {
    system: ['0000:03:00.0'],
    mounted: ['0000:00:17.0', '0000:00:14.0'],
  });
  assert.deepEqual(readDisksInUse(createHostFiles(root)), { system: [], mounted: [] });
});

test('ZFS names its pool, btrfs one of its devices: all of them count', () => {
  const pool = { nvme0n1p3: 'rpool', nvme1n1p3: 'rpool', sda1: 'tank' };
  for (const [index, [name, label]] of Object.entries(pool).entries()) {
    block(name, `pci0000:00/0000:0${index + 1}:00.0/x`);
    put(`sys/devices/pci0000:00/0000:0${index + 1}:00.0/x/${name}/dev`, `259:${index}\n`);
    put(`run/udev/data/b259:${index}`, `E:ID_FS_LABEL=${label}\nE:ID_FS_TYPE=zfs_member\n`);
  }
  mounts(['/', 'zfs', 'rpool/ROOT/pve-1']);
  assert.deepEqual(disks(), { system: ['0000:01:00.0', '0000:02:00.0'], mounted: [] });
  put('sys/fs/btrfs/0-1/devices/nvme1n1p3', '');
  put('sys/fs/btrfs/0-1/devices/sda1', '');
  mounts(['/', 'zfs', 'rpool/ROOT/pve-1'], ['/data', 'btrfs', '/dev/sda1']);
  assert.deepEqual(disks().mounted, ['0000:03:00.0']);
});

test('/dev/root is known by its number', () => {
  block('vda1', 'pci0000:00/0000:00:02.0/virtio0/block/vda');
  link('sys/dev/block/8:1', 'sys/devices/pci0000:00/0000:00:02.0/virtio0/block/vda/vda1');
  mounts(['/', 'ext4', '/dev/root']);
  assert.deepEqual(disks().system, ['0000:00:02.0']);
});

test("the mounts of the host count, not those that are left in the daemon's namespace", () => {
  block('sda1', 'pci0000:00/0000:00:17.0/ata1/host0/block/sda');
  block('sdb1', 'pci0000:00/0000:03:00.0/ata1/host0/block/sdb');
  mounts(['/', 'ext4', '/dev/sda1']);
  put('proc/1/ns/mnt', '');
  put('proc/1/mountinfo', '22 1 0:9 / /home rw - ext4 /dev/sdb1 rw\n');
  assert.deepEqual(disks().mounted, ['0000:03:00.0']);
});

test('a disk behind VMD goes with the VMD, one with several ways with all of them', () => {
  block('nvme0n1', 'pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0/nvme/nvme0');
  block('nvme1n1', 'virtual/nvme-subsystem/nvme-subsys1');
  link('sys/class/nvme-subsystem/nvme-subsys1', 'sys/devices/virtual/nvme-subsystem/nvme-subsys1');
  put('sys/devices/pci0000:40/0000:40:01.1/0000:41:00.0/nvme/nvme1/size', '');
  const controller = 'sys/devices/pci0000:40/0000:40:01.1/0000:41:00.0/nvme/nvme1';
  link('sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1', controller);
  mounts(['/', 'ext4', '/dev/nvme0n1'], ['/var', 'ext4', '/dev/nvme1n1']);
  assert.deepEqual(disks().system, ['0000:00:0e.0', '10000:e1:00.0', '0000:41:00.0']);
});
