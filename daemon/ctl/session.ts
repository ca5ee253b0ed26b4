/** One run of revivectl, from its arguments to its exit code. */
import { systemBusAddress } from '../bus/address.ts';
import { asRevivedError, exitCodeOf, sentence } from '../errors.ts';
import { type Client, createClient } from './client.ts';
import { helpText, parseCommand } from './command.ts';
import { createOut, type Streams } from './out.ts';
import { printable } from './printable.ts';
import type { Verb } from './verb.ts';

/**
 * Runs the command line `argv` (without node and script). Resolves to the exit code of errors.ts; never rejects.
 */
export async function runCommand(
  argv: readonly string[],
  verbs: readonly Verb[],
  streams: Streams,
): Promise<number> {
  let client: Client | undefined;
  try {
    const command = parseCommand(argv, verbs);
    if (command.kind === 'help') {
      streams.stdout.write(`${helpText(command.verb, verbs).join('\n')}\n`);
      return 0;
    }
    const { verb, args, wishes } = command;
    client = createClient({
      address: systemBusAddress(streams.env),
      interactive: streams.stdin.isTTY === true && !wishes.json,
    });
    return await verb.run(client, args, createOut(streams, wishes));
  } catch (thrown) {
    const error = asRevivedError(thrown);
    streams.stderr.write(`revivectl: ${printable(sentence(error))}\n`);
    return exitCodeOf(error.code);
  } finally {
    client?.close();
  }
}
