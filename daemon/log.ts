/**
 * The daemon's log: pino to stderr, one line each with the `<N>` priority of sd-daemon(3) so that journald
 * files it by level. Plain text by default, JSON with REVIVED_LOG=json. Data is printed escaped: a domain
 * name with a newline cannot forge a line.
 */
import { pino } from 'pino';
import { printable } from './printable.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface Log {
  error(fields: Fields, message: string): void;
  warn(fields: Fields, message: string): void;
  info(fields: Fields, message: string): void;
  debug(fields: Fields, message: string): void;
}

/** syslog priorities of pino's levels. */
const priorities: readonly (readonly [number, number])[] = [
  [60, 2],
  [50, 3],
  [40, 4],
  [30, 6],
  [0, 7],
];

/** The process log. `write` takes one finished line (tests collect them; the daemon writes to fd 2). */
export function createLog(
  format: 'text' | 'json',
  level: string,
  write: (line: string) => void,
): Log {
  const stream = {
    write(json: string): void {
      const record = JSON.parse(json) as { level: number; msg?: string } & Record<string, unknown>;
      const priority = priorities.find(([floor]) => record.level >= floor)?.[1] ?? 7;
      write(`<${priority}>${format === 'json' ? json.trimEnd() : text(record)}\n`);
    },
  };
  return pino({ base: null, timestamp: false, level }, stream);
}

function text(record: Record<string, unknown>): string {
  const { level: _level, msg, ...fields } = record;
  const rest = Object.entries(fields)
    .map(
      ([key, value]) =>
        `${key}=${typeof value === 'string' ? quoted(value) : JSON.stringify(value)}`,
    )
    .join(' ');
  const message = printable(String(msg ?? ''));
  return rest === '' ? message : `${message} (${rest})`;
}

function quoted(value: string): string {
  return /^[\w.:/@-]+$/.test(value) ? value : JSON.stringify(value);
}
