/** Text that data cannot use to act on a terminal or a log: domain names are chosen by whoever may define a domain. */

// C0, DEL, C1 (0x9b is a CSI to some terminals), line separators, and the bidirectional controls of Unicode.
const hostile =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Control characters as `\uXXXX`, so that data cannot act on the terminal. */
export function printable(raw: string): string {
  return raw.replaceAll(hostile, escaped);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
