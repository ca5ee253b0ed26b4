/** `revivectl monitor`: changes as they happen, until Ctrl-C. */
import { RevivedError } from '../../errors.ts';
import { changeLines, changesBetween, runningLine } from '../change.ts';
import type { Client, ClientEvent, Signal } from '../client.ts';
import { isRunning } from '../job.ts';
import type { Out } from '../out.ts';
import { clockText } from '../time.ts';
import { applySignal, type Objects, snapshotOf } from '../tree.ts';
import type { Verb } from '../verb.ts';
import { createWakeup } from '../wakeup.ts';

// More signals than this in one go (a daemon gone mad, a terminal that is held): read anew instead of remembering them.
const backlogLimit = 10_000;
// Only a bound: every event and Ctrl-C ring.
const longestWaitMs = 600_000;

/** What happened since the last look. */
interface Backlog {
  readonly signals: Signal[];
  presence: boolean[];
  stale: boolean;
  busLost: boolean;
  ended: boolean;
}

export const monitor: Verb = {
  name: 'monitor',
  operands: '',
  arity: [0, 0],
  summary: 'print changes as they happen, until Ctrl-C',
  details: [
    'Goes on when revived is restarted. With --json: one object a line,',
    '{"time", "event", "kind", "subject", "keys", "view"}; event is added, changed or removed,',
    'or kind is daemon and event is gone or back.',
  ],
  options: {},
  async run(client, _args, out) {
    const wakeup = createWakeup();
    const backlog: Backlog = {
      signals: [],
      presence: [],
      stale: false,
      busLost: false,
      ended: false,
    };
    const restore = out.onInterrupt(() => {
      backlog.ended = true;
      wakeup.ring();
    });
    await client.subscribe((event) => {
      note(backlog, event);
      wakeup.ring();
    });
    try {
      let objects = await client.getManagedObjects();
      greet(objects, out);
      while (!backlog.ended) {
        objects = await catchUp(client, objects, backlog, out);
        await wakeup.wait(longestWaitMs);
      }
      return 0;
    } finally {
      restore();
    }
  },
};

function note(backlog: Backlog, event: ClientEvent): void {
  switch (event.kind) {
    case 'bus-lost':
      backlog.busLost = true;
      return;
    case 'daemon':
      backlog.presence = [...backlog.presence, event.present].slice(-2);
      return;
    case 'signal':
      if (backlog.signals.length < backlogLimit) backlog.signals.push(event);
      else backlog.stale = true;
  }
}

function greet(objects: Objects, out: Out): void {
  if (out.json) return;
  const { manager, jobs } = snapshotOf(objects, out.text);
  say(out, `revived ${manager.version}: watching, Ctrl-C ends`);
  for (const job of jobs.filter(isRunning)) say(out, runningLine(job));
}

async function catchUp(
  client: Client,
  objects: Objects,
  backlog: Backlog,
  out: Out,
): Promise<Objects> {
  if (backlog.busLost) {
    throw new RevivedError(
      'unreachable',
      'The system bus closed the connection.',
      'Look at: systemctl status dbus.',
    );
  }
  const signals = backlog.signals.splice(0);
  const presence = backlog.presence.splice(0);
  for (const present of presence) sayPresence(present, out);
  const stale = backlog.stale || presence.at(-1) === true;
  backlog.stale = false;
  // Read anew, the signals in hand are older than the answer.
  if (stale) return report(objects, (await readAgain(client)) ?? objects, out);
  return signals.reduce((tree, signal) => report(tree, applySignal(tree, signal), out), objects);
}

// Null where the daemon went away again meanwhile: its next coming is announced.
function readAgain(client: Client): Promise<Objects | null> {
  return client.getManagedObjects().catch((error: unknown) => {
    if (error instanceof RevivedError && error.code === 'unreachable') return null;
    throw error;
  });
}

function report(before: Objects, after: Objects, out: Out): Objects {
  if (before === after) return after;
  for (const change of changesBetween(snapshotOf(before, out.text), snapshotOf(after, out.text))) {
    const { before: _old, ...shown } = change;
    if (out.json) out.value({ time: out.now(), ...shown }, 'stream');
    else for (const line of changeLines(change)) say(out, line);
  }
  return after;
}

function sayPresence(present: boolean, out: Out): void {
  const event = present ? 'back' : 'gone';
  if (out.json) {
    out.value(
      { time: out.now(), event, kind: 'daemon', subject: 'revived', keys: [], view: null },
      'stream',
    );
  } else {
    say(
      out,
      out.paint.yellow(
        present ? 'revived is back' : 'revived is gone; waiting for it to come back',
      ),
    );
  }
}

function say(out: Out, text: string): void {
  out.line(`${out.paint.dim(clockText(out.now()))} ${text}`);
}
