/** The agent in the guest is not ours: slow, blocked, silent, lying or flooding, it costs one refused question. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sampleUuid } from '../libvirt/peer.ts';
import { windowsGuest } from './windows.ts';

const bounded = { timeout: 10_000 };

test('what the agent can do, and which system it is in', bounded, async (t) => {
  const { agent, guest } = await windowsGuest(t);
  guest.blocked = ['guest-exec'];
  const { version, enabled } = await agent.info(sampleUuid);
  assert.equal(version, '107.0.1');
  assert.deepEqual([...enabled], ['guest-get-osinfo', 'guest-exec-status']);
  assert.equal(await agent.osId(sampleUuid), 'mswindows');
});

test('a program runs to its end, and its output comes back', bounded, async (t) => {
  const { agent, guest } = await windowsGuest(t);
  guest.slow = 3;
  guest.run = (path, args) => `${path}|${args.join('|')}|ä\r\n`;
  const { exitCode, out } = await agent.exec(sampleUuid, 'a b.exe', ['/v', '"$(x)"', '']);
  assert.deepEqual([exitCode, out], [0, 'a b.exe|/v|"$(x)"||ä\r\n']);
  guest.run = () => '';
  guest.slow = 0;
  assert.equal((await agent.exec(sampleUuid, 'quiet.exe', [])).out, '');
  guest.run = () => undefined;
  await assert.rejects(agent.exec(sampleUuid, 'none.exe', []), { code: 'libvirt' });
});

test('a program that does not end, and one question at a time', bounded, async (t) => {
  const { agent, guest } = await windowsGuest(t, { execMs: 50 });
  guest.slow = 1e6;
  const first = agent.exec(sampleUuid, 'endless.exe', []);
  await assert.rejects(agent.osId(sampleUuid), { code: 'busy' });
  await assert.rejects(first, { code: 'timed-out' });
  assert.equal(await agent.osId(sampleUuid), 'mswindows', 'and then the next one may ask');
});

test('an agent that falls silent in the middle', bounded, async (t) => {
  const { agent, guest } = await windowsGuest(t);
  guest.answer = ({ execute }) => (execute === 'guest-exec-status' ? 'silence' : undefined);
  await assert.rejects(agent.exec(sampleUuid, 'reg.exe', []), { code: 'timed-out' });
  guest.answer = () => undefined;
  assert.equal(await agent.osId(sampleUuid), 'mswindows');
});

const status = (fields: object) =>
  JSON.stringify({ return: { exited: true, exitcode: 0, ...fields } });
const lies: readonly (readonly [string, string, string])[] = [
  ['no JSON', 'guest-exec', 'hello'],
  ['no return', 'guest-exec', '{"error":{"class":"GenericError"}}'],
  ['null', 'guest-exec', 'null'],
  ['no pid', 'guest-exec', '{"return":{}}'],
  ['a pid that is none', 'guest-exec', '{"return":{"pid":-1}}'],
  ['a pid that is text', 'guest-exec', '{"return":{"pid":"1"}}'],
  ['the pid of nothing', 'guest-exec', '{"return":{"pid":77}}'],
  ['no status', 'guest-exec-status', '{"return":[]}'],
  ['an output that is no base64', 'guest-exec-status', status({ 'out-data': 'a\u0000b' })],
  ['an output that is no text', 'guest-exec-status', status({ 'out-data': { length: 4 } })],
  ['an output that was cut', 'guest-exec-status', status({ 'out-truncated': true })],
  ['3 MB of output', 'guest-exec-status', status({ 'out-data': 'A'.repeat(3 * 1024 * 1024) })],
];

test('answers that make no sense are refused, and nothing is left open', bounded, async (t) => {
  const { agent, guest } = await windowsGuest(t);
  for (const [name, execute, answer] of lies) {
    guest.answer = (command) => (command.execute === execute ? answer : undefined);
    await assert.rejects(
      agent.exec(sampleUuid, 'reg.exe', []),
      ({ code }: { code?: string }) => code === 'libvirt' || code === 'limit-exceeded',
      name,
    );
    assert.equal(
      guest.asked.at(-1)?.execute,
      name === 'the pid of nothing' ? 'guest-exec-status' : execute,
      name,
    );
  }
  for (const answer of ['{"return":{}}', '{"return":{"supported_commands":[1]}}', '{"return":1}']) {
    guest.answer = () => answer;
    await assert.rejects(agent.info(sampleUuid), { code: 'libvirt' });
  }
  guest.answer = () => undefined;
  assert.equal(await agent.osId(sampleUuid), 'mswindows');
});
