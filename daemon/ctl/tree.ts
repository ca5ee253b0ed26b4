/** The daemon's object tree as ObjectManager gives it, kept up to date by its signals, and decoded into views. */
import { isRecord } from '../record.ts';
import type { Signal } from './client.ts';
import type { Text } from './printable.ts';
import {
  type Card,
  cardPrefix,
  type Dict,
  type Domain,
  decodeCard,
  decodeDomain,
  decodeJob,
  decodeManager,
  domainPrefix,
  type Job,
  jobPrefix,
  type Manager,
} from './shapes.ts';

/** Object path -> interface -> properties. */
export type Objects = Readonly<Record<string, Readonly<Record<string, Dict>>>>;

/** All that the daemon shows, in a stable order. This is what `status --json` prints. */
export interface Snapshot {
  readonly manager: Manager;
  readonly cards: readonly Card[];
  readonly domains: readonly Domain[];
  readonly jobs: readonly Job[];
}

export const managerPath = '/org/revived';
export const managerInterface = 'org.revived1.Manager';
export const cardInterface = 'org.revived1.Card';
const domainInterface = 'org.revived1.Domain';
export const jobInterface = 'org.revived1.Job';

/** Decodes the tree: cards by address, domains by name, jobs by number. */
export function snapshotOf(objects: Objects, text: Text): Snapshot {
  const below = (prefix: string, name: string) =>
    Object.entries(objects).flatMap(([path, interfaces]) => {
      const properties = interfaces[name];
      return path.startsWith(prefix) && properties !== undefined ? [{ path, properties }] : [];
    });
  return {
    manager: decodeManager(objects[managerPath]?.[managerInterface], text),
    cards: below(cardPrefix, cardInterface)
      .map(({ path, properties }) => decodeCard(path, properties, text))
      .sort((a, b) => order(a.address, b.address)),
    domains: below(domainPrefix, domainInterface)
      .map(({ path, properties }) => decodeDomain(path, properties, text))
      .sort((a, b) => order(a.name, b.name) || order(a.uuid, b.uuid)),
    jobs: below(jobPrefix, jobInterface)
      .map(({ path, properties }) => decodeJob(path, properties, text))
      .sort((a, b) => a.id - b.id),
  };
}

/** The tree after a signal of the daemon; the same tree where the signal does not change it. */
export function applySignal(objects: Objects, signal: Signal): Objects {
  const [first, second] = signal.args;
  switch (`${signal.interface}.${signal.member}`) {
    case 'org.freedesktop.DBus.Properties.PropertiesChanged': {
      if (typeof first !== 'string' || !isRecord(second)) return objects;
      const interfaces = objects[signal.path];
      // A straggler about an object that is gone must not bring half of it back.
      if (interfaces?.[first] === undefined) return objects;
      const properties = { ...interfaces[first], ...second };
      return { ...objects, [signal.path]: { ...interfaces, [first]: properties } };
    }
    case 'org.freedesktop.DBus.ObjectManager.InterfacesAdded':
      if (typeof first !== 'string' || !isRecord(second)) return objects;
      return { ...objects, [first]: { ...objects[first], ...interfacesOf(second) } };
    case 'org.freedesktop.DBus.ObjectManager.InterfacesRemoved': {
      if (typeof first !== 'string' || !Array.isArray(second)) return objects;
      const gone: readonly unknown[] = second;
      const left = Object.entries(objects[first] ?? {}).filter(([name]) => !gone.includes(name));
      const others = Object.entries(objects).filter(([path]) => path !== first);
      return Object.fromEntries(
        left.length === 0 ? others : [...others, [first, Object.fromEntries(left)]],
      );
    }
    default:
      return objects;
  }
}

/** `a{oa{sa{sv}}}` as it came, with what is no dictionary left out. */
export function objectsOf(reply: unknown): Objects {
  if (!isRecord(reply)) return {};
  return Object.fromEntries(
    Object.entries(reply).map(([path, value]) => [
      path,
      isRecord(value) ? interfacesOf(value) : {},
    ]),
  );
}

function interfacesOf(value: Dict): Record<string, Dict> {
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, properties]) =>
      isRecord(properties) ? [[name, properties]] : [],
    ),
  );
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
