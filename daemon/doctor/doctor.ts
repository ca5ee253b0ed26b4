/** Doctor: all rules over the facts of a host, and what comes out as people and programs read it. Pure but for `examine`. */
import { cardOf, isFunctionAddress } from '../pci/address.ts';
import { idOf, isDisplay } from '../pci/device.ts';
import { type Card, mainFunction } from '../pci/inventory.ts';
import { type Quirk, quirkOf } from '../pci/quirks.ts';
import { kernelMethods, type RungName } from '../pci/rung-name.ts';
import { createHostFiles } from './captured.ts';
import type { DomainFacts } from './domain-facts.ts';
import type { Finding, Fix, Judgement, Rule, RuleId, Severity } from './finding.ts';
import { type HostFacts, readHostFacts } from './host-facts.ts';
import { rules } from './rules/index.ts';
import { companionsOf, groupMates } from './topology.ts';

interface CardReport {
  readonly address: string;
  readonly name: string;
  /** Null where the ids are unknown. */
  readonly family: string | null;
  readonly functions: readonly {
    readonly address: string;
    readonly id: string;
    readonly class: string | null;
    readonly driver: string | null;
    readonly group: string | null;
  }[];
  readonly groups: readonly string[];
  /** Whether its IOMMU groups allow it to be given away; null: unknown. */
  readonly passable: boolean | null;
  /** Names of the rungs that suit it, the most suitable first; none that are forbidden. */
  readonly ladder: readonly RungName[];
}

export interface Report {
  readonly host: {
    readonly kernel: string | null;
    readonly cpu: 'amd' | 'intel' | null;
    readonly iommu: boolean | null;
    readonly domains: readonly string[];
  };
  readonly cards: readonly CardReport[];
  /** Errors first, then by rule and subject. */
  readonly findings: readonly Finding[];
}

/** Reads the captured host below `root`. Never throws. */
export function examine(root: string): HostFacts {
  return readHostFacts(createHostFiles(root));
}

/** All that is known, and what all rules say. `only` as in findingsOf. */
export function reportOf(facts: HostFacts, only?: DomainFacts): Report {
  return {
    host: {
      kernel: facts.kernel ?? null,
      cpu: facts.cpu ?? null,
      iommu: facts.inventory.iommu ?? null,
      domains: facts.domains.map(({ name }) => name),
    },
    cards: Array.from(facts.inventory.cards.values(), (card) => cardReport(facts, card)),
    findings: findingsOf(facts, only),
  };
}

/** What all rules say, errors first. With `only`: what concerns that domain, the devices it passes and the host. */
export function findingsOf(facts: HostFacts, only?: DomainFacts): readonly Finding[] {
  const own = new Set<string>(only?.hostdevs.map(({ address }) => address));
  const narrow =
    only === undefined
      ? facts
      : {
          ...facts,
          domains: [only],
          passed: facts.passed.filter(({ domain }) => domain === only),
        };
  const findings = ruleList().flatMap(([id, rule]) => {
    // Of who else claims a device only the other domains can tell.
    const judged =
      id === 'claimed-twice' && only !== undefined
        ? rule.judge(facts).filter(({ subject }) => own.has(subject))
        : rule.judge(narrow);
    return judged
      .filter(({ subject }) => only === undefined || concerns(only, subject))
      .map((one) => ({ rule: id, ...one }));
  });
  return findings.sort(byWeight);
}

// Rules also speak of cards that the host keeps.
function concerns(domain: DomainFacts, subject: Finding['subject']): boolean {
  if (!isFunctionAddress(subject)) return true;
  return domain.hostdevs.some(({ address }) => cardOf(address) === cardOf(subject));
}

/** The rules with their ids, for people who want to know what is looked at. */
export function ruleList(): readonly (readonly [RuleId, Rule])[] {
  return Object.values(rules).map((rule) => [rule.id, rule]);
}

/** The report as JSON has it: English. */
export function reportJson(report: Report): unknown {
  return {
    ...report,
    findings: report.findings.map(({ rule, severity, subject, message, fix }) => ({
      ...{ rule, severity, subject, message: message.en },
      fix: fix && { rule, ...fixJson(fix) },
    })),
  };
}

function fixJson(fix: Fix) {
  return { ...fix, description: fix.description.en };
}

function cardReport(facts: HostFacts, card: Card): CardReport {
  const main = mainFunction(card);
  const quirk = quirkOf(card);
  const { family } = quirk;
  const groups = new Set(card.functions.flatMap((fn) => fn.group ?? []));
  return {
    address: card.address,
    name: main === undefined ? card.address : `${family?.name ?? 'device'} (${idOf(main)})`,
    family: family?.name ?? null,
    functions: card.functions.map((fn) => ({
      address: fn.address,
      id: idOf(fn),
      class: fn.classCode ?? null,
      driver: fn.driver ?? null,
      group: fn.group ?? null,
    })),
    groups: [...groups],
    passable: passable(facts, card),
    ladder: ladderOf(facts, card, quirk),
  };
}

// Host and ISA bridges never go; else the groups decide. Beside an APU's display sit devices that the host needs.
function passable(facts: HostFacts, card: Card): boolean | null {
  if (facts.inventory.iommu === false) return false;
  if (card.functions.some((fn) => fn.group === undefined)) return null;
  if (card.functions.some((fn) => /^060[01]/.test(fn.classCode ?? ''))) return false;
  const display = card.functions.filter(isDisplay);
  const own =
    display.length === 0
      ? card.functions
      : companionsOf(facts, card, new Set(display.map((fn) => fn.address)));
  return groupMates(facts, own).length === 0;
}

const methods: ReadonlySet<RungName> = new Set(kernelMethods.filter((name) => name !== 'bus'));

// A method that the kernel does not list is none here; `bus` it lists where it then refuses (facts/kernel.md 0, finding 1).
// Where its list is unknown, device_specific is left out of the ladder of a family to which nobody gives it.
function ladderOf(facts: HostFacts, card: Card, quirk: Quirk): readonly RungName[] {
  const listed = card.functions.map((fn) => facts.devices.get(fn.address)?.resetMethods);
  const known = listed.find((one) => one !== undefined);
  return quirk.ladder.filter((rung) => {
    if (known !== undefined) return !methods.has(rung) || known.includes(rung);
    return rung !== 'device_specific' || !quirk.known || quirk.deviceSpecific !== undefined;
  });
}

const weights: Readonly<Record<Severity, number>> = { error: 0, warning: 1, note: 2 };

function byWeight(a: Judgement & { rule: RuleId }, b: Judgement & { rule: RuleId }): number {
  const text = (one: typeof a) => `${one.rule} ${one.subject}`;
  return weights[a.severity] - weights[b.severity] || (text(a) < text(b) ? -1 : 1);
}
