import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  cardPath,
  childrenOf,
  domainPath,
  jobPath,
  nodesOf,
} from '../../../daemon/bus/object-path.ts';
import { card } from '../../integration/scripted-service.ts';

test('paths of objects', () => {
  assert.equal(cardPath(card('0000:0b:00')), '/org/revived/cards/0000_0b_00');
  assert.equal(jobPath(12), '/org/revived/jobs/12');
  assert.equal(domainPath('6f1f-2a'), '/org/revived/domains/6f1f_2a');
});

test('a domain path is valid whatever the uuid contains', () => {
  assert.match(domainPath('../ä\n/x'), /^\/org\/revived\/domains\/[A-Za-z0-9_]+$/);
});

test('nodes are the objects and all above them', () => {
  const nodes = nodesOf(['/org/revived', '/org/revived/jobs/12']);
  assert.deepEqual([...nodes].toSorted(), [
    '/',
    '/org',
    '/org/revived',
    '/org/revived/jobs',
    '/org/revived/jobs/12',
  ]);
  assert.deepEqual(childrenOf('/', nodes), ['org']);
  assert.deepEqual(childrenOf('/org/revived', nodes), ['jobs']);
  assert.deepEqual(childrenOf('/org/revived/jobs/12', nodes), []);
  assert.deepEqual(childrenOf('/org/revived/jobs/1', nodes), []);
});
