#!/bin/bash
# The live system: root is an overlay over the root partition of the disk image on the medium.

check() {
    return 255
}

depends() {
    echo systemd ostree
}

installkernel() {
    hostonly='' instmods loop squashfs overlay isofs cdrom sr_mod usb-storage uas virtio_scsi virtio_blk virtio_pci
}

install() {
    inst_multiple mount losetup mkdir sed cat
    inst_script "$moddir/live-generator" "$systemdutildir/system-generators/ashlar-live-generator"
    inst_script "$moddir/live-medium" /usr/libexec/ashlar/live-medium
    inst_simple "$moddir/ashlar-live-medium.service" "$systemdsystemunitdir/ashlar-live-medium.service"
    inst_simple "$moddir/ashlar-live-var.service" "$systemdsystemunitdir/ashlar-live-var.service"
}
