//! The result of a run, as SPEC's `build-mem/result/1`: plain, public, versioned. What is `None` here has a
//! note that says why. Computing it is `attribution`'s business, showing it `export`'s.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{ExitStatus, Note, VerifyCheck};

/// The version of the result's form.
pub const SCHEMA: &str = "build-mem/result/1";

/// Everything that build-mem says about one build. Sizes are bytes, times are seconds since the build's start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The run's name, unique in its output folder.
    pub label: String,
    /// When the build started: RFC 3339, UTC.
    pub started_at: String,
    /// Wall time of the build's own process.
    pub duration_s: f64,
    /// What was run.
    pub command: Vec<String>,
    /// Where it was run.
    pub cwd: String,
    /// The outcome in a word.
    pub verdict: Verdict,
    /// What the build was to stay within; absent when that was not asked.
    #[serde(default)]
    pub budget: Option<Budget>,
    /// The budgets of stages and classes of processes, stages first, by name; empty when there was none.
    #[serde(default)]
    pub budgets: Vec<PartBudget>,
    /// How the build's own process ended.
    pub exit: Exit,
    /// The kernel's high-water mark of the build's cgroup.
    pub headline: Headline,
    /// The highest sampled moment; absent when no sample was taken.
    pub peak: Option<Peak>,
    /// The stages in the order of their start, `(other)` last.
    pub stages: Vec<Stage>,
    /// The processes.
    pub processes: Processes,
    /// The parallel jobs of each build tool that had two at least, those with the largest first.
    #[serde(default)]
    pub jobs: Vec<JobPool>,
    /// What the out-of-memory killer did in the build's cgroup.
    pub oom: Oom,
    /// How the build fared for want of memory.
    #[serde(default)]
    pub pressure: Pressure,
    /// What the build had to leave, and whether it did.
    pub verify: Vec<VerifyCheck>,
    /// The profiler itself: what it was, what it lost, what it cost.
    pub profiler: Profiler,
    /// Where it ran.
    pub host: Host,
    /// Everything that is absent above, and everything a reader must know to trust the rest.
    pub notes: Vec<Note>,
}

/// The outcome in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The build succeeded and left what it had to.
    Pass,
    /// The build ended with another code than 0.
    BuildFailed,
    /// The build was ended by a signal that did not come through build-mem, or ended with the exit code of a shell whose
    /// command was ended by SIGKILL.
    BuildKilled,
    /// The build failed, and the kernel had killed processes of its cgroup for want of memory.
    OutOfMemory,
    /// Ctrl-C or a signal to build-mem ended the build.
    Interrupted,
    /// The build succeeded, but an artifact is missing, empty or broken.
    VerificationFailed,
    /// The build succeeded, but needed more than its budget.
    OverBudget,
    /// The recording ends before the build does: build-mem itself was killed.
    Incomplete,
}

impl Verdict {
    /// As it stands in the result.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::BuildFailed => "build-failed",
            Self::BuildKilled => "build-killed",
            Self::OutOfMemory => "out-of-memory",
            Self::Interrupted => "interrupted",
            Self::VerificationFailed => "verification-failed",
            Self::OverBudget => "over-budget",
            Self::Incomplete => "incomplete",
        }
    }
}

/// What the build was to stay within, and whether it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The budget.
    pub bytes: u64,
    /// By how much the headline is above it; 0 within it, absent without a headline.
    pub exceeded_by_bytes: Option<u64>,
    /// The stage that held most at the peak, where the budget is exceeded.
    pub stage: Option<String>,
}

/// What a part of the build was to stay within, and whether it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartBudget {
    /// What kind of part.
    pub part: Part,
    /// The stage or class.
    pub name: String,
    /// The budget.
    pub bytes: u64,
    /// What it is compared with: of a stage, the highest sampled sum of PSS; of a class, the peak RSS of its largest
    /// process. 0 where nothing of the sort ran, absent where it is not known.
    pub measured_bytes: Option<u64>,
    /// By how much that is above the budget; 0 within it, absent where it is not known.
    pub exceeded_by_bytes: Option<u64>,
}

/// A part of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// A stage.
    Stage,
    /// A class of processes.
    Class,
}

impl Part {
    /// As it stands in the result.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Class => "class",
        }
    }
}

