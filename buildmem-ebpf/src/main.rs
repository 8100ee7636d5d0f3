//! build-mem's eBPF programs. Each hook has a file; it filters, reads, submits, and counts what was lost.
//! No policy is decided here: what a record means is user space's business.
//!
//! Built by `cargo xtask ebpf`, which also says why a toolchain of its own is needed.

#![no_std]
#![no_main]

mod cgroup_attach;
mod exec;
mod exit;
mod fork;
mod kernel;
mod maps;
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
