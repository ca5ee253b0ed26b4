/** Every exported function says what it does. */
import { type Rule, sourcesBelow } from './tree.ts';

const exported =
  /^export (?:async )?function\*? (\w+)|^export const (\w+) = (?:async )?(?:\([^)]*\)|\w+)(?:: [^=]+)? =>/;

export const docstringsRule: Rule = (tree) =>
  sourcesBelow(tree, 'daemon/').flatMap(([path, text]) => {
    const lines = text.split('\n');
    return lines.flatMap((line, index) => {
      const name = exported.exec(line);
      if (name === null) return [];
      const above = lines.slice(0, index).findLast((one) => !/^\/\/ biome-ignore/.test(one));
      // Overloads share the docstring of the first.
      const documented = above?.trimEnd().endsWith('*/') || exported.test(above ?? '');
      return documented
        ? []
        : [`${path}:${index + 1}: ${name[1] ?? name[2]} is exported without a docstring`];
    });
  });
