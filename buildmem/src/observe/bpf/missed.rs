//! How often the kernel skipped an eBPF program because it was already running on that CPU.
//!
//! It does not happen while tracepoints switch preemption off, which kernels did until 2026 (commit
//! a46023d5616e); with a preemptible kernel after that it does. aya does not tell the number, hence the call by
//! hand.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::libc;

/// `BPF_OBJ_GET_INFO_BY_FD` of bpf(2).
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;

/// `union bpf_attr` for that command.
#[repr(C)]
struct InfoRequest {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// The beginning of `struct bpf_prog_info` (include/uapi/linux/bpf.h), which only ever grows at its end.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    before: [u64; 26],
    recursion_misses: u64,
}

const PROGRAM_INFO_LEN: u32 = 216;
const _: () = assert!(size_of::<ProgramInfo>() == PROGRAM_INFO_LEN as usize);

/// Runs of the program that were skipped; 0 where the kernel (before 5.12) does not count them.
pub fn skipped_runs(program: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = ProgramInfo::default();
    let request = InfoRequest {
        bpf_fd: program.as_raw_fd().cast_unsigned(),
        info_len: PROGRAM_INFO_LEN,
        info: (&raw mut info).expose_provenance() as u64,
    };
    // SAFETY: the kernel reads `request`, which is as long as it is told, and writes at most `info_len`
    // bytes to `info`; both live until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET_INFO_BY_FD,
            &raw const request,
            size_of::<InfoRequest>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(info.recursion_misses)
}
