/** What the compiler and biome let pass, and we do not. `any` and default exports are biome's. */
import { type Rule, sourcesBelow } from './tree.ts';

interface Forbidden {
  readonly pattern: RegExp;
  readonly why: string;
  readonly below: string;
  readonly except?: readonly string[];
}

// Spelt in pieces, so that this file does not break its own rules.
const unfinished = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].join('|')})\\b`);

const table: readonly Forbidden[] = [
  { pattern: /@ts-(ignore|expect-error|nocheck)/, why: 'silences the compiler', below: '' },
  { pattern: /\bas unknown as\b/, why: 'a cast that silences the compiler', below: '' },
  {
    pattern: /\b(setTimeout|setInterval)\(|\btimers\/promises\b/,
    why: 'a timer outside deadline.ts: waits are for an event, with a limit',
    below: 'daemon/',
    except: ['daemon/deadline.ts'],
  },
  {
    pattern:
      /\b(test|it|describe|suite)\.(skip|only|todo)\b|\b(skip|todo|only): |\bt\.(skip|todo)\(/,
    why: 'a test that does not run',
    below: 'test/',
    except: ['test/tally.ts', 'test/unit/tally.test.ts', 'test/unit/static/forbidden.test.ts'],
  },
  { pattern: unfinished, why: 'unfinished', below: '' },
];

export const forbiddenRule: Rule = (tree) =>
  table.flatMap(({ pattern, why, below, except }) =>
    sourcesBelow(tree, below)
      .filter(([path]) => path !== 'test/static/forbidden.ts' && !except?.includes(path))
      .flatMap(([path, text]) =>
        text.split('\n').flatMap((line, index) => {
          return pattern.test(line) ? [`${path}:${index + 1}: ${why}: ${line.trim()}`] : [];
        }),
      ),
  );
