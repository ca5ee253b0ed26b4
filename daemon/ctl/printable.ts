/**
 * Text of the daemon made safe for a terminal. Domain names are chosen by whoever may define a domain, and evidence
 * quotes the kernel log: neither may move the cursor, forge a line or turn the reading order round.
 */
import { printable } from '../printable.ts';

export { printable } from '../printable.ts';

/** How a string of the daemon is shown: as it is (JSON) or as `printable` (people). */
export type Text = (raw: string) => string;

/** JSON text that is safe to show too: what JSON itself leaves bare (C1, bidirectional) is escaped; it parses to the same value. */
export function jsonText(value: unknown, indent: number): string {
  // The line feeds of an indented text are ours; JSON.stringify has escaped those inside of strings.
  return JSON.stringify(value, null, indent)
    .split('\n')
    .map((line) => printable(line))
    .join('\n');
}

/** The first `width` code points; a longer text ends in an ellipsis. */
export function cut(text: string, width: number): string {
  const points = [...text];
  return points.length <= width ? text : `${points.slice(0, Math.max(width - 1, 0)).join('')}…`;
}
