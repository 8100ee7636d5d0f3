//! A look at what the build's cgroup holds, many times a second: wakes user space when it is so much that a sample is worth it.

use aya_ebpf::macros::perf_event;
use aya_ebpf::programs::PerfEventContext;
use buildmem_common::{GrowthGate, GrowthRecord};

use crate::kernel::{MemoryCgroup, Task};
use crate::maps::{GROWTH, GROWTH_GATE, GROWTH_MEMORY, Tracked};

/// The clock of a CPU (a software perf event), whatever runs there.
#[perf_event]
pub fn memory_looked_at(_context: PerfEventContext) -> u32 {
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
    let Some(memory) = memory_of_the_build(gate.cgroup_id) else {
        return;
    };
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

/// The build's memory cgroup: where it was seen last, else where the task that runs here has it.
#[inline(always)]
fn memory_of_the_build(cgroup_id: u64) -> Option<MemoryCgroup> {
    let seen = GROWTH_MEMORY.get_ptr_mut(0)?;
    // SAFETY: a map's value stays valid until the program returns, and all who write to it write the same.
    let seen = unsafe { &mut *seen };
    // After its end there may be anything in its place, which is only read and then has another number.
    let memory = MemoryCgroup::at(*seen);
    if *seen != 0 && memory.id() == cgroup_id {
        return Some(memory);
    }
    let task = Task::current();
    Tracked::find(task.tgid())?;
    let memory = task.cgroups().memory();
    if memory.id() != cgroup_id {
        return None;
    }
    *seen = memory.address();
    Some(memory)
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
