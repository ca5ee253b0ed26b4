/** Times as people read them. */

/** `12 ms`, `3.2 s`, `2 min 5 s`. */
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** Local date and time of microseconds since the epoch: `2026-10-05 12:00:03`; `-` for 0. */
export function dateText(usec: number): string {
  if (usec <= 0) return '-';
  const date = new Date(usec / 1000);
  if (Number.isNaN(date.getTime())) return '-';
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day} ${clockText(usec)}`;
}

/** Local time of day of microseconds since the epoch: `12:00:03`. */
export function clockText(usec: number): string {
  const date = new Date(usec / 1000);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
