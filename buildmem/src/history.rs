//! Every process of a build, for views that draw them one by one: what it ran, when, below whom, and how large it was.
//! Reports do without, so that a build of a million processes needs no more room than what runs at once: who wants
//! the history asks for it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use crate::classes::ClassRules;
use crate::command_line::CommandLine;
use crate::event::{Event, EventKind, ExitStatus};
use crate::ids::{ProcessId, Tgid};
use crate::stages::StageId;
use crate::tree::{Ended, Holding, ProcessTree};
use crate::units::{BootTime, ByteSize};

/// The processes of a build, and what else happened at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The build's start.
    pub started: BootTime,
    /// The end of the build's own process; absent where the recording ends before.
    pub build_ended: Option<BootTime>,
    /// The last event: processes that outlived the measurement are drawn until here.
    pub last: BootTime,
    /// The build's peak: the sample of [`Report::peak`](crate::report::Report::peak).
    pub peak_at: Option<BootTime>,
    /// The stages in the order of their start, `(other)` last: those of the report and of the timeline.
    pub stages: Vec<String>,
    /// What processes ran, in the order of their first end.
    pub classes: Vec<String>,
    /// The processes in the order of their fork.
    pub lives: Vec<Life>,
    /// Processes that are only counted, by the nearest above them that is kept; none with [`Keep::All`].
    pub counted: BTreeMap<Option<ProcessId>, Counted>,
    /// In the order of time.
    pub marks: Vec<Mark>,
}

/// How many processes a history keeps one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// All of them.
    #[default]
    All,
    /// At least so many, some times as many at the most: the largest, the longest, those that went wrong, those at the
    /// build's peak, and who led to them. For a build of a million processes that is what there is room for.
    Most(usize),
}

/// Processes that are only counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many.
    pub processes: u64,
    /// The largest peak RSS among them; absent where none is known.
    pub largest: Option<ByteSize>,
}

impl Counted {
    /// Counts these too.
    pub fn add(&mut self, others: Self) {
        self.processes += others.processes;
        self.largest = self.largest.max(others.largest);
    }
}

/// One process, from its fork to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// Ours.
    pub id: ProcessId,
    /// The kernel's.
    pub tgid: Tgid,
    /// Who forked it; `None` for the build's own process and where that was not seen.
    pub parent: Option<(ProcessId, Tgid)>,
    /// Its place in [`History::stages`]: the stage that it was in at its end.
    pub stage: usize,
    /// Its place in [`History::classes`]: by what it ran last.
    pub class: usize,
    /// What it ran, one an exec. Where it never called exec, what its parent ran, of which it is a copy. Never empty.
    pub images: Vec<Ran>,
    /// Whether it ever called exec.
    pub execed: bool,
    /// When it was forked.
    pub started: BootTime,
    /// When it ended; `None` where that was not seen, or it outlived the measurement.
    pub ended: Option<BootTime>,
    /// The last moment at which it was there, as far as it is known: its end, or that of the measurement.
    pub seen_until: BootTime,
    /// How it ended; `None` where that was not seen.
    pub exit: Option<ExitStatus>,
    /// The highest PSS of it in a sample, and when; `None` where it never was known.
    pub highest_pss: Option<(ByteSize, BootTime)>,
    /// What it held at the build's peak; `None` when it was not there.
    pub at_peak: Option<AtPeak>,
    /// The out-of-memory killer chose it.
    pub oom_killed: bool,
}

/// One program that a process ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// When it called exec, or was forked.
    pub at: BootTime,
    /// Its command line. Equal ones are the same.
    pub argv: Rc<CommandLine>,
    /// The most that it ever had resident, as the kernel keeps it; `None` where that is not known.
    pub peak_rss: Option<ByteSize>,
}

/// What a process held at the build's peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtPeak {
    /// Its PSS; where that was never read, at least its anonymous memory; `None` where neither is known.
    pub pss: Option<ByteSize>,
    /// Its RSS; `None` when it was never read.
    pub rss: Option<ByteSize>,
}

/// Something that happened to the whole build, or to one process that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: BootTime,
    /// What.
    pub kind: MarkKind,
}

/// What a [`Mark`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// A signal reached build-mem, and was passed on to the build.
    SignalForwarded {
        /// Its number.
        signal: i32,
    },
    /// The out-of-memory killer chose a process.
    OomKilled {
        /// The process.
        process: ProcessId,
        /// The same.
        tgid: Tgid,
    },
    /// A process went to another cgroup.
    CgroupLeft {
        /// The process.
        process: ProcessId,
        /// The same.
        tgid: Tgid,
        /// Where it went.
        cgroup: String,
    },
    /// The build's own process ended.
    BuildEnded {
        /// How.
        status: ExitStatus,
    },
    /// Events were lost.
    Lost {
        /// How many.
        count: u64,
    },
}

