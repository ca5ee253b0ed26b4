/** One line of a log as it was captured: by dmesg, journalctl, a terminal, a paste. Nothing in it is trusted. */
import { type FunctionAddress, parseFunctionAddress } from '../pci/address.ts';

/** Longest piece of a line that is looked at in one go, in UTF-16 units. */
export const longestPiece = 8192;

// CSI and OSC sequences of ECMA-48: `dmesg --color`, journalctl on a terminal.
const escapeSequence =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken away
  /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-_])/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: a host that died leaves NULs in its log
const control = /[\u0000-\u0008\u000b-\u001f\u007f]/g;

/** The text of a line without colours, carriage returns and NULs. */
export function cleanLine(raw: string): string {
  return raw.replaceAll(escapeSequence, '').replaceAll(control, '');
}

/** Whether a line of `journalctl -o json` holds its message as numbers, where no hint can be found. */
export function hidesMessage(line: string): boolean {
  return line.startsWith('{') && /"MESSAGE"\s*:\s*\[/.test(line);
}

/** The message in a line of `journalctl -o json`; the line itself where it is none. */
export function messageOf(line: string): string {
  if (!line.startsWith('{')) return line;
  try {
    const entry: unknown = JSON.parse(line);
    if (typeof entry !== 'object' || entry === null || !('MESSAGE' in entry)) return line;
    const message = entry.MESSAGE;
    if (typeof message === 'string') return cleanLine(message);
    // Bytes, where the message holds something that is not printable (systemd.journal-fields(7), "Journal JSON Format").
    return Array.isArray(message) ? cleanLine(Buffer.from(message).toString('utf8')) : line;
  } catch {
    return line;
  }
}

const shapes: readonly RegExp[] = [
  // dmesg in its forms, also behind a log level `<6>` or `kern  :err   :`.
  /(?:^|[\s>])\[\s*(?:\+?\s*\d+\.\d+|[A-Z][a-z]{2} +(?:[A-Z][a-z]{2} +)?\d+ +\d+:\d+[^\]]*)\]/,
  // syslog, journalctl short; ISO 8601 of journalctl, libvirt and QEMU.
  /^(?:[A-Z][a-z]{2,4}|[a-z]{3}|\d+[月월]) +\d+ +\d+:\d{2}:\d{2}/,
  /^\[?\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}/,
  // /dev/kmsg without its prefix: `driver address: text`; and the programs that speak of devices.
  /^(?:<\d+>)?[\w-]+ (?:[0-9a-f]{4}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7]: /,
  /^(?:qemu(?:-[\w.-]+)?|kvm|libvirtd?|virtqemud|virsh|error|kernel|AMD-Vi|DMAR|NVRM|iommu|VFIO|vfio[_-]\w+|TASK (?:ERROR|OK)|\[drm\b)[^A-Za-z0-9]/,
  /^\{.*"(?:MESSAGE|__CURSOR|_TRANSPORT)"/,
];

/** Whether a line has the shape of one of a kernel, QEMU or libvirt log, whatever it says. */
export function looksLikeLog(line: string): boolean {
  return shapes.some((shape) => shape.test(line));
}

// Not the bridges in a sysfs path. A short address only in the brackets of DMAR or behind `device=` of AMD-Vi: `01:00.0` is a time too.
const full =
  /(?<![0-9a-f:])[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7](?!\d|\.\d|\/[0-9a-f]{4}:)/gi;
const short =
  /(?:device[= ]\[?|SID |host=|vfio-pci,host=|devid=)([0-9a-f]{2}:[01][0-9a-f]\.[0-7])(?!\d)/gi;
const underscored = /\bpci_([0-9a-f]{4,8})_([0-9a-f]{2})_([01][0-9a-f])_([0-7])\b/gi;
const nvidia = /\bPCI:([0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f])(?![0-9a-f.])/gi;

/** Most addresses that are taken from one line. */
const mostDevices = 8;

/** The functions that a line names, as sysfs spells them, in the order of the line. */
export function devicesIn(line: string): readonly FunctionAddress[] {
  const texts = [
    ...Array.from(line.matchAll(full), ([address]) => address),
    ...Array.from(line.matchAll(short), ([, address]) => address ?? ''),
    ...Array.from(line.matchAll(underscored), ([, a, b, c, d]) => `${a}:${b}:${c}.${d}`),
    // NVIDIA names the card; it drives function 0.
    ...Array.from(line.matchAll(nvidia), ([, card]) => `${card}.0`),
  ];
  const found = texts.map(parseFunctionAddress).filter((address) => address !== undefined);
  return [...new Set(found)].slice(0, mostDevices);
}
