/** The closed list of ways to reset a card (design, "Ladder"). Quirk data, configuration and ladder speak of them by these names. */

/** What reset_method knows by name, mild to drastic. */
export const kernelMethods = [
  'device_specific',
  'flr',
  'af_flr',
  'acpi',
  'pm',
  'bus',
  'cxl_bus',
] as const;

/** Mild to drastic: the order in which they are tried where nothing else is known. */
export const rungNames = [
  ...kernelMethods,
  'subordinate',
  'amdgpu',
  'remove-rescan',
  'slot-power',
  'd3cold',
  'suspend',
  'reboot-host',
] as const;
export type RungName = (typeof rungNames)[number];

/** True for the name of a rung. */
export function isRungName(text: string): text is RungName {
  return rungNames.some((name) => name === text);
}
