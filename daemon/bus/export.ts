/** Puts the service on the bus. The name is requested by who calls this, once everything else is up. */
import { asRevivedError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Paths } from '../paths.ts';
import type { Service } from '../pipeline/service.ts';
import { createChanges } from './changes.ts';
import type { Connection } from './connection.ts';
import { createDispatch } from './dispatch.ts';
import { createGate } from './gate.ts';
import { createObjects } from './objects.ts';
import { createPending } from './pending.ts';

export interface Exported {
  /** No signals any more; calls are still answered until the connection is closed. */
  close(): void;
}

/** Answers all calls that come over `connection` and announces the changes of `service`. */
export function exportService(parts: {
  readonly connection: Connection;
  readonly service: Service;
  readonly log: Log;
  readonly paths: Pick<Paths, 'spool'>;
}): Exported {
  const { connection, service, log, paths } = parts;
  const objects = createObjects(service, paths.spool);
  const changes = createChanges(objects, connection.emit, (error) => {
    log.error({}, `A change was not announced: ${asRevivedError(error).message}`);
  });
  connection.onSkipped((what) => log.warn({}, `The bus passed on ${what}: ignoring it.`));
  connection.onCall(
    createDispatch({
      connection,
      objects,
      gate: createGate(connection.call),
      pending: createPending(),
      flush: changes.flush,
      log,
    }),
  );
  const unsubscribe = service.onChange(changes.note);
  return {
    close() {
      unsubscribe();
      changes.close();
    },
  };
}
