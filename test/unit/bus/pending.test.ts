import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPending, pendingLimits } from '../../../daemon/bus/pending.ts';

const { perSender, perUser, total, rootReserve } = pendingLimits;
const tooMany = { code: 'limit-exceeded' };
const caller = (uid: number) => ({ sender: ':1.1', uid });

function fill(count: number, take: () => () => void): (() => void)[] {
  return Array.from({ length: count }, take);
}

test('one connection has so many places, another its own', () => {
  const pending = createPending();
  const leaves = fill(perSender, () => pending.arrive(':1.1'));
  assert.throws(() => pending.arrive(':1.1'), tooMany);
  pending.arrive(':1.2');
  leaves[0]?.();
  pending.arrive(':1.1');
});

test('a place is given back once, also when it is given back twice', () => {
  const pending = createPending();
  const leaves = fill(perSender, () => pending.arrive(':1.1'));
  leaves[0]?.();
  leaves[0]?.();
  pending.arrive(':1.1');
  assert.throws(() => pending.arrive(':1.1'), tooMany);
});

test('one user has so many places over all connections; root has all', () => {
  const pending = createPending();
  fill(perUser, () => pending.enter(caller(1000)));
  assert.throws(() => pending.enter(caller(1000)), tooMany);
  fill(perUser + 1, () => pending.enter(caller(0)));
});

test('others cannot take the places that are kept for root', () => {
  const pending = createPending();
  for (let taken = 0; taken < total - rootReserve; taken += 1) {
    pending.enter(caller(1000 + Math.floor(taken / perUser)));
  }
  assert.throws(() => pending.enter(caller(9999)), tooMany);
  const leaves = fill(rootReserve, () => pending.enter(caller(0)));
  assert.throws(() => pending.enter(caller(0)), tooMany);
  for (const leave of leaves) leave();
  pending.enter(caller(0));
});

test('calls of many connections are bounded together', () => {
  const pending = createPending();
  const all = () => fill(2000, () => pending.arrive(`:1.${Math.random()}`));
  assert.throws(all, tooMany);
});
