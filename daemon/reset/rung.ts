/**
 * What a rung is, and the facts that rungs are judged by. A new rung is one file in rungs/ and one line in ladder.ts; the
 * names are in pci/rung-name.ts.
 */

import type { Host } from '../host/host.ts';
import { isModuleLive } from '../host/modules.ts';
import { sleepObstacle } from '../host/suspend.ts';
import type { FunctionAddress } from '../pci/address.ts';
import { deviceDirectory, idParts, isBridge } from '../pci/device.ts';
import type { Health } from '../pci/health.ts';
import type { Card, Inventory } from '../pci/inventory.ts';
import { familyOf } from '../pci/quirks.ts';
import type { RungName } from '../pci/rung-name.ts';
import type { IoResult } from '../sysfs/io.ts';
import { present, readAttribute, readNames } from '../sysfs/read.ts';

export interface PortFacts {
  readonly address: FunctionAddress;
  readonly canResetSubordinate: boolean;
  /** ACPI has power resources for its D3 (_PR3): it can take the power away below it. */
  readonly canCutPower: boolean;
  /** Functions below that are no bridges: what a reset of the secondary bus reaches. */
  readonly below: readonly FunctionAddress[];
  /** Why its secondary bus must never be reset: what its own family says. */
  readonly never?: string;
}

export interface ResetFacts {
  readonly card: Card;
  readonly functions: readonly {
    readonly address: FunctionAddress;
    /** Contents of reset_method; undefined where the file is missing. */
    readonly methods: readonly string[] | undefined;
    readonly driver: string | undefined;
  }[];
  /** Nearest first. */
  readonly ports: readonly PortFacts[];
  /** The hotplug slot with a power switch, if the platform has one for this card. */
  readonly slot: { readonly directory: string } | undefined;
  /** Functions that do not answer through their config space: what works through it cannot work on them. */
  readonly configDead: readonly FunctionAddress[];
  /** No function is on the bus. */
  readonly gone: boolean;
  /** Why the host cannot sleep and wake by itself; undefined when it can. */
  readonly noSleep: string | undefined;
  /** The host has the driver amdgpu. */
  readonly amdgpuLoaded: boolean;
  /** The module that gives the card device_specific, if it has one (reset-module.ts). */
  readonly module?: { readonly name: string; readonly loaded: boolean } | undefined;
}

export type Assessment =
  | { readonly available: true; readonly reaches: readonly FunctionAddress[] }
  | { readonly available: false; readonly reason: string };

/** `said`: what the kernel answered, for people. It proves nothing (invariant 4). */
export type RungAnswer =
  | { readonly state: 'done' | 'error'; readonly said: string }
  | { readonly state: 'stuck'; readonly said: string; readonly pid: number };

/** What a rung changes of the host that a daemon ended in it leaves changed, as it was before. */
export type HostBefore = Readonly<Record<string, string>>;

export interface Rung {
  readonly name: RungName;
  /** One clause for people: "resets the bus below the port, with all functions of the card". */
  readonly does: string;
  /** Usual and longest time in milliseconds (facts/kernel.md 9.3; a dead function with a PM capability: 70 s). */
  readonly expectedMs: number;
  readonly worstMs: number;
  /** How far it goes: the card alone, its bus, its place in the machine or its driver, the whole host that sleeps or starts anew. */
  readonly reach: 'card' | 'bus' | 'machine' | 'host';
  /**
   * It takes the link down, or may: a fatal error that it reports meanwhile is its doing. It is told, and what decides is how the
   * card is afterwards.
   */
  readonly breaksLink: boolean;
  /** It works under the kernel's one lock for removals and rescans (pci_rescan_remove_lock; invariant 11). */
  readonly busWide: boolean;
  /** A healthy card may go through it after each guest: it resets the card alone, by a procedure made for it (facts/kernel.md 2). */
  readonly afterGuest: boolean;
  /** Pure: can it be done here and now, and what does it reach? */
  assess(facts: ResetFacts): Assessment;
  /** Does it. Never throws for what the kernel answers. */
  run(facts: ResetFacts, host: Host): Promise<RungAnswer>;
  /** Goes into the journal before it is done, for `undo`. Only where it changes more than the card, whose home the lease has. */
  readonly survey?: (host: Host) => HostBefore;
  /** Puts that back, at the start of the daemon after one that was ended in it; must be right at any point of it. */
  readonly undo?: (before: HostBefore, host: Host) => Promise<void>;
}

