#!/bin/bash
# The live system: root is an overlay over the root partition of the disk image on the medium.

check() {
    return 255
}

depends() {
    echo systemd ostree network-manager
}

installkernel() {
    hostonly='' instmods loop squashfs overlay isofs cdrom sr_mod usb-storage uas virtio_scsi virtio_blk virtio_pci
}

install() {
    inst_multiple mount losetup mkdir sed cat cp chmod ln systemctl nmcli ip
    inst_script "$moddir/live-generator" "$systemdutildir/system-generators/ashlar-live-generator"
    inst_script "$moddir/live-medium" /usr/libexec/ashlar/live-medium
    # For media that fetch their root file system; the programs come with them, in an archive of their own.
    inst_libdir_file 'libgcc_s.so*' 'libm.so*' 'libnss_files.so*'
    inst_script "$moddir/live-network" /usr/libexec/ashlar/live-network
    for unit in ashlar-live-network ashlar-fetch ashlar-console@; do
        inst_simple "$moddir/$unit.service" "$systemdsystemunitdir/$unit.service"
    done
    inst_simple "$moddir/ashlar-live-medium.service" "$systemdsystemunitdir/ashlar-live-medium.service"
    inst_simple "$moddir/ashlar-live-var.service" "$systemdsystemunitdir/ashlar-live-var.service"
}
