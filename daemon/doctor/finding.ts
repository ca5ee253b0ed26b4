/** What doctor has to say: findings, their fixes, and the rules that make them. */
import type { FunctionAddress } from '../pci/address.ts';
import type { HostFacts } from './host-facts.ts';
import type { Message } from './message.ts';

/** The closed list of rules; each is a file in rules/ of that name. */
export type RuleId =
  | 'acs-override'
  | 'agent-missing'
  | 'apparmor'
  | 'bios-guest'
  | 'boot-vga'
  | 'bus-reset-hazard'
  | 'chipset-usb-passed'
  | 'claimed-twice'
  | 'cpu-override'
  | 'd3cold-hazard'
  | 'device-missing'
  | 'device-specific-inactive'
  | 'firmware-unreadable'
  | 'flr-hazard'
  | 'framebuffer-held'
  | 'function-left-behind'
  | 'functions-split'
  | 'group-shared'
  | 'hook-inactive'
  | 'host-critical-device'
  | 'hyperv-vendor-id-missing'
  | 'identical-ids'
  | 'iommu-off'
  | 'iommu-wrong-parameter'
  | 'kernel-suspect'
  | 'kvm-hidden-missing'
  | 'link-degraded'
  | 'managed-no-unbound'
  | 'memlock'
  | 'no-reset'
  | 'rom-bar-off'
  | 'rom-on-secondary-function'
  | 'rom-unreadable'
  | 'unreadable'
  | 'usb-reset-hazard'
  | 'vfio-in-qemu-args';

/** error: it cannot work, or it will do harm. warning: it is likely to go wrong. note: good to know. */
export type Severity = 'error' | 'warning' | 'note';

/** `0000:0b:00.0`, `domain:NAME` or `host`. */
type Subject = FunctionAddress | `domain:${string}` | 'host';

/** A place in the guest. */
export interface GuestSlot {
  readonly bus: number;
  readonly slot: number;
  readonly function: number;
}

/** One change to a domain's XML. Hostdevs are named by their address on the host. */
export type DomainEdit =
  /** Elements below <domain> that are made where they lack, and attributes of the last one. */
  | {
      readonly op: 'set';
      readonly path: readonly string[];
      readonly attributes: Readonly<Record<string, string>>;
    }
  /** A copy of the hostdev `like`, for another function; `guest` null: libvirt chooses. */
  | {
      readonly op: 'add-hostdev';
      readonly hostdev: FunctionAddress;
      readonly like: FunctionAddress;
      readonly guest: GuestSlot | null;
    }
  | {
      readonly op: 'place';
      readonly hostdev: FunctionAddress;
      readonly guest: GuestSlot;
      readonly multifunction: boolean;
    }
  | { readonly op: 'remove-rom'; readonly hostdev: FunctionAddress }
  | { readonly op: 'remove-hostdev'; readonly hostdev: FunctionAddress }
  | { readonly op: 'managed'; readonly hostdev: FunctionAddress };

/** What would mend it, as data that an editor or a person applies. */
export type Fix = { readonly description: Message } & (
  | {
      readonly kind: 'domain-xml';
      readonly domain: string;
      readonly edits: readonly DomainEdit[];
    }
  /** Settings of qemu.conf; null takes a setting out. */
  | {
      readonly kind: 'qemu-conf';
      readonly settings: Readonly<Record<string, string | null>>;
    }
  /** Commands to run as root, in order; argv each, no shell. */
  | { readonly kind: 'command'; readonly commands: readonly (readonly string[])[] }
);

/** One thing that a rule found. `message`: what is wrong, why it matters, what to do. */
export interface Judgement {
  readonly severity: Severity;
  readonly subject: Subject;
  readonly message: Message;
  readonly fix: Fix | null;
}

export interface Finding extends Judgement {
  readonly rule: RuleId;
}

export interface Rule {
  readonly id: RuleId;
  /** What it looks at, for people. */
  readonly reads: string;
  /** Why a host owner should care, in one sentence. */
  readonly why: string;
  /** Where that is known from: kernel source, documentation, reports. */
  readonly reference: string;
  /** Pure. What is unknown (undefined in the facts) is never a finding. */
  readonly judge: (facts: HostFacts) => readonly Judgement[];
}
