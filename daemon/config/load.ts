/**
 * Loads revived.yaml and its drop-ins, in this order, later ones over earlier ones: /usr/lib/revived/conf.d/*.yaml,
 * /etc/revived/revived.yaml, /etc/revived/conf.d/*.yaml. Messages name file and line.
 */

import { RevivedError } from '../errors.ts';
import { readWhole } from '../host/atomic-file.ts';
import type { Paths } from '../paths.ts';
import { type CardAddress, parseCardAddress } from '../pci/address.ts';
import { isRungName, type RungName } from '../pci/rung-name.ts';
import { readNames } from '../sysfs/read.ts';
import { type CardConfig, type Config, type DomainSettings, defaultConfig } from './config.ts';
import type { ConfigFile } from './schema.ts';

const maxFileBytes = 256 * 1024;
const maxFiles = 128;

/** The configuration of the host. Rejects with `invalid-argument` naming file, line and key. */
export async function loadConfig(paths: Pick<Paths, 'config' | 'vendorConfig'>): Promise<Config> {
  const files = [
    ...yamlIn(paths.vendorConfig),
    `${paths.config}/revived.yaml`,
    ...yamlIn(`${paths.config}/conf.d`),
  ];
  let config = defaultConfig;
  for (const path of files.slice(0, maxFiles)) {
    const text = await readWhole(path, maxFileBytes).catch((error: unknown) => {
      throw wrong(path, undefined, error instanceof Error ? error.message : String(error));
    });
    if (text !== undefined) config = merge(config, await parse(path, text));
  }
  return config;
}

function yamlIn(directory: string): readonly string[] {
  return (readNames(directory) ?? [])
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => `${directory}/${name}`);
}

// yaml and ajv are loaded here only: a host without configuration starts without them.
async function parse(path: string, text: string): Promise<ConfigFile> {
  const { isMap, isScalar, LineCounter, parseDocument, visit } = await import('yaml');
  const { Ajv } = await import('ajv');
  const { schema } = await import('./schema.ts');
  const lines = new LineCounter();
  const lineOf = (node: unknown): number | undefined =>
    hasRange(node) ? lines.linePos(node.range[0]).line : undefined;
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const broken = document.errors[0];
  if (broken !== undefined) {
    throw wrong(path, lines.linePos(broken.pos[0]).line, broken.message.split('\n')[0] ?? '');
  }
  // An alias of an alias of an alias ... is a small file and a big value.
  visit(document, {
    Alias(_key, alias) {
      throw wrong(path, lineOf(alias), `the alias *${alias.source} is not allowed here`);
    },
  });
  const value: unknown = document.toJS({ maxAliasCount: 0 }) ?? {};
  const validate = new Ajv({ allErrors: false, strict: true }).compile<ConfigFile>(schema);
  if (validate(value)) return value;
  const error = validate.errors?.[0];
  const keys = pathOf(error?.instancePath ?? '');
  const parent: unknown = document.getIn(keys, true);
  // A key that is wrong itself: its own line, which is not always that of its value.
  const key: unknown = error?.params['additionalProperty'] ?? error?.propertyName;
  const pair = isMap(parent)
    ? parent.items.find((one) => isScalar(one.key) && one.key.value === key)
    : undefined;
  if (typeof key === 'string') keys.push(key);
  const allowed: unknown = error?.params['allowedValues'];
  const hint = Array.isArray(allowed) ? ` (${allowed.join(', ')})` : '';
  throw wrong(
    path,
    lineOf(pair?.key ?? parent),
    `${keys.join('.') || 'the file'} ${error?.message ?? 'is wrong'}${hint}`,
  );
}

// `/domains/a~1b` is a JSON pointer (RFC 6901).
function pathOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function merge(config: Config, file: ConfigFile): Config {
  const cards = new Map(config.cards);
  for (const [key, value] of Object.entries(file.cards ?? {})) {
    const address = parseCardAddress(key);
    if (address !== undefined) cards.set(address, cardConfig(cards, address, value));
  }
  const unmanaged = new Set(config.unmanagedDomains);
  const domains = new Map(config.domains);
  for (const [name, value] of Object.entries(file.domains ?? {})) {
    if (value.managed === false) unmanaged.add(name);
    if (value.managed === true) unmanaged.delete(name);
    domains.set(name, domainSettings(domains.get(name), value));
  }
  return {
    hookUnreachable: file.hook?.unreachable ?? config.hookUnreachable,
    holdersSeconds: file['holders-seconds'] ?? config.holdersSeconds,
    prepareReviveSeconds: file['prepare-revive-seconds'] ?? config.prepareReviveSeconds,
    suspend: file.suspend ?? config.suspend,
    cards,
    unmanagedDomains: unmanaged,
    domains,
    driverPollSeconds: file['driver-poll-seconds'] ?? config.driverPollSeconds,
    rebootGraceSeconds: file.reboot?.['grace-seconds'] ?? config.rebootGraceSeconds,
    rebootShutdownSeconds: file.reboot?.['shutdown-seconds'] ?? config.rebootShutdownSeconds,
  };
}

function cardConfig(
  cards: ReadonlyMap<CardAddress, CardConfig>,
  address: CardAddress,
  value: NonNullable<ConfigFile['cards']>[string],
): CardConfig {
  const ladder: readonly RungName[] | undefined = value.ladder?.filter(isRungName);
  return {
    ...cards.get(address),
    ...(ladder === undefined ? {} : { ladder }),
    ...(value.force === undefined ? {} : { force: value.force }),
    ...(value['reset-method'] === undefined ? {} : { resetMethod: value['reset-method'] }),
    ...(value['lend-keyboard'] === undefined ? {} : { lendKeyboard: value['lend-keyboard'] }),
    ...(value['reset-module'] === undefined ? {} : { resetModule: value['reset-module'] }),
  };
}

function domainSettings(
  before: DomainSettings | undefined,
  value: NonNullable<ConfigFile['domains']>[string],
): DomainSettings {
  const { 'after-driver-install': install, 'on-refusal': onRefusal } = value;
  return {
    ...before,
    ...(value['guest-reboot'] === undefined ? {} : { guestReboot: value['guest-reboot'] }),
    ...(value.restart === undefined ? {} : { restart: value.restart }),
    ...(install === undefined ? {} : { afterDriverInstall: install }),
    ...(onRefusal === undefined ? {} : { onRefusal }),
  };
}

function wrong(path: string, line: number | undefined, what: string): RevivedError {
  return new RevivedError(
    'invalid-argument',
    `${path}${line === undefined ? '' : `:${line}`}: ${what}.`,
    'Mend the file and run: systemctl reload revived',
  );
}

function hasRange(node: unknown): node is { readonly range: readonly [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range);
}
