# shellcheck shell=bash
# The lab machine as QEMU arguments. Sourced by `lab`; fills the array MACHINE.

# machine_arguments DIR: DIR holds nvme.img, the disk of the nvme card.
#
# Every port has a fixed address, chassis and slot number, so the addresses of the cards (image/files/usr/local/share/lab/cards) are the
# same at every boot and in both releases. SeaBIOS numbers the buses in the order of the ports: keep the switch last, it takes three.
machine_arguments() {
    local dir=$1
    MACHINE=(
        -name revived-lab -nodefaults -no-user-config -display none -vga none -nic none -monitor none
        # Never KVM: the development machines offer a /dev/kvm that does not get a guest past its BIOS. Without svm there is no KVM inside
        # either, so libvirt's answers from the first boot of the image (warm) stay true. la57 makes page walks longer, for nothing.
        -accel tcg,thread=multi -cpu max,-svm,-la57 -smp 2 -m 3072
        # No caching-mode: only a vfio or vhost device on this side would need it, and it makes every mapping trap.
        -machine q35,kernel-irqchip=split -device intel-iommu,intremap=on
        # Native hotplug, so that pciehp owns the slots and /sys/bus/pci/slots/N/power is there, N being the port's slot=N.
        -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off
        -audiodev none,id=silence

        # bochs: a display card with an audio function and real drivers for both
        -device pcie-root-port,id=port.bochs,chassis=1,slot=1,addr=4
        -device bochs-display,bus=port.bochs,addr=0.0,multifunction=on
        -device ich9-intel-hda,id=hda.bochs,bus=port.bochs,addr=0.1
        -device hda-output,bus=hda.bochs.0,audiodev=silence

        # ati: the shape of a Radeon (1002, VGA class, boot_vga, no host driver) with its HDMI audio
        -device pcie-root-port,id=port.ati,chassis=2,slot=2,addr=5
        -device ati-vga,bus=port.ati,addr=0.0,multifunction=on
        -device ich9-intel-hda,id=hda.ati,bus=port.ati,addr=0.1
        -device hda-output,bus=hda.ati.0,audiodev=silence

        # xhci: a USB controller card
        -device pcie-root-port,id=port.xhci,chassis=3,slot=3,addr=6
        -device qemu-xhci,bus=port.xhci,addr=0.0

        # flr: a display card with a working function-level reset
        -device pcie-root-port,id=port.flr,chassis=4,slot=4,addr=7
        -device virtio-gpu-pci,bus=port.flr,addr=0.0

        # nvme: FLR and a power-management capability, so that a reset of the dead card waits 70 s
        -device pcie-root-port,id=port.nvme,chassis=5,slot=5,addr=8
        -drive "file=$dir/nvme.img,format=raw,if=none,id=nvme"
        -device nvme,bus=port.nvme,addr=0.0,drive=nvme,serial=lab

        # switch: a card behind a switch of its own
        -device pcie-root-port,id=port.switch,chassis=6,slot=6,addr=9
        -device x3130-upstream,id=upstream,bus=port.switch,addr=0.0
        -device xio3130-downstream,id=downstream,bus=upstream,chassis=7,slot=7,addr=0.0
        -device bochs-display,bus=downstream,addr=0.0,multifunction=on
        -device ich9-intel-hda,id=hda.switch,bus=downstream,addr=0.1
        -device hda-output,bus=hda.switch.0,audiodev=silence
    )
}

# kernel_arguments MODE: the kernel's command line; MODE is what lab-run does in the machine (run, shell or warm).
kernel_arguments() {
    local -a words=(
        # `rw`, because on a read-only root logind and polkit fail and systemctl answers "Transport endpoint is not connected".
        root=/dev/vda rw rootfstype=ext4 fsck.mode=skip
        console=ttyS0 loglevel=5 systemd.show_status=0
        intel_iommu=on iommu=pt
        # radeon divides by zero on the emulated card and takes udev with it; amdgpu matches it too, is not for it, and loads for 10 s.
        # The others are hardware that nobody looks at.
        modprobe.blacklist=radeon,amdgpu,aty128fb,pcspkr,psmouse,powernow_k8,acpi_cpufreq,i2c_i801,lpc_ich
        # No BPF LSM, which systemd takes 1.5 s to attach to.
        lsm=landlock,lockdown,yama
        # Without cpusets libvirt does not patch the jump label in the page allocator (cpusets_enabled), which the emulated processors,
        # when two machines share this one, have run half-patched: a panic twice (int3 in get_page_from_freelist).
        cgroup_disable=cpuset
        # A panic is a reboot that no script asked for, which lab-run reports, instead of a machine that hangs until the time limit.
        panic=1
        "lab.mode=$1"
    )
    printf '%s' "${words[*]}"
}
