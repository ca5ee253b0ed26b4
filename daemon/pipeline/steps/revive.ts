/** The health check, and the ladder where it is due, as a step. Fails when the card is not alive afterwards. */
import { RevivedError } from '../../errors.ts';
import { revive } from '../../reset/revive.ts';
import type { StepExecutor } from '../step.ts';

const recordStates = {
  healed: 'done',
  'not-healed': 'failed',
  error: 'failed',
  stuck: 'failed',
  skipped: 'skipped',
} as const;

export const reviveStep: StepExecutor<'revive'> = {
  describe: ({ evenIfHealthy, order, whenHealthy }) => ({
    detail: `${
      evenIfHealthy
        ? 'reset the card'
        : whenHealthy.length === 0
          ? 'check the card, and revive it if it is dead'
          : `check the card, reset it after its guest where one of ${whenHealthy.join(', ')} can, and revive it if it is dead`
    }${order === null ? '' : ` (${order.join(', ')})`}`,
    undo: '',
    expectedMs: 60,
  }),
  survey: () => ({}),
  async run(args, { host, signal, hangs, onHealth, onDetail, journalRung }) {
    const { known, budgetMs, order, evenIfHealthy, force, whenHealthy, module, card } = args;
    const revival = await revive(host, known, {
      budgetMs,
      ...(order === null ? {} : { order }),
      evenIfHealthy,
      force,
      whenHealthy,
      module: module ?? undefined,
      signal,
      async onRung(rung, record, before) {
        if (record === undefined) {
          await journalRung(rung, undefined, before);
          onDetail(`rung ${rung}`, 'running', 0, '');
          return;
        }
        // One that hangs stays open: when only the power switch ends it, it is found at the next boot.
        if (record.state !== 'skipped' && !(record.state === 'stuck' && hangs())) {
          await journalRung(rung, record.detail);
        }
        onDetail(`rung ${rung}`, recordStates[record.state], record.ms, record.detail);
      },
    });
    const { after, gaveUp, rungs } = revival;
    onHealth(after);
    const evidence = after.evidence.join('; ');
    if (gaveUp !== undefined) {
      if (after.state === 'healthy') {
        throw new RevivedError('failed', `Card ${card} was not reset: ${gaveUp}. It is healthy.`);
      }
      throw new RevivedError(
        after.evidence.some((line) => line.includes('D state')) ? 'stuck' : 'failed',
        `Card ${card} is ${after.state} and could not be brought back: ${gaveUp} (${evidence}).`,
        `See revivectl show ${card}; a host reboot is what is left if no rung helps.`,
      );
    }
    const due =
      revival.notReset === undefined
        ? ''
        : `; a reset after every guest is due on cards of this family, but ${revival.notReset}`;
    if (rungs.length === 0) return `${after.state}: ${evidence}${due}`;
    return `${revival.before.state} before (${revival.before.evidence.join('; ')}), ${after.state} after ${rungs.at(-1)?.rung}: ${evidence}${due}`;
  },
  undo: async () => {},
};
