//! build-mem's eBPF programs. Each hook has a file; it filters, reads, submits, and counts what was lost.
//! No policy is decided here: what a record means is user space's business.
//!
//! Fork, exec and exit have three copies of the same program on the same tracepoint, of which only the first
//! usually finds something to do. The kernel skips a program that is already running on the CPU, and since
//! tracepoints no longer switch preemption off (commit a46023d5616e of 2026; seen on 7.2) that happens whenever
//! a task that is in the program is preempted by one that comes to the same tracepoint: the next copy does its
//! work then. So each program first looks whether what happened was already reported. All three skipped at once
//! takes three preempted tasks on one CPU. Only the first copy logs (`FIRST`): what would be in the object three times
//! becomes functions, whose names depend on where the checkout is.
//!
//! Built by `cargo xtask ebpf`, which also says why a toolchain of its own is needed.

#![no_std]
#![no_main]

mod cgroup_attach;
mod exec;
mod exit;
mod fork;
mod growth;
mod kernel;
mod maps;
mod mm_release;
mod oom_victim;

/// What the kernel asks for before it lends the helpers that read its memory.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Never reached: nothing here panics, and the verifier would refuse a program that could get here.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
