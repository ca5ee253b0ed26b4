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

/** A child of ours that hangs on a dead card is known already (invariant 3) and is no danger to the host. */
const ownChild = /\btask dd:\d+ blocked (in I\/O wait )?for more than/;

export interface LogJudge {
  /** Judges the lines that name one of `own`, and those about the IOMMU that name nobody. */
  judge(lines: readonly string[], own: readonly FunctionAddress[]): LogEvidence;
  /** The first of the lines that says that the host itself is at risk (invariant 9); undefined when none does. */
  riskIn(lines: readonly string[]): string | undefined;
}

/** Loads the reader, which takes some 10 ms the first time: while the kernel is busy with the rung. */
export async function openLogJudge(): Promise<LogJudge> {
  const [explain, line] = await Promise.all([
    import('../doctor/explain.ts'),
    import('../doctor/log-line.ts'),
  ]);
  return {
    judge: (lines, own) => judge(lines, own, explain, line),
    riskIn: (lines) => lines.find((text) => explain.isHostAtRisk(text) && !ownChild.test(text)),
  };
}

function judge(
  lines: readonly string[],
  own: readonly FunctionAddress[],
  { classify, createExplainer }: typeof import('../doctor/explain.ts'),
  { devicesIn }: typeof import('../doctor/log-line.ts'),
): LogEvidence {
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
