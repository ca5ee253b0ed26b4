/** One line for each pattern, of the form that its source prints (facts: the printf texts), and lines of healthy hosts. */

/** Pattern id -> a line that it matches. */
export const examples: Readonly<Record<string, string>> = {
  'completion-wait': 'AMD-Vi: Completion-Wait loop timed out',
  'amd-invalidation':
    'iommu ivhd0: AMD-Vi: Event logged [IOTLB_INV_TIMEOUT device=0000:0b:00.0 address=0x100]',
  'intel-invalidation': 'DMAR: VT-d detected Invalidation Time-out Error: SID b00',
  'arm-invalidation': 'arm-smmu-v3 2b400000.iommu: CMD_SYNC timeout at 0x0000002e',
  'amd-fault':
    'vfio-pci 0000:0b:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x001e address=0x1 flags=0x0]',
  'intel-fault': 'DMAR: [DMA Write NO_PASID] Request device [0b:00.0] fault addr 0xdf000',
  'vfio-without-group': 'vfio-pci 0000:0b:00.0: probe with driver vfio-pci failed with error -22',
  'no-group': 'kvm: vfio 0000:0b:00.0: no iommu_group found: No such file or directory',
  'not-present': 'TASK ERROR: Cannot prepare PCI pass-through, IOMMU not present',
  'switched-off': 'DMAR: IOMMU disabled',
  'host-lacks-it':
    "error: unsupported configuration: host doesn't support passthrough of host PCI devices",
  'no-container': "qemu: Could not open '/dev/vfio/vfio': No such file or directory",
  'no-interrupt-remapping': 'vfio_iommu_type1_attach_group: No interrupt remapping support.',
  'flr-gave-up': 'vfio-pci 0000:0b:00.0: not ready 65535ms after FLR; giving up',
  'reset-gave-up': 'vfio-pci 0000:0b:00.0: not ready 65535ms after bus reset; giving up',
  'power-gave-up':
    'vfio-pci 0000:0b:00.0: not ready 65535ms after power up D3hot->D0uninitialized; giving up',
  'flr-waits': 'vfio-pci 0000:0b:00.0: not ready 1023ms after AF_FLR; waiting',
  'reset-waits': 'vfio-pci 0000:0b:00.0: not ready 1023ms after PM D3hot->D0; waiting',
  'power-waits': 'vfio-pci 0000:0b:00.0: not ready 1023ms after resume; waiting',
  'ready-after-reset': 'vfio-pci 0000:0b:00.0: ready 8191ms after bus reset',
  'ready-late': 'vfio-pci 0000:0b:00.0: ready 1023ms after resume',
  'transactions-pending':
    'vfio-pci 0000:0b:00.0: timed out waiting for pending transaction; performing function level reset anyway',
  'power-inaccessible':
    'vfio-pci 0000:0b:00.0: Unable to change power state from D3cold to D0, device inaccessible',
  'power-refused': 'vfio-pci 0000:0b:00.0: Refused to change power state from D3hot to D0',
  'link-not-active': 'pcieport 0000:00:03.1: Data Link Layer Link Active not set in 1000 msec',
  'header-unknown': "internal error: Unknown PCI header type '127' for device '0000:0b:00.0'",
  'revision-ff': '0b:00.0 VGA compatible controller: Advanced Micro Devices [AMD/ATI] (rev ff)',
  'config-all-ones': 'vfio 0000:0b:00.0: failed to read device config space: Input/output error',
  'aer-fatal':
    'pcieport 0000:00:03.1: AER: Uncorrectable (Fatal) error message received from 0000:0b:00.0',
  'aer-inaccessible':
    'vfio-pci 0000:0b:00.0: PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Inaccessible, (Unregistered Agent ID)',
  'completion-timeout': 'vfio-pci 0000:0b:00.0:    [14] CmpltTO                (First)',
  'unsupported-request': 'vfio-pci 0000:0b:00.0:    [20] UnsupReq               (First)',
  'recovery-failed': 'pcieport 0000:00:03.1: AER: device recovery failed',
  contained: 'pcieport 0000:00:03.1: DPC: containment event, status:0x1f01 source:0x0000',
  'slot-down': 'pcieport 0000:00:03.1: pciehp: Slot(4): Link Down',
  'slot-up': 'pcieport 0000:00:03.1: pciehp: Slot(4): Link Up',
  'bar-unassigned': 'pci 0000:0b:00.0: BAR 0: no space for [mem size 0x10000000 64bit pref]',
  'bar-assigned': 'pci 0000:0b:00.0: BAR 0: assigned [mem 0xd0000000-0xdfffffff 64bit pref]',
  'method-refused': "vfio-pci 0000:0b:00.0: Unsupported reset method 'device_specific'",
  'config-restored':
    'vfio-pci 0000:0b:00.1: restoring config space at offset 0x4 (was 0x100400, writing 0x100002)',
  'bars-restored-from-zero':
    'vfio-pci 0000:0b:00.0: restoring config space at offset 0x10 (was 0xc, writing 0xc000000c)',
  'link-reset-by-kernel': 'pcieport 0000:00:03.1: AER: Root Port link has been reset (0)',
  'nvme-all-ones': 'nvme nvme1: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0xffff',
  'vf-flr-failed': 'xe 0000:00:02.0: [drm] *ERROR* PF: VF1 FLR preparation timed out',
  'capability-ff': 'vfio-pci 0000:0b:00.0: vfio_cap_init: hiding cap 0xff@0xff',
  'bars-lost': 'vfio-pci 0000:0b:00.0: vfio_bar_restore: reset recovery - restoring BARs',
  'stuck-in-d3': 'kvm: vfio: Unable to power on device, stuck in D3',
  'state-not-reloaded': "vfio-pci 0000:0b:00.0: vfio_pci_core_disable: Couldn't reload saved state",
  'irq-assertion':
    "qemu: ../hw/pci/pci.c:1637: pci_irq_handler: Assertion `0 <= irq_num && irq_num < PCI_NUM_PINS' failed.",
  unrecoverable:
    'qemu: vfio_err_notifier_handler(0000:0b:00.0) Unrecoverable error detected. Please collect any data possible and then kill the guest',
  'no-reset-mechanism':
    'qemu: vfio: Cannot reset device 0000:0b:00.1, no available reset mechanism.',
  'hot-reset-failed': 'qemu: vfio: hot reset info failed: Inappropriate ioctl for device',
  'group-not-owned':
    'qemu: vfio: Cannot reset device 0000:0b:00.0, depends on group 14 which is not owned.',
  'group-not-viable':
    'qemu: -device vfio-pci,host=0b:00.0: vfio 0000:0b:00.0: group 13 is not viable',
  'firmware-claims-memory':
    'vfio-pci 0000:0b:00.0: Firmware has requested this device have a 1:1 IOMMU mapping, rejecting configuring the device without a 1:1 mapping.',
  'group-file-missing': "kvm: Could not open '/dev/vfio/15': No such file or directory",
  'container-refused':
    'vfio 0000:0b:00.0: failed to setup container for group 1: Failed to set iommu for container: Operation not permitted',
  'group-busy': "kvm: Could not open '/dev/vfio/15': Device or resource busy",
  'vfio-refused': 'vfio_pci: probe of 0000:0b:00.0 failed with error -16',
  'device-relayed': 'vfio-pci 0000:0b:00.0: Relaying device request to user (#10)',
  'blocked-until-released':
    'vfio-pci 0000:0b:00.0: Device is currently in use, task "tee" (4711) blocked until device is released',
  'vendor-failed': 'vfio-pci 0000:0b:00.0: AMD_NAVI10: failed to reset device',
  'vendor-psp': 'vfio-pci 0000:0b:00.0: AMD_NAVI10: PSP did not acknowledger reset',
  'vendor-psp-late':
    'vfio-pci 0000:0b:00.0: AMD_NAVI10: timed out waiting for PSP to reach valid state, but continuing anyway',
  'vendor-sol': 'vfio-pci 0000:0b:00.0: AMD_VEGA10: timed out waiting for SOL to be valid',
  'vendor-baco': 'vfio-pci 0000:0b:00.0: AMD_POLARIS10: Failed to enter BACO: -22',
  'vendor-config-reset': 'vfio-pci 0000:0b:00.0: AMD_POLARIS10: Reset via PCI config failed: -22',
  'vendor-smu': 'vfio-pci 0000:0b:00.0: SMU error 0xff',
  'vendor-status-dead':
    'vfio-pci 0000:0b:00.0: AMD_NAVI10: SMU response reg: ffffffff, sol reg: ffffffff, mp1 intr enabled? yes, bl ready? yes',
  'vendor-bios': 'vfio-pci 0000:0b:00.0: AMD_NAVI10: amdgpu_get_bios failed: 0',
  'vendor-lock': 'vfio-pci 0000:0b:00.0: could not acquire cfg lock',
  'vendor-run': 'vfio-pci 0000:0b:00.0: AMD_NAVI10: performing reset',
  'vendor-run-ended': 'vfio-pci 0000:0b:00.0: AMD_NAVI10: performing post-reset',
  'vendor-result': 'vfio-pci 0000:0b:00.0: AMD_NAVI10: reset result = 0',
  'vendor-succeeded': 'vfio-pci 0000:0b:00.0: AMD_VEGA20: psp mode1 reset succeeded',
  'vendor-psp-done': 'vfio-pci 0000:0b:00.0: AMD_NAVI10: PSP mode1 reset successful',
  'hook-missing': 'vendor_reset_hook: install failed',
  'method-not-taken': 'tee: /sys/bus/pci/devices/0000:0b:00.0/reset_method: Invalid argument',
  'amdgpu-lost': 'amdgpu 0000:0b:00.0: amdgpu: device lost from bus!',
  'amdgpu-reset-begin': 'amdgpu 0000:0b:00.0: amdgpu: GPU reset begin!',
  'amdgpu-reset-done': 'amdgpu 0000:0b:00.0: amdgpu: GPU reset(2) succeeded!',
  'amdgpu-reset-failed': 'amdgpu 0000:0b:00.0: amdgpu: asic reset on init failed',
  'ring-timeout':
    '[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring sdma0 timeout, signaled seq=2, emitted seq=4',
  'fences-expire': '[drm] Fence fallback timer expired on ring sdma1',
  'amdgpu-init-failed': 'amdgpu 0000:0b:00.0: amdgpu: Fatal error during GPU init',
  'atombios-stuck': 'amdgpu 0000:0b:00.0: atombios stuck in loop for more than 20secs aborting',
  'smu-busy':
    "amdgpu 0000:0b:00.0: amdgpu: SMU: I'm not done with your previous command: SMN_C2PMSG_66:0x00000006",
  'psp-failed': 'amdgpu 0000:0b:00.0: amdgpu: PSP firmware loading failed',
  'discovery-invalid': 'amdgpu 0000:0b:00.0: amdgpu: get invalid ip discovery binary signature',
  'ring-test-failed': 'radeon 0000:0b:00.0: ring 0 test failed (scratch(0x8504)=0xCAFEDEAD)',
  'nvidia-off-bus': 'NVRM: Xid (PCI:0000:0b:00): 79, GPU has fallen off the bus.',
  'nvidia-gsp':
    'NVRM: Xid (PCI:0000:0b:00): 119, pid=7, Timeout after 6s of waiting for RPC response',
  'nvidia-reset-required':
    'NVRM: GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)',
  'nvidia-init-failed': 'NVRM: GPU 0000:0b:00.0: RmInitAdapter failed! (0x26:0xffff:1265)',
  'nvidia-bar-invalid':
    'NVRM: This PCI I/O region assigned to your NVIDIA device is invalid: BAR0 is 0M @ 0x0',
  'nouveau-all-ones': 'nouveau 0000:0b:00.0: unknown chipset (ffffffff)',
  'forcewake-lost':
    'i915 0000:06:10.0: *ERROR* render: timed out waiting for forcewake ack to clear.',
  'intel-reset-failed': 'i915 0000:03:00.0: [drm] *ERROR* Failed to reset chip',
  'gpu-driver-refuses': 'amdgpu 0000:0b:00.0: probe with driver amdgpu failed with error -22',
  'audio-dead': 'snd_hda_intel 0000:0b:00.1: CORB reset timeout#1, CORBRP = 65535',
  'audio-mute': 'snd_hda_intel 0000:0b:00.1: no codecs found!',
  'usb-controller-dead': 'xhci_hcd 0000:0c:00.0: xHCI host controller not responding, assume dead',
  'usb-controller-fails': "xhci_hcd 0000:0c:00.0: can't setup: -110",
  'handed-over': 'vfio-pci 0000:0b:00.0: something else',
  'usb-controller': 'pci 0000:0c:00.0: [1912:0014] type 00 class 0x0c0330 PCIe Endpoint',
  'nvidia-in-use': 'NVRM: Attempting to remove device 0000:0b:00.0 with non-zero usage count!',
  'module-in-use': 'modprobe: FATAL: Module nvidia_drm is in use.',
  'amdgpu-leaves-behind': 'amdgpu 0000:0b:00.0: amdgpu: leaking bo va (-19)',
  'duplicate-name':
    "sysfs: cannot create duplicate filename '/devices/pci0000:00/0000:00:03.1/0000:0b:00.0/mem_info'",
  'eviction-failed': 'amdgpu 0000:0b:00.0: amdgpu: trying to bind memory to uninitialized GART !',
  'driver-oops': 'RIP: 0010:smu7_get_power_profile_mode+0x1e/0x40 [amdgpu]',
  'driver-warns-on-removal':
    'WARNING: CPU: 3 PID: 900 at drivers/gpu/drm/ttm/ttm_device.c:222 ttm_device_fini+0x4a/0x90 [ttm]',
  'libvirt-waits':
    'Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainCreate)',
  'nvidia-waits': 'nvidia-modeset: ERROR: GPU:0: Error while waiting for GPU progress: 0x0000c77d',
  'task-hangs': 'INFO: task libvirtd:4711 blocked for more than 120 seconds.',
  'cpu-locked': 'watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [qemu-system-x86:7487]',
  'bar-reserved':
    "vfio-pci 0000:0b:00.0: BAR 1 [mem 0xc0000000-0xcfffffff 64bit pref]: can't reserve",
  'firmware-fb-fails': 'efifb: cannot reserve video memory at 0xc0000000',
  'boot-fb-spanned':
    'resource: resource sanity check: requesting [mem 0xc0000000-0xcfffffff], which spans more than BOOTFB [mem 0xc0000000-0xc02fffff]',
  'nvidia-region-taken': 'NVRM: request_mem_region failed for 256M @ 0xc0000000.',
  'region-busy':
    'qemu: vfio_region_write(0000:0b:00.0:region1+0x11ff0, 0x0,4) failed: Device or resource busy',
  refcount: 'refcount_t: underflow; use-after-free.',
  'kernel-oops': 'BUG: kernel NULL pointer dereference, address: 0000000000000460',
  'kernel-warns':
    'WARNING: CPU: 14 PID: 5997 at drivers/vfio/vfio_main.c:297 vfio_unregister_group_dev+0x8d/0xf0',
  'vfio-oops': 'RIP: 0010:vfio_pci_core_sriov_configure+0x4b/0x1a0 [vfio_pci_core]',
  'module-not-built':
    'Error! Bad return status for module build on kernel: 6.12.0-1-amd64 (x86_64)',
  'libvirt-reset-failed':
    'internal error: Unable to reset PCI device 0000:0b:00.0: internal error: Failed to open config space',
  'libvirt-no-reset': 'error : no FLR, PM reset or bus reset available',
  'libvirt-bus-shared':
    'error : Active 0000:0c:00.0 devices on bus with 0000:0b:00.0, not doing bus reset',
  'proxmox-reset-failed': "TASK ERROR: can't reset PCI device '0000:0b:00.0'",
  'detach-failed': 'error: Failed to detach device pci_0000_0b_00_0',
  'device-gone': "TASK ERROR: no PCI device found for '0000:0b:00.0'",
  'rom-header':
    'vfio-pci 0000:0b:00.0: Invalid PCI ROM header signature: expecting 0xaa55, got 0xffff',
  'reset-file-refused':
    "error writing '1' to '/sys/bus/pci/devices/0000:0b:00.0/reset': Inappropriate ioctl for device",
  'capability-hidden': 'vfio-pci 0000:0b:00.0: vfio_ecap_init: hiding ecap 0x19@0x270',
  'rom-alignment':
    "vfio-pci 0000:0b:00.0: ROM [??? 0x00000000 flags 0x20000000]: can't assign; bogus alignment",
  'reset-announced': 'vfio-pci 0000:0b:00.0: reset done',
  'vga-arbiter':
    'vfio-pci 0000:0b:00.0: vgaarb: VGA decodes changed: olddecodes=io+mem,decodes=none:owns=none',
  'framebuffer-handed-over': 'fb0: switching to amdgpu from EFI VGA',
  'guest-rdmsr': 'kvm [5239]: ignored rdmsr: 0xc0011029 data 0x0',
  'bus-moves': 'vfio-pci 0000:0b:00.0: enabling device (0000 -> 0003)',
  'aer-corrected': 'pcieport 0000:00:03.1: AER: Corrected error message received from 0000:0b:00.0',
  recovered: 'pcieport 0000:00:03.1: AER: device recovery successful',
  'peer-to-peer': 'kvm: 0000:0b:00.0: PCI peer-to-peer transactions on BARs are not supported.',
  'not-a-bug':
    'AMD-Vi: AMD IOMMUv2 functionality not available on this system - This is not a bug.',
  'vf-flr': 'i915 0000:00:02.0: VF5 FLR',
  'card-lent': 'NVRM: The NVIDIA probe routine was not called for 1 device(s).',
  'type-c-chatter': 'nvidia-gpu 0000:0b:00.3: i2c timeout error e0000000',
  'hook-installed': 'vendor_reset_hook: installed',
  'power-kept': 'xhci_hcd 0000:0b:00.2: Refused to change power state from D0 to D3hot',
};