impl Life {
    /// What it is shown as: the program with the highest RSS, and the last one where none is known.
    pub fn largest(&self) -> &Ran {
        let known = self.images.iter().filter(|ran| ran.peak_rss.is_some());
        // `images` is never empty.
        known
            .max_by_key(|ran| ran.peak_rss)
            .unwrap_or(&self.images[self.images.len() - 1])
    }

    /// The exact high-water mark of its largest program.
    pub fn peak_rss(&self) -> Option<ByteSize> {
        self.largest().peak_rss
    }

    /// How long it was there, as far as is known.
    pub const fn lifetime(&self) -> Duration {
        self.seen_until.since(self.started)
    }

    /// Whether somebody will look for it because of its end.
    pub fn went_wrong(&self) -> bool {
        self.oom_killed || matches!(self.exit, Some(ExitStatus::Signal(_)))
    }

    /// It alone, where it is only counted.
    pub fn counted(&self) -> Counted {
        Counted {
            processes: 1,
            largest: self.peak_rss(),
        }
    }
}

/// The fold from events to a history. It is told of everything that happens by the fold of the report, which has the tree.
#[derive(Debug, Default)]
pub struct HistoryFold {
    keep: Keep,
    /// Where [`Keep::Most`] thins them out next.
    crowded_at: usize,
    counted: BTreeMap<Option<ProcessId>, Counted>,
    lives: Vec<Life>,
    classes: Names,
    commands: HashSet<Rc<CommandLine>>,
    /// The highest PSS of the live processes.
    highest_pss: BTreeMap<ProcessId, (ByteSize, BootTime)>,
    oom_killed: BTreeSet<ProcessId>,
    marks: Vec<Mark>,
}

/// What is known of a build as a whole when its history ends.
#[derive(Debug)]
pub struct Frame {
    /// See [`History::started`].
    pub started: BootTime,
    /// See [`History::build_ended`].
    pub build_ended: Option<BootTime>,
    /// See [`History::last`].
    pub last: BootTime,
    /// See [`History::peak_at`].
    pub peak_at: Option<BootTime>,
    /// The stages in the order in which they are shown, with their names.
    pub stages: Vec<(Option<StageId>, String)>,
    /// Who was alive at the peak, and what each held.
    pub at_peak: Vec<(ProcessId, AtPeak)>,
}

