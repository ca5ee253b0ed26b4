/** Any character of Unicode, for properties over text. */
import fc from 'fast-check';

const surrogates = { from: 0xd800, count: 0x800 } as const;

/** The values of fast-check's `unit: 'binary'`; that one builds a table of a million characters first, for a second. */
export const anyCharacter = fc
  .nat(0x10ffff - surrogates.count)
  .map((n) => String.fromCodePoint(n < surrogates.from ? n : n + surrogates.count));
