import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ladderFor, rungs } from '../../../daemon/reset/ladder.ts';
import { type ResetFacts, rungNames } from '../../../daemon/reset/rung.ts';
import { card, desktop, fn, inventoryOf } from '../inventory-of.ts';

const gpu =
  inventoryOf(desktop).cards.get(card('0000:0b:00')) ?? assert.fail('the desktop has this card');
const own = [fn('0000:0b:00.0'), fn('0000:0b:00.1')];

function facts(change: Partial<ResetFacts> = {}): ResetFacts {
  return {
    card: gpu,
    functions: [
      { address: fn('0000:0b:00.0'), methods: ['flr', 'bus'], driver: 'vfio-pci' },
      { address: fn('0000:0b:00.1'), methods: undefined, driver: 'vfio-pci' },
    ],
    ports: [
      { address: fn('0000:0a:00.0'), canResetSubordinate: true, below: own },
      { address: fn('0000:09:00.0'), canResetSubordinate: true, below: own },
      { address: fn('0000:00:03.1'), canResetSubordinate: true, below: own },
    ],
    slot: undefined,
    configDead: false,
    gone: false,
    ...change,
  };
}

const available = (change: Partial<ResetFacts> = {}) =>
  ladderFor(facts(change))
    .filter((entry) => entry.available)
    .map((entry) => entry.rung.name);
const reason = (name: string, change: Partial<ResetFacts> = {}) =>
  ladderFor(facts(change)).find((entry) => entry.rung.name === name)?.reason ?? '';

test('every rung has its entry, with a reason, in the order of the names', () => {
  const ladder = ladderFor(facts());
  assert.deepEqual(
    ladder.map((entry) => entry.rung.name),
    [...rungNames],
  );
  for (const entry of ladder) {
    assert.notEqual(entry.reason, '');
    assert.ok(entry.rung.worstMs >= entry.rung.expectedMs);
    assert.equal(rungs[entry.rung.name], entry.rung);
  }
});

test('`bus` in reset_method of a multi-function card is not believed', () => {
  assert.deepEqual(available(), ['flr', 'subordinate', 'remove-rescan']);
  assert.match(reason('bus'), /refuses it while 0000:0b:00\.1 shares the bus/);
});

test('what works through config space is left out when that is dead', () => {
  assert.deepEqual(available({ configDead: true }), ['subordinate', 'remove-rescan']);
  assert.match(reason('flr', { configDead: true }), /dead/);
});

test('nothing is reset, removed or switched off under a live host driver', () => {
  const driven = {
    functions: [{ address: fn('0000:0b:00.0'), methods: ['flr'], driver: 'amdgpu' }],
  };
  assert.deepEqual(
    available({ ...driven, slot: { directory: '/sys/bus/pci/slots/1', power: '1' } }),
    [],
  );
  assert.match(reason('subordinate', driven), /still run by amdgpu/);
});

test('a reset that would reach somebody else is refused by name', () => {
  const shared = facts().ports.map((port) => ({ ...port, below: [...own, fn('0000:0e:00.0')] }));
  assert.equal(available({ ports: shared }).includes('subordinate'), false);
  assert.match(reason('subordinate', { ports: shared }), /0000:0e:00\.0/);
  const slot = { directory: '/sys/bus/pci/slots/1', power: '1' };
  assert.match(reason('slot-power', { ports: shared, slot }), /cut off 0000:0e:00\.0/);
});

test('the highest port with nothing else below is the one that is reset', () => {
  const shared = facts().ports.map((port, level) =>
    level === 2 ? { ...port, below: [...own, fn('0000:0e:00.0')] } : port,
  );
  const entry = ladderFor(facts({ ports: shared })).find((one) => one.rung.name === 'subordinate');
  assert.equal(entry?.available, true);
  assert.deepEqual(entry?.reaches, own);
});

test('a card that left the bus can only be looked for, or powered', () => {
  const slot = { directory: '/sys/bus/pci/slots/1', power: '0' };
  const gone = { gone: true, configDead: true, functions: [], slot };
  assert.deepEqual(available(gone), ['remove-rescan', 'slot-power']);
});

test('an order leaves out what it does not name', () => {
  assert.deepEqual(
    ladderFor(facts(), ['remove-rescan', 'flr']).map((entry) => entry.rung.name),
    ['remove-rescan', 'flr'],
  );
});
