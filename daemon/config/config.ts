/** The configuration as the daemon uses it. With no file at all these defaults hold (invariant 12). */
import type { CardAddress } from '../pci/address.ts';
import type { RungName } from '../pci/rung-name.ts';

export interface CardConfig {
  /** Rungs to try, in this order, instead of the whole ladder. */
  readonly ladder?: readonly RungName[];
  /** Rungs of `ladder` that the card's family forbids are tried all the same. */
  readonly force?: boolean;
  /** Kernel reset methods for the kernel's own resets, space separated as in reset_method. */
  readonly resetMethod?: string;
  /** Kernel module that gives the card `device_specific`, where it is not vendor-reset. */
  readonly resetModule?: string;
  /** It may go to a guest with the only keyboard of the host. */
  readonly lendKeyboard?: boolean;
}

/** What a person has said about one domain; where nothing is said, the default is in what uses it. */
export interface DomainSettings {
  /** What a reboot from inside the guest means. Unset: what the quirk data of its cards say. */
  readonly guestReboot?: 'pass' | 'cold';
  /** Whether a guest that crashed or was killed is started again. Unset: never. */
  readonly restart?: 'never' | 'on-crash';
  /** What a display driver installed in the guest leads to. Unset: ask. */
  readonly afterDriverInstall?: 'ask' | 'auto' | 'off';
  /** What becomes of it when the host is to reboot and it does not shut down. Unset: wait (the reboot is given up). */
  readonly onRefusal?: 'wait' | 'save' | 'destroy';
}

export interface Config {
  /** What the hook does when the daemon cannot be reached. */
  readonly hookUnreachable: 'allow' | 'refuse';
  /** Seconds that programs on the host get to let go of a card before a start is refused. */
  readonly holdersSeconds: number;
  /** Seconds that `prepare` may spend on reviving a dead card before it refuses the start. */
  readonly prepareReviveSeconds: number;
  /** The rung `suspend`: never, only while no other domain runs, or whatever runs. */
  readonly suspend: 'never' | 'alone' | 'always';
  readonly cards: ReadonlyMap<CardAddress, CardConfig>;
  /** Names of domains that are left to libvirt. */
  readonly unmanagedDomains: ReadonlySet<string>;
  /** By name of the domain. */
  readonly domains: ReadonlyMap<string, DomainSettings>;
  /** Seconds between two questions to a guest about its display drivers; 0 asks never. */
  readonly driverPollSeconds: number;
  /** Seconds in which a reboot of the host that was announced can be cancelled. */
  readonly rebootGraceSeconds: number;
  /** Seconds that a guest gets to shut down before a reboot of the host. */
  readonly rebootShutdownSeconds: number;
}

export const defaultConfig: Config = {
  hookUnreachable: 'allow',
  holdersSeconds: 10,
  prepareReviveSeconds: 100,
  suspend: 'alone',
  cards: new Map(),
  unmanagedDomains: new Set(),
  domains: new Map(),
  driverPollSeconds: 60,
  rebootGraceSeconds: 60,
  rebootShutdownSeconds: 180,
};
