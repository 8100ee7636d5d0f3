//! A tracked process gives up its address space, for kernels that do so before they say that it ends.

use aya_ebpf::macros::fentry;
use aya_ebpf::programs::FEntryContext;

use crate::kernel::{Mm, Task};
use crate::maps::Tracked;

/// `exit_mm_release(struct task_struct *task, struct mm_struct *mm)`: a thread is about to leave its address space. User
/// space has this program only where the exit program comes too late: before 6.16.
///
/// The last thread's address space is the last image's: exec has another function for the one that it ends. Two that leave
/// at once can both find themselves the last, and read the same, since neither runs the program any more.
#[fentry(function = "exit_mm_release")]
pub fn address_space_left(context: FEntryContext) -> i32 {
    let task = Task::from_fentry(&context, 0);
    let Some(tracked) = Tracked::find_for_change(task.tgid()) else {
        return 0;
    };
    if task.signal().live_threads() == 0 {
        tracked.mm_high_water_pages = Mm::from_fentry(&context, 1).high_water_pages();
    }
    0
}
