/** The rules of doctor. A new rule is its file, its id in finding.ts, and two lines here. */
import type { Rule, RuleId } from '../finding.ts';
import { acsOverride } from './acs-override.ts';
import { agentMissing } from './agent-missing.ts';
import { apparmor } from './apparmor.ts';
import { biosGuest } from './bios-guest.ts';
import { bootVga } from './boot-vga.ts';
import { busResetHazard } from './bus-reset-hazard.ts';
import { chipsetUsbPassed } from './chipset-usb-passed.ts';
import { claimedTwice } from './claimed-twice.ts';
import { cpuOverride } from './cpu-override.ts';
import { d3coldHazard } from './d3cold-hazard.ts';
import { deviceMissing } from './device-missing.ts';
import { deviceSpecificInactive } from './device-specific-inactive.ts';
import { firmwareUnreadable } from './firmware-unreadable.ts';
import { flrHazard } from './flr-hazard.ts';
import { framebufferHeld } from './framebuffer-held.ts';
import { functionLeftBehind } from './function-left-behind.ts';
import { functionsSplit } from './functions-split.ts';
import { groupShared } from './group-shared.ts';
import { hookInactive } from './hook-inactive.ts';
import { hostCriticalDevice } from './host-critical-device.ts';
import { hypervVendorIdMissing } from './hyperv-vendor-id-missing.ts';
import { identicalIds } from './identical-ids.ts';
import { iommuOff } from './iommu-off.ts';
import { iommuWrongParameter } from './iommu-wrong-parameter.ts';
import { kernelSuspect } from './kernel-suspect.ts';
import { kvmHiddenMissing } from './kvm-hidden-missing.ts';
import { linkDegraded } from './link-degraded.ts';
import { managedNoUnbound } from './managed-no-unbound.ts';
import { memlock } from './memlock.ts';
import { noReset } from './no-reset.ts';
import { romBarOff } from './rom-bar-off.ts';
import { romOnSecondaryFunction } from './rom-on-secondary-function.ts';
import { romUnreadable } from './rom-unreadable.ts';
import { unreadable } from './unreadable.ts';
import { usbResetHazard } from './usb-reset-hazard.ts';
import { vfioInQemuArgs } from './vfio-in-qemu-args.ts';

export const rules = {
  'acs-override': acsOverride,
  'agent-missing': agentMissing,
  apparmor: apparmor,
  'bios-guest': biosGuest,
  'boot-vga': bootVga,
  'bus-reset-hazard': busResetHazard,
  'chipset-usb-passed': chipsetUsbPassed,
  'claimed-twice': claimedTwice,
  'cpu-override': cpuOverride,
  'd3cold-hazard': d3coldHazard,
  'device-missing': deviceMissing,
  'device-specific-inactive': deviceSpecificInactive,
  'firmware-unreadable': firmwareUnreadable,
  'flr-hazard': flrHazard,
  'framebuffer-held': framebufferHeld,
  'function-left-behind': functionLeftBehind,
  'functions-split': functionsSplit,
  'group-shared': groupShared,
  'hook-inactive': hookInactive,
  'host-critical-device': hostCriticalDevice,
  'hyperv-vendor-id-missing': hypervVendorIdMissing,
  'identical-ids': identicalIds,
  'iommu-off': iommuOff,
  'iommu-wrong-parameter': iommuWrongParameter,
  'kernel-suspect': kernelSuspect,
  'kvm-hidden-missing': kvmHiddenMissing,
  'link-degraded': linkDegraded,
  'managed-no-unbound': managedNoUnbound,
  memlock: memlock,
  'no-reset': noReset,
  'rom-bar-off': romBarOff,
  'rom-on-secondary-function': romOnSecondaryFunction,
  'rom-unreadable': romUnreadable,
  unreadable: unreadable,
  'usb-reset-hazard': usbResetHazard,
  'vfio-in-qemu-args': vfioInQemuArgs,
} satisfies Readonly<Record<RuleId, Rule>>;
