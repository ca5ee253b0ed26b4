/** A short visit to libvirt, for a program that asks a few things and leaves: no events, no coming back. */
import { existsSync } from 'node:fs';
import { RevivedError } from '../errors.ts';
import { openConnection } from './connection.ts';
import { createDomains, type Domains } from './domains.ts';
import { openSession } from './session.ts';
import { callTimings, pings } from './timings.ts';

/**
 * Connects to the first of `sockets` that exists, does `work` and hangs up. Rejects as `work` does, or with `libvirt` or
 * `refused` where libvirt cannot be reached.
 */
export async function visitLibvirt<T>(
  sockets: readonly string[],
  uri: string,
  work: (domains: Domains) => Promise<T>,
): Promise<T> {
  const path = sockets.find((one) => existsSync(one)) ?? sockets[0] ?? '';
  const connection = await openConnection({
    path,
    connectMs: callTimings.connect,
    pingMs: callTimings.ping,
    pings,
    onMessage: () => {}, // nothing was registered
    onClose: () => {}, // open calls are rejected by it
  });
  try {
    await openSession(connection, uri, callTimings.call);
    return await work(createDomains(() => connection, callTimings));
  } finally {
    connection.close(new RevivedError('cancelled', 'The visit to libvirt is over.'));
  }
}
