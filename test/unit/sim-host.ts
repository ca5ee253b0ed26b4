/** The daemon's core on a simulated machine: a Host, and the pipeline over it, with nothing faked but the kernel. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { type Config, defaultConfig } from '../../daemon/config/config.ts';
import { waitFor } from '../../daemon/deadline.ts';
import { RevivedError } from '../../daemon/errors.ts';
import { createBaseline } from '../../daemon/host/baseline.ts';
import { type Deadlines, defaultDeadlines, type Host } from '../../daemon/host/host.ts';
import { openKernelLog } from '../../daemon/host/kernel-log.ts';
import { openLedger } from '../../daemon/host/ledger.ts';
import { createLock } from '../../daemon/host/lock.ts';
import { openHostRisk } from '../../daemon/host/risk.ts';
import { createStuckChildren, guardIo } from '../../daemon/host/stuck.ts';
import { readDomain } from '../../daemon/libvirt/domain-xml.ts';
import { createLog } from '../../daemon/log.ts';
import type { CardAddress, FunctionAddress } from '../../daemon/pci/address.ts';
import type { Health } from '../../daemon/pci/health.ts';
import { type Card, readInventory } from '../../daemon/pci/inventory.ts';
import type { DomainConfig } from '../../daemon/pipeline/guests.ts';
import { createHandover, type Handover } from '../../daemon/pipeline/handover.ts';
import { createJobBook, type JobBook } from '../../daemon/pipeline/job.ts';
import { type Journal, openJournal } from '../../daemon/pipeline/journal.ts';
import { journaledLeases } from '../../daemon/pipeline/journaled-leases.ts';
import { type Lease, type LeaseBook, openLeases } from '../../daemon/pipeline/lease.ts';
import type { JobView } from '../../daemon/pipeline/service.ts';
import type { SysfsIo } from '../../daemon/sysfs/io.ts';
import { readLinkName } from '../../daemon/sysfs/read.ts';
import { simIo, simPaths } from '../sim/io.ts';
import { SimKernel } from '../sim/kernel.ts';
import { machine } from '../sim/machine.ts';
import { labSpec } from '../sim/presets.ts';
import { simSleep } from '../sim/sleep.ts';
import type { MachineState } from '../sim/state.ts';
import { card } from './inventory-of.ts';

/** Two functions; one with FLR and PM; two functions, `.0` without a driver; one with nothing but a bus reset. */
export const benchCards = {
  bochs: card('0000:01:00'),
  flr: card('0000:02:00'),
  ati: card('0000:03:00'),
  xhci: card('0000:04:00'),
} as const;

const benchDrivers = [
  'pcieport',
  'virtio-pci',
  'bochs-drm',
  'snd_hda_intel',
  'xhci_hcd',
  'vfio-pci',
] as const;

/** The first two or all of the cards, each behind a slot that cuts power as real ones do. Small, so that it is made fast. */
export function benchMachine(
  cards: 2 | 4 = 2,
  drivers: readonly string[] = benchDrivers,
): MachineState {
  const [bochs = {}, ati = {}, xhci = {}, flr = {}] = labSpec.ports;
  const ports = [bochs, flr, ati, xhci].slice(0, cards);
  return machine({ rootDevices: [], slotPower: 'real', drivers, ports });
}

/** What real time is waited for; times of the kernel are virtual and stay as they are. */
const shortWaits: Partial<Deadlines> = { holders: 20, closed: 20, appear: 20 };

/** What stands between the daemon and the kernel: it sees every access before it is done, and can hold a write back. */
interface Watch {
  atWrite: (path: string) => void;
  atRead: (path: string) => void;
  hold: (path: string) => Promise<void> | undefined;
}

export interface SimHost {
  readonly kernel: SimKernel;
  readonly host: Host;
  readonly watch: Watch;
  /** Lines of the daemon's log. */
  readonly logged: readonly string[];
  /** Cards whose stuck child came back. */
  readonly freed: readonly CardAddress[];
  /** Path of a file of a device. */
  at(address: string, name: string): string;
  /** Path below bus/pci. */
  bus(name: string): string;
  dispose(): void;
}

function watched(io: SysfsIo, watch: Watch): SysfsIo {
  return {
    read(path, length, deadlineMs) {
      watch.atRead(path);
      return io.read(path, length, deadlineMs);
    },
    async write(path, value, deadlineMs) {
      watch.atWrite(path);
      await watch.hold(path);
      return io.write(path, value, deadlineMs);
    },
  };
}

