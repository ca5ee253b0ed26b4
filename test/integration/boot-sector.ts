/** Guests of one sector: SeaBIOS finds it, and at the first key it does what its few bytes say. */

const code = {
  /** out 0xcf9, 6: a reset. */
  reboots: 'baf90c b006 ee',
  /** The APM calls of SeaBIOS: connect, version 1.2, power off. */
  powersOff: 'b80153 31db cd15 b80e53 31db b90201 cd15 b80753 bb0100 b90300 cd15',
};

/** A disk for such a guest. */
export function bootSector(what: keyof typeof code): Buffer {
  const sector = Buffer.alloc(512);
  // int 0x16 waits for a key, so that libvirt can be asked before it acts; then `jmp $`.
  Buffer.from(`31c0cd16${code[what]}ebfe`.replaceAll(' ', ''), 'hex').copy(sector);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}
