/**
 * From changed views to signals: InterfacesAdded and -Removed, PropertiesChanged with what really changed, and
 * Completed of a job. Several changes of one object in one turn of the event loop become one signal.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Change } from '../pipeline/service.ts';
import type { Signal } from './connection.ts';
import type { Value } from './members.ts';
import { managerPath } from './object-path.ts';
import {
  type BusObject,
  type ObjectKind,
  type Objects,
  objectKinds,
  pathOfChange,
} from './objects.ts';
import { type InterfaceName, interfaceSpec } from './table.ts';
import { type Dict, variant } from './variant.ts';

export type Properties = Readonly<Record<string, Value>>;

/** What was last told about an object. */
interface Told {
  readonly kind: ObjectKind;
  readonly interface: InterfaceName;
  readonly properties: Properties;
}

export interface Changes {
  /** Marks an object; the signals follow at the end of this turn. */
  note(change: Change): void;
  /** Sends what is marked now: an answer must not be there before the object that it names. */
  flush(): void;
  close(): void;
}

/** Starts from the objects as they are: what is there already is not announced. What fails goes to `onError`. */
export function createChanges(
  objects: Objects,
  emit: (signal: Signal) => void,
  onError: (error: unknown) => void,
): Changes {
  const told = new Map<string, Told>();
  for (const kind of objectKinds) {
    for (const object of objects.list(kind)) told.set(object.path, toldOf(kind, object));
  }
  const dirty = new Map<string, ObjectKind>();
  let turn: NodeJS.Immediate | undefined;

  const flush = (): void => {
    clearImmediate(turn);
    turn = undefined;
    if (dirty.size === 0) return;
    const marked = new Map(dirty);
    dirty.clear();
    for (const kind of objectKinds) {
      const paths = new Set([...marked].filter(([, of]) => of === kind).map(([path]) => path));
      // The manager counts jobs, so it can change with everything.
      if (paths.size > 0 || kind === 'manager') guarded(() => update(kind, paths));
    }
  };

  // Runs from the event loop too, where a throw would end the process.
  const guarded = (run: () => void): void => {
    try {
      run();
    } catch (error) {
      onError(error);
    }
  };
  const update = (kind: ObjectKind, paths: ReadonlySet<string>): void => {
    const now = new Map(objects.list(kind).map((object) => [object.path, object]));
    for (const [path, before] of told) {
      // One that was pushed off a bounded list is gone without a change of its own.
      if (before.kind !== kind || now.has(path)) continue;
      told.delete(path);
      guarded(() => emit(removed(path, before.interface)));
    }
    for (const [path, object] of now) {
      const before = told.get(path);
      if (before !== undefined && kind !== 'manager' && !paths.has(path)) continue;
      const after = toldOf(kind, object);
      told.set(path, after);
      const signal =
        before === undefined ? added(object) : propertiesChanged(path, before, after.properties);
      if (signal !== undefined) guarded(() => emit(signal));
      const end = completed(path, before?.properties, after);
      if (end !== undefined) guarded(() => emit(end));
    }
  };

  return {
    note(change) {
      dirty.set(pathOfChange(change), change.kind);
      turn ??= setImmediate(flush);
    },
    flush,
    close() {
      clearImmediate(turn);
      dirty.clear();
    },
  };
}

/** The properties that differ, as `a{sv}`; empty where nothing did. `const` ones never change. */
export function changedProperties(
  name: InterfaceName,
  before: Properties,
  after: Properties,
): Dict {
  const changed: Record<string, Dict[string]> = {};
  for (const [property, { signature, emits }] of Object.entries(interfaceSpec(name).properties)) {
    const value = after[property];
    if (emits === 'const' || isDeepStrictEqual(before[property], value)) continue;
    changed[property] = variant(signature, value);
  }
  return changed;
}

function toldOf(kind: ObjectKind, object: BusObject): Told {
  return { kind, interface: object.interface, properties: object.properties() };
}

function propertiesChanged(path: string, before: Told, after: Properties): Signal | undefined {
  const changed = changedProperties(before.interface, before.properties, after);
  if (Object.keys(changed).length === 0) return undefined;
  return {
    path,
    interface: 'org.freedesktop.DBus.Properties',
    member: 'PropertiesChanged',
    signature: 'sa{sv}as',
    body: [before.interface, changed, []],
  };
}

function added(object: BusObject): Signal {
  return {
    path: managerPath,
    interface: 'org.freedesktop.DBus.ObjectManager',
    member: 'InterfacesAdded',
    signature: 'oa{sa{sv}}',
    body: [object.path, { [object.interface]: object.dict() }],
  };
}

function removed(path: string, name: InterfaceName): Signal {
  return {
    path: managerPath,
    interface: 'org.freedesktop.DBus.ObjectManager',
    member: 'InterfacesRemoved',
    signature: 'oas',
    body: [path, [name]],
  };
}

// Once per job: when it is seen to have left `running`, or is new and has already left it.
function completed(path: string, before: Properties | undefined, after: Told): Signal | undefined {
  if (after.kind !== 'job') return undefined;
  const state = after.properties['State'];
  if (state === 'running' || (before !== undefined && before['State'] !== 'running')) {
    return undefined;
  }
  return {
    path,
    interface: 'org.revived1.Job',
    member: 'Completed',
    signature: 'bs',
    body: [state === 'done', after.properties['Error']],
  };
}