/** Reads the facts for a card of that health. Nothing of it blocks. `module`: see reset-module.ts. */
export function readResetFacts(
  sys: string,
  card: Card,
  inventory: Inventory,
  { configDead = [] }: Pick<Health, 'configDead'>,
  module?: string,
): ResetFacts {
  return {
    card,
    module: module === undefined ? undefined : { name: module, loaded: isModuleLive(sys, module) },
    functions: card.functions
      .filter((fn) => inventory.functions.has(fn.address))
      .map((fn) => ({
        address: fn.address,
        methods: readAttribute(`${deviceDirectory(sys, fn.address)}/reset_method`)
          ?.split(' ')
          .filter((method) => method !== ''),
        driver: inventory.functions.get(fn.address)?.driver,
      })),
    ports: card.ports.map((address) => ({
      address,
      ...forbiddenBelow(sys, address),
      canResetSubordinate: present(`${deviceDirectory(sys, address)}/reset_subordinate`),
      // drivers/acpi/device_sysfs.c, acpi_device_expose_power_resources: the directory is there for a _PR3 with resources.
      canCutPower: present(`${deviceDirectory(sys, address)}/firmware_node/power_resources_D3hot`),
      below: Array.from(inventory.functions.values())
        .filter((fn) => !isBridge(fn) && fn.ports.includes(address))
        .map((fn) => fn.address),
    })),
    slot: slotOf(sys, card),
    noSleep: sleepObstacle(sys),
    amdgpuLoaded: present(`${sys}/bus/pci/drivers/amdgpu`),
    configDead,
    gone: !card.functions.some((fn) => inventory.functions.has(fn.address)),
  };
}

function forbiddenBelow(sys: string, port: FunctionAddress): Pick<PortFacts, 'never'> {
  const family = familyOf({ ...idParts(sys, port), classCode: undefined });
  const never = family?.never.get('subordinate');
  return never === undefined ? {} : { never };
}

/** Functions of `reached` that are not the card's own. */
export function foreign(
  facts: ResetFacts,
  reached: readonly FunctionAddress[],
): readonly FunctionAddress[] {
  const own = new Set(facts.card.functions.map((fn) => fn.address));
  return reached.filter((address) => !own.has(address));
}

/** Why nothing is reset: a host driver other than vfio's still runs one of the functions. Undefined where none does. */
export function hostDriven(facts: ResetFacts): string | undefined {
  const fn = facts.functions.find(
    ({ driver }) => driver !== undefined && driver !== 'vfio-pci' && driver !== 'pci-stub',
  );
  return fn === undefined
    ? undefined
    : `${fn.address} is still run by ${fn.driver}: it must be unbound first`;
}

/** A rung that cannot be done here and now. */
export function unavailable(reason: string): Assessment {
  return { available: false, reason };
}

/** What the kernel answered to a write or read that did not go through; undefined for one that did. `what`: for people. */
export function refusal(result: IoResult, what: string): RungAnswer | undefined {
  switch (result.state) {
    case 'ok':
      return undefined;
    case 'stuck':
      return {
        state: 'stuck',
        said: `${what} never returned (child ${result.pid})`,
        pid: result.pid,
      };
    case 'error':
      return { state: 'error', said: `${what}: ${result.errno}` };
  }
}

// Slot names mean nothing; `address` is DDDD:BB:DD of the slot (facts/kernel.md 1, slots).
function slotOf(sys: string, card: Card): ResetFacts['slot'] {
  for (const name of readNames(`${sys}/bus/pci/slots`) ?? []) {
    const directory = `${sys}/bus/pci/slots/${name}`;
    if (readAttribute(`${directory}/address`) !== card.address) continue;
    // That there is one: its state is a register of the port, which may sleep (sysfs/read.ts).
    if (present(`${directory}/power`)) return { directory };
  }
  return undefined;
}
