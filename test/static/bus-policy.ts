/** Every interface of ours in the table can be reached through the bus policy, is installed, and nothing else is. */
import type { Rule } from './tree.ts';

const table = 'daemon/bus/table.ts';
const policy = 'units/org.revived.conf';

export const busPolicyRule: Rule = (tree) => {
  const ours = found(tree.get(table), /^ {2}'(org\.revived1\.[A-Z]\w*)': \{/gm);
  const open = found(tree.get(policy), /send_interface="(org\.revived1\.[^"]+)"/g);
  const installed = found(tree.get('Makefile'), /\/(org\.revived1\.[A-Z]\w*)\.xml$/gm);
  return [
    ...(ours.size === 0 ? [`${table} names no interface`] : []),
    ...differences(ours, open, policy),
    ...differences(ours, installed, 'Makefile'),
  ];
};

function differences(
  ours: ReadonlySet<string>,
  theirs: ReadonlySet<string>,
  file: string,
): readonly string[] {
  return [
    ...[...ours].filter((name) => !theirs.has(name)).map((name) => `${file} lacks ${name}`),
    ...[...theirs]
      .filter((name) => !ours.has(name))
      .map((name) => `${file} names ${name}, which is not in ${table}`),
  ];
}

function found(text: string | undefined, pattern: RegExp): ReadonlySet<string> {
  return new Set([...(text ?? '').matchAll(pattern)].map((match) => match[1] ?? ''));
}
