/**
 * Is this card alive? `probeCard` reads the signs, the ones that never block first (facts/kernel.md 3.1);
 * `judge` is pure and says what they show. A return code of a reset is never a sign (invariant 4).
 */
import type { SysfsIo } from '../sysfs/io.ts';
import { present, readAttribute } from '../sysfs/read.ts';
import type { FunctionAddress } from './address.ts';
import { deviceDirectory } from './device.ts';

/** `unknown` is a value: what could not be read is never guessed. */
type HealthState = 'healthy' | 'suspect' | 'wedged' | 'lost' | 'unknown';

export interface Health {
  readonly state: HealthState;
  /** One line each, for people: which function, which sign, what it shows. */
  readonly evidence: readonly string[];
}

/** Who should answer: taken from the inventory or from the lease, so that a lost function is missed. */
export interface Expected {
  readonly address: FunctionAddress;
  readonly vendor: string | undefined;
  readonly device: string | undefined;
  /** `port` for the bridges between the card and the root port: no BARs are compared there. */
  readonly kind: 'function' | 'port';
}

export type ConfigSign =
  | { readonly state: 'read'; readonly bytes: Buffer }
  | { readonly state: 'stuck'; readonly pid: number }
  | { readonly state: 'error'; readonly errno: string }
  | { readonly state: 'not-read'; readonly why: 'asleep' | 'condemned' };

export interface FunctionSigns {
  readonly expected: Expected;
  readonly present: boolean;
  readonly powerState: string | undefined;
  readonly runtimeStatus: string | undefined;
  readonly linkSpeed: string | undefined;
  readonly linkWidth: string | undefined;
  readonly resource: string | undefined;
  readonly config: ConfigSign;
}

interface Verdict {
  readonly state: HealthState;
  readonly line: string;
}

/** From harmless to hopeless; the worst function decides for the card. */
const order: readonly HealthState[] = ['healthy', 'unknown', 'suspect', 'wedged', 'lost'];

/** Bytes of the standard header: all that is read, undefined space locks some chips up. */
const headerBytes = 64;

/**
 * Reads the signs of all functions. Config space is read in a child, only when nothing cheaper has condemned the
 * function and it is not asleep in D3cold (a read would wake it). `deadlineMs` bounds each read.
 */
export async function probeCard(
  sys: string,
  io: SysfsIo,
  expected: readonly Expected[],
  deadlineMs: number,
): Promise<Health> {
  const signs = await Promise.all(expected.map((one) => readSigns(sys, io, one, deadlineMs)));
  return judge(signs);
}

async function readSigns(
  sys: string,
  io: SysfsIo,
  expected: Expected,
  deadlineMs: number,
): Promise<FunctionSigns> {
  const directory = deviceDirectory(sys, expected.address);
  const signs = {
    expected,
    present: present(`${directory}/vendor`),
    powerState: readAttribute(`${directory}/power_state`),
    runtimeStatus: readAttribute(`${directory}/power/runtime_status`),
    linkSpeed: readAttribute(`${directory}/current_link_speed`),
    linkWidth: readAttribute(`${directory}/current_link_width`),
    resource: readAttribute(`${directory}/resource`),
  };
  if (!signs.present || linkIsDead(signs)) {
    return { ...signs, config: { state: 'not-read', why: 'condemned' } };
  }
  if (signs.runtimeStatus === 'suspended' && signs.powerState === 'D3cold') {
    return { ...signs, config: { state: 'not-read', why: 'asleep' } };
  }
  const result = await io.read(`${directory}/config`, headerBytes, deadlineMs);
  switch (result.state) {
    case 'ok':
      return { ...signs, config: { state: 'read', bytes: result.data } };
    case 'stuck':
      return { ...signs, config: { state: 'stuck', pid: result.pid } };
    case 'error':
      return { ...signs, config: { state: 'error', errno: result.errno } };
  }
}

/** Pure verdict over the signs of all functions of a card. No functions at all is `lost`. */
export function judge(signs: readonly FunctionSigns[]): Health {
  if (signs.length === 0) return { state: 'lost', evidence: ['no function of the card is there'] };
  const verdicts = signs.map(judgeFunction);
  const worst = verdicts.reduce((a, b) => (rank(b.state) > rank(a.state) ? b : a));
  const bad = verdicts.filter((verdict) => verdict.state !== 'healthy');
  return { state: worst.state, evidence: (bad.length > 0 ? bad : verdicts).map((v) => v.line) };
}

/** True when config space of every function that is still there reads as all ones, or not at all. */
export function isConfigDead(health: Health): boolean {
  return health.state === 'wedged' || health.state === 'lost';
}

