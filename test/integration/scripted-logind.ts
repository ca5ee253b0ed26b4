/** A logind on a test's bus that keeps what it was asked, and reboots nothing. */
import { type Connection, connect, type IncomingCall } from '../../daemon/bus/connection.ts';
import { Variant } from '../../daemon/bus/wire.ts';

export interface ScriptedLogind {
  /** Calls that change something, in order: `ScheduleShutdown dry-reboot 1700000000000000`. */
  readonly asked: string[];
  /** What it says: who inhibits, `CanReboot`, whether the host goes down. */
  readonly says: {
    inhibitors: readonly (readonly [what: string, who: string, why: string, mode: string])[];
    canReboot: string;
    goingDown: boolean;
    scheduled: readonly [type: string, usec: bigint];
  };
  close(): void;
}

/** Takes the name of logind on that bus. */
export async function startScriptedLogind(address: string): Promise<ScriptedLogind> {
  const connection = await connect(address);
  const asked: string[] = [];
  const says: ScriptedLogind['says'] = {
    inhibitors: [],
    canReboot: 'yes',
    goingDown: false,
    scheduled: ['', 0n],
  };
  connection.onCall((call) => {
    answer(connection, call, says, asked);
  });
  await connection.requestName('org.freedesktop.login1');
  return { asked, says, close: () => connection.close() };
}

function answer(
  connection: Connection,
  call: IncomingCall,
  says: ScriptedLogind['says'],
  asked: string[],
): void {
  const body = call.body();
  const [first, second] = body;
  const property = second === 'PreparingForShutdown';
  switch (call.member) {
    case 'Get':
      connection.reply(call, 'v', [
        property ? new Variant('b', says.goingDown) : new Variant('(st)', [...says.scheduled]),
      ]);
      return;
    case 'ListInhibitors':
      connection.reply(call, 'a(ssssuu)', [says.inhibitors.map((one) => [...one, 1000, 4711])]);
      return;
    case 'CanReboot':
      connection.reply(call, 's', [says.canReboot]);
      return;
  }
  asked.push([call.member, ...body.map(String)].join(' '));
  if (call.member === 'ScheduleShutdown' && typeof second === 'bigint') {
    says.scheduled = [String(first).replace('dry-', ''), second];
  }
  const isCancel = call.member === 'CancelScheduledShutdown';
  if (isCancel) says.scheduled = ['', 0n];
  if (call.member === 'Reboot') says.goingDown = true;
  connection.reply(call, isCancel ? 'b' : '', isCancel ? [true] : []);
}
