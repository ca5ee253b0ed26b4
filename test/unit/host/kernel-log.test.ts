/** The log reader over a file that gives one record per read, as /dev/kmsg does; each is padded to the reader's buffer. */

import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { type KernelLog, openKernelLog } from '../../../daemon/host/kernel-log.ts';
import { freshDirectory } from '../fresh-directory.ts';

const fresh = freshDirectory('kernel-log');
const gpu = '0000:01:00.0';
let dev: string;
let log: KernelLog;
let sequence = 0;

function kernelSays(text: string, continuation = ''): void {
  const record = `6,${sequence++},5140900,-;${text}\n${continuation}`;
  appendFileSync(join(dev, 'kmsg'), record.padEnd(8192));
}

beforeEach(() => {
  dev = fresh.path;
  writeFileSync(join(dev, 'kmsg'), '');
  log = openKernelLog(dev);
});
afterEach(() => log.close());

test('what was said since the cursor about the functions that matter', () => {
  kernelSays(`vfio-pci ${gpu}: before`);
  const cursor = log.cursor();
  kernelSays(`vfio-pci ${gpu}: not ready 1023ms after FLR; waiting`);
  kernelSays('amdgpu 0000:09:00.0: somebody else');
  kernelSays('pcieport 0000:00:04.0: pciehp: Slot(1): Link Down');
  assert.deepEqual(log.since(cursor, [gpu, '0000:00:04.0'], 10), [
    `vfio-pci ${gpu}: not ready 1023ms after FLR; waiting`,
    'pcieport 0000:00:04.0: pciehp: Slot(1): Link Down',
  ]);
  assert.deepEqual(log.since(log.cursor(), [gpu], 10), []);
});

test('two cursors see their own time, in any order of asking', () => {
  const first = log.cursor();
  kernelSays(`${gpu}: one`);
  const second = log.cursor();
  kernelSays(`${gpu}: two`);
  assert.deepEqual(log.since(second, [gpu], 10), [`${gpu}: two`]);
  assert.deepEqual(log.since(first, [gpu], 10), [`${gpu}: one`, `${gpu}: two`]);
});

test('the text ends at its newline: the dictionary of a record is no text', () => {
  const cursor = log.cursor();
  kernelSays(`pci ${gpu}: BAR 0; a semicolon in the text`, ` SUBSYSTEM=pci\n DEVICE=+pci:${gpu}\n`);
  kernelSays('unrelated', ` DEVICE=+pci:${gpu}\n`);
  assert.deepEqual(log.since(cursor, [gpu], 10), [`pci ${gpu}: BAR 0; a semicolon in the text`]);
});

test('the last lines are given when there are more than fit', () => {
  const cursor = log.cursor();
  for (let n = 0; n < 9; n++) kernelSays(`${gpu}: line ${n}`);
  assert.deepEqual(log.since(cursor, [gpu], 2), [`${gpu}: line 7`, `${gpu}: line 8`]);
});

test('a bounded number of records is kept, the newest ones', () => {
  const cursor = log.cursor();
  const records = Array.from({ length: 2100 }, (_, n) => `6,${n},1,-;${gpu}: ${n}\n`.padEnd(8192));
  appendFileSync(join(dev, 'kmsg'), records.join(''));
  const kept = log.since(cursor, [gpu], 10_000);
  assert.equal(kept.length, 2000);
  assert.equal(kept.at(-1), `${gpu}: 2099`);
});

test('where the log may not be read there is no evidence, no error, and the reason', () => {
  assert.equal(log.unreadable(), undefined);
  const none = openKernelLog(join(dev, 'nowhere'));
  assert.match(none.unreadable() ?? '', /^ENOENT/);
  mkdirSync(join(dev, 'folder/kmsg'), { recursive: true });
  const opened = openKernelLog(join(dev, 'folder'));
  assert.match(opened.unreadable() ?? '', /^EISDIR/, 'it opens, and gives nothing');
  opened.close();
  assert.deepEqual(none.since(none.cursor(), [gpu], 10), []);
  none.close();
  log.close();
  assert.deepEqual(log.since(0, [gpu], 10), []);
});
