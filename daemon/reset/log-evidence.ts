/**
 * The kernel log around a rung, read by the reader of `revivectl explain`. Lines that name other devices are left out. The
 * reader's patterns are loaded when the first rung is done: a daemon starts without them.
 */
import type { LogClass } from '../doctor/log-class.ts';
import type { FunctionAddress } from '../pci/address.ts';

export interface LogEvidence {
  /** What the lines show, the gravest first, without what is normal. */
  readonly classes: readonly LogClass[];
  /** The line that speaks against the reset whatever the card itself shows; undefined where none does. */
  readonly against: { readonly class: LogClass; readonly text: string } | undefined;
}

/**
 * What a healthy config space does not refute: a reset that its own procedure calls failed. A device that was lost while it was
 * reset, and answers now, is back; an IOMMU that waits is a matter of the whole host (host/risk.ts).
 */
const decisive: LogClass = 'reset-failed';
const maxText = 300;

/** Judges the lines that name one of `own`, and those about the IOMMU or the host that name nobody. */
export async function judgeLog(
  lines: readonly string[],
  own: readonly FunctionAddress[],
): Promise<LogEvidence> {
  if (lines.length === 0) return { classes: [], against: undefined };
  const { classify, createExplainer } = await import('../doctor/explain.ts');
  const { devicesIn } = await import('../doctor/log-line.ts');
  const mine = new Set<string>(own);
  const explainer = createExplainer();
  for (const line of lines) {
    const devices = devicesIn(line);
    const relevant =
      devices.length > 0
        ? devices.some((device) => mine.has(device))
        : classify(line)?.class === 'iommu-stuck';
    if (relevant) explainer.add(line);
  }
  const { classes, evidence } = explainer.result();
  const line = evidence.find((one) => one.class === decisive);
  return {
    classes: classes.filter((name) => name !== 'benign'),
    against:
      line === undefined ? undefined : { class: line.class, text: line.text.slice(0, maxText) },
  };
}
