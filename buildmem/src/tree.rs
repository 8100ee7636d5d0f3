//! The processes of a build, by folding events. It keeps those that are alive: what has ended is handed to
//! the caller, so that a build of a million processes needs no more room than what runs at once.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::command_line::CommandLine;
use crate::event::{Event, EventKind, ExitStatus, ProcessSample, PssSample};
use crate::ids::{ProcessId, Tgid};
use crate::reading::Reading;
use crate::stages::{StageId, StageOf, Stages};
use crate::units::{BootTime, ByteSize};

/// The live processes of a build, with what is known of each.
#[derive(Debug)]
pub struct ProcessTree {
    stages: Stages,
    live: BTreeMap<Tgid, Process>,
    next_id: u32,
    next_family: u32,
    counts: Counts,
    anomalies: Anomalies,
}

/// How many of what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Processes made, the build's own included.
    pub forks: u64,
    /// Programs started.
    pub execs: u64,
    /// Processes that ended.
    pub exits: u64,
    /// Most processes alive at once.
    pub peak_live: u64,
}

/// Events that did not fit what was known: signs of something lost, kept beside the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anomalies {
    /// Processes that were first heard of by something else than their fork.
    pub adopted: u64,
    /// Processes whose number was given to another before their end was seen.
    pub end_unseen: u64,
}

/// One process of the build.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// Ours.
    pub id: ProcessId,
    /// The kernel's.
    pub tgid: Tgid,
    /// Who forked it; `None` for the build's own process and where that was not seen.
    pub parent: Option<(ProcessId, Tgid)>,
    /// When it was forked.
    pub started: BootTime,
    /// What it ran, one image an exec; the first is its parent's, until its first exec. Never empty.
    pub images: Vec<Image>,
    /// Its stage.
    pub stage: StageOf,
    /// Its RSS in the last sample that told it.
    pub rss: Option<ByteSize>,
    /// Anonymous part of `rss`, where the sample told it.
    pub anon: Option<ByteSize>,
    /// The rest of `rss`, as it was when PSS was last read.
    file_rss_at_read: Option<ByteSize>,
    /// Its PSS as it was last read, and when.
    pub pss: Option<(BootTime, PssSample)>,
    /// When its pages last began or ceased to be shared with a relative: a PSS read before is out of date.
    pub sharing_changed: BootTime,
    /// Who it may share its private pages with: those that came from one image by fork alone.
    family: Family,
    /// It runs in its parent's address space until its first exec: its memory is its parent's.
    pub shares_mm: bool,
}

/// The copies of one image: fork makes another one of it, exec begins a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Family(u32);

/// One program that a process ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// When it began: by exec, and the first by fork.
    pub at: BootTime,
    /// Its command line.
    pub argv: Rc<CommandLine>,
    /// The most that it ever had resident; `None` while it runs.
    pub rss_high_water: Option<Reading<ByteSize>>,
}

/// What a live process holds.
#[derive(Clone, Copy, Debug)]
pub struct Holding<'tree> {
    /// The process.
    pub process: &'tree Process,
    /// Its PSS now, as well as it is known; `None` where it was never read, nor that of a copy.
    pub pss: Option<ByteSize>,
    /// The part of it that is of files, as far as it is known.
    pub file: ByteSize,
    /// Nothing that changed since it was read makes it wrong, but new pages that it has in common with others.
    pub up_to_date: bool,
}

/// A process that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// As it was at its end.
    pub process: Process,
    /// When that was.
    pub at: BootTime,
    /// Its end was seen: else it outlived the measurement, or its number was given to another process.
    pub seen: bool,
    /// How it ended; `None` when that was not seen.
    pub status: Option<ExitStatus>,
}

/// The pages of files that a process has resident.
struct MovedFiles {
    /// When PSS was read.
    then: ByteSize,
    /// In the last sample.
    now: ByteSize,
    /// The PSS that they have now, as well as it is known.
    pss: ByteSize,
    /// The PSS that they had when it was read.
    read: ByteSize,
}

impl Process {
    /// What it runs now.
    pub fn argv(&self) -> &Rc<CommandLine> {
        &self.image().argv
    }

    /// Whether it has called exec.
    pub fn has_execed(&self) -> bool {
        self.images.len() > 1
    }

