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
/// of a second at 20,000 forks a second; with half of it, 17,000 processes that end at once overrun it. It is resident twice: the kernel shows it to user space two times in a row.
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
    /// fires the exit tracepoint while the address space is still there (Linux 6.16 and later), or the program on
    /// `exit_mm_release` had read it before.
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
    /// No count: `task->start_boottime` of the process that was the last one in [`TRACKED_FULL`].
    pub const LAST_UNTRACKED: u32 = 3;
    /// Number of slots.
    pub const SLOTS: u32 = 4;
}

/// Where the kernel keeps what the programs read, for the kernel that runs.
///
/// User space fills it from the kernel's BTF before the programs are loaded; the verifier then knows each
/// value as a constant. Offsets are in bytes; a path such as `pid_namespace.ns.inum` is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Offsets {
    /// `task_struct.pid`: the thread's number in the initial PID namespace.
    pub task_pid: u32,
    /// `task_struct.tgid`.
    pub task_tgid: u32,
    /// `task_struct.mm`.
    pub task_mm: u32,
    /// `task_struct.signal`.
    pub task_signal: u32,
    /// `task_struct.group_leader`.
    pub task_group_leader: u32,
    /// `task_struct.thread_pid`.
    pub task_thread_pid: u32,
    /// `task_struct.exit_code`.
    pub task_exit_code: u32,
    /// `task_struct.start_boottime`: nanoseconds.
    pub task_start_boottime: u32,
    /// `task_struct.cgroups`: the thread's cgroups of all hierarchies, shared by all threads with the same.
    pub task_cgroups: u32,
    /// The memory controller's slot in `css_set.subsys`; 0 where the kernel has no memory controller.
    pub css_set_memory: u32,
    /// `cgroup_subsys_state.cgroup`.
    pub css_cgroup: u32,
    /// `mem_cgroup.memory.watermark`, in pages, from `mem_cgroup.css` on.
    pub css_memory_watermark: u32,
    /// `mem_cgroup.memory.usage`, from `mem_cgroup.css` on.
    pub css_memory_usage: u32,
    /// `signal_struct.live`: threads that have not begun to exit.
    pub signal_live: u32,
    /// `signal_struct.maxrss`, in pages.
    pub signal_maxrss: u32,
    /// `signal_struct.flags`.
    pub signal_flags: u32,
    /// `signal_struct.group_exit_code`.
    pub signal_group_exit_code: u32,
    /// `mm_struct.hiwater_rss`, in pages.
    pub mm_hiwater_rss: u32,
    /// The count of resident pages of kind 0 (`MM_FILEPAGES`) in `mm_struct.rss_stat`.
    pub mm_rss_stat: u32,
    /// From one kind's count to the next: 8 in an array of atomics (Linux 6.1 and before), the size of a
    /// `percpu_counter` since.
    pub mm_rss_stride: u32,
    /// `mm_struct.arg_start`.
    pub mm_arg_start: u32,
    /// `mm_struct.arg_end`.
    pub mm_arg_end: u32,
    /// `pid.level`: how many PID namespaces lie above the one that the process is in.
    pub pid_level: u32,
    /// `pid.numbers`: one `upid` a namespace, the initial one first.
    pub pid_numbers: u32,
    /// Size of a `upid`.
    pub upid_size: u32,
    /// `upid.nr`.
    pub upid_nr: u32,
    /// `upid.ns`.
    pub upid_ns: u32,
    /// `pid_namespace.ns.inum`.
    pub pid_namespace_inum: u32,
    /// `cgroup.kn`.
    pub cgroup_kn: u32,
    /// `cgroup.root`.
    pub cgroup_root: u32,
    /// `kernfs_node.id`.
    pub kernfs_node_id: u32,
    /// `cgroup_root.hierarchy_id`.
    pub cgroup_root_hierarchy_id: u32,
    /// 1 where sched_process_exit fires before the address space is given up and says whether the group is
    /// dead (Linux 6.16 and later), else 0.
    pub exit_tells_group_dead: u32,
    /// 1 where mark_victim's first argument is the task, 0 where it is its number.
    pub victim_is_task: u32,
}

impl Offsets {
    /// What the programs are compiled with. Useless until user space replaces it.
    pub const UNSET: Self = zerocopy::transmute!([0_u32; size_of::<Self>() / size_of::<u32>()]);
}

/// When growth of the build's memory is to wake user space: user space sets it, the program that looks keeps it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct GrowthGate {
    /// 0 where user space was woken, or is not interested.
    pub armed: u64,
    /// The build's memory cgroup: the inode number of its directory.
    pub cgroup_id: u64,
    /// The usage in pages from which on it wakes.
    pub high_pages: u64,
    /// The lowest usage in pages since the gate was set.
    pub low_pages: u64,
    /// It wakes, too, when the usage has grown by this part of the lowest …
    pub regrowth_divisor: u64,
    /// … and by no less than this.
    pub least_regrowth_pages: u64,
}

/// The build's memory has grown as far as [`GrowthGate`] says.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GrowthRecord {
    /// [`GrowthGate::low_pages`] then.
    pub low_pages: u64,
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
    /// The child's memory cgroup (the inode number of its directory) where it is another one than its parent's:
    /// clone3(2) with CLONE_INTO_CGROUP. Else 0.
    pub born_in_cgroup_id: u64,
}

/// A tracked process called exec. `argv_len` bytes of command line follow the record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExecRecord {
    /// Of the process. The flags are those of the image that ended.
    pub header: RecordHeader,
    /// `signal->maxrss` in pages: the highest high-water mark of every image that this process ran before,
    /// the forked one included (the kernel folds it in before the tracepoint fires).
    pub signal_maxrss_pages: u64,
    /// `signal->maxrss` in pages as it stood at the exec before this one; 0 without one.
    pub previous_exec_maxrss_pages: u64,
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
    /// The wait status as waitpid(2) gives it: `signal->group_exit_code`, or the leader's `exit_code`.
    pub wait_status: u32,
    /// Zero; keeps the record free of padding.
    pub reserved: u32,
    /// The memory cgroup that the process was in: the inode number of its directory. 0 without a memory controller.
    pub memory_cgroup_id: u64,
    /// `mem_cgroup.memory.watermark` of that cgroup in pages: what `memory.peak` shows where there is such a file.
    pub memory_watermark_pages: u64,
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
