/** Before a start no file is asked about that could make the daemon wait: behind dead servers a stat never comes back. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { readStartFacts } from '../../../daemon/doctor/host-facts.ts';
import { answeringPaths } from '../../../daemon/doctor/mounts.ts';
import { inventoryOf } from '../inventory-of.ts';
import { xmlOf } from './facts-of.ts';
import { liveFiles } from './live-files.ts';

const root = mkdtempSync(join(tmpdir(), 'mounts-'));
after(() => rmSync(root, { recursive: true }));

const rows = [
  ['/', 'ext4'],
  ['/mnt/nas', 'nfs4'],
  ['/mnt/with\\040blank', 'fuse.sshfs'],
  ['/mnt/nas/disk', 'ext4'],
  ['/mnt/auto', 'autofs'],
  ['/mnt/auto', 'ext4'],
  ['/mnt/new', 'whatfs'],
  ['/srv', 'xfs'],
];

function put(path: string, text = ''): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

function link(path: string, to: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  symlinkSync(to, join(root, path));
}

put(
  'proc/self/mountinfo',
  rows.map(([place, type]) => `22 1 0:9 / ${place} rw - ${type} x rw\n`).join(''),
);
for (const path of ['srv/r.rom', 'mnt/nas/r.rom', 'home/a/r.rom', 'etc/libvirt/hooks/x']) put(path);
link('srv/far', '../mnt/nas');
link('srv/near', '/etc/../srv/./r.rom');
link('srv/home.rom', '/home/a/r.rom');
link('srv/loop', 'loop');

test('a path answers where every part of it, and of what it links to, is on a file system of this host', () => {
  const answers = answeringPaths(liveFiles(root));
  for (const path of [
    '/srv/r.rom',
    '/srv/none/x.rom',
    '/srv/near',
    '/mnt/nasty',
    '/home2/x',
    '/',
  ]) {
    assert.equal(answers(path), true, path);
  }
  for (const path of [
    ...[
      '/mnt/nas',
      '/mnt/nas/r.rom',
      '/mnt/nas/disk/r.rom',
      '/mnt/with blank/r.rom',
      '/mnt/auto/x',
    ],
    ...['/mnt/new/x', '/srv/far/r.rom', '/srv/../mnt/nas/x', '/mnt/nas/../x', '/srv/loop'],
    ...['/home/a/r.rom', '/srv/home.rom', 'srv/r.rom', `/${'x/'.repeat(3000)}`],
  ]) {
    assert.equal(answers(path), false, path);
  }
});

test('the start of a domain with files behind a server: unknown, and nobody asked', () => {
  const files = liveFiles(root);
  const asked: string[] = [];
  const watched = {
    ...files,
    stat(path: string) {
      asked.push(path);
      return files.stat(path);
    },
  };
  const hostdevs = [
    '0b:00.0 rom=/mnt/nas/r.rom',
    '0b:00.1 rom=/srv/far/r.rom',
    '0c:00.0 rom=/srv/r.rom',
  ];
  const firmware = "<loader type='pflash'>/mnt/nas/code.fd</loader>";
  const facts = readStartFacts(watched, inventoryOf([], true), xmlOf({ hostdevs, firmware }));
  assert.deepEqual([...facts.files.keys()], ['/srv/r.rom']);
  assert.deepEqual(
    asked.filter((path) => /nas|far/.test(path)),
    [],
  );
  assert.ok(asked.includes('/srv/r.rom'));
  assert.equal(facts.hooks?.installed, false);
  // Without a list of mounts nothing can be told.
  rmSync(join(root, 'proc/self/mountinfo'));
  assert.equal(answeringPaths(liveFiles(root))('/srv/r.rom'), false);
});
