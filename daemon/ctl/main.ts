/** revivectl: the process around a run. */
import process from 'node:process';
import { runCommand } from './session.ts';
import { verbs } from './table.ts';

// `revivectl list | head -1`: the reader has seen enough, that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? 0 : 1),
);

// Not by exitCode: a bus that hangs would hold the process by its half-closed socket.
process.exit(await runCommand(process.argv.slice(2), verbs, process));
