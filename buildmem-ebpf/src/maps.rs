//! What the programs share with each other and with user space.

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, RingBuf};
use buildmem_common::{
    ARGV_CAPACITY, ExecRecord, GrowthGate, RING_BYTES, RecordHeader, TRACKED_CAPACITY, lost,
};

/// What happened, in the order in which it happened.
#[map]
pub static RECORDS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// The processes of the build by their tgid in the initial PID namespace. Allocated beforehand: an insert
/// fails only when it is full.
#[map]
pub static TRACKED: HashMap<u32, Tracked> = HashMap::with_max_entries(TRACKED_CAPACITY, 0);

/// One slot: the profiler's thread (its number in the profiler's PID namespace) whose children are the
/// build; 0 while it starts none.
#[map]
pub static SEED: Array<u32> = Array::with_max_entries(1, 0);

/// What could not be reported, by the slots in [`lost`].
#[map]
pub static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(lost::SLOTS, 0);

/// When the build's memory is such that user space is to be woken.
#[map]
pub static GROWTH_GATE: Array<GrowthGate> = Array::with_max_entries(1, 0);

/// The address of the build's memory cgroup in the kernel, once it was seen.
#[map]
pub static GROWTH_MEMORY: Array<u64> = Array::with_max_entries(1, 0);

/// What wakes it. User space makes it as small as a page.
#[map]
pub static GROWTH: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Where an exec record is put together: it is too large for the stack. Each copy of the exec program has a
/// slot of its own, and is not run again on a CPU before it is done there, so nobody else writes to it.
#[map]
pub static EXEC_SCRATCH: PerCpuArray<ExecScratch> = PerCpuArray::with_max_entries(3, 0);

/// What is kept of a process of the build.
#[repr(C)]
pub struct Tracked {
    /// Its number in the profiler's PID namespace, 0 where it is not visible there.
    pub pid: u32,
    /// Bits of [`buildmem_common::flag`].
    pub flags: u32,
    /// `signal->maxrss` in pages as it stood at the last exec.
    pub exec_maxrss_pages: u64,
    /// `task->start_boottime`: whose fork was reported.
    pub start_boottime: u64,
    /// Address of the `mm_struct` whose exec was reported; 0 without one. The next exec has another one, since
    /// it is made while this one is in use.
    pub exec_mm: u64,
    /// The last image's high-water mark in pages, where its address space goes before the exit program runs; else 0.
    pub mm_high_water_pages: u64,
    /// How many PID namespaces lie above the profiler's: every process of the build is in that one or below it.
    pub profiler_level: u32,
    /// Zero; keeps the value free of padding.
    pub reserved: u32,
}

/// An exec record with the command line behind it.
#[repr(C)]
pub struct ExecScratch {
    pub record: ExecRecord,
    pub argv: [u8; ARGV_CAPACITY],
}

impl Tracked {
    /// The process with this tgid, if it is one of the build's.
    #[inline(always)]
    pub fn find(tgid: u32) -> Option<&'static Self> {
        let process = TRACKED.get_ptr(tgid)?;
        // SAFETY: a map's value stays valid until the program returns. It is written to only while the process
        // has a single thread that lives: see `find_for_change`.
        Some(unsafe { &*process })
    }

    /// The same, to be changed: for the exec program, which runs when all other threads are gone, and for the last
    /// thread that leaves.
    #[inline(always)]
    pub fn find_for_change(tgid: u32) -> Option<&'static mut Self> {
        let process = TRACKED.get_ptr_mut(tgid)?;
        // SAFETY: as above, and the only thread of the process is in this program.
        Some(unsafe { &mut *process })
    }
}

/// A header for now.
#[inline(always)]
pub fn header(kind: u32, flags: u32, tgid: u32, pid: u32) -> RecordHeader {
    RecordHeader {
        kind,
        flags,
        // SAFETY: the helper takes nothing and returns a number.
        boot_ns: unsafe { bpf_ktime_get_boot_ns() },
        tgid,
        pid,
    }
}

/// Hands `record` to user space, or counts it as lost.
#[inline(always)]
pub fn submit<T: 'static>(record: T) {
    match RECORDS.reserve::<T>(0) {
        Some(mut entry) => {
            entry.write(record);
            entry.submit(0);
        }
        None => count_lost(lost::RING_FULL),
    }
}

/// Counts a process for which there is no room, by when it was forked: once, though each copy of the program finds out.
/// Twice at most, where the copies are preempted by another such fork or go on on another CPU.
#[inline(always)]
pub fn count_untracked(start_boottime: u64) {
    let Some(last) = LOST.get_ptr_mut(lost::LAST_UNTRACKED) else {
        return;
    };
    // SAFETY: as in `count_lost`.
    let last = unsafe { &mut *last };
    if *last != start_boottime {
        *last = start_boottime;
        count_lost(lost::TRACKED_FULL);
    }
}

/// Counts one thing that user space does not get, in a slot of [`lost`].
///
/// Not atomic, for which rustc has nothing on this target: two losses on one CPU can be counted as one where
/// one program is preempted by another right here. There is no loss that is not counted at all.
#[inline(always)]
pub fn count_lost(slot: u32) {
    if let Some(count) = LOST.get_ptr_mut(slot) {
        // SAFETY: a map's value stays valid until the program returns, and this one is the CPU's own.
        unsafe { *count += 1 };
    }
}
