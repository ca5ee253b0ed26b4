import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Call, Client, ClientEvent } from '../../../daemon/ctl/client.ts';
import { runJob } from '../../../daemon/ctl/follow.ts';
import { RevivedError } from '../../../daemon/errors.ts';
import { clientOf, doneJob, hear, runningJob } from './recorded.ts';

const path = '/org/revived/jobs/7';
const start: Call = {
  path: '/org/revived/cards/0000_01_00',
  interface: 'org.revived1.Card',
  member: 'Reset',
  signature: 's',
  args: [''],
};
const stepped: ClientEvent = {
  kind: 'signal',
  path,
  interface: 'org.freedesktop.DBus.Properties',
  member: 'PropertiesChanged',
  args: ['org.revived1.Job', {}, []],
};

/** A daemon whose job has these states, one for each time it is read; `between` happens before each but the first. */
function daemon(states: readonly object[], between: (tell: (event: ClientEvent) => void) => void) {
  const called: string[] = [];
  let tell: (event: ClientEvent) => void = () => undefined;
  let reads = 0;
  const client: Client = clientOf({
    async subscribe(listener) {
      tell = listener;
    },
    async callMethod(call) {
      called.push(`${call.member} ${call.path}`);
      return call.member === 'Reset' ? [path] : [];
    },
    async getProperties(read) {
      assert.equal(read, path);
      const state = states[reads];
      assert.ok(state !== undefined, 'read too often');
      reads += 1;
      if (reads < states.length) setImmediate(() => between(tell));
      return state;
    },
  });
  return { client, called };
}

test('a job is followed step by step to its end', async () => {
  const { client, called } = daemon([runningJob, runningJob, doneJob], (tell) => tell(stepped));
  const { out, stdout, stderr } = hear();
  assert.equal(await runJob(client, start, out), 0);
  assert.equal(
    stdout(),
    `job 7, reset of 0000:01:00
  ok              12 ms  unbind 0000:01:00.0: let go
  ok              1.3 s  rung bus: healthy
job 7, reset of 0000:01:00: done in 3.2 s
`,
  );
  assert.equal(stderr(), '');
  assert.deepEqual(called, [`Reset ${start.path}`]);
});

test('on a terminal one line shows what it is at', async () => {
  const { client } = daemon([runningJob, doneJob], (tell) => tell(stepped));
  const { out, stdout } = hear({ tty: true });
  assert.equal(await runJob(client, start, out), 0);
  assert.ok(stdout().includes('\n[ 25 %] rung bus\r\u001b[K  ok'));
});

test('a job that ended before it could be watched is told all the same', async () => {
  const { client } = daemon([doneJob], () => assert.fail('nothing to wait for'));
  const { out, stdout } = hear();
  assert.equal(await runJob(client, start, out), 0);
  assert.match(stdout(), /done in 3\.2 s\n$/);
});

test('failed, stuck and cancelled jobs end with 1 and the reason on stderr', async () => {
  for (const state of ['failed', 'stuck', 'cancelled', 'of a later version']) {
    const { client } = daemon([{ ...doneJob, State: state, Error: 'still wedged' }], () => {});
    const { out, stderr } = hear();
    assert.equal(await runJob(client, start, out), 1);
    const line = `revivectl: job 7, reset of 0000:01:00: ${state} after 3.2 s: still wedged\n`;
    assert.equal(stderr(), line);
  }
});

test('with --json there is one job and nothing else on stdout', async () => {
  const { client } = daemon([runningJob, { ...doneJob, State: 'failed' }], (tell) => tell(stepped));
  const { out, stdout } = hear({ json: true });
  assert.equal(await runJob(client, start, out), 1);
  assert.equal(JSON.parse(stdout()).state, 'failed');
});

test('signals about other objects wake nobody', async () => {
  let wakes = 0;
  const { client } = daemon([runningJob, doneJob], (tell) => {
    wakes += 1;
    tell({ ...stepped, path: '/org/revived/jobs/8' });
    setImmediate(() => tell(stepped));
  });
  assert.equal(await runJob(client, start, hear().out), 0);
  assert.equal(wakes, 1);
});

test('Ctrl-C asks the job to cancel and goes on following', async () => {
  const { out, stderr, interrupt } = hear();
  const cancelled = { ...doneJob, State: 'cancelled' };
  const { client, called } = daemon([runningJob, runningJob, cancelled], (tell) => {
    if (called.length === 1) interrupt();
    else tell(stepped);
  });
  assert.equal(await runJob(client, start, out), 1);
  assert.deepEqual(called, [`Reset ${start.path}`, `Cancel ${path}`]);
  assert.match(stderr(), /^revivectl: Asking the job to cancel; .*\n.*: cancelled after 3\.2 s\n$/);
});

test('a second Ctrl-C leaves the job to itself', async () => {
  const { out, stderr, interrupt } = hear();
  const { client, called } = daemon([runningJob, runningJob, runningJob], () => {
    interrupt();
  });
  assert.equal(await runJob(client, start, out), 1);
  assert.deepEqual(called, [`Reset ${start.path}`, `Cancel ${path}`]);
  assert.match(stderr(), /The job 7, reset of 0000:01:00, goes on; see revivectl status\.\n$/);
});

test('a cancel that is refused is told, and the job followed to its end', async () => {
  const { out, stderr, interrupt } = hear();
  const { client } = daemon([runningJob, runningJob, doneJob], (tell) => {
    interrupt();
    tell(stepped);
  });
  const refusing: Client = {
    ...client,
    callMethod: (call) =>
      call.member === 'Cancel'
        ? Promise.reject(new RevivedError('not-authorised', 'You may not.', 'Ask root.'))
        : client.callMethod(call),
  };
  await runJob(refusing, start, out);
  assert.match(stderr(), /revivectl: It was not cancelled: You may not\. Ask root\.\n/);
});

test('a daemon or a bus that goes away ends it with unreachable', async () => {
  for (const event of [{ kind: 'daemon', present: false }, { kind: 'bus-lost' }] as const) {
    const { client } = daemon([runningJob, doneJob], (tell) => tell(event));
    await assert.rejects(
      runJob(client, start, hear().out),
      (error) =>
        error instanceof RevivedError &&
        error.code === 'unreachable' &&
        error.message === 'The daemon went away during job 7.',
    );
  }
});

test('a refusal of the daemon is passed on, and an answer that is no job is a failure', async () => {
  const refusal = new RevivedError('refused', 'win10 has the card.', 'Shut it down.');
  const subscribe = async () => undefined;
  const refusing = clientOf({ subscribe, callMethod: () => Promise.reject(refusal) });
  await assert.rejects(runJob(refusing, start, hear().out), refusal);
  const odd = clientOf({ subscribe, callMethod: async () => ['/'] });
  await assert.rejects(runJob(odd, start, hear().out), { code: 'failed' });
});