interface SimOptions {
  readonly machine?: MachineState;
  readonly deadlines?: Partial<Deadlines>;
  /** A daemon on a machine that is there already. */
  readonly kernel?: SimKernel;
}

/** A host with the first two cards, if nothing else is asked for. */
export async function simHost(options: SimOptions = {}): Promise<SimHost> {
  const { machine: state = benchMachine(), deadlines = {} } = options;
  const watch: Watch = { atWrite: () => {}, atRead: () => {}, hold: () => undefined };
  const kernel = options.kernel ?? SimKernel.create(state);
  const paths = simPaths(kernel);
  for (const directory of [paths.run, paths.state]) mkdirSync(directory, { recursive: true });
  const logged: string[] = [];
  const freed: CardAddress[] = [];
  const stuck = createStuckChildren();
  const door = simIo(kernel, (_path, pid) => {
    freed.push(...stuck.freed(pid));
  });
  const kernelLog = openKernelLog(paths.dev);
  const log = createLog('text', 'debug', (line) => logged.push(line));
  const ledger = await openLedger(paths.ledger, log);
  const host: Host = {
    paths,
    io: guardIo(watched(door, watch), stuck),
    log,
    ledger,
    baseline: createBaseline(ledger, simStamp.boot),
    risk: await openHostRisk(paths.hostRisk, log),
    kernel: simStamp.kernel,
    kernelLog,
    rescanLock: createLock('the PCI bus'),
    stuck,
    deadlines: { ...defaultDeadlines, ...shortWaits, ...deadlines },
    suspend: simSleep(kernel),
    async loadModule(name, sign) {
      if (sign === 'driver') kernel.loadDriver(name);
      else if (!kernel.loadModule(name)) throw new RevivedError('failed', `There is no ${name}.`);
    },
  };
  return {
    kernel,
    host,
    watch,
    logged,
    freed,
    at: (address, name) => `${kernel.sys}/bus/pci/devices/${address}/${name}`,
    bus: (name) => `${kernel.sys}/bus/pci/${name}`,
    dispose() {
      kernelLog.close();
      kernel.dispose();
    },
  };
}

/** Host drivers let go of the functions, as the steps before a rung have it. */
export function detach(sim: SimHost, ...functions: readonly string[]): void {
  for (const address of functions) {
    sim.kernel.write(sim.at(address, 'driver_override'), 'vfio-pci');
    sim.kernel.write(sim.at(address, 'driver/unbind'), address);
  }
}

export interface SimPipeline extends SimHost {
  leases: LeaseBook;
  readonly jobs: JobBook;
  readonly journal: Journal;
  handover: Handover;
  /** The last verdict on each card. */
  readonly health: ReadonlyMap<CardAddress, Health>;
  config: Config;
  /** A card as the inventory has it now. */
  card(address: CardAddress): Card;
  /** Its functions. */
  functions(address: CardAddress): readonly FunctionAddress[];
  driver(address: string): string | undefined;
  /** As after a restart of the daemon: what is known is what is on disk. */
  restart(): Promise<void>;
  /** Waits until no job runs, and until what follows from the end of the last one has begun. */
  idle(): Promise<void>;
  /** Ends the pipeline's files and the machine. */
  close(): Promise<void>;
}

/** This boot, and the kernel of the simulated machine. */
export const simStamp = { boot: 'b', kernel: 'k' } as const;

/** A handover with its real books on disk. */
export async function simPipeline(options?: SimOptions): Promise<SimPipeline> {
  const sim = await simHost(options);
  const { host, kernel } = sim;
  const journal = await openJournal(host.paths.journal, simStamp, host.log);
  const readLeases = async () =>
    journaledLeases(await openLeases(host.paths.leases, assert.fail), journal);
  const leases = await readLeases();
  const jobs = createJobBook(1, () => {});
  const health = new Map<CardAddress, Health>();
  const handoverOver = (book: LeaseBook): Handover =>
    createHandover({
      host,
      leases: book,
      jobs,
      journal,
      config: () => pipeline.config,
      onHealth: (address, verdict) => health.set(address, verdict),
      onLease: () => {},
      onHang: () => {}, // these are the desk's
      refuseUndoable: () => {},
      hadGuest: ({ uuid }) => uuid !== '',
    });
  const pipeline: SimPipeline = {
    ...sim,
    leases,
    jobs,
    journal,
    health,
    config: defaultConfig,
    handover: handoverOver(leases),
    async restart() {
      pipeline.leases = await readLeases();
      pipeline.handover = handoverOver(pipeline.leases);
    },
    card(address) {
      const found = readInventory(kernel.sys).cards.get(address);
      return found ?? assert.fail(`there is no card ${address}`);
    },
    functions: (address) => pipeline.card(address).functions.map((one) => one.address),
    driver: (address) => readLinkName(sim.at(address, 'driver')),
    async idle() {
      let quiet = false;
      // Once more after the last job has ended: its entry is written only then, and what follows begins after that.
      do {
        quiet = jobs.running().length === 0;
        await turns(5);
        await journal.rotate(); // does nothing but wait for the entries before it
        await turns(5);
      } while (!quiet || jobs.running().length > 0);
    },
    async close() {
      await journal.close();
      sim.dispose();
    },
  };
  return pipeline;
}

