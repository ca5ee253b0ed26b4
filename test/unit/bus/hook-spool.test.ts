import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { spoolLimit, takeSpooled } from '../../../daemon/bus/hook-spool.ts';

const dir = mkdtempSync(join(tmpdir(), 'revived-spool-'));
const spool = join(dir, 'hook');
mkdirSync(spool);
const outside = join(dir, 'secret');
writeFileSync(outside, 'secret');
after(() => rmSync(dir, { recursive: true }));

const refused = (why: RegExp) => ({ code: 'invalid-argument', message: why });

test('the file is read and removed', async () => {
  const path = join(spool, 'win10.Xy_1-2');
  writeFileSync(path, '<domain>ä</domain>');
  assert.equal(await takeSpooled(spool, path), '<domain>ä</domain>');
  assert.equal(existsSync(path), false);
});

test('only plain names directly below the spool are touched', async () => {
  mkdirSync(join(spool, 'sub'));
  writeFileSync(join(spool, 'sub', 'x'), '');
  writeFileSync(join(spool, 'sp ace'), '');
  const paths = [
    ...[outside, `${spool}/../secret`, `${spool}/sub/x`, `${spool}//x`, `${spool}/./x`, 'x', ''],
    ...[
      spool,
      `${spool}/`,
      `${spool}/.`,
      `${spool}/..`,
      `${spool}/sp ace`,
      `${spool}/${'x'.repeat(65)}`,
    ],
  ];
  for (const path of paths) {
    await assert.rejects(takeSpooled(spool, path), refused(/is not a plain name/), path);
  }
  for (const kept of [outside, join(spool, 'sub', 'x'), join(spool, 'sp ace')]) {
    assert.ok(existsSync(kept), kept);
  }
});

test('a link is not followed, and goes', async () => {
  const path = join(spool, 'link');
  symlinkSync(outside, path);
  await assert.rejects(takeSpooled(spool, path), refused(/cannot be opened \(ELOOP\)/));
  assert.throws(() => lstatSync(path), { code: 'ENOENT' });
  assert.ok(existsSync(outside));
});

test('a FIFO is neither waited for nor read', { timeout: 5000 }, async () => {
  const path = join(spool, 'fifo');
  execFileSync('/usr/bin/mkfifo', [path]);
  await assert.rejects(takeSpooled(spool, path), refused(/not a regular file/));
  assert.equal(existsSync(path), false);
});

test('a directory is refused', async () => {
  const path = join(spool, 'directory');
  mkdirSync(path);
  await assert.rejects(takeSpooled(spool, path), refused(/not a regular file/));
});

test('a file that is too big is refused unread, and goes', async () => {
  const path = join(spool, 'big');
  writeFileSync(path, '');
  truncateSync(path, spoolLimit + 1);
  await assert.rejects(takeSpooled(spool, path), refused(/bigger than 8388608 bytes/));
  assert.equal(existsSync(path), false);
  writeFileSync(path, 'x'.repeat(spoolLimit));
  assert.equal((await takeSpooled(spool, path)).length, spoolLimit);
});

test('a file that is not there, or is no UTF-8, is refused', async () => {
  await assert.rejects(takeSpooled(spool, join(spool, 'none')), refused(/\(ENOENT\)/));
  const path = join(spool, 'latin');
  writeFileSync(path, Buffer.from([0x3c, 0xe4, 0x3e]));
  await assert.rejects(takeSpooled(spool, path), refused(/is not UTF-8/));
  assert.equal(existsSync(path), false);
});
