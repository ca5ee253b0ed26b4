/**
 * Config space and the `resource` file of a simulated device. Layout: include/uapi/linux/pci_regs.h; the flags of
 * `resource`: include/linux/ioport.h.
 */
import type { Bar, Model } from './models.ts';
import type { DeviceState, MachineState } from './state.ts';
import { ailmentOf, answers, functionOf, modelFor, reachable, shownBars } from './topology.ts';

const pmOffset = 0x40;
const pcieOffset = 0x80;
/** BAR registers that Linux leaves for the ROM, in `bases`. */
const romIndex = 6;

/** The bytes of `config` as a read finds them now. */
export function configSpace(state: MachineState, device: DeviceState): Buffer {
  if (!answers(state, device)) return silence(state, device);
  const model = modelFor(device);
  const bytes = Buffer.alloc(sizeOf(model));
  header(bytes, device, model);
  if (device.bridge !== null) busNumbers(bytes, device, device.bridge);
  else registers(bytes, state, device, model);
  capabilities(bytes, device, model);
  return bytes;
}

// Nobody answers: all ones. A function that says "not ready" for good: ffff0001 (facts/kernel.md 3.1 point 5).
function silence(state: MachineState, device: DeviceState): Buffer {
  const bytes = Buffer.alloc(sizeOf(modelFor(device)), 0xff);
  const crs = ailmentOf(state, device)?.sign === 'crs' && device.plugged;
  if (crs && reachable(state, device)) bytes.writeUInt32LE(0xffff0001, 0);
  return bytes;
}

// With a PCI Express capability the file has the extended space too; what is rendered lies in the first 256 bytes.
function sizeOf(model: Model): number {
  return model.pcie ? 4096 : 256;
}

function header(bytes: Buffer, device: DeviceState, model: Model): void {
  const [vendor, id] = hexPair(model.id);
  bytes.writeUInt16LE(vendor, 0x00);
  bytes.writeUInt16LE(id, 0x02);
  bytes.writeUInt16LE(device.command, 0x04);
  bytes.writeUInt16LE(model.pcie || model.pm !== 'none' ? 0x0010 : 0, 0x06);
  bytes.writeUInt8(model.revision, 0x08);
  bytes.writeUIntLE(Number.parseInt(model.classCode, 16), 0x09, 3);
  bytes.writeUInt8(device.bridge !== null ? 0x01 : 0x00, 0x0e);
  if (device.multifunction) bytes.writeUInt8(bytes.readUInt8(0x0e) | 0x80, 0x0e);
  bytes.writeUInt8(functionOf(device.address) + 1, 0x3d);
}

function busNumbers(
  bytes: Buffer,
  device: DeviceState,
  bridge: NonNullable<DeviceState['bridge']>,
): void {
  // A switch without power has forgotten them; a root port keeps its own.
  if (device.parent !== null && device.bars !== 'programmed') return;
  const primary = Number.parseInt(device.address.slice(5, 7), 16);
  bytes.set([primary, bridge.secondary, bridge.subordinate], 0x18);
}

function registers(bytes: Buffer, state: MachineState, device: DeviceState, model: Model): void {
  const [vendor, id] = hexPair(model.subsystem);
  bytes.writeUInt16LE(vendor, 0x2c);
  bytes.writeUInt16LE(id, 0x2e);
  for (const bar of model.bars) {
    const offset = 0x10 + 4 * bar.index;
    const value = barValue(bar, device.bases[bar.index] ?? 0, shownBars(state, device));
    bytes.writeUInt32LE(value.low, offset);
    if (bar.kind === 'mem64') bytes.writeUInt32LE(value.high, offset + 4);
  }
  if (model.rom > 0 && device.romProgrammed) {
    bytes.writeUInt32LE(device.bases[romIndex] ?? 0, 0x30);
  }
}

