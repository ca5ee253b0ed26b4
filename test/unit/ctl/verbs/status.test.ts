import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPaint } from '../../../../daemon/ctl/paint.ts';
import { printable } from '../../../../daemon/ctl/printable.ts';
import { snapshotOf } from '../../../../daemon/ctl/tree.ts';
import { status, statusLines } from '../../../../daemon/ctl/verbs/status.ts';
import {
  alarmedManager,
  argsOf,
  clientOf,
  dullCard,
  hear,
  hostile,
  manager,
  tree,
} from '../recorded.ts';

const lines = (objects: Parameters<typeof snapshotOf>[0]) =>
  statusLines(snapshotOf(objects, printable), createPaint(false));

test('one screen: daemon, cards, what to do about those that are not well, jobs', () => {
  assert.deepEqual(lines(tree), [
    'revived 0.1.0, libvirt 9.0.0, IOMMU on, 1 job running',
    '',
    '0000:01:00  TU104                     stranded  -      wedged',
    '    0000:01:00.0: vendor reads as ffff',
    '    next: revivectl reset 0000:01:00',
    '0000:0b:00  Navi 10 [Radeon RX 5700]  lent      win10  healthy',
    '',
    'job 7, reset of 0000:01:00  [ 25 %] rung bus',
  ]);
});

test('what keeps everything from working is in the first line', () => {
  const sick = { ...manager, Libvirt: 'absent', Iommu: false, RunningJobs: 0 };
  assert.deepEqual(lines({ '/org/revived': { 'org.revived1.Manager': sick } }), [
    'revived 0.1.0, libvirt absent, IOMMU off: nothing can be handed over',
    '',
    'no card here that is worth handing over; see list --all',
  ]);
});

test('a host at risk and what was found out are told before the cards', () => {
  assert.deepEqual(lines({ '/org/revived': { 'org.revived1.Manager': alarmedManager } }).slice(3), [
    'host at risk, no rung is done: soft lockup',
    '    next: look at the host, reboot it, or: revivectl quarantine clear host',
    'win10 got a driver',
    'boot 6.11',
  ]);
});

test('the boot after a reboot for a driver install says so', () => {
  const [at = ''] = Object.keys(tree).filter((path) => path.includes('/domains/'));
  const Domain = { Uuid: 'u', Name: 'win10', State: 'running', Cards: [], RebootState: 'resumed' };
  const after = {
    '/org/revived': { 'org.revived1.Manager': { ...manager, RebootState: 'resumed' } },
    [at]: { 'org.revived1.Domain': Domain },
  };
  assert.equal(
    lines(after).at(-1),
    'resumed: the host has rebooted after a driver install, and what was stopped for it goes on: win10',
  );
});

test('--json has everything, text as it is', async () => {
  const { out, stdout } = hear({ json: true });
  const client = clientOf({ getManagedObjects: async () => tree });
  assert.equal(await status.run(client, argsOf(), out), 0);
  const shown = JSON.parse(stdout());
  assert.deepEqual(Object.keys(shown), ['manager', 'cards', 'domains', 'jobs']);
  assert.equal(shown.cards.length, 3);
  assert.equal(shown.cards[1].name, dullCard.Name);
  assert.equal(shown.domains[0].name, hostile);
  assert.equal(shown.jobs[0].id, 7);
  assert.deepEqual(shown.manager, {
    version: '0.1.0',
    libvirt: 'connected',
    libvirtVersion: '9.0.0',
    iommu: true,
    runningJobs: 1,
    hostAtRisk: '',
    findings: [],
    quarantine: [],
    rebootState: '',
    rebootReason: '',
    rebootAtUsec: 0,
  });
});

test('people see the lines', async () => {
  const { out, stdout } = hear();
  const client = clientOf({ getManagedObjects: async () => tree });
  assert.equal(await status.run(client, argsOf(), out), 0);
  assert.equal(stdout(), `${lines(tree).join('\n')}\n`);
});
