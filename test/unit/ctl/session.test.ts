import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCommand } from '../../../daemon/ctl/session.ts';
import type { Verb } from '../../../daemon/ctl/verb.ts';
import { type ErrorCode, RevivedError } from '../../../daemon/errors.ts';
import { hostile, hostileShown, streamsOf } from './recorded.ts';

const nowhere = { DBUS_SYSTEM_BUS_ADDRESS: 'unix:path=/nonexistent/bus' };

function verbOf(run: Verb['run']): Verb {
  const rest = { operands: '', summary: '', details: [], options: {} };
  return { name: 'try', arity: [0, 0], ...rest, run };
}

async function ended(argv: readonly string[], run: Verb['run']) {
  const { streams, stdout, stderr } = streamsOf(false);
  const code = await runCommand(argv, [verbOf(run)], { ...streams, env: nowhere });
  return { code, stdout: stdout(), stderr: stderr() };
}

test('the exit code is what the verb says', async () => {
  assert.deepEqual(await ended(['try'], async () => 6), { code: 6, stdout: '', stderr: '' });
});

test('an error is one line on stderr, made printable, and its exit code', async () => {
  const codes: readonly (readonly [ErrorCode, number])[] = [
    ['failed', 1],
    ['invalid-argument', 2],
    ['not-found', 3],
    ['unknown-object', 3],
    ['refused', 4],
    ['busy', 4],
    ['not-authorised', 5],
    ['unreachable', 7],
  ];
  for (const [code, exit] of codes) {
    const error = new RevivedError(code, `It is ${hostile}.`, 'Do this.');
    const stderr = `revivectl: It is ${hostileShown}. Do this.\n`;
    assert.deepEqual(await ended([], () => Promise.reject(error)), {
      code: exit,
      stdout: '',
      stderr,
    });
  }
});

test('a mistake of ours is a line too, not a stack', async () => {
  const { code, stderr } = await ended([], () => {
    throw new TypeError('x is not a function');
  });
  assert.equal(code, 1);
  assert.equal(stderr, 'revivectl: x is not a function\n');
});

test('a verb that asks nobody needs no bus; one that asks says that there is none', async () => {
  const asking = await ended([], async (client) => {
    await client.getManagedObjects();
    return 0;
  });
  assert.equal(asking.code, 7);
  assert.match(asking.stderr, /^revivectl: The message bus at unix:path=\/nonexistent\/bus .*\n$/);
});

test('help goes to stdout and is a success; wrong usage is one line and no help', async () => {
  const help = await ended(['--help'], () => assert.fail('ran'));
  assert.equal(help.code, 0);
  assert.match(help.stdout, /^revivectl \[OPTION/);
  const wrong = await ended(['try', '--nope'], () => assert.fail('ran'));
  assert.equal(wrong.code, 2);
  assert.equal(wrong.stdout, '');
  assert.equal(wrong.stderr, "revivectl: Unknown option '--nope'; try revivectl help try.\n");
});
