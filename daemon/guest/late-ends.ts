/** Guests that were asked to shut down for a reboot of the host that was then given up, and may do so later than that. */

/** How long after it was asked an end of the guest still counts as the answer, in ms. */
const lateEndMs = 300_000;

/** libvirt's word for the end that each of our steps leads to; the guest may also obey the one before. */
const ends = new Map([
  ['save', 'saved'],
  ['destroy', 'destroyed'],
]);

export interface LateEnds {
  /** `step`: what was done to stop it (guest-stop.ts). */
  asked(uuid: string, step: string): void;
  /** It is another run, or that it is off is what its owner was asked for. */
  forget(uuid: string): void;
  /** True where this end (libvirt's detail of `stopped`) is what it was asked for; the next one is not any more. */
  take(uuid: string, detail: string): boolean;
}

/** Nobody was asked yet. */
export function createLateEnds(): LateEnds {
  const asked = new Map<string, { readonly at: number; readonly step: string }>();
  return {
    asked: (uuid, step) => void asked.set(uuid, { at: Date.now(), step }),
    forget: (uuid) => void asked.delete(uuid),
    take(uuid, detail) {
      const last = asked.get(uuid);
      asked.delete(uuid);
      if (last === undefined || Date.now() - last.at > lateEndMs) return false;
      return detail === 'shutdown' || detail === ends.get(last.step);
    },
  };
}
