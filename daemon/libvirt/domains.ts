/** What can be asked of libvirt about domains: one call each, with a deadline that fits it. */
import { RevivedError } from '../errors.ts';
import type { Connection } from './connection.ts';
import { type DomainRef, type DomainStatus, readDomainRef } from './event.ts';
import { type Procedure, procedures, stateOf } from './protocol.ts';
import { isUuid, type XdrReader, type XdrWriter } from './xdr.ts';

/** Every call rejects with `libvirt`, `not-found`, `refused` or `timed-out`; `uuid` is a domain's. */
export interface Domains {
  /** All domains, running and not, with their state. */
  list(): Promise<readonly DomainStatus[]>;
  /** By uuid where the text is one, else (and failing that) by name. */
  lookup(nameOrUuid: string): Promise<DomainRef>;
  domainState(uuid: string): Promise<{ readonly state: string; readonly reason: string }>;
  /** Live XML, or with `inactive` what the next start will use; `secure` includes passwords. */
  domainXml(
    uuid: string,
    options?: { readonly inactive?: boolean; readonly secure?: boolean },
  ): Promise<string>;
  /** Defines a domain or replaces its definition; with `validate` the XML has to follow libvirt's schema. */
  defineXml(xml: string, options?: { readonly validate?: boolean }): Promise<DomainRef>;
  /** Sets or (with null) removes the element of namespace `uri` in the stored metadata. */
  setMetadata(uuid: string, uri: string, key: string, xml: string | null): Promise<void>;
  /** Starts it; a LibvirtError with number 55 when it runs already. */
  create(uuid: string): Promise<void>;
  /** Pulls its plug; a LibvirtError with number 55 when it does not run. */
  destroy(uuid: string): Promise<void>;
  /** Asks the guest to power off, through its agent or its power button; returns at once. */
  shutdown(uuid: string, by: 'agent' | 'acpi'): Promise<void>;
  /** Writes its memory to disk and ends it; its next start goes on from there. */
  managedSave(uuid: string): Promise<void>;
  /** False for a transient domain, which is gone when it stops. */
  isPersistent(uuid: string): Promise<boolean>;
  /** What a reboot from inside the guest does to the running domain, until it stops: its definition stays as it is. */
  setRebootAction(uuid: string, action: 'destroy' | 'restart'): Promise<void>;
  /** One command (JSON) to the guest agent and its answer (JSON), which may take `seconds` (1 to 3600). */
  agentCommand(uuid: string, command: string, seconds: number): Promise<string>;
}

/** Deadlines in ms. `blocked`: what waits for a domain that a hook holds locked (facts/libvirt.md 1.5). */
export interface Deadlines {
  readonly call: number;
  readonly blocked: number;
  /** A start runs our own prepare hook with its resets. */
  readonly start: number;
}

/** libvirt's limit for one list (REMOTE_DOMAIN_LIST_MAX). */
const maxDomains = 16_384;
/** State calls that are open at once; libvirtd runs five of one client at a time. */
const statesAtOnce = 32;
/** VIR_DOMAIN_METADATA_ELEMENT, VIR_DOMAIN_AFFECT_CONFIG. */
const metadataElement = 2;
const affectConfig = 2;
/** VIR_DOMAIN_DEFINE_VALIDATE. */
const defineValidate = 1;
/** VIR_DOMAIN_LIFECYCLE_REBOOT, its actions, VIR_DOMAIN_AFFECT_LIVE. */
const onReboot = 1;
const rebootActions = { destroy: 0, restart: 1 };
const affectLive = 1;
/** VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN, VIR_DOMAIN_SHUTDOWN_GUEST_AGENT. */
const shutdownFlags = { acpi: 1, agent: 2 };
const xmlFlags = { secure: 1, inactive: 2 };

