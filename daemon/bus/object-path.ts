/** Where our objects are. Whatever a name contains, the path is a valid one: an invalid path costs us the connection. */
import { type CardAddress, pathElement } from '../pci/address.ts';

export const managerPath = '/org/revived';

/** The object path of a card. */
export function cardPath(address: CardAddress): string {
  return `${managerPath}/cards/${pathElement(address)}`;
}

/** The object path of a domain: its uuid with `_`. */
export function domainPath(uuid: string): string {
  return `${managerPath}/domains/${uuid.replaceAll(/[^A-Za-z0-9]/g, '_')}`;
}

/** The object path of a job. */
export function jobPath(id: number): string {
  return `${managerPath}/jobs/${Math.trunc(id)}`;
}

/** All nodes of the tree: the objects, and the nodes above them up to `/`. */
export function nodesOf(paths: readonly string[]): ReadonlySet<string> {
  const nodes = new Set<string>(['/']);
  for (const path of paths) {
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
      nodes.add(path.slice(0, end));
    }
  }
  return nodes;
}

/** Names of the nodes right below `path`, sorted. */
export function childrenOf(path: string, nodes: Iterable<string>): readonly string[] {
  const prefix = path === '/' ? '/' : `${path}/`;
  const names: string[] = [];
  for (const node of nodes) {
    const name = node.startsWith(prefix) ? node.slice(prefix.length) : '';
    if (name !== '' && !name.includes('/')) names.push(name);
  }
  return names.sort();
}
