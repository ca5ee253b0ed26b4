/** Takes out of texts what tells who and where a host is: the same thing gets the same stand-in everywhere. Pure. */

export interface Masker {
  /** The text with stand-ins. */
  text(raw: string): string;
  /** How many different things got a stand-in, by kind. */
  counts(): Readonly<Record<MaskedKind, number>>;
}

type MaskedKind = 'uuid' | 'mac' | 'serial' | 'user' | 'host';

export interface MaskOptions {
  /** Names of people's accounts. */
  readonly users: readonly string[];
  readonly host: string | undefined;
  /** Words that mean something to doctor: a name that is one of them is masked in paths of home folders only. */
  readonly words: ReadonlySet<string>;
}

const uuidForm = /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi;
const macForm = /(?<![0-9a-f:])(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?![0-9a-f:])/gi;
// <serial>, sysinfo's entries, -smbios and -device arguments, the kernel's "SerialNumber: ", World Wide Names.
const serialForms: readonly RegExp[] = [
  /(?<=<serial>)[^<]+(?=<\/serial>)/g,
  /(?<=<wwn>)[^<]+(?=<\/wwn>)/g,
  /(?<=<entry\s+name=['"](?:serial|asset)['"]\s*>)[^<]+(?=<)/g,
  /(?<=\b(?:serial|asset)=)[^\s,'"&<]+/g,
  /(?<=\bSerialNumber: )\S.*$/gm,
  /\b(?:eui|naa|nvme|wwn)[.-](?:0x)?[0-9a-f]{16,32}\b/g,
];
const secretForm = /(?<=\spasswd\s*=\s*)(?:'[^']*'|"[^"]*")/g;

/** A masker with its own stand-ins; they are counted in the order in which things come. */
export function createMasker({ users, host, words }: MaskOptions): Masker {
  const known = new Map<MaskedKind, Map<string, string>>();
  const standIn = (kind: MaskedKind, raw: string, made: (number: number) => string): string => {
    const own = known.get(kind) ?? new Map<string, string>();
    known.set(kind, own);
    const text = own.get(raw) ?? made(own.size + 1);
    own.set(raw, text);
    return text;
  };
  const hex = (number: number, width: number) => number.toString(16).padStart(width, '0');
  const user = (raw: string) => standIn('user', raw, (number) => `user${number}`);
  const names = users.filter((name) => name.length > 2 && !words.has(name));
  const userForm = wordForm(names);
  const hostForm =
    host === undefined
      ? null
      : wordForm(
          [host, host.split('.')[0] ?? ''].filter((one) => one.length > 2 && !words.has(one)),
        );
  return {
    text(raw) {
      let text = raw
        .replace(secretForm, "'masked'")
        .replace(uuidForm, (one) =>
          standIn(
            'uuid',
            one.toLowerCase(),
            (number) => `00000000-0000-4000-8000-${hex(number, 12)}`,
          ),
        )
        .replace(macForm, (one) =>
          standIn(
            'mac',
            one.toLowerCase(),
            (number) => `52:54:00:00:${hex(number >> 8, 2)}:${hex(number & 255, 2)}`,
          ),
        )
        .replace(/(?<=\/home\/)[^/\s'"<>&]+/g, user);
      for (const form of serialForms) {
        text = text.replace(form, (one) => standIn('serial', one, (number) => `SERIAL${number}`));
      }
      if (userForm !== null) text = text.replace(userForm, user);
      return hostForm === null
        ? text
        : text.replace(hostForm, (one) => standIn('host', one, () => 'host'));
    },
    counts() {
      const count = (kind: MaskedKind) => known.get(kind)?.size ?? 0;
      return {
        ...{ uuid: count('uuid'), mac: count('mac'), serial: count('serial') },
        ...{ user: count('user'), host: count('host') },
      };
    },
  };
}

function wordForm(names: readonly string[]): RegExp | null {
  if (names.length === 0) return null;
  const escaped = names.map((name) => name.replaceAll(/[^\w]/g, '\\$&'));
  return new RegExp(`(?<![\\w])(?:${escaped.join('|')})(?![\\w])`, 'g');
}
