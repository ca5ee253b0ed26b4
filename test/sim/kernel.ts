/**
 * The simulated kernel: a machine, its files, and what writes to them do. In one process the state lives in memory;
 * `shared`, it lives in a file beside the tree, so that the children of a real daemon (dd.ts) and the test that
 * plays the hardware work on the same machine.
 */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { attributesOf } from './attributes.ts';
import { allAddresses, boot, reboot, suspend } from './boot.ts';
import { registerDriver } from './drivers.ts';
import * as faults from './faults.ts';
import { blockedBy, type Entry, goOn, heldBy } from './locks.ts';
import { installModule, loadModule, type ModuleOptions, unloadModule } from './modules.ts';
import { demandOf, perform } from './operations.ts';
import { recoverGpu } from './reset.ts';
import type { DeviceState, Healer, MachineState, PathFault, ResetEvent } from './state.ts';
import { newRoot, Store } from './store.ts';
import { keyOf, type Target, targetOf } from './target.ts';
import type { Core } from './topology.ts';

/** How a write ended. `pending`: it is in the kernel and does not return; else it took `delayMs`. */
export interface WriteOutcome {
  readonly errno: string | null;
  readonly delayMs: number;
  readonly pending: number | null;
}

export interface ReadOutcome extends WriteOutcome {
  readonly data: Buffer;
}

export interface KernelOptions {
  /** Other processes work on this machine too. */
  readonly shared?: boolean;
  /** `virtual` (default): time passes by `advance`; `real` (default when shared): the clock of this host. */
  readonly clock?: 'virtual' | 'real';
  /** The kernel's own times are multiplied by this: 1 with a virtual clock, 0 with the real one. */
  readonly delayScale?: number;
}

const nothing = Buffer.alloc(0);

export class SimKernel {
  readonly root: string;
  readonly clock: 'virtual' | 'real';
  readonly #store: Store;
  readonly #listeners = new Set<(pending: number) => void>();

  private constructor(store: Store, clock: 'virtual' | 'real') {
    this.#store = store;
    this.root = store.root;
    this.clock = clock;
  }

