/** Where a verb says things and hears the person: stdout, stderr, questions, Ctrl-C. Verbs touch no stream themselves. */
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { createPaint, type Paint, wantsColour } from './paint.ts';
import { cut, jsonText, printable, type Text } from './printable.ts';

export interface Out {
  /** `--json`: print values only. */
  readonly json: boolean;
  /** `--yes`: ask nothing. */
  readonly yes: boolean;
  readonly paint: Paint;
  /** What every string of the daemon goes through before it is shown: nothing for JSON, else `printable`. */
  readonly text: Text;
  /** A line on stdout. */
  line(text: string): void;
  /** A line on the terminal that the next one replaces; nowhere else. The empty text takes it away. */
  live(text: string): void;
  /** A JSON value on stdout: one line, or indented on a terminal. `stream`: always one line. */
  value(value: unknown, stream?: 'stream'): void;
  /** `revivectl: ...` on stderr. Takes any text. */
  warn(text: string): void;
  /** Microseconds since the epoch. */
  now(): number;
  /** Asks yes or no; null where nobody is there to answer (no terminal, or --json). */
  readonly confirm: ((question: string) => Promise<boolean>) | null;
  /** Takes Ctrl-C until the returned end is called. */
  onInterrupt(listener: () => void): () => void;
}

export interface Streams {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface Wishes {
  readonly json: boolean;
  readonly noColor: boolean;
  readonly yes: boolean;
}

/** The Out of a process. */
export function createOut(streams: Streams, wishes: Wishes): Out {
  const { stdin, stdout, stderr, env } = streams;
  const isTty = stdout.isTTY === true;
  let liveShown = false;
  const clear = (): void => {
    if (liveShown) stdout.write('\r\u001b[K');
    liveShown = false;
  };
  const ask = (question: string): Promise<boolean> =>
    new Promise((resolve) => {
      const reader = createInterface({ input: stdin, output: stderr });
      let answered = false;
      // Ctrl-C and Ctrl-D close the reader without an answer: that is a no.
      reader.on('close', () => {
        if (!answered) stderr.write('\n');
        resolve(false);
      });
      reader.question(`${question} [y/N] `, (answer) => {
        answered = true;
        resolve(/^y(es)?$/i.test(answer.trim()));
        reader.close();
      });
    });
  return {
    json: wishes.json,
    yes: wishes.yes,
    paint: createPaint(wantsColour(isTty, wishes.noColor || wishes.json, env)),
    text: wishes.json ? (raw) => raw : printable,
    line(text) {
      clear();
      stdout.write(`${text}\n`);
    },
    live(text) {
      if (!isTty || wishes.json) return;
      clear();
      if (text === '') return;
      // A terminal that does not know its width says 0.
      stdout.write(cut(text, (stdout.columns || 80) - 1));
      liveShown = true;
    },
    value(value, stream) {
      clear();
      stdout.write(`${jsonText(value, isTty && stream === undefined ? 2 : 0)}\n`);
    },
    warn(text) {
      clear();
      stderr.write(`revivectl: ${printable(text)}\n`);
    },
    now: () => Date.now() * 1000,
    confirm: stdin.isTTY === true && !wishes.json ? ask : null,
    onInterrupt(listener) {
      process.on('SIGINT', listener);
      return () => process.off('SIGINT', listener);
    },
  };
}
