import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, test } from 'node:test';
import { readWhole, writeWhole } from '../../../daemon/host/atomic-file.ts';
import { freshDirectory } from '../fresh-directory.ts';

const fresh = freshDirectory('atomic-file');
let directory: string;
let path: string;
beforeEach(() => {
  directory = fresh.path;
  path = join(directory, 'leases.json');
});

test('a file is replaced whole, is ours alone, and nothing else is left', async () => {
  await writeWhole(path, 'a long first text');
  chmodSync(path, 0o644);
  const inode = statSync(path).ino;
  await writeWhole(path, 'second');
  assert.equal(readFileSync(path, 'utf8'), 'second');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.notEqual(statSync(path).ino, inode, 'a reader of the old file keeps the old file');
  assert.deepEqual(readdirSync(directory), ['leases.json']);
});

test('a temporary file of a crashed writer is no obstacle', async () => {
  writeFileSync(`${path}.new`, 'half of a te');
  await writeWhole(path, 'whole');
  assert.equal(readFileSync(path, 'utf8'), 'whole');
  assert.deepEqual(readdirSync(directory), ['leases.json']);
});

test('a link is replaced, not followed', async () => {
  const other = join(directory, 'other');
  writeFileSync(other, 'untouched');
  symlinkSync(other, path);
  await writeWhole(path, 'whole');
  assert.equal(readFileSync(other, 'utf8'), 'untouched');
  assert.equal(readFileSync(path, 'utf8'), 'whole');
});

test('where it cannot be written the old text stays whole, and the error says why', async () => {
  await writeWhole(path, 'old');
  mkdirSync(`${path}.new`);
  await assert.rejects(writeWhole(path, 'new'), { code: 'EISDIR', syscall: 'open' });
  assert.equal(readFileSync(path, 'utf8'), 'old');
  await assert.rejects(writeWhole(join(directory, 'no', 'where'), 'x'), { code: 'ENOENT' });
});

test('where it cannot be renamed no temporary file is left', async () => {
  mkdirSync(join(path, 'in-the-way'), { recursive: true });
  await assert.rejects(writeWhole(path, 'new'), { syscall: 'rename' });
  assert.deepEqual(readdirSync(directory), ['leases.json']);
});

test('a file is read back; a missing one is none; one that is too big is refused unread', async () => {
  assert.equal(await readWhole(path, 10), undefined);
  await writeWhole(path, '0123456789');
  assert.equal(await readWhole(path, 10), '0123456789');
  await assert.rejects(readWhole(path, 9), /has 10 bytes, more than 9/);
});

test('what is there but cannot be read is an error, not a missing file', async () => {
  mkdirSync(path);
  await assert.rejects(readWhole(path, 1_000_000), { code: 'EISDIR' });
  await assert.rejects(readWhole(join(directory, 'x'.repeat(300)), 10), { code: 'ENAMETOOLONG' });
});
