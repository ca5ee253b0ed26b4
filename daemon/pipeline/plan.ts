/**
 * Plans: ordered lists of steps from what is there and what is asked. Pure: nothing here reads or writes anything, and the
 * same input gives the same plan.
 */
import type { CardConfig, Config } from '../config/config.ts';
import { RevivedError } from '../errors.ts';
import { type CardAddress, cardOf, type FunctionAddress } from '../pci/address.ts';
import { idOf, isBridge, type PciFunction } from '../pci/device.ts';
import { type Card, companions, type Inventory } from '../pci/inventory.ts';
import { quirkOf } from '../pci/quirks.ts';
import type { RungName } from '../pci/rung-name.ts';
import { refuseVirtual } from '../pci/sriov.ts';
import { rungsAfterGuest } from '../reset/ladder.ts';
import { staysInPlace } from '../reset/preference.ts';
import { resetModuleOf } from '../reset/reset-module.ts';
import { type HostNeeds, refuseNeeded } from './host-needs.ts';
import { homeMethodSteps, methodNotes, methodSteps } from './kernel-methods.ts';
import { cardFromHome, type Lease } from './lease.ts';
import type { Step } from './step.ts';

interface CardPlan {
  /** The functions that move, and the ports above. */
  readonly card: Card;
  readonly steps: readonly Step[];
}

export interface PreparePlan {
  readonly cards: readonly CardPlan[];
  readonly notes: readonly string[];
}

export interface PrepareRequest {
  readonly domain: string;
  readonly uuid: string;
  readonly requested: readonly FunctionAddress[];
  readonly inventory: Inventory;
  readonly leases: readonly Lease[];
  readonly config: Config;
  readonly needs: HostNeeds;
  readonly reviveMs: number;
}

/** Drivers that do not stand in the way of a group's use (drivers/vfio/vfio_main.c, vfio_dev_viable; pci_stub). */
const harmlessDrivers: ReadonlySet<string> = new Set(['vfio-pci', 'pci-stub', 'pcieport']);

/** The plan for handing all cards of a domain over. Throws `refused` or `busy` with the reason and what to do. */
export function planPrepare(request: PrepareRequest): PreparePlan {
  const { requested, inventory, config } = request;
  if (requested.length > 0 && inventory.iommu === false) {
    throw new RevivedError(
      'refused',
      `Domain ${request.domain} passes PCI devices, but the IOMMU of this host is off.`,
      'Switch it on in the firmware (VT-d or AMD-Vi) and on the kernel command line (intel_iommu=on for Intel).',
    );
  }
  const notes: string[] = [];
  const byCard = new Map<CardAddress, Set<FunctionAddress>>();
  for (const address of requested) {
    const fn = inventory.functions.get(address);
    if (fn === undefined && !isLost(request, address)) throw missing(request.domain, address);
    if (fn !== undefined && isBridge(fn)) throw bridge(request.domain, fn);
    if (fn?.virtual === true) {
      notes.push(`${address} is an SR-IOV virtual function: it is left to libvirt`);
      continue;
    }
    const set = byCard.get(cardOf(address)) ?? new Set();
    byCard.set(cardOf(address), set.add(address));
  }
  const moving = [...byCard].map(([address, wanted]) =>
    movingCard(request, address, wanted, notes),
  );
  const movingFunctions = new Set(moving.flatMap((card) => card.functions.map((fn) => fn.address)));
  refuseNeeded(moving, request.needs, config);
  for (const card of moving) {
    notes.push(...methodNotes(card, config.cards.get(card.address)));
    const lease = request.leases.find((one) => one.card === card.address);
    refuseForeignLease(lease, request);
    refuseVirtual(card, inventory);
    refuseHostEnding(card, config.cards.get(card.address));
    refuseSharedGroup(request, card, movingFunctions);
  }
  return {
    cards: moving.map((card) => ({
      card,
      steps: takeSteps(card, config, request.reviveMs),
    })),
    notes,
  };
}

/** Steps that take a card from the host and bind it to vfio-pci, alive. */
export function takeSteps(card: Card, config: Config, reviveMs: number): readonly Step[] {
  const { address } = card;
  const settings = config.cards.get(address);
  const functions = card.functions.map((fn) => fn.address);
  return [
    ...freeSteps(card),
    ...functions.map((fn): Step => {
      return { step: 'override', args: { card: address, fn, driver: 'vfio-pci' } };
    }),
    ...unbindSteps(card),
    ...moduleSteps(card, settings),
    reviveStep(card, reviveMs, settings, { order: null, evenIfHealthy: false, afterGuest: false }),
    ...methodSteps(card, settings),
    ...functions.map((fn): Step => ({ step: 'bind-vfio', args: { card: address, fn } })),
    // Again: vfio-pci sets power/control to auto when it binds (vfio_pci_core_register_device, pm_runtime_allow).
    { step: 'pin-power', args: { card: address, devices: functions } },
    { step: 'verify', args: { card: address, known: card } },
  ];
}

