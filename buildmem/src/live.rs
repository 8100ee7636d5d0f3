//! What is shown of a build while it runs: a fold over its events whose room does not grow with the build's length. It is
//! for looking at; the report is computed from the recording.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::classes::ClassRules;
use crate::event::{Event, EventKind};
use crate::ids::ProcessId;
use crate::stages::OTHER;
use crate::tree::{Ended, Holding, Process, ProcessTree};
use crate::units::{BootTime, ByteSize};

/// Most moments of the timeline that are told apart: more than a screen has columns.
const MOST_BINS: usize = 512;

/// How much time the first of them stand for.
const FIRST_WIDTH: Duration = Duration::from_millis(100);

/// Most groups that are told apart.
const MOST_GROUPS: usize = 64;

/// The group of all after so many.
const MORE_GROUPS: &str = "(more)";

/// Most processes that are handed on: more than anyone scrolls through.
const MOST_PROCESSES: usize = 200;

/// Of a command line, so many characters are kept: more than a screen shows.
const COMMAND_AT_MOST: usize = 400;

/// By what processes are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// The stages of the rules, and those that `build-mem stage` names.
    Stages,
    /// What they run: there are no rules, and stages of their own accord are found after the build only.
    Programs,
}

/// In which order processes are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortOrder {
    /// The largest PSS first.
    #[default]
    Pss,
    /// The largest RSS first.
    Rss,
    /// The oldest first.
    Age,
    /// By their numbers.
    Pid,
}

impl SortOrder {
    /// All of them, as their columns stand.
    pub const ALL: [Self; 4] = [Self::Pid, Self::Pss, Self::Rss, Self::Age];
}

/// The fold.
#[derive(Debug)]
pub struct Live {
    started: BootTime,
    rules: ClassRules,
    groups: Vec<GroupFold>,
    members: BTreeMap<ProcessId, usize>,
    timeline: Timeline,
    /// The command lines of live processes as they are shown, each with the number of images that it is of.
    commands: BTreeMap<ProcessId, (usize, Arc<str>)>,
    usage: Option<ByteSize>,
    pss: ByteSize,
    peak: Option<(ByteSize, BootTime)>,
    oom_kills: u64,
    escaped: u64,
}

#[derive(Debug)]
struct GroupFold {
    name: Arc<str>,
    /// When its first process came, and when its last one went.
    span: Option<(BootTime, BootTime)>,
    live: u64,
    now: ByteSize,
    peak: Option<ByteSize>,
}

/// Memory over time, down-sampled: when there would be too many bins, each becomes half of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// How much time a bin stands for.
    pub width: Duration,
    /// From the build's start on; `None` where no sample was taken.
    pub bins: Vec<Option<Bin>>,
}

/// The highest sample of a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// The cgroup's usage; absent where it could not be read.
    pub usage: Option<ByteSize>,
    /// Sum of the processes' PSS.
    pub pss: ByteSize,
    /// That by group: its place in [`LiveView::groups`], and what it held.
    pub groups: Vec<(usize, ByteSize)>,
}

/// What is shown at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveView {
    /// Time since the build's start.
    pub elapsed: Duration,
    /// The cgroup's usage; absent where it cannot be read.
    pub usage: Option<ByteSize>,
    /// Sum of the live processes' PSS.
    pub pss: ByteSize,
    /// The highest sample so far, and its moment.
    pub peak: Option<(ByteSize, Duration)>,
    /// Live processes, and all that there were.
    pub live: u64,
    /// Processes made.
    pub forks: u64,
    /// What groups there are.
    pub grouping: Grouping,
    /// In the order of the rules and of their appearance.
    pub groups: Vec<Group>,
    /// Memory over time.
    pub timeline: Timeline,
    /// The first of the live processes, by the order that was asked for.
    pub processes: Vec<LiveProcess>,
    /// Processes that the kernel killed for want of memory.
    pub oom_kills: u64,
    /// Processes that went to another cgroup.
    pub escaped: u64,
    /// What the session knows beside the events.
    pub facts: Facts,
}

