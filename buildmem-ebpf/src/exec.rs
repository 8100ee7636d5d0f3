//! A tracked process replaces its program: report the command line, and how much the old image had.

use aya_ebpf::helpers::generated::{bpf_probe_read_user, bpf_ringbuf_output};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use aya_log_ebpf::{debug, trace};
use buildmem_common::{ARGV_CAPACITY, ExecRecord, flag, kind, lost};

use crate::kernel::Task;
use crate::maps::{EXEC_SCRATCH, ExecScratch, RECORDS, Tracked, count_lost, header};

/// `sched_process_exec(struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)`: the new address
/// space is there with its arguments, the old one is folded into `signal->maxrss`, and the calling thread is
/// the only one and has become the leader.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn process_execed(context: RawTracePointContext) -> i32 {
    report::<true>(&context, 0);
    0
}

/// The second copy: see the crate's documentation.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn process_execed_2(context: RawTracePointContext) -> i32 {
    report::<false>(&context, 1);
    0
}

/// The third copy.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn process_execed_3(context: RawTracePointContext) -> i32 {
    report::<false>(&context, 2);
    0
}

/// `slot` is the copy's own in [`EXEC_SCRATCH`].
#[inline(always)]
fn report<const FIRST: bool>(context: &RawTracePointContext, slot: u32) {
    let task = Task::from_argument(context, 0);
    let tgid = task.tgid();
    let Some(tracked) = Tracked::find_for_change(tgid) else {
        return;
    };
    let mm = task.mm();
    if tracked.exec_mm == mm.address() {
        return;
    }
    let Some(scratch) = EXEC_SCRATCH.get_ptr_mut(slot) else {
        return;
    };
    // SAFETY: a map's value stays valid until the program returns, and this one is the CPU's and the copy's own.
    let scratch = unsafe { &mut *scratch };

    let arg_start = mm.arg_start();
    let argv_bytes = mm.arg_end().saturating_sub(arg_start);
    scratch.record = ExecRecord {
        header: header(kind::EXEC, tracked.flags, tgid, tracked.pid),
        signal_maxrss_pages: task.signal().maxrss_pages(),
        previous_exec_maxrss_pages: tracked.exec_maxrss_pages,
        argv_bytes,
        argv_len: 0,
        reserved: 0,
    };
    tracked.exec_mm = mm.address();
    tracked.flags = flag::EXECED;
    tracked.exec_maxrss_pages = scratch.record.signal_maxrss_pages;

    let wanted = bounded(argv_bytes);
    if argv_bytes > wanted {
        if FIRST {
            debug!(
                context,
                "process {} has a command line of {} bytes, of which {} are kept",
                tracked.pid,
                argv_bytes,
                wanted
            );
        }
    }
    // SAFETY: `wanted` is no more than what `argv` holds, and the helper checks the address that it reads.
    let failed = unsafe {
        bpf_probe_read_user(
            scratch.argv.as_mut_ptr().cast(),
            wanted as u32,
            arg_start as *const _,
        )
    } != 0;
    let argv_len = if failed {
        count_lost(lost::ARGV_UNREADABLE);
        if FIRST {
            debug!(
                context,
                "the command line of process {} cannot be read", tracked.pid
            );
        }
        0
    } else {
        wanted
    };
    scratch.record.argv_len = argv_len as u32;
    if FIRST {
        trace!(context, "process {} called exec", tracked.pid);
    }
    output(scratch, argv_len);
}

/// At most [`ARGV_CAPACITY`].
///
/// The mask says so in the one way that every verifier since 5.10 follows: a comparison can be moved or
/// done on a copy of the register by the compiler, which loses what was learned from it.
#[inline(always)]
fn bounded(argv_bytes: u64) -> u64 {
    const { assert!(ARGV_CAPACITY.is_power_of_two()) };
    if argv_bytes >= ARGV_CAPACITY as u64 {
        ARGV_CAPACITY as u64
    } else {
        argv_bytes & (ARGV_CAPACITY as u64 - 1)
    }
}

/// Hands the record and `argv_len` bytes of the command line to user space, or counts it as lost.
#[inline(always)]
fn output(scratch: &mut ExecScratch, argv_len: u64) {
    let bytes = size_of::<ExecRecord>() as u64 + argv_len;
    // SAFETY: the record and the command line lie behind each other in `scratch`, which is initialized
    // memory of at least `bytes` bytes.
    let failed = unsafe {
        bpf_ringbuf_output(
            (&raw const RECORDS).cast_mut().cast(),
            (&raw mut *scratch).cast(),
            bytes,
            0,
        )
    } != 0;
    if failed {
        count_lost(lost::RING_FULL);
    }
}
