/** The matrix of rungs and kernels, and what of it may be given away. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exportOf, matrixLines } from '../../../daemon/ctl/outcomes.ts';
import { createPaint } from '../../../daemon/ctl/paint.ts';
import type { Outcome } from '../../../daemon/ctl/shapes.ts';

const one: Outcome = {
  card: '0000:0b:00',
  id: '1002:731f',
  family: 'AMD Navi 10',
  rung: 'device_specific',
  kernel: '6.12.117-1-amd64',
  driver: 'amdgpu, vendor_reset 0.1.1',
  tried: 3,
  healed: 2,
  triedHealthy: 9,
  keptHealthy: 9,
  medianMs: 240,
  lastUsec: 1_700_000_000_123_456,
};

test('a table for each card: rungs down, kernels and drivers across', () => {
  const bus = { ...one, rung: 'bus', tried: 1, healed: 0, triedHealthy: 0, medianMs: 70_200 };
  const outcomes = [
    one,
    { ...bus, kernel: '6.1.0', driver: 'amdgpu' },
    { ...bus, card: '0000:04:00', id: '1b36:000d', family: '', driver: 'xhci_hcd' },
  ];
  assert.equal(
    matrixLines(outcomes, createPaint(false)).join('\n'),
    `0000:0b:00  1002:731f  AMD Navi 10
  RUNG             6.12.117-1-amd64 (amdgpu, vendor_reset 0.1.1)  6.1.0 (amdgpu)
  device_specific  healed 2 of 3, kept well 9 of 9, 240 ms        -
  bus              -                                              healed 0 of 1, 1 min 10 s

0000:04:00  1b36:000d
  RUNG  6.12.117-1-amd64 (xhci_hcd)
  bus   healed 0 of 1, 1 min 10 s`,
  );
  assert.deepEqual(matrixLines([], createPaint(false)), ['no rung has been done on any card yet']);
});

test('what is given away counts cards of a kind together, and has a fixed set of keys', () => {
  const other = { ...one, card: '0000:0c:00', tried: 1, healed: 1, medianMs: 100, lastUsec: 5 };
  const { card: _card, lastUsec: _last, ...rest } = one;
  assert.deepEqual(exportOf([{ ...one, rung: 'flr' }, other, one, { ...one, family: 'Navi' }]), {
    format: 'revived-outcomes',
    version: 1,
    outcomes: [
      { ...rest, tried: 7, healed: 5, triedHealthy: 27, keptHealthy: 27 },
      { ...rest, rung: 'flr' },
    ],
  });
});

const releases: readonly (readonly [string, string])[] = [
  ['6.12.117-1-amd64', '6.12.117-1-amd64'],
  ['6.1.0-56-amd64', '6.1.0-56-amd64'],
  ['6.8.12-4-pve', '6.8.12-4-pve'],
  ['5.14.0-427.13.1.el9_4.x86_64', '5.14.0-427.13.1.el9_4.x86_64'],
  ['6.15.0-rc3+', '6.15.0-rc3'],
  ['6.11.5-arch1-1', '6.11.5-arch1-1'],
  ['6.12.117-alices-pc', '6.12.117'],
  ['6.12.117-1-alice', '6.12.117-1'],
  ['6.12.117_alice', '6.12.117'],
  ['6.12.117-1-amd64@host', '6.12.117-1'],
  ['alice', ''],
];
for (const [release, kept] of releases) {
  test(`of the release ${release} is given away: ${kept}`, () => {
    assert.equal(exportOf([{ ...one, kernel: release }]).outcomes[0]?.kernel, kept);
  });
}

test('of drivers their names and the numbers of their versions; what is no id and no rung not at all', () => {
  const driverOf = (driver: string) => exportOf([{ ...one, driver }]).outcomes[0]?.driver;
  assert.equal(driverOf('nvidia 550.54.14'), 'nvidia 550.54.14');
  assert.equal(driverOf('amdgpu 6.10-alice, vendor_reset alice'), 'amdgpu 6.10, vendor_reset');
  assert.equal(driverOf('Alice/s, none'), 'other, none');
  assert.deepEqual(exportOf([{ ...one, id: 'alice' }]).outcomes, []);
  assert.deepEqual(exportOf([{ ...one, rung: 'alice' }]).outcomes, []);
});