/// How the build's own process ended; both absent when that was not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl Exit {
    /// Of a process that ended so.
    pub const fn from_status(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Code(code) => Self {
                code: Some(code),
                signal: None,
            },
            ExitStatus::Signal(signal) => Self {
                code: None,
                signal: Some(signal),
            },
        }
    }
}

/// The kernel's high-water mark of the build's cgroup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Headline {
    /// The figure; absent where the kernel keeps none.
    pub bytes: Option<u64>,
    /// Where it was read, such as `memory.peak`; absent with the figure.
    pub source: Option<String>,
    /// Highest sampled usage of the cgroup. Never more than a lower bound.
    pub highest_sampled_bytes: Option<u64>,
    /// The second headline: what a limit would have to hold. Absent where no sample told of what the memory consisted.
    #[serde(default)]
    pub without_cache: Option<WithoutCache>,
    /// The build's cgroup, as a path from the root of its hierarchy.
    pub cgroup: Option<String>,
    /// Whether everything that the build ran was charged to this cgroup all the time, and that was seen: never so
    /// with the tracker `proc`.
    pub complete: bool,
    /// Whether the figure is only the limit speaking: the mark has reached it, or the kernel has killed processes of the
    /// build for want of memory under it.
    pub saturated: bool,
    /// The cgroup's limit; absent where there is none.
    pub limit_bytes: Option<u64>,
    /// Where processes of the build went.
    pub escaped: Vec<Escaped>,
}

/// The highest usage without page cache: heaps, stacks, shared memory and the kernel's own. The kernel takes files' pages
/// back when it needs room, so this is what has to fit; how much of them is in the headline depends on what was
/// read before the build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WithoutCache {
    /// The figure: of the highest sample, so a lower bound.
    pub bytes: u64,
    /// Its moment.
    pub at_s: f64,
    /// Where it was read.
    pub source: String,
}

/// A cgroup to which processes of the build went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escaped {
    /// Its path from the root of the hierarchy.
    pub cgroup: String,
    /// Processes of the build that were moved there.
    pub processes: u64,
    /// Its high-water mark; absent where it could not be read.
    pub peak_bytes: Option<u64>,
}

/// How the build fared for want of memory, of its cgroup's own files. Each figure is absent where the kernel has none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// High-water mark of its swap: `memory.swap.peak`.
    pub swap_peak_bytes: Option<u64>,
    /// Time in which at least one task waited for memory: `some` of `memory.pressure`.
    pub stalled_some_s: Option<f64>,
    /// Time in which all tasks that were not idle did: `full` of the same.
    pub stalled_full_s: Option<f64>,
    /// How often its limits were met, by the names of `memory.events`; absent on cgroup v1.
    pub events: Option<BTreeMap<String, u64>>,
    /// Page faults that had to read from a file or from swap: `pgmajfault` of `memory.stat`.
    #[serde(default)]
    pub major_faults: Option<u64>,
    /// Pages of files that were read again after the kernel had taken them away: `workingset_refault_file` of the same.
    #[serde(default)]
    pub refaults_file: Option<u64>,
    /// Anonymous pages that came back from swap: `workingset_refault_anon` of the same.
    #[serde(default)]
    pub refaults_anon: Option<u64>,
}

/// The sample with the highest cgroup usage; where no cgroup could be read, with the highest sum of PSS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// Its moment.
    pub at_s: f64,
    /// The cgroup's usage then.
    pub cgroup_bytes: Option<u64>,
    /// `cgroup_bytes` as a share of the headline: how close to its peak the build was looked at. Absent without either.
    #[serde(default)]
    pub capture: Option<f64>,
    /// Sum of the live processes' PSS.
    pub pss_bytes: u64,
    /// The part of `pss_bytes` that was read in this very sample. The rest was read in an earlier one and moved
    /// by the change of the process's RSS since.
    pub pss_read_bytes: u64,
    /// Sum of the live processes' RSS: counts shared pages once a process.
    pub rss_bytes: u64,
    /// What the cgroup held then; absent where memory.stat could not be read.
    pub composition: Option<Composition>,
    /// PSS by stage, largest first.
    pub stages: Vec<StageAtPeak>,
    /// The processes that were alive then, largest PSS first.
    pub processes: Vec<ProcessAtPeak>,
}