    /// The image with the highest own RSS, and that figure.
    ///
    /// What a process had between its fork and its first exec is a copy of its parent, and does not count
    /// unless it never called exec.
    pub fn largest_image(&self) -> Option<(&Rc<CommandLine>, ByteSize)> {
        let own = if self.has_execed() {
            &self.images[1..]
        } else {
            &self.images[..]
        };
        own.iter()
            .filter_map(|image| Some((&image.argv, *image.rss_high_water.as_ref()?.value()?)))
            .max_by_key(|(_, high_water)| *high_water)
    }

    /// Its PSS now, as well as it is known: as last read, moved by what its RSS changed since. New anonymous pages are
    /// taken to be its own, and new pages of files to be shared as those that it had.
    pub fn current_pss(&self) -> Option<ByteSize> {
        let (_, read) = self.pss?;
        let rss = self.rss.unwrap_or(read.rss);
        let (more, less) = self.moved_files().map_or_else(
            || (ByteSize::ZERO, ByteSize::ZERO),
            |MovedFiles {
                 then,
                 now,
                 pss,
                 read,
             }| (then + pss, now + read),
        );
        Some((read.total + rss + more).saturating_sub(read.rss + less))
    }

    /// The part of [`current_pss`](Self::current_pss) that is of files.
    fn current_pss_file(&self) -> ByteSize {
        let read = self.pss.and_then(|(_, read)| read.file).unwrap_or_default();
        let now = self.moved_files().map_or(read, |files| files.pss);
        // Less where the process has given back so much that not all of it can be left.
        now.min(self.current_pss().unwrap_or_default())
    }

    /// Its pages of files when PSS was read and now, where the samples told them.
    fn moved_files(&self) -> Option<MovedFiles> {
        let (_, read) = self.pss?;
        let (read, then, now) = (read.file?, self.file_rss_at_read?, self.file_rss()?);
        let pss = if then == ByteSize::ZERO {
            read + now
        } else {
            read.scaled(now, then)
        };
        Some(MovedFiles {
            then,
            now,
            pss,
            read,
        })
    }

    /// Resident pages that are not anonymous.
    fn file_rss(&self) -> Option<ByteSize> {
        Some(self.rss?.saturating_sub(self.anon?))
    }

    /// The part of [`current_pss`](Self::current_pss) that the cgroup counts as shmem.
    pub fn current_pss_shmem(&self) -> ByteSize {
        self.pss.map_or(ByteSize::ZERO, |(_, read)| read.shmem)
    }

    fn image(&self) -> &Image {
        // `images` is filled at creation and only ever grows.
        &self.images[self.images.len() - 1]
    }

    fn end_image(&mut self, high_water: Reading<ByteSize>) {
        if let Some(image) = self.images.last_mut() {
            image.rss_high_water = Some(high_water);
        }
    }
}

impl ProcessTree {
    /// An empty tree, in which processes get their stage from `stages`.
    pub const fn new(stages: Stages) -> Self {
        Self {
            stages,
            live: BTreeMap::new(),
            next_id: 0,
            next_family: 0,
            counts: Counts {
                forks: 0,
                execs: 0,
                exits: 0,
                peak_live: 0,
            },
            anomalies: Anomalies {
                adopted: 0,
                end_unseen: 0,
            },
        }
    }

    /// Takes in one event. Cannot fail: an event about an unknown process adopts it.
    ///
    /// Returns the process that ended by it, if one did.
    pub fn apply(&mut self, event: &Event) -> Option<Ended> {
        let at = event.at;
        match &event.event {
            EventKind::Forked {
                parent,
                child,
                shares_mm,
            } => return self.forked(at, *parent, *child, *shares_mm),
            EventKind::Execed {
                tgid,
                argv,
                ended_image,
            } => {
                self.counts.execs += 1;
                self.execed(at, *tgid, argv, ended_image);
            }
            EventKind::Exited {
                tgid,
                status,
                rss_high_water,
            } => {
                self.counts.exits += 1;
                return self
                    .exited(at, *tgid, *status, rss_high_water.clone())
                    .map(|ended| Ended {
                        seen: true,
                        ..ended
                    });
            }
            EventKind::Sampled {
                cgroup: _,
                processes,
            } => {
                for sample in processes {
                    self.sampled(at, sample);
                }
            }
            EventKind::OomKilled { tgid } | EventKind::CgroupLeft { tgid, cgroup: _ } => {
                self.known(at, *tgid);
            }
            EventKind::LeftRunning {
                tgid,
                rss_high_water,
            } => {
                // It is still alive, but this is all that will be known of it.
                return self.exited(at, *tgid, None, rss_high_water.clone());
            }
            EventKind::Lost { .. }
            | EventKind::BuildStarted { .. }
            | EventKind::SignalForwarded { .. }
            | EventKind::BuildEnded { .. }
            | EventKind::HeadlineRead { .. }
            | EventKind::StagePeakRead { .. }
            | EventKind::PressureRead(_)
            | EventKind::EscapedCgroupRead { .. }
            | EventKind::Verified { .. }
            | EventKind::MeasurementEnded(_)
            | EventKind::Noted(_) => {}
        }
        None
    }

