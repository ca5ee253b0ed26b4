/** `revivectl version`: of this program, and of the daemon where it runs. */
import { RevivedError } from '../../errors.ts';
import type { Client } from '../client.ts';
import { decodeManager } from '../shapes.ts';
import { managerInterface, managerPath } from '../tree.ts';
import type { Verb } from '../verb.ts';

/** Put in by the build (Makefile); not there in tests. */
declare const VERSION: string | undefined;

export const version: Verb = {
  name: 'version',
  operands: '',
  arity: [0, 0],
  summary: 'print the versions of revivectl and of the daemon',
  details: ['Does not start the daemon.'],
  options: {},
  async run(client, _args, out) {
    const own = typeof VERSION === 'string' ? VERSION : 'unbuilt';
    const properties = await managerOf(client);
    const revived = properties === null ? null : decodeManager(properties, out.text).version;
    if (out.json) {
      out.value({ revivectl: own, revived });
    } else {
      out.line(`revivectl ${own}`);
      out.line(`revived ${revived ?? 'does not run'}`);
    }
    return 0;
  },
};

// Null where the daemon does not run; that is an answer here and no failure.
async function managerOf(client: Client): Promise<unknown> {
  try {
    const running = await client.isRunning();
    return running ? await client.getProperties(managerPath, managerInterface) : null;
  } catch (error) {
    if (error instanceof RevivedError && error.code === 'unreachable') return null;
    throw error;
  }
}
