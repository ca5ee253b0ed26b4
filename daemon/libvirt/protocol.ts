/**
 * Numbers of libvirt's RPC protocol and the words that we use for them. Identical in libvirt 9.0 and 11.3
 * (facts/libvirt.md 2, 3.4); new numbers of a later libvirt become `unknown-N`.
 */
import { type ErrorCode, RevivedError } from '../errors.ts';
import { printable } from '../printable.ts';
import { XdrReader } from './xdr.ts';

const remoteProgram = 0x20008086;
const qemuProgram = 0x20008087;
/** "keep" (src/rpc/virkeepaliveprotocol.x); PING 1, PONG 2, no payload, serial 0. */
export const keepalive = { program: 0x6b656570, ping: 1, pong: 2 } as const;
/** Every program that we speak is at version 1. */
export const protocolVersion = 1;

export interface Procedure {
  readonly program: number;
  readonly number: number;
  /** libvirt's name, for messages. */
  readonly name: string;
}

const qemu = (number: number, name: string): Procedure => ({ program: qemuProgram, number, name });
const remote = (number: number, name: string): Procedure => ({
  program: remoteProgram,
  number,
  name,
});

/** src/remote/remote_protocol.x, src/remote/qemu_protocol.x. */
export const procedures = {
  open: remote(1, 'CONNECT_OPEN'),
  create: remote(9, 'DOMAIN_CREATE'),
  destroy: remote(12, 'DOMAIN_DESTROY'),
  xml: remote(14, 'DOMAIN_GET_XML_DESC'),
  lookupByName: remote(23, 'DOMAIN_LOOKUP_BY_NAME'),
  lookupByUuid: remote(24, 'DOMAIN_LOOKUP_BY_UUID'),
  authList: remote(66, 'AUTH_LIST'),
  authPolkit: remote(70, 'AUTH_POLKIT'),
  isPersistent: remote(151, 'DOMAIN_IS_PERSISTENT'),
  libVersion: remote(157, 'CONNECT_GET_LIB_VERSION'),
  managedSave: remote(182, 'DOMAIN_MANAGED_SAVE'),
  state: remote(212, 'DOMAIN_GET_STATE'),
  shutdownFlags: remote(258, 'DOMAIN_SHUTDOWN_FLAGS'),
  setMetadata: remote(264, 'DOMAIN_SET_METADATA'),
  listAll: remote(273, 'CONNECT_LIST_ALL_DOMAINS'),
  registerEvent: remote(316, 'CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY'),
  defineXmlFlags: remote(350, 'DOMAIN_DEFINE_XML_FLAGS'),
  setLifecycleAction: remote(390, 'DOMAIN_SET_LIFECYCLE_ACTION'),
  agentCommand: qemu(3, 'QEMU_DOMAIN_AGENT_COMMAND'),
  registerMonitorEvent: qemu(4, 'QEMU_CONNECT_DOMAIN_MONITOR_EVENT_REGISTER'),
} as const satisfies Record<string, Procedure>;

/** Event ids to register, and the message number each one comes back as (facts/libvirt.md 2, 3.4). */
export const events = {
  lifecycle: { id: 0, message: 318 },
  reboot: { id: 1, message: 319 },
  'device-removed': { id: 15, message: 333 },
  agent: { id: 18, message: 348 },
  'device-added': { id: 19, message: 354 },
  'device-removal-failed': { id: 22, message: 367 },
} as const;

/**
 * QEMU's own word for the end of a guest: the only one that tells a reboot that ends in a stop (reason `guest-reset`) from a
 * shutdown (`guest-shutdown`); libvirt's lifecycle events are the same for both. Its number is of the QEMU program, whose
 * messages and those of the REMOTE program (107 and above) do not overlap.
 */
export const monitorEvent = { name: 'SHUTDOWN', message: 6 } as const;

export const authTypes = { none: 0, sasl: 1, polkit: 2 } as const;

/** True for an event message's program. */
export function isEventProgram(program: number): boolean {
  return program === remoteProgram || program === qemuProgram;
}