impl HistoryFold {
    /// Begins the fold.
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            crowded_at: match keep {
                Keep::All => usize::MAX,
                Keep::Most(most) => most.saturating_mul(4),
            },
            ..Self::default()
        }
    }

    /// Whether it is time to [thin out](Self::thin_out).
    pub const fn is_crowded(&self) -> bool {
        self.lives.len() >= self.crowded_at
    }

    /// Leaves only those that matter, with all who led to them or to a live process of `tree`; the others are counted.
    /// Who is `at_peak`, as far as is known by now, matters.
    pub fn thin_out(&mut self, tree: &ProcessTree, at_peak: &BTreeSet<ProcessId>) {
        let Keep::Most(most) = self.keep else {
            return;
        };
        // Children come after their parents.
        self.lives.sort_by_key(|life| life.id);
        let lives = &self.lives;
        let mut matters: Vec<bool> = (lives.iter())
            .map(|life| at_peak.contains(&life.id))
            .collect();
        let wrong = (0..lives.len()).filter(|index| lives[*index].went_wrong());
        for index in wrong.take(most / 2) {
            matters[index] = true;
        }
        let mut ordered: Vec<usize> = (0..lives.len()).collect();
        ordered.sort_by_key(|index| Reverse(lives[*index].peak_rss()));
        for index in ordered.iter().take(most) {
            matters[*index] = true;
        }
        ordered.sort_by_key(|index| Reverse(lives[*index].lifetime()));
        for index in ordered.iter().take(most) {
            matters[*index] = true;
        }

        let id_of = |parent: Option<(ProcessId, Tgid)>| parent.map(|(id, _)| id);
        let parents_of_live = tree.live().filter_map(|process| id_of(process.parent));
        let mut parents: BTreeSet<ProcessId> = parents_of_live.collect();
        let mut kept = Vec::new();
        let lives = std::mem::take(&mut self.lives).into_iter().zip(matters);
        for (life, matters) in lives.rev() {
            if matters || parents.contains(&life.id) {
                parents.extend(id_of(life.parent));
                kept.push(life);
            } else {
                let mut counted = life.counted();
                counted.add(self.counted.remove(&Some(life.id)).unwrap_or_default());
                let above = self.counted.entry(id_of(life.parent));
                above.or_default().add(counted);
            }
        }
        kept.reverse();
        self.lives = kept;
        self.commands.retain(|argv| Rc::strong_count(argv) > 1);
        // Where nearly all of them lead to others, it would be tried at every end.
        self.crowded_at = self.crowded_at.max(2 * self.lives.len());
    }

    /// Takes in an event that `tree` has taken in already.
    pub fn apply(&mut self, event: &Event, tree: &ProcessTree) {
        let id = |tgid: &Tgid| tree.get(*tgid).map(|process| process.id);
        let kind = match &event.event {
            EventKind::SignalForwarded { signal } => {
                Some(MarkKind::SignalForwarded { signal: *signal })
            }
            EventKind::OomKilled { tgid } => {
                self.oom_killed.extend(id(tgid));
                id(tgid).map(|process| MarkKind::OomKilled {
                    process,
                    tgid: *tgid,
                })
            }
            EventKind::CgroupLeft { tgid, cgroup } => {
                id(tgid).map(|process| MarkKind::CgroupLeft {
                    process,
                    tgid: *tgid,
                    cgroup: cgroup.clone(),
                })
            }
            EventKind::BuildEnded { status } => Some(MarkKind::BuildEnded { status: *status }),
            EventKind::Lost { source: _, count } => Some(MarkKind::Lost { count: *count }),
            EventKind::Forked { .. }
            | EventKind::Execed { .. }
            | EventKind::Exited { .. }
            | EventKind::Sampled { .. }
            | EventKind::BuildStarted { .. }
            | EventKind::LeftRunning { .. }
            | EventKind::HeadlineRead { .. }
            | EventKind::StagePeakRead { .. }
            | EventKind::PressureRead(_)
            | EventKind::EscapedCgroupRead { .. }
            | EventKind::Verified { .. }
            | EventKind::MeasurementEnded(_)
            | EventKind::Noted(_) => None,
        };
        self.marks
            .extend(kind.map(|kind| Mark { at: event.at, kind }));
    }

    /// Takes in what the live processes held in a sample.
    pub fn sampled(&mut self, at: BootTime, holdings: &[Holding<'_>]) {
        for holding in holdings {
            let Some(pss) = holding.pss else {
                continue;
            };
            let highest = self
                .highest_pss
                .entry(holding.process.id)
                .or_insert((pss, at));
            if pss > highest.0 {
                *highest = (pss, at);
            }
        }
    }

    /// Takes in a process that ended, or that the measurement ended before.
    pub fn ended(&mut self, end: &Ended, rules: &ClassRules) {
        let Ended {
            process,
            at,
            seen,
            status,
        } = end;
        let execed = process.has_execed();
        let images = process.images.iter().skip(usize::from(execed));
        let images = images
            .map(|image| Ran {
                at: image.at,
                argv: self.interned(&image.argv),
                peak_rss: image
                    .rss_high_water
                    .as_ref()
                    .and_then(|reading| reading.value().copied()),
            })
            .collect();
        self.lives.push(Life {
            id: process.id,
            tgid: process.tgid,
            parent: process.parent,
            stage: stage_number(process.stage.stage()),
            class: self.classes.number(&rules.class(process.argv())),
            images,
            execed,
            started: process.started,
            ended: seen.then_some(*at),
            seen_until: *at,
            exit: *status,
            highest_pss: self.highest_pss.remove(&process.id),
            at_peak: None,
            oom_killed: self.oom_killed.remove(&process.id),
        });
    }

    /// The same command line, kept once.
    fn interned(&mut self, argv: &Rc<CommandLine>) -> Rc<CommandLine> {
        if let Some(kept) = self.commands.get(argv) {
            return Rc::clone(kept);
        }
        self.commands.insert(Rc::clone(argv));
        Rc::clone(argv)
    }

    /// The history, of a build of which every process was told.
    pub fn finish(self, frame: Frame) -> History {
        let Frame {
            started,
            build_ended,
            last,
            peak_at,
            stages,
            at_peak,
        } = frame;
        let mut lives = self.lives;
        lives.sort_by_key(|life| life.id);
        let shown_as: BTreeMap<usize, usize> = (stages.iter().enumerate())
            .map(|(shown, (id, _))| (stage_number(*id), shown))
            .collect();
        for life in &mut lives {
            // Every stage of a process is among those that are shown; should it not be, those in none are the last.
            let other = stages.len().saturating_sub(1);
            life.stage = shown_as.get(&life.stage).copied().unwrap_or(other);
        }
        for (id, held) in at_peak {
            if let Ok(index) = lives.binary_search_by_key(&id, |life| life.id) {
                lives[index].at_peak = Some(held);
            }
        }
        History {
            started,
            build_ended,
            last,
            peak_at,
            stages: stages.into_iter().map(|(_, name)| name).collect(),
            classes: self.classes.names,
            lives,
            counted: self.counted,
            marks: self.marks,
        }
    }
}

