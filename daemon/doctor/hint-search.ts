/**
 * Finds which of many short texts occur in a line, in one pass over it and whatever the case (Aho and Corasick 1975).
 * It keeps the regular expressions away from nearly all of a log.
 */

/** Numbers of the hints that a text holds, each once, in no order. */
export type HintSearch = (text: string) => readonly number[];

const none: readonly number[] = [];

/** Builds the search for `hints` (ASCII). Throws a RangeError for an empty hint or one that is not ASCII. */
export function createHintSearch(hints: readonly string[]): HintSearch {
  const classOf = classesOf(hints);
  const width = Math.max(...classOf) + 1;
  const { next, found } = automatonOf(hints, classOf, width);
  return (text) => {
    let state = 0;
    let hits: number[] | undefined;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      state = next[state + (code < 128 ? (classOf[code] ?? 0) : 0)] ?? 0;
      const here = found[state / width];
      if (here === undefined) continue;
      hits ??= [];
      for (const hint of here) if (!hits.includes(hint)) hits.push(hint);
    }
    return hits ?? none;
  };
}

// ASCII code -> class: 0 for what no hint holds, one class for a letter in both cases.
function classesOf(hints: readonly string[]): Uint8Array {
  const classOf = new Uint8Array(128);
  let count = 0;
  for (const character of hints.join('').toLowerCase()) {
    const code = character.charCodeAt(0);
    if (code >= 128) throw new RangeError(`a hint is not ASCII: ${character}`);
    if (classOf[code] !== 0) continue;
    classOf[code] = ++count;
    classOf[character.toUpperCase().charCodeAt(0)] = count;
  }
  return classOf;
}

interface Automaton {
  /** Offset of a state's row + class -> offset of the next state's row. */
  readonly next: Uint32Array;
  /** Number of a state -> the hints that end there; a hole where none does. */
  readonly found: readonly (readonly number[] | undefined)[];
}

function automatonOf(hints: readonly string[], classOf: Uint8Array, width: number): Automaton {
  const size = hints.reduce((sum, hint) => sum + hint.length, 1);
  const next = new Uint32Array(size * width);
  const found: (number[] | undefined)[] = new Array(size).fill(undefined);
  let states = 1;
  for (const [index, hint] of hints.entries()) {
    if (hint === '') throw new RangeError('an empty hint');
    let state = 0;
    for (const character of hint.toLowerCase()) {
      const edge = state + (classOf[character.charCodeAt(0)] ?? 0);
      if (next[edge] === 0) next[edge] = states++ * width;
      state = next[edge] ?? 0;
    }
    found[state / width] = [...(found[state / width] ?? []), index];
  }
  // Breadth first: where a state has no edge of its own, it goes on as its longest suffix would.
  const suffixOf = new Uint32Array(states);
  const queue = Array.from(next.subarray(0, width)).filter((state) => state !== 0);
  for (const state of queue) {
    const suffix = suffixOf[state / width] ?? 0;
    const more = found[suffix / width];
    if (more !== undefined) found[state / width] = [...(found[state / width] ?? []), ...more];
    for (let edge = 0; edge < width; edge++) {
      const target = next[state + edge] ?? 0;
      if (target === 0) {
        next[state + edge] = next[suffix + edge] ?? 0;
      } else {
        suffixOf[target / width] = next[suffix + edge] ?? 0;
        queue.push(target);
      }
    }
  }
  return { next, found };
}
