//! The kernel's structures, as far as the programs read them: a pointer each, and a method a field.
//!
//! rustc emits no CO-RE relocations, so the offsets come from user space: see [`Offsets`]. Everything is
//! read through `bpf_probe_read_kernel`, which checks the address; what cannot be read is zero or null.

use core::ptr;

use aya_ebpf::helpers::{bpf_get_current_task, bpf_probe_read_kernel};
use aya_ebpf::programs::{FEntryContext, RawTracePointContext};
use buildmem_common::Offsets;

/// Where the fields are. User space replaces it before the programs are loaded.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::UNSET;

/// The inode number of the profiler's PID namespace (`/proc/self/ns/pid`), set before the programs are loaded.
#[unsafe(no_mangle)]
static PROFILER_PID_NAMESPACE: u32 = 0;

/// `SIGNAL_GROUP_EXIT` of `signal_struct.flags`: the whole thread group ends with `group_exit_code`
/// (include/linux/sched/signal.h; the same from 5.10 to 7.2).
const SIGNAL_GROUP_EXIT: u32 = 4;

/// The kinds of resident pages, as the kernel counts them (include/linux/mm_types_task.h). Kind 2 is swap.
const MM_FILEPAGES: usize = 0;
const MM_ANONPAGES: usize = 1;
const MM_SHMEMPAGES: usize = 3;

/// The offset of a field.
macro_rules! offset {
    ($field:ident) => {{
        // SAFETY: points to a field of an initialized static. Volatile, because user space replaces the
        // value that the compiler sees.
        let offset = unsafe { ptr::read_volatile(&raw const OFFSETS.$field) };
        offset as usize
    }};
}

/// Whether sched_process_exit says that the group is dead, in its second argument.
#[inline(always)]
pub fn exit_tells_group_dead() -> bool {
    offset!(exit_tells_group_dead) != 0
}

/// Whether mark_victim's first argument is the task, and not its number.
#[inline(always)]
pub fn victim_is_task() -> bool {
    offset!(victim_is_task) != 0
}

/// Reads a `T` at `offset` from `base`; zero where the memory cannot be read.
#[inline(always)]
fn read<T: Default>(base: *const u8, offset: usize) -> T {
    let address = base.wrapping_add(offset).cast::<T>();
    // SAFETY: the helper checks the address and fails if it cannot be read. Every `T` here is an integer
    // or a pointer wrapper, for which any bytes are a value.
    unsafe { bpf_probe_read_kernel(address) }.unwrap_or_default()
}

/// A pointer into the kernel that can be null, which is its default.
macro_rules! kernel_pointer {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $name(*const u8);

        impl Default for $name {
            fn default() -> Self {
                Self(ptr::null())
            }
        }

        impl $name {
            /// The argument of a raw tracepoint at `index`.
            #[allow(dead_code, reason = "not every structure is an argument")]
            #[inline(always)]
            pub fn from_argument(context: &RawTracePointContext, index: usize) -> Self {
                Self(context.arg(index))
            }

            /// The argument at `index` of a function of the kernel's that begins.
            #[allow(dead_code, reason = "not every structure is an argument")]
            #[inline(always)]
            pub fn from_fentry(context: &FEntryContext, index: usize) -> Self {
                Self(context.arg(index))
            }
        }
    };
}

kernel_pointer!(
    /// A thread: `struct task_struct`.
    Task
);
kernel_pointer!(
    /// What the threads of a process share: `struct signal_struct`.
    Signal
);
kernel_pointer!(
    /// An address space: `struct mm_struct`.
    Mm
);
kernel_pointer!(
    /// A cgroup of one hierarchy: `struct cgroup`.
    Cgroup
);
kernel_pointer!(
    /// A cgroup of each hierarchy: `struct css_set`.
    CgroupSet
);
kernel_pointer!(
    /// The memory controller's part of a cgroup: `struct cgroup_subsys_state`, within a `struct mem_cgroup`.
    MemoryCgroup
);
kernel_pointer!(
    /// A process's numbers, one a PID namespace: `struct pid`.
    Pid
);

