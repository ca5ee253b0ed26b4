import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createChildIo, errnoOf } from '../../../daemon/sysfs/child.ts';

const directory = mkdtempSync(join(tmpdir(), 'revived-child-'));
after(() => rmSync(directory, { recursive: true }));
const io = createChildIo({ dd: '/usr/bin/dd', scratch: directory });

test('a write arrives as it is, in one piece', async () => {
  const path = join(directory, 'plain');
  writeFileSync(path, '');
  const result = await io.write(path, 'vfio-pci\n', 5000);
  assert.equal(result.state, 'ok');
  assert.equal(readFileSync(path, 'utf8'), 'vfio-pci\n');
});

test('a file that is not there is not made', async () => {
  const path = join(directory, 'missing');
  const result = await io.write(path, '1', 5000);
  assert.ok(result.state === 'error');
  assert.equal(result.errno, 'ENOENT');
  assert.equal(existsSync(path), false);
});

test('a read gives at most what was asked for', async () => {
  const path = join(directory, 'config');
  writeFileSync(path, Buffer.alloc(256, 0xff));
  const result = await io.read(path, 64, 5000);
  assert.ok(result.state === 'ok');
  assert.deepEqual(result.data, Buffer.alloc(64, 0xff));
});

test('the errno of the kernel is found in the message of dd', async () => {
  const refused = await io.write('/proc/self/mem_is_not_here', '1', 5000);
  assert.ok(refused.state === 'error' && refused.errno === 'ENOENT');
  const full = await io.write('/dev/full', '1', 5000);
  assert.ok(full.state === 'error' && full.errno === 'ENOSPC');
  assert.equal(errnoOf("dd: error writing '/sys/x': Inappropriate ioctl for device\n"), 'ENOTTY');
  assert.equal(errnoOf('something new'), 'EUNKNOWN');
});

test('a write that can be ended at its deadline is ended', async () => {
  const path = join(directory, 'fifo');
  execFileSync('mkfifo', [path]);
  const start = performance.now();
  const result = await io.write(path, '1', 200);
  assert.ok(result.state === 'error');
  assert.equal(result.errno, 'ETIMEDOUT');
  assert.ok(performance.now() - start < 2000);
});

test('a value with shell characters is data', async () => {
  const path = join(directory, 'data');
  writeFileSync(path, '');
  await io.write(path, '$(touch /tmp/pwned); `id`', 5000);
  assert.equal(readFileSync(path, 'utf8'), '$(touch /tmp/pwned); `id`');
});

test('children at the same time are given their own, and leave no file and no descriptor behind', async () => {
  const open = () => readdirSync('/proc/self/fd').length;
  const names = ['a', 'b', 'c', 'd'].map((name) => join(directory, `many-${name}`));
  for (const path of names) writeFileSync(path, `old ${path}`);
  const before = [open(), readdirSync(directory)];
  const reads = names.map((path) => io.read(path, 4096, 5000));
  const said = await Promise.all(reads);
  assert.deepEqual(
    said.map((result) => (result.state === 'ok' ? result.data.toString() : result)),
    names.map((path) => `old ${path}`),
  );
  for (const path of names) writeFileSync(path, '');
  const missing = join(directory, 'missing');
  const [refused] = await Promise.all([
    io.write(missing, 'x', 5000),
    ...names.map((path) => io.write(path, path, 5000)),
  ]);
  assert.deepEqual(
    names.map((path) => readFileSync(path, 'utf8')),
    names,
  );
  assert.ok(refused?.state === 'error' && refused.message.includes(`'${missing}'`));
  assert.deepEqual([open(), readdirSync(directory)], before);
});

test('where a child cannot be given what it writes, nothing is written, and why is said', async () => {
  const path = join(directory, 'kept');
  writeFileSync(path, 'kept');
  const nowhere = createChildIo({ dd: '/usr/bin/dd', scratch: join(directory, 'nowhere') });
  const result = await nowhere.write(path, 'other', 5000);
  assert.ok(result.state === 'error' && result.errno === 'ENOENT');
  assert.equal(readFileSync(path, 'utf8'), 'kept');
});

test('what cannot even be asked for is an error, and leaves no descriptor behind', async () => {
  const open = () => readdirSync('/proc/self/fd').length;
  const before = open();
  for (const access of [io.read('/proc/a\0b', 4, 5000), io.write('/proc/a\0b', '1', 5000)]) {
    assert.equal((await access).state, 'error');
  }
  assert.equal(open(), before);
});

test('a program that is not there is an error, not a hang', async () => {
  const none = createChildIo({ dd: join(directory, 'no-dd'), scratch: directory });
  const result = await none.read('/dev/zero', 4, 5000);
  assert.ok(result.state === 'error' && result.errno === 'ENOEXEC');
});