/** Steps before a card is lent or reset by hand; one that comes home was lent with the module, or without. */
export function moduleSteps(card: Card, settings: CardConfig | undefined): readonly Step[] {
  const module = resetModuleOf(card, settings);
  return module === undefined
    ? []
    : [{ step: 'reset-module', args: { card: card.address, module } }];
}

/** Steps that take a card from its host drivers for a reset, without handing it to anybody. */
export function detachSteps(card: Card): readonly Step[] {
  return [...freeSteps(card), ...unbindSteps(card)];
}

export interface ReturnPlan {
  /** Nothing is done to the card while somebody has it open. */
  readonly close: readonly Step[];
  /** All must succeed; when one does not, the card stays away from its host drivers: they would hang or crash on it. */
  readonly revive: readonly Step[];
  /** All are done, whatever becomes of the others. */
  readonly giveBack: readonly Step[];
}

/** What is asked of the ladder when a card comes home. */
export interface Reset {
  readonly order: readonly RungName[] | null;
  readonly evenIfHealthy: boolean;
  /** Its guest left it in the middle of something: it is reset although it looks healthy, where that leaves it in its place. */
  readonly afterCrash?: boolean;
}

/** The plan for taking a card back alive and giving it to its host drivers. */
export function planReturn(
  lease: Lease,
  config: Config,
  reviveMs: number,
  reset: Reset = { order: null, evenIfHealthy: false },
): ReturnPlan {
  const card = lease.card;
  const known = cardFromHome(card, lease.home);
  const settings = config.cards.get(card);
  const functions = lease.home.functions.map((fn) => fn.address);
  return {
    close: [{ step: 'wait-closed', args: { card, functions } }],
    revive: [reviveStep(known, reviveMs, settings, { ...reset, afterGuest: true })],
    giveBack: [
      ...homeMethodSteps(lease, known, settings),
      ...lease.home.functions.map(({ address, driver }): Step => {
        return { step: 'bind-home', args: { card, fn: address, driver } };
      }),
      ...lease.home.functions.map(({ address, override }): Step => {
        return { step: 'override', args: { card, fn: address, driver: override } };
      }),
      { step: 'restore-power', args: { card, settings: lease.home.power } },
    ],
  };
}

function freeSteps(card: Card): readonly Step[] {
  const { address } = card;
  const hosted = card.functions.filter((fn) => fn.driver !== undefined && fn.driver !== 'vfio-pci');
  const waits: readonly Step[] =
    hosted.length === 0
      ? []
      : [{ step: 'wait-free', args: { card: address, functions: hosted.map((fn) => fn.address) } }];
  const devices = [...card.functions.map((fn) => fn.address), ...card.ports];
  return [...waits, { step: 'pin-power', args: { card: address, devices } }];
}

// The last function first: audio, USB and UCSI functions are consumers of .0 (facts/kernel.md 1, consumer links).
function unbindSteps(card: Card): readonly Step[] {
  return card.functions
    .filter((fn) => fn.driver !== undefined && fn.driver !== 'vfio-pci')
    .toReversed()
    .map((fn): Step => ({ step: 'unbind', args: { card: card.address, fn: fn.address } }));
}

function reviveStep(
  known: Card,
  budgetMs: number,
  settings: CardConfig | undefined,
  asked: Reset & { readonly afterGuest: boolean },
): Step {
  const { evenIfHealthy } = asked;
  const order = asked.order ?? settings?.ladder ?? null;
  const quirk = quirkOf(known);
  const afterGuest = asked.afterGuest && !evenIfHealthy ? rungsAfterGuest(quirk) : [];
  const due = asked.afterCrash === true ? quirk.ladder.filter(staysInPlace) : afterGuest;
  const whenHealthy = due.filter((name) => order === null || order.includes(name));
  const force = settings?.force === true;
  const module = resetModuleOf(known, settings) ?? null;
  const base = { card: known.address, known, budgetMs, order, evenIfHealthy, force };
  const args = { ...base, whenHealthy, module };
  return { step: 'revive', args };
}

