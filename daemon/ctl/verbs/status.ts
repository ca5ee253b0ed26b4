/** `revivectl status`: one screen of what is and what to do about it. */
import { cardCells, isShown, nextStep } from '../card.ts';
import { columns } from '../columns.ts';
import { isRunning, jobTitle, progressText } from '../job.ts';
import type { Paint } from '../paint.ts';
import type { Card, Manager } from '../shapes.ts';
import { type Snapshot, snapshotOf } from '../tree.ts';
import type { Verb } from '../verb.ts';

/** The lines of status, from a snapshot made printable. */
export function statusLines(snapshot: Snapshot, paint: Paint): string[] {
  const cards = snapshot.cards.filter(isShown);
  const table = columns(cards.map((card) => cardCells(card, paint)));
  const jobs = snapshot.jobs.filter(isRunning);
  return [
    headLine(snapshot.manager, paint),
    ...(cards.length === 0
      ? ['', 'no card here that is worth handing over; see list --all']
      : ['']),
    ...alarms(snapshot.manager, paint),
    ...resumed(snapshot),
    ...cards.flatMap((card, index) => [table[index] ?? '', ...concern(card, paint)]),
    ...(jobs.length === 0 ? [] : ['']),
    ...jobs.map((job) => `${jobTitle(job)}  ${progressText(job)}`),
  ];
}

export const status: Verb = {
  name: 'status',
  operands: '',
  arity: [0, 0],
  summary: 'show the daemon, the cards and what needs attention (the default)',
  details: ['With --json: every card, domain and job.'],
  options: {},
  async run(client, _args, out) {
    const snapshot = snapshotOf(await client.getManagedObjects(), out.text);
    if (out.json) out.value(snapshot);
    else for (const line of statusLines(snapshot, out.paint)) out.line(line);
    return 0;
  },
};

function headLine(manager: Manager, paint: Paint): string {
  const libvirt =
    manager.libvirt === 'connected'
      ? `libvirt ${manager.libvirtVersion}`
      : paint.yellow(`libvirt ${manager.libvirt || 'unknown'}`);
  const iommu = manager.iommu ? 'IOMMU on' : paint.red('IOMMU off: nothing can be handed over');
  const jobs = manager.runningJobs === 1 ? '1 job running' : `${manager.runningJobs} jobs running`;
  const version = paint.bold(`revived ${manager.version}`);
  return [version, libvirt, iommu, ...(manager.runningJobs === 0 ? [] : [jobs])].join(', ');
}

// What concerns the host as a whole, and what is not done any more.
function alarms(manager: Manager, paint: Paint): string[] {
  const { hostAtRisk, findings, rebootReason } = manager;
  const isPending = findings.some(({ rule }) => rule === 'host-reboot-pending');
  return [
    ...(hostAtRisk === ''
      ? []
      : [
          paint.red(`host at risk, no rung is done: ${hostAtRisk}`),
          `    next: ${paint.bold('look at the host, reboot it, or: revivectl quarantine clear host')}`,
        ]),
    // What is pending is a finding, which says more.
    ...(rebootReason === '' || isPending ? [] : [paint.yellow(rebootReason)]),
    ...findings.map(({ message, severity }) =>
      severity === 'note' ? message : paint.yellow(message),
    ),
  ];
}

// In the boot that a reboot of ours has brought. A start that failed is a finding beside it.
function resumed({ manager, domains }: Snapshot): string[] {
  if (manager.rebootState !== 'resumed') return [];
  const names = domains.filter((one) => one.rebootState === 'resumed').map(({ name }) => name);
  const of = names.length === 0 ? '' : `, and what was stopped for it goes on: ${names.join(', ')}`;
  return [`resumed: the host has rebooted after a driver install${of}`];
}

// One line of evidence and one of advice below a card that is not as it should be.
function concern(card: Card, paint: Paint): string[] {
  const next = nextStep(card);
  const sign = card.health.state === 'healthy' ? undefined : card.health.evidence[0];
  return [
    ...(sign === undefined ? [] : [`    ${sign}`]),
    ...(next === null ? [] : [`    next: ${paint.bold(next)}`]),
  ];
}
