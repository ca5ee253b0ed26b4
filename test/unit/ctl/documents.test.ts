/** The man page and the completions know every verb and every option that the table has. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { globalOptions } from '../../../daemon/ctl/command.ts';
import { jsonText, printable } from '../../../daemon/ctl/printable.ts';
import { decodeCard } from '../../../daemon/ctl/shapes.ts';
import { verbs } from '../../../daemon/ctl/table.ts';
import { snapshotOf } from '../../../daemon/ctl/tree.ts';
import { illCard, illPath, tree } from './recorded.ts';

const units = join(process.cwd(), 'units');
const manPage = join(units, 'man', 'revivectl.1');
const bashFile = join(units, 'completions', 'revivectl.bash');

const names = [...verbs.map(({ name }) => name), 'help'];
const options = [globalOptions, ...verbs.map((verb) => verb.options)].flatMap((some) =>
  Object.keys(some),
);

const bin = mkdtempSync(join(tmpdir(), 'revivectl-'));
after(() => rmSync(bin, { recursive: true }));

/** What bash offers at the end of a line, with a revivectl that gives recorded answers. */
function offered(line: string): string[] {
  const { cards, domains } = snapshotOf(tree, (text) => text);
  writeFileSync(join(bin, 'list'), jsonText({ cards, domains }, 0));
  writeFileSync(join(bin, 'show'), jsonText(decodeCard(illPath, illCard, printable), 0));
  writeFileSync(join(bin, 'revivectl'), `#!/bin/sh\ncat "$(dirname "$0")/$1"\n`);
  chmodSync(join(bin, 'revivectl'), 0o755);
  const script = `source "$1"; COMP_WORDBREAKS=$' \\t\\n"><=;|&(:'; COMP_LINE=$2 COMP_POINT=\${#2}
    _revivectl; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', bashFile, line], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${bin}:${process.env['PATH']}` },
  });
  assert.equal(status, 0, stderr);
  assert.equal(stderr, '');
  return stdout.split('\n').filter((word) => word !== '');
}

test('the man page has no mistakes, and every verb and option', () => {
  const args = ['--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', manPage];
  const env = { ...process.env, LC_ALL: 'C.UTF-8', MANROFFSEQ: '' };
  const { status, stderr } = spawnSync('man', args, { encoding: 'utf8', env });
  assert.equal(stderr, '');
  assert.equal(status, 0);
  const page = readFileSync(manPage, 'utf8');
  for (const name of names) assert.match(page, new RegExp(`^\\.TP\\n\\.(B|BR|BI) ${name}\\b`, 'm'));
  const bare = page.replaceAll('\\-', '-');
  for (const option of options) assert.ok(bare.includes(`--${option}`), `--${option}`);
  for (const code of [0, 1, 2, 3, 4, 5, 6, 7])
    assert.match(page, new RegExp(`^\\.B ${code}$`, 'm'));
});

test('bash offers every verb and every option where it fits', () => {
  assert.deepEqual(offered('revivectl ').sort(), [...names].sort());
  assert.deepEqual(offered('revivectl re').sort(), ['reboot', 'reset', 'return']);
  assert.deepEqual(offered('revivectl reboot arm '), ['win10']);
  assert.deepEqual(offered('revivectl reboot c'), ['cancel']);
  assert.deepEqual(offered('revivectl help mon'), ['monitor']);
  for (const verb of verbs) {
    const wanted = Object.keys({ ...globalOptions, ...verb.options }).map((name) => `--${name}`);
    assert.deepEqual(offered(`revivectl ${verb.name} -`).sort(), wanted.sort(), verb.name);
  }
});

test('bash offers cards, domains and rungs, and no name that it would expand', () => {
  const cards = ['0000:01:00', '0000:02:00', '0000:0b:00'];
  assert.deepEqual(offered('revivectl show '), [...cards, 'win10']);
  assert.deepEqual(offered('revivectl plan '), ['win10']);
  for (const verb of ['reset', 'take', 'return']) {
    assert.deepEqual(offered(`revivectl --json ${verb} `), cards);
  }
  assert.deepEqual(offered('revivectl reset 01:00 --rung '), ['flr', 'bus', 'remove-rescan']);
  assert.deepEqual(offered('revivectl plan --op '), ['prepare', 'return']);
  assert.deepEqual(offered('revivectl history --limit '), []);
});

test('bash splits words at colons: only the last part is offered then', () => {
  assert.deepEqual(offered('revivectl reset 0000:0'), ['01:00', '02:00', '0b:00']);
});

test('zsh and fish know every verb and every option', () => {
  const zsh = readFileSync(join(units, 'completions', '_revivectl'), 'utf8');
  const fish = readFileSync(join(units, 'completions', 'revivectl.fish'), 'utf8');
  for (const name of names) {
    assert.match(zsh, new RegExp(`^ {4}'${name}:`, 'm'));
    assert.match(fish, new RegExp(`-n \\$none -a ${name} `));
  }
  const fishVerbs = /^set -l verbs (.*)$/m.exec(fish)?.[1]?.split(' ') ?? [];
  assert.deepEqual(fishVerbs.sort(), [...names].sort());
  for (const option of options) {
    assert.ok(zsh.includes(`--${option}`), `zsh --${option}`);
    assert.match(fish, new RegExp(`-l ${option} `));
  }
});
