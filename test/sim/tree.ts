/**
 * The simulated machine as files: <root>/sys, <root>/dev, <root>/proc. Everything is derived from the state. A file
 * changes by rename and a device directory comes and goes by rename, so a reader never sees half of one.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { type Attribute, attributesOf, busName } from './attributes.ts';
import { recoverPathOf } from './drivers.ts';
import { slotPower } from './slot.ts';
import type { DeviceState, Holder, MachineState } from './state.ts';
import { directoryOf } from './topology.ts';

/** Where the simulation keeps what is not part of the machine: state, lock, staging, pipes of stuck writers. */
export const simDirectory = '.sim';

export class Tree {
  readonly root: string;
  readonly #stage: string;
  readonly #done = new Map<string, string>();
  /** By the directory of a device: what its files hold. */
  readonly #shown = new Map<string, ReadonlyMap<string, Attribute>>();
  #staged = 0;

  constructor(root: string) {
    this.root = root;
    this.#stage = join(root, simDirectory, `stage-${process.pid}`);
  }

  /** Writes everything that does not depend on devices. */
  lay(state: MachineState): void {
    for (const directory of ['bus/pci/devices', 'bus/pci/drivers', 'bus/pci/slots', 'module']) {
      mkdirSync(join(this.root, 'sys', directory), { recursive: true });
    }
    for (const directory of ['sys/kernel/iommu_groups', 'dev/vfio', 'dev/dri', 'dev/snd']) {
      mkdirSync(join(this.root, directory), { recursive: true });
    }
    if (state.iommu) this.#put('sys/class/iommu/dmar0/intel-iommu/version', '1:0\n');
    for (const file of ['rescan', 'drivers_probe']) this.#put(`sys/bus/pci/${file}`, '', 0o200);
    this.#put('sys/bus/pci/drivers_autoprobe', '1\n', 0o644);
    this.#put('sys/power/state', 'freeze mem disk\n', 0o644);
    this.#put('sys/power/mem_sleep', '[s2idle] deep\n', 0o644);
    if (state.rtc) this.#put('sys/class/rtc/rtc0/wakealarm', '', 0o644);
    this.#put('sys/devices/pci0000:00/power/control', 'auto\n', 0o644);
    this.#put('dev/vfio/vfio', '');
    if (!existsSync(join(this.root, 'dev/kmsg'))) this.#put('dev/kmsg', '');
    this.#put('proc/sys/kernel/osrelease', '6.12.117-sim\n');
    this.#put('proc/version', 'Linux version 6.12.117-sim (sim@revived) #1 SMP\n');
    this.#put('proc/cmdline', 'root=/dev/vda rw intel_iommu=on iommu=pt\n');
    this.#put('proc/cpuinfo', 'processor\t: 0\nvendor_id\t: GenuineIntel\n\n');
  }

