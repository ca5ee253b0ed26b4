/** What a pattern of a log line is. A new one is an entry in patterns/<subject>.ts. */
import type { LogClass } from './log-class.ts';

/** Something that begins on one line and ends on another; what has not ended when the log does is what counts. */
type Topic = 'wait' | 'run' | 'psp' | 'gpu' | 'bar' | 'link';

export interface Pattern {
  /** Unique; the conclusions ask for it (log-conclusions.ts). */
  readonly id: string;
  /** Texts of which every matching line holds one, whatever the case. Long and rare ones keep the reader fast. */
  readonly hints: readonly string[];
  /** The line. A group `key` tells one matter of a device from another (its BAR). */
  readonly line: RegExp;
  /** What the line shows; nothing where only a conclusion needs it. */
  readonly shows: readonly LogClass[];
  /** The line shows it only when no later line about the same device closes the topic. */
  readonly opens?: Topic;
  /** Ends the topic of the device, or of every device where the line names none. */
  readonly closes?: Topic;
  /** What it shows, in place of `shows`, where it closed something. */
  readonly closing?: LogClass;
  /** Shows it from this many lines about one device on. */
  readonly least?: number;
  /** Shows it only of a card that some line names with a reset or with VFIO: on others it is everyday. */
  readonly handled?: true;
  /** The host itself is in danger: nothing risky is done after this line. */
  readonly risk?: true;
}
