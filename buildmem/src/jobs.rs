//! Parallel jobs: what a build tool runs side by side, as make runs compilers, each with all that it starts in turn.
//! How many there were at once, what one of them costs, and what the build held beside them.
//!
//! A job is a child of such a tool with everything below it, such as `sh`, `gcc` and `cc1`. Where the same tool runs
//! below itself, as make does in each folder, its own children are the jobs, and what leads to it is none.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::classes::{ClassRules, Lifetime, most_at_once, peak_kib};
use crate::command_line::CommandLine;
use crate::event::{CgroupComposition, CgroupSample, Event, EventKind};
use crate::ids::{ProcessId, Tgid};
use crate::report::{JobPool, JobTool};
use crate::tree::{Ended, Holding, ProcessTree};
use crate::units::{BootTime, ByteSize};

/// How many of the largest jobs are told one by one.
pub const LARGEST_JOBS: usize = 64;

impl JobTool {
    /// The tool with this command line.
    fn of(argv: &CommandLine) -> Option<Self> {
        let program = argv.program();
        let script = argv.script().map(crate::command_line::Arg::file_name);
        let second = argv.args.get(1).map(crate::command_line::Arg::lossy);
        let name = script.as_deref().unwrap_or(&program);
        match name {
            "make" | "gmake" => Some(Self::Make),
            "ninja" | "ninja-build" | "samu" => Some(Self::Ninja),
            "cargo" => Some(Self::Cargo),
            "go" if second.as_deref() != Some("tool") => Some(Self::Go),
            "nx" | "nx.js" => Some(Self::Nx),
            "turbo" => Some(Self::Turbo),
            "next" if argv.args.iter().any(|arg| arg.0 == b"build") => Some(Self::Next),
            "jest" | "jest.js" => Some(Self::Jest),
            _ => None,
        }
    }

    /// Whether a child of the tool with this command line is one of its parallel jobs: its `-j` decides how many of
    /// them there are.
    fn runs_as_job(self, argv: &CommandLine) -> bool {
        let ends = |end: &[u8]| argv.args.iter().any(|arg| arg.0.ends_with(end));
        match self {
            Self::Make | Self::Ninja | Self::Turbo => true,
            // It asks the compiler for its version and its target before it compiles.
            Self::Cargo => {
                argv.program() == "build-script-build"
                    || argv.after("--crate-name").is_some_and(|name| name != "___")
            }
            Self::Go => matches!(
                &*argv.program(),
                "compile" | "link" | "asm" | "cgo" | "vet" | "gcc" | "g++" | "cc"
            ),
            // Its plugins' workers and its daemon run for all tasks.
            Self::Nx => !ends(b"/plugin-worker.js") && !ends(b"/daemon/server/start.js"),
            Self::Next | Self::Jest => ends(b"/processChild.js"),
        }
    }
}

/// The fold from events to the pools of jobs.
#[derive(Debug, Default)]
pub struct Jobs {
    members: BTreeMap<ProcessId, Member>,
    open: BTreeMap<JobId, Job>,
    pools: BTreeMap<JobTool, Pool>,
    next: u32,
    /// The most that the build held in a sample.
    highest: Option<ByteSize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct JobId(u32);

/// A live process, as far as jobs are concerned.
#[derive(Clone, Debug, Default)]
struct Member {
    runs: Option<JobTool>,
    /// At most one of each tool.
    jobs: Vec<(JobTool, JobId)>,
}

/// A job that has live processes.
#[derive(Debug)]
struct Job {
    root: ProcessId,
    started: BootTime,
    /// When its first process ended: what stays behind as a daemon is no running job.
    ended: Option<BootTime>,
    live: u32,
    /// Its root ran what is a job of the tool.
    counts: bool,
    /// The tool itself ran below it.
    leads_on: bool,
    parts: Vec<Part>,
    largest: Option<(u32, Rc<CommandLine>)>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    started: BootTime,
    ended: BootTime,
    peak_kib: u32,
}

/// The jobs of one tool.
#[derive(Debug, Default)]
struct Pool {
    done: Vec<Done>,
    largest: Option<(u64, Rc<CommandLine>)>,
    beside: Option<ByteSize>,
    others: Option<ByteSize>,
}

#[derive(Clone, Copy, Debug)]
struct Done {
    lifetime: Lifetime,
    /// The most that it can have had resident; `None` where that is known of none of its processes.
    cost_kib: Option<u64>,
}

impl Job {
    const fn is_running(&self) -> bool {
        self.counts && !self.leads_on
    }
}

impl Jobs {
    /// Takes in an event that `tree` has taken in already, and the process that ended by it.
    pub fn apply(&mut self, event: &Event, tree: &ProcessTree, ended: Option<&Ended>) {
        if let Some(ended) = ended {
            self.ended(ended);
        }
        if let EventKind::Forked { parent, child, .. } = &event.event {
            self.forked(event.at, tree, *parent, *child);
        }
        if let EventKind::Execed { tgid, argv, .. } = &event.event
            && let Some(process) = tree.get(*tgid)
        {
            self.execed(process.id, argv);
        }
    }

