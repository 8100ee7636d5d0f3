#!/bin/sh
# Runs the tests that need a whole host. systemd powers off when this has ended.
export HOME=/root TERM=dumb LANG=C.UTF-8 BUILD_MEM_EXAMPLES=/tests/examples
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

argument() {
    sed -n "s/.*$1=\([^ ]*\).*/\1/p" /proc/cmdline
}

export BUILD_MEM_TESTS_SLOWNESS="$(argument vm.slowness)"
echo
echo "vm: kernel $(uname -r), a whole host"
if [ -d /sys/fs/cgroup/unified ]; then
    # A hybrid host, which podman refuses.
    default="host::units limits:: memory:: signals::"
else
    default="host:: limits:: memory:: signals:: users::"
    modprobe overlay
    dockerd --bridge=none --iptables=false --ip6tables=false > /tmp/dockerd.log 2>&1 &
    waited=0
    until docker info > /dev/null 2>&1; do
        waited=$((waited + 1))
        [ "$waited" -lt 120 ] || { echo "dockerd does not answer"; tail /tmp/dockerd.log; break; }
        sleep 1
    done
    docker import - build-mem-test < /tests/image.tar
    podman import - build-mem-test < /tests/image.tar
fi
build-mem doctor
tests="$(argument vm.tests | sed 's/,/ /g')"
# One after the other: they measure memory.
echo "vm: suite cgroup"
/tests/cgroup --ignored --test-threads=1 $tests
echo "vm: suite run"
/tests/run --ignored --test-threads=1 ${tests:-$default}
echo "vm: end"
