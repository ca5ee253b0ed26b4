import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFunctionAddress } from '../../../daemon/pci/address.ts';
import { type ConfigSign, type FunctionSigns, judge } from '../../../daemon/pci/health.ts';

const address = parseFunctionAddress('0b:00.0');
assert.ok(address !== undefined);
const resource = [
  '0x00000000e0000000 0x00000000efffffff 0x000000000014220c',
  '0x0000000000000000 0x0000000000000000 0x0000000000000000',
  '0x000000000000e000 0x000000000000e0ff 0x0000000000040101',
].join('\n');

/** A header as a healthy 1002:731f has it: BAR 0 64-bit memory, BAR 2 I/O. */
function header(change: (bytes: Buffer) => void = () => {}): ConfigSign {
  const bytes = Buffer.alloc(64);
  bytes.writeUInt32LE(0x731f1002, 0);
  bytes.writeUInt16LE(0x0007, 4);
  bytes.writeUInt32LE(0xe000000c, 0x10);
  bytes.writeUInt32LE(0, 0x14);
  bytes.writeUInt32LE(0xe001, 0x18);
  change(bytes);
  return { state: 'read', bytes };
}

/** The standard space of a function with a capability list: power management at 40, PCI Express at 80. */
function space(change: (bytes: Buffer) => void = () => {}): ConfigSign {
  const bytes = Buffer.alloc(256);
  const first = header();
  if (first.state === 'read') first.bytes.copy(bytes);
  bytes.writeUInt16LE(0x0010, 0x06);
  bytes.writeUInt8(0x40, 0x34);
  bytes.writeUInt16LE(0x8001, 0x40);
  bytes.writeUInt16LE(0x0010, 0x80);
  change(bytes);
  return { state: 'read', bytes };
}

/** A bridge with secondary bus 0b. */
function port(change: Partial<FunctionSigns> = {}): FunctionSigns {
  const config = header((bytes) => {
    bytes.writeUInt8(0x01, 0x0e);
    bytes.writeUIntLE(0x0b0b00, 0x18, 3);
  });
  const { expected } = signs();
  return signs({
    expected: { ...expected, kind: 'port' },
    config,
    secondaryBus: '0000:0b',
    ...change,
  });
}

function signs(change: Partial<FunctionSigns> = {}): FunctionSigns {
  return {
    expected: {
      address: address ?? assert.fail(),
      vendor: '1002',
      device: '731f',
      kind: 'function',
    },
    present: true,
    powerState: 'D0',
    runtimeStatus: 'active',
    resource,
    secondaryBus: undefined,
    config: header(),
    powerStateAfter: 'D0',
    ...change,
  };
}

