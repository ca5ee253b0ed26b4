/** What a case of a rule is, and the hosts and domains that the cases share. */
import type { Severity } from '../../../daemon/doctor/finding.ts';
import type { FunctionText } from '../inventory-of.ts';
import type { DomainText, FactsText } from './facts-of.ts';

const win = 'http://microsoft.com/win/11';
export const root = { at: '0000:00:03.1', id: '1022:1483', class: '060400', group: '1' };
export const ports = [root.at];
/** A card below the root port: `gpu` in group 20, its audio in `group`. */
export function gpu(
  id: string,
  more: Partial<FunctionText> = {},
  group = '20',
): readonly FunctionText[] {
  const one = { id, class: '030000', group: '20', ports, ...more };
  const audio = { id: `${id.slice(0, 4)}:aaf0`, class: '040300', group, ports };
  return [root, { at: '0000:0b:00.0', ...one }, { at: '0000:0b:00.1', ...audio }];
}
/** A physical function and a virtual one beside it, as a listing shows them. */
export const sriov = (id: string): readonly FunctionText[] =>
  ['0', '4'].map((number) => ({
    ...{ at: `0000:0b:00.${number}`, id, class: '030200', group: `9${number}`, ports },
  }));
export const nvidia = gpu('10de:1b80');
export const polaris = gpu('1002:67df');
export const both = ['0b:00.0', '0b:00.1'];
export const passes = (...hostdevs: string[]): readonly DomainText[] => [{ hostdevs }];
export const windows = (more: DomainText = {}): readonly DomainText[] => [
  { os: win, hostdevs: both, ...more },
];
export const usb = (at: string, id: string): FunctionText => ({
  ...{ at, id, class: '0c0330', group: '30' },
  ports: at.startsWith('0000:00:') ? [] : ports,
});
export const link = (width: number, maxWidth: number) => ({
  link: { width, maxWidth, speed: 8, maxSpeed: 16 },
});
export const hook = { installed: true, executable: true, late: false };
export const rom = { domains: passes('0b:00.0 rom=/r.rom'), functions: nvidia };
export const loader = '/usr/share/OVMF/OVMF_CODE.fd';
export const qemu = { user: 'alice', group: null, unknownNames: [], ids: null };
export const denied = (profile: string) =>
  `[1.0] audit: type=1400 audit(1:2): apparmor="DENIED" operation="open" profile="${profile}" name="/home/a/v.rom" pid=1`;

type Red = readonly [facts: FactsText, severity: Severity, subject: string, says?: RegExp];
export interface Case {
  readonly red: readonly Red[];
  readonly green: readonly FactsText[];
}