function rank(state: HealthState): number {
  return order.indexOf(state);
}

function judgeFunction(signs: FunctionSigns): Verdict {
  const { expected, config } = signs;
  const say = (state: HealthState, what: string): Verdict => ({
    state,
    line: `${expected.address}: ${what}`,
  });
  if (!signs.present) return say('lost', 'is not on the bus any more');
  if (linkIsDead(signs)) {
    return say('wedged', 'its link status reads as all ones (speed Unknown, width 63)');
  }
  switch (config.state) {
    case 'stuck':
      return say(
        'wedged',
        `reading its config space never returned (child ${config.pid} in D state)`,
      );
    case 'error':
      return say('unknown', `its config space could not be read (${config.errno})`);
    case 'not-read':
      return say('unknown', 'asleep (D3cold); it is not woken for a check');
    case 'read':
      return judgeConfig(signs, config.bytes, say);
  }
}

function judgeConfig(
  signs: FunctionSigns,
  bytes: Buffer,
  say: (state: HealthState, what: string) => Verdict,
): Verdict {
  if (bytes.length < headerBytes)
    return say('unknown', `only ${bytes.length} bytes of config space could be read`);
  const id = bytes.readUInt32LE(0);
  if (id === 0xffffffff)
    return say('wedged', 'config space reads as all ones (ffffffff, header type 7f)');
  // CRS/RRS answer that never ends: seen on GB202 after FLR (facts/kernel.md 3.1 point 5).
  if (id === 0xffff0001)
    return say('wedged', 'answers "not ready yet" for good (config reads ffff0001)');
  const { vendor, device } = signs.expected;
  const seen = `${hex4(id & 0xffff)}:${hex4(id >>> 16)}`;
  if (vendor !== undefined && device !== undefined && seen !== `${vendor}:${device}`) {
    return say('suspect', `answers as ${seen} where ${vendor}:${device} is expected`);
  }
  if ((bytes.readUInt8(0x0e) & 0x7f) === 0x7f) return say('wedged', 'header type reads 7f');
  if (bytes.readUInt16LE(4) === 0xffff) return say('wedged', 'the command register reads ffff');
  const bar = signs.expected.kind === 'function' ? barFault(bytes, signs.resource) : undefined;
  if (bar !== undefined) return say('suspect', bar);
  return say('healthy', `answers as ${seen}, its BARs match`);
}

// All-ones LNKSTA as the kernel prints it: the one wedge sign that never blocks (facts/kernel.md 0.5).
function linkIsDead(signs: Pick<FunctionSigns, 'linkSpeed' | 'linkWidth'>): boolean {
  return signs.linkSpeed?.startsWith('Unknown') === true && signs.linkWidth === '63';
}

// Flags of include/linux/ioport.h as the `resource` file prints them.
const ioResource = 0x100n;
const memory64 = 0x100000n;
const unsetAddress = 0x20000000n;

/**
 * Compares the BAR registers with the kernel's `resource` file: zero or foreign values mean that the function was
 * reset without its state coming back (facts/kernel.md 0.12, 3.1 point 8). Undefined when they agree.
 */
function barFault(bytes: Buffer, resource: string | undefined): string | undefined {
  if (resource === undefined || (bytes.readUInt8(0x0e) & 0x7f) !== 0) return undefined;
  const lines = resource.split('\n').slice(0, 6);
  for (let bar = 0; bar < lines.length; bar++) {
    const [start, end, flags] = (lines[bar] ?? '').split(' ').map(bigint);
    if (start === undefined || end === undefined || flags === undefined || flags === 0n) continue;
    if ((flags & unsetAddress) !== 0n) return `BAR ${bar} has no address (lost in a rescan?)`;
    if (end === 0n) continue;
    const low = BigInt(bytes.readUInt32LE(0x10 + 4 * bar));
    const is64 = (flags & memory64) !== 0n && bar < 5;
    const high = is64 ? BigInt(bytes.readUInt32LE(0x14 + 4 * bar)) : 0n;
    const mask = (flags & ioResource) !== 0n ? 0x3n : 0xfn;
    const value = ((high << 32n) | low) & ~mask;
    const expected = is64 ? start : start & 0xffffffffn;
    if (value !== expected) {
      return `BAR ${bar} reads ${value.toString(16)} where the kernel has ${start.toString(16)}: it was reset and not restored`;
    }
    if (is64) bar++;
  }
  return undefined;
}

function bigint(text: string): bigint | undefined {
  return /^0x[0-9a-f]{1,16}$/.test(text) ? BigInt(text) : undefined;
}

function hex4(value: number): string {
  return value.toString(16).padStart(4, '0');
}