    fn forked(&mut self, at: BootTime, tree: &ProcessTree, parent: Tgid, child: Tgid) {
        let Some(child) = tree.get(child).map(|child| child.id) else {
            return;
        };
        let parent = tree.get(parent).and_then(|it| self.members.get(&it.id));
        let Member { runs, mut jobs } = parent.cloned().unwrap_or_default();
        if let Some(tool) = runs {
            let id = JobId(self.next);
            self.next = self.next.saturating_add(1);
            jobs.retain(|(other, _)| *other != tool);
            jobs.push((tool, id));
            let job = Job {
                root: child,
                started: at,
                ended: None,
                live: 0,
                counts: false,
                leads_on: false,
                parts: Vec::new(),
                largest: None,
            };
            self.open.insert(id, job);
        }
        for (_, id) in &jobs {
            if let Some(job) = self.open.get_mut(id) {
                job.live += 1;
            }
        }
        self.members.insert(child, Member { runs: None, jobs });
    }

    fn execed(&mut self, process: ProcessId, argv: &CommandLine) {
        let member = self.members.entry(process).or_default();
        member.runs = JobTool::of(argv);
        if let Some(tool) = member.runs {
            let highest = self.highest;
            self.pools.entry(tool).or_insert_with(|| Pool {
                others: highest,
                ..Pool::default()
            });
        }
        for (tool, id) in &member.jobs {
            let Some(job) = self.open.get_mut(id) else {
                continue;
            };
            job.leads_on |= member.runs == Some(*tool);
            job.counts |= job.root == process && tool.runs_as_job(argv);
        }
    }

    /// Takes in a process that ended, or that the measurement ended before.
    pub fn ended(&mut self, end: &Ended) {
        let Ended { process, at, .. } = end;
        let Some(Member { runs: _, jobs }) = self.members.remove(&process.id) else {
            return;
        };
        // What never got an address space of its own has none to add.
        let peak = peak_kib(process).filter(|_| !process.shares_mm);
        for (tool, id) in jobs {
            let Some(job) = self.open.get_mut(&id) else {
                continue;
            };
            if job.root == process.id {
                job.ended = Some(*at);
            }
            if let Some(peak_kib) = peak {
                job.parts.push(Part {
                    started: process.started,
                    ended: *at,
                    peak_kib,
                });
                if (job.largest.as_ref()).is_none_or(|(largest, _)| peak_kib > *largest) {
                    job.largest = Some((peak_kib, Rc::clone(process.argv())));
                }
            }
            job.live = job.live.saturating_sub(1);
            if job.live == 0
                && let Some(job) = self.open.remove(&id)
            {
                self.pools.entry(tool).or_default().took(job, *at);
            }
        }
    }

