import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultConfig } from '../../../daemon/config/config.ts';
import type { RevivedError } from '../../../daemon/errors.ts';
import type { RungName } from '../../../daemon/pci/rung-name.ts';
import type { Lease } from '../../../daemon/pipeline/lease.ts';
import { type PrepareRequest, planPrepare, planReturn } from '../../../daemon/pipeline/plan.ts';
import { stepTitle } from '../../../daemon/pipeline/step.ts';
import { card, desktop, fn, inventoryOf } from '../inventory-of.ts';

const uuid = '6695eb01-f6a4-8304-79aa-97f2502e193f';

function request(change: Partial<PrepareRequest> = {}): PrepareRequest {
  return {
    domain: 'win10',
    uuid,
    requested: [fn('0000:0b:00.0'), fn('0000:0b:00.1')],
    inventory: inventoryOf(desktop),
    leases: [],
    config: defaultConfig,
    needs: { disks: new Set(), mounted: new Set(), keyboards: [[null]] },
    reviveMs: 1000,
    ...change,
  };
}

const gpuLease: Lease = {
  card: card('0000:0b:00'),
  domain: 'linux',
  uuid: '11111111-2222-3333-4444-555555555555',
  since: 1,
  state: 'lent',
  boundBy: 'revived',
  reason: '',
  home: {
    ports: [fn('0000:0a:00.0'), fn('0000:09:00.0'), fn('0000:00:03.1')],
    power: [{ device: fn('0000:0b:00.0'), attribute: 'power/control', value: 'auto' }],
    functions: [
      {
        address: fn('0000:0b:00.0'),
        id: '1002:731f',
        classCode: '030000',
        group: '22',
        driver: 'amdgpu',
        override: '',
      },
      {
        address: fn('0000:0b:00.1'),
        id: '1002:ab38',
        classCode: '040300',
        group: '23',
        driver: null,
        override: 'none',
      },
    ],
  },
};

const titles = (change: Partial<PrepareRequest> = {}) =>
  planPrepare(request(change)).cards.flatMap(({ steps }) => steps.map(stepTitle));

test('a handover: wait, pin, override before unbind, audio first, module, revive, methods, bind, pin, verify', () => {
  assert.deepEqual(titles(), [
    'wait-free 0000:0b:00',
    'pin-power 0000:0b:00',
    'override 0000:0b:00.0',
    'override 0000:0b:00.1',
    'unbind 0000:0b:00.1',
    'unbind 0000:0b:00.0',
    'reset-module 0000:0b:00',
    'revive 0000:0b:00',
    'reset-method 0000:0b:00.0',
    'forbid-methods 0000:0b:00.0',
    'forbid-methods 0000:0b:00.1',
    'bind-vfio 0000:0b:00.0',
    'bind-vfio 0000:0b:00.1',
    'pin-power 0000:0b:00',
    'verify 0000:0b:00',
  ]);
});

test('power is pinned for the card, the switch inside it and the port', () => {
  const step = planPrepare(request()).cards[0]?.steps.find((one) => one.step === 'pin-power');
  assert.deepEqual(step?.args.devices, [
    '0000:0b:00.0',
    '0000:0b:00.1',
    '0000:0a:00.0',
    '0000:09:00.0',
    '0000:00:03.1',
  ]);
});

test('a forgotten audio function goes along, and that is said', () => {
  const plan = planPrepare(request({ requested: [fn('0000:0b:00.0')] }));
  assert.equal(plan.cards[0]?.card.functions.length, 2);
  assert.match(plan.notes.join(), /0000:0b:00\.1 \(1002:ab38\) goes along/);
});

test('of an APU slot the display takes its audio along, and nothing else', () => {
  const plan = planPrepare(request({ requested: [fn('0000:0d:00.0')] }));
  assert.deepEqual(
    plan.cards[0]?.card.functions.map((one) => one.address),
    ['0000:0d:00.0', '0000:0d:00.1'],
  );
});

test('of a network card only the port that is passed moves: the host may live on the other', () => {
  const plan = planPrepare(request({ requested: [fn('0000:05:00.1')] }));
  assert.deepEqual(
    plan.cards[0]?.card.functions.map((one) => one.address),
    ['0000:05:00.1'],
  );
});

test('a group shared with SATA is refused, with what to add', () => {
  const shared = desktop.map((one) => (one.at === '0000:0b:00.0' ? { ...one, group: '12' } : one));
  assert.throws(
    () => planPrepare(request({ inventory: inventoryOf(shared) })),
    (error: RevivedError) => {
      assert.equal(error.code, 'refused');
      assert.match(error.message, /shares IOMMU group 12 with .*0000:01:00\.1 \(1022:43c8, ahci\)/);
      assert.match(error.advice ?? '', /Add .* to domain win10/);
      return true;
    },
  );
});