/// What the cgroup held at the peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Composition {
    /// Anonymous memory.
    pub anon: u64,
    /// Page cache of files that some process has mapped.
    pub file_mapped: u64,
    /// Page cache that nothing has mapped; reclaimable.
    pub file_unmapped: u64,
    /// tmpfs and shared memory.
    pub shmem: u64,
    /// Kernel memory; absent where the kernel does not tell.
    pub kernel: Option<u64>,
    /// The part of the processes' PSS that is of files and not charged to this cgroup: libraries and executables that
    /// were read before the build, and are charged to who read them. Their PSS less `file_mapped`.
    #[serde(default)]
    pub charged_elsewhere: u64,
    /// The cgroup's usage less the processes' PSS (without their shared memory, and without `charged_elsewhere`),
    /// `file_unmapped`, `shmem` and `kernel`.
    pub unattributed: i64,
}

/// A stage's part of the peak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageAtPeak {
    /// The stage.
    pub name: String,
    /// Sum of its processes' PSS.
    pub pss_bytes: u64,
}

/// A process that was alive at the peak.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessAtPeak {
    /// As `ps` shows it.
    pub pid: u32,
    /// Its parent at that time; absent when that was never seen.
    pub ppid: Option<u32>,
    /// Its stage.
    pub stage: String,
    /// Its command line, quoted for people.
    pub command: String,
    /// Whether `command` does not show the exact bytes: it is not UTF-8, or was cut.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub command_lossy: bool,
    /// Its PSS; where that was never read, at least its anonymous memory; absent where neither is known.
    pub pss_bytes: Option<u64>,
    /// Its RSS; absent when it was never read.
    pub rss_bytes: Option<u64>,
    /// How long it had lived.
    pub age_s: f64,
}

/// One stage of the build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// When its first process started.
    pub started_s: f64,
    /// From its first process's start to its last one's end.
    pub wall_s: f64,
    /// Processes that ever belonged to it.
    pub processes: u64,
    /// The highest sampled sum of its processes' PSS; absent when none was ever sampled.
    pub peak_pss_bytes: Option<u64>,
    /// When that was.
    pub peak_at_s: Option<f64>,
    /// The kernel's own high-water mark of the stage.
    pub peak_cgroup_bytes: Option<u64>,
    /// Its part of the sum of PSS at the peak, from 0 to 1.
    pub share_of_peak: f64,
}

/// All processes of the build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Processes {
    /// Processes made, the build's own included.
    pub forks: u64,
    /// Programs started.
    pub execs: u64,
    /// Processes whose end was seen.
    pub exits: u64,
    /// Most of them alive at once.
    pub peak_live: u64,
    /// Those with the highest own high-water RSS, largest first.
    pub top: Vec<TopProcess>,
    /// All of them, grouped by what they ran, largest first.
    pub classes: Vec<ProcessClass>,
    /// Those that outlived the build.
    pub left_running: Vec<LeftRunning>,
}

/// A process with its exact peak.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopProcess {
    /// As `ps` showed it.
    pub pid: u32,
    /// The command line of the image that had the highest RSS.
    pub command: String,
    /// Whether `command` does not show the exact bytes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub command_lossy: bool,
    /// Its stage.
    pub stage: String,
    /// The high-water mark that the kernel kept; with the tracker `proc`, as it was when it was last looked at.
    pub peak_rss_bytes: u64,
    /// When it was forked.
    pub started_s: f64,
    /// When it ended; absent when it outlived the measurement.
    pub ended_s: Option<f64>,
    /// How it ended; both absent when it outlived the measurement, or a tracker that polls did not see how.
    pub exit: Exit,
}

/// Processes that ran the same thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessClass {
    /// What they ran, such as `cc1` or `node jest-worker/processChild.js`; or the name that a rule gave.
    pub command_class: String,
    /// How many.
    pub count: u64,
    /// The highest peak RSS among them; absent where none is known.
    pub peak_rss_max_bytes: Option<u64>,
    /// The median of their peak RSS; absent where none is known.
    pub peak_rss_p50_bytes: Option<u64>,
    /// Most of them alive at once, from fork to end.
    #[serde(default)]
    pub peak_concurrency: u64,
    /// Sum of the PSS of those that were alive at the build's peak.
    #[serde(default)]
    pub pss_at_peak_bytes: u64,
    /// That as a part of the sum of PSS at the peak, from 0 to 1.
    #[serde(default)]
    pub share_of_peak: f64,
}

