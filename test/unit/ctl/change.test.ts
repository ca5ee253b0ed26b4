import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changeLines, changesBetween, runningLine } from '../../../daemon/ctl/change.ts';
import { printable } from '../../../daemon/ctl/printable.ts';
import { type Objects, type Snapshot, snapshotOf } from '../../../daemon/ctl/tree.ts';
import {
  domainPath,
  doneJob,
  illCard,
  illPath,
  lentCard,
  lentPath,
  manager,
  runningJob,
  tree,
} from './recorded.ts';

const jobPath = '/org/revived/jobs/7';
const before = snapshotOf(tree, printable);

function after(path: string, name: string, properties: object): Snapshot {
  const objects: Objects = { ...tree, [path]: { [name]: { ...properties } } };
  return snapshotOf(objects, printable);
}

function without(gone: string): Snapshot {
  const left = Object.entries(tree).filter(([path]) => path !== gone);
  return snapshotOf(Object.fromEntries(left), printable);
}

function linesTo(next: Snapshot, from = before): string[] {
  return changesBetween(from, next).flatMap(changeLines);
}

test('nothing changed, nothing said', () => {
  assert.deepEqual(changesBetween(before, snapshotOf(tree, printable)), []);
});

test('a change names its keys and shows the view', () => {
  const next = after(illPath, 'org.revived1.Card', { ...illCard, Health: 'healthy', Job: jobPath });
  const [change, ...others] = changesBetween(before, next);
  assert.deepEqual(others, []);
  assert.ok(change?.kind === 'card');
  assert.equal(change.event, 'changed');
  assert.equal(change.subject, '0000:01:00');
  assert.deepEqual(change.keys, ['health', 'job']);
  assert.equal(change.view?.job, 7);
});

test('cards: where they are, how they are, which driver has them', () => {
  const [first, second] = lentCard.Functions;
  const home = {
    ...lentCard,
    State: 'home',
    Domain: '',
    Functions: [
      { ...first, Driver: 'amdgpu' },
      { ...second, Driver: 'snd_hda_intel' },
    ],
    Health: 'suspect',
    HealthEvidence: ['link narrow'],
  };
  assert.deepEqual(linesTo(after(lentPath, 'org.revived1.Card', home)), [
    'card 0000:0b:00: lent (win10) -> home',
    'card 0000:0b:00: healthy -> suspect (link narrow)',
    '0000:0b:00.0: driver vfio-pci -> amdgpu',
    '0000:0b:00.1: driver none -> snd_hda_intel',
  ]);
  assert.deepEqual(linesTo(without(illPath)), ['card 0000:01:00 removed']);
  assert.deepEqual(linesTo(before, without(illPath)), ['card 0000:01:00 added']);
});

test('domains', () => {
  const domain = { Uuid: tree[domainPath]['org.revived1.Domain'].Uuid, Name: 'win11' };
  const next = after(domainPath, 'org.revived1.Domain', { ...domain, State: 'shutoff', Cards: [] });
  assert.deepEqual(linesTo(next), [
    'domain win10 is now win11',
    'domain win11: running -> shutoff',
    'domain win11: cards none',
  ]);
  assert.deepEqual(linesTo(without(domainPath)), ['domain win10 removed']);
  assert.deepEqual(linesTo(before, without(domainPath)), ['domain win10 added: running']);
});

test('jobs: their beginning, each step, their end, and no word when they are forgotten', () => {
  assert.deepEqual(linesTo(before, without(jobPath)), [
    'job 7: reset of 0000:01:00 by uid 0',
    'job 7: unbind 0000:01:00.0: done after 12 ms, let go',
  ]);
  assert.deepEqual(linesTo(after(jobPath, 'org.revived1.Job', doneJob)), [
    'job 7: rung bus: done after 1.3 s, healthy',
    'job 7, reset of 0000:01:00: done in 3.2 s',
  ]);
  assert.deepEqual(
    linesTo(after(jobPath, 'org.revived1.Job', { ...runningJob, Progress: 0.5 })),
    [],
  );
  assert.deepEqual(linesTo(without(jobPath)), []);
  const done = after(jobPath, 'org.revived1.Job', doneJob);
  const later = after(jobPath, 'org.revived1.Job', { ...doneJob, Progress: 0.9 });
  assert.deepEqual(linesTo(later, done), []);
});

test('the manager', () => {
  const next = { ...manager, Libvirt: 'absent', Iommu: false, Version: '0.2.0', RunningJobs: 0 };
  assert.deepEqual(linesTo(after('/org/revived', 'org.revived1.Manager', next)), [
    'libvirt: connected -> absent',
    'IOMMU: off',
    'revived: 0.1.0 -> 0.2.0',
  ]);
});

test('a job that runs already', () => {
  const [job] = before.jobs;
  assert.ok(job !== undefined);
  assert.equal(runningLine(job), 'job 7: reset of 0000:01:00 [ 25 %] rung bus');
});