impl Task {
    /// The thread that is in the kernel on this CPU.
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: the helper takes nothing and returns a pointer.
        let task = unsafe { bpf_get_current_task() };
        Self(ptr::without_provenance(task as usize))
    }

    /// The thread's own number, in the initial PID namespace. User space calls it a tid.
    #[inline(always)]
    pub fn tid(self) -> u32 {
        read(self.0, offset!(task_pid))
    }

    /// The process that the thread belongs to, in the initial PID namespace.
    #[inline(always)]
    pub fn tgid(self) -> u32 {
        read(self.0, offset!(task_tgid))
    }

    /// The address space; null once the thread has given it up.
    #[inline(always)]
    pub fn mm(self) -> Mm {
        read(self.0, offset!(task_mm))
    }

    #[inline(always)]
    pub fn signal(self) -> Signal {
        read(self.0, offset!(task_signal))
    }

    /// The process's first thread, or the one that took its place by calling exec.
    #[inline(always)]
    pub fn group_leader(self) -> Self {
        read(self.0, offset!(task_group_leader))
    }

    /// When the thread was made, in nanoseconds since boot: tells two processes of one number apart.
    #[inline(always)]
    pub fn start_boottime(self) -> u64 {
        read(self.0, offset!(task_start_boottime))
    }

    /// The cgroups that the thread is in.
    #[inline(always)]
    pub fn cgroups(self) -> CgroupSet {
        read(self.0, offset!(task_cgroups))
    }

    /// How many PID namespaces lie above the one that the thread is in.
    #[inline(always)]
    pub fn pid_namespace_level(self) -> u32 {
        let pid: Pid = read(self.0, offset!(task_thread_pid));
        read(pid.0, offset!(pid_level))
    }

    /// The thread's number in the profiler's PID namespace, which has this level; 0 where it is not visible there.
    #[inline(always)]
    pub fn tid_for_profiler(self, level: u32) -> u32 {
        // SAFETY: points to an initialized static. Volatile for the same reason as in `offset!`.
        let wanted = unsafe { ptr::read_volatile(&raw const PROFILER_PID_NAMESPACE) };
        let pid: Pid = read(self.0, offset!(task_thread_pid));
        let deepest: u32 = read(pid.0, offset!(pid_level));
        if level > deepest {
            return 0;
        }
        let number = pid
            .0
            .wrapping_add(offset!(pid_numbers))
            .wrapping_add(level as usize * offset!(upid_size));
        let namespace: usize = read(number, offset!(upid_ns));
        let inode: u32 = read(
            ptr::without_provenance(namespace),
            offset!(pid_namespace_inum),
        );
        if inode == wanted {
            read(number, offset!(upid_nr))
        } else {
            0
        }
    }

    /// What waitpid(2) tells of the process whose last thread this is.
    ///
    /// wait_task_zombie() in kernel/exit.c: the group's code if the group was ended as a whole (exit_group,
    /// a fatal signal), else the leader's own, whichever thread was the last.
    #[inline(always)]
    pub fn wait_status(self) -> u32 {
        let signal = self.signal();
        let flags: u32 = read(signal.0, offset!(signal_flags));
        if flags & SIGNAL_GROUP_EXIT == 0 {
            read(self.group_leader().0, offset!(task_exit_code))
        } else {
            read(signal.0, offset!(signal_group_exit_code))
        }
    }
}

impl Signal {
    /// Threads that have not begun to exit.
    #[inline(always)]
    pub fn live_threads(self) -> u32 {
        read(self.0, offset!(signal_live))
    }

    /// The highest high-water mark, in pages, of the address spaces that the process gave up.
    #[inline(always)]
    pub fn maxrss_pages(self) -> u64 {
        read(self.0, offset!(signal_maxrss))
    }
}

impl Mm {
    /// Where it is, which no other one is at the same time.
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0.addr() as u64
    }

    #[inline(always)]
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The high-water mark of the resident set in pages, as get_mm_hiwater_rss() in include/linux/mm.h has
    /// it: the kernel stores the mark only when the resident set is about to shrink.
    #[inline(always)]
    pub fn high_water_pages(self) -> u64 {
        let marked: u64 = read(self.0, offset!(mm_hiwater_rss));
        let now = self.resident_pages(MM_FILEPAGES)
            + self.resident_pages(MM_ANONPAGES)
            + self.resident_pages(MM_SHMEMPAGES);
        if marked > now { marked } else { now }
    }

    /// Since 6.2 each count is kept per CPU and what is read here is the shared part, which can be below
    /// zero for a moment.
    #[inline(always)]
    fn resident_pages(self, kind: usize) -> u64 {
        let pages: i64 = read(
            self.0,
            offset!(mm_rss_stat).wrapping_add(kind * offset!(mm_rss_stride)),
        );
        if pages < 0 { 0 } else { pages.cast_unsigned() }
    }

    /// Where the command line begins in the process's own memory.
    #[inline(always)]
    pub fn arg_start(self) -> u64 {
        read(self.0, offset!(mm_arg_start))
    }

    /// Where it ends; the environment follows.
    #[inline(always)]
    pub fn arg_end(self) -> u64 {
        read(self.0, offset!(mm_arg_end))
    }
}

impl CgroupSet {
    /// The cgroup that memory is charged to; null where the kernel has no memory controller.
    #[inline(always)]
    pub fn memory(self) -> MemoryCgroup {
        match offset!(css_set_memory) {
            0 => MemoryCgroup::default(),
            offset => read(self.0, offset),
        }
    }
}

impl MemoryCgroup {
    /// The one at an address.
    #[inline(always)]
    pub fn at(address: u64) -> Self {
        Self(ptr::without_provenance(address as usize))
    }

    /// Where it is.
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0.addr() as u64
    }

    /// The inode number of the cgroup's directory; 0 where it cannot be read.
    #[inline(always)]
    pub fn id(self) -> u64 {
        let cgroup: Cgroup = read(self.0, offset!(css_cgroup));
        cgroup.id()
    }

    /// The pages that are charged to it and to those below it.
    #[inline(always)]
    pub fn usage_pages(self) -> u64 {
        read(self.0, offset!(css_memory_usage))
    }

    /// The most pages that were ever charged to it and to those below it.
    #[inline(always)]
    pub fn watermark_pages(self) -> u64 {
        read(self.0, offset!(css_memory_watermark))
    }
}

impl Cgroup {
    /// The inode number of the cgroup's directory.
    #[inline(always)]
    pub fn id(self) -> u64 {
        let node: usize = read(self.0, offset!(cgroup_kn));
        read(ptr::without_provenance(node), offset!(kernfs_node_id))
    }

    /// 0 for cgroup v2.
    #[inline(always)]
    pub fn hierarchy_id(self) -> u32 {
        let root: usize = read(self.0, offset!(cgroup_root));
        read(
            ptr::without_provenance(root),
            offset!(cgroup_root_hierarchy_id),
        )
    }
}
