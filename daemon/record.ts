/** An object of unknown members, as JSON and D-Bus give them: what every reader of foreign data asks first. */

/** True for an object that is neither null nor a list. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