/** Lines of healthy hosts that hold words of trouble. */
export const unrelated: readonly string[] = [
  '[    0.31] DMAR: IOMMU enabled',
  '[    0.32] AMD-Vi: Interrupt remapping enabled',
  '[    0.33] iommu: Default domain type: Translated (set via kernel command line)',
  '[    0.34] pci 0000:00:02.0: DMAR: Skip IOMMU disabling for graphics',
  '[    0.35] DMAR: [DMA Write] Request device [00:02.0] fault addr 98a5000000 [fault reason 07]',
  '[    0.36] DMAR: DRHD: handling fault status reg 3',
  '[    0.37] ahci 0000:03:00.1: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0 address=0xf flags=0x50]',
  '[    0.38] pci 0000:0b:00.0: BAR 6: failed to assign [mem size 0x00080000 pref]',
  '[    0.39] pci 0000:0b:00.0: VF BAR 0 [mem size 0x10000000 64bit pref]: failed to assign',
  '[    0.40] pcieport 0000:00:1c.0: BAR 13: no space for [io  size 0x1000]',
  '[    0.41] pcieport 0000:00:1c.0: bridge window [mem size 0x00200000]: failed to assign',
  '[    0.42] pci 0000:0b:00.0: BAR 5 [io  size 0x0100]: failed to assign',
  "[    0.43] i801_smbus 0000:00:1f.4: BAR 0: can't reserve [mem 0xf000-0xf0ff]",
  '[    0.44] pci 0000:0b:00.0: BAR 1: assigned to efifb',
  '[    0.45] efifb: framebuffer at 0xc0000000, using 3072k, total 3072k',
  '[    0.46] amdgpu 0000:0b:00.0: amdgpu: SMU is initialized successfully!',
  '[    0.47] xhci_hcd 0000:0b:00.2: xHCI Host Controller',
  '[    0.47] snd_hda_intel 0000:00:1f.3: azx_get_response timeout, switching to polling mode',
  '[    0.48] NVRM: Xid (PCI:0000:0b:00): 31, pid=7, MMU Fault: ENGINE GRAPHICS',
  '[    0.49] usb 1-4: reset high-speed USB device number 3 using xhci_hcd',
  '[    0.50] pcieport 0000:00:1c.0: pciehp: Timeout on hotplug command 0x1038 (issued 1000 msec ago)',
  '[    0.51] pci 0000:04:00.0: broken device, retraining non-functional downstream link at 2.5GT/s',
  '[    0.52] WARNING: CPU: 6 PID: 1 at drivers/gpu/drm/amd/amdgpu/amdgpu_irq.c:630 amdgpu_irq_put+0x46/0x70',
  '[    0.53] vfio-pci 0000:0b:00.0: AMD_NAVI10: SMU response reg: 0, sol reg: 0, mp1 intr enabled? no, bl ready? yes',
  '[    0.54] nouveau 0000:0b:00.0: unknown chipset (b74000a1)',
  '[    0.54] nouveau: probe of 0000:0b:00.0 failed with error -12',
  '[    0.55] nouveau 0000:0b:00.0: probe with driver nouveau failed with error -19',
  'kvm: vfio 0000:0b:00.0: failed to setup container for group 1: memory listener initialization failed: vfio_dma_map(0x1, 0x0, 0xc0000, 0x7f) = -12 (Cannot allocate memory)',
  'Nov 21 10:00:00 host systemd[1]: Reset failed state of unit alice.service',
  'Nov 21 10:00:00 host libvirtd[812]: internal error: End of file from qemu monitor',
  '2026-11-21 10:00:00.000+0000: shutting down, reason=shutdown',
];
