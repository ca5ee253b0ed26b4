/** What listeners hear of the daemon over a real bus; only the pipeline is scripted. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Connection, connect, type Signal } from '../../daemon/bus/connection.ts';
import { exportService } from '../../daemon/bus/export.ts';
import { createLog } from '../../daemon/log.ts';
import { type PrivateBus, startPrivateBus } from './private-bus.ts';
import { card, sampleCard, sampleJob, scriptedService } from './scripted-service.ts';

/** Nothing here may wait longer. */
const bounded = { timeout: 20_000 };
const service = scriptedService();
let bus: PrivateBus;
let connection: Connection;
let client: Connection;

before(async () => {
  assert.equal(process.getuid?.(), 0, 'run this test as root: it owns a name on a system bus');
  bus = await startPrivateBus();
  connection = await connect(bus.address);
  client = await connect(bus.address);
  const log = createLog('text', 'info', assert.fail);
  exportService({ connection, service, log, paths: { spool: '/nonexistent' } });
  await connection.requestName('org.revived');
});

after(async () => {
  client.close();
  connection.close();
  await bus.stop();
});

/** Signals of the service until the one that `last` accepts. */
async function signalsUntil(
  run: () => void,
  last: (signal: Signal) => boolean,
): Promise<readonly Signal[]> {
  const seen: Signal[] = [];
  const listener = await connect(bus.address);
  const done = new Promise<void>((resolve) => {
    const hear = (signal: Signal): void => {
      seen.push(signal);
      if (last(signal)) resolve();
    };
    const watches = [
      'org.freedesktop.DBus.Properties',
      'org.freedesktop.DBus.ObjectManager',
      'org.revived1.Job',
    ].map((name) => listener.watch({ sender: connection.name, interface: name }, hear));
    Promise.all(watches).then(run, assert.fail);
  });
  await done;
  listener.close();
  return seen;
}

test(
  'changes are announced: only what changed, added, removed, completed once',
  bounded,
  async () => {
    const later = sampleJob(8);
    const run = (): void => {
      service.views.manager = { ...service.views.manager, runningJobs: 2 };
      service.views.cards = [
        { ...sampleCard(), state: 'resetting' },
        sampleCard(card('0000:0c:00')),
      ];
      service.views.jobs = [
        { ...sampleJob(7), state: 'done', progress: 1, finishedUsec: 5 },
        later,
      ];
      service.announce({ kind: 'job', id: 7 });
      service.announce({ kind: 'job', id: 8 });
      service.announce({ kind: 'card', address: card('0000:0b:00') });
      service.announce({ kind: 'card', address: card('0000:0c:00') });
      setImmediate(() => {
        service.views.jobs = [{ ...later, state: 'failed', error: 'no rung helped' }];
        service.announce({ kind: 'job', id: 8 });
        service.announce({ kind: 'job', id: 8 });
      });
    };
    const seen = await signalsUntil(run, (s) => s.member === 'Completed' && s.path.endsWith('/8'));
    const told = seen.map(({ path, member, body }) => {
      if (member === 'PropertiesChanged') return `${path} ${Object.keys(Object(body[1]))}`;
      return `${member} ${member === 'Completed' ? `${path} ${body}` : body[0]}`;
    });
    assert.deepEqual(told, [
      '/org/revived RunningJobs',
      '/org/revived/cards/0000_0b_00 State',
      'InterfacesAdded /org/revived/cards/0000_0c_00',
      '/org/revived/jobs/7 State,Progress,Finished',
      'Completed /org/revived/jobs/7 true,',
      'InterfacesAdded /org/revived/jobs/8',
      'InterfacesRemoved /org/revived/jobs/7',
      '/org/revived/jobs/8 State,Error',
      'Completed /org/revived/jobs/8 false,no rung helped',
    ]);
  },
);

test('a flood of changes stays readable and the last value wins', bounded, async () => {
  const change = (n: number): void => {
    service.views.cards = [{ ...sampleCard(), leasedSince: n }];
    service.announce({ kind: 'card', address: card('0000:0b:00') });
  };
  const last = (n: bigint) => (signal: Signal) => Object(signal.body[1]).LeasedSince?.value === n;
  const burst = (): void => {
    for (let n = 1; n <= 1000; n += 1) change(n);
  };
  // The card 0000:0c:00 went away in the same turn.
  const once = await signalsUntil(burst, last(1000n));
  assert.deepEqual(
    once.map((signal) => signal.member),
    ['InterfacesRemoved', 'PropertiesChanged'],
  );

  let pings = 0;
  const turns = async (): Promise<void> => {
    for (let n = 1001; n <= 2000; n += 1) {
      change(n);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const peer = { path: '/', interface: 'org.freedesktop.DBus.Peer', member: 'Ping' };
  const seen = await signalsUntil(() => {
    turns().catch(assert.fail);
    for (let n = 0; n < 20; n += 1) {
      client.call({ destination: 'org.revived', ...peer }, 5000).then(() => {
        pings += 1;
      }, assert.fail);
    }
  }, last(2000n));
  assert.ok(seen.length <= 1000);
  assert.equal(pings, 20);
});
