/** A process with a service on the bus at argv[2], for tests of its end. Says `ready` once it has its name. */
import { connect } from '../../daemon/bus/connection.ts';
import { exportService } from '../../daemon/bus/export.ts';
import { createLog } from '../../daemon/log.ts';
import { scriptedService } from './scripted-service.ts';

const [, , address = ''] = process.argv;
const log = createLog('text', 'info', (line) => process.stderr.write(line));
const connection = await connect(address);
connection.onLost((reason) => {
  log.error({}, `The bus went away: ${reason}`);
  process.exit(1);
});
exportService({ connection, service: scriptedService(), log, paths: { spool: '/nonexistent' } });
await connection.requestName('org.revived');
process.stdout.write('ready\n');
