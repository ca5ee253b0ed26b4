import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Card } from '../../../daemon/pci/inventory.ts';
import schema from '../../../daemon/pci/quirks/schema.json' with { type: 'json' };
import {
  deviceSpecificOf,
  families,
  familyOf,
  hazardOf,
  quirkOf,
} from '../../../daemon/pci/quirks.ts';
import { rungNames } from '../../../daemon/pci/rung-name.ts';
import { quirksRule } from '../../static/quirks.ts';
import { card, type FunctionText, inventoryOf } from '../inventory-of.ts';

const ofId = (id: string, classCode: string | undefined = '030000') => {
  const [vendor, device] = id.split(':');
  return familyOf({ vendor, device, classCode })?.id;
};

/** A card of these functions, `vendor:device class` each. */
function cardOf(...functions: readonly string[]): Card {
  const list = functions.map((one, place): FunctionText => {
    const [id = '', classCode = ''] = one.split(' ');
    return { at: `0000:01:00.${place}`, id, class: classCode };
  });
  return inventoryOf(list).cards.get(card('0000:01:00')) ?? assert.fail('it has functions');
}

describe('families', () => {
  // One id of each kind of list: single, start, middle and end of a range, and the neighbours of them.
  const known: readonly (readonly [string, string | undefined])[] = [
    ['1002:67df', 'amd-polaris-10'],
    ['1002:6fdf', 'amd-polaris-10'],
    ['1002:67ff', 'amd-polaris-11'],
    ['1002:699f', 'amd-polaris-12'],
    ['1002:6860', 'amd-vega-10'],
    ['1002:6864', 'amd-vega-10'],
    ['1002:6865', undefined],
    ['1002:687f', 'amd-vega-10'],
    ['1002:66af', 'amd-vega-20'],
    ['1002:731f', 'amd-navi-10'],
    ['1002:7340', 'amd-navi-14'],
    ['1002:73bf', 'amd-navi-21'],
    ['1002:73df', 'amd-navi-22'],
    ['1002:73ff', 'amd-navi-23'],
    ['1002:743f', 'amd-navi-24'],
    ['1002:744c', 'amd-navi-31'],
    ['1002:747e', 'amd-navi-32'],
    ['1002:7480', 'amd-navi-33'],
    ['1002:7550', 'amd-navi-48'],
    ['1002:7590', 'amd-navi-44'],
    ['1002:738c', 'amd-arcturus'],
    ['1002:74a1', 'amd-aqua-vanjaram'],
    ['1002:67b1', 'amd-hawaii'],
    ['1002:6611', 'amd-oland'],
    ['1002:164e', 'amd-raphael'],
    ['1002:1638', 'amd-cezanne'],
    ['1002:5046', undefined],
    ['10de:1b80', 'nvidia-pascal'],
    ['10de:2204', 'nvidia-ampere'],
    ['10de:2684', 'nvidia-ada'],
    ['10de:2331', 'nvidia-hopper'],
    ['10de:2342', 'nvidia-hopper-gh100'],
    ['10de:2b85', 'nvidia-blackwell-gb202'],
    ['10de:2c05', 'nvidia-blackwell'],
    ['8086:56a0', 'intel-alchemist'],
    ['8086:e20b', 'intel-battlemage'],
    ['8086:4c8a', 'intel-rocket-lake'],
    ['1234:1111', undefined],
    ['1af4:1050', undefined],
  ];
  for (const [id, family] of known) {
    test(`${id} is ${family ?? 'unknown'}`, () => assert.equal(ofId(id), family));
  }

  test('a family has the functions of its kind only, and all of them where the class is unknown', () => {
    assert.equal(ofId('1022:149c', '0c0330'), 'amd-matisse-usb');
    assert.equal(ofId('1022:149c', '030000'), undefined);
    assert.equal(ofId('1002:1478', '060400'), 'amd-gpu-switch');
    assert.equal(ofId('10de:2c01', '040300'), undefined);
    assert.equal(ofId('1002:740f', '120000'), 'amd-aldebaran');
    assert.equal(familyOf({ vendor: '1002', device: '67df', classCode: undefined })?.kind, 'gpu');
  });

  test('ids that are missing or no hex are unknown', () => {
    assert.equal(familyOf({ vendor: undefined, device: '67df', classCode: '030000' }), undefined);
    assert.equal(familyOf({ vendor: '1002', device: undefined, classCode: '030000' }), undefined);
    assert.equal(familyOf({ vendor: '1002', device: '????', classCode: '030000' }), undefined);
  });

  test('every family says where its facts come from', () => {
    assert.ok(families.length > 100);
    for (const family of families) assert.notEqual(family.source.length, 0, family.id);
  });
});

