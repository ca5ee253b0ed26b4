/**
 * The guest agent: a program in the guest, which the guest's owner chose and anybody in the guest may replace. Its answers
 * are bounded and checked before they are believed, a domain is asked one thing at a time, and nothing here is ever called
 * while a hook runs (facts/libvirt.md 6.3). Shapes: qga/qapi-schema.json of QEMU.
 */
import { waitFor } from '../deadline.ts';
import { RevivedError } from '../errors.ts';
import type { Domains } from '../libvirt/domains.ts';
import { printable } from '../printable.ts';
import { isRecord } from '../record.ts';

interface AgentInfo {
  /** Version of qemu-ga, as it says. */
  readonly version: string;
  /** Commands that the agent has and that its configuration does not block. */
  readonly enabled: ReadonlySet<string>;
}

interface ExecResult {
  readonly exitCode: number;
  /** What it wrote to stdout, taken for UTF-8. */
  readonly out: string;
}

/**
 * Every call rejects with `busy` while another one to the same domain is open, with `timed-out`, `limit-exceeded`, or with
 * `libvirt` where there is no agent, it refuses, or its answer makes no sense.
 */
export interface GuestAgent {
  info(uuid: string): Promise<AgentInfo>;
  /** `mswindows`, `debian`, ... (guest-get-osinfo); empty when the guest does not say. */
  osId(uuid: string): Promise<string>;
  /** Runs a program in the guest and waits for its end, with a bound. */
  exec(uuid: string, path: string, args: readonly string[]): Promise<ExecResult>;
}

export interface AgentLimits {
  /** For one answer, in seconds. */
  readonly answerSeconds: number;
  /** For a program in the guest, and between two looks at it, in ms. */
  readonly execMs: number;
  readonly lookMs: number;
}

const defaults: AgentLimits = { answerSeconds: 5, execMs: 60_000, lookMs: 250 };

/** Characters of an answer that are parsed. What we ask for is some hundred lines; the agent's own limit is 16 MiB. */
const maxAnswer = 1024 * 1024;
const maxCommands = 1024;
/** Four characters of base64 are three bytes. */
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** The agents of libvirt's domains. */
export function createGuestAgent(
  libvirt: Pick<Domains, 'agentCommand'>,
  limits: Partial<AgentLimits> = {},
): GuestAgent {
  const { answerSeconds, execMs, lookMs } = { ...defaults, ...limits };
  const open = new Set<string>();

  const ask = async (uuid: string, execute: string, given: object = {}): Promise<unknown> => {
    const command = JSON.stringify({ execute, arguments: given });
    const answer = await libvirt.agentCommand(uuid, command, answerSeconds);
    if (answer.length > maxAnswer) {
      throw new RevivedError(
        'limit-exceeded',
        `The guest agent answered ${execute} with ${answer.length} characters, more than the ${maxAnswer} that are read.`,
      );
    }
    let value: unknown;
    try {
      value = JSON.parse(answer);
    } catch {
      throw senseless(execute, 'no JSON');
    }
    if (!isRecord(value) || !('return' in value)) throw senseless(execute, 'it has no "return"');
    return value['return'];
  };

  const alone = async <T>(uuid: string, work: () => Promise<T>): Promise<T> => {
    if (open.has(uuid)) {
      throw new RevivedError('busy', 'The guest agent of this domain is being asked already.');
    }
    open.add(uuid);
    try {
      return await work();
    } finally {
      open.delete(uuid);
    }
  };

  return {
    info: (uuid) => alone(uuid, async () => readInfo(await ask(uuid, 'guest-info'))),
    osId: (uuid) =>
      alone(uuid, async () => {
        const info = await ask(uuid, 'guest-get-osinfo');
        if (!isRecord(info)) throw senseless('guest-get-osinfo', 'it is no object');
        return typeof info['id'] === 'string' ? info['id'].slice(0, 64) : '';
      }),
    exec: (uuid, path, args) =>
      alone(uuid, async () => {
        const given = { path, arg: args, 'capture-output': true };
        const pid = readPid(await ask(uuid, 'guest-exec', given));
        const look = async () => readStatus(await ask(uuid, 'guest-exec-status', { pid }));
        const ended = await waitFor(look, execMs, lookMs);
        if (ended !== undefined) return ended;
        throw new RevivedError(
          'timed-out',
          `${path} did not end in the guest within ${execMs} ms (its pid there is ${pid}).`,
        );
      }),
  };
}

function readInfo(info: unknown): AgentInfo {
  const commands = isRecord(info) ? info['supported_commands'] : undefined;
  if (!isRecord(info) || !Array.isArray(commands) || commands.length > maxCommands) {
    throw senseless('guest-info', 'it has no list of commands');
  }
  const enabled = new Set<string>();
  for (const command of commands) {
    if (!isRecord(command) || typeof command['name'] !== 'string') {
      throw senseless('guest-info', 'a command without a name');
    }
    if (command['enabled'] === true) enabled.add(command['name']);
  }
  const { version } = info;
  return { version: typeof version === 'string' ? printable(version.slice(0, 64)) : '', enabled };
}

function readPid(value: unknown): number {
  const pid = isRecord(value) ? value['pid'] : undefined;
  if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid <= 0) {
    throw senseless('guest-exec', 'it has no pid');
  }
  return pid;
}

// Undefined while it runs. Once it has ended the agent forgets it: this is asked once more never (facts/libvirt.md 6.2).
function readStatus(value: unknown): ExecResult | undefined {
  const wrong = (what: string) => senseless('guest-exec-status', what);
  if (!isRecord(value) || typeof value['exited'] !== 'boolean') throw wrong('it has no "exited"');
  if (!value['exited']) return undefined;
  if (value['out-truncated'] === true) throw wrong('its output is not whole');
  const data = value['out-data'] ?? '';
  if (typeof data !== 'string' || !base64.test(data)) throw wrong('its output is no base64');
  const exitCode = value['exitcode'];
  return {
    // Without one a signal or an exception ended it.
    exitCode: typeof exitCode === 'number' && Number.isSafeInteger(exitCode) ? exitCode : -1,
    out: Buffer.from(data, 'base64').toString('utf8'),
  };
}

function senseless(command: string, what: string): RevivedError {
  return new RevivedError(
    'libvirt',
    `The guest agent's answer to ${command} makes no sense: ${what}.`,
    'Look at the agent in the guest: anything there could be answering in its place.',
  );
}
