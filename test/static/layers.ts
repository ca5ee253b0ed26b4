/** Dependencies point one way (design, "Layout"): an import may reach its own layer or a lower one, type-only or not. */
import { posix } from 'node:path';
import { type Rule, sourcesBelow } from './tree.ts';

const layers: readonly (readonly string[])[] = [
  ['paths', 'errors', 'log', 'deadline', 'printable', 'record'],
  ['pci', 'host', 'sysfs', 'domain'],
  ['pipeline', 'reset', 'doctor', 'config'],
  ['bus', 'libvirt', 'guest', 'ctl'],
];

/** `main.ts` is free: it wires everything. */
export const layersRule: Rule = (tree) =>
  sourcesBelow(tree, 'daemon/').flatMap(([path, text]) => {
    if (path === 'daemon/main.ts') return [];
    const own = rankOf(path);
    if (own === undefined) return [`${path}: its folder is in no layer (test/static/layers.ts)`];
    return importsOf(path, text).flatMap((target) => {
      if (target === 'daemon/main.ts') return [`${path} imports main.ts, which only wires`];
      const rank = rankOf(target);
      return rank !== undefined && rank > own
        ? [`${path} imports ${target}, which lies in a higher layer`]
        : [];
    });
  });

function importsOf(path: string, text: string): readonly string[] {
  return [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'(\.[^']*)'/g)].map((match) =>
    posix.join(posix.dirname(path), match[1] ?? ''),
  );
}

// `daemon/pci/address.ts` -> `pci`; `daemon/errors.ts` -> `errors`.
function rankOf(path: string): number | undefined {
  const name = path.split('/')[1]?.replace(/\.(d\.)?ts$/, '');
  const rank = layers.findIndex((names) => name !== undefined && names.includes(name));
  return rank === -1 ? undefined : rank;
}