/** virDomainEventType and its details (libvirt-domain.h), by number. */
const lifecycleWords: readonly (readonly [string, readonly string[]])[] = [
  ['defined', ['added', 'updated', 'renamed', 'from-snapshot']],
  ['undefined', ['removed', 'renamed']],
  ['started', ['booted', 'migrated', 'restored', 'from-snapshot', 'wakeup']],
  [
    'suspended',
    [
      ...['paused', 'migrated', 'io-error', 'watchdog', 'restored', 'from-snapshot'],
      ...['api-error', 'postcopy', 'postcopy-failed'],
    ],
  ],
  ['resumed', ['unpaused', 'migrated', 'from-snapshot', 'postcopy', 'postcopy-failed']],
  ['stopped', ['shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'from-snapshot']],
  ['shutdown', ['finished', 'guest', 'host']],
  ['pmsuspended', ['memory', 'disk']],
  ['crashed', ['panicked', 'crashloaded']],
];

/** virDomainState and its reasons (libvirt-domain.h), by number. */
const stateWords: readonly (readonly [string, readonly string[]])[] = [
  ['nostate', ['unknown']],
  [
    'running',
    [
      ...['unknown', 'booted', 'migrated', 'restored', 'from-snapshot', 'unpaused'],
      ...['migration-canceled', 'save-canceled', 'wakeup', 'crashed', 'postcopy'],
      'postcopy-failed',
    ],
  ],
  ['blocked', ['unknown']],
  [
    'paused',
    [
      ...['unknown', 'user', 'migration', 'save', 'dump', 'io-error', 'watchdog', 'from-snapshot'],
      ...['shutting-down', 'snapshot', 'crashed', 'starting-up', 'postcopy', 'postcopy-failed'],
      'api-error',
    ],
  ],
  ['shutdown', ['unknown', 'user']],
  [
    'shutoff',
    [
      ...['unknown', 'shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed'],
      ...['from-snapshot', 'daemon'],
    ],
  ],
  ['crashed', ['unknown', 'panicked']],
  ['pmsuspended', ['unknown']],
];

/** Words for a lifecycle event and its detail: `['stopped', 'destroyed']`. */
export function lifecycleOf(event: number, detail: number): readonly [string, string] {
  return pairOf(lifecycleWords, event, detail);
}

/** Words for a domain's state and its reason: `['shutoff', 'crashed']`. */
export function stateOf(state: number, reason: number): readonly [string, string] {
  return pairOf(stateWords, state, reason);
}

/** Words for the guest agent's state and why it changed. */
export function agentOf(state: number, reason: number): readonly [string, string] {
  return [
    wordOf(['unknown-0', 'connected', 'disconnected'], state),
    wordOf(['unknown', 'domain-started', 'channel'], reason),
  ];
}

function pairOf(
  table: readonly (readonly [string, readonly string[]])[],
  first: number,
  second: number,
): readonly [string, string] {
  const row = table[first];
  return row === undefined
    ? [`unknown-${first}`, `unknown-${second}`]
    : [row[0], wordOf(row[1], second)];
}

function wordOf(words: readonly string[], number: number): string {
  return words[number] ?? `unknown-${number}`;
}

/** An error that libvirt answered with. `number` is its virErrorNumber (virterror.h): 55 = not in this state. */
export class LibvirtError extends RevivedError {
  readonly number: number;

  constructor(number: number, code: ErrorCode, message: string, advice?: string) {
    super(code, message, advice);
    this.name = 'LibvirtError';
    this.number = number;
  }
}

/** What libvirt's numbers mean to us; the rest is `libvirt` with its own words. */
const faults = new Map<number, { readonly code: ErrorCode; readonly advice?: string }>([
  [8, { code: 'invalid-argument' }],
  [27, { code: 'invalid-argument', advice: 'Correct the XML.' }],
  [29, { code: 'refused', advice: 'Use the read-write socket of libvirt.' }],
  [35, { code: 'invalid-argument', advice: 'Correct the XML.' }],
  [42, { code: 'not-found', advice: 'List the domains with `virsh list --all`.' }],
  [
    45,
    {
      code: 'refused',
      advice: 'Run revived as root, or allow it in auth_unix_rw / the polkit rules.',
    },
  ],
  [67, { code: 'invalid-argument', advice: 'This libvirt or qemu cannot do it; change the XML.' }],
  [68, { code: 'timed-out', advice: 'Try again when the domain has no other job running.' }],
  [
    70,
    { code: 'libvirt', advice: 'The reason is in the log of the hook: `journalctl -u revived`.' },
  ],
  [79, { code: 'refused', advice: 'Run revived as root, or answer the polkit question.' }],
  [
    86,
    { code: 'libvirt', advice: 'Check that the guest agent is installed and runs in the guest.' },
  ],
  [88, { code: 'refused', advice: "Allow it in libvirt's access control (polkit rules)." }],
]);

/** Error texts are the peer's: this much of one is shown. */
const maxMessageLength = 2000;

/** The error in a reply with status ERROR (virNetMessageError; only its first fields matter). */
export function decodeError(procedure: Procedure, payload: Buffer): LibvirtError {
  const reader = new XdrReader(payload);
  const number = reader.i32();
  reader.i32();
  const text = printable(reader.optionalString() ?? 'no message').slice(0, maxMessageLength);
  const fault = faults.get(number) ?? { code: 'libvirt' };
  return new LibvirtError(
    number,
    fault.code,
    `libvirt answered ${procedure.name} with an error: ${text} (${number}).`,
    fault.advice,
  );
}
