#!/bin/sh
# Process 1 of a container machine until systemd takes over: shows the machine its own hardware, does what the
# initramfs does at an installed disk's first boot (image/os/dracut/91ashlar-ignition), starts systemd.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
lab=/run/lab

# What is mounted here is not to appear at other places too.
mount --make-rprivate /

for hierarchy in /sys/fs/cgroup/*; do
    [ ! -d "$hierarchy" ] || mount -o remount,bind,rw "$hierarchy" 2>/dev/null || true
done

(cd $lab/settings && find . -type f) | while read -r setting; do
    mount --bind "$lab/settings/$setting" "/proc/sys/$setting"
done
mount --bind $lab/cmdline /proc/cmdline

# The kernel's own /sys/block lists this computer's disks; DMI may be missing altogether.
mkdir -p /run/lab-class
mount --bind /sys/class /run/lab-class
mount -t tmpfs -o mode=755 tmpfs /sys/class
for class in /run/lab-class/*; do
    name=${class##*/}
    mkdir "/sys/class/$name"
    [ "$name" = block ] || [ "$name" = dmi ] || mount --bind "$class" "/sys/class/$name"
done
mkdir -p /sys/class/dmi /sys/class/block
mount --bind $lab/sys/dmi /sys/class/dmi
mount --bind $lab/sys/block /sys/class/block
mount --bind $lab/sys/block /sys/block
umount -R /run/lab-class
rmdir /run/lab-class

# These show the kernel of this computer.
mkdir -p /run/systemd/system
for unit in sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount; do
    ln -s /dev/null /run/systemd/system/$unit
done

: > /run/ostree-booted

first_boot() {
    slot=/dev/ashlar/config-slot
    [ -e $slot ] || return 0
    [ "$(head -c 8 $slot | tr -d '\000')" = ASHLARCF ] || return 0
    [ ! -e /etc/.ashlar-ignition-applied ] || return 0
    echo "first boot: bringing up the network"
    mkdir -p /run/NetworkManager/initrd || return 1
    : > /run/NetworkManager/initrd/neednet
    ashlar-ignition network --slot $slot --into /run/NetworkManager/system-connections || return 1
    NetworkManager --configure-and-quit=initrd || return 1
    echo "first boot: applying the configuration"
    systemd-tmpfiles --create --prefix=/var/home --prefix=/var/roothome --prefix=/var/lib/ashlar || true
    ashlar-ignition first-boot --sysroot / --slot $slot
}

if ! first_boot >/dev/console 2>&1; then
    echo "first boot failed; the machine stays here until it is reset" >/dev/console
    while :; do sleep 3600; done
fi

# As OSTree's own first stage leaves it (sysroot.readonly).
! mountpoint -q /sysroot || mount -o remount,bind,ro /sysroot

exec /usr/lib/systemd/systemd SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1
