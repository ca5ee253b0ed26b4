/** What is known of libvirt's domains, from hooks, events and listings; never asked for while a hook waits. */
import type { CardAddress } from '../pci/address.ts';
import type { PipelineDomain } from './service.ts';

export interface KnownDomain {
  readonly uuid: string;
  readonly name: string;
  /** libvirt's words: running, paused, shutoff, crashed, ... */
  readonly state: string;
  readonly running: boolean;
}

export type DomainNews =
  | { readonly kind: 'state'; readonly uuid: string; readonly name: string; readonly state: string }
  | { readonly kind: 'defined'; readonly uuid: string; readonly name: string }
  | { readonly kind: 'undefined'; readonly uuid: string }
  /** A device was plugged in or out: the live XML has changed. */
  | { readonly kind: 'devices'; readonly uuid: string };

export interface DomainBook {
  all(): readonly PipelineDomain[];
  replace(domains: readonly KnownDomain[]): void;
  /** State undefined: keep what is known. */
  setState(uuid: string, name: string, state: string | undefined): void;
  setCards(uuid: string, cards: readonly CardAddress[], name?: string): void;
  /** It is no longer defined: one that is active is known until it is shut off (libvirt's word for that: transient). */
  remove(uuid: string): void;
  /** True while it has its devices open, as far as libvirt has told. */
  isActive(uuid: string): boolean;
  /** Microseconds since the epoch when it was last heard to be active; 0: not since this daemon began. */
  activeAt(uuid: string): number;
}

/** libvirt's words for a domain that has its devices open. */
const activeStates: ReadonlySet<string> = new Set(['running', 'blocked', 'paused', 'pmsuspended']);

/** libvirt's own limit for a listing is 16384. */
const maxDomains = 16384;

/** An empty book; `onChange` hears of each domain that changed. */
export function createDomainBook(onChange: (uuid: string) => void): DomainBook {
  const domains = new Map<string, PipelineDomain>();
  const active = new Map<string, number>();
  /** No longer defined, and still active. */
  const transient = new Set<string>();
  const put = (view: PipelineDomain): void => {
    if (!domains.has(view.uuid) && domains.size >= maxDomains) return;
    domains.set(view.uuid, view);
    if (activeStates.has(view.state)) active.set(view.uuid, Date.now() * 1000);
    onChange(view.uuid);
  };
  const isActive = (uuid: string): boolean => activeStates.has(domains.get(uuid)?.state ?? '');
  const remove = (uuid: string): void => {
    transient.delete(uuid);
    active.delete(uuid);
    if (domains.delete(uuid)) onChange(uuid);
  };
  return {
    all: () => [...domains.values()],
    replace(list) {
      const kept = new Set(list.map((domain) => domain.uuid));
      for (const uuid of [...domains.keys()].filter((one) => !kept.has(one))) remove(uuid);
      for (const { uuid, name, state } of list) {
        put({ uuid, name, state, cards: domains.get(uuid)?.cards ?? [] });
      }
    },
    setState(uuid, name, state) {
      const old = domains.get(uuid);
      if (state === undefined) transient.delete(uuid);
      // Hook and event both tell of its end: the later one does not bring it back.
      if (state === 'shutoff' && (old === undefined || transient.has(uuid))) return remove(uuid);
      put({ uuid, name, state: state ?? old?.state ?? 'shutoff', cards: old?.cards ?? [] });
    },
    setCards(uuid, cards, name) {
      const old = domains.get(uuid);
      if (old === undefined && name === undefined) return;
      put({ uuid, name: old?.name ?? name ?? '', state: old?.state ?? 'shutoff', cards });
    },
    remove(uuid) {
      if (isActive(uuid)) transient.add(uuid);
      else remove(uuid);
    },
    isActive,
    activeAt: (uuid) => active.get(uuid) ?? 0,
  };
}
