/** How long libvirt is waited for; the same for the daemon's connection and for a short visit. */

/** In milliseconds. */
export const callTimings = {
  /** A call that libvirt answers at once. */
  call: 10_000,
  /** One that waits for a guest or a hook. */
  blocked: 120_000,
  /** A start: `prepare` may revive a card in it. */
  start: 600_000,
  connect: 5000,
  /** Between two signs of life, where nothing else was heard. */
  ping: 5000,
} as const;

/** Unanswered signs of life, as libvirt's own keepalive_count. */
export const pings = 5;
