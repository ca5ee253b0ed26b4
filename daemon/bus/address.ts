/** Addresses of a message bus, as in `DBUS_SYSTEM_BUS_ADDRESS` (D-Bus specification, "Server Addresses"). */
import { RevivedError } from '../errors.ts';

const systemDefault = 'unix:path=/run/dbus/system_bus_socket';

/** The address of the system bus for this environment. */
export function systemBusAddress(env: Readonly<Record<string, string | undefined>>): string {
  const set = env['DBUS_SYSTEM_BUS_ADDRESS'];
  return set === undefined || set === '' ? systemDefault : set;
}

/**
 * The sockets that an address names, in order, in the spelling of net.connect (an abstract one starts with NUL).
 * Only `unix:path=` and `unix:abstract=` are known; throws `invalid-argument` where nothing usable is left.
 */
export function socketsOf(address: string): readonly string[] {
  const sockets: string[] = [];
  for (const entry of address.split(';')) {
    if (!entry.startsWith('unix:')) continue;
    for (const pair of entry.slice('unix:'.length).split(',')) {
      const [key, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
      if (key === 'path') sockets.push(unescaped(value));
      if (key === 'abstract') sockets.push(`\0${unescaped(value)}`);
    }
  }
  if (sockets.length === 0) {
    throw new RevivedError(
      'invalid-argument',
      `The bus address "${address}" names no unix socket.`,
      'Set DBUS_SYSTEM_BUS_ADDRESS to unix:path=/run/dbus/system_bus_socket, or unset it.',
    );
  }
  return sockets;
}

// Every byte may stand as %XX.
function unescaped(value: string): string {
  return value.replaceAll(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
