/** What libvirt waits for: whole calls of the real hook, from before its fork until it has ended. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from '../../daemon/bus/connection.ts';
import { domainPath } from '../../daemon/bus/object-path.ts';
import { parseCardAddress } from '../../daemon/pci/address.ts';
import { readInventory } from '../../daemon/pci/inventory.ts';
import { homeWith, type Lease } from '../../daemon/pipeline/lease.ts';
import { startDaemon } from './daemon.ts';
import { type Figure, ratio } from './figure.ts';
import { guest, managedXml, unmanagedXml } from './guest.ts';
import { propertyOf } from './property.ts';
import { openSite, type Site } from './site.ts';
import { duel } from './stopwatch.ts';

const hook = fileURLToPath(new URL('../../../hooks/50-revived', import.meta.url));
const getId = 'call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus GetId';

/** `hook-unmanaged-ratio`. */
export async function measureUnmanagedHook(): Promise<readonly Figure[]> {
  const site = await openSite();
  try {
    const prepare = await times(site, 200, 'prepare', unmanagedXml(), ['sh', '-c', ':']);
    return [ratio('hook-unmanaged-ratio', ['prepare without a hostdev', 'sh -c :'], prepare)];
  } finally {
    await site.close();
  }
}

/** `hook-managed-ratio` and, on record, the same for `stopped`. */
export async function measureManagedHook(): Promise<readonly Figure[]> {
  const site = await openSite();
  try {
    return await managed(site);
  } finally {
    await site.close();
  }
}

/** The card is lent, as it is in every normal start: then `started` and `stopped` have nothing to do. */
async function managed(site: Site): Promise<readonly Figure[]> {
  lendCard(site);
  const bus = await connect(site.bus.address);
  const daemon = await startDaemon(site);
  try {
    const xml = managedXml();
    const busctl = ['busctl', '--system', ...getId.split(' ')];
    // The daemon loads its XML parser with the first call that it gets; that one is not counted.
    await times(site, 1, 'started', xml, busctl);
    const state = await propertyOf(bus, domainPath(guest.uuid), 'org.revived1.Domain', 'State');
    if (state !== 'running') throw new Error('the hook did not reach the daemon');
    const started = await times(site, 100, 'started', xml, busctl);
    const stopped = await times(site, 100, 'stopped', xml, busctl);
    const yardstick = 'busctl call GetId';
    return [
      ratio('hook-managed-ratio', ['started of a lent card', yardstick], started),
      ratio('hook-managed-stopped-ratio', ['stopped of a lent card', yardstick], stopped),
    ];
  } finally {
    bus.close();
    await daemon.stop();
  }
}

function lendCard(site: Site): void {
  const address = parseCardAddress(guest.card);
  const card = address && readInventory(site.kernel.sys).cards.get(address);
  if (address === undefined || card === undefined) throw new Error(`there is no ${guest.card}`);
  const lease: Lease = {
    card: address,
    domain: guest.name,
    uuid: guest.uuid,
    since: Date.now() * 1000,
    state: 'lent',
    boundBy: 'revived',
    home: homeWith(site.kernel.sys, card),
    reason: '',
  };
  writeFileSync(
    join(site.run, 'revived/leases.json'),
    JSON.stringify({ version: 1, leases: [lease] }),
  );
}

function times(
  site: Site,
  rounds: number,
  operation: 'prepare' | 'started' | 'stopped',
  xml: string,
  yardstick: readonly string[],
) {
  const input = join(site.run, 'guest.xml');
  writeFileSync(input, xml);
  const phase = operation === 'stopped' ? 'end' : 'begin';
  return duel({
    rounds,
    ours: [hook, guest.name, operation, phase, '-'],
    yardstick,
    input,
    until: 'exit',
    env: { LC_ALL: 'C', PATH: process.env['PATH'], DBUS_SYSTEM_BUS_ADDRESS: site.bus.address },
    through: site.room,
    directory: site.run,
  });
}