/// What is known beside the events.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    /// The kernel's own high-water mark until now; absent where it keeps none.
    pub headline: Option<ByteSize>,
    /// What the build may have at the most; absent where there is no limit.
    pub limit: Option<ByteSize>,
    /// What it is to stay within; absent where nothing was asked.
    pub budget: Option<ByteSize>,
    /// The build's own process has ended.
    pub ended: bool,
    /// What the measurement costs.
    pub cost: Cost,
}

/// What the measurement itself costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// CPU time of the whole tool, as a share of one core: 1.0 is all of it.
    pub cpu_share: f64,
    /// Samples taken.
    pub samples: u64,
    /// Those of them that were taken because memory grew.
    pub triggered: u64,
    /// Samples that were put off because the sampler's share was used up.
    pub put_off: u64,
}

/// A stage, or processes that run the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What it is called.
    pub name: Arc<str>,
    /// Whether it goes on.
    pub state: GroupState,
    /// From its first process to its last one, or to now; absent while it waits.
    pub wall: Option<Duration>,
    /// Its live processes.
    pub live: u64,
    /// Sum of their PSS in the last sample.
    pub now: ByteSize,
    /// The highest sampled sum of their PSS; absent when none was sampled.
    pub peak: Option<ByteSize>,
}

/// Whether a group goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// None of its processes was seen yet.
    Waiting,
    /// It has live processes.
    Running,
    /// It had some.
    Over,
}

/// A live process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveProcess {
    /// As `ps` shows it.
    pub pid: u32,
    /// Its PSS as well as it is known.
    pub pss: Option<ByteSize>,
    /// Its RSS; absent before the first sample that saw it.
    pub rss: Option<ByteSize>,
    /// Since its fork.
    pub age: Duration,
    /// Its place in [`LiveView::groups`].
    pub group: Option<usize>,
    /// Its command line, quoted for people.
    pub command: Arc<str>,
}

