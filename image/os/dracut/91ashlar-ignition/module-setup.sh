#!/bin/bash
# First boot of an installed disk: applies the configuration in the disk's config slot. The program itself
# (/usr/bin/ashlar-ignition) is appended to the initramfs, so that a new one needs no new initramfs.

check() {
    return 255
}

depends() {
    echo systemd ostree network-manager
}

installkernel() {
    hostonly='' instmods ext4 xfs btrfs vfat dm-crypt dm-mod raid0 raid1 raid456 raid10 linear
}

install() {
    inst_multiple mount umount head tr cp chmod mkdir systemctl systemd-tmpfiles useradd usermod groupadd
    # For configurations with disks; what the image does not have cannot be asked for.
    inst_multiple -o wipefs blkid partx udevadm mkfs.ext4 mke2fs mkfs.xfs mkfs.btrfs mkfs.fat mkswap \
        mdadm cryptsetup clevis clevis-encrypt-tang clevis-encrypt-tpm2 clevis-encrypt-sss clevis-luks-bind
    inst_libdir_file 'libgcc_s.so*' 'libm.so*' 'libnss_files.so*'
    inst_simple /etc/ssl/certs/ca-certificates.crt
    inst_simple "$moddir/90-ashlar.rules" /usr/lib/udev/rules.d/90-ashlar.rules
    inst_simple "$moddir/ashlar-default.nmconnection" /usr/libexec/ashlar/ashlar-default.nmconnection
    inst_script "$moddir/first-boot" /usr/libexec/ashlar/first-boot
    inst_simple "$moddir/ashlar-ignition.service" "$systemdsystemunitdir/ashlar-ignition.service"
    $SYSTEMCTL -q --root "$initdir" add-requires initrd.target ashlar-ignition.service
}
