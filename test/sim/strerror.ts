/** strerror(3) of the errors that sysfs gives, as dd prints them with LC_ALL=C. */

const texts: Readonly<Record<string, string>> = {
  EPERM: 'Operation not permitted',
  ENOENT: 'No such file or directory',
  EIO: 'Input/output error',
  ENXIO: 'No such device or address',
  EAGAIN: 'Resource temporarily unavailable',
  ENOMEM: 'Cannot allocate memory',
  EACCES: 'Permission denied',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  ENODEV: 'No such device',
  EISDIR: 'Is a directory',
  EINVAL: 'Invalid argument',
  ENOTTY: 'Inappropriate ioctl for device',
  ENOSPC: 'No space left on device',
  EROFS: 'Read-only file system',
  EOPNOTSUPP: 'Operation not supported',
  ETIMEDOUT: 'Connection timed out',
};

/** Errors of open(2): dd names them differently from those of write(2) and read(2). */
const openErrors: readonly string[] = ['ENOENT', 'EACCES', 'EISDIR', 'EROFS'];

/** The line that GNU dd prints: `dd: error writing '/x': No such device`. */
export function ddLine(doing: 'writing' | 'reading', path: string, errno: string): string {
  const what = openErrors.includes(errno) ? 'failed to open' : `error ${doing}`;
  return `dd: ${what} '${path}': ${texts[errno] ?? `Unknown error (${errno})`}`;
}