test('ports and driverless devices in the group do not stand in the way', () => {
  const shared = desktop.map((one) =>
    one.at === '0000:0b:00.0' || one.at === '0000:00:03.1' ? { ...one, group: '22' } : one,
  );
  assert.equal(planPrepare(request({ inventory: inventoryOf(shared) })).cards.length, 1);
});

const refusals: readonly (readonly [string, Partial<PrepareRequest>, string, RegExp])[] = [
  [
    'an address that does not exist',
    { requested: [fn('0000:99:00.0')] },
    'refused',
    /0000:99:00\.0.*no such device/,
  ],
  ['a bridge', { requested: [fn('0000:0a:00.0')] }, 'refused', /PCI bridge/],
  [
    'a host without IOMMU',
    { inventory: inventoryOf(desktop, false) },
    'refused',
    /IOMMU of this host is off/,
  ],
  [
    'a card of another domain',
    { leases: [gpuLease] },
    'busy',
    /is with domain linux; domain win10 cannot/,
  ],
  [
    'a card that the host runs from',
    { needs: { disks: new Set([fn('0000:0b:00.1')]), mounted: new Set(), keyboards: [] } },
    'refused',
    /host runs from a disk on 0000:0b:00\.1/,
  ],
  [
    'the only keyboard of the host',
    { needs: { disks: new Set(), mounted: new Set(), keyboards: [[fn('0000:0b:00.0')]] } },
    'refused',
    /only keyboard of this host hangs on 0000:0b:00\.0/,
  ],
  ['a card taken by hand', { leases: [{ ...gpuLease, domain: '', uuid: '' }] }, 'busy', /a person/],
];

for (const [name, change, code, message] of refusals) {
  test(`${name} is refused with the reason`, () => {
    assert.throws(() => planPrepare(request(change)), { code, message });
  });
}

test('a keyboard among others may go, and the only one where the owner says so', () => {
  const gpu = fn('0000:0b:00.0');
  const plan = (keyboards: readonly (readonly (typeof gpu | null)[])[], lendKeyboard: boolean) => {
    const cards = new Map([[card('0000:0b:00'), { lendKeyboard }]]);
    const needs = { disks: new Set<typeof gpu>(), mounted: new Set<typeof gpu>(), keyboards };
    return planPrepare(request({ needs, config: { ...defaultConfig, cards } })).cards.length;
  };
  assert.equal(plan([[gpu], [null]], false), 1);
  assert.equal(plan([[fn('0000:05:00.0')], [gpu]], false), 1);
  assert.equal(plan([], false), 1);
  assert.equal(plan([[gpu], [gpu]], true), 1);
  const eitherWay = [[gpu, fn('0000:05:00.0')]];
  assert.throws(() => plan(eitherWay, false), { code: 'refused' });
});

test('a card that is just coming home, or stranded, may be asked for', () => {
  for (const state of ['returning', 'resetting', 'stranded'] as const) {
    assert.equal(planPrepare(request({ leases: [{ ...gpuLease, state }] })).cards.length, 1);
  }
});

test('a card that left the bus is planned from its lease', () => {
  const without = inventoryOf(desktop.filter((one) => !one.at.startsWith('0000:0b')));
  const plan = planPrepare(
    request({ inventory: without, leases: [{ ...gpuLease, state: 'stranded' }] }),
  );
  assert.equal(plan.cards[0]?.card.functions.length, 2);
});

test('virtual functions are left to libvirt', () => {
  const plan = planPrepare(request({ requested: [fn('0000:05:10.0')] }));
  assert.deepEqual(plan.cards, []);
  assert.match(plan.notes.join(), /virtual function/);
});

test('a controller that takes the host down with it is handed over only by force', () => {
  const at = '0000:0c:00.0';
  const inventory = inventoryOf([{ at, id: '1022:15b8', class: '0c0330', group: '9' }]);
  const requested = [fn(at)];
  assert.throws(() => planPrepare(request({ inventory, requested })), {
    code: 'refused',
    message: /Card 0000:0c:00 .*restarts the whole host/,
  });
  const cards = new Map([[card('0000:0c:00'), { force: true }]]);
  const config = { ...defaultConfig, cards };
  assert.equal(planPrepare(request({ inventory, requested, config })).cards.length, 1);
});

test('a configured reset method is chosen before vfio-pci binds, on the first function', () => {
  const config = {
    ...defaultConfig,
    cards: new Map([[card('0000:0b:00'), { resetMethod: 'device_specific' }]]),
  };
  const list = titles({ config });
  assert.ok(list.indexOf('reset-method 0000:0b:00.0') < list.indexOf('bind-vfio 0000:0b:00.0'));
  assert.equal(list.includes('reset-method 0000:0b:00.1'), false);
});

