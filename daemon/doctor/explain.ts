/** Explains a log of the kernel, QEMU or libvirt: what it shows, by which lines, and what to do. Reads line by line. */
import { isTrouble, type LogClass, logClasses, otherTexts, saidOf } from './log-class.ts';
import { conclude } from './log-conclusions.ts';
import {
  cleanLine,
  devicesIn,
  hidesMessage,
  longestPiece,
  looksLikeLog,
  messageOf,
} from './log-line.ts';
import { candidatesOf, matchesOf, mayBeRisk } from './log-match.ts';
import { createTally, type Seen } from './log-tally.ts';
import type { Locale, Message } from './message.ts';

/** A line that decides. */
interface Evidence {
  /** Counted from 1. */
  readonly line: number;
  readonly text: string;
  readonly class: LogClass;
}

/** The JSON of `revivectl explain` ("Doctor contract"). Classes come the gravest first, evidence in the order of the log. */
export interface Explanation {
  readonly classes: readonly LogClass[];
  readonly verdict: string;
  readonly devices: readonly string[];
  readonly evidence: readonly Evidence[];
  readonly advice: string;
}

export interface Explainer {
  /** Takes the next line, or a piece of one: `ends` is false where more of it follows. */
  add(text: string, ends?: boolean): void;
  /** What the lines showed, in the language asked for. Nothing is added after it. */
  result(locale?: Locale): Explanation;
}

/** What one line shows by itself. */
export interface Classified {
  readonly class: LogClass;
  readonly devices: readonly string[];
  /** False for a line that a later one can take back, like "not ready ...; waiting". */
  readonly certain: boolean;
  /** The host itself is in danger: no further rung (invariant 9). */
  readonly hostAtRisk: boolean;
}

const mostNamed = 4;
const mostSaid = 3;
const mostDevices = 64;
const mostEvidence = 60;

/** A reader of one log. Its memory does not grow with the log. */
export function createExplainer(): Explainer {
  const tally = createTally();
  let line = 1;
  let text = 0;
  let binary = 0;
  let isLog = false;
  return {
    add(raw, ends = true) {
      const piece = raw.length > longestPiece ? raw.slice(0, longestPiece) : raw;
      const plain = piece.includes('\u001b') || piece.includes('\0') ? cleanLine(piece) : piece;
      const decoded = hidesMessage(plain) ? messageOf(plain) : plain;
      const candidates = candidatesOf(decoded);
      if (candidates.length > 0) {
        const message = messageOf(cleanLine(decoded));
        const found = matchesOf(message, candidates);
        const devices = found.length === 0 ? [] : devicesIn(message);
        for (const { pattern, key } of found) {
          tally.add(pattern, { line, text: message, devices }, key);
        }
      }
      if (!isLog) {
        if (piece.includes('\0') || piece.includes('\ufffd')) binary++;
        else if (piece.trim() !== '') text++;
        isLog = binary <= text && looksLikeLog(decoded);
      }
      if (ends) line++;
    },
    result(locale = 'en') {
      tally.end();
      const all = conclude(tally);
      const classes = classesOf(all);
      // A kernel image holds the texts of every message, and none of them happened.
      const isText = isLog || binary <= text;
      if (classes.length > 0 && isText) return explanationOf(classes, all, tally.risk, locale);
      const verdict = isLog
        ? 'nothingKnown'
        : text + binary === 0
          ? 'empty'
          : binary > text
            ? 'binary'
            : 'noLog';
      return {
        classes: isLog ? ['benign'] : [],
        verdict: otherTexts[verdict][locale],
        devices: [],
        evidence: [],
        advice: isLog ? saidOf('benign').advice[locale] : otherTexts.howToCapture[locale],
      };
    },
  };
}

/** What one line shows by itself; undefined where it is no line of interest. Bounded and pure. */
export function classify(text: string): Classified | undefined {
  const line = messageOf(cleanLine(text.slice(0, longestPiece)));
  const found = matchesOf(line, candidatesOf(line)).filter(
    ({ pattern }) => pattern.shows.length > 0,
  );
  const shown = new Set(found.flatMap(({ pattern }) => pattern.shows));
  const gravest = logClasses.find((name) => shown.has(name));
  if (gravest === undefined) return undefined;
  return {
    class: gravest,
    devices: devicesIn(line),
    certain: found.some(
      ({ pattern: { shows, opens, least } }) =>
        shows.includes(gravest) && opens === undefined && least === undefined,
    ),
    hostAtRisk: found.some(({ pattern }) => pattern.risk === true),
  };
}

/** Whether one line says that the host itself is at risk (invariant 9). Quick for lines that do not. */
export function isHostAtRisk(text: string): boolean {
  return mayBeRisk(text) && classify(text)?.hostAtRisk === true;
}

// A reset that went well proves nothing where something else went wrong, and what is normal explains nothing there.
function classesOf(all: ReadonlyMap<LogClass, Seen>): readonly LogClass[] {
  const found = logClasses.filter((name) => all.has(name));
  const trouble = found.filter(isTrouble);
  return trouble.length > 0 ? trouble : found;
}

function explanationOf(
  classes: readonly LogClass[],
  all: ReadonlyMap<LogClass, Seen>,
  risk: boolean,
  locale: Locale,
): Explanation {
  const said = classes.slice(0, mostSaid);
  const [first] = said;
  const verdicts = said
    // What is normal adds nothing to a reset that went well.
    .filter((name) => name !== 'benign' || name === first)
    .map((name) =>
      sentence(saidOf(name).verdict, name === 'benign' ? undefined : all.get(name), locale),
    );
  if (risk && first !== 'iommu-stuck') verdicts.unshift(otherTexts.hostAtRisk[locale]);
  const devices = new Set(classes.flatMap((name) => [...(all.get(name)?.devices ?? [])]));
  const evidence = classes.flatMap((name) =>
    (all.get(name)?.lines ?? []).map(({ line, text }) => ({ line, text, class: name })),
  );
  const advice = risk && first !== 'iommu-stuck' ? [saidOf('iommu-stuck').advice] : [];
  const own = said.filter(isTrouble).slice(0, 2);
  advice.push(...(own.length > 0 ? own : said.slice(0, 1)).map((name) => saidOf(name).advice));
  return {
    classes,
    verdict: verdicts.join(' '),
    devices: [...devices].sort().slice(0, mostDevices),
    evidence: evidence.slice(0, mostEvidence).sort((a, b) => a.line - b.line),
    advice: advice.map((message) => message[locale]).join(' '),
  };
}

function sentence(message: Message, seen: Seen | undefined, locale: Locale): string {
  const named = [...(seen?.devices ?? [])].sort();
  if (named.length === 0) return message[locale];
  const more = named.length > mostNamed ? ', …' : '';
  return `${named.slice(0, mostNamed).join(', ')}${more}: ${message[locale]}`;
}
