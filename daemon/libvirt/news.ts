/** libvirt's events as the pipeline wants them: what became of a domain. Pure. */
import type { DomainNews } from '../pipeline/domains.ts';
import type { DomainEvent } from './event.ts';

/** The state a domain is in after a lifecycle event; events that are not here change none. */
const states: Readonly<Record<string, string>> = {
  started: 'running',
  resumed: 'running',
  suspended: 'paused',
  pmsuspended: 'pmsuspended',
  stopped: 'shutoff',
  crashed: 'crashed',
};

/** True for a domain that has, or is about to get, its devices: by its state, because the id of a listing may be older. */
export function isActive(state: string): boolean {
  return !(state === 'shutoff' || state === 'crashed' || state === 'nostate');
}

/** What the event means for the pipeline; undefined when it means nothing. */
export function newsOf(event: DomainEvent): DomainNews | undefined {
  const { uuid, name } = event.domain;
  switch (event.kind) {
    case 'lifecycle': {
      const state = states[event.event];
      if (state !== undefined) return { kind: 'state', uuid, name, state };
      if (event.event === 'defined') return { kind: 'defined', uuid, name };
      return event.event === 'undefined' ? { kind: 'undefined', uuid } : undefined;
    }
    case 'device-added':
    case 'device-removed':
      return { kind: 'devices', uuid };
    case 'device-removal-failed':
    case 'reboot':
    case 'ending':
    case 'agent':
      return undefined;
  }
}
