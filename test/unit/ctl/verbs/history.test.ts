import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dateText } from '../../../../daemon/ctl/time.ts';
import { history } from '../../../../daemon/ctl/verbs/history.ts';
import { argsOf, clientOf, doneJob, hear } from '../recorded.ts';

const jobs = [
  { ...doneJob, Id: 12, State: 'failed', Error: 'still wedged' },
  { ...doneJob, Id: 3, Operation: 'prepare', Subject: 'win10' },
];

function clientWith(limits: unknown[]) {
  return clientOf({
    async callMethod({ member, args, signature }) {
      assert.equal(member, 'GetHistory');
      assert.equal(signature, 'u');
      limits.push(...args);
      return [jobs];
    },
  });
}

test('a line for each job in the order of the daemon, the reason below one that failed', async () => {
  const started = dateText(doneJob.Started);
  const { out, stdout } = hear();
  assert.equal(await history.run(clientWith([]), argsOf(), out), 0);
  assert.equal(
    stdout(),
    `JOB  STARTED              WHAT     OF          ENDED   AFTER  BY
12   ${started}  reset    0000:01:00  failed  3.2 s  uid 0
    still wedged
3    ${started}  prepare  win10       done    3.2 s  uid 0
`,
  );
});

test('the limit is 20 unless said, and 1 to 1000', async () => {
  const limits: unknown[] = [];
  for (const options of [{}, { limit: '1' }, { limit: '1000' }]) {
    await history.run(clientWith(limits), argsOf([], options), hear().out);
  }
  assert.deepEqual(limits, [20, 1, 1000]);
  for (const limit of ['0', '1001', '-1', '1.5', 'x', '1e2']) {
    const running = history.run(clientOf({}), argsOf([], { limit }), hear().out);
    await assert.rejects(running, { code: 'invalid-argument' });
  }
});

test('--json has the jobs, and nobody yet is a sentence', async () => {
  const { out, stdout } = hear({ json: true });
  await history.run(clientWith([]), argsOf(), out);
  const shown = JSON.parse(stdout());
  assert.deepEqual(
    shown.jobs.map(({ id }: { id: number }) => id),
    [12, 3],
  );
  const empty = hear();
  await history.run(clientOf({ callMethod: async () => [[]] }), argsOf(), empty.out);
  assert.equal(empty.stdout(), 'no job has ended yet\n');
});

test('--rungs asks for outcomes: a table, JSON, or JSON to give away', async () => {
  const entry = {
    ...{ Card: '0000:01:00', Id: '1002:731f', Family: 'AMD Navi 10', Rung: 'bus', Kernel: '6.1.0' },
    ...{ Driver: 'amdgpu', Tried: 2, Healed: 1, TriedHealthy: 0, KeptHealthy: 0, MedianMs: 150 },
    Last: 1_700_000_000_123_456,
  };
  const client = clientOf({
    async callMethod({ member }) {
      assert.equal(member, 'GetOutcomes');
      return [[entry]];
    },
  });
  const told = async (json: boolean, ...names: readonly string[]) => {
    const { out, stdout } = hear({ json });
    const options = Object.fromEntries(names.map((name) => [name, true]));
    assert.equal(await history.run(client, argsOf([], options), out), 0);
    return stdout();
  };
  assert.match(await told(false, 'rungs'), /^ {2}bus {3}healed 1 of 2, 150 ms$/m);
  const { outcomes } = JSON.parse(await told(true, 'rungs'));
  assert.deepEqual([outcomes[0].card, outcomes[0].lastUsec], ['0000:01:00', entry.Last]);
  const given = await told(false, 'rungs', 'export');
  assert.equal(JSON.parse(given).outcomes[0].healed, 1);
  assert.doesNotMatch(given, /0000:01|1700000000/);
});

test('--export goes with --rungs, --limit does not', async () => {
  for (const options of [{ export: true }, { rungs: true, limit: '3' }]) {
    const running = history.run(clientOf({}), argsOf([], options), hear().out);
    await assert.rejects(running, { code: 'invalid-argument' });
  }
});
