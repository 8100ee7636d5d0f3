#!/bin/sh
# Runs the tests, and powers off.
export PATH=/bin HOME=/root TERM=dumb LANG=C BUILD_MEM_EXAMPLES=/tests/examples
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup

argument() {
    sed -n "s/.*$1=\([^ ]*\).*/\1/p" /proc/cmdline
}

# Theirs to set the clock of, and so on.
export BUILD_MEM_TESTS_OWN_MACHINE=1
export BUILD_MEM_TESTS_SLOWNESS="$(argument vm.slowness)"
# The firmware has left the cursor within a line.
echo
echo "vm: kernel $(uname -r)"
build-mem doctor
skipped="$(argument vm.skip | sed 's/[^,][^,]*/--skip &/g; s/,/ /g')"
for suite in tracker cgroup run; do
    echo "vm: suite $suite"
    # One after the other: they measure memory. There is not enough of it here for 17,000 processes at once, and what the sampler
    # may use of an emulated processor is too little for stages of 50 ms, or for a screen.
    /tests/$suite --ignored --test-threads=1 --skip host:: --skip more_processes_at_once --skip fifty_milliseconds --skip tui:: $skipped \
        $(argument vm.tests | sed 's/,/ /g')
done
echo "vm: end"
echo o > /proc/sysrq-trigger
sleep 60
