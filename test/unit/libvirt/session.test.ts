import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Domains } from '../../../daemon/libvirt/domains.ts';
import type { DomainEvent, DomainStatus } from '../../../daemon/libvirt/event.ts';
import { createHold, type LibvirtEvent } from '../../../daemon/libvirt/session.ts';
import { sampleUuid } from './peer.ts';

const domain = { name: 'test', uuid: sampleUuid, id: 1 };
const running: DomainStatus = { ...domain, state: 'running', reason: 'booted' };

function event(detail: string): DomainEvent {
  return { kind: 'lifecycle', domain, event: 'stopped', detail };
}

/** Lists that are answered when the test says so. */
function lister() {
  const open: ((found: readonly DomainStatus[]) => void)[] = [];
  const list = () =>
    new Promise<readonly DomainStatus[]>((resolve) => {
      open.push(resolve);
    });
  const domains: Pick<Domains, 'list'> = { list };
  return { domains, open };
}

const short = (seen: readonly LibvirtEvent[]) =>
  seen.map((one) => {
    if (one.kind === 'synced') return `synced ${one.domains.length}`;
    return one.kind === 'lifecycle' ? one.detail : one.kind;
  });

/** Lets everything that is ready run. */
const settled = () => new Promise<void>((resolve) => void setImmediate(resolve));

test('events before and during the list come after it, in order; later ones at once', async () => {
  const seen: LibvirtEvent[] = [];
  const hold = createHold((one) => seen.push(one), { events: 10, ms: 60_000 });
  const { domains, open } = lister();
  hold.event(event('before'));
  const synced = hold.sync(domains, '9.0.0');
  hold.event(event('during'));
  assert.deepEqual(short(seen), []);
  open[0]?.([running]);
  await synced;
  hold.event(event('after'));
  assert.deepEqual(short(seen), ['synced 1', 'before', 'during', 'after']);
});

test('too many events are not held, and the list is made again', async () => {
  const seen: LibvirtEvent[] = [];
  const hold = createHold((one) => seen.push(one), { events: 2, ms: 60_000 });
  const { domains, open } = lister();
  const synced = hold.sync(domains, '9.0.0');
  for (const detail of ['1', '2', '3']) hold.event(event(detail));
  assert.deepEqual(short(seen), ['1', '2', '3']);
  open[0]?.([running]);
  await settled();
  assert.equal(open.length, 2, 'the first list may be older than event 3');
  hold.event(event('4'));
  open[1]?.([running, running]);
  await synced;
  assert.deepEqual(short(seen), ['1', '2', '3', 'synced 2', '4']);
});

test('events do not wait for a list that a hook blocks', async () => {
  const seen: LibvirtEvent[] = [];
  let heard = () => {};
  const delivered = new Promise<void>((resolve) => {
    heard = resolve;
  });
  const limits = { events: 10, ms: 5 };
  const hold = createHold((one) => {
    seen.push(one);
    heard();
  }, limits);
  const { domains, open } = lister();
  const synced = hold.sync(domains, '9.0.0');
  hold.event(event('1'));
  await delivered;
  open[0]?.([]);
  await settled();
  open[1]?.([running]);
  await synced;
  assert.deepEqual(short(seen), ['1', 'synced 1']);
});

test('under a storm without end there is a snapshot nevertheless', async () => {
  const seen: LibvirtEvent[] = [];
  const hold = createHold((one) => seen.push(one), { events: 1, ms: 60_000 });
  let lists = 0;
  const domains: Pick<Domains, 'list'> = {
    async list() {
      lists += 1;
      hold.event(event('storm'));
      return [running];
    },
  };
  await hold.sync(domains, '9.0.0');
  assert.equal(lists, 5);
  assert.equal(short(seen).at(-1), 'synced 1');
});

test('nothing is delivered once it is dropped', async () => {
  const seen: LibvirtEvent[] = [];
  const hold = createHold((one) => seen.push(one), { events: 10, ms: 5 });
  const { domains, open } = lister();
  const synced = hold.sync(domains, '9.0.0');
  hold.event(event('1'));
  hold.drop();
  hold.event(event('2'));
  open[0]?.([running]);
  await synced;
  assert.deepEqual(seen, []);
});
