/** The views of the service as bus objects. Nothing is kept: each question reads the views as they are now. */
import type { Change, Service } from '../pipeline/service.ts';
import { bindCard } from './cards.ts';
import { bindDomain } from './domains.ts';
import { bindJob } from './jobs.ts';
import { bindManager } from './manager.ts';
import type { BoundInterface, Caller, Value } from './members.ts';
import { cardPath, domainPath, jobPath, managerPath } from './object-path.ts';
import type { InterfaceName } from './table.ts';
import type { Dict } from './variant.ts';

/** One object; it has one interface of ours. */
export interface BusObject {
  readonly path: string;
  readonly interface: InterfaceName;
  property(name: string): Value | undefined;
  properties(): Readonly<Record<string, Value>>;
  /** The same as `a{sv}`. */
  dict(): Dict;
  method(
    name: string,
  ): ((body: readonly unknown[], caller: Caller) => Promise<readonly Value[]>) | undefined;
}

export type ObjectKind = Change['kind'];

/** The order in which objects are announced. */
export const objectKinds: readonly ObjectKind[] = ['manager', 'card', 'domain', 'job'];

export interface Objects {
  list(kind: ObjectKind): readonly BusObject[];
  find(path: string): BusObject | undefined;
  /** Paths of all objects. */
  paths(): readonly string[];
}

/** The objects of a service; `spool` is where its hook puts domain XML. */
export function createObjects(service: Service, spool: string): Objects {
  const manager = bindManager(service, spool);
  const card = bindCard(service);
  const domain = bindDomain();
  const job = bindJob(service);

  const lists = {
    manager: () => [busObject(managerPath, manager, service.manager())],
    card: () => service.cards().map((view) => busObject(cardPath(view.address), card, view)),
    domain: () => service.domains().map((view) => busObject(domainPath(view.uuid), domain, view)),
    job: () => service.jobs().map((view) => busObject(jobPath(view.id), job, view)),
  } satisfies Record<ObjectKind, () => readonly BusObject[]>;

  return {
    list: (kind) => lists[kind](),
    find(path) {
      const kind = kindOf(path);
      return kind === undefined ? undefined : lists[kind]().find((object) => object.path === path);
    },
    paths: () => objectKinds.flatMap((kind) => lists[kind]().map((object) => object.path)),
  };
}

/** The path of the object that a change is about. */
export function pathOfChange(change: Change): string {
  switch (change.kind) {
    case 'manager':
      return managerPath;
    case 'card':
      return cardPath(change.address);
    case 'domain':
      return domainPath(change.uuid);
    case 'job':
      return jobPath(change.id);
  }
}

function kindOf(path: string): ObjectKind | undefined {
  if (path === managerPath) return 'manager';
  if (path.startsWith(`${managerPath}/cards/`)) return 'card';
  if (path.startsWith(`${managerPath}/domains/`)) return 'domain';
  return path.startsWith(`${managerPath}/jobs/`) ? 'job' : undefined;
}

function busObject<View>(path: string, bound: BoundInterface<View>, view: View): BusObject {
  return {
    path,
    interface: bound.name,
    property: (name) => bound.property(name, view),
    properties: () => bound.properties(view),
    dict: () => bound.dict(view),
    method(name) {
      const run = bound.method(name);
      return run === undefined ? undefined : (body, caller) => run(view, body, caller);
    },
  };
}
