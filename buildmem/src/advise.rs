//! How many parallel jobs of a build fit into a given memory, by the report of one run, and the lines that tell its
//! tools so. Showing it is `export`'s business.
//!
//! It is an estimate with one assumption on the safe side: that the largest jobs run at the same moment, each at the
//! highest that it ever was, while everything else is at its highest, too.

use serde::Serialize;

use crate::report::{JobPool, JobTool, Peak, ProcessAtPeak, Report, TopProcess};
use crate::units::ByteSize;

/// The version of the advice's form.
pub const SCHEMA: &str = "build-mem/advice/1";

/// What is said about a build and an amount of memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// [`SCHEMA`].
    pub schema: String,
    /// The run that it rests on.
    pub label: String,
    /// What that ran.
    pub command: Vec<String>,
    /// The memory that the build is to fit into.
    pub memory_bytes: u64,
    /// The answer in a word.
    pub answer: Answer,
    /// The most that the run held without page cache, in a sample; absent where that was not told.
    pub recorded_bytes: Option<u64>,
    /// For each tool that ran jobs side by side.
    pub pools: Vec<PoolAdvice>,
    /// The process with the highest peak RSS.
    pub largest: Option<Largest>,
    /// What a Node.js heap may grow to; absent unless the largest process has one, is large for this memory, and could do
    /// with it.
    pub node: Option<NodeHeap>,
    /// What a reader must know to trust it.
    pub assumptions: Vec<String>,
}

/// The answer in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// As it was run, even in the worst case.
    Fits,
    /// With so few jobs of some tool as is said of it, even in the worst case.
    FitsWithFewerJobs,
    /// What the run held fits, but not its parts when each is at its highest at once, however few the jobs.
    Tight,
    /// The run held more, and no number of jobs changes that.
    TooLarge,
    /// The recording does not tell.
    Unknown,
}

/// How many jobs of one tool fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolAdvice {
    /// The tool.
    pub tool: JobTool,
    /// How many jobs there were.
    pub jobs: u64,
    /// Most of them at once in the run.
    pub peak_concurrency: u64,
    /// What has to fit beside the jobs.
    pub beside_bytes: u64,
    /// What the rest of the build needs at any time.
    pub others_bytes: u64,
    /// The cost of the largest job.
    pub largest_bytes: u64,
    /// What its largest process is.
    pub largest_class: Option<String>,
    /// The typical cost of a job.
    pub typical_bytes: u64,
    /// In the worst case: the largest jobs at once.
    pub worst: Fit,
    /// In a typical case: the largest job beside typical ones.
    pub typical: Fit,
    /// What the worst case was with as many jobs as there were at once.
    pub recorded_worst_bytes: u64,
    /// What to paste, where fewer jobs than all fit.
    pub lines: Vec<Line>,
}

/// So many jobs fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Fit {
    /// How many at once; 0 where not even one fits.
    pub jobs: u64,
    /// What the build needs with so many; with one, where none fits.
    pub needs_bytes: u64,
}

/// A line to paste.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Where it belongs.
    pub place: String,
    /// The line, or several.
    pub text: String,
}

/// The process with the highest peak RSS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Largest {
    /// Its command line, quoted for people.
    pub command: String,
    /// Its stage.
    pub stage: String,
    /// Its exact peak.
    pub peak_rss_bytes: u64,
}

/// A limit for the heap of the largest process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeHeap {
    /// `--max-old-space-size`, in MiB.
    pub cap_mib: u64,
    /// What the rest of the build held at the peak, without page cache that nobody had mapped.
    pub others_bytes: u64,
    /// What to paste.
    pub lines: Vec<Line>,
}

/// What of the memory that is left a Node.js heap may take, in quarters: the rest is for code, buffers, threads and
/// addons, which `--max-old-space-size` does not count.
const HEAP_QUARTERS: u64 = 3;

/// The heap is worth a line when the process has this part of the memory at the least.
const LARGE_PROCESS: u64 = 4;

const MIB: u64 = 1 << 20;