/** The calls, each over the connection that `connected` gives at that moment (or throws why there is none). */
export function createDomains(connected: () => Connection, deadlines: Deadlines): Domains {
  // An async function, so that a missing connection is a rejection and never a throw.
  async function call<T>(
    procedure: Procedure,
    encode: (writer: XdrWriter) => void,
    decode: (reader: XdrReader) => T,
    timeoutMs = deadlines.call,
  ): Promise<T> {
    return connected().call(procedure, encode, decode, timeoutMs);
  }
  const domainState = (uuid: string, timeoutMs?: number) =>
    call(procedures.state, (w) => domain(w, uuid).u32(0), readState, timeoutMs);
  const lookupByName = (name: string) =>
    call(procedures.lookupByName, (w) => w.string(name), readDomainRef);

  return {
    async list() {
      const refs = await call(
        procedures.listAll,
        (w) => w.u32(1).u32(0),
        readDomainRefs,
        deadlines.blocked,
      );
      const found: DomainStatus[] = [];
      for (let from = 0; from < refs.length; from += statesAtOnce) {
        const batch = refs.slice(from, from + statesAtOnce).map(async (ref) => {
          const known = await unlessGone(domainState(ref.uuid, deadlines.blocked));
          return known === null ? [] : [{ ...ref, ...known }];
        });
        found.push(...(await Promise.all(batch)).flat());
      }
      return found;
    },
    async lookup(nameOrUuid) {
      if (!isUuid(nameOrUuid)) return lookupByName(nameOrUuid);
      const byUuid = call(procedures.lookupByUuid, (w) => w.uuid(nameOrUuid), readDomainRef);
      return (await unlessGone(byUuid)) ?? lookupByName(nameOrUuid);
    },
    domainState: (uuid) => domainState(uuid),
    domainXml(uuid, { inactive = false, secure = false } = {}) {
      const flags = (inactive ? xmlFlags.inactive : 0) | (secure ? xmlFlags.secure : 0);
      return call(procedures.xml, (w) => domain(w, uuid).u32(flags), readString);
    },
    defineXml(xml, { validate = false } = {}) {
      const flags = validate ? defineValidate : 0;
      return call(procedures.defineXmlFlags, (w) => w.string(xml).u32(flags), readDomainRef);
    },
    setMetadata(uuid, uri, key, xml) {
      return call(
        procedures.setMetadata,
        (w) =>
          domain(w, uuid)
            .i32(metadataElement)
            .optionalString(xml)
            .optionalString(key)
            .optionalString(uri)
            .u32(affectConfig),
        nothing,
      );
    },
    create: (uuid) => call(procedures.create, (w) => domain(w, uuid), nothing, deadlines.start),
    destroy: (uuid) => call(procedures.destroy, (w) => domain(w, uuid), nothing, deadlines.blocked),
    // The agent is given up on by libvirt after seconds; a QEMU monitor that hangs blocks like any job of the domain.
    shutdown: (uuid, by) =>
      call(
        procedures.shutdownFlags,
        (w) => domain(w, uuid).u32(shutdownFlags[by]),
        nothing,
        deadlines.blocked,
      ),
    managedSave: (uuid) =>
      call(procedures.managedSave, (w) => domain(w, uuid).u32(0), nothing, deadlines.start),
    isPersistent: (uuid) =>
      call(
        procedures.isPersistent,
        (w) => domain(w, uuid),
        (r) => r.i32() === 1,
      ),
    setRebootAction: (uuid, action) =>
      call(
        procedures.setLifecycleAction,
        (w) => domain(w, uuid).u32(onReboot).u32(rebootActions[action]).u32(affectLive),
        nothing,
        deadlines.blocked,
      ),
    async agentCommand(uuid, command, seconds) {
      if (!Number.isInteger(seconds) || seconds < 1 || seconds > 3600) {
        throw new RevivedError('invalid-argument', `${seconds} is no time-out from 1 to 3600 s.`);
      }
      const answer = await call(
        procedures.agentCommand,
        (w) => domain(w, uuid).string(command).i32(seconds).u32(0),
        (r) => r.optionalString(),
        seconds * 1000 + deadlines.call,
      );
      return answer ?? '';
    },
  };
}

// libvirt's drivers look a domain up by its uuid alone; the name is for its messages, and we may not know it.
function domain(writer: XdrWriter, uuid: string): XdrWriter {
  return writer.string(uuid).uuid(uuid).i32(-1);
}

function readDomainRefs(reader: XdrReader): readonly DomainRef[] {
  const count = reader.count(maxDomains, 'domains');
  const refs: DomainRef[] = [];
  for (let index = 0; index < count; index += 1) refs.push(readDomainRef(reader));
  reader.u32();
  return refs;
}

function readState(reader: XdrReader): { readonly state: string; readonly reason: string } {
  const [state, reason] = stateOf(reader.i32(), reader.i32());
  return { state, reason };
}

function readString(reader: XdrReader): string {
  return reader.string();
}

function nothing(): void {}

// A transient domain may end between the list and the question about it.
async function unlessGone<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof RevivedError && error.code === 'not-found') return null;
    throw error;
  }
}
