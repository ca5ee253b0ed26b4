/**
 * The one interface table: every method, property and signal of ours, and who may call what (invariant 10).
 * What is not in it does not exist: dispatch.ts refuses it. Introspection, the type of every handler (members.ts)
 * and the authorization (gate.ts) are derived from it.
 */

/** polkit actions, one per effect; their defaults are in units/org.revived1.policy. */
export type PolkitAction =
  | 'org.revived1.reset'
  | 'org.revived1.handover'
  | 'org.revived1.reboot-host'
  | 'org.revived1.configure';

/** free: reading. root: uid 0 only, polkit is not asked (libvirt's hook). */
export type Access = 'free' | 'root' | { readonly polkit: PolkitAction };

/** Signatures that we use; members.ts has the TypeScript type of each. */
export type Signature = 's' | 'o' | 'b' | 'u' | 't' | 'd' | 'as' | 'ao' | 'a{sv}' | 'aa{sv}';

export interface Arg {
  readonly name: string;
  readonly signature: Signature;
}

export interface MethodSpec {
  readonly in: readonly Arg[];
  readonly out: readonly Arg[];
  readonly access: Access;
}

/** `emits` is the value of org.freedesktop.DBus.Property.EmitsChangedSignal. No property can be written. */
export interface PropertySpec {
  readonly signature: Signature;
  readonly emits: 'true' | 'const';
}

export interface InterfaceSpec {
  readonly methods: Readonly<Record<string, MethodSpec>>;
  readonly properties: Readonly<Record<string, PropertySpec>>;
  readonly signals: Readonly<Record<string, readonly Arg[]>>;
}

const options = { name: 'options', signature: 'a{sv}' } as const;
const job = { name: 'job', signature: 'o' } as const;
const reset = { polkit: 'org.revived1.reset' } as const;
const handover = { polkit: 'org.revived1.handover' } as const;
const rebootHost = { polkit: 'org.revived1.reboot-host' } as const;
const configure = { polkit: 'org.revived1.configure' } as const;

const text = { signature: 's', emits: 'true' } as const;
const fixedText = { signature: 's', emits: 'const' } as const;
const texts = { signature: 'as', emits: 'true' } as const;
const truth = { signature: 'b', emits: 'true' } as const;
const dicts = { signature: 'aa{sv}', emits: 'true' } as const;

export const interfaces = {
  'org.revived1.Manager': {
    methods: {
      Hook: {
        in: [
          { name: 'operation', signature: 's' },
          { name: 'domain', signature: 's' },
          { name: 'extra', signature: 's' },
          { name: 'spool', signature: 's' },
          options,
        ],
        out: [],
        access: 'root',
      },
      Plan: {
        in: [{ name: 'domain', signature: 's' }, { name: 'operation', signature: 's' }, options],
        out: [
          { name: 'refusal', signature: 's' },
          { name: 'notes', signature: 'as' },
          { name: 'steps', signature: 'aa{sv}' },
        ],
        access: 'free',
      },
      GetHistory: {
        in: [{ name: 'limit', signature: 'u' }, options],
        out: [{ name: 'jobs', signature: 'aa{sv}' }],
        access: 'free',
      },
      GetOutcomes: {
        in: [options],
        out: [{ name: 'outcomes', signature: 'aa{sv}' }],
        access: 'free',
      },
      GetCard: {
        in: [{ name: 'address', signature: 's' }, options],
        out: [{ name: 'card', signature: 'o' }],
        access: 'free',
      },
      GetDomain: {
        in: [{ name: 'domain', signature: 's' }, options],
        out: [{ name: 'domain', signature: 'o' }],
        access: 'free',
      },
      Reload: { in: [options], out: [], access: configure },
      ClearQuarantine: {
        in: [{ name: 'card', signature: 's' }, { name: 'name', signature: 's' }, options],
        out: [{ name: 'cleared', signature: 'u' }],
        access: configure,
      },
      ClearHostRisk: {
        in: [options],
        out: [{ name: 'cleared', signature: 'b' }],
        access: configure,
      },
      ArmReboot: {
        in: [{ name: 'domain', signature: 's' }, options],
        out: [],
        access: rebootHost,
      },
      RebootNow: { in: [options], out: [], access: rebootHost },
      CancelReboot: { in: [options], out: [], access: rebootHost },
    },
    properties: {
      Version: fixedText,
      Libvirt: text,
      LibvirtVersion: text,
      Iommu: truth,
      RunningJobs: { signature: 'u', emits: 'true' },
      HostAtRisk: text,
      Findings: dicts,
      Quarantine: dicts,
      RebootState: text,
      RebootReason: text,
      RebootAt: { signature: 't', emits: 'true' },
    },
    signals: {},
  },
  'org.revived1.Card': {
    methods: {
      Reset: { in: [{ name: 'rung', signature: 's' }, options], out: [job], access: reset },
      Take: { in: [options], out: [job], access: handover },
      Return: { in: [options], out: [job], access: handover },
      Check: {
        in: [options],
        out: [
          { name: 'health', signature: 's' },
          { name: 'evidence', signature: 'as' },
        ],
        access: reset,
      },
    },
    properties: {
      Address: fixedText,
      Name: text,
      Family: text,
      Functions: dicts,
      Groups: texts,
      Ports: texts,
      BootVga: truth,
      Interesting: truth,
      State: text,
      Health: text,
      HealthEvidence: texts,
      Domain: text,
      LeasedSince: { signature: 't', emits: 'true' },
      Ladder: dicts,
      Job: { signature: 'o', emits: 'true' },
    },
    signals: {},
  },
  'org.revived1.Domain': {
    methods: {},
    properties: {
      Uuid: fixedText,
      Name: text,
      State: text,
      Cards: { signature: 'ao', emits: 'true' },
      DriverVersion: text,
      RebootState: text,
    },
    signals: {},
  },
  'org.revived1.Job': {
    methods: { Cancel: { in: [options], out: [], access: handover } },
    properties: {
      Operation: fixedText,
      Subject: fixedText,
      Cards: { signature: 'ao', emits: 'const' },
      State: text,
      Progress: { signature: 'd', emits: 'true' },
      Started: { signature: 't', emits: 'const' },
      Finished: { signature: 't', emits: 'true' },
      RequestedBy: fixedText,
      Steps: dicts,
      Error: text,
    },
    signals: {
      Completed: [
        { name: 'success', signature: 'b' },
        { name: 'message', signature: 's' },
      ],
    },
  },
} as const satisfies Readonly<Record<string, InterfaceSpec>>;

export type InterfaceName = keyof typeof interfaces;

/** The names of our interfaces. */
export const interfaceNames: readonly InterfaceName[] = [
  'org.revived1.Manager',
  'org.revived1.Card',
  'org.revived1.Domain',
  'org.revived1.Job',
];

/** True for the name of one of our interfaces. */
export function isInterfaceName(name: string): name is InterfaceName {
  return Object.hasOwn(interfaces, name);
}

/** The specification of one of our interfaces, for code that works on any of them. */
export function interfaceSpec(name: InterfaceName): InterfaceSpec {
  return interfaces[name];
}

/** The signature of a list of arguments, as a message carries it. */
export function signatureOf(args: readonly Arg[]): string {
  return args.map((arg) => arg.signature).join('');
}

/** An entry of a table by a name that a caller gave: nothing is found through the prototype. */
export function entryOf<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