impl Live {
    /// Nothing yet of a build that began at `started`. `stages` are those that rules name: they wait.
    pub fn new<'a>(
        started: BootTime,
        stages: impl IntoIterator<Item = &'a str>,
        rules: ClassRules,
    ) -> Self {
        let mut live = Self {
            started,
            rules,
            groups: Vec::new(),
            members: BTreeMap::new(),
            timeline: Timeline {
                width: FIRST_WIDTH,
                bins: Vec::new(),
            },
            commands: BTreeMap::new(),
            usage: None,
            pss: ByteSize::ZERO,
            peak: None,
            oom_kills: 0,
            escaped: 0,
        };
        for stage in stages {
            live.group(stage);
        }
        live
    }

    /// Takes in an event that the tree has taken in, and the process that ended by it.
    pub fn apply(&mut self, event: &Event, tree: &ProcessTree, ended: Option<&Ended>) {
        if let Some(Ended { process, at, .. }) = ended {
            self.left(process.id, *at);
            self.commands.remove(&process.id);
        }
        match &event.event {
            EventKind::Forked { child: tgid, .. } | EventKind::Execed { tgid, .. } => {
                if let Some(process) = tree.get(*tgid) {
                    self.joined(event.at, process, tree);
                }
            }
            EventKind::Sampled { cgroup, .. } => {
                self.sampled(event.at, cgroup.map(|sample| sample.usage), tree);
            }
            EventKind::OomKilled { .. } => self.oom_kills += 1,
            EventKind::CgroupLeft { .. } => self.escaped += 1,
            EventKind::Exited { .. }
            | EventKind::Lost { .. }
            | EventKind::BuildStarted { .. }
            | EventKind::SignalForwarded { .. }
            | EventKind::BuildEnded { .. }
            | EventKind::LeftRunning { .. }
            | EventKind::HeadlineRead { .. }
            | EventKind::StagePeakRead { .. }
            | EventKind::PressureRead(_)
            | EventKind::EscapedCgroupRead { .. }
            | EventKind::Verified { .. }
            | EventKind::MeasurementEnded(_)
            | EventKind::Noted(_) => {}
        }
    }

    /// What is to be shown now.
    pub fn view(
        &mut self,
        now: BootTime,
        order: SortOrder,
        tree: &ProcessTree,
        facts: Facts,
    ) -> LiveView {
        LiveView {
            elapsed: now.since(self.started),
            usage: self.usage,
            pss: self.pss,
            peak: (self.peak).map(|(size, at)| (size, at.since(self.started))),
            live: tree.live().len() as u64,
            forks: tree.counts().forks,
            grouping: grouping(tree),
            groups: self.groups.iter().map(|group| group.view(now)).collect(),
            timeline: self.timeline.clone(),
            processes: self.processes(now, order, tree),
            oom_kills: self.oom_kills,
            escaped: self.escaped,
            facts,
        }
    }

    fn processes(
        &mut self,
        now: BootTime,
        order: SortOrder,
        tree: &ProcessTree,
    ) -> Vec<LiveProcess> {
        let mut holdings = tree.holdings();
        let size = |size: Option<ByteSize>| Reverse(size.unwrap_or_default());
        match order {
            SortOrder::Pss => holdings.sort_by_key(|holding| size(holding.pss)),
            SortOrder::Rss => holdings.sort_by_key(|holding| size(holding.process.rss)),
            SortOrder::Age => holdings.sort_by_key(|holding| holding.process.started),
            // As they are.
            SortOrder::Pid => {}
        }
        (holdings.iter().take(MOST_PROCESSES))
            .map(|Holding { process, pss, .. }| LiveProcess {
                pid: process.tgid.0,
                pss: *pss,
                rss: process.rss,
                age: now.since(process.started),
                group: self.members.get(&process.id).copied(),
                command: self.command(process),
            })
            .collect()
    }

    fn command(&mut self, process: &Process) -> Arc<str> {
        let images = process.images.len();
        match self.commands.get(&process.id) {
            Some((of, command)) if *of == images => Arc::clone(command),
            Some(_) | None => {
                let whole = process.argv().display();
                let command: Arc<str> = match whole.char_indices().nth(COMMAND_AT_MOST) {
                    Some((end, _)) => whole[..end].into(),
                    None => whole.into(),
                };
                let entry = (images, Arc::clone(&command));
                self.commands.insert(process.id, entry);
                command
            }
        }
    }

    /// A process came to its group, perhaps from another one.
    fn joined(&mut self, at: BootTime, process: &Process, tree: &ProcessTree) {
        let group = match grouping(tree) {
            Grouping::Stages => self.group(tree.stages().name(process.stage.stage())),
            // Before its first exec, the build's own process runs nothing of the build.
            Grouping::Programs if process.argv().args.is_empty() => return,
            Grouping::Programs => {
                let class = self.rules.class(process.argv());
                self.group(&class)
            }
        };
        if self.members.get(&process.id) == Some(&group) {
            return;
        }
        self.left(process.id, at);
        self.members.insert(process.id, group);
        let group = &mut self.groups[group];
        group.live += 1;
        let (_, end) = group.span.get_or_insert((at, at));
        *end = at.max(*end);
    }

    fn left(&mut self, id: ProcessId, at: BootTime) {
        let Some(group) = self.members.remove(&id) else {
            return;
        };
        let group = &mut self.groups[group];
        group.live = group.live.saturating_sub(1);
        if group.live == 0 {
            // No sample may see it once more.
            group.now = ByteSize::ZERO;
        }
        if let Some((_, end)) = &mut group.span {
            *end = at.max(*end);
        }
    }

    /// The place of a group.
    fn group(&mut self, name: &str) -> usize {
        let known = |name: &str| (self.groups.iter()).position(|group| &*group.name == name);
        if let Some(known) = known(name) {
            return known;
        }
        let name = if self.groups.len() < MOST_GROUPS {
            name
        } else {
            match known(MORE_GROUPS) {
                Some(known) => return known,
                None => MORE_GROUPS,
            }
        };
        self.groups.push(GroupFold {
            name: name.into(),
            span: None,
            live: 0,
            now: ByteSize::ZERO,
            peak: None,
        });
        self.groups.len() - 1
    }

    fn sampled(&mut self, at: BootTime, usage: Option<ByteSize>, tree: &ProcessTree) {
        let mut held: BTreeMap<usize, ByteSize> = BTreeMap::new();
        for Holding { process, pss, .. } in tree.holdings() {
            if let (Some(pss), Some(group)) = (pss, self.members.get(&process.id)) {
                *held.entry(*group).or_default() += pss;
            }
        }
        for (index, group) in self.groups.iter_mut().enumerate() {
            group.now = held.get(&index).copied().unwrap_or_default();
            if group.live > 0 {
                group.peak = group.peak.max(Some(group.now));
            }
        }
        let bin = Bin {
            usage,
            pss: held.values().copied().sum(),
            groups: held.into_iter().collect(),
        };
        self.usage = usage;
        self.pss = bin.pss;
        let height = bin.height();
        if self.peak.is_none_or(|(peak, _)| height > peak) {
            self.peak = Some((height, at));
        }
        self.timeline.add(at.since(self.started), bin);
    }
}

