/** logind's manager over our connection to the system bus (org.freedesktop.login1(5)), for host/power.ts and host/suspend.ts. */
import type { LogindDoor } from '../host/power.ts';
import type { Logind } from '../host/suspend.ts';
import type { Connection } from './connection.ts';
import { Variant } from './wire.ts';

const logind = { destination: 'org.freedesktop.login1', path: '/org/freedesktop/login1' } as const;
const manager = 'org.freedesktop.login1.Manager';
/** Milliseconds. logind answers in a few of them, and may have to be started for it. */
const answerMs = 25_000;

/** Calls and properties of logind. Both reject with the bus's error. */
export function logindDoor(connection: Pick<Connection, 'call'>): LogindDoor {
  return {
    call: (member, signature, body) =>
      connection.call({ ...logind, interface: manager, member, signature, body }, answerMs),
    async property(name) {
      const get = { interface: 'org.freedesktop.DBus.Properties', member: 'Get', signature: 'ss' };
      const [value] = await connection.call({ ...logind, ...get, body: [manager, name] }, answerMs);
      return value instanceof Variant ? value.value : value;
    },
  };
}

/** The part of logind that puts the host to sleep. */
export function logindSleep(connection: Pick<Connection, 'call' | 'watch'>): Logind {
  const door = logindDoor(connection);
  /** Unique names of the logind that is listened to: it may be restarted. */
  let heard = '';
  return {
    async blocked() {
      const blocked = await door.property('BlockInhibited');
      return typeof blocked === 'string' ? blocked : '';
    },
    async onPrepare(listener) {
      const name = 'org.freedesktop.DBus';
      const bus = { destination: name, path: '/org/freedesktop/DBus', interface: name };
      const ask = { ...bus, member: 'GetNameOwner', signature: 's', body: [logind.destination] };
      const sender = String((await connection.call(ask, answerMs))[0]);
      if (sender === heard) return;
      const rule = { sender, interface: manager, member: 'PrepareForSleep' };
      await connection.watch(rule, ({ body }) => listener(body[0] === true));
      heard = sender;
    },
    isPreparing: async () => (await door.property('PreparingForSleep')) === true,
    async suspend() {
      await door.call('Suspend', 'b', [false]);
    },
  };
}
