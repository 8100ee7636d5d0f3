//! What the running kernel is like.

use std::fs;

use buildmem::observe::bpf::offsets::find_offsets;

/// Whether sched_process_exit comes before the address space is given up: Linux 6.16.
pub fn keeps_the_mm_until_exit() -> bool {
    let btf = fs::read("/sys/kernel/btf/vmlinux").unwrap();
    find_offsets(&btf).unwrap().exit_tells_group_dead == 1
}
