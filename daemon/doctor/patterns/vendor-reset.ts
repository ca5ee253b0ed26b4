/** gnif/vendor-reset (facts/kernel.md 3.3, 34 to 38, and 4). Its "reset result" is always 0. */
import type { Pattern } from '../log-pattern.ts';

export const vendorResetPatterns: readonly Pattern[] = [
  {
    id: 'vendor-failed',
    hints: ['failed to reset device'],
    line: /(?:\bAMD_\w+|\.[0-7]): failed to reset device\b/,
    shows: ['reset-failed'],
  },
  {
    id: 'vendor-psp',
    hints: ['psp ', 'mode1 reset failed', 'mp1 reset'],
    line: /PSP did not acknowledged?r? reset|psp (?:mode1 reset failed|not working for mode1 reset)|timed out waiting for (?:PSP bootloader|MP1 reset)|mode1 reset failed/i,
    shows: ['reset-failed'],
  },
  {
    id: 'vendor-psp-late',
    hints: ['psp to reach'],
    line: /timed out waiting for PSP to reach valid state/i,
    shows: ['reset-failed'],
    opens: 'psp',
  },
  {
    id: 'vendor-sol',
    hints: ['sol to be valid', 'no sol, not'],
    line: /timed out waiting for SOL to be valid|no SOL, not attempting BACO reset/i,
    shows: ['reset-failed'],
  },
  {
    id: 'vendor-baco',
    hints: ['baco'],
    line: /failed to (?:enter|exit) BACO|(?:enter|exit) BACO failed/i,
    shows: ['reset-failed'],
  },
  {
    id: 'vendor-config-reset',
    hints: ['reset via pci config', 'could not reset w/'],
    line: /reset via PCI config failed|could not reset w\/ PPSMC/i,
    shows: ['reset-failed'],
  },
  {
    id: 'vendor-smu',
    hints: ['smu error', 'failed to send message', 'enabled smu features'],
    line: /\bSMU error 0x[0-9a-f]+|failed to send message 0x[0-9a-f]+: return 0x|could not get enabled SMU features/i,
    shows: ['reset-failed'],
  },
  {
    id: 'vendor-status-dead',
    hints: ['smu response reg'],
    line: /SMU response reg: ffffffff|sol reg: ffffffff/,
    shows: ['device-lost'],
  },
  {
    id: 'vendor-bios',
    hints: [
      'get_bios failed',
      'locate a bios rom',
      'bios_init failed',
      'ip discovery',
      'discovery_init failed',
    ],
    line: /amdgpu_get_bios failed|unable to locate a BIOS ROM|atom_bios_init failed|(?:failed to read|invalid) ip discovery|amdgpu_discovery_init failed/i,
    shows: ['reset-failed'],
  },
  {
    id: 'vendor-lock',
    hints: ['could not acquire'],
    line: /could not acquire (?:cfg|device) lock/i,
    shows: ['reset-failed'],
  },
  // A run that begins and does not end is a host that hung in it.
  {
    id: 'vendor-run',
    hints: ['performing reset'],
    line: /\bAMD_\w+: performing reset/,
    shows: ['reset-failed'],
    opens: 'run',
  },
  {
    id: 'vendor-run-ended',
    hints: ['performing post-reset'],
    line: /\bAMD_\w+: performing post-reset/,
    shows: [],
    closes: 'run',
    closing: 'reset-ok',
  },
  {
    id: 'vendor-result',
    hints: ['reset result'],
    line: /\breset result = \d+/,
    shows: ['benign'],
    closes: 'run',
    closing: 'reset-ok',
  },
  {
    id: 'vendor-succeeded',
    hints: ['reset succe'],
    line: /\bAMD_\w+: .*\breset (?:succeeded|successful)/i,
    shows: ['reset-ok'],
  },
  {
    id: 'vendor-psp-done',
    hints: ['mode1 reset successful'],
    line: /PSP mode1 reset successful/,
    shows: [],
    closes: 'psp',
  },
  {
    id: 'hook-missing',
    hints: ['vendor_reset', 'vendor-reset'],
    line: /vendor_reset_hook: install failed|vendor[-_]reset.*(?:unresolved symbol|Exec format error|version magic|Required key not available|Key was rejected)|modprobe: FATAL: Module vendor[-_]reset/i,
    shows: ['reset-method-inactive'],
  },
  {
    id: 'method-not-taken',
    hints: ['reset_method', 'device_specific'],
    line: /(?:reset_method|device_specific)\b.*(?:Invalid argument|No such file or directory)/,
    shows: ['reset-method-inactive'],
  },
];