/// Names by their numbers, each once.
#[derive(Debug, Default)]
struct Names {
    names: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Names {
    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len();
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }
}

/// A stage's number while the order in which stages are shown is not known yet; 0 for none.
fn stage_number(stage: Option<StageId>) -> usize {
    stage.map_or(0, |id| id.index() + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::ProcessSample;
    use crate::reading::Reading;
    use crate::stage_rule::StageRule;
    use crate::stages::Stages;

    const ROOT: Tgid = Tgid(10);
    const CHILD: Tgid = Tgid(11);

    fn mib(mib: u64) -> ByteSize {
        ByteSize::from_mib(mib)
    }

    fn forked(parent: u32, child: Tgid) -> EventKind {
        EventKind::Forked {
            parent: Tgid(parent),
            child,
            shares_mm: false,
        }
    }

    fn execed(tgid: Tgid, program: &str, ended_mib: u64) -> EventKind {
        EventKind::Execed {
            tgid,
            argv: CommandLine::from_args([program]),
            ended_image: Reading::known(mib(ended_mib), "test"),
        }
    }

    fn exited(tgid: Tgid, peak: Option<u64>) -> EventKind {
        EventKind::Exited {
            tgid,
            status: Some(ExitStatus::Code(0)),
            rss_high_water: peak.map_or_else(
                || Reading::missing("test"),
                |peak| Reading::known(mib(peak), "test"),
            ),
        }
    }

    fn sampled(tgid: Tgid, anon: u64) -> EventKind {
        EventKind::Sampled {
            cgroup: None,
            processes: vec![ProcessSample {
                tgid,
                rss: mib(anon),
                anon: Some(mib(anon)),
                pss: None,
            }],
        }
    }

    /// The history of these events, one a nanosecond.
    fn history(events: &[EventKind]) -> History {
        history_of(Keep::All, events)
    }

    fn history_of(keep: Keep, events: &[EventKind]) -> History {
        let stages = Stages::from_rules(&[StageRule {
            name: "compile".into(),
            pattern: "^cc$".into(),
        }]);
        let mut tree = ProcessTree::new(stages.unwrap());
        let mut fold = HistoryFold::new(keep);
        let rules = ClassRules::default();
        for (kind, nanos) in events.iter().zip(0..) {
            let event = Event::new(BootTime::from_nanos(nanos), kind.clone());
            let ended = tree.apply(&event);
            fold.apply(&event, &tree);
            if let EventKind::Sampled { .. } = kind {
                fold.sampled(event.at, &tree.holdings());
            }
            if let Some(ended) = ended {
                fold.ended(&ended, &rules);
            }
            if fold.is_crowded() {
                fold.thin_out(&tree, &BTreeSet::new());
            }
        }
        fold.finish(Frame {
            started: BootTime::default(),
            build_ended: None,
            last: BootTime::from_nanos(events.len() as u64),
            peak_at: None,
            stages: vec![
                (Some(StageId::for_test(0)), "compile".into()),
                (None, "(other)".into()),
            ],
            at_peak: Vec::new(),
        })
    }

    #[test]
    fn processes_are_told_in_the_order_of_their_fork_whoever_ends_first() {
        let History { lives, .. } = history(&[
            forked(1, ROOT),
            execed(ROOT, "make", 1),
            forked(10, CHILD),
            execed(CHILD, "cc", 1),
            exited(CHILD, Some(40)),
            exited(ROOT, Some(7)),
        ]);
        let told: Vec<_> = (lives.iter())
            .map(|life| (life.tgid, life.parent, life.stage, life.started.nanos()))
            .collect();
        let root = Some((lives[0].id, ROOT));
        assert_eq!(told, [(ROOT, None, 1, 0), (CHILD, root, 0, 2)]);
    }

    #[test]
    fn what_a_process_had_before_its_first_exec_is_not_its_own() {
        let History { lives, .. } = history(&[
            forked(1, ROOT),
            execed(ROOT, "sh", 900),
            execed(ROOT, "cc", 3),
            forked(10, CHILD),
            exited(CHILD, Some(2)),
            exited(ROOT, Some(50)),
        ]);
        let peaks = |life: &Life| -> Vec<(u64, String, Option<ByteSize>)> {
            let ran = life.images.iter();
            ran.map(|ran| (ran.at.nanos(), ran.argv.display(), ran.peak_rss))
                .collect()
        };
        let own = [
            (1, "sh".to_owned(), Some(mib(3))),
            (2, "cc".to_owned(), Some(mib(50))),
        ];
        assert_eq!(peaks(&lives[0]), own);
        assert_eq!(lives[0].peak_rss(), Some(mib(50)));
        // A copy that runs no program of its own is called as what it is a copy of.
        assert!(!lives[1].execed);
        assert_eq!(peaks(&lives[1]), [(3, "cc".to_owned(), Some(mib(2)))]);
    }

    #[test]
    fn equal_command_lines_are_kept_once() {
        let History { lives, classes, .. } = history(&[
            forked(1, ROOT),
            forked(10, CHILD),
            execed(ROOT, "cc", 1),
            execed(CHILD, "cc", 1),
            exited(ROOT, None),
            exited(CHILD, None),
        ]);
        let argv = |life: &Life| Rc::clone(&life.largest().argv);
        assert!(Rc::ptr_eq(&argv(&lives[0]), &argv(&lives[1])));
        assert_eq!(classes, ["cc"]);
        assert_eq!(lives[0].peak_rss(), None);
    }

    #[test]
    fn the_highest_pss_of_a_process_is_that_of_any_sample() {
        let History { lives, .. } = history(&[
            forked(1, ROOT),
            sampled(ROOT, 5),
            sampled(ROOT, 80),
            sampled(ROOT, 20),
            exited(ROOT, Some(90)),
        ]);
        let highest = (mib(80), BootTime::from_nanos(2));
        assert_eq!(lives[0].highest_pss, Some(highest));
    }

    proptest! {
        #[test]
        fn a_history_that_is_thinned_out_loses_no_process_and_no_parent(
            told in prop::collection::vec((0..6_u32, any::<bool>(), 0..30_u64), 1..200),
            most in 1..4_usize,
        ) {
            let mut events = vec![forked(1, ROOT)];
            let mut live = vec![ROOT];
            for ((of, is_end, mib), tgid) in told.into_iter().zip(100..) {
                let of = of as usize % live.len();
                if is_end && live.len() > 1 {
                    events.push(exited(live.remove(of), Some(mib)));
                } else {
                    events.push(forked(live[of].0, Tgid(tgid)));
                    live.push(Tgid(tgid));
                }
            }
            events.extend(live.into_iter().map(|tgid| exited(tgid, Some(1))));
            let all = history(&events);
            let History { lives, counted, .. } = history_of(Keep::Most(most), &events);
            let not_kept: u64 = counted.values().map(|counted| counted.processes).sum();
            prop_assert_eq!(lives.len() as u64 + not_kept, all.lives.len() as u64);
            let is_kept = |id: ProcessId| lives.iter().any(|life| life.id == id);
            for life in &lives {
                prop_assert!(life.parent.is_none_or(|(parent, _)| is_kept(parent)));
            }
            prop_assert!(counted.keys().flatten().all(|above| is_kept(*above)));
            let largest = |lives: &[Life]| lives.iter().filter_map(Life::peak_rss).max();
            prop_assert_eq!(largest(&lives), largest(&all.lives));
        }
    }

    #[test]
    fn of_many_small_ones_most_are_only_counted() {
        let mut events = vec![forked(1, ROOT)];
        for tgid in (100..1100).map(Tgid) {
            events.extend([forked(10, tgid), exited(tgid, Some(2))]);
        }
        events.push(exited(ROOT, Some(1)));
        let History { lives, counted, .. } = history_of(Keep::Most(10), &events);
        assert!(lives.len() <= 40, "{}", lives.len());
        let below_root = Counted {
            processes: 1001 - lives.len() as u64,
            largest: Some(mib(2)),
        };
        assert_eq!(counted, BTreeMap::from([(Some(lives[0].id), below_root)]));
    }

    #[test]
    fn what_happened_to_the_build_is_marked_with_who_it_befell() {
        let History { lives, marks, .. } = history(&[
            forked(1, ROOT),
            EventKind::OomKilled { tgid: ROOT },
            EventKind::SignalForwarded { signal: 15 },
            exited(ROOT, Some(1)),
        ]);
        let kinds: Vec<MarkKind> = marks.into_iter().map(|mark| mark.kind).collect();
        assert_eq!(
            kinds,
            [
                MarkKind::OomKilled {
                    process: lives[0].id,
                    tgid: ROOT
                },
                MarkKind::SignalForwarded { signal: 15 }
            ]
        );
        assert!(lives[0].oom_killed);
    }
}
