/** revivectl: the process around a run. */
import process from 'node:process';
import { runCommand } from './session.ts';
import { verbs } from './table.ts';

// `revivectl list | head -1`: the reader has seen enough, that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? 0 : 1),
);

const code = await runCommand(process.argv.slice(2), verbs, process);
// Not by exitCode: a bus that hangs would hold the process by its half-closed socket. When all is out: a pipe takes 64 KiB
// at a time, and exit drops the rest.
process.stdout.write('', (error) => {
  if (!error) process.exit(code);
});