impl Advice {
    /// For a build that was measured once, and so much memory.
    pub fn new(report: &Report, memory: ByteSize) -> Self {
        let memory = memory.bytes();
        let pools: Vec<PoolAdvice> = (report.jobs.iter())
            .filter_map(|pool| PoolAdvice::new(pool, memory))
            .collect();
        let recorded = report.headline.without_cache.as_ref();
        let recorded = recorded
            .map(|it| it.bytes)
            .or_else(|| report.peak.as_ref().map(|peak| peak.pss_bytes));
        let top = report.processes.top.first();
        Self {
            schema: SCHEMA.to_owned(),
            label: report.label.clone(),
            command: report.command.clone(),
            memory_bytes: memory,
            answer: answer(&pools, recorded, top, memory),
            recorded_bytes: recorded,
            node: top.and_then(|top| node_heap(top, report.peak.as_ref(), memory)),
            largest: top.map(|top| Largest {
                command: top.command.clone(),
                stage: top.stage.clone(),
                peak_rss_bytes: top.peak_rss_bytes,
            }),
            assumptions: assumptions(report, &pools),
            pools,
        }
    }
}

/// The whole, by its parts.
fn answer(
    pools: &[PoolAdvice],
    recorded: Option<u64>,
    largest: Option<&TopProcess>,
    memory: u64,
) -> Answer {
    let Some(recorded) = recorded else {
        return Answer::Unknown;
    };
    let as_recorded = match pools {
        // What the largest process shares with others is counted in full, and the kernel may take some of it back.
        [] => largest.is_none_or(|process| process.peak_rss_bytes <= memory),
        pools => pools.iter().all(|pool| pool.recorded_worst_bytes <= memory),
    };
    // The need by one tool's jobs has everything else in it, other tools' jobs as they were recorded.
    let with_fewer = pools.iter().any(|pool| pool.worst.jobs > 0);
    match recorded <= memory {
        true if as_recorded => Answer::Fits,
        _ if with_fewer => Answer::FitsWithFewerJobs,
        true => Answer::Tight,
        false => Answer::TooLarge,
    }
}

impl PoolAdvice {
    /// `None` where no job was measured.
    fn new(pool: &JobPool, memory: u64) -> Option<Self> {
        let need = Need::of(pool)?;
        let worst = need.most(memory, 0, |jobs| need.worst(jobs));
        let typical = need.most(memory, worst.jobs, |jobs| need.typical(jobs));
        Some(Self {
            tool: pool.tool,
            jobs: pool.jobs,
            peak_concurrency: pool.peak_concurrency,
            beside_bytes: need.beside,
            others_bytes: need.others,
            largest_bytes: need.largest[0],
            largest_class: pool.largest_class.clone(),
            typical_bytes: need.each,
            recorded_worst_bytes: need.worst(pool.peak_concurrency),
            lines: lines(pool, worst.jobs),
            worst,
            typical,
        })
    }
}

/// What a build needs, by how many jobs run at once.
struct Need<'pool> {
    jobs: u64,
    beside: u64,
    others: u64,
    each: u64,
    /// Largest first, never empty.
    largest: &'pool [u64],
}

impl<'pool> Need<'pool> {
    fn of(pool: &'pool JobPool) -> Option<Self> {
        let largest = pool.largest_bytes.as_slice();
        let first = *largest.first()?;
        let others = pool.others_bytes.unwrap_or(0);
        Some(Self {
            jobs: pool.jobs,
            // Where no sample fell on a job, the rest of the build at its highest is on the safe side.
            beside: pool.beside_bytes.unwrap_or(others),
            others,
            each: pool.typical_bytes.unwrap_or(first),
            largest,
        })
    }

    /// The largest jobs at once. Those that are not told one by one count as the smallest that is.
    fn worst(&self, jobs: u64) -> u64 {
        let told = self.largest.len() as u64;
        let last = self.largest[self.largest.len() - 1];
        let ones = self
            .largest
            .iter()
            .take(usize::try_from(jobs).unwrap_or(usize::MAX));
        let sum = ones.fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        let sum = sum.saturating_add(last.saturating_mul(jobs.saturating_sub(told)));
        self.others.max(self.beside.saturating_add(sum))
    }

    /// The largest job beside typical ones; never more than the worst case.
    fn typical(&self, jobs: u64) -> u64 {
        let sum = match jobs {
            0 => 0,
            jobs => self.largest[0].saturating_add(self.each.saturating_mul(jobs - 1)),
        };
        let typical = self.others.max(self.beside.saturating_add(sum));
        typical.min(self.worst(jobs))
    }

