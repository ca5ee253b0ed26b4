/** Lists of device ids as the quirk data writes them: `67df 6860-6864`, lower case hex, separated by spaces. */

/** A range of device ids, both ends included. */
export type DeviceRange = readonly [from: number, to: number];

/** The ranges of such a list, a single id as a range of one. Throws an Error that names what is neither id nor range. */
export function deviceRanges(devices: string): readonly DeviceRange[] {
  return devices.split(' ').map((part) => {
    const found = /^([0-9a-f]{4})(?:-([0-9a-f]{4}))?$/.exec(part);
    const from = Number.parseInt(found?.[1] ?? '', 16);
    const to = found?.[2] === undefined ? from : Number.parseInt(found[2], 16);
    if (found === null || to < from) throw new Error(`'${part}' is no device id and no range`);
    return [from, to] as const;
  });
}
