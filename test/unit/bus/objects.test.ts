import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createObjects, pathOfChange } from '../../../daemon/bus/objects.ts';
import { Variant } from '../../../daemon/bus/wire.ts';
import {
  card,
  sampleCard,
  sampleJob,
  sampleUuid,
  scriptedService,
} from '../../integration/scripted-service.ts';

const root = { sender: ':1.1', uid: 0 };

function setUp() {
  const service = scriptedService();
  const objects = createObjects(service, '/spool');
  const call = (path: string, method: string, ...body: unknown[]) => {
    const run = objects.find(path)?.method(method) ?? assert.fail(`no ${path} ${method}`);
    return run([...body, {}], root);
  };
  return { service, objects, call };
}
const manager = '/org/revived';
const cardAt = '/org/revived/cards/0000_0b_00';

test('objects are found by their path and nothing else is', () => {
  const { objects } = setUp();
  for (const path of objects.paths()) assert.equal(objects.find(path)?.path, path);
  assert.equal(objects.paths().length, 4);
  for (const path of ['/', '/org', `${manager}/cards`, `${cardAt}/x`, `${manager}/jobs/8`]) {
    assert.equal(objects.find(path), undefined);
  }
});

test('a change points at its object', () => {
  const { objects } = setUp();
  const changes = [
    { kind: 'manager' },
    { kind: 'card', address: card('0000:0b:00') },
    { kind: 'domain', uuid: sampleUuid },
    { kind: 'job', id: 7 },
  ] as const;
  assert.deepEqual(changes.map(pathOfChange), objects.paths());
});

test('what is not there is the empty string and the root path', () => {
  const { service, objects } = setUp();
  service.views.cards = [{ ...sampleCard(), domain: null, job: null, leasedSince: 0 }];
  const found = objects.find(cardAt);
  assert.equal(found?.property('Domain'), '');
  assert.equal(found?.property('Job'), '/');
  assert.equal(found?.property('LeasedSince'), 0n);
  const functions = found?.property('Functions');
  assert.deepEqual(Array.isArray(functions) && functions[1], {
    Address: new Variant('s', '0000:0b:00.1'),
    Id: new Variant('s', '1002:ab38'),
    Class: new Variant('s', '040300'),
    Driver: new Variant('s', ''),
    Group: new Variant('s', ''),
  });
});

test('an empty rung asks for the whole ladder; a job is answered with its path', async () => {
  const { service, call } = setUp();
  assert.deepEqual(await call(cardAt, 'Reset', ''), ['/org/revived/jobs/7']);
  assert.deepEqual(service.asked, ['reset 0000:0b:00 - uid 0']);
});

test('history is whole jobs, at least one and not too many steps together', async () => {
  const { service, call } = setUp();
  const steps = Array.from({ length: 500 }, () => sampleJob().steps[0] ?? assert.fail());
  service.views.past = Array.from({ length: 100 }, (_, id) => ({ ...sampleJob(id), steps }));
  const [few] = await call(manager, 'GetHistory', 1000);
  assert.equal(Array.isArray(few) && few.length, 8);
  const many = Array.from({ length: 5000 }, () => steps[0] ?? assert.fail());
  service.views.past = [{ ...sampleJob(1), steps: many }];
  const [one] = await call(manager, 'GetHistory', 1000);
  assert.equal(Array.isArray(one) && one.length, 1);
});

test('outcomes of rungs are answered with every key', async () => {
  const { call } = setUp();
  const [outcomes] = await call(manager, 'GetOutcomes');
  const [one] = Array.isArray(outcomes) ? outcomes : [];
  assert.equal(
    Object.entries(one ?? {})
      .map(([key, value]) => `${key}=${value instanceof Variant ? value.value : '?'}`)
      .join(' '),
    'Card=0000:0b:00 Id=1002:731f Family=AMD Navi 10 Rung=bus Kernel=6.12.117 Driver=amdgpu Tried=3 Healed=2 TriedHealthy=1 KeptHealthy=1 MedianMs=240 Last=1700000000123456',
  );
});

test('a plan has its refusal and notes; other operations have no plans', async () => {
  const { service, call } = setUp();
  assert.deepEqual((await call(manager, 'Plan', 'win10', 'return')).slice(0, 2), [
    'the framebuffer is held',
    ['2 functions'],
  ]);
  await assert.rejects(call(manager, 'Plan', 'win10', 'start'), { code: 'invalid-argument' });
  assert.deepEqual(service.asked, ['plan win10 return']);
});

test('refusals of the hook say who speaks, once', async () => {
  const { service, call } = setUp();
  service.before.hook = () => {
    throw new Error('revived: the card is busy');
  };
  await assert.rejects(call(manager, 'Hook', 'prepare', 'win10', '-', ''), {
    message: 'revived: the card is busy',
  });
  service.before.hook = () => {
    throw new Error('a bug');
  };
  await assert.rejects(call(manager, 'Hook', 'prepare', 'win10', '-', ''), {
    message: 'revived: a bug',
  });
});

test('names lead to objects or say that there is none', async () => {
  const { call } = setUp();
  assert.deepEqual(await call(manager, 'GetCard', '0B:00.1'), [cardAt]);
  await assert.rejects(call(manager, 'GetCard', '0c:00'), { code: 'not-found' });
  await assert.rejects(call(manager, 'GetCard', 'nonsense'), { code: 'invalid-argument' });
  assert.deepEqual(await call(manager, 'GetDomain', 'win10'), [
    pathOfChange({ kind: 'domain', uuid: sampleUuid }),
  ]);
  await assert.rejects(call(manager, 'GetDomain', 'win11'), { code: 'not-found' });
});
