/**
 * From a driver install in a guest to a reboot of the host: the state, what can happen (inputs), and what is to be done
 * (effects). reboot-step.ts decides, reboot.ts acts and keeps the state on disk, so that a daemon that was killed goes on.
 *
 * armed -> driver-changed -> guest-restarting -> reboot-pending -> rebooting; `resumed` is said by resume.ts after the boot.
 * An attempt at a reboot goes surveying -> stopping -> grace -> checking -> rebooting, and by `undoing` back to idle where
 * it is given up. Nothing begins one but a consent: of a person (now, or ahead by arming), or of the policy `auto`.
 */
import type { CardAddress } from '../pci/address.ts';

/** What a driver install in the guest leads to. off: it is not looked at. */
export type InstallPolicy = 'ask' | 'auto' | 'off';
export type Consent = 'none' | 'auto' | 'person';
type Mark = 'armed' | 'driver-changed' | 'guest-restarting' | 'reboot-pending';

/** A domain as it is named in all of this. */
export interface DomainName {
  readonly uuid: string;
  readonly name: string;
}

/** A domain that is stopped for the reboot, and started again after it. `order`: libvirt's id of that run, which grows. */
export interface StoppedDomain extends DomainName {
  readonly order: number;
  readonly cards: readonly CardAddress[];
}

/** A domain that was stopped for nothing and stays off: `why` is libvirt's reason. */
interface UnstartedDomain extends DomainName {
  readonly why: string;
}

/** What is known of a domain whose driver changed, or may change. */
export interface MarkedDomain extends DomainName {
  readonly mark: Mark;
  readonly consent: Consent;
  readonly cards: readonly CardAddress[];
  /** Driver versions; empty where only its owner said that there is an install. */
  readonly from: string;
  readonly to: string;
}

type Phase = 'idle' | 'surveying' | 'stopping' | 'grace' | 'checking' | 'rebooting' | 'undoing';

export interface RebootState {
  /** The boot that all of this is about. */
  readonly boot: string;
  /** Grows with each attempt and its end: what comes late from an older one is ignored. */
  readonly attempt: number;
  readonly phase: Phase;
  readonly marked: readonly MarkedDomain[];
  /** Stopped in their own restart: they stay so until the host has rebooted, or somebody starts them. */
  readonly kept: readonly StoppedDomain[];
  /** Other domains that this attempt stops, and starts again where it is given up. */
  readonly others: readonly StoppedDomain[];
  /** Others of an attempt that was given up, which could not be started again. */
  readonly unstarted: readonly UnstartedDomain[];
  /** Those of `others` that are still to stop, by uuid. */
  readonly left: readonly string[];
  /** Milliseconds since the epoch: end of the grace period, or until when the host should be down. */
  readonly until: number;
  /** logind has been asked: there is no way back. */
  readonly sent: boolean;
  /** Why the last attempt was given up. */
  readonly refusal: string;
  /** The one reboot of this boot that nobody was asked about is used up; after a resume it is from the start. */
  readonly autoSpent: boolean;
  /** When domains restarted themselves last (first event of it). */
  readonly restarts: readonly { readonly uuid: string; readonly at: number }[];
}

