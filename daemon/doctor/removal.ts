/** Fixes that take something out of a domain. Pure. */
import type { FunctionAddress } from '../pci/address.ts';
import type { DomainEdit, Fix } from './finding.ts';
import type { Message } from './message.ts';

/** Takes the hostdev of a function out of the domain of that name. */
export function removeHostdev(domain: string, hostdev: FunctionAddress): Fix {
  return removal(
    domain,
    { op: 'remove-hostdev', hostdev },
    { en: 'remove the hostdev from the domain', ja: 'hostdev をドメインから削除します' },
  );
}

/** Takes <rom> out of the hostdev of a function. */
export function removeRom(domain: string, hostdev: FunctionAddress): Fix {
  return removal(
    domain,
    { op: 'remove-rom', hostdev },
    { en: 'remove <rom> from this hostdev', ja: 'この hostdev の <rom> を削除します' },
  );
}

function removal(domain: string, edit: DomainEdit, description: Message): Fix {
  return { kind: 'domain-xml', domain, description, edits: [edit] };
}