    /// Takes in a sample: what the processes of `holdings` held, and the cgroup of what no process has.
    pub fn sampled(&mut self, cgroup: Option<CgroupSample>, holdings: &[Holding<'_>]) {
        let mut whole = of_no_process(cgroup);
        let mut of_jobs: BTreeMap<JobTool, ByteSize> = BTreeMap::new();
        for Holding {
            process, pss, file, ..
        } in holdings
        {
            // Shared memory is in the cgroup's figure, and files' pages are page cache.
            let pss = pss.unwrap_or_default() - process.current_pss_shmem() - *file;
            whole += pss;
            let member = self.members.get(&process.id);
            for (tool, id) in member.map_or(&[][..], |member| &member.jobs) {
                let job = self.open.get(id);
                if job.is_some_and(Job::is_running) {
                    *of_jobs.entry(*tool).or_default() += pss;
                }
            }
        }
        for (tool, pool) in &mut self.pools {
            let jobs = of_jobs.get(tool).copied();
            let others = whole - jobs.unwrap_or_default();
            pool.others = pool.others.max(Some(others));
            if jobs.is_some() {
                pool.beside = pool.beside.max(Some(others));
            }
        }
        self.highest = self.highest.max(Some(whole));
    }

    /// The pools that had two jobs at least, those with the largest jobs first.
    pub fn report(self, classes: &ClassRules) -> Vec<JobPool> {
        let pools = self.pools.into_iter();
        let mut pools: Vec<JobPool> = pools
            .filter(|(_, pool)| pool.done.len() >= 2)
            .map(|(tool, pool)| pool.report(tool, classes))
            .collect();
        pools.sort_by_key(|pool| {
            (
                std::cmp::Reverse(pool.largest_bytes.first().copied()),
                pool.tool,
            )
        });
        pools
    }
}

/// Shared memory and the kernel's own.
fn of_no_process(cgroup: Option<CgroupSample>) -> ByteSize {
    let Some(CgroupComposition { shmem, kernel, .. }) = cgroup.and_then(|it| it.composition) else {
        return ByteSize::ZERO;
    };
    shmem + kernel.unwrap_or_default()
}

impl Pool {
    fn took(&mut self, job: Job, at: BootTime) {
        if !job.is_running() {
            return;
        }
        let Job {
            started,
            ended,
            parts,
            largest,
            ..
        } = job;
        let cost_kib = (!parts.is_empty()).then(|| most_resident(&parts));
        self.done.push(Done {
            lifetime: (started, ended.unwrap_or(at)),
            cost_kib,
        });
        if let Some(cost) = cost_kib
            && (self.largest.as_ref()).is_none_or(|(largest, _)| cost > *largest)
        {
            self.largest = largest.map(|(_, argv)| (cost, argv));
        }
    }

