/**
 * After a reboot of the host: starts what ran before it, one after the other in the old order, once libvirt and the cards are
 * ready. Each domain once; what fails is said and left alone.
 */
import { atDeadline } from '../deadline.ts';
import { asRevivedError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { CardAddress } from '../pci/address.ts';
import { printable } from '../printable.ts';
import { type GuestControl, isRunning } from './guest-stop.ts';
import type { ResumeBook, ResumeEntry } from './resume-book.ts';

export interface ResumeParts {
  readonly book: ResumeBook;
  readonly control: Pick<GuestControl, 'domainState' | 'create'>;
  /** What is not ready yet, for people; undefined when a domain with these cards can start. */
  readonly waitsFor: (cards: readonly CardAddress[]) => string | undefined;
  readonly log: Log;
  readonly onChange: (uuid: string) => void;
  /** Milliseconds that libvirt and the cards get, each domain anew. */
  readonly readyMs?: number;
}

export interface Resume {
  /** Starts the domains of this boot, if there are any. Resolves when each is started or failed; never rejects. */
  run(): Promise<void>;
  /** Something has changed: what was not ready may be. */
  look(): void;
  /** The daemon ends in order: no start begins any more, and one that fails because of it has not. Before libvirt is left. */
  close(): void;
}

const usualReadyMs = 600_000;
/** A daemon that is killed in a start may try once more; one that dies of it must not go on for ever. */
const maxTries = 2;

/** A resume that has not begun. */
export function createResume(parts: ResumeParts): Resume {
  const { book, control, log } = parts;
  let look: () => void = () => {};
  let isClosed = false;

  /** What is still missing when the time is over; undefined as soon as nothing is. */
  const ready = (cards: readonly CardAddress[]): Promise<string | undefined> =>
    new Promise((resolve) => {
      const end = (): void => {
        calm();
        look = () => {};
        resolve(parts.waitsFor(cards));
      };
      const calm = atDeadline(parts.readyMs ?? usualReadyMs, end);
      look = () => {
        if (isClosed || parts.waitsFor(cards) === undefined) end();
      };
      look();
    });

  const note = async (entry: ResumeEntry): Promise<void> => {
    await book.note(entry);
    parts.onChange(entry.uuid);
  };

  const start = async (entry: ResumeEntry): Promise<void> => {
    const absent = await ready([]);
    if (absent !== undefined) throw new Error(absent);
    // By libvirt's autostart, or by the daemon before this one; then its cards are not to be waited for.
    if (await isRunning(control, entry.uuid)) return;
    const missing = await ready(entry.cards);
    if (await isRunning(control, entry.uuid)) return;
    if (missing !== undefined) throw new Error(missing);
    if (entry.tries >= maxTries) throw new Error('its start was interrupted twice');
    if (isClosed) return;
    await note({ ...entry, state: 'starting', tries: entry.tries + 1 });
    try {
      await control.create(entry.uuid);
    } catch (thrown) {
      const isUp = await isRunning(control, entry.uuid).catch(() => false); // then the first error is the one to tell
      if (!isUp) throw thrown;
    }
  };

  return {
    look: () => look(),
    close() {
      isClosed = true;
      look();
    },
    async run() {
      try {
        // Also where nothing is to be started: else each later boot counted as one that a reboot of ours has brought.
        if (book.resumed()) await book.begin();
        if (!book.isBusy()) return;
        log.info(
          { id: 'resuming', domains: book.entries().length },
          'The host was rebooted for a card: what ran before is started again',
        );
        for (const entry of book.entries()) {
          if (entry.state === 'started' || entry.state === 'failed') continue;
          const name = printable(entry.name);
          const why = await start(entry).then(
            () => '',
            (thrown: unknown) => asRevivedError(thrown).message,
          );
          if (isClosed) return;
          const tried = book.entries().find(({ uuid }) => uuid === entry.uuid) ?? entry;
          await note({ ...tried, state: why === '' ? 'started' : 'failed', why });
          if (why === '') log.info({ id: 'resumed', domain: name }, `Domain ${name} runs again`);
          else {
            log.error(
              { id: 'resume-failed', domain: name, why },
              `Domain ${name} was not started again after the reboot. It is not tried again: start it by hand.`,
            );
          }
        }
      } catch (thrown) {
        const why = asRevivedError(thrown).message;
        log.error(
          { id: 'resume-failed', why },
          'The domains that ran before the reboot are not started: start them by hand',
        );
      }
    },
  };
}
