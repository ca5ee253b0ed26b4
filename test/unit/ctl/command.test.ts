import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Command, helpText, parseCommand } from '../../../daemon/ctl/command.ts';
import { verbs } from '../../../daemon/ctl/table.ts';
import { RevivedError, sentence } from '../../../daemon/errors.ts';

type Run = Extract<Command, { kind: 'run' }>;

function parsed(...argv: string[]): Run {
  const command = parseCommand(argv, verbs);
  assert.ok(command.kind === 'run', 'not a run');
  return command;
}

function complaint(...argv: string[]): string {
  try {
    parseCommand(argv, verbs);
  } catch (error) {
    assert.ok(error instanceof RevivedError);
    assert.equal(error.code, 'invalid-argument');
    return sentence(error);
  }
  throw new assert.AssertionError({ message: `${argv.join(' ')} was accepted` });
}

test('without a verb it is status', () => {
  assert.equal(parsed().verb.name, 'status');
  assert.equal(parsed('--json').verb.name, 'status');
  assert.equal(parsed('--version').verb.name, 'version');
});

test('global options may stand before and after the verb', () => {
  for (const argv of [
    ['--json', 'reset', '-y', '0b:00', '--rung', 'bus', '--no-color'],
    ['reset', '0b:00', '--rung=bus', '--json', '--yes', '--no-color'],
  ]) {
    const { verb, args, wishes } = parsed(...argv);
    assert.equal(verb.name, 'reset');
    assert.deepEqual(args.operands, ['0b:00']);
    assert.equal(args.options['rung'], 'bus');
    assert.deepEqual(wishes, { json: true, noColor: true, yes: true });
  }
});

test('names with spaces, quotes, dashes and what else a shell hands over stay whole', () => {
  const names = ['my win "10"', "it's", '$(reboot)', '日本', 'a\nb', '*'];
  for (const name of names) assert.deepEqual(parsed('show', name).args.operands, [name]);
  assert.deepEqual(parsed('plan', '--', '--json').args.operands, ['--json']);
  assert.deepEqual(parsed('plan', '--', 'help').args.operands, ['help']);
});

test('wrong usage says what is wrong and which help to ask for, and no more', () => {
  assert.equal(complaint('rest'), "There is no verb 'rest'; try revivectl help.");
  assert.equal(complaint('--rung', 'flr'), "There is no verb 'flr'; try revivectl help.");
  assert.equal(complaint('--'), "There is no verb '--'; try revivectl help.");
  assert.equal(complaint('help', 'rest'), "There is no verb 'rest'; try revivectl help.");
  assert.equal(complaint('reset'), 'The verb reset needs CARD; try revivectl help reset.');
  assert.equal(complaint('show', ''), 'The operand CARD|DOMAIN is empty; try revivectl help show.');
  assert.match(complaint('reset', 'a', 'b'), /^The verb reset does not know what 'b' is for; try /);
  assert.match(complaint('list', '--rung', 'x'), /^Unknown option '--rung'; try .* help list\.$/);
  assert.match(complaint('status', '--json=no'), /'--json' does not take an argument; try /);
  assert.match(complaint('reset', '0b:00', '--rung'), /'--rung <value>' argument missing; try /);
});

test('an empty rung is not the whole ladder', () => {
  assert.match(complaint('reset', '0b:00', '--rung='), /^The option --rung is empty; try /);
  assert.match(complaint('reset', '0b:00', '--rung', ''), /^The option --rung is empty; try /);
});

test('help is found in all its places', () => {
  const names = (command: Command) => [command.kind, command.verb?.name];
  assert.deepEqual(names(parseCommand(['help'], verbs)), ['help', undefined]);
  assert.deepEqual(names(parseCommand(['--help'], verbs)), ['help', undefined]);
  assert.deepEqual(names(parseCommand(['help', 'reset'], verbs)), ['help', 'reset']);
  assert.deepEqual(names(parseCommand(['reset', '-h'], verbs)), ['help', 'reset']);
});

test('help names every verb, and help of a verb every option of it', () => {
  const all = helpText(null, verbs).join('\n');
  for (const verb of verbs) {
    assert.ok(all.includes(`  ${verb.name} `), verb.name);
    const own = helpText(verb, verbs);
    assert.ok(own[0]?.startsWith(`revivectl ${verb.name}`));
    for (const option of Object.keys(verb.options)) {
      assert.ok(own.slice(1).join('\n').includes(`--${option}`), option);
    }
  }
  assert.equal(
    helpText(verbs.find(({ name }) => name === 'reset') ?? null, verbs)[0],
    'revivectl reset [--rung RUNG] CARD',
  );
});

test('help fits a terminal of 100 columns', () => {
  const lines = [null, ...verbs].flatMap((verb) => helpText(verb, verbs));
  assert.deepEqual(
    lines.filter((line) => line.length > 100),
    [],
  );
});

test('the table has each verb once, and nothing that help would hide', () => {
  const names = verbs.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  assert.ok(!names.includes('help'));
  assert.ok(names.every((name) => /^[a-z]+$/.test(name)));
});
