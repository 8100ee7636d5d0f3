#!/bin/sh
# The first process of the virtual machine: finds the disk, and goes on there. The tests must not run on the initramfs,
# whose files count as shared memory.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module"; done
mkdir /disk
mount -t ext4 /dev/vda /disk || echo "vm: no disk"
init=/tests/suites
read -r arguments < /proc/cmdline
for argument in $arguments; do
    case "$argument" in vm.init=*) init="${argument#vm.init=}" ;; esac
done
umount /proc /sys /dev
exec switch_root /disk "$init"
