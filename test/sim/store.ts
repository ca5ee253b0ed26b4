/**
 * Where a simulated machine lives: in memory, or (shared) in <root>/.sim/state.json under a lock. Every change runs
 * as one transaction: load, act, bring the files in step, append to the log, save.
 */
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  constants,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MachineState } from './state.ts';
import type { Core } from './topology.ts';
import { simDirectory, Tree } from './tree.ts';

const maxLog = 5_000;
const maxWrites = 10_000;
const maxFinished = 200;
/** One read(2) of dev/kmsg must give one record: each is padded to what the reader asks for (host/kernel-log.ts). */
const kmsgRecord = 8_192;
const maxKmsgRecords = 2_000;
const lockWaitMs = 10_000;

/** A new directory for a machine. */
export function newRoot(): string {
  const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  return mkdtempSync(join(base, 'revived-sim-'));
}

export class Store {
  readonly root: string;
  readonly #tree: Tree;
  readonly #shared: boolean;
  #state: MachineState;
  #laid = false;

  private constructor(root: string, state: MachineState, shared: boolean) {
    this.root = root;
    this.#tree = new Tree(root);
    this.#state = state;
    this.#shared = shared;
  }

  /** A new machine; its files are written with the first change. */
  static create(root: string, state: MachineState, shared: boolean): Store {
    mkdirSync(join(root, simDirectory), { recursive: true });
    const store = new Store(root, state, shared);
    if (shared) store.#save();
    store.#tree.lay(state);
    return store;
  }

  /** A shared machine of another process. */
  static open(root: string): Store {
    const store = new Store(root, loadState(root), true);
    store.#laid = true;
    return store;
  }

  /** The state as it is now, for looking. */
  peek(): MachineState {
    return this.#shared ? this.load() : this.#state;
  }

  /** As `peek`. */
  load(): MachineState {
    if (this.#shared) this.#state = loadState(this.root);
    return this.#state;
  }

  /** One transaction; `ended` are the pending accesses that it let go on. What `act` throws leaves the saved state as it was. */
  change<T>(
    now: () => number,
    act: (core: Core) => T,
  ): { readonly result: T; readonly ended: readonly number[] } {
    const unlock = this.#shared ? lock(this.root) : undefined;
    try {
      const state = this.load();
      const touched = new Set<string>();
      const lines: string[] = [];
      const before = new Set(Object.keys(state.finished));
      const result = act({
        state,
        touch: (address) => touched.add(address),
        log: (line) => lines.push(line),
        now,
      });
      if (this.#shared) this.#tree.forget();
      // A lock whose owner was killed: the files may be half of a change behind.
      const all = unlock?.broken === true ? Object.keys(state.devices) : touched;
      this.#tree.sync(state, all);
      this.#writeLog(state, lines, now());
      trim(state);
      if (this.#shared) this.#save();
      this.#laid = true;
      const ended = Object.keys(state.finished).filter((id) => !before.has(id));
      for (const id of ended) this.#wake(id);
      return { result, ended: ended.map(Number) };
    } finally {
      unlock?.release();
    }
  }

  /** Takes the machine away. A shared one may be in use by others until it is gone. */
  remove(): void {
    if (this.#shared) rmSync(this.root, { recursive: true, force: true });
    else if (existsSync(this.root)) removeAll(this.root);
  }

  /** Writes all files anew, from nothing. */
  rebuild(): void {
    this.#tree.clear();
    this.#tree.lay(this.load());
    this.#tree.sync(this.#state, Object.keys(this.#state.devices));
  }

  /** The pipe on which another process waits for a pending access to end (dd.ts). */
  makePipe(id: number): void {
    if (this.#shared) spawnSync('mkfifo', [pipeOf(this.root, id)]);
  }

  // Open for both directions: it never blocks, and whoever opened the pipe before gets the byte.
  #wake(id: string): void {
    const pipe = pipeOf(this.root, Number(id));
    if (!this.#shared || !existsSync(pipe)) return;
    const fd = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
    writeSync(fd, '.');
    closeSync(fd);
  }

  #save(): void {
    const file = join(this.root, simDirectory, 'state.json');
    writeFileSync(`${file}.${process.pid}`, JSON.stringify(this.#state));
    renameSync(`${file}.${process.pid}`, file);
  }

  // dev/kmsg starts empty after the first boot: what came before it, no reader of ours ever sees.
  #writeLog(state: MachineState, lines: readonly string[], now: number): void {
    for (const line of lines) {
      state.log.push(line);
      if (!this.#laid || state.logged >= maxKmsgRecords) continue;
      const sequence = state.logged++;
      const record = `6,${sequence},${Math.round(now * 1000)},-;${line}\n`;
      appendFileSync(join(this.root, 'dev/kmsg'), record.padEnd(kmsgRecord));
    }
  }
}

/** The pipe of a pending access. */
export function pipeOf(root: string, id: number): string {
  return join(root, simDirectory, `pending-${id}`);
}

// What rmSync does, in half the calls: that one looks at each file first, and tries each directory before it is empty.
function removeAll(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory()) removeAll(path);
    else unlinkSync(path);
  }
  rmdirSync(directory);
}

function loadState(root: string): MachineState {
  const state: MachineState = JSON.parse(
    readFileSync(join(root, simDirectory, 'state.json'), 'utf8'),
  );
  return state;
}

function trim(state: MachineState): void {
  state.log.splice(0, state.log.length - maxLog);
  state.writes.splice(0, state.writes.length - maxWrites);
  const ended = Object.keys(state.finished);
  for (const id of ended.slice(0, Math.max(0, ended.length - maxFinished))) {
    delete state.finished[id];
  }
}

// A lock file with the owner's pid. Whoever finds the owner dead takes it over.
function lock(root: string): { readonly release: () => void; readonly broken: boolean } {
  const file = join(root, simDirectory, 'lock');
  const mine = `${file}.${process.pid}`;
  writeFileSync(mine, String(process.pid));
  const limit = performance.now() + lockWaitMs;
  let broken = false;
  try {
    for (;;) {
      try {
        linkSync(mine, file);
        return { release: () => rmSync(file), broken };
      } catch (error) {
        if (!isExists(error)) throw error;
      }
      if (stale(file)) broken = true;
      else if (performance.now() > limit) throw new Error(`${file} was never released`);
      else pause(1);
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

// True when the lock of a process that has died was taken away. One process at a time does that, and looks again after it
// has found the owner dead: one that has ended in between may have released it, and the lock there be of a living one.
function stale(file: string): boolean {
  const owner = ownerOf(file);
  if (owner === undefined || existsSync(`/proc/${owner}`)) return false;
  const guard = `${file}.takeover`;
  try {
    mkdirSync(guard);
  } catch {
    return false; // somebody else is at it
  }
  try {
    if (ownerOf(file) !== owner) return false;
    rmSync(file);
    return true;
  } finally {
    rmdirSync(guard);
  }
}

function ownerOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function isExists(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EEXIST';
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
