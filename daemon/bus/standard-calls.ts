/** The answers of the standard interfaces. They only read, so they are given at once and to everybody. */
import { RevivedError } from '../errors.ts';
import type { IncomingCall } from './connection.ts';
import { nodeXml } from './introspection.ts';
import { machineId } from './machine-id.ts';
import type { Value } from './members.ts';
import { childrenOf, managerPath, nodesOf } from './object-path.ts';
import { type BusObject, type Objects, objectKinds } from './objects.ts';
import { isStandardName, type StandardName, standardNamesOf, standardSpec } from './standard.ts';
import { entryOf, interfaceSpec } from './table.ts';
import { type Dict, variant } from './variant.ts';

export interface Answer {
  readonly signature: string;
  readonly body: readonly unknown[];
}

/**
 * Answers a call of a standard method. Throws a RevivedError with the code that the specification has for it:
 * `unknown-object`, `unknown-interface`, `unknown-property`, `read-only`.
 */
export function answerStandard(objects: Objects, name: StandardName, call: IncomingCall): Answer {
  const answer = (body: readonly unknown[]): Answer => {
    const out = entryOf(standardSpec(name).methods, call.member)?.out ?? [];
    return { signature: out.map((arg) => arg.signature).join(''), body };
  };
  switch (name) {
    case 'org.freedesktop.DBus.Peer':
      return answer(call.member === 'GetMachineId' ? [machineId()] : []);
    case 'org.freedesktop.DBus.Introspectable':
      return answer([introspect(objects, call.path)]);
    case 'org.freedesktop.DBus.Properties':
      return answer(property(objectAt(objects, call.path), call));
    case 'org.freedesktop.DBus.ObjectManager':
      if (call.path !== managerPath) throw unknownInterface(call.path, name);
      return answer([managedObjects(objects)]);
  }
}

/** The object at a path. Throws `unknown-object`. */
export function objectAt(objects: Objects, path: string): BusObject {
  const object = objects.find(path);
  if (object !== undefined) return object;
  throw new RevivedError('unknown-object', `There is no object ${path}.`);
}

/** The error for an interface that an object does not have. */
export function unknownInterface(path: string, name: string): RevivedError {
  return new RevivedError('unknown-interface', `The object ${path} has no interface ${name}.`);
}

function introspect(objects: Objects, path: string): string {
  const nodes = nodesOf(objects.paths());
  if (!nodes.has(path)) throw new RevivedError('unknown-object', `There is no object ${path}.`);
  const object = objects.find(path);
  return nodeXml({
    interface: object?.interface,
    standard: standardNamesOf({ isObject: object !== undefined, isRoot: path === managerPath }),
    children: childrenOf(path, nodes),
  });
}

function property(object: BusObject, call: IncomingCall): readonly unknown[] {
  const [wanted, name] = call.body();
  if (typeof wanted !== 'string') throw unknownInterface(object.path, '');
  // The specification lets an empty name stand for any interface; each object has one of ours.
  const own = wanted === '' || wanted === object.interface;
  if (!own && !isStandardName(wanted)) throw unknownInterface(object.path, wanted);
  if (call.member === 'GetAll') return [own ? object.dict() : {}];

  const key = typeof name === 'string' ? name : '';
  const value: Value | undefined = own ? object.property(key) : undefined;
  const spec = entryOf(interfaceSpec(object.interface).properties, key);
  if (value === undefined || spec === undefined) {
    throw new RevivedError('unknown-property', `${object.path} has no property ${key}.`);
  }
  if (call.member === 'Set') {
    throw new RevivedError(
      'read-only',
      `The property ${key} cannot be written.`,
      'Call the method that changes it.',
    );
  }
  return [variant(spec.signature, value)];
}

// The specification: all below the manager, not itself.
function managedObjects(objects: Objects): Readonly<Record<string, Record<string, Dict>>> {
  const managed: Record<string, Record<string, Dict>> = {};
  for (const kind of objectKinds) {
    if (kind === 'manager') continue;
    for (const object of objects.list(kind)) {
      managed[object.path] = { [object.interface]: object.dict() };
    }
  }
  return managed;
}
