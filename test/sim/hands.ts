/** What the assertions of conformance.ts do to a machine, simulated or real: SysfsIo and plain reads, nothing else. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import type { IoResult, SysfsIo } from '../../daemon/sysfs/io.ts';

/** Card addresses of the lab machine by what they are for (presets.ts, test/lab/machine.sh). */
interface LabCards {
  readonly bochs: string;
  readonly ati: string;
  readonly xhci: string;
  readonly flr: string;
  readonly nvme: string;
  readonly switched: string;
}

export interface Bench {
  readonly io: SysfsIo;
  /** `/sys`, or that of a simulated machine. */
  readonly sys: string;
  readonly dev: string;
  readonly cards: LabCards;
  /** Sets and clears the Power Controller bit of the port above a card (lab.md, "The wedge"). */
  readonly wedge: (card: string) => Promise<void>;
  readonly unwedge: (card: string) => Promise<void>;
}

export interface Assertion {
  readonly name: string;
  /** Waits about 70 s for each method on a real kernel. */
  readonly slow?: boolean;
  readonly run: (bench: Bench) => Promise<void>;
}

/** Above two dead methods of 70 s each. */
const longMs = 200_000;

/** What the assertions do, in words of their own. */
export class Hands {
  readonly #bench: Bench;

  constructor(bench: Bench) {
    this.#bench = bench;
  }

  path(address: string, name: string): string {
    return `${this.#bench.sys}/bus/pci/devices/${address}/${name}`;
  }

  bus(name: string): string {
    return `${this.#bench.sys}/bus/pci/${name}`;
  }

  /** `ok`, the errno, or `stuck`. */
  async write(path: string, value: string): Promise<string> {
    return said(await this.#bench.io.write(path, value, longMs));
  }

  async set(address: string, name: string, value: string): Promise<string> {
    return this.write(this.path(address, name), value);
  }

  /** An attribute without its newline; undefined when it is not there. */
  get(address: string, name: string): string | undefined {
    const path = this.path(address, name);
    return existsSync(path) ? readFileSync(path, 'latin1').replace(/\n$/, '') : undefined;
  }

  driver(address: string): string | undefined {
    const link = this.path(address, 'driver');
    return existsSync(link) ? basename(readlinkSync(link)) : undefined;
  }

  /** Where the link in bus/pci/devices leads: the way through the bridges. */
  place(address: string): string {
    return readlinkSync(this.bus(`devices/${address}`));
  }

  /** Number of its IOMMU group. */
  group(address: string): string | undefined {
    const link = this.path(address, 'iommu_group');
    return existsSync(link) ? basename(readlinkSync(link)) : undefined;
  }

  there(address: string): boolean {
    return existsSync(this.path(address, 'vendor'));
  }

  /** First bytes of config space as hex. */
  async config(address: string, length = 4): Promise<string> {
    const result = await this.#bench.io.read(this.path(address, 'config'), length, longMs);
    assert.equal(result.state, 'ok', `reading config of ${address}`);
    return result.state === 'ok' ? result.data.toString('hex') : '';
  }

  /** Unbinds a function from whatever has it. */
  async unbind(address: string): Promise<void> {
    const driver = this.driver(address);
    if (driver === undefined) return;
    assert.equal(await this.write(this.bus(`drivers/${driver}/unbind`), address), 'ok');
  }

  /** Override, unbind, probe: the way of the daemon. */
  async give(address: string, driver: string): Promise<void> {
    assert.equal(await this.set(address, 'driver_override', driver), 'ok');
    await this.unbind(address);
    assert.equal(await this.write(this.bus('drivers_probe'), address), 'ok');
  }

  /** Back to the driver that the kernel would choose. */
  async home(address: string): Promise<void> {
    await this.unbind(address);
    assert.equal(await this.set(address, 'driver_override', '\n'), 'ok');
    assert.equal(await this.write(this.bus('drivers_probe'), address), 'ok');
  }

  /** Takes a card off the bus and finds it again: everything at its default. */
  async renew(card: string): Promise<void> {
    for (const fn of [1, 0]) {
      const address = `${card}.${fn}`;
      if (this.there(address)) assert.equal(await this.set(address, 'remove', '1'), 'ok');
    }
    assert.equal(await this.write(this.bus('rescan'), '1'), 'ok');
  }

  slotOf(card: string): string {
    const slots = this.bus('slots');
    const name = readdirSync(slots).find(
      (slot) => readFileSync(`${slots}/${slot}/address`, 'latin1').trim() === card,
    );
    assert.ok(name, `no slot for ${card}`);
    return `${slots}/${name}/power`;
  }
}

function said(result: IoResult): string {
  switch (result.state) {
    case 'ok':
      return 'ok';
    case 'stuck':
      return 'stuck';
    case 'error':
      return result.errno;
  }
}

/** Runs `act` on a wedged card, and always mends it. */
export async function wedged(
  bench: Bench,
  card: string,
  act: (hands: Hands) => Promise<void>,
): Promise<void> {
  const hands = new Hands(bench);
  await bench.wedge(card);
  try {
    await act(hands);
  } finally {
    await bench.unwedge(card);
    await hands.renew(card);
  }
}