const verdicts: readonly (readonly [string, FunctionSigns, string, RegExp])[] = [
  ['a card that answers with its BARs in place', signs(), 'healthy', /BARs match/],
  [
    'all ones',
    signs({ config: { state: 'read', bytes: Buffer.alloc(64, 0xff) } }),
    'wedged',
    /all ones/,
  ],
  ['a function that left the bus', signs({ present: false }), 'lost', /not on the bus/],
  [
    'a link that reads as all ones',
    signs({ config: space((b) => b.writeUInt16LE(0xffff, 0x92)) }),
    'wedged',
    /link status reads as all ones/,
  ],
  [
    'all ones where an endpoint of the root complex has no link',
    signs({
      config: space((b) => b.fill('9000ffff', 0x82, 0x94, 'hex').writeUInt16LE(0x0090, 0x82)),
    }),
    'healthy',
    /BARs match/,
  ],
  [
    'CRS for good',
    signs({ config: header((b) => b.writeUInt32LE(0xffff0001, 0)) }),
    'wedged',
    /ffff0001/,
  ],
  [
    'header type 7f',
    signs({ config: header((b) => b.writeUInt8(0xff, 0x0e)) }),
    'wedged',
    /header type/,
  ],
  [
    'command register ffff',
    signs({ config: header((b) => b.writeUInt16LE(0xffff, 4)) }),
    'wedged',
    /command/,
  ],
  [
    'another identity',
    signs({ config: header((b) => b.writeUInt32LE(0x12345678, 0)) }),
    'suspect',
    /5678:1234/,
  ],
  [
    'BARs that read zero after a reset',
    signs({ config: header((b) => b.writeUInt32LE(0, 0x10)) }),
    'suspect',
    /BAR 0/,
  ],
  [
    'an I/O BAR that moved',
    signs({ config: header((b) => b.writeUInt32LE(0xd001, 0x18)) }),
    'suspect',
    /BAR 2/,
  ],
  [
    'a BAR without an address',
    signs({ resource: '0x0000000000000000 0x000000000fffffff 0x0000000020140204' }),
    'suspect',
    /no address/,
  ],
  ['a capability list that is whole', signs({ config: space() }), 'healthy', /BARs match/],
  [
    'a capability list that was cut off by who may not read it',
    signs({ config: header((b) => b.writeUInt16LE(0x0010, 0x06)) }),
    'healthy',
    /BARs match/,
  ],
  [
    'a capability pointer of ones',
    signs({ config: space((b) => b.writeUInt8(0xff, 0x34)) }),
    'suspect',
    /capability list reads ff/,
  ],
  [
    'a capability of ones',
    signs({ config: space((b) => b.fill(0xff, 0x80)) }),
    'suspect',
    /capability at 80 reads ff/,
  ],
  [
    'a capability list that turns in a circle',
    signs({ config: space((b) => b.writeUInt8(0x40, 0x81)) }),
    'healthy',
    /BARs match/,
  ],
  [
    'a capability list that points into the header',
    signs({ config: space((b) => b.writeUInt8(0x10, 0x81)) }),
    'healthy',
    /BARs match/,
  ],
  [
    'asleep, although the kernel has it awake',
    signs({ config: space((b) => b.writeUInt16LE(0x0003, 0x44)) }),
    'suspect',
    /is in D3 where the kernel has it in D0/,
  ],
  [
    'a power management register of ones',
    signs({ config: space((b) => b.writeUInt16LE(0xffff, 0x44)) }),
    'suspect',
    /reads ffff/,
  ],
  [
    'that fell asleep while it was read',
    signs({ config: space((b) => b.writeUInt16LE(0x0003, 0x44)), powerStateAfter: 'D3hot' }),
    'healthy',
    /BARs match/,
  ],
  ['a port with its bus numbers', port(), 'healthy', /its bus numbers match/],
  [
    'a port that forgot its bus numbers',
    port({ config: header((b) => b.writeUInt8(0x01, 0x0e)) }),
    'suspect',
    /secondary bus reads e0 where the kernel has 0b/,
  ],
  [
    'a read that never returned',
    signs({ config: { state: 'stuck', pid: 42 } }),
    'wedged',
    /child 42 in D state/,
  ],
  [
    'a read that was refused',
    signs({ config: { state: 'error', errno: 'EACCES' } }),
    'unknown',
    /EACCES/,
  ],
  [
    'a card asleep in D3cold',
    signs({ config: { state: 'not-read', why: 'asleep' } }),
    'unknown',
    /asleep/,
  ],
  [
    'a short read',
    signs({ config: { state: 'read', bytes: Buffer.alloc(10) } }),
    'unknown',
    /10 bytes/,
  ],
];

for (const [name, sign, state, evidence] of verdicts) {
  test(`${name}: ${state}`, () => {
    const health = judge([sign]);
    assert.equal(health.state, state);
    assert.match(health.evidence.join('\n'), evidence);
    assert.match(health.evidence[0] ?? '', /^0000:0b:00\.0: /);
  });
}

test('the worst function decides, and only what is wrong is said', () => {
  const audio = signs({ present: false });
  const health = judge([signs(), audio, signs({ config: { state: 'error', errno: 'EIO' } })]);
  assert.equal(health.state, 'lost');
  assert.equal(health.evidence.length, 2);
});

test('no functions at all is lost', () => {
  assert.equal(judge([]).state, 'lost');
});

test('BARs of ports are not compared: theirs are windows', () => {
  assert.equal(judge([port({ resource })]).state, 'healthy');
});

test('a fatal error of a link makes a card suspect that answers, and is what decided', () => {
  const { address: at } = signs().expected;
  const fatal = [{ address: at, severity: 'fatal', what: '1 (SDES)' }] as const;
  assert.deepEqual(judge([signs()], { fatal, lost: [], notes: [] }), {
    state: 'suspect',
    evidence: ['0000:0b:00.0: fatal PCIe errors (AER): 1 (SDES)'],
  });
});

test('what is only worth a note decides nothing', () => {
  const { state, evidence } = judge([signs()], { fatal: [], lost: [], notes: ['narrow'] });
  assert.deepEqual([state, evidence.length, evidence[1]], ['healthy', 2, 'narrow']);
});