/** Times are milliseconds since the epoch. `attempt`: that of the state when the work began. */
export type RebootInput =
  | {
      readonly kind: 'began';
      readonly boot: string;
      readonly now: number;
      /** logind is shutting the host down already. */
      readonly goingDown: boolean;
      /** A reboot of ours brought this boot. */
      readonly resumed: boolean;
    }
  | { readonly kind: 'arm'; readonly domain: DomainName; readonly cards: readonly CardAddress[] }
  | {
      readonly kind: 'driver-changed';
      readonly domain: DomainName;
      readonly card: CardAddress;
      readonly from: string;
      readonly to: string;
      readonly policy: InstallPolicy;
      /** When the old version was read last; 0 where it was not, in this run of the guest. */
      readonly oldSeenAt: number;
      readonly now: number;
    }
  /** libvirt's REBOOT event. */
  | {
      readonly kind: 'restarted';
      readonly domain: DomainName;
      readonly order: number;
      /** As it is now: `auto` agrees no more where it was taken back. */
      readonly policy: InstallPolicy;
      readonly now: number;
    }
  | { readonly kind: 'started'; readonly uuid: string }
  /** `restart`: it stopped because the guest restarted itself (on_reboot=destroy). */
  | {
      readonly kind: 'stopped';
      readonly uuid: string;
      readonly restart: boolean;
      /** libvirt's id of the run that has ended. */
      readonly order: number;
      readonly policy: InstallPolicy;
      readonly now: number;
    }
  | { readonly kind: 'consent' }
  | { readonly kind: 'cancel'; readonly by: string }
  | { readonly kind: 'tick'; readonly now: number }
  | { readonly kind: 'caught'; readonly attempt: number }
  /** `due`: they do not run at this moment, between a stop and a start that is to follow. */
  | {
      readonly kind: 'surveyed';
      readonly attempt: number;
      readonly running: readonly StoppedDomain[];
      readonly due: readonly StoppedDomain[];
      readonly now: number;
    }
  | {
      readonly kind: 'domain-stopped';
      readonly attempt: number;
      readonly uuid: string;
      readonly now: number;
    }
  | {
      readonly kind: 'clear';
      readonly attempt: number;
      readonly due: readonly StoppedDomain[];
      readonly now: number;
    }
  | { readonly kind: 'sent'; readonly attempt: number }
  | { readonly kind: 'failed'; readonly attempt: number; readonly why: string }
  | { readonly kind: 'start-failed'; readonly domain: DomainName; readonly why: string }
  | { readonly kind: 'undone'; readonly attempt: number };

export type RebootEffect =
  /** Pull the plug of a guest that has just shut itself down to restart: its disks are synced, its firmware runs. */
  | { readonly kind: 'catch'; readonly domain: DomainName }
  /** Who runs? Then `surveyed`. */
  | { readonly kind: 'survey' }
  | { readonly kind: 'stop'; readonly domains: readonly StoppedDomain[] }
  | { readonly kind: 'announce'; readonly until: number }
  | { readonly kind: 'withdraw'; readonly until: number }
  /** A `tick` at this time. */
  | { readonly kind: 'wake'; readonly at: number }
  /** May the host reboot, does nobody object, has nothing started meanwhile? Then `clear`, `surveyed` or `failed`. */
  | { readonly kind: 'check' }
  | { readonly kind: 'reboot' }
  /** What was stopped for an attempt that was given up runs again. Then `undone`. */
  | { readonly kind: 'start-again'; readonly domains: readonly StoppedDomain[] };

export interface RebootStep {
  readonly state: RebootState;
  readonly effects: readonly RebootEffect[];
}

/** The state of a boot in which nothing has happened. `autoSpent`: a reboot of ours brought this boot. */
export function initialState(boot: string, autoSpent: boolean): RebootState {
  const lists = { marked: [], kept: [], others: [], unstarted: [], left: [], restarts: [] };
  const nothing = { attempt: 0, phase: 'idle', until: 0, sent: false, refusal: '' } as const;
  return { boot, ...nothing, ...lists, autoSpent };
}

/** True while the host has to reboot before the cards are well again: /run/reboot-required says so. */
export function isRequired(state: RebootState): boolean {
  return (
    state.kept.length > 0 ||
    !(state.phase === 'idle' || state.phase === 'undoing') ||
    state.marked.some(({ mark }) => mark === 'guest-restarting' || mark === 'reboot-pending')
  );
}

/** True between a consent and the end of what it began. */
export function isAttempt(state: RebootState): boolean {
  return !(state.phase === 'idle' || state.phase === 'undoing');
}

/** True when there is something to reboot the host for. */
export function isWanted(state: RebootState): boolean {
  return state.kept.length > 0 || state.marked.some(({ mark }) => mark !== 'armed');
}
