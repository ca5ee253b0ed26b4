/**
 * The crash matrix: the daemon is ended before and after each thing that it does (every write to sysfs, every journal entry,
 * every change of the leases and of the ledger), and a new one started over what is there. In the end the card is either
 * lent, whole, to a domain that runs, or home as it was. The points are counted, not listed: what a new step does joins by
 * being done, and a step or rung that no way of the matrix goes through fails it, but for the rungs that name a reason.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, describe, mock, test } from 'node:test';
import { type CardConfig, defaultConfig } from '../../daemon/config/config.ts';
import { RevivedError } from '../../daemon/errors.ts';
import type { Host } from '../../daemon/host/host.ts';
import { type RungName, rungNames } from '../../daemon/pci/rung-name.ts';
import { createDesk, type Desk } from '../../daemon/pipeline/desk.ts';
import { type Journal, openJournal } from '../../daemon/pipeline/journal.ts';
import { journaledLeases } from '../../daemon/pipeline/journaled-leases.ts';
import { openLeases } from '../../daemon/pipeline/lease.ts';
import { executors } from '../../daemon/pipeline/steps/index.ts';
import { SimKernel } from '../sim/kernel.ts';
import { type FunctionSpec, type MachineSpec, machine } from '../sim/machine.ts';
import { simSleep } from '../sim/sleep.ts';
import {
  benchCards,
  benchMachine,
  guest,
  journalOf,
  leasesOnDisk,
  readGuest,
  simHost,
  simStamp,
  treeOf,
  turns,
} from '../unit/sim-host.ts';
import { Killer } from './killer.ts';

const { bochs, flr } = benchCards;

interface Daemon {
  readonly desk: Desk;
  readonly killer: Killer;
}

interface Way {
  readonly name: string;
  readonly card: typeof bochs;
  /** What ails the card when it begins, and which rung heals it. */
  readonly ails?: RungName;
  /** prepare: from home to a running guest. return: from there home. stopped: the same, where libvirt had bound it. */
  readonly way: 'prepare' | 'refused' | 'return' | 'stopped' | 'reset' | 'take' | 'give-back';
  readonly rung?: RungName;
  /** What the configuration says of the card. */
  readonly settings?: CardConfig;
  /** Where the card is one of another machine than benchMachine. */
  readonly machine?: MachineSpec;
}

/** Rungs that no way goes through, and why. */
const notHere: Partial<Record<RungName, string>> = {
  af_flr: 'the simulated kernel has no device with it; it does what flr does (rungs/method.ts)',
  cxl_bus: 'the simulated kernel has no CXL device; it does what bus does (rungs/method.ts)',
  'reboot-host': 'a person does it: no ladder writes anything for it',
};

const heals = (card: typeof bochs, ...rungs: readonly RungName[]): readonly Way[] =>
  rungs.map((ails) => ({ name: `return of a card that ${ails} heals`, card, ails, way: 'return' }));
/** What a small machine has besides. */
interface Extra {
  readonly rtc?: boolean;
  readonly d3cold?: boolean;
}