export interface Guest {
  readonly name: string;
  readonly uuid: string;
  readonly xml: string;
}

/** A domain with these functions (managed='yes'), as libvirt's hook gives it; `digit` makes its uuid. */
export function guest(name: string, digit: string, ...functions: readonly string[]): Guest {
  const uuid = `${digit.repeat(8)}-1111-2222-3333-444444444444`;
  const hostdevs = functions.map((address) => {
    const [domain, bus, slot, fn] = address.split(/[:.]/);
    const source = `domain='0x${domain}' bus='0x${bus}' slot='0x${slot}' function='0x${fn}'`;
    return `<hostdev mode='subsystem' type='pci' managed='yes'><source><address ${source}/></source></hostdev>`;
  });
  const devices = `<devices>${hostdevs.join('')}</devices>`;
  return {
    name,
    uuid,
    xml: `<domain type='kvm' id='1'><name>${name}</name><uuid>${uuid}</uuid>${devices}</domain>`,
  };
}

/** What the pipeline knows of a domain, read as main.ts has it read. */
export function readGuest(xml: string): DomainConfig {
  const { name, uuid, hostdevs } = readDomain(xml);
  const managed = hostdevs.every((hostdev) => hostdev.managed);
  return { name, uuid, managed, functions: hostdevs.map((hostdev) => hostdev.address) };
}

const settings = ['driver_override', 'power/control', 'd3cold_allowed', 'reset_method'] as const;
const hostSettings = ['power/mem_sleep', 'class/rtc/rtc0/wakealarm'] as const;

/**
 * What the daemon may change, of all devices: driver and settings; and of the host. `without` leaves settings out that a removal renews
 * (facts/kernel.md 0.11).
 */
export function treeOf(
  sys: string,
  without: readonly (typeof settings)[number][] = [],
): Readonly<Record<string, string>> {
  const tree: Record<string, string> = {};
  for (const name of hostSettings) {
    if (existsSync(`${sys}/${name}`))
      tree[name] = readFileSync(`${sys}/${name}`, 'latin1').trimEnd();
  }
  for (const address of readInventory(sys).functions.keys()) {
    const directory = `${sys}/bus/pci/devices/${address}`;
    tree[`${address} driver`] = readLinkName(`${directory}/driver`) ?? '-';
    for (const name of settings) {
      const path = `${directory}/${name}`;
      if (existsSync(path) && !without.includes(name)) {
        tree[`${address} ${name}`] = readFileSync(path, 'latin1').trimEnd();
      }
    }
  }
  return tree;
}

/** Step names and states of a job, in order. */
export function stepsOf(job: JobView | undefined): readonly (readonly [string, string])[] {
  return (job?.steps ?? []).map((step) => [step.name, step.state] as const);
}

/** Rungs of a job, in order, with how they ended. */
export function rungsOf(job: JobView | undefined): readonly (readonly [string, string])[] {
  return stepsOf(job)
    .filter(([name]) => name.startsWith('rung '))
    .map(([name, state]) => [name.slice('rung '.length), state] as const);
}

/** The journal's lines, parsed. */
export function journalOf(path: string): readonly Record<string, unknown>[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line): Record<string, unknown> => JSON.parse(line));
}

/** The leases as they are on disk. */
export function leasesOnDisk(path: string): readonly Lease[] {
  const file: { readonly leases: readonly Lease[] } = JSON.parse(readFileSync(path, 'utf8'));
  return file.leases;
}

/** Lets everything that can go on without time passing go on. */
export async function turns(count = 20): Promise<void> {
  for (let n = 0; n < count; n++) await new Promise((resolve) => setImmediate(resolve));
}

/** Waits for something to become true. */
export async function until(check: () => boolean): Promise<void> {
  assert.ok(await waitFor(() => check() || undefined, 10_000, 2), `in time: ${check}`);
}

/** A promise and its end. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
