/** A gaming guest as people have it: guest.xml is what libvirt 9.0 made of a usual virt-manager definition. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const guest = {
  name: 'win11',
  uuid: '8d5e7a52-6c1f-4b0e-9a43-0f2b6f6d1c11',
  /** The Polaris of the simulated desktop (test/sim/presets.ts): two functions, two hostdevs. */
  card: '0000:05:00',
} as const;

/** Its XML with the hostdevs. */
export function managedXml(): string {
  return readFileSync(
    fileURLToPath(new URL('../../../test/bench/guest.xml', import.meta.url)),
    'utf8',
  );
}

/** The same guest without a card. */
export function unmanagedXml(): string {
  return managedXml().replaceAll(/ *<hostdev [\s\S]*?<\/hostdev>\n/g, '');
}