/** The only card of a small machine. */
const small = (one: FunctionSpec, settings: CardConfig, extra: Extra = {}) => {
  const drivers = ['pcieport', 'virtio-pci', 'amdgpu', 'vfio-pci'];
  const { rtc = false, d3cold = false } = extra;
  const machine = { rootDevices: [], drivers, rtc, ports: [{ d3cold, functions: [one] }] };
  return { card: bochs, settings, machine };
};
/** One that nothing but this rung heals. */
const alone = (ails: RungName, one: FunctionSpec, extra?: Extra): Way => ({
  ...small(one, { ladder: [ails] }, extra),
  ...{ name: `return of a card that ${ails} heals`, way: 'return', ails },
});
const ways: readonly Way[] = [
  { name: 'prepare', card: bochs, way: 'prepare' },
  { name: 'prepare of a dead card', card: bochs, way: 'prepare', ails: 'remove-rescan' },
  {
    ...{ name: 'prepare of a card with a reset method', card: flr, way: 'prepare' },
    settings: { resetMethod: 'flr', resetModule: 'not-there' },
  },
  ...(['prepare', 'return'] as const).map((way) => ({
    ...small({ model: 'navi10', acpiReset: true }, { ladder: ['remove-rescan'] }),
    ...{ name: `${way} of a card that the kernel must not reset by its bus`, way },
  })),
  { name: 'prepare that fails half-way', card: bochs, way: 'refused' },
  { name: 'return', card: bochs, way: 'return' },
  ...heals(bochs, 'subordinate', 'remove-rescan', 'slot-power'),
  ...heals(flr, 'flr', 'pm', 'bus'),
  alone('device_specific', { model: 'virtio-gpu', deviceSpecific: true }),
  alone('acpi', { model: 'virtio-gpu', acpiReset: true }),
  alone('d3cold', { model: 'virtio-gpu' }, { d3cold: true }),
  alone('amdgpu', { model: 'polaris' }),
  alone('suspend', { model: 'virtio-gpu' }, { rtc: true }),
  { name: 'stop of a guest whose card libvirt had bound', card: flr, way: 'stopped', ails: 'flr' },
  { name: 'reset by hand', card: flr, way: 'reset', rung: 'flr' },
  { name: 'take by hand', card: bochs, way: 'take' },
  { name: 'return by hand', card: bochs, way: 'give-back' },
];

/** Timers end with their process; here they must be ended for it. */
const timers = new Set<NodeJS.Timeout>();
const startTimer = globalThis.setTimeout;
mock.method(globalThis, 'setTimeout', (act: () => void, ms: number) => {
  const timer = startTimer(act, ms);
  timers.add(timer);
  return timer;
});

const covered = { steps: new Set<string>(), rungs: new Set<string>() };
let total = 0;

/** One machine, and one daemon after the other on it. */
class Room {
  readonly way: Way;
  readonly domain;
  readonly kernel: SimKernel;
  readonly before: unknown;
  paths: Host['paths'] | undefined;
  running = false;
  readonly #ends: (() => void)[] = [];

  constructor(way: Way) {
    this.way = way;
    const isWhole = way.card === bochs && way.machine === undefined;
    const functions = isWhole ? [`${bochs}.0`, `${bochs}.1`] : [`${way.card}.0`];
    this.domain = guest('win10', 'a', ...functions);
    // Without the driver and its module the last steps of a prepare fail.
    const drivers = ['pcieport', 'virtio-pci', 'bochs-drm', 'snd_hda_intel'];
    const bench = way.way === 'refused' ? benchMachine(2, drivers) : benchMachine();
    this.kernel = SimKernel.create(way.machine === undefined ? bench : machine(way.machine));
    this.before = this.tree();
  }

  // A removal renews reset_method, which is a stale cache (facts/kernel.md 0.1, 0.11).
  tree(): unknown {
    const { ails } = this.way;
    const isRenewed = ails === 'remove-rescan' || ails === 'slot-power' || ails === 'suspend';
    return treeOf(this.kernel.sys, isRenewed ? ['reset_method'] : []);
  }

