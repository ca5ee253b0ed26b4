/** logind's half of host/suspend.ts: org.freedesktop.login1.Manager, Suspend and PrepareForSleep (org.freedesktop.login1(5)). */
import type { Logind } from '../host/suspend.ts';
import type { Connection } from './connection.ts';
import { Variant } from './wire.ts';

const manager = {
  destination: 'org.freedesktop.login1',
  path: '/org/freedesktop/login1',
  interface: 'org.freedesktop.login1.Manager',
} as const;
/** logind may have to be started first. */
const callMs = 25_000;

/** logind over a connection to the system bus. */
export function createLogind(connection: Pick<Connection, 'call' | 'watch'>): Logind {
  /** Unique names of the logind that is listened to: it may be restarted. */
  let heard = '';
  return {
    async blocked() {
      const ask = {
        ...manager,
        interface: 'org.freedesktop.DBus.Properties',
        member: 'Get',
        signature: 'ss',
        body: [manager.interface, 'BlockInhibited'],
      };
      const [value] = await connection.call(ask, callMs);
      return value instanceof Variant && typeof value.value === 'string' ? value.value : '';
    },
    async onPrepare(listener) {
      const name = 'org.freedesktop.DBus';
      const bus = { destination: name, path: '/org/freedesktop/DBus', interface: name };
      const ask = { ...bus, member: 'GetNameOwner', signature: 's', body: [manager.destination] };
      const sender = String((await connection.call(ask, callMs))[0]);
      if (sender === heard) return;
      const rule = { sender, interface: manager.interface, member: 'PrepareForSleep' };
      await connection.watch(rule, ({ body }) => listener(body[0] === true));
      heard = sender;
    },
    async suspend() {
      const body = [false];
      await connection.call({ ...manager, member: 'Suspend', signature: 'b', body }, callMs);
    },
  };
}
