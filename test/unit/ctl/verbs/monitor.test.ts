import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClientEvent } from '../../../../daemon/ctl/client.ts';
import { clockText } from '../../../../daemon/ctl/time.ts';
import type { Objects } from '../../../../daemon/ctl/tree.ts';
import { monitor } from '../../../../daemon/ctl/verbs/monitor.ts';
import { RevivedError } from '../../../../daemon/errors.ts';
import { argsOf, clientOf, type Heard, hear, hostile, illPath, tree } from '../recorded.ts';

const clock = clockText(1_700_000_000_000_000);
const head = `${clock} revived 0.1.0: watching, Ctrl-C ends
${clock} job 7: reset of 0000:01:00 [ 25 %] rung bus
`;
const unreachable = new RevivedError('unreachable', 'Nobody there.');

function changed(properties: object): ClientEvent {
  return {
    kind: 'signal',
    path: illPath,
    interface: 'org.freedesktop.DBus.Properties',
    member: 'PropertiesChanged',
    args: ['org.revived1.Card', properties, []],
  };
}

/** Runs monitor while each script entry happens, in a turn of the event loop of its own; then Ctrl-C. */
async function watched(
  heard: Heard,
  script: readonly (readonly ClientEvent[])[],
  answers: readonly (Objects | RevivedError)[] = [tree],
): Promise<number> {
  let tell: (event: ClientEvent) => void = () => undefined;
  let reads = 0;
  const client = clientOf({
    async subscribe(listener) {
      tell = listener;
    },
    async getManagedObjects() {
      const answer = answers[reads];
      reads += 1;
      assert.ok(answer !== undefined, 'read too often');
      if (answer instanceof RevivedError) throw answer;
      return answer;
    },
  });
  const running = monitor.run(client, argsOf(), heard.out);
  const play = async (): Promise<void> => {
    for (const events of script) {
      await new Promise((resolve) => setImmediate(resolve));
      for (const event of events) tell(event);
    }
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(reads, answers.length);
    heard.interrupt();
  };
  const [code] = await Promise.all([running, play()]);
  return code;
}

test('changes are printed a line each until Ctrl-C', async () => {
  const heard = hear();
  const script = [[changed({ State: 'resetting' })], [changed({ State: 'home' })]];
  assert.equal(await watched(heard, script), 0);
  assert.equal(
    heard.stdout(),
    `${head}${clock} card 0000:01:00: stranded -> resetting
${clock} card 0000:01:00: resetting -> home
`,
  );
});

test('changes that come together are told one by one', async () => {
  const heard = hear();
  await watched(heard, [[changed({ State: 'resetting' }), changed({ State: 'home' })]]);
  assert.equal(heard.stdout().split('\n').length, 5);
});

test('text of the daemon is made printable', async () => {
  const heard = hear();
  await watched(heard, [[changed({ Health: 'lost', HealthEvidence: [hostile] })]]);
  assert.doesNotMatch(heard.stdout(), /[^\P{Cc}\n]|\u202e/u);
  assert.match(heard.stdout(), /wedged -> lost \(a"b\\u001b/);
});

test('a daemon that goes is waited for, and what it did meanwhile is told', async () => {
  const heard = hear();
  const later = { ...tree, [illPath]: { 'org.revived1.Card': { State: 'home' } } };
  const script: ClientEvent[][] = [
    [{ kind: 'daemon', present: false }],
    [{ kind: 'daemon', present: true }],
  ];
  assert.equal(await watched(heard, script, [tree, later]), 0);
  assert.match(
    heard.stdout(),
    /revived is gone; waiting for it to come back\n.*revived is back\n.*0000:01:00: stranded -> home\n/,
  );
});

test('a daemon that comes and goes at once is waited for again', async () => {
  const heard = hear();
  const present: ClientEvent = { kind: 'daemon', present: true };
  assert.equal(await watched(heard, [[present], [present]], [tree, unreachable, tree]), 0);
});

test('more changes than can be kept are replaced by a new look', async () => {
  const heard = hear({ json: true });
  const flood = Array.from({ length: 10_001 }, (_, index) => changed({ Name: `n${index}` }));
  await watched(heard, [flood], [tree, tree]);
  assert.equal(heard.stdout(), '');
});

test('--json is one object a line, with what changed and the whole view', async () => {
  const heard = hear({ json: true });
  await watched(
    heard,
    [[changed({ State: 'home' })], [{ kind: 'daemon', present: false }]],
    [tree],
  );
  const [first, second, ...others] = heard.stdout().split('\n');
  const change = JSON.parse(first ?? '');
  assert.deepEqual(Object.keys(change), ['time', 'event', 'kind', 'subject', 'keys', 'view']);
  assert.equal(change.time, 1_700_000_000_000_000);
  assert.deepEqual([change.event, change.kind, change.subject], ['changed', 'card', '0000:01:00']);
  assert.deepEqual(change.keys, ['state']);
  assert.equal(change.view.name, 'TU104');
  assert.deepEqual(JSON.parse(second ?? ''), {
    time: 1_700_000_000_000_000,
    event: 'gone',
    kind: 'daemon',
    subject: 'revived',
    keys: [],
    view: null,
  });
  assert.deepEqual(others, ['']);
});

test('without a daemon at the beginning, or without a bus later, it ends with unreachable', async () => {
  await assert.rejects(watched(hear(), [], [unreachable]), unreachable);
  await assert.rejects(watched(hear(), [[{ kind: 'bus-lost' }]]), { code: 'unreachable' });
});
