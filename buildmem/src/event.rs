//! The facts: what happened to a build, as a sequence of events. Everything that build-mem says is a fold
//! over them, live or from a recording. No decision is taken here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::command_line::CommandLine;
use crate::ids::Tgid;
use crate::reading::Reading;
use crate::units::{BootTime, ByteSize};

/// One fact and its moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened, or was read.
    pub at: BootTime,
    /// What it was.
    pub event: EventKind,
}

impl Event {
    /// `kind`, which happened at `at`.
    pub const fn new(at: BootTime, kind: EventKind) -> Self {
        Self { at, event: kind }
    }
}

/// What can happen. Kinds are in the past tense.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A process of the build made another. Threads are not processes.
    Forked {
        /// Who called fork, vfork or clone.
        parent: Tgid,
        /// The new process.
        child: Tgid,
        /// The child runs in its parent's address space until it calls exec (vfork, posix_spawn).
        #[serde(default, skip_serializing_if = "is_false")]
        shares_mm: bool,
    },
    /// A process replaced its program.
    Execed {
        /// The process.
        tgid: Tgid,
        /// Its command line as given at exec.
        argv: CommandLine,
        /// High-water resident set size of the image that ended here. A recording leaves out the usual case, [`VFORK`].
        #[serde(
            default = "of_parents_memory",
            skip_serializing_if = "is_of_parents_memory"
        )]
        ended_image: Reading<ByteSize>,
    },
    /// The last thread of a process ended.
    Exited {
        /// The process.
        tgid: Tgid,
        /// How it ended; absent where that was not seen, as by a tracker that polls. A recording leaves out success, and has
        /// null for what is absent.
        #[serde(default = "success", skip_serializing_if = "is_success")]
        status: Option<ExitStatus>,
        /// High-water resident set size of its last image.
        rss_high_water: Reading<ByteSize>,
    },
    /// The build was looked at: its cgroup and its live processes. Why a sample was taken does not matter.
    Sampled {
        /// The build's cgroup; absent where it could not be read.
        cgroup: Option<CgroupSample>,
        /// The processes whose RSS changed since the last sample, or whose PSS was read.
        processes: Vec<ProcessSample>,
    },
    /// A process of the build was moved to another cgroup: its memory from then on is not in the headline.
    CgroupLeft {
        /// The process.
        tgid: Tgid,
        /// Where it is now, as a path from the root of the hierarchy.
        cgroup: String,
    },
    /// The kernel's out-of-memory killer chose a process of the build.
    OomKilled {
        /// The process.
        tgid: Tgid,
    },
    /// Something could not be observed.
    Lost {
        /// What was lost and where, such as `ring buffer full`.
        source: String,
        /// How many.
        count: u64,
    },
    /// The build's own process was started, in the build's cgroup.
    BuildStarted {
        /// The build's own process.
        tgid: Tgid,
    },
    /// A signal reached build-mem, and was passed on to the build.
    SignalForwarded {
        /// Its number.
        signal: i32,
    },
    /// The build's own process ended. Everything that it left running is still there.
    BuildEnded {
        /// How it ended.
        status: ExitStatus,
    },
    /// A process that outlived the build: found when the measurement ended.
    LeftRunning {
        /// The process.
        tgid: Tgid,
        /// High-water resident set size of its image until now.
        rss_high_water: Reading<ByteSize>,
    },
    /// The cgroup's own high-water mark was read, after the build.
    HeadlineRead {
        /// The figure.
        bytes: Reading<ByteSize>,
        /// The cgroup's limit; absent where there is none.
        limit: Option<ByteSize>,
        /// Out-of-memory kills that the cgroup itself counted; absent where it cannot tell.
        oom_kills: Option<u64>,
    },
    /// Stages have begun or ended: the highest usage of the cgroup since the event before of this kind, or since the
    /// build's start, as the kernel has kept it. Source: an open `memory.peak`, which was set back then (Linux 6.12).
    StagePeakRead {
        /// The figure.
        bytes: ByteSize,
    },
    /// How the build fared for want of memory, as its cgroup tells after the build.
    PressureRead(CgroupPressure),
    /// The high-water mark of a cgroup to which processes of the build went.
    EscapedCgroupRead {
        /// Its path from the root of the hierarchy.
        cgroup: String,
        /// Its high-water mark.
        bytes: Reading<ByteSize>,
    },
    /// What the build had to produce was looked at.
    Verified {
        /// The outcome, one entry an expectation.
        checks: Vec<VerifyCheck>,
    },
    /// The measurement ended; the profiler's own cost until then.
    MeasurementEnded(ProfilerCost),
    /// Something that a reader must know to trust the figures.
    Noted(Note),
}

/// Why a process that called exec after vfork has no peak of its own until then.
pub const VFORK: &str = "vfork: it ran in its parent's memory";

fn of_parents_memory() -> Reading<ByteSize> {
    Reading::missing(VFORK)
}

fn is_of_parents_memory(reading: &Reading<ByteSize>) -> bool {
    reading.reason() == Some(VFORK)
}

const SUCCESS: Option<ExitStatus> = Some(ExitStatus::Code(0));

const fn success() -> Option<ExitStatus> {
    SUCCESS
}