function barValue(
  bar: Bar,
  base: number,
  shown: DeviceState['bars'],
): { readonly low: number; readonly high: number } {
  const flags = bar.kind === 'io' ? 1 : (bar.kind === 'mem64' ? 4 : 0) | (bar.prefetch ? 8 : 0);
  switch (shown) {
    case 'zero':
    case 'unassigned':
      return { low: flags, high: 0 };
    case 'ones':
      return { low: ((0xffffffff - (bar.size - 1)) | flags) >>> 0, high: 0xffffffff };
    case 'programmed':
      return { low: ((base % 2 ** 32) | flags) >>> 0, high: Math.floor(base / 2 ** 32) };
  }
}

function capabilities(bytes: Buffer, device: DeviceState, model: Model): void {
  const list = [...(model.pm === 'none' ? [] : [pmOffset]), ...(model.pcie ? [pcieOffset] : [])];
  bytes.writeUInt8(list[0] ?? 0, 0x34);
  for (const [place, offset] of list.entries()) bytes.writeUInt8(list[place + 1] ?? 0, offset + 1);
  if (model.pm !== 'none') {
    bytes.writeUInt8(0x01, pmOffset);
    bytes.writeUInt16LE(0x0003, pmOffset + 2);
    const state = device.powerState === 'D3hot' ? 3 : 0;
    bytes.writeUInt16LE(state | (model.pm === 'no-soft-reset' ? 8 : 0), pmOffset + 4);
  }
  if (!model.pcie) return;
  bytes.writeUInt8(0x10, pcieOffset);
  const slot = device.bridge?.slot ?? null;
  const type = device.bridge === null ? 0 : device.parent === null ? 4 : isUpstream(device) ? 5 : 6;
  bytes.writeUInt16LE(0x0002 | (type << 4) | (slot === null ? 0 : 0x100), pcieOffset + 2);
  bytes.writeUInt32LE(0x8000 | (model.flr ? 0x10000000 : 0), pcieOffset + 4);
  // 2.5 GT/s; one lane is what QEMU's ports train to.
  bytes.writeUInt32LE((model.lanes << 4) | 1, pcieOffset + 0x0c);
  bytes.writeUInt16LE(0x2000 | (device.lanes << 4) | 1, pcieOffset + 0x12);
  if (device.bridge === null || slot === null) return;
  bytes.writeUInt32LE(device.bridge.powerController ? 0x0002 : 0, pcieOffset + 0x14);
  bytes.writeUInt16LE(device.bridge.powerOff ? 0x0400 : 0, pcieOffset + 0x18);
}

function isUpstream(device: DeviceState): boolean {
  return device.model.endsWith('upstream');
}

function hexPair(pair: string): readonly [number, number] {
  return [Number.parseInt(pair.slice(0, 4), 16), Number.parseInt(pair.slice(5), 16)];
}

/** Lines of `resource`: six BARs, the ROM, six for virtual functions, and a bridge's four windows. */
export function resourceText(device: DeviceState): string {
  const model = modelFor(device);
  const lines = Array.from({ length: device.bridge === null ? 13 : 17 }, () => line(0, 0, 0));
  for (const bar of model.bars) {
    lines[bar.index] = range(device.bases[bar.index] ?? 0, bar.size, flagsOf(bar), device);
  }
  if (model.rom > 0) {
    lines[romIndex] = range(device.bases[romIndex] ?? 0, model.rom, 0x46200, device);
  }
  if (device.shadowRom) lines[romIndex] = line(0xc0000, 0xdffff, 0x212);
  return lines.join('');
}

function flagsOf(bar: Bar): number {
  switch (bar.kind) {
    case 'io':
      return 0x40101;
    case 'mem32':
      return bar.prefetch === true ? 0x42208 : 0x40200;
    case 'mem64':
      return bar.prefetch === true ? 0x14220c : 0x140204;
  }
}

function range(base: number, size: number, flags: number, device: DeviceState): string {
  // The kernel found no place and forgot the BAR (reset_resource of drivers/pci/setup-bus.c, seen on 6.12).
  if (device.bars === 'unassigned') return line(0, 0, 0);
  return line(base, base + size - 1, flags);
}

function line(...numbers: readonly number[]): string {
  return `${numbers.map((n) => `0x${n.toString(16).padStart(16, '0')}`).join(' ')}\n`;
}
