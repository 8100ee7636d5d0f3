//! The wire between build-mem's eBPF programs and its user space: fixed-size records, the tables of
//! offsets that user space computes from BTF, and the limits that both sides must agree on.
//!
//! Every record is plain memory without padding; `zerocopy`'s derives refuse anything else at compile
//! time. No policy belongs here: what a record means is `observe::bpf::decode`'s business.

#![no_std]
#![forbid(unsafe_code)]

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Longest command line captured at exec, in bytes, NUL separators included.
///
/// A longer one is cut here and flagged by [`ExecRecord::argv_bytes`] being larger. The kernel allows up
/// to 128 KiB an argument and a quarter of the stack limit in total (execve(2)); the scratch space is a
/// per-CPU map value, of which the kernel allocates at most 32 KiB.
pub const ARGV_CAPACITY: usize = 16 * 1024;

/// Longest cgroup path carried by [`CgroupAttachRecord`], in bytes.
pub const CGROUP_PATH_CAPACITY: usize = 256;

/// Most processes tracked at the same time. A process that does not fit is counted as lost.
pub const TRACKED_CAPACITY: u32 = 16 * 1024;

/// Size of the ring buffer in bytes.
///
/// At 400 bytes a process (fork, exec with a usual command line, exit) it holds 5,000 processes, a quarter
/// of a second at 20,000 forks a second.
pub const RING_BYTES: u32 = 2 << 20;

/// What a record tells. The value of [`RecordHeader::kind`].
pub mod kind {
    /// A [`ForkRecord`](super::ForkRecord).
    pub const FORK: u32 = 1;
    /// An [`ExecRecord`](super::ExecRecord), followed by the command line.
    pub const EXEC: u32 = 2;
    /// An [`ExitRecord`](super::ExitRecord).
    pub const EXIT: u32 = 3;
    /// A [`CgroupAttachRecord`](super::CgroupAttachRecord).
    pub const CGROUP_ATTACH: u32 = 4;
    /// A bare [`RecordHeader`](super::RecordHeader): the kernel's out-of-memory killer chose this process.
    pub const OOM_VICTIM: u32 = 5;
}

/// Bits of [`RecordHeader::flags`].
pub mod flag {
    /// The process runs in the same address space as its parent (vfork, posix_spawn) and has not called exec.
    pub const SHARES_MM: u32 = 1;
    /// The process has called exec at least once.
    pub const EXECED: u32 = 2;
    /// [`ExitRecord::mm_high_water_pages`](super::ExitRecord::mm_high_water_pages) was read: the kernel
    /// fires the exit tracepoint while the address space is still there (Linux 6.16 and later).
    pub const HAS_MM: u32 = 4;
}

/// Slots of the per-CPU counters of what the programs could not report.
pub mod lost {
    /// Records dropped because the ring buffer was full.
    pub const RING_FULL: u32 = 0;
    /// Processes that did not fit the map of tracked processes.
    pub const TRACKED_FULL: u32 = 1;
    /// Command lines that could not be read from the process's memory; the exec itself is reported.
    pub const ARGV_UNREADABLE: u32 = 2;
    /// Number of slots.
    pub const SLOTS: u32 = 3;
}

/// What every record begins with.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecordHeader {
    /// One of [`kind`].
    pub kind: u32,
    /// Bits of [`flag`].
    pub flags: u32,
    /// Nanoseconds since boot, suspend included (`bpf_ktime_get_boot_ns`, CLOCK_BOOTTIME).
    pub boot_ns: u64,
    /// The process, in the initial PID namespace.
    pub tgid: u32,
    /// The process, in the profiler's PID namespace; 0 where it is not visible there.
    pub pid: u32,
}

/// A tracked process forked. The header names the child.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ForkRecord {
    /// Of the child.
    pub header: RecordHeader,
    /// The parent, in the initial PID namespace.
    pub parent_tgid: u32,
    /// The parent, in the profiler's PID namespace.
    pub parent_pid: u32,
}

/// A tracked process called exec. `argv_len` bytes of command line follow the record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExecRecord {
    /// Of the process.
    pub header: RecordHeader,
    /// `signal->maxrss` in pages: the highest high-water mark of every image that this process ran before,
    /// the forked one included (the kernel folds it in before the tracepoint fires).
    pub signal_maxrss_pages: u64,
    /// Length of the whole command line in bytes (`mm->arg_end - mm->arg_start`).
    pub argv_bytes: u64,
    /// Length of what follows the record, at most [`ARGV_CAPACITY`].
    pub argv_len: u32,
    /// Zero; keeps the record free of padding.
    pub reserved: u32,
}

/// The last thread of a tracked process exited.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExitRecord {
    /// Of the process.
    pub header: RecordHeader,
    /// `max(mm->hiwater_rss, file + anon + shmem pages)` of the last image; valid with [`flag::HAS_MM`].
    pub mm_high_water_pages: u64,
    /// `signal->maxrss` in pages, final when the thread group is dead.
    pub signal_maxrss_pages: u64,
    /// `signal->maxrss` in pages as it stood at the last exec; 0 without one.
    pub exec_maxrss_pages: u64,
    /// The wait status as waitpid(2) gives it (`task->exit_code`).
    pub wait_status: u32,
    /// Zero; keeps the record free of padding.
    pub reserved: u32,
}

/// A tracked process was moved to a cgroup.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CgroupAttachRecord {
    /// Of the process.
    pub header: RecordHeader,
    /// `cgroup->kn->id` of the destination: the inode number of its directory.
    pub cgroup_id: u64,
    /// `cgroup->root->hierarchy_id`: 0 for cgroup v2, the number in /proc/self/cgroup for v1.
    pub hierarchy_id: u32,
    /// Bytes of `path` that count.
    pub path_len: u32,
    /// The destination's path from the root of its hierarchy.
    pub path: [u8; CGROUP_PATH_CAPACITY],
}
