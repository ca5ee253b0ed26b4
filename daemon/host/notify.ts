/**
 * Tells systemd: ready, reloading, stopping, alive. Through the `systemd-notify` program (NotifyAccess=all), because Node
 * has no datagram sockets; nothing happens where there is no NOTIFY_SOCKET.
 */
import { spawn } from 'node:child_process';
import { every } from '../deadline.ts';

export interface Notify {
  /** `READY=1`, `STOPPING=1`, `STATUS=...`: one assignment each. */
  tell(...assignments: readonly string[]): void;
  /** Sends WATCHDOG=1 at half the unit's interval, from the event loop: a loop that hangs feeds nobody. */
  startWatchdog(): void;
}

/** The unit's notify socket, from the environment (NOTIFY_SOCKET, WATCHDOG_USEC). */
export function createNotify(
  program: string,
  env: Readonly<Record<string, string | undefined>>,
  onProblem: (why: string) => void,
): Notify {
  const socket = env['NOTIFY_SOCKET'];
  const tell = (...assignments: readonly string[]): void => {
    if (socket === undefined || socket === '') return;
    const child = spawn(program, [`--pid=${process.pid}`, ...assignments], {
      stdio: 'ignore',
      env: { NOTIFY_SOCKET: socket, LC_ALL: 'C' },
    });
    child.on('error', (error) => onProblem(error.message));
    child.unref();
  };
  return {
    tell,
    startWatchdog() {
      const usec = Number(env['WATCHDOG_USEC']);
      // sd_watchdog_enabled(3): half the interval; less than two seconds would be noise.
      if (Number.isFinite(usec) && usec >= 2_000_000) every(usec / 2000, () => tell('WATCHDOG=1'));
    },
  };
}