describe('what doctor asks of a function', () => {
  const fnOf = (one: string) => cardOf(one).functions[0] ?? assert.fail('it has functions');

  test('a hazard has its extent, and since when the kernel avoids it', () => {
    const of = (one: string, kind: Parameters<typeof hazardOf>[1]) => {
      const hazard = hazardOf(fnOf(one), kind);
      return hazard && [hazard.some, hazard.endsHost, hazard.avoidedSince];
    };
    assert.deepEqual(of('1002:67df 030000', 'bus-reset'), [false, false, undefined]);
    assert.deepEqual(of('1002:744c 030000', 'bus-reset'), [true, false, undefined]);
    assert.deepEqual(of('1022:15b8 0c0330', 'usb-reset'), [false, true, undefined]);
    assert.deepEqual(of('1022:149c 0c0330', 'flr'), [false, false, '5.8']);
    assert.deepEqual(of('1002:164e 030000', 'no-reset'), [false, false, undefined]);
    assert.equal(of('1002:67df 030000', 'flr'), undefined);
    assert.equal(of('1234:1111 030000', 'flr'), undefined);
  });

  test('nothing resets an APU of AMD, and no other family is so', () => {
    for (const { id, hazards, kind, vendor } of families)
      assert.equal(
        hazards.some((one) => one.kind === 'no-reset'),
        kind === 'apu' && vendor === '1002',
        id,
      );
  });

  test('a card has a switch of its own, firmware for UEFI only, or a driver that hates KVM', () => {
    const of = (id: string) => {
      const family = familyOf({ vendor: id.slice(0, 4), device: id.slice(5), classCode: '030000' });
      return [family?.cardSwitch, family?.uefiOnly, family?.hideKvm];
    };
    assert.deepEqual(of('1002:67df'), [false, false, false]);
    assert.deepEqual(of('1002:687f'), [true, false, false]);
    assert.deepEqual(of('1002:7550'), [true, true, false]);
    assert.deepEqual(of('8086:e20b'), [true, true, false]);
    assert.deepEqual(of('10de:2204'), [false, true, false]);
    assert.deepEqual(of('10de:1080'), [false, false, true]);
  });

  test('vendor-reset knows its ids only', () => {
    assert.equal(deviceSpecificOf(fnOf('1002:731f 030000'))?.by, 'vendor-reset');
    assert.equal(deviceSpecificOf(fnOf('1002:694c 030000')), undefined);
  });
});

