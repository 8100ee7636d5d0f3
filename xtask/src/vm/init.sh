#!/bin/sh
# The first process of the virtual machine: runs the tests, and powers off.
export PATH=/bin HOME=/root TERM=dumb LANG=C BUILD_MEM_EXAMPLES=/tests/examples
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for module in /modules/*; do insmod "$module"; done
mount -t ext4 /dev/vda /tmp || echo "vm: no disk"
chmod 1777 /tmp
echo "vm: kernel $(uname -r)"
build-mem doctor
for suite in tracker cgroup run; do
    echo "vm: suite $suite"
    # One after the other: they measure memory. What is given on the kernel's command line chooses among them.
    /tests/$suite --ignored --test-threads=1 $(sed -n 's/.*vm.tests=\([^ ]*\).*/\1/p' /proc/cmdline | sed 's/,/ /g')
done
echo "vm: end"
echo o > /proc/sysrq-trigger
sleep 60
