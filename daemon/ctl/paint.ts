/** Colours of the terminal (SGR), or none. Nothing is said by colour alone. */
export interface Paint {
  readonly bold: Brush;
  readonly dim: Brush;
  readonly red: Brush;
  readonly green: Brush;
  readonly yellow: Brush;
}

export type Brush = (text: string) => string;

/** Real colours, or brushes that leave the text alone. */
export function createPaint(coloured: boolean): Paint {
  const sgr =
    (code: number): Brush =>
    (text) =>
      coloured && text !== '' ? `\u001b[${code}m${text}\u001b[0m` : text;
  return { bold: sgr(1), dim: sgr(2), red: sgr(31), green: sgr(32), yellow: sgr(33) };
}

/** Whether to colour: a terminal that can, and nobody who said no (NO_COLOR: https://no-color.org). */
export function wantsColour(
  isTty: boolean,
  refused: boolean,
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  const noColour = env['NO_COLOR'];
  return isTty && !refused && (noColour === undefined || noColour === '') && env['TERM'] !== 'dumb';
}