    /// The live processes in the order of their tgids.
    pub fn live(&self) -> impl ExactSizeIterator<Item = &Process> {
        self.live.values()
    }

    /// The live processes with the PSS of each now, as well as it is known.
    ///
    /// A copy of an image whose own reading is missing or out of date is taken to hold the same part of its RSS
    /// as a copy that was read since: the pages that they have in common are in equal parts theirs. A process that
    /// was never read has at least its anonymous memory.
    pub fn holdings(&self) -> Vec<Holding<'_>> {
        let mut read = BTreeMap::new();
        let mut copies: BTreeMap<Family, u64> = BTreeMap::new();
        for process in self.live.values() {
            *copies.entry(process.family).or_default() += 1;
            if let Some((at, sample)) = process.pss
                && at >= process.sharing_changed
                && sample.rss > ByteSize::ZERO
            {
                let latest = read.entry(process.family).or_insert((at, sample));
                if at > latest.0 {
                    *latest = (at, sample);
                }
            }
        }
        let mut holdings = Vec::with_capacity(self.live.len());
        for process in self.live.values() {
            let own = process
                .pss
                .is_some_and(|(at, _)| at >= process.sharing_changed);
            let (pss, file, up_to_date) = match (read.get(&process.family), process.rss) {
                (Some((_, like)), Some(rss)) if !own => {
                    let part = |of: ByteSize| rss.scaled(of, like.rss);
                    let file = like.file.unwrap_or_default();
                    (Some(part(like.total)), part(file), true)
                }
                // Never read, and no copy of another: its anonymous memory is its own, and that is the least.
                _ if process.pss.is_none() && copies.get(&process.family) == Some(&1) => {
                    (process.anon, ByteSize::ZERO, false)
                }
                _ => (process.current_pss(), process.current_pss_file(), own),
            };
            holdings.push(Holding {
                process,
                pss,
                file,
                up_to_date,
            });
        }
        holdings
    }

    /// The live process with this number.
    pub fn get(&self, tgid: Tgid) -> Option<&Process> {
        self.live.get(&tgid)
    }

    /// The stages and their names.
    pub const fn stages(&self) -> &Stages {
        &self.stages
    }

    /// How many of what was seen.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// What did not fit.
    pub const fn anomalies(&self) -> Anomalies {
        self.anomalies
    }

    /// The stages that have a live process.
    pub fn live_stages(&self) -> BTreeSet<StageId> {
        self.live
            .values()
            .filter_map(|process| process.stage.stage())
            .collect()
    }

    /// The stage of highest precedence that has a live process.
    pub fn current_stage(&self) -> Option<StageId> {
        self.live
            .values()
            .filter_map(|process| process.stage.stage())
            .min_by_key(|stage| self.stages.rank(*stage))
    }

    fn forked(
        &mut self,
        at: BootTime,
        parent: Tgid,
        child: Tgid,
        shares_mm: bool,
    ) -> Option<Ended> {
        self.counts.forks += 1;
        // The number is free again, so its last owner has ended, whether we saw it or not.
        let unseen = self.live.remove(&child).map(|process| {
            self.anomalies.end_unseen += 1;
            Ended {
                process,
                at,
                seen: false,
                status: None,
            }
        });
        // The build's own process is forked by build-mem, which is no part of the build.
        let is_root = self.next_id == 0;
        // A process that forks itself is no kernel's doing, but a recording may say so.
        if !is_root && parent != child {
            self.known(at, parent);
        }
        let id = take_id(&mut self.next_id);
        let (origin, argv, inherited, family) = match self.live.get(&parent) {
            Some(parent) => (
                Some((parent.id, parent.tgid)),
                Rc::clone(parent.argv()),
                Some(parent.stage),
                // After vfork there is no copy: the parent's memory stays what it was.
                (!shares_mm).then_some(parent.family),
            ),
            None => (None, Rc::default(), None, None),
        };
        let family = match family {
            Some(family) => {
                self.change_sharing(at, family);
                family
            }
            None => self.take_family(),
        };
        let stage = self.stages.at_fork(id, inherited);
        let process = Process::new(id, child, origin, at, argv, stage, family);
        self.insert(Process {
            shares_mm,
            ..process
        });
        unseen
    }

    fn execed(
        &mut self,
        at: BootTime,
        tgid: Tgid,
        argv: &CommandLine,
        ended_image: &Reading<ByteSize>,
    ) {
        self.known(at, tgid);
        let family = self.take_family();
        let Some(process) = self.live.get_mut(&tgid) else {
            return;
        };
        process.stage = self.stages.at_exec(process.stage, argv);
        process.end_image(ended_image.clone());
        process.images.push(Image {
            at,
            argv: Rc::new(argv.clone()),
            rss_high_water: None,
        });
        process.shares_mm = false;
        // Another program: nothing that was measured of the last one holds.
        process.rss = None;
        process.anon = None;
        process.file_rss_at_read = None;
        process.pss = None;
        process.sharing_changed = at;
        let left = std::mem::replace(&mut process.family, family);
        self.change_sharing(at, left);
    }

    fn exited(
        &mut self,
        at: BootTime,
        tgid: Tgid,
        status: Option<ExitStatus>,
        high_water: Reading<ByteSize>,
    ) -> Option<Ended> {
        self.known(at, tgid);
        let mut process = self.live.remove(&tgid)?;
        process.end_image(high_water);
        self.change_sharing(at, process.family);
        Some(Ended {
            process,
            at,
            seen: false,
            status,
        })
    }

    fn sampled(&mut self, at: BootTime, sample: &ProcessSample) {
        // A process may end between being looked at and being told of: that is no anomaly.
        let Some(process) = self.live.get_mut(&sample.tgid) else {
            return;
        };
        process.rss = Some(sample.rss);
        process.anon = sample.anon;
        if let Some(pss) = sample.pss {
            process.pss = Some((at, pss));
            process.file_rss_at_read = process.file_rss();
        }
    }

    /// One more or one less shares the pages of these: each one's part of them is another now.
    fn change_sharing(&mut self, at: BootTime, family: Family) {
        for process in self.live.values_mut() {
            if process.family == family {
                process.sharing_changed = at;
            }
        }
    }

    const fn take_family(&mut self) -> Family {
        let family = Family(self.next_family);
        self.next_family = self.next_family.wrapping_add(1);
        family
    }

    /// The live process with this number, adopted where its fork was not seen.
    fn known(&mut self, at: BootTime, tgid: Tgid) -> &mut Process {
        let live = self.live.len() as u64;
        let family = self.take_family();
        match self.live.entry(tgid) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                self.anomalies.adopted += 1;
                self.counts.peak_live = self.counts.peak_live.max(live + 1);
                let id = take_id(&mut self.next_id);
                let stage = self.stages.at_fork(id, None);
                place.insert(Process::new(
                    id,
                    tgid,
                    None,
                    at,
                    Rc::default(),
                    stage,
                    family,
                ))
            }
        }
    }

    fn insert(&mut self, process: Process) {
        self.live.insert(process.tgid, process);
        self.counts.peak_live = self.counts.peak_live.max(self.live.len() as u64);
    }
}

