/** The views that people and tools see, made from inventory, leases, health and jobs. Pure. */
import type { Config } from '../config/config.ts';
import type { Outcome } from '../host/outcome.ts';
import type { CardAddress } from '../pci/address.ts';
import { deviceDirectory, idOf } from '../pci/device.ts';
import type { Health } from '../pci/health.ts';
import { type Card, cardName, type Inventory, isInteresting } from '../pci/inventory.ts';
import { quirkOf } from '../pci/quirks.ts';
import type { RungName } from '../pci/rung-name.ts';
import { ladderFor } from '../reset/ladder.ts';
import { preferred, recordOf } from '../reset/preference.ts';
import { resetModuleOf } from '../reset/reset-module.ts';
import { readResetFacts } from '../reset/rung.ts';
import { idOfCard } from '../reset/verify.ts';
import { readAttribute } from '../sysfs/read.ts';
import { cardFromHome, type Lease } from './lease.ts';
import { planReturn } from './plan.ts';
import { noteOf, type StartPlan } from './preflight.ts';
import { describe } from './runner.ts';
import type { CardState, CardView, JobView, PlanView, RungView } from './service.ts';
import { stepTitle } from './step.ts';

export interface CardSources {
  readonly sys: string;
  readonly inventory: Inventory;
  readonly leases: ReadonlyMap<CardAddress, Lease>;
  readonly health: ReadonlyMap<CardAddress, Health>;
  readonly jobs: readonly JobView[];
  readonly config: Config;
  /** Why a rung of the ladder is not done on a card (reset/revive.ts, rungAgainst); undefined when it may be. */
  readonly against: (card: CardAddress, rung: RungName) => string | undefined;
  /** What came of rungs before, and the kernel that runs. */
  readonly outcomes: readonly Outcome[];
  readonly kernel: string;
}

const unchecked: Health = { state: 'unknown', evidence: ['not checked yet'] };

/** The view of one card; undefined when nothing is known of such a card. */
export function cardView(address: CardAddress, sources: CardSources): CardView | undefined {
  const lease = sources.leases.get(address);
  const there = sources.inventory.cards.get(address);
  const card = cardAt(address, sources);
  if (card === undefined) return undefined;
  const health = sources.health.get(address) ?? unchecked;
  const job = sources.jobs.find((one) => one.state === 'running' && one.cards.includes(address));
  return {
    address,
    name: cardName(card),
    family: quirkOf(card).reason,
    functions: card.functions.map((fn) => ({
      address: fn.address,
      id: idOf(fn),
      classCode: fn.classCode ?? '',
      driver: there === undefined ? null : (fn.driver ?? null),
      group: fn.group ?? null,
    })),
    groups: [...new Set(card.functions.flatMap((fn) => fn.group ?? []))],
    ports: card.ports,
    bootVga: card.functions.some((fn) => {
      return readAttribute(`${deviceDirectory(sources.sys, fn.address)}/boot_vga`) === '1';
    }),
    interesting: lease !== undefined || isInteresting(card),
    state: stateOf(lease),
    health:
      lease?.state === 'stranded'
        ? { ...health, evidence: [...health.evidence, lease.reason] }
        : health,
    domain: lease === undefined || lease.domain === '' ? null : lease.domain,
    leasedSince: lease?.since ?? 0,
    ladder: ladderView(card, health, sources, false),
    job: job?.id ?? null,
  };
}

function cardAt(address: CardAddress, { inventory, leases }: CardSources): Card | undefined {
  const home = leases.get(address)?.home;
  return inventory.cards.get(address) ?? (home && cardFromHome(address, home));
}

/**
 * The ladder of a card as a reset by hand will have it: the module that gives it device_specific is loaded by then, where it can
 * be had. Empty when nothing is known of such a card.
 */
export function resetLadder(address: CardAddress, sources: CardSources): readonly RungView[] {
  const card = cardAt(address, sources);
  const health = sources.health.get(address) ?? unchecked;
  return card === undefined ? [] : ladderView(card, health, sources, true);
}

/** The plan of a start as people see it before it is done, with what doctor says of it. */
export function startView(domain: string, plan: StartPlan): PlanView {
  return {
    domain,
    operation: 'prepare',
    refusal: null,
    notes: [...plan.notes, ...plan.findings.map(noteOf)],
    steps: plan.cards.flatMap(({ card, steps }) =>
      steps.map((step) => ({ name: stepTitle(step), card: card.address, ...describe(step) })),
    ),
  };
}

function ladderView(
  card: Card,
  health: Health,
  sources: CardSources,
  isModuleLoaded: boolean,
): readonly RungView[] {
  const { sys, inventory, config } = sources;
  // Functions that are at home with a host driver are unbound before a rung: that is no reason to leave one out.
  const settings = config.cards.get(card.address);
  const module = resetModuleOf(card, settings);
  const asUnbound = readResetFacts(sys, card, inventory, health, module);
  const facts = {
    ...asUnbound,
    ...(module === undefined || !isModuleLoaded ? {} : { module: { name: module, loaded: true } }),
    functions: asUnbound.functions.map((fn) => ({ ...fn, driver: undefined })),
  };
  const known = quirkOf(card);
  const subject = { card: card.address, id: idOfCard(card), kernel: sources.kernel };
  const outcomes = sources.outcomes.filter((one) => one.card === card.address);
  const quirk = { ...known, ladder: preferred(known.ladder, subject, outcomes) };
  const options = { quirk, order: settings?.ladder, force: settings?.force === true };
  return ladderFor(facts, options).map((entry) => {
    const against = entry.available ? sources.against(card.address, entry.name) : undefined;
    return {
      rung: entry.name,
      available: entry.available && against === undefined,
      reason: `${against ?? entry.reason}${triesText(recordOf(entry.name, subject, outcomes))}`,
      expectedMs: entry.rung.expectedMs,
      worstMs: entry.rung.worstMs,
      reaches: entry.reaches,
    };
  });
}

function triesText({ tried, healed, here }: ReturnType<typeof recordOf>): string {
  if (tried === 0) return '';
  return `; it healed this card ${healed} of ${tried} times ${here ? 'on this kernel' : 'on other kernels'}`;
}

function stateOf(lease: Lease | undefined): CardState {
  return lease === undefined ? 'home' : lease.state;
}

/** What would be done to give the cards of these leases back. */
export function planReturnView(domain: string, leases: readonly Lease[], config: Config): PlanView {
  const steps = leases.flatMap((lease) => {
    const plan = planReturn(lease, config, 0);
    return [...plan.close, ...plan.revive, ...plan.giveBack].map((step) => ({
      name: stepTitle(step),
      card: lease.card,
      ...describe(step),
    }));
  });
  const notes = leases.length === 0 ? ['all cards of this domain are at home'] : [];
  return { domain, operation: 'return', refusal: null, notes, steps };
}
