/** Text tables: columns as wide as their widest cell, two spaces apart, widths counted in code points. */
import type { Brush } from './paint.ts';

/** A cell; the brush paints the text and not the padding. */
export type Cell = string | { readonly text: string; readonly brush: Brush };

/** One line for each row. The last cell of a row is not padded; rows may differ in length. */
export function columns(rows: readonly (readonly Cell[])[], indent = ''): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries()) {
      widths[index] = Math.max(widths[index] ?? 0, widthOf(cell));
    }
  }
  return rows.map((row) => {
    const cells = row.map((cell, index) => {
      const padding = index === row.length - 1 ? 0 : (widths[index] ?? 0) - widthOf(cell);
      return painted(cell) + ' '.repeat(padding);
    });
    return (indent + cells.join('  ')).trimEnd();
  });
}

function widthOf(cell: Cell): number {
  return [...(typeof cell === 'string' ? cell : cell.text)].length;
}

function painted(cell: Cell): string {
  return typeof cell === 'string' ? cell : cell.brush(cell.text);
}