  async daemon(killAt = Number.POSITIVE_INFINITY): Promise<Daemon> {
    const killer = new Killer(killAt);
    const sim = await simHost({ kernel: this.kernel });
    this.#ends.push(() => sim.host.kernelLog.close());
    this.paths = sim.host.paths;
    const { io, ledger } = sim.host;
    const host: Host = {
      ...sim.host,
      io: { ...io, write: killer.around(io.write) },
      suspend: simSleep(this.kernel, (write) => killer.around(write)),
      loadModule: async (name) => {
        if (this.way.way === 'refused') throw new RevivedError('failed', `There is no ${name}.`);
      },
      ledger: {
        ...ledger,
        addEnd: killer.around(ledger.addEnd),
        addQuarantine: killer.around(ledger.addQuarantine),
      },
    };
    const journal = await openJournal(host.paths.journal, simStamp, host.log);
    this.#ends.push(() => void journal.close());
    const leases = await openLeases(host.paths.leases, () => {});
    const { card, settings } = this.way;
    const cards = new Map(settings === undefined ? [] : [[card, settings]]);
    const written: Journal = {
      ...journal,
      append: killer.around((...entries) => {
        for (const { event } of entries) {
          if (event === 'rung') killer.rungs.first ??= killer.points - 1;
          if (event === 'rung-done') killer.rungs.last = killer.points + 2;
        }
        return journal.append(...entries);
      }),
    };
    const book = { ...leases, set: killer.around(leases.set), drop: killer.around(leases.drop) };
    const desk = createDesk({
      host,
      leases: journaledLeases(book, written),
      journal: written,
      stamp: simStamp,
      version: '0',
      config: () => ({ ...defaultConfig, holdersSeconds: 0, cards }),
      reload: async () => {},
      readDomain: readGuest,
      libvirtState: () => ({ libvirt: 'connected', libvirtVersion: '0' }),
      fetchXml: async () => this.domain.xml,
    });
    return { desk, killer };
  }

  /** Up to where the way begins. */
  async begin(): Promise<void> {
    const { card, way, ails, machine } = this.way;
    if (way === 'return' || way === 'give-back') {
      const first = await this.daemon();
      await first.desk.recover();
      if (way === 'return') await this.#hook(first, 'prepare');
      else first.desk.take(card, 'a person');
      await settled(first);
    }
    if (way === 'stopped') {
      const fn = `${card}.0`;
      const device = `${this.kernel.sys}/bus/pci/devices/${fn}`;
      this.kernel.write(`${device}/driver_override`, 'vfio-pci');
      this.kernel.write(`${device}/driver/unbind`, fn);
      this.kernel.write(`${this.kernel.sys}/bus/pci/drivers_probe`, fn);
      const first = await this.daemon();
      await first.desk.recover();
      await this.#hook(first, 'started');
    }
    if (ails !== undefined) {
      // A function-level reset needs a config space that answers.
      const sign = card === flr || machine !== undefined ? 'bars' : 'ff';
      this.kernel.die(card, { sign, healsBy: [ails], clean: true });
    }
  }

