/** `revivectl quarantine`: what is not done again because the host went down in it, and how to allow it again. */
import { cardPathOf } from '../card.ts';
import type { Client } from '../client.ts';
import { columns } from '../columns.ts';
import { misused } from '../command.ts';
import type { Out } from '../out.ts';
import type { Paint } from '../paint.ts';
import { addressOfPath, decodeManager, type Manager } from '../shapes.ts';
import { dateText } from '../time.ts';
import { managerInterface, managerPath } from '../tree.ts';
import type { Verb } from '../verb.ts';

/** The list, with what is known about the host and its kernel above it. */
function quarantineLines(manager: Manager, paint: Paint): string[] {
  const { hostAtRisk, quarantine: entries } = manager;
  const suspects = manager.findings.filter(({ rule }) => rule === 'kernel-suspect');
  return [
    ...(hostAtRisk === '' ? [] : [paint.red(`host at risk: ${hostAtRisk}`)]),
    ...suspects.map(({ message }) => paint.yellow(message)),
    ...(entries.length === 0
      ? ['nothing is in quarantine']
      : columns([
          ['CARD', 'KIND', 'NAME', 'KERNEL', 'SINCE'].map((text) => ({ text, brush: paint.dim })),
          ...entries.map((entry) => [
            entry.card,
            entry.kind,
            entry.name,
            entry.active ? entry.kernel : `${entry.kernel} (not running)`,
            dateText(entry.sinceUsec),
          ]),
        ])),
  ];
}

export const quarantine: Verb = {
  name: 'quarantine',
  operands: '[clear [SUBJECT]]',
  arity: [0, 3],
  summary: 'list, or allow again, what once took the host down',
  details: [
    'A rung or step that was being done to a card when the host went down is not done again on that',
    'kernel. "clear" allows all of it again, "clear CARD" that of a card, "clear CARD NAME" one rung',
    'or step of it. "clear host": you have looked at a host that was marked as being at risk.',
  ],
  options: {},
  async run(client, args, out) {
    const [action, subject = '', name = ''] = args.operands;
    if (action === undefined) return list(client, out);
    if (action !== 'clear') {
      throw misused(quarantine, `The verb quarantine knows "clear", not '${action}'`);
    }
    if (subject === 'host') return clearHost(client, out);
    const [count] = await client.callMethod({
      path: managerPath,
      interface: managerInterface,
      member: 'ClearQuarantine',
      signature: 'ss',
      args: [subject === '' ? '' : (addressOfPath(cardPathOf(subject)) ?? ''), name],
    });
    if (out.json) out.value({ cleared: count });
    else out.line(count === 0 ? 'nothing was in quarantine' : `${count} allowed again`);
    return 0;
  },
};

async function list(client: Client, out: Out): Promise<number> {
  const properties = await client.getProperties(managerPath, managerInterface);
  const manager = decodeManager(properties, out.text);
  const { hostAtRisk, findings, quarantine: entries } = manager;
  if (out.json) out.value({ hostAtRisk, findings, quarantine: entries });
  else for (const line of quarantineLines(manager, out.paint)) out.line(line);
  return 0;
}

async function clearHost(client: Client, out: Out): Promise<number> {
  const [cleared] = await client.callMethod({
    path: managerPath,
    interface: managerInterface,
    member: 'ClearHostRisk',
    signature: '',
    args: [],
  });
  if (out.json) out.value({ cleared });
  else out.line(cleared === true ? 'rungs are done again' : 'the host was not marked');
  return 0;
}