/// Without rules and marks there are no stages.
fn grouping(tree: &ProcessTree) -> Grouping {
    match tree.stages().names() {
        [] => Grouping::Programs,
        [_, ..] => Grouping::Stages,
    }
}

impl GroupFold {
    fn view(&self, now: BootTime) -> Group {
        let Self {
            name,
            span,
            live,
            now: held,
            peak,
        } = self;
        let (state, wall) = match (span, live) {
            (None, _) => (GroupState::Waiting, None),
            (Some((began, ended)), 0) => (GroupState::Over, Some(ended.since(*began))),
            (Some((began, _)), _) => (GroupState::Running, Some(now.since(*began))),
        };
        Group {
            name: Arc::clone(name),
            state,
            wall,
            live: *live,
            now: *held,
            peak: *peak,
        }
    }
}

impl Group {
    /// Whether it holds those that are in no stage.
    pub fn is_other(&self) -> bool {
        &*self.name == OTHER
    }
}

impl Bin {
    /// What the build held: the cgroup's usage, or where that cannot be read its processes' PSS.
    pub fn height(&self) -> ByteSize {
        self.usage.unwrap_or(self.pss)
    }
}

impl Timeline {
    /// Adds a sample that was taken so long after the start.
    fn add(&mut self, at: Duration, bin: Bin) {
        let mut index = self.index(at);
        while index >= MOST_BINS {
            self.halve();
            index = self.index(at);
        }
        if self.bins.len() <= index {
            self.bins.resize(index + 1, None);
        }
        let place = &mut self.bins[index];
        *place = Some(higher(place.take(), bin));
    }

    fn index(&self, at: Duration) -> usize {
        usize::try_from(at.as_nanos() / self.width.as_nanos().max(1)).unwrap_or(usize::MAX)
    }

    fn halve(&mut self) {
        self.width = self.width.saturating_mul(2);
        let mut pairs = std::mem::take(&mut self.bins).into_iter();
        while let Some(first) = pairs.next() {
            let both = match (first, pairs.next().flatten()) {
                (first, Some(second)) => Some(higher(first, second)),
                (first, None) => first,
            };
            self.bins.push(both);
        }
    }
}

