import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { waitFor } from '../../../daemon/deadline.ts';
import { holdersOf, hostNodes, namesOf, vfioNodesOf } from '../../../daemon/host/holders.ts';
import { freshDirectory } from '../fresh-directory.ts';
import { fn } from '../inventory-of.ts';

const fresh = freshDirectory('holders');
test('a process that has a node open is found and named', async () => {
  const node = join(fresh.path, 'vfio7');
  writeFileSync(node, '');
  const child = spawn('tail', ['-f', node], { stdio: 'ignore' });
  try {
    const found = await waitFor(
      () => {
        const holders = holdersOf('/proc', new Set([node]));
        return holders.length > 0 ? holders : undefined;
      },
      5000,
      20,
    );
    assert.equal(found?.[0]?.pid, child.pid);
    assert.match(namesOf(found ?? []), /^tail \(pid \d+\) has .*vfio7 open$/);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  assert.deepEqual(holdersOf('/proc', new Set([node])), []);
});

test('DRM nodes and streams of a function count, mixer nodes do not', () => {
  const root = fresh.path;
  const device = join(root, 'device');
  for (const path of [
    'device/drm/card1',
    'device/drm/renderD129',
    'device/drm/version',
    'device/sound/card0',
    'dev/snd',
  ]) {
    mkdirSync(join(root, path), { recursive: true });
  }
  for (const name of ['controlC0', 'pcmC0D3p', 'pcmC1D0p'])
    writeFileSync(join(root, 'dev/snd', name), '');
  const dev = join(root, 'dev');
  assert.deepEqual(hostNodes(dev, device), [
    `${dev}/dri/card1`,
    `${dev}/dri/renderD129`,
    `${dev}/snd/pcmC0D3p`,
  ]);
});

test('the VFIO nodes of a function are its group and, with iommufd, its own', () => {
  const paths = { sys: join(fresh.path, 'sys'), dev: '/dev' };
  const device = join(paths.sys, 'bus/pci/devices/0000:01:00.0');
  mkdirSync(join(device, 'vfio-dev/vfio3'), { recursive: true });
  symlinkSync('../../../kernel/iommu_groups/7', join(device, 'iommu_group'));
  const nodes = vfioNodesOf(paths, [fn('0000:01:00.0')]);
  assert.deepEqual([...nodes], ['/dev/vfio/7', '/dev/vfio/devices/vfio3']);
});
