/** The top level holds what was agreed on, and nothing else. */
import type { Rule } from './tree.ts';

const agreed = new Set([
  '.ci',
  '.gitignore',
  '.npmrc',
  'CHANGELOG.md',
  'LICENSE',
  'Makefile',
  'README.md',
  'biome.json',
  'cockpit',
  'daemon',
  'debian',
  'docs',
  'hooks',
  'knip.json',
  'package-lock.json',
  'package.json',
  'test',
  'tsconfig.json',
  'units',
]);

export const topLevelRule: Rule = (tree) => {
  const names = new Set([...tree.keys()].map((path) => path.split('/')[0] ?? path));
  return [...names]
    .filter((name) => !agreed.has(name))
    .map((name) => `${name}: not an agreed name of the top level (test/static/top-level.ts)`);
};