describe('the quirk of a card', () => {
  test('is the family of its display, and the USB controller comes before the rest', () => {
    const gpu = quirkOf(cardOf('1002:ab38 040300', '1002:731f 030000'));
    assert.equal(gpu.family?.id, 'amd-navi-10');
    assert.equal(gpu.known, true);
    assert.equal(gpu.reason, 'AMD Navi 10 (high confidence)');
    assert.deepEqual(gpu.deviceSpecific, { by: 'vendor-reset', needed: true });
    const usb = quirkOf(cardOf('1022:1485 130000', '1022:1486 108000', '1022:149c 0c0330'));
    assert.equal(usb.family?.id, 'amd-matisse-usb');
  });

  test('of unknown ids is the default: every rung but amdgpu, mild to drastic, and it says so', () => {
    const quirk = quirkOf(cardOf('1234:1111 038000'));
    assert.deepEqual(
      quirk.ladder,
      rungNames.filter((name) => name !== 'amdgpu'),
    );
    assert.deepEqual([quirk.known, quirk.never.size, quirk.family], [false, 0, undefined]);
    assert.equal(quirk.resetAfter, 'when-unhealthy');
    assert.equal(quirk.reason, '1234:1111 is not in the quirk data: the default ladder');
  });

  test('forbids what any function of the card forbids', () => {
    const quirk = quirkOf(cardOf('1234:1111 030000', '1022:149c 0c0330'));
    assert.match(quirk.never.get('flr') ?? '', /^AMD Matisse USB 3\.0: it hangs after an FLR/);
    assert.equal(quirk.ladder.includes('flr'), false);
    assert.deepEqual(
      quirk.hazards.map((hazard) => hazard.kind),
      ['flr', 'usb-reset'],
    );
  });

  test('Comet Lake-U sits on no chipset of the 500 series: its FLR stays', () => {
    assert.ok(quirkOf(cardOf('8086:9b41 030000')).ladder.includes('flr'));
  });

  test('has the module of its own id, not of the family', () => {
    const of = (id: string) => quirkOf(cardOf(`${id} 030000`)).deviceSpecific;
    assert.equal(of('1002:67df')?.by, 'vendor-reset');
    assert.equal(of('1002:67d4'), undefined);
    assert.equal(of('8086:0166')?.by, 'kernel');
    assert.equal(of('8086:0162'), undefined);
  });

  // What the facts call deadly must not slip back into a ladder.
  const deadly: readonly (readonly [string, readonly string[]])[] = [
    ['10de:2b85 030000', ['flr']],
    ['1022:149c 0c0330', ['flr']],
    ['1022:148c 0c0330', ['flr']],
    ['1912:0014 0c0330', ['bus', 'cxl_bus', 'subordinate']],
    ['1022:15b8 0c0330', ['flr', 'pm', 'bus', 'subordinate', 'slot-power', 'd3cold']],
    ['1b21:1164 010601', ['bus', 'subordinate']],
    ['1002:7550 030000', ['bus', 'subordinate', 'd3cold']],
    ['1002:74a1 120000', ['flr', 'bus', 'subordinate']],
    ['1002:731f 030000', ['bus', 'subordinate', 'pm']],
    ['8086:4c8a 030000', ['flr']],
    ['8086:9bc5 030000', ['flr']],
    ['8086:9a49 030000', ['flr']],
  ];
  for (const [fn, rungs] of deadly) {
    test(`${fn}: never ${rungs.join(', ')}`, () => {
      const { ladder, never } = quirkOf(cardOf(fn));
      for (const rung of rungNames.filter((name) => rungs.includes(name))) {
        assert.ok(never.has(rung));
        assert.equal(ladder.includes(rung), false);
      }
    });
  }
});

