import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changedProperties, createChanges } from '../../../daemon/bus/changes.ts';
import type { Signal } from '../../../daemon/bus/connection.ts';
import { createObjects } from '../../../daemon/bus/objects.ts';
import { Variant } from '../../../daemon/bus/wire.ts';
import {
  card,
  sampleCard,
  sampleJob,
  scriptedService,
} from '../../integration/scripted-service.ts';

function watched() {
  const service = scriptedService();
  const sent: Signal[] = [];
  const errors: unknown[] = [];
  const changes = createChanges(
    createObjects(service, '/spool'),
    (signal) => sent.push(signal),
    (error) => errors.push(error),
  );
  service.onChange(changes.note);
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const told = (): string[] =>
    sent.splice(0).map(({ member, path, body }) => `${member} ${path} ${body[0]}`);
  return { service, sent, errors, changes, turn, told };
}
const oneCard = { kind: 'card', address: card('0000:0b:00') } as const;

test('only what differs is told, and constants never', () => {
  const before = {
    Operation: 'reset',
    Progress: 0.5,
    Steps: [{ Ms: new Variant('u', 1) }],
    Error: '',
  };
  const after = {
    Operation: 'take',
    Progress: 0.5,
    Steps: [{ Ms: new Variant('u', 2) }],
    Error: '',
  };
  assert.deepEqual(changedProperties('org.revived1.Job', before, before), {});
  assert.deepEqual(changedProperties('org.revived1.Job', before, after), {
    Steps: new Variant('aa{sv}', after.Steps),
  });
});

test('several changes of one object in one turn become one signal', async () => {
  const { service, sent, turn } = watched();
  for (let since = 1; since <= 5; since += 1) {
    service.views.cards = [{ ...sampleCard(), leasedSince: since }];
    service.announce(oneCard);
  }
  assert.equal(sent.length, 0);
  await turn();
  assert.deepEqual(
    sent.map((signal) => signal.body),
    [['org.revived1.Card', { LeasedSince: new Variant('t', 5n) }, []]],
  );
});

test('a change that changed nothing is not told', async () => {
  const { service, turn, told } = watched();
  service.announce(oneCard);
  service.announce({ kind: 'domain', uuid: 'never seen' });
  await turn();
  assert.deepEqual(told(), []);
});

test('flush tells at once, and not again', async () => {
  const { service, changes, turn, told } = watched();
  service.views.jobs = [sampleJob(7), sampleJob(8)];
  service.announce({ kind: 'job', id: 8 });
  changes.flush();
  assert.deepEqual(told(), ['InterfacesAdded /org/revived /org/revived/jobs/8']);
  await turn();
  assert.deepEqual(told(), []);
});

test('an object that left its list is removed, whichever object was marked', async () => {
  const { service, turn, told } = watched();
  service.views.jobs = [sampleJob(9)];
  service.announce({ kind: 'job', id: 9 });
  await turn();
  assert.deepEqual(told(), [
    'InterfacesRemoved /org/revived /org/revived/jobs/7',
    'InterfacesAdded /org/revived /org/revived/jobs/9',
  ]);
});

test('Completed comes once: on leaving running, or with a job that is new and over', async () => {
  const { service, sent, turn, told } = watched();
  const over = { ...sampleJob(8), state: 'cancelled', error: 'cancelled by uid 0' } as const;
  service.views.jobs = [{ ...sampleJob(7), state: 'done' }, over];
  service.announce({ kind: 'job', id: 7 });
  service.announce({ kind: 'job', id: 8 });
  await turn();
  const completed = sent.filter((signal) => signal.member === 'Completed');
  assert.deepEqual(
    completed.map(({ path, body }) => [path, ...body]),
    [
      ['/org/revived/jobs/7', true, ''],
      ['/org/revived/jobs/8', false, 'cancelled by uid 0'],
    ],
  );
  told();
  service.views.jobs = [{ ...sampleJob(7), state: 'done', progress: 1 }, over];
  service.announce({ kind: 'job', id: 7 });
  await turn();
  assert.deepEqual(told(), ['PropertiesChanged /org/revived/jobs/7 org.revived1.Job']);
});

test('what was there from the start is not announced', async () => {
  const { service, turn, told } = watched();
  service.announce({ kind: 'manager' });
  await turn();
  assert.deepEqual(told(), []);
});

test('a view that throws is reported and does not stop the others', async () => {
  const { service, errors, turn, told } = watched();
  service.cards = () => {
    throw new Error('a bug');
  };
  service.views.jobs = [{ ...sampleJob(7), progress: 0.5 }];
  service.announce(oneCard);
  service.announce({ kind: 'job', id: 7 });
  await turn();
  assert.deepEqual(told(), ['PropertiesChanged /org/revived/jobs/7 org.revived1.Job']);
  assert.match(String(errors), /a bug/);
});

test('after close nothing is told', async () => {
  const { service, changes, turn, told } = watched();
  service.views.cards = [];
  service.announce(oneCard);
  changes.close();
  await turn();
  assert.deepEqual(told(), []);
});
