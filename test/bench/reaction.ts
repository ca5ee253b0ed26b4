/**
 * How long the daemon takes to act on a lifecycle event. The clock starts when the bytes of that very event have left a
 * real libvirtd and stand before the daemon's socket (event-tap.ts), and stops when a client of the bus has read the
 * PropertiesChanged with the new State. The way through the tap, the bus and our own event loop is in it; libvirtd's own
 * time is not. A second libvirt client as the start of the clock would not do: libvirtd serves one client after the
 * other, so the daemon can be done before that client hears anything.
 */
import type { Connection, Signal } from '../../daemon/bus/connection.ts';
import { domainPath } from '../../daemon/bus/object-path.ts';
import { Variant } from '../../daemon/bus/wire.ts';
import { withDeadline } from '../../daemon/deadline.ts';
import type { DomainEvent } from '../../daemon/libvirt/event.ts';
import { newsOf } from '../../daemon/libvirt/news.ts';
import type { Libvirtd } from '../integration/libvirtd.ts';
import { type Figure, quantile, spread } from './figure.ts';

const uri = 'qemu:///system';
const limitMs = 20_000;
/** What is done to the guest, and the state that follows: cheap pairs for the number, whole lives for the truth. */
const pause = [
  ['suspend', 'paused'],
  ['resume', 'running'],
] as const;
const life = [
  ['destroy', 'shutoff'],
  ['start', 'running'],
] as const;
const course = [...Array<typeof pause>(110).fill(pause), ...Array<typeof life>(10).fill(life)];

/** A guest without disk and with nothing to do. */
export const probe = {
  name: 'probe',
  uuid: '5d0c1f0e-7c64-4b0a-8a55-1f1f4f4a7e01',
  xml: `<domain type='qemu'><name>probe</name><uuid>5d0c1f0e-7c64-4b0a-8a55-1f1f4f4a7e01</uuid>
<memory unit='MiB'>32</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/>
<memballoon model='none'/></devices></domain>`,
} as const;

/** One event that is waited for: libvirt's side and the daemon's side of it. */
export interface Reactions {
  /** From the tap. */
  event(event: DomainEvent, at: number): void;
  /** From the bus. */
  signal(signal: Signal): void;
  /** Resolves with the milliseconds between the event that brings `state` and the signal that shows it. */
  next(state: string): Promise<number>;
}

/** Pairs events and signals of the probe. */
export function createReactions(): Reactions {
  let wanted: string | undefined;
  let eventAt: number | undefined;
  let settle: (ms: number) => void = () => undefined;
  return {
    event(event, at) {
      const news = newsOf(event);
      if (news?.kind !== 'state' || news.uuid !== probe.uuid || news.state !== wanted) return;
      eventAt ??= at;
    },
    signal({ path, body }) {
      const now = performance.now();
      if (path !== domainPath(probe.uuid) || stateIn(body[1]) !== wanted) return;
      if (eventAt !== undefined) settle(now - eventAt);
    },
    next(state) {
      wanted = state;
      eventAt = undefined;
      return new Promise((resolve) => {
        settle = resolve;
      });
    },
  };
}

function stateIn(changed: unknown): unknown {
  if (typeof changed !== 'object' || changed === null || !('State' in changed)) return undefined;
  return changed.State instanceof Variant ? changed.State.value : undefined;
}

/** `event-reaction-p99`. The daemon is connected to libvirt through the tap, and the probe runs. */
export async function measureReaction(
  bus: Connection,
  libvirtd: Libvirtd,
  reactions: Reactions,
): Promise<Figure> {
  const service = { destination: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus' };
  const [owner] = await bus.call(
    {
      ...service,
      ...{ interface: 'org.freedesktop.DBus', member: 'GetNameOwner' },
      ...{ signature: 's', body: ['org.revived'] },
    },
    limitMs,
  );
  const watch = { sender: String(owner), interface: 'org.freedesktop.DBus.Properties' };
  await bus.watch(watch, reactions.signal);
  const times: number[] = [];
  for (const [verb, state] of course.flat()) {
    const reaction = withDeadline(reactions.next(state), limitMs, `The reaction to ${verb}`);
    const [ms] = await Promise.all([reaction, libvirtd.virsh(uri, verb, probe.name)]);
    times.push(ms);
  }
  return {
    name: 'event-reaction-p99',
    value: quantile(times, 0.99),
    how: `event to PropertiesChanged on the bus ${spread(times)}; ${times.length} events`,
  };
}
