/** Cuts the bytes of a log into lines for an explainer, in memory that does not grow with the log or with its lines. */
import { StringDecoder } from 'node:string_decoder';
import type { Explainer } from './explain.ts';
import { longestPiece } from './log-line.ts';

export interface LogReader {
  /** Takes the next bytes, in any portion. What is not UTF-8 becomes U+FFFD. */
  push(chunk: Buffer): void;
  /** The last line need not end. */
  end(): void;
}

/** Gives every line to `explainer.add`; one longer than `longestPiece` in pieces. */
export function createLogReader(explainer: Pick<Explainer, 'add'>): LogReader {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  const take = (text: string): void => {
    let from = 0;
    for (let to = text.indexOf('\n'); to >= 0; to = text.indexOf('\n', from)) {
      addLine(explainer, text.slice(from, to));
      from = to + 1;
    }
    rest = text.slice(from);
    while (rest.length > longestPiece) {
      explainer.add(rest.slice(0, longestPiece), false);
      rest = rest.slice(longestPiece);
    }
  };
  return {
    push(chunk) {
      const text = decoder.write(chunk);
      take(rest === '' ? text : rest + text);
    },
    end() {
      take(rest + decoder.end());
      if (rest !== '') explainer.add(rest);
      rest = '';
    },
  };
}

function addLine(explainer: Pick<Explainer, 'add'>, line: string): void {
  let from = 0;
  for (; line.length - from > longestPiece; from += longestPiece) {
    explainer.add(line.slice(from, from + longestPiece), false);
  }
  explainer.add(from === 0 ? line : line.slice(from));
}
