/**
 * Which display drivers Windows has, asked through its guest agent: from the registry, where the names of keys and values are
 * the same in every language, and in full from WMI. `guest-get-devices` cannot see a graphics card (facts/libvirt.md 6.1).
 * The command lines are from Microsoft's documentation of `reg query` and Win32_VideoController. Pure.
 */

/** A display driver that is installed for devices of these ids. */
export interface DisplayDriver {
  /** Lower case hex, four digits each. */
  readonly vendor: string;
  readonly device: string;
  /** `31.0.21921.1000`; empty for Windows' own basic driver. */
  readonly version: string;
}

interface GuestProgram {
  readonly path: string;
  readonly args: readonly string[];
}

/** GUID_DEVCLASS_DISPLAY (devguid.h). */
const displayClass = '{4d36e968-e325-11ce-bfc1-08002be10318}';
const classKey = `HKLM\\SYSTEM\\CurrentControlSet\\Control\\Class\\${displayClass}`;

/** What is asked of the registry; both answers belong together. Without /v it would be all settings of all drivers. */
export const registryQueries: readonly GuestProgram[] = ['MatchingDeviceId', 'DriverVersion'].map(
  (value) => ({ path: 'reg.exe', args: ['query', classKey, '/s', '/v', value] }),
);

/** What is asked of WMI: present devices only, but it takes seconds and a PowerShell. */
export const wmiQuery: GuestProgram = {
  path: 'powershell.exe',
  args: [
    '-NoProfile',
    '-NonInteractive',
    '-Command',
    'Get-CimInstance Win32_VideoController | Select-Object PNPDeviceID,DriverVersion,InfFilename | ConvertTo-Json -Compress',
  ],
};

const maxDrivers = 64;
const maxLines = 10_000;
const versionPattern = /^[0-9][0-9A-Za-z.-]{0,39}$/;
const idPattern = /^pci\\ven_([0-9a-f]{4})&dev_([0-9a-f]{4})(?:&|$)/i;
// `HKEY_LOCAL_MACHINE\...\{class}\0000`: one subkey per driver; deeper ones are its settings.
const keyPattern = new RegExp(`^HKEY_LOCAL_MACHINE\\\\.*\\\\\\${displayClass}\\\\(\\d{4})$`, 'i');
const valuePattern = /^ +(MatchingDeviceId|DriverVersion) +REG_SZ +(\S+)$/i;
/** The inf of Windows' own basic driver. */
const basicInf = 'display.inf';

interface RegistryEntry {
  id?: string;
  version?: string;
}

/**
 * The drivers in what `reg.exe query` wrote to each query; whatever else is in it is passed over. Undefined where an output
 * shows no driver at all (Windows always has one) or a driver without its version: then nothing is known.
 */
export function driversInRegistry(
  outputs: readonly string[],
): readonly DisplayDriver[] | undefined {
  const entries = new Map<string, RegistryEntry>();
  for (const out of outputs) {
    if (!readRegistry(out, entries)) return undefined;
  }
  const drivers: DisplayDriver[] = [];
  for (const { id, version } of entries.values()) {
    if (id === undefined || !idPattern.test(id)) continue;
    const driver = driverOf(id, version);
    if (driver === undefined) return undefined;
    drivers.push(driver);
  }
  return drivers;
}

function readRegistry(out: string, entries: Map<string, RegistryEntry>): boolean {
  let entry: RegistryEntry | undefined;
  let seen = false;
  for (const line of out.split(/\r?\n/, maxLines)) {
    if (!line.startsWith(' ')) {
      const key = keyPattern.exec(line.trimEnd())?.[1];
      entry = key === undefined ? undefined : (entries.get(key) ?? {});
      if (key === undefined || entry === undefined || entries.size >= maxDrivers) continue;
      entries.set(key, entry);
      seen = true;
      continue;
    }
    const [, name, value] = valuePattern.exec(line.trimEnd()) ?? [];
    if (entry === undefined || name === undefined || value === undefined) continue;
    if (name.toLowerCase() === 'driverversion') entry.version = value;
    else entry.id = value;
  }
  return seen;
}

/** The drivers in what PowerShell wrote; undefined where that is no list of display adapters. */
export function driversInWmi(out: string): readonly DisplayDriver[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(out);
  } catch {
    return undefined;
  }
  // One adapter is an object, several are a list.
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length > maxDrivers) return undefined;
  const drivers: DisplayDriver[] = [];
  for (const one of list) {
    if (typeof one !== 'object' || one === null) return undefined;
    if (!('PNPDeviceID' in one && 'DriverVersion' in one)) return undefined;
    const { PNPDeviceID: id, DriverVersion: version } = one;
    if (typeof id !== 'string' || !idPattern.test(id)) continue;
    const isBasic = 'InfFilename' in one && one.InfFilename === basicInf;
    const driver = driverOf(id, isBasic ? '' : version);
    if (driver === undefined) return undefined;
    drivers.push(driver);
  }
  return drivers;
}

function driverOf(id: string, version: unknown): DisplayDriver | undefined {
  const [, vendor, device] = idPattern.exec(id) ?? [];
  if (vendor === undefined || device === undefined || typeof version !== 'string') return undefined;
  if (version !== '' && !versionPattern.test(version)) return undefined;
  return { vendor: vendor.toLowerCase(), device: device.toLowerCase(), version };
}

/**
 * The version for a card by its id (`1002:731f`); empty when it has no driver of its own; undefined when the list has several
 * for it: what a driver has left in the registry, or two cards of a kind.
 */
export function versionFor(id: string, drivers: readonly DisplayDriver[]): string | undefined {
  const own = drivers.filter(({ vendor, device }) => `${vendor}:${device}` === id);
  const versions = new Set(own.map(({ version }) => version));
  return versions.size > 1 ? undefined : ([...versions][0] ?? '');
}