// A stranded card may have left the bus: its lease remembers what it was, and the ladder can bring it back.
function isLost(request: PrepareRequest, address: FunctionAddress): boolean {
  const lease = request.leases.find((one) => one.card === cardOf(address));
  return lease?.home.functions.some((fn) => fn.address === address) === true;
}

function movingCard(
  request: PrepareRequest,
  address: CardAddress,
  wanted: ReadonlySet<FunctionAddress>,
  notes: string[],
): Card {
  const lease = request.leases.find((one) => one.card === address);
  const there = request.inventory.cards.get(address);
  if (lease !== undefined) return withDrivers(cardFromHome(address, lease.home), request.inventory);
  if (there === undefined) throw missing(request.domain, [...wanted][0] ?? address);
  const functions = companions(there, wanted);
  const along = functions.filter((fn) => !wanted.has(fn.address));
  if (along.length > 0) {
    const names = along.map((fn) => `${fn.address} (${idOf(fn)})`).join(', ');
    notes.push(
      `${names} goes along with the card although domain ${request.domain} does not pass it; add it to the domain to use it there`,
    );
  }
  return { ...there, functions };
}

// Identity from the lease, drivers as they are now.
function withDrivers(card: Card, inventory: Inventory): Card {
  const functions = card.functions.map((fn) => ({
    ...fn,
    driver: inventory.functions.get(fn.address)?.driver,
  }));
  return { ...card, functions };
}

/**
 * Throws `busy`, naming who has the card, unless `holder` may take it: nobody has it, the holder has it, or a job is just
 * bringing it home (the taker then waits for that job).
 */
export function refuseForeignLease(
  lease: Lease | undefined,
  holder: { readonly domain: string; readonly uuid: string },
): void {
  if (lease === undefined || !(lease.state === 'lent' || lease.state === 'taking')) return;
  if (lease.uuid === holder.uuid && lease.uuid !== '') return;
  const who = lease.domain === '' ? 'a person (revivectl take)' : `domain ${lease.domain}`;
  const asker =
    holder.uuid === '' ? 'it cannot be taken' : `domain ${holder.domain} cannot have it as well`;
  throw new RevivedError(
    'busy',
    `Card ${lease.card} is with ${who}; ${asker}.`,
    lease.domain === ''
      ? `Give it back first: revivectl return ${lease.card}`
      : `Stop domain ${lease.domain} first.`,
  );
}

function refuseHostEnding(card: Card, settings: CardConfig | undefined): void {
  const { hazards, reason } = quirkOf(card);
  const hazard = hazards.find((one) => one.endsHost);
  if (hazard === undefined || settings?.force === true) return;
  throw new RevivedError(
    'refused',
    `Card ${card.address} cannot be handed over, it is ${reason}: ${hazard.reason}.`,
    `Pass another controller, or say that yours is not like that: force: true for card ${card.address}.`,
  );
}

function refuseSharedGroup(
  request: PrepareRequest,
  card: Card,
  moving: ReadonlySet<FunctionAddress>,
): void {
  for (const group of new Set(card.functions.map((fn) => fn.group))) {
    const members = group === undefined ? [] : (request.inventory.groups.get(group) ?? []);
    const standing = members
      .map((address) => request.inventory.functions.get(address))
      .filter((fn) => fn !== undefined)
      .filter((fn) => !moving.has(fn.address) && !isBridge(fn))
      .filter((fn) => fn.driver !== undefined && !harmlessDrivers.has(fn.driver));
    if (standing.length === 0) continue;
    const names = standing.map((fn) => `${fn.address} (${idOf(fn)}, ${fn.driver})`).join(', ');
    throw new RevivedError(
      'refused',
      `Card ${card.address} shares IOMMU group ${group} with ${names}: the kernel lends a group only whole.`,
      `Add ${names} to domain ${request.domain} as well, or move the card to another slot.`,
    );
  }
}

function missing(domain: string, address: string): RevivedError {
  return new RevivedError(
    'refused',
    `Domain ${domain} passes ${address}, but no such device is on this host.`,
    'Addresses change when cards are added or moved: compare with revivectl list --all and edit the domain.',
  );
}

function bridge(domain: string, fn: PciFunction): RevivedError {
  return new RevivedError(
    'refused',
    `Domain ${domain} passes ${fn.address}, which is a PCI bridge: bridges cannot be handed over.`,
    'Pass the functions of the card behind it instead.',
  );
}
