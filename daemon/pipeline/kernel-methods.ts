/**
 * Steps about reset_method: the kernel's own resets at VFIO's open and close follow it (facts/kernel.md 1), but for the bus reset
 * of the last close, which follows nothing (0.6). Pure.
 */
import type { CardConfig } from '../config/config.ts';
import type { PciFunction } from '../pci/device.ts';
import { type Card, mainFunction } from '../pci/inventory.ts';
import { familyOf, quirkOf } from '../pci/quirks.ts';
import { isRungName, kernelMethods, type RungName } from '../pci/rung-name.ts';
import { rungs } from '../reset/ladder.ts';
import { resetModuleOf } from '../reset/reset-module.ts';
import type { Lease } from './lease.ts';
import type { Step } from './step.ts';

/** Steps before vfio-pci has the card: what it is to be reset by, and that nothing is offered that its family forbids. */
export function methodSteps(card: Card, settings: CardConfig | undefined): readonly Step[] {
  const { methods } = configuredMethods(card, settings);
  return [
    ...(methods === '' ? ownProcedureSteps(card, settings) : chooseSteps(card, methods)),
    ...forbidSteps(card, settings),
  ];
}

/** What there is to say of the methods that the configuration names although the family forbids them. */
export function methodNotes(card: Card, settings: CardConfig | undefined): readonly string[] {
  return configuredMethods(card, settings).notes;
}

/** Steps on the way home: what methodSteps has put into reset_method is taken back. */
export function homeMethodSteps(
  lease: Lease,
  known: Card,
  settings: CardConfig | undefined,
): readonly Step[] {
  const chosen =
    settings?.resetMethod === undefined
      ? ownProcedureSteps(known, settings)
      : chooseSteps(known, settings.resetMethod);
  // What is forced today may have been forbidden when it was lent.
  const steps = [...chosen, ...forbidSteps(known, undefined)];
  const changed = new Set(steps.flatMap(({ args }) => ('fn' in args ? args.fn : [])));
  return lease.home.functions
    .filter(({ address }) => changed.has(address))
    .map(({ address: fn, resetMethod: methods = 'default' }): Step => {
      const args = { card: lease.card, fn, methods, otherwise: 'default' } as const;
      return { step: 'reset-method', args };
    });
}

// What the kernel does at open and close is the card's own procedure, where a module has one.
function ownProcedureSteps(card: Card, settings: CardConfig | undefined): readonly Step[] {
  const fn = mainFunction(card)?.address;
  if (fn === undefined || resetModuleOf(card, settings) === undefined) return [];
  const args = { card: card.address, fn, methods: 'device_specific', otherwise: 'keep' } as const;
  return [{ step: 'reset-method', args }];
}

/**
 * What the configuration puts there is as dangerous as a rung, so what the card's family forbids is left out unless it is forced.
 * Empty: it puts nothing there.
 */
function configuredMethods(
  card: Card,
  settings: CardConfig | undefined,
): { readonly methods: string; readonly notes: readonly string[] } {
  const { never, family } = quirkOf(card);
  const named = settings?.resetMethod?.split(' ') ?? [];
  const harmful = named.filter((name) => isRungName(name) && never.has(name));
  const force = settings?.force === true;
  const notes = harmful.map((name) => {
    const why = isRungName(name) ? never.get(name) : undefined;
    const done = force
      ? 'it is forced'
      : 'it is left out (force: true would write it all the same)';
    return `reset-method ${name} of card ${card.address} is never right on ${family?.name ?? 'it'} (${why}): ${done}`;
  });
  return {
    methods: named.filter((name) => force || !harmful.includes(name)).join(' '),
    notes,
  };
}

function chooseSteps(card: Card, methods: string): readonly Step[] {
  return card.functions.slice(0, 1).map((fn): Step => {
    const args = { card: card.address, fn: fn.address, methods, otherwise: 'fail' } as const;
    return { step: 'reset-method', args };
  });
}

function forbidSteps(card: Card, settings: CardConfig | undefined): readonly Step[] {
  const named = [...(settings?.resetMethod?.split(' ') ?? []), ...(settings?.ladder ?? [])];
  const forced = new Set<string>(settings?.force === true ? named : []);
  return card.functions.flatMap((fn): readonly Step[] => {
    const never = forbiddenMethods(card, fn).filter((name) => !forced.has(name));
    const args = { card: card.address, fn: fn.address, never };
    return never.length === 0 ? [] : [{ step: 'forbid-methods', args }];
  });
}

/**
 * A bus reset reaches all functions of the card, so the family of each has a say in it; the others reach this one alone.
 *
 * Not pm where a bus reset does harm: on such functions it does nothing, but a function that the kernel has reset at close, as
 * VFIO sees it, needs no bus reset any more, which nothing else can forbid (facts/kernel.md 0.6 and 2, vfio-pci, close). Display
 * functions of class 0380 have it (quirk_no_pm_reset is for VGA). Other methods are forbidden because they do harm themselves.
 */
function forbiddenMethods(card: Card, fn: PciFunction): readonly RungName[] {
  const own = familyOf(fn);
  const all = quirkOf(card).never;
  const endsHost = own?.hazards.some((hazard) => hazard.endsHost) === true;
  const isShield = (name: RungName): boolean => name === 'pm' && all.has('bus') && !endsHost;
  return kernelMethods.filter(
    (name) => (rungs[name].reach === 'bus' ? all : own?.never)?.has(name) && !isShield(name),
  );
}
