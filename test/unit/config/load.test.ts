import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { defaultConfig } from '../../../daemon/config/config.ts';
import { loadConfig } from '../../../daemon/config/load.ts';
import { parseCardAddress } from '../../../daemon/pci/address.ts';
import { freshDirectory } from '../fresh-directory.ts';

const fresh = freshDirectory('load');
function directories(files: Readonly<Record<string, string>>) {
  const root = mkdtempSync(join(fresh.path, 'one-'));
  for (const directory of ['etc/conf.d', 'lib'])
    mkdirSync(join(root, directory), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
  return { config: join(root, 'etc'), vendorConfig: join(root, 'lib') };
}

test('no file at all gives the defaults', async () => {
  assert.deepEqual(await loadConfig(directories({})), defaultConfig);
});

test('later files win, key by key', async () => {
  const paths = directories({
    'lib/10.yaml': 'hook: {unreachable: refuse}\nholders-seconds: 1\n',
    'etc/revived.yaml':
      'holders-seconds: 2\ncards:\n  "0b:00": {ladder: [bus], force: true}\ndomains: {win: {guest-reboot: cold, after-driver-install: auto}}\nreboot: {grace-seconds: 5}\n',
    'etc/conf.d/20.yaml':
      'cards:\n  "0000:0b:00": {reset-method: "flr bus"}\ndomains:\n  win: {managed: false, restart: on-crash, on-refusal: save}\n',
  });
  const config = await loadConfig(paths);
  assert.equal(config.hookUnreachable, 'refuse');
  assert.equal(config.holdersSeconds, 2);
  const card = parseCardAddress('0b:00');
  assert.ok(card !== undefined);
  assert.deepEqual(config.cards.get(card), {
    ladder: ['bus'],
    force: true,
    resetMethod: 'flr bus',
  });
  assert.deepEqual([...config.unmanagedDomains], ['win']);
  assert.deepEqual(config.domains.get('win'), {
    guestReboot: 'cold',
    restart: 'on-crash',
    afterDriverInstall: 'auto',
    onRefusal: 'save',
  });
  assert.deepEqual([config.rebootGraceSeconds, config.rebootShutdownSeconds], [5, 180]);
});

const wrong: readonly (readonly [string, string, RegExp])[] = [
  ['broken YAML', 'hook: [\n', /revived\.yaml:\d+: /],
  [
    'an unknown key',
    'holders-seconds: 1\nhok: {}\n',
    /revived\.yaml:2: hok must NOT have additional properties/,
  ],
  [
    'an unknown word',
    'hook:\n  unreachable: maybe\n',
    /revived\.yaml:2: hook\.unreachable .*\(allow, refuse\)/,
  ],
  [
    'a rung that does not exist',
    'cards:\n  "0b:00":\n    ladder: [magic]\n',
    /revived\.yaml:3: cards\..*ladder/,
  ],
  ['a force that is no truth', 'cards:\n  "0b:00": {force: maybe}\n', /force must be boolean/],
  [
    'a number out of range',
    'prepare-revive-seconds: 100000\n',
    /revived\.yaml:1: prepare-revive-seconds must be <= 110/,
  ],
  ['an alias bomb', 'a: &a [x,x]\nb: &b [*a,*a]\nhook: *b\n', /./],
  ['a list', '- 1\n', /must be object/],
];

for (const [name, text, message] of wrong) {
  test(`${name} is refused with its place`, async () => {
    await assert.rejects(loadConfig(directories({ 'etc/revived.yaml': text })), (error: Error) => {
      assert.match(error.message, message);
      return true;
    });
  });
}

test('a file that is too big is refused', async () => {
  const paths = directories({ 'etc/revived.yaml': `# ${'x'.repeat(300 * 1024)}` });
  await assert.rejects(loadConfig(paths), { code: 'invalid-argument' });
});
