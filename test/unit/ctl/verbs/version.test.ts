import assert from 'node:assert/strict';
import { test } from 'node:test';
import { version } from '../../../../daemon/ctl/verbs/version.ts';
import { RevivedError } from '../../../../daemon/errors.ts';
import { argsOf, clientOf, hear, manager } from '../recorded.ts';

const unreachable = () => Promise.reject(new RevivedError('unreachable', 'No bus.'));

test('both versions where the daemon runs', async () => {
  const { out, stdout } = hear();
  const client = clientOf({ isRunning: async () => true, getProperties: async () => manager });
  assert.equal(await version.run(client, argsOf(), out), 0);
  assert.equal(stdout(), 'revivectl unbuilt\nrevived 0.1.0\n');
});

test('a daemon that does not run is not started, and no bus is no failure', async () => {
  for (const isRunning of [async () => false, unreachable]) {
    const { out, stdout } = hear();
    assert.equal(await version.run(clientOf({ isRunning }), argsOf(), out), 0);
    assert.equal(stdout(), 'revivectl unbuilt\nrevived does not run\n');
  }
});

test('--json, and other failures are failures', async () => {
  const { out, stdout } = hear({ json: true });
  await version.run(clientOf({ isRunning: async () => false }), argsOf(), out);
  assert.deepEqual(JSON.parse(stdout()), { revivectl: 'unbuilt', revived: null });
  const failure = new RevivedError('not-authorised', 'No.');
  const client = clientOf({ isRunning: () => Promise.reject(failure) });
  await assert.rejects(version.run(client, argsOf(), out), failure);
});
