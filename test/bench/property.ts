/** Reads of the daemon's properties, as the benchmark's client makes them. */
import type { Connection } from '../../daemon/bus/connection.ts';
import { Variant } from '../../daemon/bus/wire.ts';

const answerMs = 10_000;

/** The body of the answer to `Get`, or to `GetAll` where no property is named. */
export function readProperties(
  bus: Connection,
  path: string,
  of: string,
  property?: string,
): Promise<readonly unknown[]> {
  const all = property === undefined;
  return bus.call(
    {
      ...{ destination: 'org.revived', path, interface: 'org.freedesktop.DBus.Properties' },
      member: all ? 'GetAll' : 'Get',
      signature: all ? 's' : 'ss',
      body: all ? [of] : [of, property],
    },
    answerMs,
  );
}

/** The value of one property. */
export async function propertyOf(
  bus: Connection,
  path: string,
  of: string,
  property: string,
): Promise<unknown> {
  const [value] = await readProperties(bus, path, of, property);
  return value instanceof Variant ? value.value : value;
}
