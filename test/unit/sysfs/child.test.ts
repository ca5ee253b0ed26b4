import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createChildIo, errnoOf } from '../../../daemon/sysfs/child.ts';

const directory = mkdtempSync(join(tmpdir(), 'revived-child-'));
after(() => rmSync(directory, { recursive: true }));
const io = createChildIo({ dd: '/usr/bin/dd' });

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