/// A tool that runs jobs side by side, and can be told how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobTool {
    /// GNU make: `-j`.
    Make,
    /// ninja, and samurai: `-j`.
    Ninja,
    /// cargo: `build.jobs`.
    Cargo,
    /// go: `-p`.
    Go,
    /// nx: `--parallel`.
    Nx,
    /// turbo: `--concurrency`.
    Turbo,
    /// The workers of next's build: `experimental.cpus`.
    Next,
    /// jest: `--maxWorkers`.
    Jest,
}

impl JobTool {
    /// As it stands in the result.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Make => "make",
            Self::Ninja => "ninja",
            Self::Cargo => "cargo",
            Self::Go => "go",
            Self::Nx => "nx",
            Self::Turbo => "turbo",
            Self::Next => "next",
            Self::Jest => "jest",
        }
    }
}

/// The parallel jobs of one tool: its children, each with everything that it started. The cost of a job is the most that
/// its processes can have had resident together, of the exact peak of each: pages that they share with others are
/// counted in full, so it is rather too high than too low.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPool {
    /// The tool.
    pub tool: JobTool,
    /// How many jobs there were.
    pub jobs: u64,
    /// Those of them of whose processes no peak is known.
    pub unmeasured: u64,
    /// Most of them at once.
    pub peak_concurrency: u64,
    /// The typical cost: half of the time that jobs ran was spent in jobs of at most so much.
    pub typical_bytes: Option<u64>,
    /// The class of the largest process of the largest job.
    pub largest_class: Option<String>,
    /// The most that the rest of the build held while a job ran: anonymous PSS, shared memory and the kernel's own,
    /// without page cache. Absent where no sample fell on a job.
    pub beside_bytes: Option<u64>,
    /// The same at any time: what has to fit however few jobs there are.
    pub others_bytes: Option<u64>,
    /// The costs of the largest jobs, largest first, no more than 64.
    pub largest_bytes: Vec<u64>,
}

/// A process that outlived the build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftRunning {
    /// As `ps` shows it.
    pub pid: u32,
    /// Its command line.
    pub command: String,
    /// Its stage.
    pub stage: String,
    /// The high-water mark that the kernel keeps of it; absent where it could not be read.
    pub peak_rss_bytes: Option<u64>,
}

/// What the out-of-memory killer did in the build's cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oom {
    /// Kills that the cgroup counted; absent where it cannot tell.
    pub kills: Option<u64>,
    /// The processes of the build that it chose.
    pub victims: Vec<OomVictim>,
}

/// A process that the out-of-memory killer chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomVictim {
    /// As `ps` showed it.
    pub pid: u32,
    /// Its command line.
    pub command: String,
    /// Its stage.
    pub stage: String,
}

/// The profiler itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profiler {
    /// build-mem's version.
    pub version: String,
    /// The kernel's release.
    pub kernel: String,
    /// What followed the processes: `ebpf`, or `proc`, which polls and misses short ones.
    pub tracker: String,
    /// Time between samples as asked for.
    pub interval_ms: u64,
    /// Samples taken.
    pub samples: u64,
    /// Of these, the ones taken because memory grew.
    pub samples_triggered: u64,
    /// Samples put off to keep the sampler within its share of a core.
    pub samples_put_off: u64,
    /// Events that could not be reported. Anything but 0 means that processes may be missing above.
    pub events_lost: u64,
    /// CPU time of the sampler; absent in a recording that ends early.
    pub sampler_cpu_s: Option<f64>,
    /// CPU time of the whole tool while the build ran.
    pub total_cpu_s: Option<f64>,
    /// High-water resident set size of the tool while the build ran.
    pub peak_rss_bytes: Option<u64>,
}

/// Where the build ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// CPUs that the build could use.
    pub cpus: u64,
    /// Memory of the host.
    pub memory_bytes: u64,
    /// 1 or 2: which hierarchy has the memory controller; absent where neither could be used.
    pub cgroup_version: Option<u8>,
    /// The image of the container in which build-mem ran the build; absent without `--image`.
    #[serde(default)]
    pub image: Option<String>,
}
