//! The kernel's out-of-memory killer chose a tracked process.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use aya_log_ebpf::debug;
use buildmem_common::kind;

use crate::kernel::{Task, victim_is_task};
use crate::maps::{Tracked, header, submit};

/// `mark_victim(struct task_struct *task, uid_t uid)`, on older kernels `mark_victim(int pid)`.
#[raw_tracepoint(tracepoint = "mark_victim")]
pub fn oom_victim(context: RawTracePointContext) -> i32 {
    let tgid = if victim_is_task() {
        Task::from_argument(&context, 0).tgid()
    } else {
        // The number of a thread: the leader's, unless that has already exited.
        context.arg::<u32>(0)
    };
    let Some(tracked) = Tracked::find(tgid) else {
        return 0;
    };
    debug!(
        &context,
        "process {} was chosen by the out-of-memory killer", tracked.pid
    );
    submit(header(kind::OOM_VICTIM, tracked.flags, tgid, tracked.pid));
    0
}
