/** The id of this machine, for Peer.GetMachineId: machine-id(5), 32 hex digits. */
import { readFileSync } from 'node:fs';
import { RevivedError } from '../errors.ts';

const files = ['/etc/machine-id', '/var/lib/dbus/machine-id'];

/** Throws `not-found` where the machine has none (early boot). */
export function machineId(): string {
  for (const file of files) {
    const id = contentOf(file).trim();
    if (/^[0-9a-f]{32}$/.test(id)) return id;
  }
  throw new RevivedError(
    'not-found',
    'This machine has no id yet.',
    'See systemd-machine-id-setup(1).',
  );
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // the next file is tried
  }
}
