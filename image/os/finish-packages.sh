#!/bin/sh
# Run by mmdebstrap in the finished package tree ($1): drops what no server needs.
set -eu
root=$1
rm -f "$root/etc/kernel/postinst.d/dracut"

for kernel in "$root"/usr/lib/modules/*; do
    cd "$kernel/kernel"
    rm -rf sound drivers/media drivers/net/wireless drivers/bluetooth net/bluetooth net/mac80211 net/wireless \
        drivers/staging drivers/iio drivers/input/touchscreen drivers/input/joystick drivers/gpu/drm/amd \
        drivers/gpu/drm/i915 drivers/gpu/drm/xe drivers/gpu/drm/nouveau drivers/gpu/drm/radeon \
        drivers/net/can net/can drivers/isdn drivers/parport drivers/pcmcia drivers/soundwire drivers/nfc net/nfc
    chroot "$root" depmod "$(basename "$kernel")"
done
rm -rf "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/log/apt/*
