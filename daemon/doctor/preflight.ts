/**
 * What doctor has to say before a domain starts, from what libvirt's hook got: libvirt waits, so only facts of this domain
 * and its cards are read, and never through libvirt (invariant 1).
 */

import type { Paths } from '../paths.ts';
import type { FunctionAddress } from '../pci/address.ts';
import type { Inventory } from '../pci/inventory.ts';
import { createHostFiles } from './captured.ts';
import { findingsOf } from './doctor.ts';
import type { Finding, RuleId } from './finding.ts';
import { type HostFacts, readStartFacts } from './host-facts.ts';

export interface Preflight {
  /** All of it, the gravest first; messages are those of doctor. */
  readonly findings: readonly Finding[];
  /** Findings of a start that would harm the host: it must not go on. */
  readonly harmful: readonly Finding[];
  /** Findings of a start that cannot succeed; whether it is refused the plan decides, by the same facts. */
  readonly doomed: readonly Finding[];
}

const dooming: ReadonlySet<RuleId> = new Set([
  'iommu-off',
  'device-missing',
  'group-shared',
  'host-critical-device',
]);

/**
 * Judges a start. `remembered`: functions of cards that revived has in hand, which may be off the bus just now and come back
 * with the start. Throws `invalid-argument` where the XML is no domain.
 */
export function preflight(
  paths: Pick<Paths, 'sys' | 'proc' | 'dev'>,
  xml: string,
  inventory: Inventory,
  remembered: ReadonlySet<FunctionAddress>,
): Preflight {
  const files = createHostFiles('/', { paths, kernelLog: () => undefined });
  return judge(readStartFacts(files, inventory, xml), remembered);
}

function judge(facts: HostFacts, remembered: ReadonlySet<FunctionAddress>): Preflight {
  const names: ReadonlySet<string> = remembered;
  const findings = findingsOf(facts, facts.domains[0]).filter(
    ({ rule, subject }) => rule !== 'device-missing' || !names.has(subject),
  );
  const isDoomed = ({ rule, severity }: Finding) => severity === 'error' && dooming.has(rule);
  return {
    findings,
    harmful: findings.filter((one) => isHarmful(facts, one)),
    doomed: findings.filter(isDoomed),
  };
}

// A disk in use would be torn from the host; a function that is passed twice makes libvirt give up when the host has already
// lost its card. Everything else is the owner's business, or the plan's.
function isHarmful({ disks }: HostFacts, { rule, severity, subject }: Finding): boolean {
  if (rule === 'claimed-twice') return severity === 'error';
  if (rule !== 'host-critical-device') return false;
  return [...disks.system, ...disks.mounted].some((one) => one === subject);
}
