import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DomainEvent } from '../../../daemon/libvirt/event.ts';
import { newsOf } from '../../../daemon/libvirt/news.ts';
import { sampleUuid } from './peer.ts';

const named = { uuid: sampleUuid, name: 'win11' };
const domain = { ...named, id: 1 };

function lifecycle(event: string): DomainEvent {
  return { kind: 'lifecycle', domain, event, detail: 'unknown' };
}

test('what changes the state of a domain', () => {
  const states = ['started', 'resumed', 'suspended', 'pmsuspended', 'stopped', 'crashed'].map(
    (event) => newsOf(lifecycle(event)),
  );
  assert.deepEqual(
    states,
    ['running', 'running', 'paused', 'pmsuspended', 'shutoff', 'crashed'].map((state) => ({
      ...{ kind: 'state', ...named, state },
    })),
  );
});

test('definitions and devices', () => {
  assert.deepEqual(newsOf(lifecycle('defined')), { kind: 'defined', ...named });
  assert.deepEqual(newsOf(lifecycle('undefined')), { kind: 'undefined', uuid: sampleUuid });
  for (const kind of ['device-added', 'device-removed'] as const) {
    const event: DomainEvent = { kind, domain, alias: 'hostdev0' };
    assert.deepEqual(newsOf(event), { kind: 'devices', uuid: sampleUuid });
  }
});

test('what is no news: the guest goes on, or libvirt is newer than we are', () => {
  const quiet: readonly DomainEvent[] = [
    { kind: 'reboot', domain },
    { kind: 'agent', domain, state: 'connected', reason: 'channel' },
    { kind: 'device-removal-failed', domain, alias: 'hostdev0' },
    lifecycle('shutdown'),
    lifecycle('unknown-9'),
  ];
  for (const event of quiet) assert.equal(newsOf(event), undefined, JSON.stringify(event));
});
