/** What libvirt tells about its domains, in our words. */
import { agentOf, events, lifecycleOf, monitorEvent } from './protocol.ts';
import type { XdrReader } from './xdr.ts';

/** A domain as libvirt names it. Names are arbitrary text; the uuid (lower case) is what identifies. */
export interface DomainRef {
  readonly name: string;
  readonly uuid: string;
  /** Null when it does not run. */
  readonly id: number | null;
}

/** A domain with libvirt's words for its state: `running`/`booted`, `shutoff`/`crashed`, ... */
export interface DomainStatus extends DomainRef {
  readonly state: string;
  readonly reason: string;
}

/** One event of libvirt. Words that are new to us are `unknown-N`. */
export type DomainEvent =
  | {
      readonly kind: 'lifecycle';
      readonly domain: DomainRef;
      /** `defined`, `undefined`, `started`, `suspended`, `resumed`, `stopped`, `shutdown`, `crashed`, ... */
      readonly event: string;
      /** `booted`, `destroyed`, ... */
      readonly detail: string;
    }
  | { readonly kind: 'reboot'; readonly domain: DomainRef }
  | {
      /** QEMU ends, and says why: `guest-reset`, `guest-shutdown`, ..., and then `host-signal`, when libvirt ends it. */
      readonly kind: 'ending';
      readonly domain: DomainRef;
      readonly reason: string;
    }
  | {
      readonly kind: 'agent';
      readonly domain: DomainRef;
      /** `connected`, `disconnected`. */
      readonly state: string;
      /** `domain-started`, `channel`, `unknown`. */
      readonly reason: string;
    }
  | {
      readonly kind: 'device-added' | 'device-removed' | 'device-removal-failed';
      readonly domain: DomainRef;
      /** `hostdev0`, as in the domain's XML. */
      readonly alias: string;
    };

/** The `domain` struct of the protocol: name, uuid, id (-1 when it does not run). */
export function readDomainRef(reader: XdrReader): DomainRef {
  const name = reader.string();
  const uuid = reader.uuid();
  const id = reader.i32();
  return { name, uuid, id: id < 0 ? null : id };
}

/** The event in a message; null for a message number that we did not ask for. Throws `libvirt` when malformed. */
export function readEvent(message: number, reader: XdrReader): DomainEvent | null {
  const decode = decoders.get(message);
  if (decode === undefined) return null;
  // The id of the callback that we registered: the message number says the same.
  reader.i32();
  const event = decode(readDomainRef(reader), reader);
  reader.end();
  return event;
}

type Decode = (domain: DomainRef, reader: XdrReader) => DomainEvent;

const device =
  (kind: 'device-added' | 'device-removed' | 'device-removal-failed'): Decode =>
  (domain, reader) => ({ kind, domain, alias: reader.string() });

const decoders = new Map<number, Decode>([
  [
    events.lifecycle.message,
    (domain, reader) => {
      const [event, detail] = lifecycleOf(reader.i32(), reader.i32());
      return { kind: 'lifecycle', domain, event, detail };
    },
  ],
  [events.reboot.message, (domain) => ({ kind: 'reboot', domain })],
  [
    events.agent.message,
    (domain, reader) => {
      const [state, reason] = agentOf(reader.i32(), reader.i32());
      return { kind: 'agent', domain, state, reason };
    },
  ],
  [
    monitorEvent.message,
    (domain, reader) => {
      reader.string(); // the name of the event that we asked for
      reader.u64(); // seconds
      reader.u32(); // microseconds
      return { kind: 'ending', domain, reason: reasonOf(reader.optionalString() ?? '') };
    },
  ],
  [events['device-removed'].message, device('device-removed')],
  [events['device-added'].message, device('device-added')],
  [events['device-removal-failed'].message, device('device-removal-failed')],
]);

// `{"guest":true,"reason":"guest-reset"}` (qapi/run-state.json, SHUTDOWN); the reason since QEMU 4.0.
const shutdownReason = /^[a-z-]{1,40}$/;

function reasonOf(details: string): string {
  try {
    const read: unknown = details.length > 4096 ? null : JSON.parse(details);
    const reason: unknown =
      typeof read === 'object' && read !== null && 'reason' in read ? read.reason : '';
    return typeof reason === 'string' && shutdownReason.test(reason) ? reason : 'unknown';
  } catch {
    return 'unknown';
  }
}