describe('the lint', () => {
  const family = {
    id: 'good',
    name: 'Good family',
    kind: 'gpu',
    vendor: '1002',
    devices: '67df 6860-6864',
    ladder: 'device_specific remove-rescan reboot-host',
    never: [{ rungs: 'bus', reason: 'it breaks' }],
    resetAfter: 'when-unhealthy',
    guestReboot: 'warm',
    confidence: 'high',
    source: ['facts/kernel.md 4'],
  };
  const schemaText = JSON.stringify(schema);
  const judged = (...list: readonly object[]) => {
    const text = JSON.stringify({ $schema: './schema.json', families: list });
    const reader = "import x from './quirks/a.json'";
    return quirksRule(
      new Map([
        ['daemon/pci/quirks/schema.json', schemaText],
        ['daemon/pci/quirks/a.json', text],
        ['daemon/pci/quirks.ts', reader],
      ]),
    ).join('\n');
  };

  const hazard = { kind: 'flr', reason: 'it hangs' };

  test('good data passes', () => {
    assert.equal(judged(family), '');
    const rare = { ...hazard, some: true, endsHost: true, avoidedSince: '5.8' };
    const more = { cardSwitch: true, uefiOnly: true, hideKvm: true };
    const ladder = 'flr reboot-host';
    assert.equal(judged({ ...family, ...more, ladder, hazards: [rare] }), '');
  });

  const second = { ...family, id: 'other', devices: '1111' };
  const bad: readonly (readonly [string, readonly object[], RegExp])[] = [
    ['ids in two families', [family, { ...second, devices: '6864' }], /1002:6864 is in good/],
    ['an id twice in one', [{ ...family, devices: '67df 67d0-67df' }], /1002:67df is in good/],
    ['two families of one name', [family, { ...second, id: 'good' }], /two families/],
    ['an unknown rung', [{ ...family, ladder: 'magic reboot-host' }], /no rung magic/],
    [
      'an unknown forbidden rung',
      [{ ...family, never: [{ rungs: 'bus sbr', reason: 'it breaks' }] }],
      /no rung sbr/,
    ],
    ['a missing source', [{ ...family, source: undefined }], /property 'source'/],
    ['an empty source', [{ ...family, source: [] }], /source must NOT have fewer than 1/],
    ['an empty ladder', [{ ...family, ladder: '' }], /ladder must match pattern/],
    ['a rung twice', [{ ...family, ladder: 'flr flr reboot-host' }], /twice in its ladder/],
    [
      'a ladder with a forbidden rung',
      [{ ...family, ladder: 'bus reboot-host' }],
      /bus is in its ladder and forbidden/,
    ],
    ['a ladder that ends too early', [{ ...family, ladder: 'flr' }], /does not end with/],
    [
      'amdgpu without a driver reset',
      [{ ...family, ladder: 'amdgpu reboot-host' }],
      /have a driverReset/,
    ],
    [
      'a reset after every guest without a rung for it',
      [{ ...family, ladder: 'remove-rescan reboot-host', resetAfter: 'every-guest' }],
      /none for a healthy card/,
    ],
    [
      'a module for foreign ids',
      [{ ...family, deviceSpecific: { by: 'kernel', devices: '1234', needed: false } }],
      /ids that the family has not/,
    ],
    [
      'a module without its rung',
      [
        {
          ...family,
          ladder: 'reboot-host',
          deviceSpecific: { by: 'kernel', devices: '67df', needed: false },
        },
      ],
      /no such rung in its ladder/,
    ],
    ['a range upside down', [{ ...family, devices: '6864-6860' }], /'6864-6860' is no/],
    ['a range of everything', [{ ...family, devices: '0000-ffff' }], /wider than/],
    ['ids in upper case', [{ ...family, devices: '67DF' }], /devices must match/],
    [
      'two hazards of one kind',
      [{ ...family, hazards: [hazard, { ...hazard, some: true }] }],
      /two hazards of one kind/,
    ],
    [
      'a hazard of all of them in the ladder',
      [{ ...family, ladder: 'flr reboot-host', hazards: [hazard] }],
      /flr is in its ladder, and a hazard/,
    ],
    [
      'a hazard that a kernel without a number avoids',
      [{ ...family, hazards: [{ ...hazard, avoidedSince: 'new' }] }],
      /avoidedSince must match/,
    ],
    [
      'a switch on what is no card',
      [{ ...family, kind: 'usb', cardSwitch: true }],
      /are for graphics cards/,
    ],
    ['a flag that says no', [{ ...family, uefiOnly: false }], /uefiOnly must be equal to constant/],
    ['an unknown key', [{ ...family, colour: 'red' }], /additional properties/],
  ];
  for (const [what, list, complaint] of bad) {
    test(`${what} is named`, () => assert.match(judged(...list), complaint));
  }

  test('a file that is no JSON, that nobody reads, or without its schema is named', () => {
    const rule = (files: Readonly<Record<string, string>>) =>
      quirksRule(new Map(Object.entries(files))).join('\n');
    const bare = { 'daemon/pci/quirks/schema.json': schemaText, 'daemon/pci/quirks/b.json': '{' };
    assert.match(rule(bare), /b\.json: daemon\/pci\/quirks\.ts does not read it/);
    assert.match(rule(bare), /b\.json: the file must be object/);
    assert.match(rule({}), /schema\.json: missing/);
  });
});