  /** Brings the files of these devices, and what belongs to no single device, in step with the state. */
  sync(state: MachineState, addresses: Iterable<string>): void {
    const devices = [...addresses].flatMap((address) => state.devices[address] ?? []);
    const depth = (device: DeviceState): number => directoryOf(state, device).length;
    const gone = devices.filter((device) => !device.enumerated);
    const there = devices.filter((device) => device.enumerated);
    // A directory takes its children with it: the links of the deepest go first.
    for (const device of gone.sort((a, b) => depth(b) - depth(a))) this.#withdraw(state, device);
    for (const device of there.sort((a, b) => depth(a) - depth(b))) this.#show(state, device);
    this.#syncDrivers(state.drivers.map((driver) => driver.name));
    this.#syncModules(state.modules);
    if (devices.length > 0) {
      this.#syncSlots(state);
      this.#syncNodes(state);
    }
    this.#syncHolders(state.holders);
    this.#whenNew('consoles', JSON.stringify(state.consoles), () => {
      for (const [name, console] of Object.entries(state.consoles)) {
        this.#put(`sys/class/vtconsole/${name}/name`, `${console.name}\n`);
        this.#put(`sys/class/vtconsole/${name}/bind`, `${console.bound ? 1 : 0}\n`, 0o644);
      }
    });
    this.#whenNew('boot', `${state.autoprobe} ${state.bootId}`, () => {
      this.#put('sys/bus/pci/drivers_autoprobe', `${state.autoprobe ? 1 : 0}\n`, 0o644);
      this.#put('proc/sys/kernel/random/boot_id', `${state.bootId}\n`);
    });
  }

  /** Throws away all that is derived from the state. */
  clear(): void {
    for (const part of ['sys', 'proc', 'dev/vfio', 'dev/dri', 'dev/snd']) {
      rmSync(join(this.root, part), { recursive: true, force: true });
    }
    this.forget();
  }

  /** Another process may have written since: nothing is taken for done. */
  forget(): void {
    this.#done.clear();
    this.#shown.clear();
  }

  // What is derived from the whole machine is written again only when its source differs from the last time.
  #whenNew(part: string, source: string, write: () => void): void {
    if (this.#done.get(part) === source) return;
    write();
    this.#done.set(part, source);
  }

  #show(state: MachineState, device: DeviceState): void {
    const place = `sys/${directoryOf(state, device)}`;
    const fresh = !existsSync(join(this.root, place));
    const attributes = attributesOf(state, device);
    if (fresh) this.#create(device, attributes, place);
    else {
      const shown = this.#shown.get(place);
      for (const [name, { content, mode }] of attributes) {
        const was = shown?.get(name)?.content;
        if (was === undefined || !isSame(was, content))
          this.#put(`${place}/${name}`, content, mode);
      }
    }
    this.#shown.set(place, attributes);
    this.#link(`${place}/driver`, device.driver && `sys/bus/pci/drivers/${device.driver}`, (was) =>
      this.#unlink(`sys/bus/pci/drivers/${was}/${device.address}`),
    );
    if (device.driver !== null) {
      this.#makeDirectory(join(this.root, 'sys/bus/pci/drivers', device.driver));
      this.#link(`sys/bus/pci/drivers/${device.driver}/${device.address}`, place);
    }
    if (!fresh || device.nodes.length > 0) this.#showNodes(place, device);
    if (device.group !== null) this.#joinGroup(place, device.address, device.group);
    if (fresh) this.#link(`sys/bus/pci/devices/${device.address}`, place);
  }

  // Built aside, then moved to its place.
  #create(device: DeviceState, attributes: ReadonlyMap<string, Attribute>, place: string): void {
    const stage = join(this.#stage, String(this.#staged++));
    mkdirSync(join(stage, 'power'), { recursive: true });
    // A _PR3 with resources (drivers/acpi/device_sysfs.c).
    if (device.bridge?.d3cold === true) {
      mkdirSync(join(stage, 'firmware_node/power_resources_D3hot'), { recursive: true });
    }
    for (const [name, attribute] of attributes) {
      if (name.startsWith('pci_bus/')) mkdirSync(join(stage, dirname(name)), { recursive: true });
      writeFileSync(join(stage, name), attribute.content, { mode: attribute.mode });
    }
    symlinkSync(relative(place, 'sys/bus/pci'), join(stage, 'subsystem'));
    this.#makeDirectory(dirname(join(this.root, place)));
    renameSync(stage, join(this.root, place));
  }

  #withdraw(state: MachineState, device: DeviceState): void {
    const place = `sys/${directoryOf(state, device)}`;
    this.#unlink(`sys/bus/pci/devices/${device.address}`);
    this.#link(`${place}/driver`, null, (was) =>
      this.#unlink(`sys/bus/pci/drivers/${was}/${device.address}`),
    );
    this.#link(`${place}/iommu_group`, null, (was) => this.#leaveGroup(device.address, was));
    if (!existsSync(join(this.root, place))) return;
    mkdirSync(this.#stage, { recursive: true });
    const aside = join(this.#stage, `gone-${this.#staged++}`);
    renameSync(join(this.root, place), aside);
    rmSync(aside, { recursive: true });
  }

  #joinGroup(place: string, address: string, group: number): void {
    const directory = `sys/kernel/iommu_groups/${group}`;
    this.#makeDirectory(join(this.root, directory, 'devices'));
    this.#put(`${directory}/type`, 'identity\n', 0o644);
    this.#link(`${directory}/devices/${address}`, place);
    this.#link(`${place}/iommu_group`, directory, (was) => this.#leaveGroup(address, was));
  }

  #leaveGroup(address: string, group: string): void {
    const directory = join(this.root, 'sys/kernel/iommu_groups', group);
    rmSync(join(directory, 'devices', address), { force: true });
    if (namesIn(join(directory, 'devices')).length === 0) rmSync(directory, { recursive: true });
  }

  // drm/card0 and the like are directories below the device and vanish with the driver.
  #showNodes(place: string, device: DeviceState): void {
    for (const kind of ['drm', 'sound']) {
      const wanted = device.nodes.filter((node) => node.startsWith(`${kind}/`));
      const directory = join(this.root, place, kind);
      if (wanted.length === 0) rmSync(directory, { recursive: true, force: true });
      for (const name of namesIn(directory)) {
        if (!wanted.includes(`${kind}/${name}`)) rmSync(join(directory, name), { recursive: true });
      }
      for (const node of wanted) this.#makeDirectory(join(this.root, place, node));
    }
  }

  #syncDrivers(names: readonly string[]): void {
    this.#whenNew('drivers', names.join(' '), () => {
      for (const name of names) this.#layDriver(name);
      for (const name of namesIn(join(this.root, 'sys/bus/pci/drivers'))) {
        if (names.includes(name)) continue;
        for (const path of [`sys/bus/pci/drivers/${name}`, `sys/module/${moduleOf(name)}`]) {
          rmSync(join(this.root, path), { recursive: true, force: true });
        }
      }
    });
  }

  #syncModules(modules: MachineState['modules']): void {
    this.#whenNew('modules', JSON.stringify(modules), () => {
      for (const [name, { loaded }] of Object.entries(modules)) {
        const module = `sys/module/${moduleOf(name)}`;
        if (loaded) this.#put(`${module}/initstate`, 'live\n');
        else rmSync(join(this.root, module), { recursive: true, force: true });
      }
    });
  }

  #layDriver(name: string): void {
    for (const file of ['bind', 'unbind', 'new_id', 'remove_id', 'uevent']) {
      this.#put(`sys/bus/pci/drivers/${name}/${file}`, '', 0o200);
    }
    const module = `sys/module/${moduleOf(name)}`;
    this.#makeDirectory(join(this.root, module));
    if (name === 'vfio-pci') this.#put(`${module}/parameters/disable_idle_d3`, 'N\n');
  }

  #syncSlots(state: MachineState): void {
    const slots = new Map<string, readonly [address: string, power: string]>();
    for (const port of Object.values(state.devices)) {
      if (!port.enumerated || port.bridge === null || port.bridge.slot === null) continue;
      const address = `${busName(port.bridge.secondary)}:00`;
      slots.set(port.bridge.slot, [address, slotPower(port.bridge)]);
    }
    this.#whenNew('slots', JSON.stringify([...slots]), () => {
      for (const [name, [address, power]] of slots) {
        this.#put(`sys/bus/pci/slots/${name}/address`, `${address}\n`);
        this.#put(`sys/bus/pci/slots/${name}/power`, `${power}\n`, 0o644);
      }
      for (const name of namesIn(join(this.root, 'sys/bus/pci/slots'))) {
        if (slots.has(name)) continue;
        rmSync(join(this.root, 'sys/bus/pci/slots', name), { recursive: true });
      }
    });
  }

  #syncNodes(state: MachineState): void {
    const devices = Object.values(state.devices);
    const nodes = devices.flatMap((device) => device.nodes);
    this.#syncRecover(devices);
    const groups = devices.filter((one) => one.driver === 'vfio-pci').map((one) => one.group);
    this.#syncFiles('dev/vfio', ['vfio', ...groups.map(String)]);
    this.#syncFiles(
      'dev/dri',
      nodes.filter((node) => node.startsWith('drm/')).map((node) => basename(node)),
    );
    this.#syncFiles(
      'dev/snd',
      nodes
        .filter((node) => node.startsWith('sound/card'))
        .map((node) => node.slice('sound/card'.length))
        .flatMap((number) => [`controlC${number}`, `pcmC${number}D0p`]),
    );
  }

  // debugfs, where amdgpu has the card (amdgpu_debugfs.c).
  #syncRecover(devices: readonly DeviceState[]): void {
    const wanted = devices.flatMap((device) => recoverPathOf(device) ?? []);
    this.#whenNew('recover', wanted.join(' '), () => {
      rmSync(join(this.root, 'sys/kernel/debug/dri'), { recursive: true, force: true });
      for (const path of wanted) this.#put(`sys/${path}`, '');
    });
  }

  #syncHolders(holders: readonly Holder[]): void {
    this.#whenNew('holders', JSON.stringify(holders), () => {
      const pids = new Set(holders.map((holder) => String(holder.pid)));
      for (const name of namesIn(join(this.root, 'proc'))) {
        if (!/^\d+$/.test(name) || pids.has(name)) continue;
        rmSync(join(this.root, 'proc', name), { recursive: true });
      }
      for (const pid of pids) {
        const own = holders.filter((holder) => String(holder.pid) === pid);
        this.#put(`proc/${pid}/comm`, `${own[0]?.name ?? '?'}\n`);
        mkdirSync(join(this.root, `proc/${pid}/fd`), { recursive: true });
        for (const [place, { node }] of own.entries()) {
          this.#relink(`proc/${pid}/fd/${5 + place}`, node);
        }
      }
    });
  }

  #syncFiles(directory: string, wanted: readonly string[]): void {
    this.#whenNew(directory, wanted.join(' '), () => {
      for (const name of namesIn(join(this.root, directory))) {
        if (!wanted.includes(name)) this.#unlink(`${directory}/${name}`);
      }
      for (const name of wanted) this.#put(`${directory}/${name}`, '');
    });
  }

  // Unchanged content is left alone; else a new file takes the name.
  #put(path: string, content: string | Buffer, mode = 0o444): void {
    const file = join(this.root, path);
    const bytes = Buffer.from(content);
    const isThere = existsSync(file);
    if (isThere && readFileSync(file).equals(bytes)) return;
    if (this.#staged === 0) mkdirSync(this.#stage, { recursive: true });
    const aside = join(this.#stage, String(this.#staged++));
    writeFileSync(aside, bytes, { mode });
    if (!isThere) this.#makeDirectory(dirname(file));
    renameSync(aside, file);
  }

  #makeDirectory(directory: string): void {
    if (!existsSync(directory)) mkdirSync(directory, { recursive: true });
  }

  /** Points a link at `target` (below the root; null: no link); tells the last element of what it was. */
  #link(path: string, target: string | null, onChange?: (was: string) => void): void {
    const wanted = target === null ? undefined : relative(dirname(path), target);
    const was = targetOfLink(join(this.root, path));
    if (was === wanted) return;
    if (was !== undefined) {
      this.#unlink(path);
      onChange?.(basename(was));
    }
    if (wanted !== undefined) symlinkSync(wanted, join(this.root, path));
  }

  #relink(path: string, target: string): void {
    if (targetOfLink(join(this.root, path)) === target) return;
    this.#unlink(path);
    symlinkSync(target, join(this.root, path));
  }

  #unlink(path: string): void {
    rmSync(join(this.root, path), { force: true });
  }
}

function isSame(a: string | Buffer, b: string | Buffer): boolean {
  return a === b || (typeof a !== 'string' && typeof b !== 'string' && a.equals(b));
}

function moduleOf(driver: string): string {
  return driver.replaceAll('-', '_');
}

function namesIn(directory: string): readonly string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

// Looks first: an exception costs more than anything else in here.
function targetOfLink(path: string): string | undefined {
  const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink();
  return isLink === true ? readlinkSync(path) : undefined;
}
