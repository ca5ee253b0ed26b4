/** The command line: which verb, with which operands and options. Pure. */
import { parseArgs } from 'node:util';
import { RevivedError } from '../errors.ts';
import type { Wishes } from './out.ts';
import type { Args, Option, Verb } from './verb.ts';

export type Command =
  | { readonly kind: 'help'; readonly verb: Verb | null }
  | { readonly kind: 'run'; readonly verb: Verb; readonly args: Args; readonly wishes: Wishes };

/** Options that every verb takes. */
export const globalOptions: Readonly<Record<string, Option>> = {
  json: {
    type: 'boolean',
    about: 'print JSON, the only output that stays the same between versions',
  },
  'no-color': { type: 'boolean', about: 'print without colours (so does NO_COLOR=1)' },
  yes: { type: 'boolean', short: 'y', about: 'ask nothing' },
  help: { type: 'boolean', short: 'h', about: 'say how it is used' },
};

/**
 * Reads the arguments after the program's name. The verb is the first that is no option; without one it is the first verb of
 * the table. Throws `invalid-argument` with the line of help to ask for.
 */
export function parseCommand(argv: readonly string[], verbs: readonly Verb[]): Command {
  if (argv[0] === '--version') return parseCommand(['version', ...argv.slice(1)], verbs);
  const at = argv.findIndex((word) => !word.startsWith('-') || word === '-' || word === '--');
  const word = at === -1 ? undefined : argv[at];
  if (word === 'help') return helpCommand(argv.slice(at + 1), verbs);
  const verb = word === undefined ? verbs[0] : verbs.find(({ name }) => name === word);
  if (verb === undefined) {
    throw new RevivedError(
      'invalid-argument',
      `There is no verb '${word}';`,
      'try revivectl help.',
    );
  }
  const rest = argv.filter((_, index) => index !== at);
  const { values, positionals } = parse(rest, verb);
  if (values['help'] === true) return { kind: 'help', verb: word === undefined ? null : verb };
  const [least, most] = verb.arity;
  const extra = positionals[most];
  if (extra !== undefined) {
    throw misused(verb, `The verb ${verb.name} does not know what '${extra}' is for`);
  }
  if (positionals.length < least) {
    throw misused(verb, `The verb ${verb.name} needs ${verb.operands}`);
  }
  if (positionals.includes('')) throw misused(verb, `The operand ${verb.operands} is empty`);
  const empty = Object.keys(values).find((name) => values[name] === '');
  if (empty !== undefined) throw misused(verb, `The option --${empty} is empty`);
  const wishes = {
    json: values['json'] === true,
    noColor: values['no-color'] === true,
    yes: values['yes'] === true,
  };
  return { kind: 'run', verb, args: { operands: positionals, options: values }, wishes };
}

/** An error of usage, with the line of help to ask for. */
export function misused(verb: Pick<Verb, 'name'>, what: string): RevivedError {
  return new RevivedError('invalid-argument', `${what};`, `try revivectl help ${verb.name}.`);
}

/** The text of `revivectl help`, or of `revivectl help VERB`. */
export function helpText(verb: Verb | null, verbs: readonly Verb[]): string[] {
  return verb === null ? overview(verbs) : verbHelp(verb);
}

function overview(verbs: readonly Verb[]): string[] {
  const shown = [
    ...verbs.map((verb) => [`${verb.name} ${verb.operands}`.trim(), verb.summary] as const),
    ['help [VERB]', 'say how it, or one verb, is used'] as const,
  ];
  return [
    'revivectl [OPTION...] [VERB [OPERAND...]]',
    '',
    'Shows and moves the PCI cards that revived hands to libvirt guests and takes back.',
    '',
    ...table(shown),
    '',
    ...table(Object.entries(globalOptions).map(optionRow)),
    '',
    'CARD is an address: 0b:00, 0000:0b:00 or 0000:0b:00.0. DOMAIN is a name or a uuid.',
    'Exit: 0 ok, 1 failed, 2 usage, 3 not found, 4 refused, 5 not authorised, 6 findings,',
    '7 revived unreachable.',
  ];
}

function verbHelp(verb: Verb): string[] {
  const own = Object.entries(verb.options);
  return [
    ['revivectl', verb.name, ...own.map(usage), verb.operands].join(' ').trim(),
    '',
    `${verb.summary.charAt(0).toUpperCase()}${verb.summary.slice(1)}.`,
    ...verb.details,
    ...(own.length === 0 ? [] : ['', ...table(own.map(optionRow))]),
  ];
}

function helpCommand(rest: readonly string[], verbs: readonly Verb[]): Command {
  const word = rest.find((one) => !one.startsWith('-'));
  const verb = verbs.find(({ name }) => name === word) ?? null;
  if (word !== undefined && verb === null && word !== 'help') {
    throw new RevivedError(
      'invalid-argument',
      `There is no verb '${word}';`,
      'try revivectl help.',
    );
  }
  return { kind: 'help', verb };
}

interface Parsed {
  readonly values: Record<string, string | boolean | undefined>;
  readonly positionals: readonly string[];
}

function parse(rest: readonly string[], verb: Verb): Parsed {
  const options = Object.fromEntries(
    Object.entries({ ...globalOptions, ...verb.options }).map(([name, { type, short }]) => [
      name,
      short === undefined ? { type } : { type, short },
    ]),
  );
  try {
    const { values, positionals } = parseArgs({
      args: [...rest],
      options,
      allowPositionals: true,
      strict: true,
    });
    const single = Object.entries(values).map(
      ([name, value]) => [name, Array.isArray(value) ? undefined : value] as const,
    );
    return { values: Object.fromEntries(single), positionals };
  } catch (error) {
    // "Unknown option '--x'. To specify a positional ...": the first sentence says it.
    const first = (error instanceof Error ? error.message : String(error)).split(/\. |\n/)[0] ?? '';
    throw misused(verb, first.replace(/\.$/, ''));
  }
}

function optionRow([name, option]: readonly [string, Option]): readonly [string, string] {
  const short = option.short === undefined ? '' : `-${option.short}, `;
  return [`${short}--${name}${option.value === undefined ? '' : ` ${option.value}`}`, option.about];
}

function usage([name, option]: readonly [string, Option]): string {
  return `[--${name}${option.value === undefined ? '' : ` ${option.value}`}]`;
}

function table(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
