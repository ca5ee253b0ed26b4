import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layersRule } from '../../static/layers.ts';

function judged(path: string, text: string): readonly string[] {
  return layersRule(new Map([[path, text]]));
}

test('an import of the own layer or a lower one is fine', () => {
  assert.deepEqual(judged('daemon/bus/a.ts', `import { b } from '../pipeline/b.ts';`), []);
  assert.deepEqual(judged('daemon/bus/a.ts', `import fs from 'node:fs';\nimport './c.ts';`), []);
  assert.deepEqual(judged('daemon/pipeline/steps/a.ts', `import { b } from '../../pci/b.ts';`), []);
  assert.deepEqual(judged('daemon/main.ts', `import { b } from './bus/b.ts';`), []);
  assert.deepEqual(judged('test/unit/a.test.ts', `import '../../daemon/bus/b.ts';`), []);
});

test('an import of a higher layer is not', () => {
  const upwards = [
    ['daemon/pci/a.ts', `import { b } from '../pipeline/b.ts';`],
    ['daemon/pci/a.ts', `import type { B } from '../pipeline/b.ts';`],
    ['daemon/pci/a.ts', `export * from '../bus/b.ts';`],
    ['daemon/reset/rungs/a.ts', `const b = await import('../../ctl/b.ts');`],
    ['daemon/errors.ts', `import './sysfs/read.ts';`],
    ['daemon/host/a.ts', `import {\n  b,\n} from '../libvirt/b.ts';`],
  ] as const;
  for (const [path, text] of upwards) assert.equal(judged(path, text).length, 1, text);
});

test('main.ts is nobody`s import, and a folder without a layer is named', () => {
  assert.equal(judged('daemon/bus/a.ts', `import '../main.ts';`).length, 1);
  assert.equal(judged('daemon/utils/a.ts', '').length, 1);
});
