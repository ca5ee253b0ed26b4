/**
 * A process that SIGKILL does not end, as one in D state: strace stops a dying process in its exit (PTRACE_O_TRACEEXIT,
 * ptrace(2)), and strace itself is stopped. The kernel then keeps the process until strace goes on or ends.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { waitFor } from '../../daemon/deadline.ts';
import { ended, started } from './private-bus.ts';

const attachMs = 5_000;

/** Makes it so; resolves once it is. The function ends it: a process that was killed meanwhile is gone then. */
export async function makeUnkillable(pid: number): Promise<() => Promise<void>> {
  const args = ['--pdeathsig=SIGKILL', '--', 'strace', '-e', 'trace=none', '-o', '/dev/null'];
  const strace = await started('setpriv', [...args, '-p', String(pid)], 'strace');
  if (strace.stderr === null) throw new Error('no pipe');
  const [said] = await once(strace.stderr, 'data');
  // strace stops it for a moment as it attaches; it must be back where it was.
  const sleeps = () => {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const tracer = /^TracerPid:\s*(\d+)$/m.exec(status)?.[1];
    return tracer === String(strace.pid) && /^State:\s*S/m.test(status) ? true : undefined;
  };
  if ((await waitFor(sleeps, attachMs, 5)) !== true) {
    await ended(strace);
    throw new Error(`strace did not attach to ${pid}: ${said}`);
  }
  strace.kill('SIGSTOP');
  // A test that fails before it ends this one must not wait for it: it dies with the test.
  strace.stdout?.destroy();
  strace.stderr.destroy();
  strace.unref();
  return () => ended(strace);
}