fn higher(before: Option<Bin>, bin: Bin) -> Bin {
    match before {
        Some(before) if before.height() >= bin.height() => before,
        Some(_) | None => bin,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command_line::CommandLine;
    use crate::event::{CgroupSample, ProcessSample, PssSample};
    use crate::ids::Tgid;
    use crate::reading::Reading;
    use crate::stage_rule::StageRule;
    use crate::stages::Stages;

    /// A build of which things are told, in milliseconds after its start.
    struct Build {
        tree: ProcessTree,
        live: Live,
    }

    impl Build {
        fn new(stages: &[&str]) -> Self {
            let rules: Vec<StageRule> = stages
                .iter()
                .map(|name| StageRule {
                    name: (*name).to_owned(),
                    pattern: (*name).to_owned(),
                })
                .collect();
            Self {
                tree: ProcessTree::new(Stages::from_rules(&rules).unwrap()),
                live: Live::new(
                    BootTime::default(),
                    stages.iter().copied(),
                    ClassRules::default(),
                ),
            }
        }

        fn tell(&mut self, millis: u64, kind: EventKind) {
            let event = Event::new(BootTime::from_nanos(millis * 1_000_000), kind);
            let ended = self.tree.apply(&event);
            self.live.apply(&event, &self.tree, ended.as_ref());
        }

        fn ran(&mut self, millis: u64, tgid: u32, argv: &[&str]) {
            self.tell(
                millis,
                EventKind::Forked {
                    parent: Tgid(1),
                    child: Tgid(tgid),
                    shares_mm: false,
                },
            );
            self.tell(
                millis,
                EventKind::Execed {
                    tgid: Tgid(tgid),
                    argv: CommandLine::from_args(argv.iter().copied()),
                    ended_image: Reading::missing("not of interest"),
                },
            );
        }

        fn ended(&mut self, millis: u64, tgid: u32) {
            self.tell(
                millis,
                EventKind::Exited {
                    tgid: Tgid(tgid),
                    status: None,
                    rss_high_water: Reading::missing("not of interest"),
                },
            );
        }

        fn sampled(&mut self, millis: u64, usage: u64, held: &[(u32, u64)]) {
            let processes = held.iter().map(|(tgid, mib)| {
                let size = ByteSize::from_mib(*mib);
                ProcessSample {
                    tgid: Tgid(*tgid),
                    rss: size,
                    anon: Some(size),
                    pss: Some(PssSample {
                        total: size,
                        file: None,
                        shmem: ByteSize::ZERO,
                        rss: size,
                    }),
                }
            });
            let processes = processes.collect();
            self.tell(
                millis,
                EventKind::Sampled {
                    cgroup: Some(CgroupSample {
                        usage: ByteSize::from_mib(usage),
                        composition: None,
                    }),
                    processes,
                },
            );
        }

        fn view(&mut self, millis: u64) -> LiveView {
            let now = BootTime::from_nanos(millis * 1_000_000);
            (self.live).view(now, SortOrder::Pss, &self.tree, Facts::default())
        }
    }

    fn told(view: &LiveView) -> Vec<String> {
        let told = view.groups.iter().map(|group| {
            let Group {
                name,
                state,
                wall,
                live,
                now,
                peak,
            } = group;
            let wall = wall.map(|wall| wall.as_millis());
            format!("{name} {state:?} {wall:?} {live} {now} {peak:?}")
        });
        told.collect()
    }

    #[test]
    fn stages_wait_run_and_end_and_each_has_its_own_peak() {
        let mut build = Build::new(&["compile", "link"]);
        build.ran(0, 1, &["make"]);
        build.ran(100, 2, &["compile", "a"]);
        build.sampled(150, 40, &[(1, 1), (2, 30)]);
        insta::assert_debug_snapshot!(told(&build.view(200)), @r#"
        [
            "compile Running Some(100) 1 30.00 MiB Some(ByteSize(31457280))",
            "link Waiting None 0 0 B None",
            "(other) Running Some(200) 1 1.00 MiB Some(ByteSize(1048576))",
        ]
        "#);
        build.ended(250, 2);
        build.ran(300, 3, &["link", "b"]);
        insta::assert_debug_snapshot!(told(&build.view(400)), @r#"
        [
            "compile Over Some(150) 0 0 B Some(ByteSize(31457280))",
            "link Running Some(100) 1 0 B None",
            "(other) Running Some(400) 1 1.00 MiB Some(ByteSize(1048576))",
        ]
        "#);
        let view = build.view(400);
        assert_eq!((view.live, view.forks), (2, 3));
        assert_eq!(
            view.peak,
            Some((ByteSize::from_mib(40), Duration::from_millis(150)))
        );
    }

    #[test]
    fn without_rules_processes_are_grouped_by_what_they_run() {
        let mut build = Build::new(&[]);
        build.ran(0, 1, &["/usr/bin/make", "-j8"]);
        build.ran(10, 2, &["/usr/lib/gcc/cc1", "a.c"]);
        build.sampled(20, 50, &[(1, 2), (2, 40)]);
        let view = build.view(30);
        assert_eq!(view.grouping, Grouping::Programs);
        let named: Vec<_> = (view.groups.iter())
            .map(|group| (&*group.name, group.live))
            .collect();
        // What was forked was its parent until its exec.
        assert_eq!(named, [("make", 1), ("cc1", 1)]);
        assert_eq!(&*view.processes[0].command, "/usr/lib/gcc/cc1 a.c");
    }

    #[test]
    fn however_long_a_build_is_the_timeline_has_as_many_bins_at_the_most_and_the_highest_of_all() {
        let mut timeline = Timeline {
            width: FIRST_WIDTH,
            bins: Vec::new(),
        };
        for second in 0..20_000 {
            let usage = if second == 777 { 5000 } else { second % 100 };
            let bin = Bin {
                usage: Some(ByteSize::from_mib(usage)),
                ..Bin::default()
            };
            timeline.add(Duration::from_secs(second), bin);
        }
        assert!(timeline.bins.len() <= MOST_BINS);
        assert!(timeline.bins.len() > MOST_BINS / 2);
        let highest = (timeline.bins.iter())
            .position(|bin| {
                bin.as_ref()
                    .is_some_and(|bin| bin.height() == ByteSize::from_mib(5000))
            })
            .unwrap();
        let at = timeline.width * u32::try_from(highest).unwrap();
        let moment = Duration::from_secs(777);
        assert!(
            at <= moment && moment < at + timeline.width,
            "{at:?} {:?}",
            timeline.width
        );
    }

    proptest! {
        #[test]
        fn groups_never_hold_more_than_there_is(
            steps in prop::collection::vec((0u8..4, 1u32..6, 0u64..50), 0..60),
        ) {
            let mut build = Build::new(&["a", "b"]);
            let mut millis = 0;
            for (what, tgid, amount) in steps {
                millis += amount;
                match what {
                    0 => build.ran(millis, tgid, &["a"]),
                    1 => build.ran(millis, tgid, &["b"]),
                    2 => build.ended(millis, tgid),
                    _ => build.sampled(millis, amount, &[(tgid, amount)]),
                }
                let view = build.view(millis);
                let live: u64 = view.groups.iter().map(|group| group.live).sum();
                prop_assert!(live <= view.live);
                let sum: ByteSize = view.timeline.bins.iter().flatten().last().map_or(ByteSize::ZERO, |bin| {
                    bin.groups.iter().map(|(_, size)| *size).sum()
                });
                let last = view.timeline.bins.iter().flatten().last();
                prop_assert_eq!(sum, last.map_or(ByteSize::ZERO, |bin| bin.pss));
                prop_assert!(view.groups.iter().all(|group| group.now <= group.peak.unwrap_or(group.now)));
            }
        }
    }
}