test('a configured reset method that the family forbids is not written without force, and noted each time', () => {
  const of = (resetMethod: string, force: boolean) => {
    const cards = new Map([[card('0000:0b:00'), { resetMethod, force }]]);
    const { cards: planned, notes } = planPrepare(request({ config: { ...defaultConfig, cards } }));
    const steps = planned.flatMap((one) => one.steps);
    const written = steps.flatMap((one) => (one.step === 'reset-method' ? one.args.methods : []));
    return { written, notes: notes.filter((note) => note.startsWith('reset-method')) };
  };
  assert.deepEqual(of('bus', false).written, ['device_specific'], 'what its family has instead');
  assert.deepEqual(of('device_specific bus', false).written, ['device_specific']);
  const [left] = of('bus', false).notes;
  assert.match(
    left ?? '',
    /bus of card 0000:0b:00 is never right on AMD Navi 10 .*: it is left out/,
  );
  const forced = of('bus', true);
  assert.deepEqual(forced.written, ['bus']);
  assert.match(forced.notes[0] ?? '', /it is forced$/);
  assert.deepEqual(of('device_specific', false).notes, []);
});

test('a method without effect is left to the kernel where it keeps VFIO from a reset that does harm', () => {
  const at = '0000:0c:00.0';
  const never = (id: string, classCode: string) => {
    const inventory = inventoryOf([{ at, id, class: classCode, group: '9' }]);
    const config = { ...defaultConfig, cards: new Map([[card('0000:0c:00'), { force: true }]]) };
    const [planned] = planPrepare(request({ inventory, requested: [fn(at)], config })).cards;
    return planned?.steps.flatMap((one) => (one.step === 'forbid-methods' ? one.args.never : []));
  };
  assert.deepEqual(never('1002:67df', '038000'), ['bus', 'cxl_bus'], 'Polaris');
  assert.deepEqual(never('1002:73bf', '038000'), ['pm'], 'Navi 21 may be reset by its bus');
  assert.ok(never('1022:15b8', '0c0330')?.includes('pm'), 'any reset of it ends the host');
  assert.deepEqual(never('1022:149c', '0c0330'), ['flr']);
});

test('a reset after every guest: on the return alone, and only rungs that the configuration allows', () => {
  const gentle = (ladder?: readonly RungName[], lease = gpuLease, evenIfHealthy = false) => {
    const settings = ladder === undefined ? {} : { ladder };
    const config = { ...defaultConfig, cards: new Map([[gpuLease.card, settings]]) };
    const { revive } = planReturn(lease, config, 1000, { order: null, evenIfHealthy });
    return revive.flatMap((one) => (one.step === 'revive' ? one.args.whenHealthy : []));
  };
  assert.deepEqual(gentle(), ['device_specific', 'acpi']);
  assert.deepEqual(gentle(['remove-rescan', 'acpi']), ['acpi']);
  assert.deepEqual(
    gentle(undefined, gpuLease, true),
    [],
    'a reset that was asked for is that reset',
  );
  const [first, ...others] = gpuLease.home.functions;
  assert.ok(first !== undefined);
  const other = { ...gpuLease.home, functions: [{ ...first, id: '1002:73bf' }, ...others] };
  assert.deepEqual(gentle(undefined, { ...gpuLease, home: other }), []);
  const [taken] = planPrepare(request()).cards;
  const revive = taken?.steps.find((one) => one.step === 'revive');
  assert.deepEqual(revive?.step === 'revive' && revive.args.whenHealthy, []);
});

test('a return: wait, revive; then the reset methods, home drivers, overrides last but one, power last', () => {
  const plan = planReturn(gpuLease, defaultConfig, 1000);
  assert.deepEqual(plan.close.map(stepTitle), ['wait-closed 0000:0b:00']);
  assert.deepEqual(plan.revive.map(stepTitle), ['revive 0000:0b:00']);
  const { card: address } = gpuLease;
  const method = { methods: 'default', otherwise: 'default' };
  assert.deepEqual(plan.giveBack, [
    { step: 'reset-method', args: { card: address, fn: '0000:0b:00.0', ...method } },
    { step: 'reset-method', args: { card: address, fn: '0000:0b:00.1', ...method } },
    { step: 'bind-home', args: { card: address, fn: '0000:0b:00.0', driver: 'amdgpu' } },
    { step: 'bind-home', args: { card: address, fn: '0000:0b:00.1', driver: null } },
    { step: 'override', args: { card: address, fn: '0000:0b:00.0', driver: '' } },
    { step: 'override', args: { card: address, fn: '0000:0b:00.1', driver: 'none' } },
    { step: 'restore-power', args: { card: address, settings: gpuLease.home.power } },
  ]);
});