    /// The most jobs, from `least` on and up to all that there were, that need no more than `memory`.
    fn most(&self, memory: u64, least: u64, need: impl Fn(u64) -> u64) -> Fit {
        let (mut fits, mut too_many) = (least, self.jobs + 1);
        while too_many - fits > 1 {
            let middle = fits + (too_many - fits) / 2;
            if need(middle) <= memory {
                fits = middle;
            } else {
                too_many = middle;
            }
        }
        Fit {
            jobs: fits,
            needs_bytes: need(fits.max(1)),
        }
    }
}

/// What tells the tool to run no more than `jobs` at once. Where all fit, or none, there is nothing to tell it.
fn lines(pool: &JobPool, jobs: u64) -> Vec<Line> {
    if jobs == 0 || jobs >= pool.jobs {
        return Vec::new();
    }
    let line = |place: &str, text: String| Line {
        place: place.to_owned(),
        text,
    };
    let mut lines = match pool.tool {
        JobTool::Make => vec![
            line("command", format!("make -j{jobs}")),
            line("environment", format!("MAKEFLAGS=-j{jobs}")),
        ],
        JobTool::Ninja => vec![
            line("command", format!("ninja -j{jobs}")),
            line(
                "environment of `cmake --build`",
                format!("CMAKE_BUILD_PARALLEL_LEVEL={jobs}"),
            ),
        ],
        JobTool::Cargo => vec![
            line("environment", format!("CARGO_BUILD_JOBS={jobs}")),
            line(".cargo/config.toml", format!("[build]\njobs = {jobs}")),
        ],
        JobTool::Go => vec![
            line("command", format!("go build -p {jobs} ./...")),
            line("environment", format!("GOFLAGS=-p={jobs}")),
        ],
        JobTool::Nx => vec![
            line("command", format!("nx run-many --parallel={jobs}")),
            line("nx.json", format!("\"parallel\": {jobs},")),
        ],
        JobTool::Turbo => vec![line(
            "command",
            format!("turbo run build --concurrency={jobs}"),
        )],
        JobTool::Next => vec![line(
            "next.config.js",
            format!("experimental: {{ cpus: {jobs} }},"),
        )],
        JobTool::Jest => vec![line("command", format!("jest --maxWorkers={jobs}"))],
    };
    let largest_links = pool.largest_class.as_deref().is_some_and(is_linker);
    if pool.tool == JobTool::Ninja && largest_links {
        // Links are few and large: a pool of their own leaves the compilers as parallel as they were.
        lines.push(line(
            "command, to limit links alone",
            format!("cmake -G Ninja -DCMAKE_JOB_POOLS=link={jobs} -DCMAKE_JOB_POOL_LINK=link …"),
        ));
        lines.push(line(
            "build.ninja, to limit links alone (and `pool = link` in their rule)",
            format!("pool link\n  depth = {jobs}"),
        ));
    }
    lines
}

fn is_linker(class: &str) -> bool {
    ["ld", "collect2", "lld", "rust-lld", "mold", "gold", "wild"].contains(&class)
        || class.starts_with("ld.")
        || class.starts_with("lto1")
}

/// A limit for the heap of `top`, where it is Node.js's and large for this memory.
fn node_heap(top: &TopProcess, peak: Option<&Peak>, memory: u64) -> Option<NodeHeap> {
    let is_node = (top.command.split(' ').next())
        .and_then(|program| program.rsplit('/').next())
        .is_some_and(|program| program == "node");
    if !is_node || top.peak_rss_bytes < memory / LARGE_PROCESS {
        return None;
    }
    let others = peak.map_or(0, |peak| others_at_peak(top, peak));
    let left = memory.saturating_sub(others) / MIB;
    // In steps that a person would write.
    let cap_mib = left / 4 * HEAP_QUARTERS / 64 * 64;
    // With less than half of what it had, it would fail for certain.
    (cap_mib * MIB >= top.peak_rss_bytes / 2).then(|| NodeHeap {
        cap_mib,
        others_bytes: others,
        lines: vec![Line {
            place: "environment".to_owned(),
            text: format!("NODE_OPTIONS=--max-old-space-size={cap_mib}"),
        }],
    })
}

