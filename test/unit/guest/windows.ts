/**
 * A libvirt whose one domain has a guest agent that answers as that of Windows does (qga/qapi-schema.json, the outputs of
 * reg.exe and of ConvertTo-Json), or as badly as a test wants.
 */
import type { TestContext } from 'node:test';
import {
  type AgentLimits,
  createGuestAgent,
  type GuestAgent,
} from '../../../daemon/guest/agent.ts';
import { createDomains } from '../../../daemon/libvirt/domains.ts';
import type { Frame } from '../../../daemon/libvirt/frame.ts';
import { XdrReader } from '../../../daemon/libvirt/xdr.ts';
import { connectTo, fault, type Peer, reply, type Script, startPeer } from '../libvirt/peer.ts';

interface Command {
  readonly execute: string;
  readonly arguments: {
    readonly path?: string;
    readonly arg?: readonly string[];
    readonly pid?: number;
  };
}

/** What a program in the guest writes; undefined: it does not exist there. */
export type Run = (path: string, args: readonly string[]) => string | undefined;

interface Guest {
  osId: string;
  /** Commands that the agent's configuration blocks. */
  blocked: readonly string[];
  run: Run;
  /** How often a program is found running still. */
  slow: number;
  /** Instead of the usual answer; `silence` is none at all. */
  answer: (command: Command) => string | 'silence' | undefined;
  readonly asked: Command[];
}

export interface Lab {
  readonly agent: GuestAgent;
  readonly guest: Guest;
  readonly peer: Peer;
}

/** A guest, and how libvirt answers commands to its agent. */
export function windowsAgent(): { readonly guest: Guest; readonly script: Script } {
  const guest: Guest = {
    osId: 'mswindows',
    blocked: [],
    run: () => '',
    slow: 0,
    answer: () => undefined,
    asked: [],
  };
  const outputs = new Map<number, { out: string; left: number }>();
  let pid = 4000;
  const usual = ({ execute, arguments: given }: Command): unknown => {
    switch (execute) {
      case 'guest-info':
        return {
          version: '107.0.1',
          supported_commands: ['guest-get-osinfo', 'guest-exec', 'guest-exec-status'].map(
            (name) => ({
              ...{ name, enabled: !guest.blocked.includes(name), 'success-response': true },
            }),
          ),
        };
      case 'guest-get-osinfo':
        return { id: guest.osId, name: 'Microsoft Windows', 'pretty-name': 'Windows 11 Pro' };
      case 'guest-exec': {
        const out = guest.run(given.path ?? '', given.arg ?? []);
        if (out === undefined) return undefined;
        pid += 4;
        outputs.set(pid, { out, left: guest.slow });
        return { pid };
      }
      default: {
        const program = outputs.get(given.pid ?? 0);
        if (program === undefined) return undefined;
        program.left -= 1;
        if (program.left >= 0) return { exited: false };
        outputs.delete(given.pid ?? 0);
        const data = Buffer.from(program.out).toString('base64');
        return { exitcode: 0, exited: true, ...(data === '' ? {} : { 'out-data': data }) };
      }
    }
  };
  const script = (frame: Frame): Buffer | undefined => {
    const reader = new XdrReader(frame.payload);
    reader.string();
    reader.uuid();
    reader.i32();
    const command = JSON.parse(reader.string()) as Command;
    guest.asked.push(command);
    const odd = guest.answer(command);
    if (odd === 'silence') return undefined;
    if (odd !== undefined) return reply(frame, (w) => w.optionalString(odd));
    const value = usual(command);
    return value === undefined
      ? fault(frame, 1, `unable to execute QEMU agent command '${command.execute}': no`)
      : reply(frame, (w) => w.optionalString(JSON.stringify({ return: value })));
  };
  return { guest, script };
}

/** Starts it; it ends with the test. */
export async function windowsGuest(
  t: TestContext,
  limits: Partial<AgentLimits> = {},
): Promise<Lab> {
  const { guest, script } = windowsAgent();
  const peer = await startPeer(script);
  const connection = await connectTo(peer, t);
  const domains = createDomains(() => connection, { call: 300, blocked: 300, start: 300 });
  const quick = { answerSeconds: 1, execMs: 300, lookMs: 1, ...limits };
  return { agent: createGuestAgent(domains, quick), guest, peer };
}

const classKey =
  'HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Control\\Class\\{4d36e968-e325-11ce-bfc1-08002be10318}';

/** What `reg.exe query` writes for one value of the given drivers. */
export function registry(
  value: string | undefined,
  drivers: readonly { readonly id: string; readonly version: string }[],
): string {
  const found = drivers.map(({ id, version }, n) => {
    const text = value === 'DriverVersion' ? version : id;
    return `\r\n${classKey}\\000${n}\r\n    ${value}    REG_SZ    ${text}\r\n`;
  });
  return `${found.join('')}\r\nEnd of search: ${found.length} match(es) found.\r\n`;
}

/** A guest with a driver of that version for an RX 5700 XT, next to the basic one of Windows. */
export function withDriver(version: string): Run {
  const basic = { id: 'pci\\cc_0300', version: '10.0.22621.1' };
  const own = { id: 'PCI\\VEN_1002&DEV_731F&REV_C1', version };
  return (path, args) =>
    path === 'reg.exe' ? registry(args.at(-1), version === '' ? [basic] : [basic, own]) : undefined;
}
