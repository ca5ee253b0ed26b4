/** Which patterns a line matches: the table of all of them, behind the search that keeps most lines away from it. */
import { createHintSearch, type HintSearch } from './hint-search.ts';
import type { Pattern } from './log-pattern.ts';
import { driverPatterns } from './patterns/driver.ts';
import { framebufferPatterns } from './patterns/framebuffer.ts';
import { functionPatterns } from './patterns/function.ts';
import { gpuPatterns } from './patterns/gpu.ts';
import { harmlessPatterns } from './patterns/harmless.ts';
import { iommuPatterns } from './patterns/iommu.ts';
import { kernelPatterns } from './patterns/kernel.ts';
import { libvirtPatterns } from './patterns/libvirt.ts';
import { pciPatterns } from './patterns/pci.ts';
import { vendorResetPatterns } from './patterns/vendor-reset.ts';
import { vfioPatterns } from './patterns/vfio.ts';

/** All patterns; the harmless ones last. */
export const patterns: readonly Pattern[] = [
  ...iommuPatterns,
  ...pciPatterns,
  ...vfioPatterns,
  ...vendorResetPatterns,
  ...gpuPatterns,
  ...functionPatterns,
  ...driverPatterns,
  ...framebufferPatterns,
  ...kernelPatterns,
  ...libvirtPatterns,
  ...harmlessPatterns,
];

export interface Match {
  readonly pattern: Pattern;
  /** Tells one matter of a device from another; empty where there is one. */
  readonly key: string;
}

const hints = patterns.flatMap((pattern, index) => pattern.hints.map((hint) => ({ hint, index })));
// Built with the first line: it takes 10 ms, which the start of the daemon need not pay.
let search: HintSearch | undefined;

/** Numbers of the patterns that a line may match. Fast; most lines have none. */
export function candidatesOf(line: string): readonly number[] {
  search ??= createHintSearch(hints.map(({ hint }) => hint));
  const hits = search(line);
  if (hits.length === 0) return hits;
  return [...new Set(hits.map((hit) => hints[hit]?.index ?? -1))].sort((a, b) => a - b);
}

const riskHints = patterns.flatMap(({ risk, hints: texts }) =>
  risk === true ? texts.map((hint) => hint.toLowerCase()) : [],
);

/** False where a line cannot say that the host is at risk; 50 times as fast as to look what it says. */
export function mayBeRisk(line: string): boolean {
  const text = line.toLowerCase();
  return riskHints.some((hint) => text.includes(hint));
}

/** The matches of a line among its candidates, in the order of the table. */
export function matchesOf(line: string, candidates: readonly number[]): readonly Match[] {
  return candidates.flatMap((index): Match[] => {
    const pattern = patterns[index];
    const match = pattern?.line.exec(line) ?? null;
    return pattern === undefined || match === null
      ? []
      : [{ pattern, key: match.groups?.['key'] ?? '' }];
  });
}
