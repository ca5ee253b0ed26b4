import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { quirkOf } from '../../../daemon/pci/quirks.ts';
import { type RungName, rungNames } from '../../../daemon/pci/rung-name.ts';
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
      { address: fn('0000:0a:00.0'), canResetSubordinate: true, canCutPower: false, below: own },
      { address: fn('0000:09:00.0'), canResetSubordinate: true, canCutPower: false, below: own },
      { address: fn('0000:00:03.1'), canResetSubordinate: true, canCutPower: false, below: own },
    ],
    slot: undefined,
    configDead: [],
    gone: false,
    noSleep: 'no clock',
    amdgpuLoaded: true,
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
  const configDead = [fn('0000:0b:00.0')];
  assert.deepEqual(available({ configDead }), ['subordinate', 'remove-rescan']);
  assert.match(reason('flr', { configDead }), /config space of 0000:0b:00\.0, which is dead/);
  assert.ok(available({ configDead: [fn('0000:0b:00.1')] }).includes('flr'), 'of another function');
});

test('nothing is reset, removed or switched off under a live host driver', () => {
  const driven = {
    functions: [{ address: fn('0000:0b:00.0'), methods: ['flr'], driver: 'amdgpu' }],
  };
  assert.deepEqual(available({ ...driven, slot: { directory: '/sys/bus/pci/slots/1' } }), []);
  assert.match(reason('subordinate', driven), /still run by amdgpu/);
});

test('a reset that would reach somebody else is refused by name', () => {
  const shared = facts().ports.map((port) => ({ ...port, below: [...own, fn('0000:0e:00.0')] }));
  assert.equal(available({ ports: shared }).includes('subordinate'), false);
  assert.match(reason('subordinate', { ports: shared }), /0000:0e:00\.0/);
  const slot = { directory: '/sys/bus/pci/slots/1' };
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
  const slot = { directory: '/sys/bus/pci/slots/1' };
  const gone = { gone: true, configDead: own, functions: [], slot };
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

test('a reboot of the host is asked for, never done', () => {
  const [entry] = navi10({ order: ['reboot-host'], force: true });
  assert.equal(entry?.available, false);
  assert.match(entry?.reason ?? '', /^reboot needed: .* never done without your consent/);
});

describe('rungs that need more than the card say what is missing', () => {
  const ports = facts().ports.map((port, level) => ({ ...port, canCutPower: level === 2 }));
  const strangers = [...own, fn('0000:0e:00.0')];
  const driven = [{ address: fn('0000:0b:00.0'), methods: [], driver: 'amdgpu' }];
  const navi = gpuOf('1002:731f');
  const cases: readonly (readonly [RungName, string, Partial<ResetFacts>, RegExp | null])[] = [
    ['device_specific', 'loaded', { module: { name: 'm', loaded: true } }, null],
    [
      'device_specific',
      'gone',
      { module: { name: 'm', loaded: false } },
      /module m, .* not loaded/,
    ],
    ['device_specific', 'unknown', {}, /the kernel offers it for no function/],
    ['amdgpu', 'there', { card: navi }, null],
    ['amdgpu', 'of no use', { card: gpuOf('10de:2204') }, /does not reset cards of this family/],
    ['amdgpu', 'missing', { card: navi, amdgpuLoaded: false }, /amdgpu is not loaded/],
    ['amdgpu', 'a danger', { card: navi, configDead: own }, /hang or crash the host/],
    ['amdgpu', 'at work', { card: navi, functions: driven }, /must be unbound first/],
    ['d3cold', 'offered', { ports }, null],
    ['d3cold', 'not offered', {}, /cannot cut the power of this card \(no _PR3\)/],
    ['d3cold', 'shared', { ports: ports.map((one) => ({ ...one, below: strangers })) }, /0e:00/],
    ['d3cold', 'in use', { ports, functions: driven }, /must be unbound first/],
    ['suspend', 'possible', { noSleep: undefined }, null],
    ['suspend', 'impossible', {}, /^no clock$/],
    ['suspend', 'with a driver', { noSleep: undefined, functions: driven }, /unbound first/],
  ];
  for (const [name, what, change, why] of cases) {
    test(`${name}: ${what}`, () => {
      const [entry] = ladderFor(facts(change), { order: [name] });
      assert.equal(entry?.available, why === null, entry?.reason);
      if (why !== null) assert.match(entry?.reason ?? '', why);
    });
  }
});

test('a healthy card goes through nothing but resets made for it, and only where its family needs that', () => {
  assert.deepEqual(rungsAfterGuest(quirkOf(gpuOf('1002:731f'))), ['device_specific', 'acpi']);
  assert.deepEqual(rungsAfterGuest(quirkOf(gpuOf('1002:73bf'))), []);
  assert.deepEqual(rungsAfterGuest(quirkOf(gpu)), []);
});
