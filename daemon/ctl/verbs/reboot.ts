/** `revivectl reboot`: a driver is installed in a guest, and the host reboots for it; how far that is, consent and cancel. */
import { RevivedError } from '../../errors.ts';
import type { Client } from '../client.ts';
import { columns } from '../columns.ts';
import { misused } from '../command.ts';
import type { Out } from '../out.ts';
import { dateText } from '../time.ts';
import { managerInterface, managerPath, type Snapshot, snapshotOf } from '../tree.ts';
import type { Verb } from '../verb.ts';

export const reboot: Verb = {
  name: 'reboot',
  operands: '[ACTION [DOMAIN]]',
  arity: [0, 2],
  summary: 'reboot the host after a driver install in a guest',
  details: [
    'A card is half set up until the host has rebooted once after a driver was installed in its guest.',
    '"arm DOMAIN", before the install: the next restart of that guest becomes a reboot of the host.',
    '"now" agrees to the reboot that is pending: all domains are shut down, everybody is told, and',
    'after the grace period the host reboots and the domains start again. "cancel" stops that, and',
    'disarms. "status" (the default) says how far it is.',
  ],
  options: {},
  async run(client, args, out) {
    const [action = 'status', domain = ''] = args.operands;
    if ((action === 'arm') !== (domain !== '')) {
      throw misused(reboot, action === 'arm' ? 'arm needs a DOMAIN' : `${action} takes no DOMAIN`);
    }
    switch (action) {
      case 'status':
        return status(client, out);
      case 'arm':
        await call(client, 'ArmReboot', domain);
        return said(out, 'armed: when that guest restarts itself next, the host reboots');
      case 'now':
        return now(client, out);
      case 'cancel':
        await call(client, 'CancelReboot');
        return said(out, 'cancelled');
      default:
        throw misused(reboot, `The verb reboot does not know '${action}'`);
    }
  },
};

/** How far it is, from a snapshot made printable. */
function rebootLines(snapshot: Snapshot): string[] {
  const { rebootState, rebootReason, rebootAtUsec } = snapshot.manager;
  const domains = concerned(snapshot);
  if (rebootState === '') return ['no reboot is pending, and no domain is armed'];
  return [
    rebootReason === '' ? rebootState : `${rebootState}: ${rebootReason}`,
    ...(rebootAtUsec === 0 ? [] : [`the host reboots at ${dateText(rebootAtUsec)}`]),
    ...columns(domains.map((one) => [one.name, one.rebootState, one.driverVersion])),
  ];
}

async function status(client: Client, out: Out): Promise<number> {
  const snapshot = snapshotOf(await client.getManagedObjects(), out.text);
  const { rebootState: state, rebootReason: reason, rebootAtUsec: atUsec } = snapshot.manager;
  if (out.json) out.value({ state, reason, atUsec, domains: concerned(snapshot) });
  else for (const line of rebootLines(snapshot)) out.line(line);
  return 0;
}

async function now(client: Client, out: Out): Promise<number> {
  if (!out.yes && out.confirm !== null) {
    const snapshot = snapshotOf(await client.getManagedObjects(), out.text);
    for (const line of rebootLines(snapshot)) out.line(line);
    const running = snapshot.domains.filter(({ state }) => state !== 'shutoff');
    const names = running.map(({ name }) => name).join(', ');
    const what = names === '' ? 'Reboot the host?' : `Shut down ${names} and reboot the host?`;
    if (!(await out.confirm(what))) throw new RevivedError('failed', 'Nothing was done.');
  }
  await call(client, 'RebootNow');
  return said(
    out,
    'the host reboots when the grace period is over; revivectl reboot cancel stops it',
  );
}

function concerned({ domains }: Snapshot) {
  return domains
    .filter(({ rebootState }) => rebootState !== '')
    .map(({ uuid, name, driverVersion, rebootState }) => ({
      uuid,
      name,
      driverVersion,
      rebootState,
    }));
}

function said(out: Out, text: string): number {
  if (!out.json) out.line(text);
  return 0;
}

async function call(client: Client, member: string, domain?: string): Promise<void> {
  await client.callMethod({
    path: managerPath,
    interface: managerInterface,
    member,
    signature: domain === undefined ? '' : 's',
    args: domain === undefined ? [] : [domain],
  });
}