  /** Goes the way, until its end or until the daemon is dead. */
  async go(daemon: Daemon): Promise<void> {
    const { card, way, rung } = this.way;
    const { desk, killer } = daemon;
    const work = async (): Promise<void> => {
      await desk.recover();
      switch (way) {
        case 'prepare':
          await this.#hook(daemon, 'prepare');
          this.running = true;
          return;
        case 'refused':
          await assert.rejects(this.#hook(daemon, 'prepare'), RevivedError);
          await this.#hook(daemon, 'release');
          return settled(daemon);
        case 'return':
          await this.#hook(daemon, 'release');
          return settled(daemon);
        case 'stopped':
          await this.#hook(daemon, 'stopped');
          await this.#hook(daemon, 'release');
          return settled(daemon);
        case 'reset':
          desk.reset(card, rung ?? null, 'a person');
          return settled(daemon);
        case 'take':
          desk.take(card, 'a person');
          return settled(daemon);
        case 'give-back':
          desk.giveBack(card, 'a person');
          return settled(daemon);
      }
    };
    await Promise.race([work(), killer.death]);
  }

  /** A new daemon, which libvirt then tells what runs. */
  async restart(killAt?: number): Promise<Daemon> {
    const daemon = await this.daemon(killAt);
    const work = async (): Promise<void> => {
      await daemon.desk.recover();
      const { uuid, name } = this.domain;
      daemon.desk.onDomains([
        { uuid, name, state: this.running ? 'running' : 'shutoff', running: this.running },
      ]);
      await settled(daemon);
    };
    await Promise.race([work(), daemon.killer.death]);
    return daemon;
  }

  /** Lent and whole, or home as it was; never between. */
  check(): void {
    const { card, way } = this.way;
    const path = this.paths?.leases ?? '';
    const leases = existsSync(path) ? leasesOnDisk(path) : [];
    const isLent = leases.length === 1 && leases[0]?.state === 'lent' && leases[0].card === card;
    if (this.running) assert.ok(isLent, 'the guest runs: the card is lent to it');
    if (isLent) {
      assert.ok(this.running || way === 'take' || way === 'give-back', 'nobody has it');
      const functions = Object.entries(treeOf(this.kernel.sys)).filter(
        ([key]) => key.startsWith(card) && key.endsWith(' driver'),
      );
      for (const [key, driver] of functions) assert.equal(driver, 'vfio-pci', key);
      return;
    }
    const reasons = leases.map((lease) => `${lease.state}: ${lease.reason}`);
    assert.deepEqual(reasons, []);
    assert.deepEqual(this.tree(), this.before);
  }

  note(): void {
    for (const line of journalOf(this.paths?.journal ?? '')) {
      if (line['event'] === 'intent')
        covered.steps.add(JSON.stringify(line['step']).split('"')[3] ?? '');
      if (line['event'] === 'rung') covered.rungs.add(String(line['rung']));
    }
  }

  dispose(): void {
    for (const end of this.#ends) end();
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
    this.kernel.dispose();
  }

  #hook({ desk }: Daemon, operation: string): Promise<void> {
    return desk.hook({ operation, domain: this.domain.name, extra: '-', xml: this.domain.xml });
  }
}

/** No job runs, and none that follows from the last one has begun; or the daemon is dead. */
async function settled({ desk, killer }: Daemon): Promise<void> {
  for (let quiet = 0; quiet < 3 && !killer.isDead; ) {
    await turns(4);
    await Promise.race([desk.settle(10_000, 2), killer.death]);
    quiet = desk.jobs().some((job) => job.state === 'running') ? 0 : quiet + 1;
  }
}

describe('whenever the daemon is ended, the next one finds its way', () => {
  for (const way of ways) {
    test(way.name, async (t) => {
      // Once without an end, to see how many points there are, and that the way is the one that is meant.
      const whole = new Room(way);
      let points = 0;
      let rungs: Killer['rungs'] = {};
      try {
        await whole.begin();
        const daemon = await whole.daemon();
        await whole.go(daemon);
        await settled(daemon);
        points = daemon.killer.points;
        whole.note();
        // What comes before and after the rungs is the same in all ways with rungs.
        if (way.ails !== undefined) rungs = daemon.killer.rungs;
        if (way.ails !== undefined) assert.ok(covered.rungs.has(way.ails), `${way.ails} was done`);
        await whole.restart();
        whole.check();
      } finally {
        whole.dispose();
      }
      assert.ok(points > 20, `${points} points`);
      const { first = 1, last = points } = rungs;
      for (let at = first; at <= last; at++) {
        const room = new Room(way);
        try {
          await room.begin();
          await room.go(await room.daemon(at));
          // The next daemon is ended as well, somewhere in its first points; the one after it is not.
          await room.restart(1 + ((at * 7) % 23));
          await room.restart();
          room.check();
        } catch (error) {
          assert.fail(`ended at point ${at} of ${points}: ${String(error)}`);
        } finally {
          room.dispose();
        }
      }
      total += last - first + 1;
      t.diagnostic(`${last - first + 1} points`);
    });
  }

  after(() => {
    process.stdout.write(`crash matrix: ${total} points in ${ways.length} ways\n`);
    for (const step of Object.keys(executors)) {
      assert.ok(covered.steps.has(step), `no way goes through the step ${step}`);
    }
    for (const rung of rungNames)
      assert.equal(covered.rungs.has(rung), !(rung in notHere), `${rung}: a way or a reason`);
  });
});
