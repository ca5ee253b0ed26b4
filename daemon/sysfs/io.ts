/**
 * The door to everything in sysfs that can block, hang or crash: writes, and reads of config space
 * (invariant 3). Plain attribute reads that never block are in sysfs/read.ts.
 * Implementations: sysfs/child.ts (a child process with a deadline), and the simulated kernel of the tests.
 */

/** How one write or read ended. `stuck`: the child was still in the kernel at the deadline and was abandoned. */
export type IoResult =
  | { readonly state: 'ok'; readonly ms: number; readonly data: Buffer }
  | {
      readonly state: 'error';
      readonly ms: number;
      /** `ENOTTY`, `EBUSY`, ...; `EUNKNOWN` when the text of the error is new to us. */
      readonly errno: string;
      readonly message: string;
    }
  | { readonly state: 'stuck'; readonly ms: number; readonly pid: number };

export interface SysfsIo {
  /** Writes `value` with one write(2). Never creates a file. `data` of the result is empty. */
  write(path: string, value: string, deadlineMs: number): Promise<IoResult>;
  /** Reads up to `length` bytes from the start of a file (`config`). */
  read(path: string, length: number, deadlineMs: number): Promise<IoResult>;
}
