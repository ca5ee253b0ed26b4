/** The quirk data: right by its schema, and free of what a schema cannot see (ids twice, rungs that do not exist, ...). */
import { Ajv, type ValidateFunction } from 'ajv';
import { deviceRanges } from '../../daemon/pci/device-ranges.ts';
import { isRungName } from '../../daemon/pci/rung-name.ts';
import type { Rule } from './tree.ts';

const folder = 'daemon/pci/quirks/';
const schemaPath = `${folder}schema.json`;
const readerPath = 'daemon/pci/quirks.ts';
/** The widest block of a generation of NVIDIA; a wider range is a slip. */
const widest = 0x280;

interface FamilyData {
  readonly id: string;
  readonly kind: string;
  readonly vendor: string;
  readonly devices: string;
  readonly ladder: string;
  readonly never?: readonly { readonly rungs: string }[];
  readonly resetAfter: string;
  readonly deviceSpecific?: { readonly devices: string };
  readonly driverReset?: object;
  readonly hazards?: readonly { readonly kind: string; readonly some?: true }[];
  readonly cardSwitch?: true;
  readonly uefiOnly?: true;
  readonly hideKvm?: true;
}

interface FamiliesData {
  readonly families: readonly FamilyData[];
}

export const quirksRule: Rule = (tree) => {
  const schema = parsed(tree.get(schemaPath) ?? '');
  if (typeof schema !== 'object' || schema === null) return [`${schemaPath}: missing or no JSON`];
  const valid = checkOf(tree.get(schemaPath) ?? '', schema);
  const paths = [...tree.keys()].filter((path) => path.startsWith(folder) && path !== schemaPath);
  const complaints: string[] = [];
  const all: FamilyData[] = [];
  for (const path of paths) {
    const name = path.slice(folder.length);
    if (!(tree.get(readerPath) ?? '').includes(`./quirks/${name}`)) {
      complaints.push(`${path}: ${readerPath} does not read it`);
    }
    const value = parsed(tree.get(path) ?? '');
    if (valid(value)) {
      all.push(...value.families);
      complaints.push(...value.families.flatMap((one) => lint(one).map((it) => `${path}: ${it}`)));
    } else {
      for (const error of valid.errors ?? [])
        complaints.push(`${path}: ${error.instancePath || 'the file'} ${error.message ?? ''}`);
    }
  }
  return [...complaints, ...twice(all)];
};

// To compile it takes longer than all else here, and it is the same each time.
const checks = new Map<string, ValidateFunction<FamiliesData>>();
function checkOf(text: string, schema: object): ValidateFunction<FamiliesData> {
  const known = checks.get(text);
  const check = known ?? new Ajv({ allErrors: true, strict: true }).compile<FamiliesData>(schema);
  checks.set(text, check);
  return check;
}

function lint(family: FamilyData): readonly string[] {
  const { id } = family;
  const ladder = family.ladder.split(' ');
  const never = (family.never ?? []).flatMap(({ rungs }) => rungs.split(' '));
  const complaints: string[] = [];
  const when = (wrong: boolean, what: string) => {
    if (wrong) complaints.push(`${id}: ${what}`);
  };
  for (const name of [...ladder, ...never]) when(!isRungName(name), `there is no rung ${name}`);
  when(new Set(ladder).size !== ladder.length, 'a rung stands twice in its ladder');
  when(new Set(never).size !== never.length, 'a rung is forbidden twice');
  for (const name of never) when(ladder.includes(name), `${name} is in its ladder and forbidden`);
  when(ladder.at(-1) !== 'reboot-host', 'its ladder does not end with reboot-host');
  when(
    ladder.includes('amdgpu') !== (family.driverReset !== undefined),
    'amdgpu is in the ladder of those that have a driverReset, and of no others',
  );
  when(
    family.resetAfter === 'every-guest' && !ladder.some((name) => gentle.has(name)),
    'a reset is due after every guest, but its ladder has none for a healthy card',
  );
  const hazards = family.hazards ?? [];
  const kinds = hazards.map(({ kind }) => kind);
  when(new Set(kinds).size !== kinds.length, 'it has two hazards of one kind');
  for (const { kind, some } of hazards) {
    const rung = deadlyRungs.get(kind);
    when(
      some === undefined && rung !== undefined && ladder.includes(rung),
      `${rung} is in its ladder, and a hazard of every one of them`,
    );
  }
  when(
    family.kind !== 'gpu' && (family.cardSwitch ?? family.uefiOnly ?? family.hideKvm) === true,
    'cardSwitch, uefiOnly and hideKvm are for graphics cards',
  );
  const own = idsOf(family.devices);
  const specific = family.deviceSpecific === undefined ? [] : idsOf(family.deviceSpecific.devices);
  if (typeof own === 'string' || typeof specific === 'string') {
    return [...complaints, ...[own, specific].filter((it) => typeof it === 'string')];
  }
  when(
    specific.some((one) => !own.includes(one)),
    'deviceSpecific has ids that the family has not',
  );
  when(
    specific.length > 0 && !ladder.includes('device_specific'),
    'it has deviceSpecific, but no such rung in its ladder',
  );
  return complaints;
}

/** The rung that is the hazard of that kind. */
const deadlyRungs: ReadonlyMap<string, string> = new Map([
  ['bus-reset', 'bus'],
  ['flr', 'flr'],
  ['d3cold', 'd3cold'],
]);

const gentle: ReadonlySet<string> = new Set(['device_specific', 'flr', 'af_flr', 'acpi']);

/** Ids and families that stand in the data more than once. */
function twice(all: readonly FamilyData[]): readonly string[] {
  const complaints: string[] = [];
  const names = new Set<string>();
  const owners = new Map<string, string>();
  for (const family of all) {
    if (names.has(family.id)) complaints.push(`${family.id}: two families are called so`);
    names.add(family.id);
    const ids = idsOf(family.devices);
    for (const id of typeof ids === 'string' ? [] : ids) {
      const key = `${family.vendor}:${id.toString(16).padStart(4, '0')}`;
      const owner = owners.get(key);
      if (owner !== undefined) complaints.push(`${family.id}: ${key} is in ${owner} as well`);
      owners.set(key, family.id);
    }
  }
  return complaints;
}

// All ids of a list, or what is wrong with it.
function idsOf(devices: string): readonly number[] | string {
  try {
    const ranges = deviceRanges(devices);
    const wide = ranges.find(([from, to]) => to - from >= widest);
    if (wide !== undefined) return `${devices}: a range is wider than ${widest} ids`;
    return ranges.flatMap(([from, to]) =>
      Array.from({ length: to - from + 1 }, (_, n) => from + n),
    );
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // said by who asked: it fits no schema
  }
}
