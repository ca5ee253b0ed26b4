/** The files of the checkout that the house rules look at: path from the top -> text. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Tree = ReadonlyMap<string, string>;

/** A house rule: one line for each place that breaks it, none when all is well. */
export type Rule = (tree: Tree) => readonly string[];

/** Reads what git has or would take in, so that neither build/ nor node_modules/ is judged. */
export function readTree(top: string): Tree {
  const list = execFileSync(
    'git',
    ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate'],
    { cwd: top, encoding: 'utf8', maxBuffer: 64 << 20 },
  );
  const tree = new Map<string, string>();
  for (const path of list.split('\0').filter((one) => one !== '')) {
    try {
      tree.set(path, readFileSync(join(top, path), 'utf8'));
    } catch {
      // deleted but not yet committed: not part of the tree any more
    }
  }
  return tree;
}

/** The TypeScript files below a folder (`daemon/`), as [path, text]. */
export function sourcesBelow(tree: Tree, folder: string): readonly (readonly [string, string])[] {
  return [...tree].filter(([path]) => path.startsWith(folder) && path.endsWith('.ts'));
}
