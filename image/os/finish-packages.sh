#!/bin/sh
# Run by mmdebstrap in the finished package tree ($1): drops what no server needs.
set -eu
root=$1
rm -f "$root/etc/kernel/postinst.d/dracut"

# Debian's dependencies bring these for one program each, which goes with them:
#   apt, its library and checker: a node's packages do not change
#   Python and the Unicode tables: xfs_scrub and xfs_protofile, which nothing here starts
#   GnuPG: signatures of OSTree commits are checked by ashlar-agent
#   Perl's modules: scripts in the SNMP library that keepalived is linked with
#   file: building password dictionaries
#   GRUB's unsigned EFI programs: the signed ones are taken
# A line is removed before the next: some need the others to be removed themselves.
while read -r names; do
    # shellcheck disable=SC2086
    chroot "$root" dpkg --purge --force-depends --force-remove-protected $names
done <<END
python3-dbus
python3
python3-minimal libpython3-stdlib python3.13
python3.13-minimal libpython3.13-stdlib libpython3.13-minimal libicu76
gnupg gnupg-l10n dirmngr gpgsm gpg-agent gpg gpgconf pinentry-curses libksba8 libnpth0t64
perl-modules-5.40 file libmagic1t64 libmagic-mgc
grub-efi-amd64-bin grub-efi-amd64-unsigned
apt libapt-pkg7.0 sqv debian-archive-keyring
END
rm -rf "$root"/usr/sbin/xfs_scrub* "$root"/usr/sbin/xfs_protofile "$root"/usr/lib/*/xfsprogs "$root"/usr/lib/x86_64-linux-gnu/perl
# Made when its package was installed: all machines, and each initramfs, would have one identity.
rm -f "$root"/etc/nvme/hostid "$root"/etc/nvme/hostnqn
# Compiled into hwdb.bin.
rm -rf "$root"/usr/lib/udev/hwdb.d

for kernel in "$root"/usr/lib/modules/*; do
    cd "$kernel/kernel"
    rm -rf sound drivers/media drivers/net/wireless drivers/bluetooth net/bluetooth net/mac80211 net/wireless \
        drivers/staging drivers/iio drivers/input/touchscreen drivers/input/joystick drivers/gpu/drm/amd \
        drivers/gpu/drm/i915 drivers/gpu/drm/xe drivers/gpu/drm/nouveau drivers/gpu/drm/radeon \
        drivers/net/can net/can drivers/isdn drivers/parport drivers/pcmcia drivers/soundwire drivers/nfc net/nfc \
        drivers/comedi drivers/accel drivers/atm net/atm drivers/w1 drivers/net/wwan drivers/firewire \
        fs/ubifs fs/jffs2 fs/afs fs/bcachefs fs/f2fs fs/hfs fs/hfsplus fs/jfs fs/nilfs2 fs/ntfs3 \
        fs/reiserfs fs/affs fs/ufs fs/minix fs/hpfs fs/befs fs/adfs fs/qnx4 fs/qnx6 fs/sysv fs/omfs fs/bfs fs/efs \
        fs/coda fs/orangefs
    # Two network drivers need its core.
    find drivers/mtd -name '*.ko*' ! -name 'mtd.ko*' -delete
    chroot "$root" depmod "$(basename "$kernel")"
done
rm -rf "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/log/apt/*
