/** What worked on a card before goes first, as far as it may. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Outcome } from '../../../daemon/host/outcome.ts';
import type { RungName } from '../../../daemon/pci/rung-name.ts';
import { preferred, recordOf } from '../../../daemon/reset/preference.ts';
import { card } from '../inventory-of.ts';

const subject = { card: card('0000:0b:00'), id: '1002:731f', kernel: 'k' } as const;

function outcome(rung: RungName, healed: number, tried: number, more: Partial<Outcome> = {}) {
  const empty = { triedHealthy: 0, keptHealthy: 0, ms: [], last: 0, family: '', driver: 'amdgpu' };
  return { ...subject, ...empty, rung, healed, tried, ...more };
}

const ladder = [
  'device_specific',
  'flr',
  'bus',
  'subordinate',
  'remove-rescan',
  'suspend',
] as const;
const same: readonly RungName[] = ladder;

const orders: readonly (readonly [string, readonly Outcome[], readonly RungName[]])[] = [
  ['nothing is known', [], same],
  [
    'what healed goes before what is not known to, within its reach',
    [outcome('flr', 1, 1), outcome('subordinate', 3, 4)],
    ['flr', 'device_specific', 'subordinate', 'bus', 'remove-rescan', 'suspend'],
  ],
  ['but not before a gentler one that was not tried', [outcome('bus', 5, 5)], same],
  ['nor before one that failed once', [outcome('bus', 5, 5), outcome('flr', 0, 1)], same],
  [
    'it passes gentler ones that always failed',
    [
      outcome('remove-rescan', 2, 2),
      ...(['device_specific', 'flr', 'bus', 'subordinate'] as const).map((rung) =>
        outcome(rung, 0, 2),
      ),
    ],
    ['remove-rescan', 'device_specific', 'flr', 'bus', 'subordinate', 'suspend'],
  ],
  [
    'one that was not tried stops it',
    [outcome('remove-rescan', 2, 2), outcome('subordinate', 0, 2), outcome('bus', 0, 2)],
    ['device_specific', 'flr', 'remove-rescan', 'bus', 'subordinate', 'suspend'],
  ],
  [
    'what fails more often than it heals is not preferred',
    [outcome('flr', 1, 3), outcome('device_specific', 0, 2)],
    same,
  ],
  [
    'of two that heal the family decides',
    [outcome('flr', 9, 9), outcome('device_specific', 1, 2)],
    same,
  ],
  [
    'what reaches the host is not preferred, and nothing passes it',
    [outcome('suspend', 9, 9), ...ladder.slice(0, 5).map((rung) => outcome(rung, 0, 9))],
    same,
  ],
  ['another card in the slot says nothing', [outcome('flr', 9, 9, { id: '10de:1e87' })], same],
  ['nor the same card in another slot', [outcome('flr', 9, 9, { card: card('0000:0c:00') })], same],
  [
    'another kernel speaks where this one has seen nothing',
    [outcome('flr', 9, 9, { kernel: 'j' })],
    ['flr', 'device_specific', 'bus', 'subordinate', 'remove-rescan', 'suspend'],
  ],
  [
    'and is not heard where it has',
    [outcome('flr', 9, 9, { kernel: 'j' }), outcome('flr', 0, 1)],
    same,
  ],
  [
    'a reset of a healthy card proves nothing',
    [outcome('flr', 0, 0, { triedHealthy: 9, keptHealthy: 9 })],
    same,
  ],
];

for (const [name, outcomes, order] of orders) {
  test(name, () => assert.deepEqual(preferred(ladder, subject, outcomes), order));
}

test('nothing moves past a rung that reaches the host', () => {
  const outcomes = [outcome('suspend', 0, 9), outcome('d3cold', 9, 9)];
  assert.deepEqual(preferred(['suspend', 'd3cold'], subject, outcomes), ['suspend', 'd3cold']);
});

test('drivers are counted together', () => {
  const outcomes = [outcome('flr', 1, 1), outcome('flr', 0, 2, { driver: 'amdgpu 6.10' })];
  assert.deepEqual(recordOf('flr', subject, outcomes), { tried: 3, healed: 1, here: true });
});
