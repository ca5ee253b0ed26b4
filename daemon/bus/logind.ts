/** logind's manager over our connection to the system bus, for host/power.ts. */
import type { LogindDoor } from '../host/power.ts';
import type { Connection } from './connection.ts';
import { Variant } from './wire.ts';

const logind = { destination: 'org.freedesktop.login1', path: '/org/freedesktop/login1' } as const;
const manager = 'org.freedesktop.login1.Manager';
/** Milliseconds. logind answers in a few of them, and may have to be started for it. */
const answerMs = 10_000;

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
