/** The daemon in its everyday life: connected to a real libvirtd with one guest, asked over the bus, hearing events. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Connection, connect } from '../../daemon/bus/connection.ts';
import { cardPath, domainPath, managerPath } from '../../daemon/bus/object-path.ts';
import { waitFor } from '../../daemon/deadline.ts';
import { parseCardAddress } from '../../daemon/pci/address.ts';
import { startLibvirtd } from '../integration/libvirtd.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { startEventTap } from './event-tap.ts';
import { type Figure, quantile } from './figure.ts';
import { guest } from './guest.ts';
import { propertyOf, readProperties } from './property.ts';
import { createReactions, measureReaction, probe } from './reaction.ts';
import { openSite } from './site.ts';

const uri = 'qemu:///system';
const sequentialCalls = 2000;
const allCalls = 100_000;
/** Calls that the pipelined client has open. */
const atOnce = 16;

/** `event-reaction-p99`, `rss-idle`, `dbus-calls` and `rss-100k-calls`. */
export async function measureLife(): Promise<readonly Figure[]> {
  const libvirtd = await startLibvirtd();
  const open: (() => Promise<void> | void)[] = [libvirtd.stop];
  try {
    const definition = join(libvirtd.etc, 'probe.xml');
    await writeFile(definition, probe.xml);
    await libvirtd.virsh(uri, 'define', definition);
    await libvirtd.virsh(uri, 'start', probe.name);
    const tap = join(libvirtd.etc, 'tap-sock');
    const reactions = createReactions();
    open.push(await startEventTap(tap, libvirtd.socket, reactions.event));
    const site = await openSite(tap);
    open.push(site.close);
    const bus = await connect(site.bus.address);
    open.push(bus.close);
    const daemon = await startDaemon(site);
    open.push(daemon.stop);
    await inStep(bus);
    return [
      await idle(daemon),
      await measureReaction(bus, libvirtd, reactions),
      ...(await calls(bus, daemon)),
    ];
  } finally {
    for (const end of open.reverse()) await end();
  }
}

/** Waits until the daemon has libvirt's domains. */
async function inStep(bus: Connection): Promise<void> {
  const state = () =>
    propertyOf(bus, domainPath(probe.uuid), 'org.revived1.Domain', 'State').catch(() => undefined);
  const found = await waitFor(
    async () => ((await state()) === 'running' ? true : undefined),
    20_000,
    50,
  );
  if (found === undefined) throw new Error('the daemon did not get the domains from libvirt');
}

/** Five seconds in which nobody wants anything. */
async function idle(daemon: Daemon): Promise<Figure> {
  const samples: number[] = [];
  await waitFor(() => void samples.push(daemon.memory('VmRSS')), 5000, 250);
  const [least, most] = [quantile(samples, 0), quantile(samples, 1)];
  return {
    name: 'rss-idle',
    value: most,
    how: `VmRSS, most of ${samples.length} looks in 5 s; least ${least.toFixed(1)} MB`,
  };
}

async function calls(bus: Connection, daemon: Daemon): Promise<readonly Figure[]> {
  const card = parseCardAddress(guest.card);
  if (card === undefined) throw new Error(`${guest.card} is no card address`);
  const manager = [managerPath, 'org.revived1.Manager'] as const;
  const domain = [domainPath(probe.uuid), 'org.revived1.Domain'] as const;
  const mix = [
    [...manager, 'Version'],
    [...manager, 'RunningJobs'],
    manager,
    [...domain, 'State'],
    domain,
    [cardPath(card), 'org.revived1.Card', 'State'],
    [cardPath(card), 'org.revived1.Card'],
  ] as const;
  const ask = (turn: number) => {
    const [path, of, property] = mix[turn % mix.length] ?? manager;
    return readProperties(bus, path, of, property);
  };

  const alone = performance.now();
  for (let turn = 0; turn < sequentialCalls; turn += 1) await ask(turn);
  const sequential = (sequentialCalls * 1000) / (performance.now() - alone);

  let turn = sequentialCalls;
  const together = performance.now();
  const clients = Array.from({ length: atOnce }, async () => {
    while (turn < allCalls) await ask(turn++);
  });
  await Promise.all(clients);
  const pipelined = ((allCalls - sequentialCalls) * 1000) / (performance.now() - together);
  const what = 'Get and GetAll of manager, domain and card in turn';
  return [
    {
      name: 'rss-100k-calls',
      value: daemon.memory('VmRSS'),
      how: `VmRSS after the last of ${allCalls} calls; peak ${daemon.memory('VmHWM').toFixed(1)} MB`,
    },
    {
      name: 'dbus-calls',
      value: sequential,
      how: `one after the other, ${sequentialCalls} calls: ${what}`,
    },
    {
      name: 'dbus-calls-pipelined',
      value: pipelined,
      how: `${atOnce} open at once, ${allCalls - sequentialCalls} calls: ${what}`,
    },
  ];
}
