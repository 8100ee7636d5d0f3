//! The build touches memory: wake user space when its cgroup has come to hold so much that a look is worth it.

use aya_ebpf::macros::perf_event;
use aya_ebpf::programs::PerfEventContext;
use buildmem_common::{GrowthGate, GrowthRecord};

use crate::kernel::Task;
use crate::maps::{GROWTH, GROWTH_GATE, Tracked};

/// On a CPU so many page faults have happened as user space has said (a software perf event), and the task that runs there
/// has made the last of them.
///
/// What is charged without a fault, such as a file that is read, is in the usage that the next fault finds.
#[perf_event]
pub fn memory_touched(_context: PerfEventContext) -> u32 {
    let Some(gate) = GROWTH_GATE.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: a map's value stays valid until the program returns. Others may write to it meanwhile, on other CPUs and in
    // user space: then the gate wakes once too often, or a little later.
    look(unsafe { &mut *gate });
    0
}

#[inline(always)]
fn look(gate: &mut GrowthGate) {
    if gate.armed == 0 {
        return;
    }
    let task = Task::current();
    if Tracked::find(task.tgid()).is_none() {
        return;
    }
    let memory = task.cgroups().memory();
    if memory.id() != gate.cgroup_id {
        return;
    }
    let usage = memory.usage_pages();
    let low = gate.low_pages;
    if usage < low {
        gate.low_pages = usage;
        return;
    }
    if usage < gate.high_pages && usage - low < regrowth(gate, low) {
        return;
    }
    gate.armed = 0;
    if let Some(mut entry) = GROWTH.reserve::<GrowthRecord>(0) {
        entry.write(GrowthRecord { low_pages: low });
        entry.submit(0);
    }
    // Where there is no room, user space is awake.
}

/// The growth below the high that is worth a look.
#[inline(always)]
fn regrowth(gate: &GrowthGate, low: u64) -> u64 {
    let part = low.checked_div(gate.regrowth_divisor).unwrap_or(0);
    if part > gate.least_regrowth_pages {
        part
    } else {
        gate.least_regrowth_pages
    }
}
