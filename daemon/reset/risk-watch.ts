/**
 * Looks in the kernel log for what says that the host is at risk, and marks it (host/risk.ts). A rung that hangs is over for us at
 * its deadline, but not for the kernel: what it says of hung tasks comes after 120 s, and of the IOMMU when the write goes on.
 */
import { every } from '../deadline.ts';
import type { Host } from '../host/host.ts';
import type { LogJudge } from './log-evidence.ts';

export interface RiskWatch {
  /** Looks at what the kernel has said since the last look. The mark is set when it returns, and on disk when it resolves. */
  look(): Promise<void>;
  /** Looks as long as that child hangs, and a last time when it is back: before anything is begun on its card. */
  follow(pid: number): void;
}

const maxLines = 2000;
const lookMs = 5_000;

/** A watch from a cursor of the kernel log on. `when`: what is said of the time, for people ("during flr of card ..."). */
export function watchRisk(
  host: Host,
  { riskIn }: LogJudge,
  when: string,
  cursor: number,
): RiskWatch {
  let seen = cursor;
  const look = async (): Promise<void> => {
    const now = host.kernelLog.cursor();
    const risk = riskIn(host.kernelLog.since(seen, [''], maxLines));
    // What was seen before is not told again: a person may have cleared the mark meanwhile.
    seen = now;
    if (risk !== undefined) await host.risk.mark(`${when}: ${risk}`);
  };
  return {
    look,
    follow(pid) {
      const end = every(lookMs, () => void look());
      host.stuck.whenFreed(pid, () => {
        end();
        void look();
      });
    },
  };
}