#[allow(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's signature"
)]
fn is_success(status: &Option<ExitStatus>) -> bool {
    *status == SUCCESS
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// By exit(2) with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl ExitStatus {
    /// From a status as waitpid(2) and `task->exit_code` give it.
    pub const fn from_wait_status(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Code((status >> 8) & 0xff),
            signal => Self::Signal(signal),
        }
    }

    /// As a shell shows it in `$?`: the code, or 128 + the signal.
    pub const fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    /// Whether the process ended by itself with code 0.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}

/// One live process at one sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSample {
    /// The process.
    pub tgid: Tgid,
    /// Resident set size: `resident` of `/proc/<tgid>/statm`, proc_pid_statm(5).
    pub rss: ByteSize,
    /// Anonymous part of it: `resident` less `shared` of the same file. Absent in older recordings once PSS was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anon: Option<ByteSize>,
    /// Proportional set size, where it was read in this sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pss: Option<PssSample>,
}

/// Proportional set size of one process at one moment.
///
/// Source: `Pss:`, `Pss_File:`, `Pss_Shmem:` and `Rss:` of `/proc/<tgid>/smaps_rollup`, proc_pid_smaps(5). Needs ptrace access to
/// the process. Reading walks its page tables: some 4 ms a GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PssSample {
    /// All of it.
    pub total: ByteSize,
    /// The part that is of files: executables, libraries, mapped data. Absent in older recordings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<ByteSize>,
    /// The part that is shared memory or tmpfs, which the cgroup counts as shmem.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shmem: ByteSize,
    /// Resident set size in the same walk: what PSS is compared with when RSS moves on.
    pub rss: ByteSize,
}

/// The build's cgroup at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupSample {
    /// Everything charged: `memory.current` (v2) or `memory.usage_in_bytes` (v1).
    pub usage: ByteSize,
    /// What it consists of; absent where memory.stat could not be read.
    pub composition: Option<CgroupComposition>,
}

/// What a cgroup's memory consists of, from its memory.stat (cgroup-v2.rst; memcg's memory.rst for v1).
///
/// The kernel folds per-CPU counts into it up to two seconds late, so the parts may miss the usage by a little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupComposition {
    /// Anonymous memory: heaps, stacks (`anon` in v2, `rss` in v1).
    pub anon: ByteSize,
    /// Page cache of files that some process has mapped.
    pub file_mapped: ByteSize,
    /// Page cache that no process has mapped: the kernel can take it back.
    pub file_unmapped: ByteSize,
    /// tmpfs and shared memory.
    pub shmem: ByteSize,
    /// Kernel memory charged to the cgroup: stacks, page tables, slab. Absent where it is not told.
    pub kernel: Option<ByteSize>,
}

/// How the processes of a cgroup fared for want of memory (cgroup-v2.rst, psi.rst).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPressure {
    /// High-water mark of its swap: `memory.swap.peak`.
    pub swap_peak: Reading<ByteSize>,
    /// How long they waited: `memory.pressure`.
    pub stalled: Reading<Stalled>,
    /// How often its limits were met, by the names of `memory.events`.
    pub events: Reading<BTreeMap<String, u64>>,
    /// How often pages had to be read: `memory.stat`.
    #[serde(default = "not_recorded")]
    pub faults: Reading<CgroupFaults>,
}

/// Pages that processes of a cgroup had to wait for, of its memory.stat. Each is absent where the kernel does not count
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupFaults {
    /// Page faults that had to read from a file or from swap: `pgmajfault`.
    pub major: Option<u64>,
    /// Pages of files that were read again after they had been taken away: `workingset_refault_file`.
    pub refaults_file: Option<u64>,
    /// Anonymous pages that came back from swap: `workingset_refault_anon`.
    pub refaults_anon: Option<u64>,
}

fn not_recorded<T>() -> Reading<T> {
    Reading::missing("the recording is of a build-mem that did not read it")
}

/// Time that was lost to waiting for memory: pages read again, reclaim, swap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stalled {
    /// At least one task waited, in microseconds.
    pub some_us: u64,
    /// All that were not idle waited, in microseconds.
    pub full_us: u64,
}

/// One expectation about what the build leaves, and whether it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyCheck {
    /// The artifact, relative to the project; `exit status` for the build's own.
    pub path: String,
    /// Whether it is as it must be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// The artifact's size; absent where it is none, or is not as it must be, and in older recordings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// What the profiler itself cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfilerCost {
    /// CPU seconds of the sampler: reading processes and the cgroup.
    pub sampler_cpu_s: f64,
    /// CPU seconds of the whole tool while the build ran, the sampler's included.
    pub total_cpu_s: f64,
    /// High-water resident set size of the tool while the build ran.
    pub peak_rss: ByteSize,
    /// Samples taken.
    pub samples: u64,
    /// Those of them that were taken because memory grew, and not because it was time.
    #[serde(default)]
    pub samples_triggered: u64,
    /// Samples put off because the sampler's share of a core was used up.
    pub samples_put_off: u64,
}

/// Something that a reader must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What is affected: a field of the result, or a subject.
    pub what: String,
    /// Why, for people.
    pub why: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &ByteSize) -> bool {
    *value == ByteSize::ZERO
}
