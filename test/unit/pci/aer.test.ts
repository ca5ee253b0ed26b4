/** Error counters: read as the kernel prints them, and compared. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { aerRises, readAerCounts, riseText } from '../../../daemon/pci/aer.ts';
import { freshDirectory } from '../fresh-directory.ts';
import { fn } from '../inventory-of.ts';

const fresh = freshDirectory('aer');

const port = fn('0000:00:04.0');
const card = fn('0000:01:00.0');

function treeWith(files: Readonly<Record<string, string>>): string {
  const sys = fresh.path;
  for (const [path, text] of Object.entries(files)) {
    const directory = join(sys, 'bus/pci/devices', path.split('/')[0] ?? '');
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(sys, 'bus/pci/devices', path), text);
  }
  return sys;
}

test('counters are read per error, in the short names and in the long ones of the ABI text', () => {
  const sys = treeWith({
    [`${port}/aer_dev_correctable`]: 'RxErr 2\nTOTAL_ERR_COR 2\n',
    [`${port}/aer_dev_fatal`]: 'Undefined 0\nSurprise Down Error 3\nSDES 1\nTOTAL_ERR_FATAL 4\n',
    [`${port}/aer_dev_nonfatal`]: 'CmpltTO x\nbit[3] 1\n 7\n',
    [`${port}/aer_rootport_total_err_fatal`]: '5\n',
  });
  assert.deepEqual(
    [...readAerCounts(sys, [port, card])].filter(([, count]) => count > 0),
    [
      [`${port} fatal Surprise Down Error`, 3],
      [`${port} fatal SDES`, 1],
      [`${port} fatal reported to it`, 5],
      [`${port} nonfatal bit[3]`, 1],
      [`${port} correctable RxErr`, 2],
    ],
  );
});

test('a rise is told once: what a root port saw itself is among what was reported to it', () => {
  const before = new Map([
    [`${port} fatal SDES`, 1],
    [`${port} fatal reported to it`, 1],
  ]);
  const rises = (...now: readonly (readonly [string, number])[]) =>
    aerRises(before, new Map(now), [card, port]).map(riseText);
  assert.deepEqual(rises([`${port} fatal SDES`, 1], [`${port} fatal reported to it`, 1]), []);
  assert.deepEqual(
    rises([`${port} fatal SDES`, 2], [`${port} fatal DLP`, 1], [`${port} fatal reported to it`, 3]),
    [`${port}: fatal PCIe errors (AER): 2 (SDES, DLP)`],
  );
  assert.deepEqual(
    rises(
      [`${port} fatal SDES`, 1],
      [`${port} fatal reported to it`, 2],
      [`${card} nonfatal X`, 1],
    ),
    [`${card}: nonfatal PCIe errors (AER): 1 (X)`, `${port}: fatal PCIe errors (AER): 1`],
  );
});

test('a device that was found anew counts from nothing', () => {
  const before = new Map([[`${card} fatal SDES`, 4]]);
  const after = new Map([[`${card} fatal SDES`, 1]]);
  assert.deepEqual(
    aerRises(before, after, [card]).map(({ what }) => what),
    ['1 (SDES)'],
  );
  assert.deepEqual(aerRises(before, new Map([[`${card} fatal SDES`, 0]]), [card]), []);
});