fn take_id(next: &mut u32) -> ProcessId {
    let id = ProcessId(*next);
    *next = next.saturating_add(1);
    id
}

impl Process {
    fn new(
        id: ProcessId,
        tgid: Tgid,
        parent: Option<(ProcessId, Tgid)>,
        started: BootTime,
        argv: Rc<CommandLine>,
        stage: StageOf,
        family: Family,
    ) -> Self {
        Self {
            id,
            tgid,
            parent,
            started,
            images: vec![Image {
                at: started,
                argv,
                rss_high_water: None,
            }],
            stage,
            rss: None,
            anon: None,
            file_rss_at_read: None,
            pss: None,
            sharing_changed: started,
            family,
            shares_mm: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at(nanos: u64, kind: EventKind) -> Event {
        Event::new(BootTime::from_nanos(nanos), kind)
    }

    fn forked(parent: u32, child: u32) -> EventKind {
        EventKind::Forked {
            parent: Tgid(parent),
            child: Tgid(child),
            shares_mm: false,
        }
    }

    fn execed(tgid: u32, args: &[&str], ended_mib: u64) -> EventKind {
        EventKind::Execed {
            tgid: Tgid(tgid),
            argv: CommandLine::from_args(args.iter().copied()),
            ended_image: Reading::known(ByteSize::from_mib(ended_mib), "test"),
        }
    }

    fn exited(tgid: u32, mib: u64) -> EventKind {
        EventKind::Exited {
            tgid: Tgid(tgid),
            status: Some(ExitStatus::Code(0)),
            rss_high_water: Reading::known(ByteSize::from_mib(mib), "test"),
        }
    }

    fn fold(events: &[EventKind]) -> (ProcessTree, Vec<Ended>) {
        let mut tree = ProcessTree::new(Stages::none());
        let ended = events
            .iter()
            .zip(0..)
            .filter_map(|(kind, nanos)| tree.apply(&at(nanos, kind.clone())))
            .collect();
        (tree, ended)
    }

    #[test]
    fn a_reused_tgid_starts_a_new_process() {
        let (tree, ended) = fold(&[forked(1, 10), forked(10, 11), exited(11, 1), forked(10, 11)]);
        assert_eq!(tree.counts().forks, 3);
        assert_ne!(tree.get(Tgid(11)).unwrap().id, ended[0].process.id);
        assert_eq!(tree.anomalies(), Anomalies::default());
    }

    #[test]
    fn a_reused_tgid_whose_first_end_was_lost_ends_it_and_says_so() {
        let (tree, ended) = fold(&[forked(1, 10), forked(10, 11), forked(10, 11)]);
        assert_eq!((ended.len(), ended[0].status), (1, None));
        assert_eq!(tree.anomalies().end_unseen, 1);
    }

    #[test]
    fn memory_belongs_to_the_image_that_held_it() {
        let (_, ended) = fold(&[
            forked(1, 10),
            execed(10, &["sh", "-c", "exec cc1plus"], 400),
            execed(10, &["cc1plus"], 3),
            exited(10, 90),
        ]);
        let (argv, peak) = ended[0].process.largest_image().unwrap();
        assert_eq!(
            (argv.program().as_ref(), peak),
            ("cc1plus", ByteSize::from_mib(90))
        );
    }

    #[test]
    fn a_process_that_never_execs_is_called_as_its_parent() {
        let (tree, _) = fold(&[forked(1, 10), execed(10, &["make"], 1), forked(10, 11)]);
        let child = tree.get(Tgid(11)).unwrap();
        assert_eq!(child.argv().program(), "make");
        assert!(!child.has_execed());
    }

    #[test]
    fn pss_moves_with_rss_between_two_reads() {
        let sample = |rss, pss| EventKind::Sampled {
            cgroup: None,
            processes: vec![ProcessSample {
                tgid: Tgid(10),
                rss: ByteSize::from_mib(rss),
                anon: None,
                pss,
            }],
        };
        let read = PssSample {
            total: ByteSize::from_mib(60),
            file: None,
            shmem: ByteSize::ZERO,
            rss: ByteSize::from_mib(100),
        };
        let (tree, _) = fold(&[forked(1, 10), sample(100, Some(read)), sample(130, None)]);
        assert_eq!(
            tree.get(Tgid(10)).unwrap().current_pss(),
            Some(ByteSize::from_mib(90))
        );
    }

    #[test]
    fn files_that_are_mapped_after_a_read_are_no_anonymous_memory() {
        let mib = ByteSize::from_mib;
        let sample = |rss, anon, pss| EventKind::Sampled {
            cgroup: None,
            processes: vec![ProcessSample {
                tgid: Tgid(10),
                rss: mib(rss),
                anon: Some(mib(anon)),
                pss,
            }],
        };
        let read = PssSample {
            total: mib(8),
            file: Some(mib(4)),
            shmem: ByteSize::ZERO,
            rss: mib(10),
        };
        let (tree, _) = fold(&[
            forked(1, 10),
            sample(10, 4, Some(read)),
            // 15 MiB of files more, of which two thirds are its part, and 20 of its own.
            sample(45, 24, None),
        ]);
        let holding = &tree.holdings()[0];
        assert_eq!((holding.pss, holding.file), (Some(mib(38)), mib(14)));
    }

    #[test]
    fn a_process_that_was_never_read_holds_at_least_its_anonymous_memory() {
        let (rss, anon) = (ByteSize::from_mib(70), Some(ByteSize::from_mib(40)));
        let sample = EventKind::Sampled {
            cgroup: None,
            processes: vec![ProcessSample {
                tgid: Tgid(10),
                rss,
                anon,
                pss: None,
            }],
        };
        let (tree, _) = fold(&[forked(1, 10), sample.clone()]);
        assert_eq!(tree.holdings()[0].pss, anon);
        // Of a copy it may be another's as well.
        let (tree, _) = fold(&[forked(1, 10), sample, forked(10, 11)]);
        assert_eq!(tree.holdings()[0].pss, None);
    }

    #[test]
    fn a_copy_that_was_not_read_holds_the_same_part_as_one_that_was() {
        let rss = ByteSize::from_mib(200);
        let sample = |tgid, pss| ProcessSample {
            tgid: Tgid(tgid),
            rss,
            anon: None,
            pss,
        };
        let half = PssSample {
            total: ByteSize::from_mib(100),
            file: None,
            shmem: ByteSize::ZERO,
            rss,
        };
        let (tree, _) = fold(&[
            forked(1, 10),
            EventKind::Sampled {
                cgroup: None,
                processes: vec![sample(10, Some(PssSample { total: rss, ..half }))],
            },
            forked(10, 11),
            EventKind::Sampled {
                cgroup: None,
                processes: vec![sample(10, None), sample(11, Some(half))],
            },
        ]);
        let held: Vec<Option<ByteSize>> = tree
            .holdings()
            .into_iter()
            .map(|holding| holding.pss)
            .collect();
        assert_eq!(held, [Some(half.total); 2]);
    }

    #[test]
    fn a_child_that_stops_sharing_makes_its_parents_pss_out_of_date() {
        let (tree, _) = fold(&[
            forked(1, 10),
            forked(10, 11),
            execed(11, &["cc"], 1),
            exited(11, 1),
        ]);
        // The exec at 2 ends the sharing, the exit at 3 changes nothing more.
        assert_eq!(
            tree.get(Tgid(10)).unwrap().sharing_changed,
            BootTime::from_nanos(2)
        );
    }

    #[test]
    fn a_fork_makes_the_pss_of_all_copies_of_the_image_out_of_date_and_of_no_other_process() {
        let (tree, _) = fold(&[
            forked(1, 10),
            execed(10, &["sh"], 1),
            forked(10, 11),
            forked(10, 12),
            execed(12, &["cc"], 1),
            forked(11, 13),
        ]);
        let changed = |tgid| tree.get(Tgid(tgid)).unwrap().sharing_changed.nanos();
        // The parent and the sibling of a process whose child was forked at 5 share its pages; `cc` does not.
        assert_eq!([10, 11, 12, 13].map(changed), [5, 5, 4, 5]);
    }

    #[test]
    fn a_vfork_leaves_the_parents_pss_as_it_is() {
        let vforked = EventKind::Forked {
            parent: Tgid(10),
            child: Tgid(11),
            shares_mm: true,
        };
        let (tree, _) = fold(&[
            forked(1, 10),
            vforked,
            execed(11, &["cc"], 1),
            exited(11, 1),
        ]);
        assert_eq!(
            tree.get(Tgid(10)).unwrap().sharing_changed,
            BootTime::from_nanos(0)
        );
    }

    fn any_event() -> impl Strategy<Value = EventKind> {
        let tgid = 1..5_u32;
        prop_oneof![
            (tgid.clone(), tgid.clone()).prop_map(|(parent, child)| forked(parent, child)),
            tgid.clone().prop_map(|tgid| execed(tgid, &["x"], 1)),
            tgid.clone().prop_map(|tgid| exited(tgid, 1)),
            tgid.prop_map(|tgid| EventKind::OomKilled { tgid: Tgid(tgid) }),
        ]
    }

    proptest! {
        #[test]
        fn any_events_give_a_forest_in_which_no_process_is_lost(
            events in prop::collection::vec(any_event(), 0..60)
        ) {
            let (tree, ended) = fold(&events);
            let all: Vec<&Process> = tree.live().chain(ended.iter().map(|end| &end.process)).collect();
            let ids: BTreeSet<ProcessId> = all.iter().map(|process| process.id).collect();
            prop_assert_eq!(ids.len(), all.len(), "an id was given twice");
            for process in &all {
                if let Some((parent, _)) = process.parent {
                    // Parents come before their children, so there are no cycles.
                    prop_assert!(parent < process.id);
                    prop_assert!(ids.contains(&parent));
                }
            }
            let made = tree.counts().forks + tree.anomalies().adopted;
            prop_assert_eq!(made, all.len() as u64);
            prop_assert!(tree.counts().peak_live >= tree.live().len() as u64);
        }
    }
}
