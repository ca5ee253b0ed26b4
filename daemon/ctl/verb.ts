/** What a verb of revivectl is. A new one is a file in verbs/ and a line in table.ts. */
import type { Client } from './client.ts';
import type { Out } from './out.ts';

export interface Args {
  readonly operands: readonly string[];
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
}

export interface Option {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  /** The word for its value in help: `RUNG`. */
  readonly value?: string;
  readonly about: string;
}

export interface Verb {
  readonly name: string;
  /** Operands as help shows them: `CARD|DOMAIN`. Empty for none. */
  readonly operands: string;
  /** How many operands it takes, at least and at most. */
  readonly arity: readonly [least: number, most: number];
  readonly summary: string;
  /** More for `help VERB`, a line each. */
  readonly details: readonly string[];
  readonly options: Readonly<Record<string, Option>>;
  /** Resolves to the exit code; what it throws becomes the line on stderr and its exit code (errors.ts). */
  readonly run: (client: Client, args: Args, out: Out) => Promise<number>;
}

/** The value of an option that takes one; undefined when it was not given. */
export function optionOf(args: Args, name: string): string | undefined {
  const value = args.options[name];
  return typeof value === 'string' ? value : undefined;
}
