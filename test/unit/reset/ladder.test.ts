import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quirkOf } from '../../../daemon/pci/quirks.ts';
import { rungNames } from '../../../daemon/pci/rung-name.ts';
import { ladderFor, rungs, rungsAfterGuest } from '../../../daemon/reset/ladder.ts';
import type { ResetFacts } from '../../../daemon/reset/rung.ts';
import { card, desktop, fn, inventoryOf } from '../inventory-of.ts';

/** A card of the desktop under other ids; the default is one that no quirk data knows. */
function gpuOf(id = '1002:5046') {
  const list = desktop.map((one) => (one.at === '0000:0b:00.0' ? { ...one, id } : one));
  return inventoryOf(list).cards.get(card('0000:0b:00')) ?? assert.fail('the desktop has it');
}
const gpu = gpuOf();
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
    .map((entry) => entry.name);
const reason = (name: string, change: Partial<ResetFacts> = {}) =>
  ladderFor(facts(change)).find((entry) => entry.name === name)?.reason ?? '';

test('ids that no data knows: every rung has its entry, with a reason, mild to drastic', () => {
  const ladder = ladderFor(facts());
  const mild = rungNames.filter((name) => name !== 'amdgpu');
  assert.deepEqual(
    ladder.map((entry) => entry.name),
    [...mild, 'amdgpu'],
  );
  assert.equal(ladder.at(-1)?.reason, 'it is not in the default ladder');
  for (const entry of ladder) {
    assert.notEqual(entry.reason, '');
    const { name, rung } = entry;
    if (rung === undefined) continue;
    assert.ok(rung.worstMs >= rung.expectedMs);
    assert.equal(rung.name, name);
    assert.ok(Object.values(rungs).includes(rung));
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
  const entry = ladderFor(facts({ ports: shared })).find((one) => one.name === 'subordinate');
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
    ladderFor(facts(), { order: ['remove-rescan', 'flr'] }).map((entry) => entry.name),
    ['remove-rescan', 'flr'],
  );
});

const navi10 = (options: Parameters<typeof ladderFor>[1] = {}) =>
  ladderFor(facts({ card: gpuOf('1002:731f') }), options);

test('a family has its own order, and what it forbids is left out with what it would do', () => {
  const ladder = navi10();
  const names = ladder.map((entry) => entry.name);
  assert.deepEqual(names.slice(0, 3), ['device_specific', 'acpi', 'remove-rescan']);
  assert.deepEqual([...names].sort(), [...rungNames].sort());
  const bus = ladder.find((entry) => entry.name === 'bus');
  assert.equal(bus?.available, false);
  assert.match(bus?.reason ?? '', /^never on AMD Navi 10: a bus reset leaves its firmware/);
  const flr = ladder.find((entry) => entry.name === 'flr');
  assert.equal(flr?.reason, 'it is not in the ladder of AMD Navi 10');
});

test('a forbidden rung is there only where an order names it and force is set', () => {
  const order = ['subordinate', 'remove-rescan'] as const;
  const [refused] = navi10({ order });
  assert.equal(refused?.available, false);
  assert.match(refused?.reason ?? '', /never on AMD Navi 10: .* \(force: true for this card/);
  const [forced, free] = navi10({ order, force: true });
  assert.ok(forced?.available === true && free?.available === true);
  assert.match(forced.forced ?? '', /a bus reset leaves its firmware/);
  assert.match(forced.reason, /forced by the configuration/);
  assert.equal(free.forced, undefined);
  // Without an order there is nothing to force.
  assert.equal(navi10({ force: true }).find((one) => one.name === 'subordinate')?.available, false);
});

test('a rung without an executor is never available', () => {
  const [entry] = navi10({ order: ['reboot-host'], force: true });
  assert.equal(entry?.available, false);
  assert.match(entry?.reason ?? '', /cannot do it/);
});

test('a healthy card goes through nothing but resets made for it, and only where its family needs that', () => {
  assert.deepEqual(rungsAfterGuest(quirkOf(gpuOf('1002:731f'))), ['device_specific', 'acpi']);
  assert.deepEqual(rungsAfterGuest(quirkOf(gpuOf('1002:73bf'))), []);
  assert.deepEqual(rungsAfterGuest(quirkOf(gpu)), []);
});
