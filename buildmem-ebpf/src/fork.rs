//! A process makes another: the child of a tracked process is tracked.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use aya_log_ebpf::{debug, trace, warn};
use buildmem_common::{ForkRecord, flag, kind};

use crate::kernel::Task;
use crate::maps::{SEED, TRACKED, Tracked, count_untracked, header, submit};

/// `sched_process_fork(struct task_struct *parent, struct task_struct *child)`: the child exists and has not
/// run yet, so nothing that it does is missed.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn process_forked(context: RawTracePointContext) -> i32 {
    report::<true>(&context);
    0
}

/// The second copy: see the crate's documentation.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn process_forked_2(context: RawTracePointContext) -> i32 {
    report::<false>(&context);
    0
}

/// The third copy.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn process_forked_3(context: RawTracePointContext) -> i32 {
    report::<false>(&context);
    0
}

#[inline(always)]
fn report<const FIRST: bool>(context: &RawTracePointContext) {
    let parent = Task::from_argument(context, 0);
    let child = Task::from_argument(context, 1);
    let parent_tgid = parent.tgid();
    let (parent_pid, profiler_level) = match Tracked::find(parent_tgid) {
        Some(tracked) => (tracked.pid, tracked.profiler_level),
        None if is_seed(parent) => {
            let level = parent.pid_namespace_level();
            (parent.group_leader().tid_for_profiler(level), level)
        }
        None => return,
    };
    let tgid = child.tgid();
    if tgid == parent_tgid {
        // A thread.
        return;
    }
    let start_boottime = child.start_boottime();
    if Tracked::find(tgid).is_some_and(|tracked| tracked.start_boottime == start_boottime) {
        return;
    }

    let flags = if child.mm() == parent.mm() {
        flag::SHARES_MM
    } else {
        0
    };
    let tracked = Tracked {
        pid: child.tid_for_profiler(profiler_level),
        flags,
        exec_maxrss_pages: 0,
        start_boottime,
        exec_mm: 0,
        mm_high_water_pages: 0,
        profiler_level,
        reserved: 0,
    };
    let header = header(kind::FORK, flags, tgid, tracked.pid);
    if TRACKED.insert(tgid, tracked, 0).is_err() {
        count_untracked(start_boottime);
        if FIRST {
            warn!(context, "no room to track process {}", header.pid);
        }
        return;
    }
    if header.pid == 0 {
        if FIRST {
            debug!(
                context,
                "process {} is not visible in the profiler's PID namespace", tgid
            );
        }
    }
    if FIRST {
        trace!(context, "process {} forked {}", parent_pid, header.pid);
    }
    submit(ForkRecord {
        header,
        parent_tgid,
        parent_pid,
        born_in_cgroup_id: born_in_cgroup_id(parent, child),
    });
}

/// The child's memory cgroup where it is not its parent's, else 0. That this is so is known at once, since threads
/// with the same cgroups share one description of them.
#[inline(always)]
fn born_in_cgroup_id(parent: Task, child: Task) -> u64 {
    let (of_parent, of_child) = (parent.cgroups(), child.cgroups());
    if of_child == of_parent {
        return 0;
    }
    let id = of_child.memory().id();
    if id == of_parent.memory().id() { 0 } else { id }
}

/// Whether this is the thread of the profiler that is about to start the build.
#[inline(always)]
fn is_seed(thread: Task) -> bool {
    match SEED.get(0) {
        // Almost always, and for every process on the host: so it is asked first.
        None | Some(0) => false,
        Some(seed) => thread.tid_for_profiler(thread.pid_namespace_level()) == *seed,
    }
}