    fn report(self, tool: JobTool, classes: &ClassRules) -> JobPool {
        let known = self
            .done
            .iter()
            .filter_map(|job| Some((job.cost_kib?, job.lifetime)));
        let mut costs: Vec<(u64, Lifetime)> = known.collect();
        costs.sort_unstable_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        let bytes = |kib: u64| kib.saturating_mul(1024);
        JobPool {
            tool,
            jobs: self.done.len() as u64,
            unmeasured: (self.done.len() - costs.len()) as u64,
            peak_concurrency: most_at_once(self.done.iter().map(|job| job.lifetime).collect()),
            typical_bytes: typical(&costs).map(bytes),
            largest_class: self.largest.map(|(_, argv)| classes.class(&argv)),
            beside_bytes: self.beside.map(ByteSize::bytes),
            others_bytes: self.others.map(ByteSize::bytes),
            largest_bytes: (costs.iter().take(LARGEST_JOBS))
                .map(|(cost, _)| bytes(*cost))
                .collect(),
        }
    }
}

/// The median over the time that jobs ran, of their costs in falling order: half of it was spent in jobs of at most so
/// much. So the hundreds of `mkdir` and `mv` in a makefile, which are gone at once, do not make a job look cheap.
fn typical(costs: &[(u64, Lifetime)]) -> Option<u64> {
    let lived =
        |(begin, end): Lifetime| u128::from(end.nanos().saturating_sub(begin.nanos()).max(1));
    let whole: u128 = costs.iter().map(|(_, lifetime)| lived(*lifetime)).sum();
    let mut above = 0;
    for (cost, lifetime) in costs {
        above += lived(*lifetime);
        if above * 2 >= whole {
            return Some(*cost);
        }
    }
    None
}

/// The most that processes can have had resident together: each at its own peak for as long as it lived.
fn most_resident(parts: &[Part]) -> u64 {
    let mut changes: Vec<(BootTime, bool, u32)> = Vec::with_capacity(parts.len() * 2);
    for Part {
        started,
        ended,
        peak_kib,
    } in parts
    {
        // One that lived no time at all had its memory all the same.
        let ended = (*ended).max(BootTime::from_nanos(started.nanos().saturating_add(1)));
        changes.push((*started, true, *peak_kib));
        changes.push((ended, false, *peak_kib));
    }
    // Who ends at the moment at which another begins is gone then: `false` comes first.
    changes.sort_unstable();
    let (mut held, mut most) = (0_u64, 0_u64);
    for (_, begins, kib) in changes {
        let kib = u64::from(kib);
        held = if begins {
            held + kib
        } else {
            held.saturating_sub(kib)
        };
        most = most.max(held);
    }
    most
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{ExitStatus, ProcessSample, PssSample};
    use crate::reading::Reading;
    use crate::stages::Stages;

    /// A build whose events come one a second.
    struct Build {
        jobs: Jobs,
        tree: ProcessTree,
        now: u64,
    }

    impl Build {
        fn new() -> Self {
            Self {
                jobs: Jobs::default(),
                tree: ProcessTree::new(Stages::none()),
                now: 0,
            }
        }

        fn event(&mut self, kind: EventKind) {
            self.now += 1_000_000_000;
            let event = Event::new(BootTime::from_nanos(self.now), kind);
            let ended = self.tree.apply(&event);
            self.jobs.apply(&event, &self.tree, ended.as_ref());
            if let EventKind::Sampled { cgroup, .. } = event.event {
                self.jobs.sampled(cgroup, &self.tree.holdings());
            }
        }

        fn start(&mut self, parent: u32, child: u32, line: &str) {
            self.event(EventKind::Forked {
                parent: Tgid(parent),
                child: Tgid(child),
                shares_mm: false,
            });
            self.exec(child, line);
        }

        fn exec(&mut self, tgid: u32, line: &str) {
            self.event(EventKind::Execed {
                tgid: Tgid(tgid),
                argv: CommandLine::from_args(line.split(' ')),
                ended_image: Reading::known(ByteSize::from_mib(1), "test"),
            });
        }

        fn end(&mut self, tgid: u32, mib: u64) {
            self.end_with(tgid, Reading::known(ByteSize::from_mib(mib), "test"));
        }

        fn end_with(&mut self, tgid: u32, rss_high_water: Reading<ByteSize>) {
            self.event(EventKind::Exited {
                tgid: Tgid(tgid),
                status: Some(ExitStatus::Code(0)),
                rss_high_water,
            });
        }

        /// Each with so many MiB of its own and 10 more of files.
        fn sample(&mut self, processes: &[(u32, u64)]) {
            let sample = |(tgid, mib): &(u32, u64)| {
                let total = ByteSize::from_mib(*mib + 10);
                ProcessSample {
                    tgid: Tgid(*tgid),
                    rss: total,
                    anon: None,
                    pss: Some(PssSample {
                        total,
                        file: Some(ByteSize::from_mib(10)),
                        shmem: ByteSize::ZERO,
                        rss: total,
                    }),
                }
            };
            self.event(EventKind::Sampled {
                cgroup: None,
                processes: processes.iter().map(sample).collect(),
            });
        }

        fn pools(self) -> Vec<JobPool> {
            self.jobs.report(&ClassRules::default())
        }
    }

    fn mib(sizes: &[u64]) -> Vec<u64> {
        sizes.iter().map(|size| size << 20).collect()
    }

    #[test]
    fn a_job_costs_what_its_processes_have_at_the_same_time() {
        let mut build = Build::new();
        build.start(1, 10, "make -j2");
        build.start(10, 20, "gcc -c a.c");
        build.start(20, 21, "/usr/lib/cc1 a.c");
        build.end(21, 60);
        build.start(20, 22, "as a.s");
        build.end(22, 5);
        build.end(20, 2);
        build.start(10, 30, "sh -c cc1|as");
        build.start(30, 31, "/usr/lib/cc1 b.c");
        build.start(30, 32, "as b.s");
        build.end(31, 30);
        build.end(32, 5);
        build.end(30, 1);
        build.end(10, 3);
        let pools = build.pools();
        assert_eq!(pools.len(), 1);
        let pool = &pools[0];
        assert_eq!(
            (pool.tool, pool.jobs, pool.peak_concurrency),
            (JobTool::Make, 2, 1)
        );
        // gcc and cc1, as follows; then sh, cc1 and as beside each other.
        assert_eq!(pool.largest_bytes, mib(&[62, 36]));
        assert_eq!(pool.largest_class.as_deref(), Some("cc1"));
    }

    #[test]
    fn where_make_runs_make_the_jobs_are_those_of_the_innermost() {
        let mut build = Build::new();
        build.start(1, 10, "make -j4");
        build.start(10, 11, "sh -c make");
        build.start(11, 12, "make -C src");
        for child in [20, 21, 22] {
            build.start(12, child, "cc1 a.c");
        }
        build.sample(&[(10, 1), (11, 1), (12, 1), (20, 100), (21, 100), (22, 100)]);
        for child in [20, 21, 22] {
            build.end(child, 120);
        }
        build.sample(&[(10, 7), (11, 1), (12, 1)]);
        for tgid in [12, 11, 10] {
            build.end(tgid, 8);
        }
        let pool = build.pools().remove(0);
        assert_eq!((pool.jobs, pool.peak_concurrency), (3, 3));
        assert_eq!(pool.largest_bytes, mib(&[120, 120, 120]));
        // Without files' pages.
        assert_eq!(pool.beside_bytes, Some(3 << 20));
        assert_eq!(pool.others_bytes, Some(9 << 20));
    }

    #[test]
    fn what_was_held_before_the_tool_ran_has_to_fit_too() {
        let mut build = Build::new();
        build.start(1, 10, "sh build.sh");
        build.start(10, 11, "node bundle.js");
        build.sample(&[(10, 1), (11, 400)]);
        build.end(11, 410);
        build.start(10, 12, "ninja");
        for child in [20, 21] {
            build.start(12, child, "c++ a.cc");
            build.sample(&[(10, 1), (12, 2), (child, 50)]);
            build.end(child, 60);
        }
        let pool = build.pools().remove(0);
        assert_eq!(pool.tool, JobTool::Ninja);
        assert_eq!(pool.beside_bytes, Some(3 << 20));
        assert_eq!(pool.others_bytes, Some(401 << 20));
    }

    #[test]
    fn a_tools_own_helpers_are_no_jobs() {
        let count = |tool: &str, children: &[&str]| {
            let mut build = Build::new();
            build.start(1, 10, tool);
            for (child, line) in (20..).zip(children) {
                build.start(10, child, line);
                build.end(child, 5);
            }
            build.pools().first().map(|pool| (pool.tool, pool.jobs))
        };
        let cargo = ["rustc -vV", "rustc - --crate-name ___ --print=x"];
        assert_eq!(count("cargo build", &cargo), None);
        let cargo = [
            "sccache /t/bin/rustc --crate-name syn",
            "rustc --crate-name quote",
            "/p/build/x-1/build-script-build",
        ];
        assert_eq!(
            count("/t/bin/cargo build", &cargo),
            Some((JobTool::Cargo, 3))
        );
        let nx = [
            "node /p/nx/src/isolation/plugin-worker.js",
            "node /p/nx/bin/run-executor.js",
            "node /p/nx/bin/run-executor.js",
            "node /p/nx/src/daemon/server/start.js",
        ];
        assert_eq!(
            count("node /p/.bin/nx run-many", &nx),
            Some((JobTool::Nx, 2))
        );
        let next = [
            "node /p/next/dist/compiled/jest-worker/processChild.js",
            "node /p/next/dist/compiled/jest-worker/processChild.js",
            "node /p/typescript/bin/tsc",
        ];
        assert_eq!(
            count("node /p/.bin/next build", &next),
            Some((JobTool::Next, 2))
        );
        assert_eq!(count("node /p/.bin/next dev", &next), None);
        assert_eq!(count("node build.js", &next), None);
        let go = [
            "/go/pkg/tool/linux_amd64/compile -o a",
            "git log",
            "link -o b",
        ];
        assert_eq!(count("go build ./...", &go), Some((JobTool::Go, 2)));
    }

    #[test]
    fn a_job_of_which_no_peak_is_known_is_counted_as_such() {
        let mut build = Build::new();
        build.start(1, 10, "make");
        for child in [20, 21, 22] {
            build.start(10, child, "cc1");
        }
        build.end(20, 50);
        build.end_with(21, Reading::missing("test"));
        build.end(22, 40);
        let pool = build.pools().remove(0);
        assert_eq!((pool.jobs, pool.unmeasured), (3, 1));
        assert_eq!(pool.largest_bytes, mib(&[50, 40]));
    }

    #[test]
    fn short_jobs_without_number_do_not_make_the_typical_one_small() {
        let at = BootTime::from_nanos;
        let mut costs = vec![(900, (at(0), at(10))), (500, (at(0), at(1000)))];
        costs.extend((0..300).map(|n| (2, (at(n), at(n + 1)))));
        assert_eq!(typical(&costs), Some(500));
        assert_eq!(typical(&[]), None);
        assert_eq!(typical(&[(7, (at(5), at(5)))]), Some(7));
    }

    proptest! {
        #[test]
        fn a_job_costs_no_more_than_all_its_processes_and_no_less_than_the_largest(
            parts in prop::collection::vec((0_u64..20, 0_u64..9, 0_u32..1000), 1..12)
        ) {
            let parts: Vec<Part> = parts.iter().map(|(begin, length, peak_kib)| Part {
                started: BootTime::from_nanos(*begin),
                ended: BootTime::from_nanos(begin + length),
                peak_kib: *peak_kib,
            }).collect();
            let most = most_resident(&parts);
            prop_assert!(most <= parts.iter().map(|part| u64::from(part.peak_kib)).sum());
            prop_assert!(Some(most) >= parts.iter().map(|part| u64::from(part.peak_kib)).max());
        }

        #[test]
        fn any_events_make_pools_that_hold_together(
            steps in prop::collection::vec((0_u32..5, 0_u32..8, 0_u32..8, 0_u64..50), 0..60)
        ) {
            let lines = ["make", "cargo build", "rustc --crate-name x", "cc1 a.c", "node /p/.bin/nx x"];
            let mut build = Build::new();
            for (step, a, b, mib) in steps {
                match step {
                    0 => build.start(a, b, lines[b as usize % lines.len()]),
                    1 => build.exec(a, lines[b as usize % lines.len()]),
                    2 => build.sample(&[(a, mib), (b, mib)]),
                    _ => build.end(a, mib),
                }
            }
            for pool in build.pools() {
                prop_assert!(pool.jobs >= 2);
                prop_assert!(pool.peak_concurrency >= 1 && pool.peak_concurrency <= pool.jobs);
                prop_assert_eq!(pool.largest_bytes.len() as u64, pool.jobs - pool.unmeasured);
                prop_assert!(pool.largest_bytes.is_sorted_by(|a, b| a >= b));
                prop_assert!(pool.typical_bytes <= pool.largest_bytes.first().copied());
                prop_assert!(pool.beside_bytes <= pool.others_bytes);
            }
        }
    }
}
