/** A unified diff of two texts, as `diff -u` prints it. Pure. */

/** Lines of context around a change. */
const around = 3;
/** Cells of the table in which the longest common lines are looked for; beyond it all that differs is one change. */
const maxCells = 4_000_000;

interface Line {
  readonly mark: ' ' | '-' | '+';
  readonly text: string;
}

/** The lines of the diff with its two headers; none where the texts are equal. A line ends at a line feed. */
export function unifiedDiff(name: string, before: string, after: string): readonly string[] {
  if (before === after) return [];
  const lines = compared(before.split('\n'), after.split('\n'));
  return [`--- ${name}`, `+++ ${name}`, ...hunks(lines)];
}

function compared(before: readonly string[], after: readonly string[]): readonly Line[] {
  let head = 0;
  const shorter = Math.min(before.length, after.length);
  while (head < shorter && before[head] === after[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  const same = (lines: readonly string[]) => lines.map((text): Line => ({ mark: ' ', text }));
  return [
    ...same(before.slice(0, head)),
    ...changed(before.slice(head, before.length - tail), after.slice(head, after.length - tail)),
    ...same(before.slice(before.length - tail)),
  ];
}

// The longest common subsequence, by the table of its lengths from the end.
function changed(before: readonly string[], after: readonly string[]): readonly Line[] {
  const width = after.length + 1;
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  if ((before.length + 1) * width <= maxCells) {
    const lengths = new Uint32Array((before.length + 1) * width);
    const at = (row: number, column: number) => lengths[row * width + column] ?? 0;
    for (let row = before.length - 1; row >= 0; row -= 1) {
      for (let column = after.length - 1; column >= 0; column -= 1) {
        lengths[row * width + column] =
          before[row] === after[column]
            ? at(row + 1, column + 1) + 1
            : Math.max(at(row + 1, column), at(row, column + 1));
      }
    }
    while (i < before.length && j < after.length) {
      const [old = '', made = ''] = [before[i], after[j]];
      if (old === made) {
        lines.push({ mark: ' ', text: old });
        i += 1;
        j += 1;
      } else if (at(i + 1, j) >= at(i, j + 1)) {
        lines.push({ mark: '-', text: old });
        i += 1;
      } else {
        lines.push({ mark: '+', text: made });
        j += 1;
      }
    }
  }
  return [
    ...lines,
    ...before.slice(i).map((text): Line => ({ mark: '-', text })),
    ...after.slice(j).map((text): Line => ({ mark: '+', text })),
  ];
}

function hunks(lines: readonly Line[]): readonly string[] {
  const out: string[] = [];
  let [old, made] = [1, 1]; // the numbers of the next line in both texts
  let index = 0;
  while (index < lines.length) {
    const first = lines.findIndex(({ mark }, at) => at >= index && mark !== ' ');
    if (first === -1) break;
    const from = Math.max(first - around, index);
    old += from - index;
    made += from - index;
    let to = first;
    for (let at = first; at < lines.length && at <= to + 2 * around + 1; at += 1) {
      if (lines[at]?.mark !== ' ') to = at;
    }
    const hunk = lines.slice(from, Math.min(to + around + 1, lines.length));
    const removed = hunk.filter(({ mark }) => mark !== '+').length;
    const added = hunk.filter(({ mark }) => mark !== '-').length;
    out.push(`@@ -${old},${removed} +${made},${added} @@`);
    out.push(...hunk.map(({ mark, text }) => mark + text));
    old += removed;
    made += added;
    index = from + hunk.length;
  }
  return out;
}
