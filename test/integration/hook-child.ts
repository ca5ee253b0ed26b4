/**
 * The daemon's bus half on the bus at argv[2], with a scripted pipeline, for tests of the hook: adds each hook call to
 * /run/calls as one line of JSON before it answers, and refuses a domain whose name starts with `refused`.
 * Says `ready` once it has its name.
 */
import { appendFileSync } from 'node:fs';
import { connect } from '../../daemon/bus/connection.ts';
import { exportService } from '../../daemon/bus/export.ts';
import { RevivedError } from '../../daemon/errors.ts';
import { createLog } from '../../daemon/log.ts';
import type { HookCall } from '../../daemon/pipeline/service.ts';
import { scriptedService } from './scripted-service.ts';

const [, , address = ''] = process.argv;
const log = createLog('text', 'info', (line) => process.stderr.write(line));
const connection = await connect(address);
const service = {
  ...scriptedService(),
  async hook(call: HookCall) {
    appendFileSync('/run/calls', `${JSON.stringify(call)}\n`);
    if (call.domain.startsWith('refused')) {
      throw new RevivedError('refused', 'The card is on fire.', 'Put it out.');
    }
  },
};
exportService({ connection, service, log, paths: { spool: '/run/revived/hook' } });
await connection.requestName('org.revived');
process.stdout.write('ready\n');
