import assert from 'node:assert/strict';
import { test } from 'node:test';
import { docstringsRule } from '../../static/docstrings.ts';

function judged(text: string): number {
  return docstringsRule(new Map([['daemon/a.ts', text]])).length;
}

test('an exported function without a docstring is named', () => {
  const exported = [
    'export function a(): void {}',
    'export async function a(): Promise<void> {}',
    'export function* a() {}',
    'export const a = (b: number): number => b;',
    'export const a = async (b: number) => b;',
  ];
  for (const line of exported) {
    assert.equal(judged(`const x = 1;\n\n${line}\n`), 1, line);
    assert.equal(judged(`// no docstring\n${line}\n`), 1, line);
    assert.equal(judged(`/** Says it. */\n${line}\n`), 0, line);
    assert.equal(judged(`/**\n * Says it.\n */\n// biome-ignore lint/x: why\n${line}\n`), 0, line);
  }
});

test('what is not exported or no function needs none', () => {
  assert.equal(
    judged('function a(): void {}\nexport const b = 3;\nexport type C = () => void;'),
    0,
  );
});

test('overloads share one', () => {
  const overloads = 'export function a(b: 1): 2;\nexport function a(b: number): number {}';
  assert.equal(judged(`/** Says it. */\n${overloads}`), 0);
});