  /** Boots a machine in a new directory (below /dev/shm where there is one). */
  static create(machine: MachineState, options: KernelOptions = {}): SimKernel {
    const clock = options.clock ?? (options.shared === true ? 'real' : 'virtual');
    machine.delayScale = options.delayScale ?? (clock === 'real' ? 0 : 1);
    const store = Store.create(newRoot(), machine, options.shared === true);
    const kernel = new SimKernel(store, clock);
    try {
      kernel.#change((core) => {
        boot(core);
        for (const address of allAddresses(core.state)) core.touch(address);
      });
    } catch (error) {
      kernel.dispose();
      throw error;
    }
    return kernel;
  }

  /** A machine that another process made with `shared`. */
  static open(root: string): SimKernel {
    return new SimKernel(Store.open(root), 'real');
  }

  get sys(): string {
    return join(this.root, 'sys');
  }

  /** The kernel log, oldest line first; bounded. */
  get log(): readonly string[] {
    return this.#store.peek().log;
  }

  /** Resets that were really carried out, in order: what a kprobe would show. */
  get resets(): readonly ResetEvent[] {
    return this.#store.peek().resets;
  }

  /** Every write that reached the kernel, in order; bounded. */
  get writes(): readonly { readonly path: string; readonly value: string }[] {
    return this.#store.peek().writes;
  }

  /** The state of one device as it is now. */
  device(address: string): Readonly<DeviceState> {
    const device = this.#store.peek().devices[address];
    if (device === undefined) throw new Error(`the simulated machine has no ${address}`);
    return device;
  }

  /** Milliseconds of this machine's clock. */
  now(): number {
    return this.clock === 'real' ? Date.now() : this.#store.peek().clockMs;
  }

  /** Lets virtual time pass. */
  advance(ms: number): void {
    if (this.clock === 'virtual') this.#store.peek().clockMs += ms;
  }

  /** One write(2). The effect is there at once, unless it is pending; `delayMs` is for the caller to wait. */
  write(path: string, value: string): WriteOutcome {
    return this.#change((core) => {
      core.state.writes.push({ path, value });
      const opened = this.#open(core.state, path, 0o222);
      if (typeof opened === 'string') return { errno: opened, delayMs: 0, pending: null };
      return this.#enter(core, { path, target: opened, value });
    });
  }

  /** Reads from the start of a file, up to `length` bytes. */
  read(path: string, length: number): ReadOutcome {
    return this.#change((core) => {
      const opened = this.#open(core.state, path, 0o444);
      if (typeof opened === 'string') {
        return { errno: opened, delayMs: 0, pending: null, data: nothing };
      }
      const outcome = this.#enter(core, { path, target: opened, value: null });
      if (outcome.errno !== null || outcome.pending !== null) return { ...outcome, data: nothing };
      const data =
        opened.kind === 'recover'
          ? Buffer.from(recoverGpu(core, opened.device))
          : contentOf(core.state, opened);
      return { ...outcome, data: data.subarray(0, length) };
    });
  }

  /** How a pending access ended; undefined while it has not. */
  ended(pending: number): { readonly errno: string | null } | undefined {
    const { finished } = this.#store.load();
    const errno = finished[String(pending)];
    return errno === undefined ? undefined : { errno };
  }

  /** Calls back when a pending access of this process's doing has ended. Returns its own end. */
  onEnded(listener: (pending: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // What goes wrong

  wedge(card: string, healsBy: readonly Healer[] = []): void {
    this.#change((core) => faults.wedge(core, card, healsBy));
  }

  unwedge(card: string): void {
    this.#change((core) => faults.unwedge(core, card));
  }

  die(card: string, options: faults.AilmentOptions = {}): void {
    this.#change((core) => faults.die(core, card, options));
  }

  dieAfterGuest(card: string, options: faults.AilmentOptions | undefined): void {
    this.#change((core) => faults.dieAfterGuest(core, card, options));
  }

  loseBars(card: string, when: 'now' | 'rescan' = 'now'): void {
    this.#change((core) => faults.loseBars(core, card, when));
  }

  narrowLink(address: string, lanes: number): void {
    this.#change((core) => faults.narrowLink(core, address, lanes));
  }

  /** An error on the link of a function or port (AER). */
  reportError(address: string, severity: faults.Severity, name = 'SDES'): void {
    this.#change((core) => faults.reportError(core, address, severity, name));
  }

  loseFunction(address: string): void {
    this.#change((core) => faults.loseFunction(core, address));
  }

  /** A module that hooks pci_dev_specific_reset is there to be loaded; reset_method does not list it by itself. */
  installModule(name: string, options: ModuleOptions): void {
    this.#change((core) => installModule(core, name, options));
  }

  /** modprobe; false where there is no such module, or the kernel refuses it. */
  loadModule(name: string): boolean {
    return this.#change((core) => loadModule(core, name));
  }

  unloadModule(name: string): void {
    this.#change((core) => unloadModule(core, name));
  }

  /** amdgpu's resets of this card fail from now on. */
  failRecover(card: string, how: 'failed' | 'skipped' = 'failed'): void {
    this.#change((core) => {
      core.state.recoverFails[card] = how;
    });
  }

  loadDriver(name: string): void {
    this.#change((core) => registerDriver(core, name));
  }

  /** The next accesses of a path never return (write, or read of `config`), until `unhang`. */
  hang(path: string, times = 1): void {
    this.#fault({ kind: 'hang', errno: '', ms: 0 }, path, times);
  }

  /** The next writes to a path fail with that errno and do nothing. */
  failWrite(path: string, errno: string, times = 1): void {
    this.#fault({ kind: 'fail', errno, ms: 0 }, path, times);
  }

  /** The next writes to a path take that much longer, in real time where the clock is real. */
  slowWrite(path: string, ms: number, times = 1): void {
    this.#fault({ kind: 'slow', errno: '', ms }, path, times);
  }

  /** Lets what hangs on a path go on, and everything that waited behind it. */
  unhang(path: string): void {
    this.#change((core) => {
      const key = keyOf(core.state, this.#relative(path));
      core.state.pending = core.state.pending.map((one) =>
        one.key === key ? { ...one, fault: false } : one,
      );
      goOn(core);
    });
  }

  /** A process opens `node` (`/dev/vfio/7`, `<root>/dev/dri/card0`): it shows in proc/<pid>/fd. */
  hold(pid: number, name: string, node: string): void {
    this.#change((core) => faults.hold(core, pid, name, node));
  }

  /** It closes all; what waited for it goes on. */
  letGo(pid: number): void {
    this.#change((core) => {
      faults.letGo(core, pid);
      goOn(core);
    });
  }

  /** The host goes to S3 and comes back. */
  suspend(): void {
    this.#change(suspend);
  }

  /** The host restarts; boot_id changes. */
  reboot(): void {
    this.#change(reboot);
  }

  /** Writes all files anew from the state: a test compares them with what was there. */
  rebuild(): void {
    this.#store.rebuild();
  }

  /** Removes the tree. */
  dispose(): void {
    this.#store.remove();
  }

  #open(state: MachineState, path: string, mode: number): Target | string {
    const target = targetOf(state, this.#relative(path));
    if (target === undefined) {
      if (!existsSync(path)) return 'ENOENT';
      return statSync(path).isDirectory() ? 'EISDIR' : 'EACCES';
    }
    if (target.kind !== 'device') return target;
    const attribute = attributesOf(state, target.device).get(target.attribute);
    // sysfs refuses root too where the attribute has no such method (kernfs_fop_open).
    return attribute !== undefined && (attribute.mode & mode) === 0 ? 'EACCES' : target;
  }

  #enter(core: Core, entry: Entry): WriteOutcome {
    const { state } = core;
    const { target, value } = entry;
    const fault = takeFault(state, target.key, value);
    if (fault?.kind === 'fail') return { errno: fault.errno, delayMs: 0, pending: null };
    if (value === '') return { errno: null, delayMs: 0, pending: null }; // sysfs_kf_write: no bytes, no call
    const demand = demandOf(state, target, value);
    const hangs = fault?.kind === 'hang';
    if (hangs || demand.waits || blockedBy(state, demand, Number.POSITIVE_INFINITY)) {
      const id = state.nextPending++;
      const holds = hangs || demand.waits;
      state.pending.push({
        id,
        key: target.key,
        path: this.#relative(entry.path),
        value,
        locks: holds ? [...demand.locks, ...demand.tries] : [],
        rescanLock: demand.rescanLock,
        fault: hangs,
      });
      this.#store.makePipe(id);
      return { errno: null, delayMs: 0, pending: id };
    }
    const waitMs = Math.max(0, ...demand.locks.map((one) => this.#busyMs(state, one)));
    const locked = (address: string): boolean =>
      this.#busyMs(state, address) > 0 || heldBy(state, address);
    const outcome =
      value === null ? { errno: null, delayMs: 0 } : perform(core, target, value, locked);
    const ownMs = outcome.delayMs * state.delayScale + (fault?.ms ?? 0);
    const delayMs = waitMs + ownMs;
    if (ownMs > 0) {
      for (const address of [...demand.locks, ...demand.tries]) {
        const device = state.devices[address];
        if (device !== undefined) device.busyUntil = this.now() + delayMs;
      }
    }
    return { errno: outcome.errno, delayMs, pending: null };
  }

  #busyMs(state: MachineState, address: string): number {
    return Math.max(0, (state.devices[address]?.busyUntil ?? 0) - this.now());
  }

  #fault(fault: Pick<PathFault, 'kind' | 'errno' | 'ms'>, path: string, times: number): void {
    this.#change((core) => {
      const key = keyOf(core.state, this.#relative(path));
      core.state.faults.push({ ...fault, key, left: times });
    });
  }

  #relative(path: string): string {
    const prefix = `${this.sys}/`;
    if (!path.startsWith(prefix)) throw new Error(`${path} is outside the simulated ${prefix}`);
    return path.slice(prefix.length);
  }

  #change<T>(act: (core: Core) => T): T {
    const { result, ended } = this.#store.change(() => this.now(), act);
    for (const id of ended) for (const listener of this.#listeners) listener(id);
    return result;
  }
}

function takeFault(state: MachineState, key: string, value: string | null): PathFault | undefined {
  const fault = state.faults.find((one) => one.key === key && one.left > 0);
  // Only a hang is for reads as well.
  if (fault === undefined || (value === null && fault.kind !== 'hang')) return undefined;
  fault.left--;
  if (fault.left === 0) state.faults = state.faults.filter((one) => one !== fault);
  return fault;
}

function contentOf(state: MachineState, target: Target): Buffer {
  if (target.kind !== 'device') return nothing;
  return Buffer.from(attributesOf(state, target.device).get(target.attribute)?.content ?? nothing);
}
