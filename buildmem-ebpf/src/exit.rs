//! A tracked process ends, with its last thread.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use aya_log_ebpf::trace;
use buildmem_common::{ExitRecord, flag, kind};

use crate::kernel::{Task, exit_tells_group_dead};
use crate::maps::{TRACKED, Tracked, header, submit};

/// `sched_process_exit(struct task_struct *task)`, and since 6.16 `(…, bool group_dead)`: a thread is about
/// to be gone. The address space is still there since 6.16 only.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn process_exited(context: RawTracePointContext) -> i32 {
    report::<true>(&context);
    0
}

/// The second copy: see the crate's documentation. Once reported, a process is not tracked any more.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn process_exited_2(context: RawTracePointContext) -> i32 {
    report::<false>(&context);
    0
}

/// The third copy.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn process_exited_3(context: RawTracePointContext) -> i32 {
    report::<false>(&context);
    0
}

#[inline(always)]
fn report<const FIRST: bool>(context: &RawTracePointContext) {
    let task = Task::from_argument(context, 0);
    let tgid = task.tgid();
    let Some(tracked) = Tracked::find(tgid) else {
        return;
    };
    if !is_group_dead(context, task) {
        return;
    }

    let memory_cgroup = task.cgroups().memory();
    let mut record = ExitRecord {
        header: header(kind::EXIT, tracked.flags, tgid, tracked.pid),
        mm_high_water_pages: 0,
        signal_maxrss_pages: task.signal().maxrss_pages(),
        exec_maxrss_pages: tracked.exec_maxrss_pages,
        wait_status: task.wait_status(),
        reserved: 0,
        memory_cgroup_id: memory_cgroup.id(),
        memory_watermark_pages: memory_cgroup.watermark_pages(),
    };
    let mm = task.mm();
    if !mm.is_null() {
        record.header.flags |= flag::HAS_MM;
        record.mm_high_water_pages = mm.high_water_pages();
    } else if tracked.mm_high_water_pages > 0 {
        record.header.flags |= flag::HAS_MM;
        record.mm_high_water_pages = tracked.mm_high_water_pages;
    }
    // The number can be given to another process from here on. Fails only if it is not there.
    let _ = TRACKED.remove(tgid);
    if FIRST {
        trace!(
            context,
            "process {} exited with wait status {:x}", record.header.pid, record.wait_status
        );
    }
    submit(record);
}

/// Whether no thread of the process is left that has not begun to exit.
///
/// Before 6.16 two threads that exit at once can both see the count at zero: the first one reports. It may do
/// so an instant before the other has folded the address space into `signal->maxrss`, which is then not above
/// what it was at exec, and user space takes it as unknown: never for a wrong figure.
#[inline(always)]
fn is_group_dead(context: &RawTracePointContext, task: Task) -> bool {
    if exit_tells_group_dead() {
        // A bool: the rest of the register is not defined.
        context.arg::<u64>(1) & 1 != 0
    } else {
        task.signal().live_threads() == 0
    }
}
