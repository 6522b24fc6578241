#!/bin/bash
# First boot of an installed disk, in stages: fetch-offline, fetch, kargs, disks, mount, files, umount. The program
# itself (/usr/bin/ashlar-ignition) is appended to the initramfs, so that a new one needs no new initramfs.

check() {
    return 255
}

depends() {
    echo systemd ostree network-manager
}

installkernel() {
    hostonly='' instmods ext4 xfs btrfs vfat dm-crypt dm-mod raid0 raid1 raid456 raid10 linear tpm_tis tpm_crb
}

install() {
    inst_multiple cp chmod mkdir systemctl systemd-tmpfiles udevadm
    # For configurations with disks; what the image does not have cannot be asked for.
    inst_multiple -o wipefs blkid partx mkfs.ext4 mke2fs mkfs.xfs mkfs.btrfs mkfs.fat mkswap \
        mdadm cryptsetup dmsetup clevis clevis-luks-bind clevis-luks-unlock clevis-luks-common-functions \
        clevis-encrypt-tang clevis-encrypt-tpm2 clevis-encrypt-sss clevis-decrypt clevis-decrypt-tang \
        clevis-decrypt-tpm2 clevis-decrypt-sss jose curl tpm2_create tpm2_createprimary tpm2_createpolicy \
        tpm2_load tpm2_unseal tpm2_flushcontext tpm2_pcrread pwmake bash grep sed \
        mktemp rm cat tr cut head tail awk basename sort uniq base64 od id cmp
    # Opened by name when a TPM is asked; ldd does not see it.
    inst_libdir_file 'libtss2-tcti-device.so*'
    # Without them cryptsetup waits for udev for ever.
    [ ! -e "$udevdir/rules.d/95-dm-notify.rules" ] ||
        inst_rules 55-dm.rules 60-persistent-storage-dm.rules 95-dm-notify.rules 10-dm.rules 13-dm-disk.rules
    [ ! -e "$udevdir/rules.d/63-md-raid-arrays.rules" ] ||
        inst_rules 63-md-raid-arrays.rules 64-md-raid-assembly.rules
    inst_libdir_file 'libgcc_s.so*' 'libm.so*' 'libnss_files.so*'
    inst_simple /etc/ssl/certs/ca-certificates.crt
    inst_simple "$moddir/90-ashlar.rules" /usr/lib/udev/rules.d/90-ashlar.rules
    inst_simple "$moddir/ashlar-default.nmconnection" /usr/libexec/ashlar/ashlar-default.nmconnection
    inst_script "$moddir/first-boot-network" /usr/libexec/ashlar/first-boot-network
    for unit in fetch-offline network fetch kargs disks mount files umount; do
        inst_simple "$moddir/ashlar-ignition-$unit.service" "$systemdsystemunitdir/ashlar-ignition-$unit.service"
    done
    for unit in emergency dracut-emergency; do
        inst_simple "$moddir/emergency.conf" "$systemdsystemunitdir/$unit.service.d/50-ashlar.conf"
    done
    # The boot goes on only when every stage succeeded, or had nothing to do.
    $SYSTEMCTL -q --root "$initdir" add-requires initrd-parse-etc.service ashlar-ignition-umount.service
}
