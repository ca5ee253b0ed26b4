/** What must not be done to a card on this kernel, because the host went down in it (invariant 8). */
import type { CardAddress } from '../pci/address.ts';
import { isFunctionAddress } from '../pci/address.ts';
import { idParts } from '../pci/device.ts';
import type { Host } from './host.ts';
import type { Quarantined } from './ledger.ts';

type Parts = Pick<Host, 'ledger' | 'kernel' | 'paths'>;

/** The entries for this card and the kernel that runs. Another card in the same slot starts afresh. */
function quarantineOf(host: Parts, card: CardAddress): readonly Quarantined[] {
  const entries = host.ledger
    .quarantine()
    .filter((entry) => entry.card === card && entry.kernel === host.kernel);
  if (entries.length === 0) return entries;
  const ids = idsIn(host.paths.sys, card);
  return entries.filter(({ id }) => id === '' || ids.length === 0 || ids.includes(id));
}

/** Why a rung or step is not done; undefined when it may be. */
export function quarantinedReason(
  host: Parts,
  card: CardAddress,
  kind: Quarantined['kind'],
  name: string,
): string | undefined {
  const found = quarantineOf(host, card).find((one) => one.kind === kind && one.name === name);
  return found === undefined
    ? undefined
    : `in quarantine: the host went down during it on this kernel (${host.kernel}); revivectl quarantine clear ${card} allows it again`;
}

function idsIn(sys: string, card: CardAddress): readonly string[] {
  return Array.from({ length: 8 }, (_, number) => `${card}.${number}`)
    .filter(isFunctionAddress)
    .flatMap((address) => {
      const { vendor, device } = idParts(sys, address);
      return vendor === undefined || device === undefined ? [] : [`${vendor}:${device}`];
    });
}
