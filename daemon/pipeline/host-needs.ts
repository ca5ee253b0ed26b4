/**
 * What the host itself cannot do without: the disks that it runs from, and a keyboard. A controller that these hang on is not
 * handed over: without its root file system the host stands still, without a keyboard nobody can tell it anything.
 */
import type { Config } from '../config/config.ts';
import { createHostFiles } from '../doctor/captured.ts';
import { readDisksInUse } from '../doctor/system-disks.ts';
import { RevivedError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { type FunctionAddress, isFunctionAddress } from '../pci/address.ts';
import type { Card } from '../pci/inventory.ts';
import { readAttribute, readNames, realPath } from '../sysfs/read.ts';

export interface HostNeeds {
  /** Functions above the block devices that hold /, /usr, /var and /boot. */
  readonly disks: ReadonlySet<FunctionAddress>;
  /** Functions above block devices that hold something else that is mounted, or swap. */
  readonly mounted: ReadonlySet<FunctionAddress>;
  readonly keyboards: readonly Keyboard[];
}

/** The functions that it hangs on, each; null for what hangs on none (PS/2). Several where it may be any of them. */
type Keyboard = readonly (FunctionAddress | null)[];

/** Most input devices that are looked at. */
const maxInputs = 1024;
/** BUS_BLUETOOTH of include/uapi/linux/input.h. */
const busBluetooth = '0005';

/** Reads the live host. Nothing of it blocks; what cannot be read counts as not there. */
export function readHostNeeds(paths: Pick<Paths, 'sys' | 'proc' | 'dev'>): HostNeeds {
  const { sys } = paths;
  const files = createHostFiles('/', { paths, kernelLog: () => undefined });
  const inputs = (readNames(`${sys}/class/input`) ?? []).filter((name) => /^input\d+$/.test(name));
  const adapters = readAdapters(sys);
  const { system, mounted } = readDisksInUse(files);
  return {
    disks: new Set(system),
    mounted: new Set(mounted),
    keyboards: inputs
      .slice(0, maxInputs)
      .map((name) => `${sys}/class/input/${name}`)
      .filter((path) => isKeyboard(readAttribute(`${path}/capabilities/key`)))
      .map((path) => keyboardAt(path, adapters))
      // One that no hardware is known for helps nobody at the machine.
      .filter((keyboard) => keyboard.length > 0),
  };
}

/** Throws `refused` where one of these cards has a system disk below it, or the last keyboard of the host. */
export function refuseNeeded(
  cards: readonly Card[],
  needs: HostNeeds,
  config: Pick<Config, 'cards'>,
): void {
  for (const card of cards) refuseSystemDisk(card, needs);
  const moving = new Map(
    cards.flatMap((card) => card.functions.map((fn) => [fn.address, card] as const)),
  );
  const isMoving = (fn: FunctionAddress | null) => fn !== null && moving.has(fn);
  const last = needs.keyboards.flat().findLast(isMoving);
  const stays = needs.keyboards.some((keyboard) => !keyboard.some(isMoving));
  const card = last === undefined || last === null ? undefined : moving.get(last);
  if (stays || card === undefined || config.cards.get(card.address)?.lendKeyboard === true) return;
  throw new RevivedError(
    'refused',
    `The only keyboard of this host hangs on ${last}: with card ${card.address} in a guest nobody could type here.`,
    `Plug a keyboard into another controller, or say that you reach the host over the network: lend-keyboard: true for card ${card.address}.`,
  );
}

// The host runs from it.
function refuseSystemDisk(card: Card, { disks }: HostNeeds): void {
  const fn = card.functions.find(({ address }) => disks.has(address));
  if (fn === undefined) return;
  throw new RevivedError(
    'refused',
    `The host runs from a disk on ${fn.address}: without card ${card.address} it would stand still and lose data.`,
    'Pass another controller to the domain, or move that disk to another one.',
  );
}

/**
 * Throws `refused` where a card that is named by hand has more of the host than a person means: a disk in use below it, or, in
 * a slot of the chipset or of a SoC, the host's own controllers. A guest's domain names functions; there the owner has said which.
 */
export function refuseByHand(card: Card, needs: HostNeeds): void {
  refuseDisksInUse(card, needs);
  const own = card.functions.filter(
    (fn) =>
      /^(01|02|06)/.test(fn.classCode ?? '') && fn.driver !== undefined && fn.driver !== 'vfio-pci',
  );
  if (own.length === 0) return;
  const names = own.map((fn) => `${fn.address} (${fn.driver})`).join(', ');
  throw new RevivedError(
    'refused',
    `Card ${card.address} holds ${names}: the host's disks, network or bridges may hang on it.`,
    'Pass the functions that you mean to a domain, or unbind these by hand first.',
  );
}

// A domain may ask for a disk that is mounted, and is warned.
function refuseDisksInUse(card: Card, needs: HostNeeds): void {
  refuseSystemDisk(card, needs);
  const { mounted } = needs;
  const fn = card.functions.find(({ address }) => mounted.has(address));
  if (fn === undefined) return;
  throw new RevivedError(
    'refused',
    `A disk on ${fn.address} is mounted, or swapped to: taking card ${card.address} from the host would lose data.`,
    'Unmount it first: lsblk shows where it is mounted.',
  );
}

// As udev's input_id tells a keyboard: the keys 1 to 31 (Esc to S) are all there. Words of a long each, the lowest last.
function isKeyboard(keys: string | undefined): boolean {
  const low = keys?.split(' ').at(-1) ?? '';
  if (!/^[0-9a-f]{1,16}$/.test(low)) return false;
  return (BigInt(`0x${low}`) & 0xfffffffen) === 0xfffffffen;
}

// A program can make a keyboard of its own (uinput: keyd, Steam, Sunshine), which nobody can type on. BlueZ makes one with
// uhid for each of Bluetooth, and sysfs does not tell of which adapter: it is there while all of them are.
function keyboardAt(input: string, adapters: Keyboard): Keyboard {
  const path = realPath(input) ?? '';
  if (!path.includes('/devices/virtual/')) return [functionIn(path)];
  const isBluetooth =
    path.includes('/devices/virtual/misc/uhid/') &&
    readAttribute(`${input}/id/bustype`) === busBluetooth;
  return isBluetooth ? adapters : [];
}

function readAdapters(sys: string): Keyboard {
  return (readNames(`${sys}/class/bluetooth`) ?? [])
    .filter((name) => /^hci\d+$/.test(name))
    .slice(0, maxInputs)
    .map((name) => functionIn(realPath(`${sys}/class/bluetooth/${name}`) ?? ''));
}

// The last one on the way: /sys/devices/pci0000:00/0000:00:08.1/0000:0c:00.3/usb3/3-1/...
function functionIn(path: string): FunctionAddress | null {
  return path.split('/').findLast(isFunctionAddress) ?? null;
}