/// What the build held at its peak beside this process, without page cache that nobody had mapped.
fn others_at_peak(top: &TopProcess, peak: &Peak) -> u64 {
    let own: u64 = (peak.processes.iter())
        .filter(|process| is_same(process, top, peak))
        .filter_map(|process| process.pss_bytes)
        .sum();
    let kernel = peak
        .composition
        .map_or(0, |it| it.kernel.unwrap_or(0) + it.shmem);
    (peak.pss_bytes.saturating_sub(own)).saturating_add(kernel)
}

fn is_same(at_peak: &ProcessAtPeak, top: &TopProcess, peak: &Peak) -> bool {
    at_peak.pid == top.pid
        && top.started_s <= peak.at_s
        && top.ended_s.is_none_or(|end| peak.at_s <= end)
}

/// What a reader must know: what the estimate takes for granted, and what this recording does not tell.
fn assumptions(report: &Report, pools: &[PoolAdvice]) -> Vec<String> {
    let mut said = Vec::new();
    if !pools.is_empty() {
        said.push(
            "worst case: the largest jobs run at the same moment, each at its own peak, while the rest of the build is \
             at its highest. Dependencies between jobs may forbid that"
                .to_owned(),
        );
        said.push(
            "a job costs the sum of the exact peak RSS of its processes that lived at the same time. Pages that \
             several processes share, such as the compiler's own code, are counted in each: rather too much than \
             too little"
                .to_owned(),
        );
    }
    said.push(
        "page cache is not counted: the kernel takes it back when memory is short. Near the limit files are read \
         again and again, so leave some room"
            .to_owned(),
    );
    said.push(format!(
        "this is an estimate from one run (`{}`, {} CPUs). Another input or compiler needs another recording",
        report.label, report.host.cpus
    ));
    if pools.len() > 1 {
        said.push(
            "the number of each tool's jobs is found as if the others' stayed as they were recorded".to_owned(),
        );
    }
    let unmeasured: u64 = report.jobs.iter().map(|pool| pool.unmeasured).sum();
    if unmeasured > 0 {
        said.push(format!(
            "the peak of {unmeasured} jobs is not known: they are not counted"
        ));
    }
    if report.jobs.iter().any(|pool| pool.beside_bytes.is_none()) {
        said.push(
            "no sample fell on a job of some tool: the rest of the build counts as at its highest beside it".to_owned(),
        );
    }
    if report.profiler.events_lost > 0 {
        said.push(format!(
            "{} events were lost: there may be larger jobs than are known",
            report.profiler.events_lost
        ));
    }
    if report.profiler.tracker == crate::recording::TRACKER_PROC {
        said.push(
            "the tracker `proc` misses short processes, and what a process grew by after its last look: the need may \
             be higher"
                .to_owned(),
        );
    }
    if !matches!(report.verdict, crate::report::Verdict::Pass) {
        said.push(format!(
            "the run did not pass (`{}`): what it did not come to is not counted",
            report.verdict.word()
        ));
    }
    if report.headline.saturated {
        said.push(
            "the run was held down by a limit: with more memory it would have needed more"
                .to_owned(),
        );
    }
    said
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pool(tool: JobTool, largest_mib: &[u64]) -> JobPool {
        JobPool {
            tool,
            jobs: largest_mib.len() as u64,
            unmeasured: 0,
            peak_concurrency: 2,
            typical_bytes: largest_mib
                .get(largest_mib.len() / 2)
                .map(|size| size * MIB),
            largest_class: Some("cc1plus".to_owned()),
            beside_bytes: Some(100 * MIB),
            others_bytes: Some(100 * MIB),
            largest_bytes: largest_mib.iter().map(|size| size * MIB).collect(),
        }
    }

    fn advised(pool: &JobPool, memory_mib: u64) -> PoolAdvice {
        PoolAdvice::new(pool, memory_mib * MIB).unwrap()
    }

    #[test]
    fn the_largest_jobs_at_once_are_the_worst_case() {
        let pool = pool(JobTool::Make, &[1000, 500, 200, 200, 200]);
        let jobs = |memory| {
            let advice = advised(&pool, memory);
            (advice.worst.jobs, advice.typical.jobs)
        };
        assert_eq!(jobs(99), (0, 0));
        assert_eq!(jobs(1099), (0, 0));
        assert_eq!(jobs(1100), (1, 1));
        assert_eq!(jobs(1300), (1, 2));
        assert_eq!(jobs(1600), (2, 3));
        assert_eq!(jobs(2200), (5, 5));
        assert_eq!(jobs(9000), (5, 5));
        assert_eq!(advised(&pool, 1600).worst.needs_bytes, 1600 * MIB);
        assert_eq!(advised(&pool, 10).worst.needs_bytes, 1100 * MIB);
    }

    #[test]
    fn what_the_build_needs_at_another_time_must_fit_with_any_number_of_jobs() {
        let mut pool = pool(JobTool::Nx, &[50, 50, 50]);
        pool.others_bytes = Some(700 * MIB);
        assert_eq!(advised(&pool, 699).worst.jobs, 0);
        assert_eq!(advised(&pool, 700).worst.jobs, 3);
        pool.beside_bytes = None;
        assert_eq!(
            advised(&pool, 700).worst.jobs,
            0,
            "no sample told what was beside"
        );
    }

    #[test]
    fn the_lines_are_of_the_tool_alone_and_only_where_fewer_than_all_fit() {
        let texts = |tool, memory| {
            let advice = advised(&pool(tool, &[300, 300, 300]), memory);
            let lines = advice.lines.into_iter();
            lines.map(|line| line.text).collect::<Vec<_>>().join(" | ")
        };
        assert_eq!(texts(JobTool::Make, 1000), "");
        assert_eq!(texts(JobTool::Make, 200), "");
        for (tool, expected) in [
            (JobTool::Make, "make -j2 | MAKEFLAGS=-j2"),
            (JobTool::Cargo, "CARGO_BUILD_JOBS=2 | [build]\njobs = 2"),
            (JobTool::Ninja, "ninja -j2 | CMAKE_BUILD_PARALLEL_LEVEL=2"),
            (JobTool::Go, "go build -p 2 ./... | GOFLAGS=-p=2"),
            (JobTool::Nx, "nx run-many --parallel=2 | \"parallel\": 2,"),
            (JobTool::Turbo, "turbo run build --concurrency=2"),
            (JobTool::Next, "experimental: { cpus: 2 },"),
            (JobTool::Jest, "jest --maxWorkers=2"),
        ] {
            assert_eq!(texts(tool, 700), expected);
        }
        let mut linking = pool(JobTool::Ninja, &[300, 300, 300]);
        linking.largest_class = Some("ld.gold".to_owned());
        let lines = advised(&linking, 700).lines;
        assert_eq!(lines[3].text, "pool link\n  depth = 2");
    }

    proptest! {
        #[test]
        fn more_memory_never_gives_fewer_jobs_and_what_fits_does_fit(
            mut largest in prop::collection::vec(0_u64..500, 1..80),
            more in 0_u64..40,
            typical in 0_u64..500,
            beside in 0_u64..400,
            others in 0_u64..600,
            memory in 0_u64..4000,
            extra in 0_u64..1000,
        ) {
            largest.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
            largest.truncate(64);
            let mut pool = pool(JobTool::Make, &largest);
            pool.jobs += more;
            pool.typical_bytes = Some(typical.min(largest[0]) * MIB);
            pool.beside_bytes = Some(beside.min(others) * MIB);
            pool.others_bytes = Some(others * MIB);
            let advice = advised(&pool, memory);
            let with_more = advised(&pool, memory + extra);
            prop_assert!(with_more.worst.jobs >= advice.worst.jobs);
            prop_assert!(with_more.typical.jobs >= advice.typical.jobs);
            prop_assert!(advice.typical.jobs >= advice.worst.jobs);
            for fit in [advice.worst, advice.typical] {
                prop_assert!(fit.jobs <= pool.jobs);
                prop_assert_eq!(fit.jobs > 0, fit.needs_bytes <= memory * MIB);
            }
            // One more would be too much.
            if advice.worst.jobs < pool.jobs {
                let need = Need::of(&pool).unwrap();
                prop_assert!(need.worst(advice.worst.jobs + 1) > memory * MIB);
            }
        }
    }
}
