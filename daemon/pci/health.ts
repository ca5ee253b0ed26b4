/**
 * Is this card alive? `probeCard` reads the signs, the ones that never block first (facts/kernel.md 3.1);
 * `judge` is pure and says what they show. A return code of a reset is never a sign (invariant 4).
 */
import type { SysfsIo } from '../sysfs/io.ts';
import { present, readAttribute, readNames } from '../sysfs/read.ts';
import type { FunctionAddress } from './address.ts';
import { type AerRise, riseText } from './aer.ts';
import { barFault, busNumberFault, deadStatus, walkCapabilities } from './config-space.ts';
import { deviceDirectory } from './device.ts';

/** `unknown` is a value: what could not be read is never guessed. */
type HealthState = 'healthy' | 'suspect' | 'wedged' | 'lost' | 'unknown';

export interface Health {
  readonly state: HealthState;
  /** One line each, for people: which function, which sign, what it shows. */
  readonly evidence: readonly string[];
  /** Functions that do not answer through their config space; left out where all do, or where nobody has asked. */
  readonly configDead?: readonly FunctionAddress[];
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
  readonly resource: string | undefined;
  /** Of a port, as the kernel has it: `0000:0b`. The attribute `secondary_bus_number` is the register itself. */
  readonly secondaryBus: string | undefined;
  readonly config: ConfigSign;
  /** `power_state` again, after the read: a function may fall asleep in between. */
  readonly powerStateAfter: string | undefined;
}

/** What else speaks about the card as a whole. */
export interface CardSigns {
  /** Fatal errors that its links reported since it was last known to be well (pci/aer.ts). */
  readonly fatal: readonly AerRise[];
  /** Lines on BARs that the card had when it was last known to be well, and has no more. */
  readonly lost: readonly string[];
  /** Lines that are to be said and decide nothing, like a link that is narrower than it was. */
  readonly notes: readonly string[];
}

interface Verdict {
  /** Left out for what is said of the card as a whole. */
  readonly expected?: Expected;
  readonly state: HealthState;
  readonly line: string;
}

/** From harmless to hopeless; the worst function decides for the card. */
const order: readonly HealthState[] = ['healthy', 'unknown', 'suspect', 'wedged', 'lost'];

const headerBytes = 64;
/**
 * The standard space, with the capability list in it: all that is read. QEMU reads as much of whatever is passed to a guest
 * (vfio_realize of hw/vfio/pci.c); what lies beyond locks some chips up (facts/kernel.md 1, config).
 */
const readBytes = 256;

const nothingElse: CardSigns = { fatal: [], lost: [], notes: [] };

/**
 * Reads the signs of all functions. Config space is read in a child, only when nothing cheaper has condemned the
 * function and it is not asleep in D3cold (a read would wake it); the state of the link comes from there too. `deadlineMs`
 * bounds each read.
 */
export function probeCard(
  sys: string,
  io: SysfsIo,
  expected: readonly Expected[],
  deadlineMs: number,
): Promise<readonly FunctionSigns[]> {
  return Promise.all(expected.map((one) => readSigns(sys, io, one, deadlineMs)));
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
    resource: readAttribute(`${directory}/resource`),
    secondaryBus: expected.kind === 'port' ? readNames(`${directory}/pci_bus`)?.[0] : undefined,
    powerStateAfter: undefined,
  };
  if (!signs.present) {
    return { ...signs, config: { state: 'not-read', why: 'condemned' } };
  }
  if (signs.runtimeStatus === 'suspended' && signs.powerState === 'D3cold') {
    return { ...signs, config: { state: 'not-read', why: 'asleep' } };
  }
  const result = await io.read(`${directory}/config`, readBytes, deadlineMs);
  switch (result.state) {
    case 'ok': {
      const powerStateAfter = readAttribute(`${directory}/power_state`);
      return { ...signs, powerStateAfter, config: { state: 'read', bytes: result.data } };
    }
    case 'stuck':
      return { ...signs, config: { state: 'stuck', pid: result.pid } };
    case 'error':
      return { ...signs, config: { state: 'error', errno: result.errno } };
  }
}

/**
 * Pure verdict over the signs of all functions of a card and of the card as a whole. No functions at all is `lost`. The
 * evidence is what decided: where something is wrong, only that, and then what is worth a note.
 */
export function judge(signs: readonly FunctionSigns[], others: CardSigns = nothingElse): Health {
  if (signs.length === 0) return { state: 'lost', evidence: ['no function of the card is there'] };
  const verdicts = [
    ...signs.map(judgeFunction),
    ...[...others.lost, ...others.fatal.map(riseText)].map((line): Verdict => {
      return { state: 'suspect', line };
    }),
  ];
  const worst = verdicts.reduce((a, b) => (rank(b.state) > rank(a.state) ? b : a));
  const bad = verdicts.filter((verdict) => verdict.state !== 'healthy');
  const lines = (bad.length > 0 ? bad : verdicts).map((verdict) => verdict.line);
  const evidence = [...lines, ...others.notes];
  const configDead = deadBy(verdicts);
  return { state: worst.state, evidence, ...(configDead.length === 0 ? {} : { configDead }) };
}

// Below a dead port nothing is reached.
function deadBy(verdicts: readonly Verdict[]): readonly FunctionAddress[] {
  const dead = verdicts.filter(({ state }) => state === 'wedged' || state === 'lost');
  const isPortDead = dead.some(({ expected }) => expected?.kind === 'port');
  return (isPortDead ? verdicts : dead).flatMap(({ expected }) =>
    expected?.kind === 'function' ? [expected.address] : [],
  );
}

function rank(state: HealthState): number {
  return order.indexOf(state);
}

function judgeFunction(signs: FunctionSigns): Verdict {
  const { expected, config } = signs;
  const say = (state: HealthState, what: string): Verdict => ({
    expected,
    state,
    line: `${expected.address}: ${what}`,
  });
  if (!signs.present) return say('lost', 'is not on the bus any more');
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
  const isPort = signs.expected.kind === 'port';
  const place = isPort
    ? busNumberFault(bytes, signs.secondaryBus)
    : barFault(bytes, signs.resource);
  if (place !== undefined) return say('suspect', place);
  const list = walkCapabilities(bytes);
  if (list.state === 'broken') return say('suspect', list.why);
  // What the kernel shows as speed Unknown, width 63 (facts/kernel.md 0.5).
  if (list.linkStatus === deadStatus) return say('wedged', 'its link status reads as all ones');
  const power = list.pmcsr === undefined ? undefined : powerFault(list.pmcsr, signs);
  if (power !== undefined) return say('suspect', power);
  return say('healthy', `answers as ${seen}, its ${isPort ? 'bus numbers' : 'BARs'} match`);
}

// Only where the kernel has it in D0 before and after: vfio-pci lets what is idle fall asleep (facts/kernel.md 3.2).
function powerFault(pmcsr: number, signs: FunctionSigns): string | undefined {
  if (pmcsr === 0xffff) return 'its power management register reads ffff';
  const state = pmcsr & 3;
  const isAwake = signs.powerState === 'D0' && signs.powerStateAfter === 'D0';
  return state === 0 || !isAwake ? undefined : `it is in D${state} where the kernel has it in D0`;
}

function hex4(value: number): string {
  return value.toString(16).padStart(4, '0');
}
