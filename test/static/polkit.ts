/** The polkit actions that the daemon asks for are the ones that the policy knows. */
import type { Rule } from './tree.ts';

const table = 'daemon/bus/table.ts';
const policy = 'units/org.revived1.policy';

export const polkitRule: Rule = (tree) => {
  // Interfaces and errors start with a capital, actions do not.
  const asked = found(tree.get(table), /'(org\.revived1\.[a-z][a-z-]*)'/g);
  const known = found(tree.get(policy), /<action id="([^"]+)"/g);
  return [
    ...(asked.size === 0 ? [`${table} names no polkit action`] : []),
    ...[...asked].filter((id) => !known.has(id)).map((id) => `${policy} lacks ${id} of ${table}`),
    ...[...known].filter((id) => !asked.has(id)).map((id) => `${table} lacks ${id} of ${policy}`),
  ];
};

function found(text: string | undefined, pattern: RegExp): ReadonlySet<string> {
  return new Set([...(text ?? '').matchAll(pattern)].map((match) => match[1] ?? ''));
}
