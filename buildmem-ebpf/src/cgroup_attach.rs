//! A tracked process is moved to another cgroup.

use aya_ebpf::helpers::bpf_probe_read_kernel_str_bytes;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use aya_log_ebpf::debug;
use buildmem_common::{CGROUP_PATH_CAPACITY, CgroupAttachRecord, kind, lost};

use crate::kernel::{Cgroup, Task};
use crate::maps::{RECORDS, Tracked, count_lost, header};

/// `cgroup_attach_task(struct cgroup *destination, const char *path, struct task_struct *task, bool
/// threadgroup)`: fires after the move, in every hierarchy of either version. A process that is *born* in
/// another cgroup (clone3 with CLONE_INTO_CGROUP) does not come by here.
#[raw_tracepoint(tracepoint = "cgroup_attach_task")]
pub fn cgroup_attached(context: RawTracePointContext) -> i32 {
    let cgroup = Cgroup::from_argument(&context, 0);
    let path: *const u8 = context.arg(1);
    let task = Task::from_argument(&context, 2);
    let tgid = task.tgid();
    let Some(tracked) = Tracked::find(tgid) else {
        return 0;
    };
    if task.tid() != tgid {
        // A single thread, in a v1 hierarchy: memory is charged to where the leader is.
        return 0;
    }

    let Some(mut entry) = RECORDS.reserve::<CgroupAttachRecord>(0) else {
        count_lost(lost::RING_FULL);
        return 0;
    };
    // In place, since it takes more than half of the stack.
    let record = entry.write(CgroupAttachRecord {
        header: header(kind::CGROUP_ATTACH, tracked.flags, tgid, tracked.pid),
        cgroup_id: cgroup.id(),
        hierarchy_id: cgroup.hierarchy_id(),
        path_len: 0,
        path: [0; CGROUP_PATH_CAPACITY],
    });
    // SAFETY: the helper checks the address that it reads, and `path` is as long as it says.
    let path = unsafe { bpf_probe_read_kernel_str_bytes(path, &mut record.path) };
    record.path_len = path.map_or(0, |path| path.len() as u32);
    entry.submit(0);
    debug!(
        &context,
        "process {} was moved to another cgroup", tracked.pid
    );
    0
}
