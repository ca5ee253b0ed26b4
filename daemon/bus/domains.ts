/** `org.revived1.Domain`: a libvirt domain that has, had or wants cards. It has no methods. */
import type { DomainView } from '../pipeline/service.ts';
import { type BoundInterface, bindInterface } from './members.ts';
import { cardPath } from './object-path.ts';
import { text } from './variant.ts';

/** The interface of domains. */
export function bindDomain(): BoundInterface<DomainView> {
  return bindInterface<'org.revived1.Domain', DomainView>(
    'org.revived1.Domain',
    {
      Uuid: (domain) => text(domain.uuid),
      Name: (domain) => text(domain.name),
      State: (domain) => text(domain.state),
      Cards: (domain) => domain.cards.map(cardPath),
      DriverVersion: (domain) => text(domain.driverVersion),
      RebootState: (domain) => text(domain.rebootState),
    },
    {},
  );
}
