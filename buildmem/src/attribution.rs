//! Who held the memory, and when: the report of a build, by folding its events.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use crate::classes::{ClassRules, Classes};
use crate::command_line::CommandLine;
use crate::event::{
    CgroupComposition, CgroupFaults, CgroupPressure, CgroupSample, Event, EventKind, ExitStatus,
    Note, ProfilerCost, VerifyCheck,
};
use crate::handed_over::HandedOver;
use crate::history::{AtPeak, Frame, History, HistoryFold, Keep};
use crate::ids::{ProcessId, Tgid};
use crate::jobs::Jobs;
use crate::reading::Reading;
use crate::recording::{Header, TRACKER_PROC};
use crate::report::{
    Budget, Composition, Escaped, Exit, Headline, Host, LeftRunning, Oom, OomVictim, Part,
    PartBudget, Peak, Pressure, ProcessAtPeak, ProcessClass, Processes, Profiler, Report, SCHEMA,
    Stage, StageAtPeak, TopProcess, Verdict, WithoutCache,
};
use crate::stage_peaks::StagePeaks;
use crate::stages::{OTHER, StageId, Stages};
use crate::timeline::{TimelineRow, TimelineTable};
use crate::tree::{Ended, Holding, Process, ProcessTree};
use crate::units::{BootTime, ByteSize};

/// What a shell ends with whose command was ended by SIGKILL: 128 + 9.
const CODE_OF_SIGKILL: i32 = 137;

/// How many processes with the highest own peak are listed.
const TOP_PROCESSES: usize = 20;

/// What `unattributed` may be, as a share of the cgroup's usage, before a note explains it.
const UNATTRIBUTED_WORTH_A_NOTE: f64 = 0.02;

/// The fold from events to a report.
#[derive(Debug)]
pub struct Attribution {
    header: Header,
    tree: ProcessTree,
    started: Option<BootTime>,
    last: BootTime,
    build_ended: Option<(BootTime, ExitStatus)>,
    interrupted: bool,
    headline: Option<Reading<ByteSize>>,
    limit: Option<ByteSize>,
    oom_kills: Option<u64>,
    pressure: Option<CgroupPressure>,
    highest_usage: Option<ByteSize>,
    /// The highest usage without page cache, and when.
    without_cache: Option<(ByteSize, BootTime)>,
    peak: Option<PeakSample>,
    samples: u64,
    rows: Vec<Row>,
    stages: BTreeMap<StageKey, StageFold>,
    stage_peaks: StagePeaks,
    top: Vec<TopCandidate>,
    classes: Classes,
    jobs: Jobs,
    /// Only where it was asked for.
    history: Option<HistoryFold>,
    left_running: Vec<LeftRunning>,
    escaped: BTreeMap<String, EscapedFold>,
    /// Live processes that are charged to another cgroup.
    outside: BTreeSet<ProcessId>,
    oom_victims: Vec<OomVictim>,
    handed_over: HandedOver,
    verify: Vec<VerifyCheck>,
    lost: u64,
    cost: Option<ProfilerCost>,
    notes: Vec<Note>,
}

/// A stage, or none; none sorts last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum StageKey {
    Named(StageId),
    Other,
}

impl StageKey {
    const fn of(stage: Option<StageId>) -> Self {
        match stage {
            Some(id) => Self::Named(id),
            None => Self::Other,
        }
    }

    const fn id(self) -> Option<StageId> {
        match self {
            Self::Named(id) => Some(id),
            Self::Other => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct StageFold {
    started: BootTime,
    ended: BootTime,
    live: u64,
    processes: u64,
    peak: Option<(ByteSize, BootTime)>,
}

#[derive(Debug)]
struct Row {
    at: BootTime,
    stage: Option<StageId>,
    cgroup: Option<CgroupSample>,
    pss: ByteSize,
    rss: ByteSize,
    live: u64,
    stages: Vec<(StageKey, ByteSize)>,
}

#[derive(Debug)]
struct PeakSample {
    at: BootTime,
    cgroup: Option<CgroupSample>,
    pss: ByteSize,
    pss_read: ByteSize,
    /// RSS of the processes whose PSS is not known, or out of date.
    rss_unknown: ByteSize,
    /// What the cgroup can have been charged for: without shared memory and without processes elsewhere.
    pss_in_cgroup: ByteSize,
    /// The part of that that is of files.
    file_in_cgroup: ByteSize,
    rss: ByteSize,
    stages: Vec<(StageKey, ByteSize)>,
    processes: Vec<SampledProcess>,
}

#[derive(Debug)]
struct SampledProcess {
    id: ProcessId,
    tgid: Tgid,
    parent: Option<Tgid>,
    stage: StageKey,
    argv: Rc<CommandLine>,
    started: BootTime,
    pss: Option<ByteSize>,
    rss: Option<ByteSize>,
}

#[derive(Debug)]
struct TopCandidate {
    id: ProcessId,
    tgid: Tgid,
    argv: Rc<CommandLine>,
    stage: StageKey,
    peak_rss: ByteSize,
    started: BootTime,
    ended: Option<BootTime>,
    status: Option<ExitStatus>,
}

#[derive(Debug, Default)]
struct EscapedFold {
    processes: BTreeSet<ProcessId>,
    peak: Option<ByteSize>,
}

impl Attribution {
    /// Begins the fold of one build.
    pub fn new(header: Header, stages: Stages) -> Self {
        Self {
            header,
            tree: ProcessTree::new(stages),
            started: None,
            last: BootTime::default(),
            build_ended: None,
            interrupted: false,
            headline: None,
            limit: None,
            oom_kills: None,
            pressure: None,
            highest_usage: None,
            without_cache: None,
            peak: None,
            samples: 0,
            rows: Vec::new(),
            stages: BTreeMap::new(),
            stage_peaks: StagePeaks::default(),
            top: Vec::new(),
            classes: Classes::default(),
            jobs: Jobs::default(),
            history: None,
            left_running: Vec::new(),
            escaped: BTreeMap::new(),
            outside: BTreeSet::new(),
            oom_victims: Vec::new(),
            handed_over: HandedOver::default(),
            verify: Vec::new(),
            lost: 0,
            cost: None,
            notes: Vec::new(),
        }
    }

    /// With these names for classes of processes.
    #[must_use]
    pub fn with_classes(self, rules: ClassRules) -> Self {
        Self {
            classes: Classes::new(rules),
            ..self
        }
    }

    /// With processes kept one by one, for [`finish_with_history`](Self::finish_with_history).
    #[must_use]
    pub fn with_history(self, keep: Keep) -> Self {
        Self {
            history: Some(HistoryFold::new(keep)),
            ..self
        }
    }

    /// Takes in one event.
    pub fn apply(&mut self, event: &Event) {
        let at = event.at;
        self.last = self.last.max(at);
        let before = self.stage_before(event);
        let ended = self.tree.apply(event);
        if let Some(history) = &mut self.history {
            history.apply(event, &self.tree);
        }
        self.jobs.apply(event, &self.tree, ended.as_ref());
        match &event.event {
            EventKind::Forked {
                parent,
                child,
                shares_mm: _,
            } => {
                self.started.get_or_insert(at);
                self.born(*parent, *child);
                self.joined(at, *child, None);
            }
            EventKind::Execed { tgid, argv, .. } => {
                self.handed_over.saw(argv);
                self.joined(at, *tgid, before);
            }
            EventKind::Exited { .. } => {}
            EventKind::Sampled {
                cgroup,
                processes: _,
            } => self.sampled(at, *cgroup),
            EventKind::CgroupLeft { tgid, cgroup } => self.left_cgroup(*tgid, cgroup),
            EventKind::OomKilled { tgid } => self.oom_killed(*tgid),
            EventKind::Lost { source, count } => {
                self.lost += count;
                self.note("events_lost", format!("{count} lost: {source}"));
            }
            EventKind::BuildStarted { .. } => {
                self.started.get_or_insert(at);
            }
            EventKind::SignalForwarded { .. } => self.interrupted |= self.build_ended.is_none(),
            EventKind::BuildEnded { status } => self.build_ended = Some((at, *status)),
            EventKind::LeftRunning {
                tgid: _,
                rss_high_water,
            } => {
                self.left_running.extend(
                    ended
                        .as_ref()
                        .map(|end| self.left_running(&end.process, rss_high_water)),
                );
            }
            EventKind::HeadlineRead {
                bytes,
                limit,
                oom_kills,
            } => {
                self.headline = Some(bytes.clone());
                self.limit = *limit;
                self.oom_kills = *oom_kills;
            }
            EventKind::StagePeakRead { bytes } => {
                self.stage_peaks.read(at, *bytes, self.tree.live_stages());
            }
            EventKind::PressureRead(pressure) => self.pressure = Some(pressure.clone()),
            EventKind::EscapedCgroupRead { cgroup, bytes } => {
                self.escaped.entry(cgroup.clone()).or_default().peak = bytes.value().copied();
            }
            EventKind::Verified { checks } => self.verify.clone_from(checks),
            EventKind::MeasurementEnded(cost) => self.cost = Some(*cost),
            EventKind::Noted(note) => self.notes.push(note.clone()),
        }
        if let Some(ended) = ended {
            self.ended(&ended);
        }
    }

    /// The live processes and the figures so far, for the status line.
    pub const fn tree(&self) -> &ProcessTree {
        &self.tree
    }

    /// The report and the timeline of what was seen.
    pub fn finish(self) -> (Report, TimelineTable) {
        let (report, table, _) = self.finish_with_history();
        (report, table)
    }

    /// The same with the history, which is there [when it was asked for](Self::with_history).
    pub fn finish_with_history(mut self) -> (Report, TimelineTable, Option<History>) {
        let live: Vec<Process> = self.tree.live().cloned().collect();
        for process in live {
            let end = Ended {
                process,
                at: self.last,
                seen: false,
                status: None,
            };
            self.jobs.ended(&end);
            self.ended(&end);
        }
        self.explain();
        let started = self.started();
        let order = self.stage_order();
        let table = self.timeline(started, &order);
        let history = self.history(started, &order);
        let report = self.report(started, &order);
        (report, table, history)
    }

    fn history(&mut self, started: BootTime, order: &[StageKey]) -> Option<History> {
        let fold = self.history.take()?;
        let at_peak = self.peak.as_ref().map(|peak| peak.processes.as_slice());
        let at_peak = at_peak.unwrap_or_default().iter().map(|process| {
            let SampledProcess { pss, rss, .. } = *process;
            (process.id, AtPeak { pss, rss })
        });
        let stages = order
            .iter()
            .map(|stage| (stage.id(), self.stage_name(*stage)));
        Some(fold.finish(Frame {
            started,
            build_ended: self.build_ended.map(|(at, _)| at),
            last: self.last,
            peak_at: self.peak.as_ref().map(|peak| peak.at),
            stages: stages.collect(),
            at_peak: at_peak.collect(),
        }))
    }

    fn started(&self) -> BootTime {
        self.started.unwrap_or(self.header.started)
    }

    fn note(&mut self, what: &str, why: impl Into<String>) {
        self.notes.push(Note {
            what: what.to_owned(),
            why: why.into(),
        });
    }

    fn stage_before(&self, event: &Event) -> Option<StageKey> {
        match &event.event {
            EventKind::Execed { tgid, .. } => self
                .tree
                .get(*tgid)
                .map(|process| StageKey::of(process.stage.stage())),
            _ => None,
        }
    }

    /// A child is charged where its parent is.
    fn born(&mut self, parent: Tgid, child: Tgid) {
        let Some(parent) = self.tree.get(parent).map(|parent| parent.id) else {
            return;
        };
        if !self.outside.contains(&parent) {
            return;
        }
        let Some(child) = self.tree.get(child).map(|child| child.id) else {
            return;
        };
        self.outside.insert(child);
        for escaped in self.escaped.values_mut() {
            if escaped.processes.contains(&parent) {
                escaped.processes.insert(child);
            }
        }
    }

    fn left_cgroup(&mut self, tgid: Tgid, cgroup: &str) {
        let Some(process) = self.tree.get(tgid) else {
            return;
        };
        self.outside.insert(process.id);
        self.escaped
            .entry(cgroup.to_owned())
            .or_default()
            .processes
            .insert(process.id);
    }

    fn oom_killed(&mut self, tgid: Tgid) {
        let Some(process) = self.tree.get(tgid) else {
            return;
        };
        let victim = OomVictim {
            pid: tgid.0,
            command: process.argv().display(),
            stage: self.tree.stages().name(process.stage.stage()).to_owned(),
        };
        self.oom_victims.push(victim);
    }

    fn left_running(&self, process: &Process, high_water: &Reading<ByteSize>) -> LeftRunning {
        LeftRunning {
            pid: process.tgid.0,
            command: process.argv().display(),
            stage: self.tree.stages().name(process.stage.stage()).to_owned(),
            peak_rss_bytes: high_water.value().map(|size| size.bytes()),
        }
    }

    /// A process came to its stage, from `before` where it was in another.
    fn joined(&mut self, at: BootTime, tgid: Tgid, before: Option<StageKey>) {
        let Some(process) = self.tree.get(tgid) else {
            return;
        };
        let stage = StageKey::of(process.stage.stage());
        if before == Some(stage) {
            return;
        }
        if let Some(before) = before {
            self.left_stage(at, before);
        }
        if let StageKey::Named(id) = stage {
            self.stage_peaks.began(id, at);
        }
        let fold = self.stages.entry(stage).or_insert(StageFold {
            started: at,
            ended: at,
            live: 0,
            processes: 0,
            peak: None,
        });
        fold.live += 1;
    }

    fn left_stage(&mut self, at: BootTime, stage: StageKey) {
        if let Some(fold) = self.stages.get_mut(&stage) {
            fold.live = fold.live.saturating_sub(1);
            fold.ended = fold.ended.max(at);
        }
    }

    fn ended(&mut self, end: &Ended) {
        let Ended {
            process,
            at,
            seen,
            status,
        } = end;
        let stage = StageKey::of(process.stage.stage());
        // An adopted process joined its stage unseen.
        self.stages
            .entry(stage)
            .or_insert(StageFold {
                started: process.started,
                ended: *at,
                live: 0,
                processes: 0,
                peak: None,
            })
            .processes += 1;
        self.left_stage(*at, stage);
        self.outside.remove(&process.id);
        let largest = process.largest_image();
        self.classes.ended(end);
        if let Some(history) = &mut self.history {
            history.ended(end, self.classes.rules());
            if history.is_crowded() {
                let at_peak = self.peak.iter().flat_map(|peak| &peak.processes);
                history.thin_out(&self.tree, &at_peak.map(|process| process.id).collect());
            }
        }
        if let Some((argv, peak_rss)) = largest {
            self.top.push(TopCandidate {
                id: process.id,
                tgid: process.tgid,
                argv: Rc::clone(argv),
                stage,
                peak_rss,
                started: process.started,
                ended: seen.then_some(*at),
                status: *status,
            });
            // Sorting at twice the size keeps the cost of a process constant on the average.
            if self.top.len() >= 2 * TOP_PROCESSES {
                self.keep_top();
            }
        }
    }

    fn keep_top(&mut self) {
        self.top
            .sort_by_key(|candidate| (std::cmp::Reverse(candidate.peak_rss), candidate.id));
        self.top.truncate(TOP_PROCESSES);
    }

    fn sampled(&mut self, at: BootTime, cgroup: Option<CgroupSample>) {
        let mut row = Row {
            at,
            stage: self.tree.current_stage(),
            cgroup,
            pss: ByteSize::ZERO,
            rss: ByteSize::ZERO,
            live: self.tree.live().len() as u64,
            stages: Vec::new(),
        };
        let holdings = self.tree.holdings();
        self.jobs.sampled(cgroup, &holdings);
        if let Some(history) = &mut self.history {
            history.sampled(at, &holdings);
        }
        for Holding {
            process,
            pss,
            file: _,
            up_to_date: _,
        } in &holdings
        {
            let pss = pss.unwrap_or_default();
            row.pss += pss;
            row.rss += process.rss.unwrap_or_default();
            let stage = StageKey::of(process.stage.stage());
            match row.stages.iter_mut().find(|(key, _)| *key == stage) {
                Some((_, sum)) => *sum += pss,
                None => row.stages.push((stage, pss)),
            }
        }
        let sample = self.peak_sample(&row, cgroup, &holdings);
        for (stage, pss) in &row.stages {
            if let Some(fold) = self.stages.get_mut(stage)
                && fold.peak.is_none_or(|(peak, _)| *pss > peak)
            {
                fold.peak = Some((*pss, at));
            }
        }
        self.highest_usage = self.highest_usage.max(cgroup.map(|sample| sample.usage));
        if let Some(size) = cgroup.and_then(without_cache)
            && self.without_cache.is_none_or(|(highest, _)| size > highest)
        {
            self.without_cache = Some((size, at));
        }
        let noise = charge_noise(self.header.cpus);
        if self
            .peak
            .as_ref()
            .is_none_or(|peak| sample.height(noise) > peak.height(noise))
        {
            self.peak = Some(sample);
        }
        self.samples += 1;
        self.rows.push(row);
    }

    fn peak_sample(
        &self,
        row: &Row,
        cgroup: Option<CgroupSample>,
        holdings: &[Holding<'_>],
    ) -> PeakSample {
        let mut pss_read = ByteSize::ZERO;
        let mut rss_unknown = ByteSize::ZERO;
        let mut pss_in_cgroup = ByteSize::ZERO;
        let mut file_in_cgroup = ByteSize::ZERO;
        let mut processes = Vec::with_capacity(holdings.len());
        for &Holding {
            process,
            pss,
            file,
            up_to_date,
        } in holdings
        {
            if process.pss.is_some_and(|(read_at, _)| read_at == row.at) {
                pss_read += pss.unwrap_or_default();
            }
            if !up_to_date {
                rss_unknown += process.rss.unwrap_or_default();
            }
            if !self.outside.contains(&process.id) {
                pss_in_cgroup += pss.unwrap_or_default() - process.current_pss_shmem();
                file_in_cgroup += file;
            }
            processes.push(SampledProcess {
                id: process.id,
                tgid: process.tgid,
                parent: process.parent.map(|(_, tgid)| tgid),
                stage: StageKey::of(process.stage.stage()),
                argv: Rc::clone(process.argv()),
                started: process.started,
                pss,
                rss: process.rss,
            });
        }
        PeakSample {
            at: row.at,
            cgroup,
            pss: row.pss,
            pss_read,
            rss_unknown,
            pss_in_cgroup,
            file_in_cgroup,
            rss: row.rss,
            stages: row.stages.clone(),
            processes,
        }
    }

    /// Whether the processes were only looked at from time to time.
    fn was_polled(&self) -> bool {
        self.header.tracker == TRACKER_PROC
    }

    /// Adds the notes that follow from what is missing or odd.
    fn explain(&mut self) {
        if self.was_polled() {
            self.note(
                "processes",
                "short ones were not seen: the tracker `proc` looks from time to time. A peak RSS is that of the last \
                 look, and not every exit status is known",
            );
            if self.header.cgroup.is_some() {
                self.note(
                    "headline.complete",
                    "false, because the tracker `proc` does not see whether processes leave the cgroup",
                );
            }
        }
        match &self.headline {
            Some(Reading::Known { .. }) => {}
            Some(Reading::Missing(why)) => {
                let why = why.clone();
                self.note("headline.bytes", why);
            }
            None => self.note("headline.bytes", "the recording ends before it was read"),
        }
        if self.peak.is_none() {
            self.note("peak", "the build ended before the first sample was taken");
        }
        if let Some(composition) = self.peak.as_ref().and_then(PeakSample::composition)
            && let Some(usage) = self
                .peak
                .as_ref()
                .and_then(|peak| peak.cgroup)
                .map(|c| c.usage)
        {
            let unattributed = ByteSize::from_bytes(composition.unattributed.unsigned_abs());
            if unattributed.share_of(usage) > UNATTRIBUTED_WORTH_A_NOTE {
                self.note("peak.composition.unattributed", if composition.unattributed < 0 {
                    "negative: processes gave memory back between the reading of the cgroup and theirs, or have \
                     pages mapped that are charged to another cgroup and were not told apart"
                } else {
                    "memory that changed between the reading of the cgroup and that of the processes, \
                     or of processes that were not read in time"
                });
            }
            if composition.kernel.is_none() {
                self.note(
                    "peak.composition.kernel",
                    "this kernel does not tell a cgroup's kernel memory; it is part of `unattributed`",
                );
            }
        }
        let put_off = self.cost.map_or(0, |cost| cost.samples_put_off);
        if put_off > self.samples / 10 {
            let taken = self.samples;
            self.note(
                "profiler.samples",
                format!(
                    "{put_off} samples were put off and {taken} taken, to stay within 1 % of a core: what stages \
                     and processes held may have been higher in between"
                ),
            );
        }
        let anomalies = self.tree.anomalies();
        if anomalies.adopted > 0 {
            let count = anomalies.adopted;
            self.note(
                "processes",
                format!("the fork of {count} of them was not seen"),
            );
        }
        if anomalies.end_unseen > 0 {
            let count = anomalies.end_unseen;
            self.note(
                "processes",
                format!("the end of {count} of them was not seen"),
            );
        }
        self.explain_stage_peaks();
        if self.build_ended.is_none() {
            self.note("exit", "the recording ends before the build does");
        }
        self.notes.extend(self.handed_over.notes());
        let has_budget =
            (self.header.budget.as_ref()).is_some_and(|budgets| budgets.peak.is_some());
        if has_budget && !matches!(self.headline, Some(Reading::Known { .. })) {
            self.note(
                "budget",
                "without the kernel's high-water mark nobody can tell whether the build stayed within it",
            );
        }
        if self.oom_kills.is_none() {
            self.note(
                "oom.kills",
                "the cgroup's own count of out-of-memory kills was not read",
            );
        }
    }

    /// Why stages have no peak of the kernel's.
    fn explain_stage_peaks(&mut self) {
        let what = "stages[].peak_cgroup_bytes";
        if self.stages.is_empty() {
            return;
        }
        if !self.stage_peaks.was_read() {
            let why = "the kernel's high-water mark is kept for the whole build: stage by stage it takes Linux 6.12, \
                       cgroup v2, and stages that are known while the build runs";
            self.note(what, why);
            return;
        }
        let without = |key: &StageKey| match key {
            StageKey::Named(id) => self.stage_peaks.of(*id).err(),
            StageKey::Other => Some("it is beside every stage"),
        };
        let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for key in self.stages.keys() {
            if let Some(why) = without(key) {
                let name = format!("`{}`", self.stage_name(*key));
                reasons.entry(why).or_default().push(name);
            }
        }
        for (why, names) in reasons {
            self.note(what, format!("{}: {why}", names.join(", ")));
        }
    }

    /// The stages in the order of their start, those in none last.
    fn stage_order(&self) -> Vec<StageKey> {
        let mut order: Vec<(StageKey, BootTime)> = self
            .stages
            .iter()
            .map(|(key, fold)| (*key, fold.started))
            .collect();
        order.sort_by_key(|(key, started)| (*key == StageKey::Other, *started, *key));
        order.into_iter().map(|(key, _)| key).collect()
    }

    fn stage_name(&self, stage: StageKey) -> String {
        self.tree.stages().name(stage.id()).to_owned()
    }

    fn timeline(&mut self, started: BootTime, order: &[StageKey]) -> TimelineTable {
        let rows = std::mem::take(&mut self.rows);
        let rows = rows.into_iter().map(|row| TimelineRow {
            at_s: seconds(row.at, started),
            stage: row
                .stage
                .map_or(OTHER, |id| self.tree.stages().name(Some(id)))
                .to_owned(),
            cgroup: row.cgroup.map(|cgroup| cgroup.usage),
            composition: row.cgroup.and_then(|cgroup| cgroup.composition),
            pss: row.pss,
            rss: row.rss,
            live: row.live,
            stage_pss: order
                .iter()
                .map(|stage| held_by(&row.stages, *stage))
                .collect(),
        });
        let rows = rows.collect();
        TimelineTable {
            stages: order.iter().map(|stage| self.stage_name(*stage)).collect(),
            rows,
        }
    }

    fn report(mut self, started: BootTime, order: &[StageKey]) -> Report {
        self.keep_top();
        let ended = self.build_ended.map_or(self.last, |(at, _)| at);
        let exit = self.build_ended.map(|(_, status)| status);
        let counts = self.tree.counts();
        let stages: Vec<Stage> = order
            .iter()
            .map(|stage| self.stage_report(*stage, started))
            .collect();
        let top = self
            .top
            .iter()
            .map(|top| self.top_report(top, started))
            .collect();
        let peak = self
            .peak
            .as_ref()
            .map(|peak| self.peak_report(peak, started));
        let jobs = std::mem::take(&mut self.jobs).report(self.classes.rules());
        let at_peak = self.peak.as_ref().map(|peak| peak.processes.as_slice());
        let at_peak = at_peak.unwrap_or_default().iter();
        let classes = std::mem::take(&mut self.classes)
            .report(at_peak.map(|process| (&*process.argv, process.pss)));
        let headline = self.headline_report();
        let budget = self.budget_report(&headline, peak.as_ref());
        let budgets = self.part_budgets(&stages, &classes);
        let verdict = self.verdict(budget.as_ref(), &budgets);
        let pressure = self.pressure_report();
        Report {
            schema: SCHEMA.to_owned(),
            label: self.header.label,
            started_at: self.header.started_at,
            duration_s: seconds(ended, started),
            command: self
                .header
                .command
                .iter()
                .map(|arg| arg.lossy().into_owned())
                .collect(),
            cwd: self.header.cwd,
            verdict,
            budget,
            budgets,
            exit: exit.map_or(
                Exit {
                    code: None,
                    signal: None,
                },
                Exit::from_status,
            ),
            headline,
            peak,
            stages,
            processes: Processes {
                forks: counts.forks,
                execs: counts.execs,
                exits: counts.exits,
                peak_live: counts.peak_live,
                top,
                classes,
                left_running: self.left_running,
            },
            jobs,
            oom: Oom {
                kills: self.oom_kills,
                victims: self.oom_victims,
            },
            pressure,
            verify: self.verify,
            profiler: Profiler {
                version: self.header.version,
                kernel: self.header.kernel,
                tracker: self.header.tracker,
                interval_ms: self.header.interval_ms,
                samples: self.samples,
                samples_triggered: self.cost.map_or(0, |cost| cost.samples_triggered),
                samples_put_off: self.cost.map_or(0, |cost| cost.samples_put_off),
                events_lost: self.lost,
                // A recording can hold what no clock and no kernel gives.
                sampler_cpu_s: self.cost.map(|cost| cost.sampler_cpu_s.max(0.0)),
                total_cpu_s: self.cost.map(|cost| cost.total_cpu_s.max(0.0)),
                peak_rss_bytes: self.cost.map(|cost| cost.peak_rss.bytes()),
            },
            host: Host {
                cpus: self.header.cpus,
                memory_bytes: self.header.memory.bytes(),
                cgroup_version: self
                    .header
                    .cgroup_version
                    .filter(|version| [1, 2].contains(version)),
                image: self.header.image,
            },
            notes: self.notes,
        }
    }

    /// What the cgroup told, with a note for each part that it did not.
    fn pressure_report(&mut self) -> Pressure {
        let Some(CgroupPressure {
            swap_peak,
            stalled,
            events,
            faults,
        }) = self.pressure.take()
        else {
            self.note("pressure", "it was not read");
            return Pressure::default();
        };
        for (part, why) in [
            ("swap_peak_bytes", swap_peak.reason()),
            ("stalled_some_s", stalled.reason()),
            ("events", events.reason()),
            ("major_faults", faults.reason()),
        ] {
            if let Some(why) = why {
                self.note(&format!("pressure.{part}"), why);
            }
        }
        let faults = match faults.value() {
            Some(faults) => {
                if faults.refaults_file.is_none() {
                    let why = "this kernel does not count them of a cgroup";
                    self.note("pressure.refaults_file", why);
                }
                *faults
            }
            None => CgroupFaults::default(),
        };
        let seconds = |us: u64| Duration::from_micros(us).as_secs_f64();
        Pressure {
            swap_peak_bytes: swap_peak.value().map(|size| size.bytes()),
            stalled_some_s: stalled.value().map(|stalled| seconds(stalled.some_us)),
            stalled_full_s: stalled.value().map(|stalled| seconds(stalled.full_us)),
            events: events.value().cloned(),
            major_faults: faults.major,
            refaults_file: faults.refaults_file,
            refaults_anon: faults.refaults_anon,
        }
    }

    fn budget_report(&self, headline: &Headline, peak: Option<&Peak>) -> Option<Budget> {
        let budget = self.header.budget.as_ref()?.peak?.bytes();
        let exceeded_by_bytes = headline.bytes.map(|bytes| bytes.saturating_sub(budget));
        let most = |peak: &Peak| {
            let stage = peak.stages.iter().max_by_key(|stage| stage.pss_bytes)?;
            Some(stage.name.clone())
        };
        Some(Budget {
            bytes: budget,
            exceeded_by_bytes,
            stage: peak.filter(|_| exceeded_by_bytes > Some(0)).and_then(most),
        })
    }

    /// The budgets of stages and classes, with a note for each whose part was not there or is not known.
    fn part_budgets(&mut self, stages: &[Stage], classes: &[ProcessClass]) -> Vec<PartBudget> {
        let Some(budgets) = self.header.budget.take() else {
            return Vec::new();
        };
        let of_stages = budgets.stages.into_iter().map(|(name, budget)| {
            let stage = stages.iter().find(|stage| stage.name == name);
            (
                Part::Stage,
                name,
                budget,
                stage.map(|stage| stage.peak_pss_bytes),
            )
        });
        let of_classes = budgets.classes.into_iter().map(|(name, budget)| {
            let class = classes.iter().find(|class| class.command_class == name);
            (
                Part::Class,
                name,
                budget,
                class.map(|class| class.peak_rss_max_bytes),
            )
        });
        let mut found = Vec::new();
        for (part, name, budget, measured) in of_stages.chain(of_classes) {
            let what = format!("budgets.{}.{name}", part.word());
            match measured {
                None => self.note(&what, "nothing of that name ran"),
                Some(None) => self.note(
                    &what,
                    "its peak is not known, so nobody can tell whether it stayed within",
                ),
                Some(Some(_)) => {}
            }
            let measured_bytes = measured.unwrap_or(Some(0));
            found.push(PartBudget {
                part,
                name,
                bytes: budget.bytes(),
                measured_bytes,
                exceeded_by_bytes: measured_bytes.map(|bytes| bytes.saturating_sub(budget.bytes())),
            });
        }
        found
    }

    /// Whether the kernel has killed processes of the build for want of memory. The cgroup's own count decides, where
    /// there is one: a process that was chosen may have been elsewhere.
    fn was_out_of_memory(&self) -> bool {
        match self.oom_kills {
            Some(kills) => kills > 0,
            None => !self.oom_victims.is_empty(),
        }
    }

    fn verdict(&self, budget: Option<&Budget>, parts: &[PartBudget]) -> Verdict {
        let mut exceeded = (budget.iter().map(|budget| budget.exceeded_by_bytes))
            .chain(parts.iter().map(|part| part.exceeded_by_bytes));
        let is_over_budget = exceeded.any(|by| by > Some(0));
        let Some((_, status)) = self.build_ended else {
            return Verdict::Incomplete;
        };
        match status {
            ExitStatus::Code(0) if !self.verify.iter().all(|check| check.ok) => {
                Verdict::VerificationFailed
            }
            ExitStatus::Code(0) if is_over_budget => Verdict::OverBudget,
            ExitStatus::Code(0) => Verdict::Pass,
            _ if self.interrupted => Verdict::Interrupted,
            _ if self.was_out_of_memory() => Verdict::OutOfMemory,
            ExitStatus::Code(CODE_OF_SIGKILL) | ExitStatus::Signal(_) => Verdict::BuildKilled,
            ExitStatus::Code(_) => Verdict::BuildFailed,
        }
    }

    fn headline_report(&self) -> Headline {
        let (bytes, source) = match &self.headline {
            Some(Reading::Known { value, source }) => (Some(*value), Some(source.to_string())),
            Some(Reading::Missing(_)) | None => (None, None),
        };
        // Who shares a limit with others is killed for want of memory before the mark is at it.
        let saturated = matches!((bytes, self.limit), (Some(bytes), Some(limit))
            if at_limit(bytes, limit) || self.was_out_of_memory());
        Headline {
            bytes: bytes.map(ByteSize::bytes),
            source,
            highest_sampled_bytes: self.highest_usage.map(ByteSize::bytes),
            without_cache: self.without_cache.map(|(bytes, at)| WithoutCache {
                bytes: bytes.bytes(),
                at_s: seconds(at, self.started()),
                source: without_cache_source(self.header.cgroup_version).to_owned(),
            }),
            cgroup: self.header.cgroup.clone(),
            complete: bytes.is_some()
                && self.escaped.is_empty()
                && self.lost == 0
                && !self.was_polled(),
            saturated,
            limit_bytes: self.limit.map(ByteSize::bytes),
            escaped: self
                .escaped
                .iter()
                .map(|(cgroup, escaped)| Escaped {
                    cgroup: cgroup.clone(),
                    processes: escaped.processes.len() as u64,
                    peak_bytes: escaped.peak.map(ByteSize::bytes),
                })
                .collect(),
        }
    }

    fn stage_report(&self, stage: StageKey, started: BootTime) -> Stage {
        let fold = &self.stages[&stage];
        let ended = if fold.live > 0 { self.last } else { fold.ended };
        let share_of_peak = self
            .peak
            .as_ref()
            .map_or(0.0, |peak| held_by(&peak.stages, stage).share_of(peak.pss));
        Stage {
            name: self.stage_name(stage),
            started_s: seconds(fold.started, started),
            wall_s: seconds(ended, fold.started),
            processes: fold.processes,
            peak_pss_bytes: fold.peak.map(|(pss, _)| pss.bytes()),
            peak_at_s: fold.peak.map(|(_, at)| seconds(at, started)),
            peak_cgroup_bytes: stage
                .id()
                .and_then(|id| self.stage_peaks.of(id).ok())
                .map(ByteSize::bytes),
            share_of_peak,
        }
    }

    fn top_report(&self, top: &TopCandidate, started: BootTime) -> TopProcess {
        TopProcess {
            pid: top.tgid.0,
            command: top.argv.display(),
            command_lossy: top.argv.is_lossy() || top.argv.cut_from.is_some(),
            stage: self.stage_name(top.stage),
            peak_rss_bytes: top.peak_rss.bytes(),
            started_s: seconds(top.started, started),
            ended_s: top.ended.map(|at| seconds(at, started)),
            exit: top.status.map_or(
                Exit {
                    code: None,
                    signal: None,
                },
                Exit::from_status,
            ),
        }
    }

    fn peak_report(&self, peak: &PeakSample, started: BootTime) -> Peak {
        let mut stages: Vec<StageAtPeak> = peak
            .stages
            .iter()
            .map(|(stage, pss)| StageAtPeak {
                name: self.stage_name(*stage),
                pss_bytes: pss.bytes(),
            })
            .collect();
        stages.sort_by(|a, b| {
            b.pss_bytes
                .cmp(&a.pss_bytes)
                .then_with(|| a.name.cmp(&b.name))
        });
        let mut processes: Vec<ProcessAtPeak> = peak
            .processes
            .iter()
            .map(|process| ProcessAtPeak {
                pid: process.tgid.0,
                ppid: process.parent.map(|parent| parent.0),
                stage: self.stage_name(process.stage),
                command: process.argv.display(),
                command_lossy: process.argv.is_lossy() || process.argv.cut_from.is_some(),
                pss_bytes: process.pss.map(ByteSize::bytes),
                rss_bytes: process.rss.map(ByteSize::bytes),
                age_s: seconds(peak.at, process.started),
            })
            .collect();
        processes.sort_by_key(|process| (std::cmp::Reverse(process.pss_bytes), process.pid));
        let capture = match (peak.cgroup, &self.headline) {
            (Some(sample), Some(Reading::Known { value, .. })) if *value > ByteSize::ZERO => {
                Some(rounded(sample.usage.share_of(*value)))
            }
            _ => None,
        };
        Peak {
            at_s: seconds(peak.at, started),
            cgroup_bytes: peak.cgroup.map(|sample| sample.usage.bytes()),
            capture,
            pss_bytes: peak.pss.bytes(),
            pss_read_bytes: peak.pss_read.bytes(),
            rss_bytes: peak.rss.bytes(),
            composition: peak.composition(),
            stages,
            processes,
        }
    }
}

impl PeakSample {
    /// What makes a sample the peak: the cgroup's usage, where it could be read; else the sum of PSS. Among
    /// equals, as on a plateau, the one of which most is known, and then the one with the freshest figures.
    fn height(&self, noise: ByteSize) -> impl PartialOrd + use<> {
        let usage = self
            .cgroup
            .map(|sample| sample.usage.bytes() / noise.bytes());
        let without_usage = usage.is_none().then_some(self.pss);
        let known = std::cmp::Reverse(self.rss_unknown);
        (usage, without_usage, known, self.pss_read)
    }

    fn composition(&self) -> Option<Composition> {
        let CgroupSample { usage, composition } = self.cgroup?;
        let CgroupComposition {
            anon,
            file_mapped,
            file_unmapped,
            shmem,
            kernel,
        } = composition?;
        let charged_elsewhere = self.file_in_cgroup.saturating_sub(file_mapped);
        let explained = self.pss_in_cgroup.saturating_sub(charged_elsewhere)
            + file_unmapped
            + shmem
            + kernel.unwrap_or_default();
        Some(Composition {
            anon: anon.bytes(),
            file_mapped: file_mapped.bytes(),
            file_unmapped: file_unmapped.bytes(),
            shmem: shmem.bytes(),
            kernel: kernel.map(ByteSize::bytes),
            charged_elsewhere: charged_elsewhere.bytes(),
            unattributed: usage.signed_difference(explained),
        })
    }
}

/// Where [`without_cache`] has its figures from.
const fn without_cache_source(cgroup_version: Option<u8>) -> &'static str {
    match cgroup_version {
        Some(1) => "highest sample of memory.usage_in_bytes less the files in memory.stat",
        _ => "highest sample of memory.current less the files in memory.stat",
    }
}

/// What the cgroup held besides files' pages, of which the kernel can take back what it needs.
fn without_cache(sample: CgroupSample) -> Option<ByteSize> {
    let composition = sample.composition?;
    let cache = composition.file_mapped + composition.file_unmapped;
    Some(sample.usage.saturating_sub(cache))
}

/// How precisely a cgroup's usage is known: the kernel charges it in batches of 64 pages of 4 KiB a CPU
/// (`MEMCG_CHARGE_BATCH`, include/linux/memcontrol.h).
fn charge_noise(cpus: u64) -> ByteSize {
    ByteSize::from_kib(256 * cpus.max(1))
}

fn held_by(stages: &[(StageKey, ByteSize)], stage: StageKey) -> ByteSize {
    stages
        .iter()
        .find(|(key, _)| *key == stage)
        .map_or(ByteSize::ZERO, |(_, pss)| *pss)
}

/// Whether a high-water mark is only the limit speaking. The kernel charges in batches, so the mark may stay
/// a little below the limit.
fn at_limit(bytes: ByteSize, limit: ByteSize) -> bool {
    bytes.share_of(limit) >= 0.99
}

/// Seconds between two moments, to the microsecond.
fn seconds(at: BootTime, since: BootTime) -> f64 {
    rounded(at.since(since).as_secs_f64())
}

/// To six decimals.
fn rounded(figure: f64) -> f64 {
    (figure * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::automatic_stages::StageSearch;
    use crate::budgets::Budgets;
    use crate::event::{ProcessSample, PssSample};
    use crate::stage_rule::StageRule;

    const SECOND: u64 = 1_000_000_000;
    const MIB: u64 = 1 << 20;

    /// A build's events, one a second.
    struct Script(Vec<Event>, Option<Budgets>);

    impl Script {
        fn new(kinds: impl IntoIterator<Item = EventKind>) -> Self {
            let event = |(kind, n)| Event::new(BootTime::from_nanos(n * SECOND), kind);
            Self(kinds.into_iter().zip(1..).map(event).collect(), None)
        }

        fn report(&self, rules: &[(&str, &str)]) -> (Report, TimelineTable) {
            self.report_of("ebpf", rules)
        }

        fn report_of(&self, tracker: &str, rules: &[(&str, &str)]) -> (Report, TimelineTable) {
            let rule = |(name, pattern): &(&str, &str)| StageRule {
                name: (*name).to_owned(),
                pattern: (*pattern).to_owned(),
            };
            let header = Header {
                format: crate::recording::FORMAT.into(),
                version: "0.1.0".into(),
                label: "x".into(),
                started_at: "2026-01-01T00:00:00Z".into(),
                started: BootTime::default(),
                command: Vec::new(),
                cwd: "/".into(),
                tracker: tracker.into(),
                interval_ms: 150,
                kernel: "6.18".into(),
                cpus: 2,
                memory: ByteSize::from_mib(1024),
                cgroup_version: Some(1),
                cgroup: Some("/leaf".into()),
                stages: rules.iter().map(rule).collect(),
                classes: Vec::new(),
                budget: self.1.clone(),
                preset: None,
                image: None,
            };
            let mut search = StageSearch::new(&header.stages).unwrap();
            self.0.iter().for_each(|event| search.apply(event));
            let stages = search.finish();
            let mut fold = Attribution::new(header, stages);
            self.0.iter().for_each(|event| fold.apply(event));
            fold.finish()
        }
    }

    fn mib(size: u64) -> Reading<ByteSize> {
        Reading::known(ByteSize::from_mib(size), "test")
    }

    fn forked(parent: u32, child: u32) -> EventKind {
        EventKind::Forked {
            parent: Tgid(parent),
            child: Tgid(child),
            shares_mm: false,
        }
    }

    fn execed(tgid: u32, line: &str) -> EventKind {
        let argv = CommandLine::from_args(line.split(' '));
        EventKind::Execed {
            tgid: Tgid(tgid),
            argv,
            ended_image: mib(1),
        }
    }

    fn exited(tgid: u32, high_water: u64) -> EventKind {
        let status = Some(ExitStatus::Code(0));
        EventKind::Exited {
            tgid: Tgid(tgid),
            status,
            rss_high_water: mib(high_water),
        }
    }

    fn ended(code: i32) -> EventKind {
        EventKind::BuildEnded {
            status: ExitStatus::Code(code),
        }
    }

    /// PSS equal to RSS for each process, and a cgroup that holds `cache` beside them.
    fn sampled(cache: u64, processes: &[(u32, u64)]) -> EventKind {
        let sample = |(tgid, size): &(u32, u64)| {
            let size = ByteSize::from_mib(*size);
            let pss = PssSample {
                total: size,
                file: None,
                shmem: ByteSize::ZERO,
                rss: size,
            };
            ProcessSample {
                tgid: Tgid(*tgid),
                rss: size,
                anon: None,
                pss: Some(pss),
            }
        };
        let anon: u64 = processes.iter().map(|(_, size)| size).sum();
        EventKind::Sampled {
            cgroup: Some(CgroupSample {
                usage: ByteSize::from_mib(anon + cache + 4),
                composition: Some(CgroupComposition {
                    anon: ByteSize::from_mib(anon),
                    file_mapped: ByteSize::ZERO,
                    file_unmapped: ByteSize::from_mib(cache),
                    shmem: ByteSize::ZERO,
                    kernel: Some(ByteSize::from_mib(3)),
                }),
            }),
            processes: processes.iter().map(sample).collect(),
        }
    }

    fn headline(size: u64, limit: Option<u64>) -> EventKind {
        EventKind::HeadlineRead {
            bytes: mib(size),
            limit: limit.map(ByteSize::from_mib),
            oom_kills: Some(0),
        }
    }

    #[test]
    fn the_figures_at_the_peak_add_up_to_what_the_cgroup_held() {
        let (report, _) = Script::new([
            forked(1, 10),
            execed(10, "make"),
            forked(10, 11),
            execed(11, "cc1"),
            sampled(20, &[(10, 5), (11, 70)]),
            sampled(21, &[(10, 5), (11, 30)]),
            exited(11, 75),
            exited(10, 5),
            ended(0),
        ])
        .report(&[]);
        let peak = report.peak.unwrap();
        let composition = peak.composition.unwrap();
        assert!((peak.at_s - 4.0).abs() < 1e-9);
        assert_eq!(peak.pss_bytes, 75 * MIB);
        assert_eq!(peak.pss_read_bytes, 75 * MIB);
        let parts = peak.pss_bytes
            + composition.file_unmapped
            + composition.shmem
            + composition.kernel.unwrap();
        let cgroup = peak.cgroup_bytes.unwrap();
        assert_eq!(
            i128::from(parts) + i128::from(composition.unattributed),
            i128::from(cgroup)
        );
        assert_eq!(composition.unattributed, i64::try_from(MIB).unwrap());
        assert_eq!(peak.processes[0].command, "cc1");
        assert_eq!(report.processes.top[0].peak_rss_bytes, 75 * MIB);
    }

    #[test]
    fn each_process_is_counted_in_one_stage_and_the_stages_sum_to_the_whole() {
        let (report, table) = Script::new([
            forked(1, 10),
            execed(10, "sh -c nx_build&&next_build"),
            forked(10, 11),
            execed(11, "nx_build"),
            forked(11, 12),
            sampled(0, &[(10, 1), (11, 30), (12, 10)]),
            exited(12, 10),
            exited(11, 30),
            forked(10, 13),
            execed(13, "next_build"),
            sampled(0, &[(10, 1), (13, 100)]),
            exited(13, 100),
            exited(10, 1),
            ended(0),
        ])
        .report(&[("next", "next_build"), ("deps", "nx_build")]);
        let stages: Vec<(&str, u64, Option<u64>)> = report
            .stages
            .iter()
            .map(|stage| (stage.name.as_str(), stage.processes, stage.peak_pss_bytes))
            .collect();
        assert_eq!(
            stages,
            [
                ("deps", 2, Some(40 * MIB)),
                ("next", 1, Some(100 * MIB)),
                (OTHER, 1, Some(MIB))
            ]
        );
        assert_eq!(
            stages.iter().map(|stage| stage.1).sum::<u64>(),
            report.processes.forks
        );
        for row in &table.rows {
            assert_eq!(row.stage_pss.iter().copied().sum::<ByteSize>(), row.pss);
        }
        let columns: Vec<&str> = table.rows.iter().map(|row| row.stage.as_str()).collect();
        assert_eq!(columns, ["deps", "next"]);
        let shares: f64 = report.stages.iter().map(|stage| stage.share_of_peak).sum();
        assert!((shares - 1.0).abs() < 1e-9);
    }

    #[test]
    fn automatic_stages_are_the_steps_of_the_root_script() {
        let (report, _) = Script::new([
            forked(1, 10),
            execed(10, "sh build.sh"),
            forked(10, 11),
            execed(11, "/src/configure --prefix=/usr"),
            sampled(0, &[(11, 3)]),
            exited(11, 3),
            forked(10, 12),
            execed(12, "make all"),
            sampled(0, &[(12, 9)]),
            exited(12, 9),
            exited(10, 1),
            ended(0),
        ])
        .report(&[]);
        let names: Vec<&str> = report
            .stages
            .iter()
            .map(|stage| stage.name.as_str())
            .collect();
        assert_eq!(names, ["configure --prefix=/usr", "make all", OTHER]);
    }

    #[test]
    fn a_process_that_left_takes_its_children_with_it_and_the_headline_is_incomplete() {
        let left = EventKind::CgroupLeft {
            tgid: Tgid(11),
            cgroup: "/snap".into(),
        };
        let read = EventKind::EscapedCgroupRead {
            cgroup: "/snap".into(),
            bytes: mib(50),
        };
        let (report, _) = Script::new([
            forked(1, 10),
            forked(10, 11),
            left,
            forked(11, 12),
            sampled(0, &[(10, 1), (12, 50)]),
            exited(12, 50),
            exited(11, 1),
            exited(10, 1),
            ended(0),
            headline(10, None),
            read,
        ])
        .report(&[]);
        assert!(!report.headline.complete);
        let escaped = Escaped {
            cgroup: "/snap".into(),
            processes: 2,
            peak_bytes: Some(50 * MIB),
        };
        assert_eq!(report.headline.escaped, [escaped]);
        // What is charged elsewhere does not explain this cgroup's usage.
        assert_eq!(
            report.peak.unwrap().composition.unwrap().unattributed,
            51 << 20
        );
    }

    #[test]
    fn what_was_polled_is_never_complete_and_an_end_can_be_seen_without_its_status() {
        let unseen = EventKind::Exited {
            tgid: Tgid(11),
            status: None,
            rss_high_water: mib(30),
        };
        let script = Script::new([
            forked(1, 10),
            execed(10, "make"),
            forked(10, 11),
            execed(11, "cc"),
            unseen,
            exited(10, 2),
            ended(0),
            headline(40, None),
        ]);
        let (exact, _) = script.report(&[]);
        let (polled, _) = script.report_of("proc", &[]);
        assert_eq!(
            (exact.headline.complete, polled.headline.complete),
            (true, false)
        );
        let about = |report: &Report| {
            let of_processes = |note: &&Note| note.what == "processes";
            report.notes.iter().filter(of_processes).count()
        };
        assert_eq!((about(&exact), about(&polled)), (0, 1));
        let top = &polled.processes.top[0];
        assert_eq!((top.pid, top.ended_s), (11, Some(4.0)));
        assert_eq!((top.exit.code, top.exit.signal), (None, None));
        assert_eq!(polled.processes.exits, 2);
    }

    #[test]
    fn a_headline_at_the_limit_is_saturated() {
        let of = |size, limit| {
            Script::new([ended(0), headline(size, limit)])
                .report(&[])
                .0
                .headline
        };
        assert!(of(1000, Some(1000)).saturated);
        let killed = |limit: Option<u64>| {
            let read = EventKind::HeadlineRead {
                bytes: mib(900),
                limit: limit.map(ByteSize::from_mib),
                oom_kills: Some(1),
            };
            let (report, _) = Script::new([ended(137), read]).report(&[]);
            report.headline.saturated
        };
        assert!(killed(Some(1000)) && !killed(None));
        assert!(!of(900, Some(1000)).saturated);
        assert!(!of(900, None).saturated);
    }

    #[test]
    fn the_verdict_tells_how_the_build_ended() {
        let of = |kinds: &[EventKind]| Script::new(kinds.to_vec()).report(&[]).0.verdict;
        let check = |ok| EventKind::Verified {
            checks: vec![VerifyCheck {
                path: "a".into(),
                ok,
                detail: String::new(),
                bytes: None,
            }],
        };
        let killed = EventKind::BuildEnded {
            status: ExitStatus::Signal(9),
        };
        let interrupt = EventKind::SignalForwarded { signal: 2 };
        assert_eq!(of(&[]), Verdict::Incomplete);
        assert_eq!(of(&[ended(0), check(true)]), Verdict::Pass);
        assert_eq!(of(&[ended(0), check(false)]), Verdict::VerificationFailed);
        assert_eq!(of(&[ended(2), check(false)]), Verdict::BuildFailed);
        assert_eq!(of(std::slice::from_ref(&killed)), Verdict::BuildKilled);
        assert_eq!(of(&[interrupt.clone(), ended(130)]), Verdict::Interrupted);
        assert_eq!(of(&[interrupt.clone(), killed]), Verdict::Interrupted);
        assert_eq!(of(&[interrupt, ended(0)]), Verdict::Pass);
    }

    #[test]
    fn budgets_of_stages_and_classes_are_compared_with_their_own_figures() {
        let mut script = Script::new([
            forked(1, 10),
            execed(10, "make"),
            forked(10, 11),
            execed(11, "cc1 x.c"),
            sampled(0, &[(10, 5), (11, 70)]),
            exited(11, 80),
            exited(10, 5),
            ended(0),
            headline(100, None),
        ]);
        let sizes = |sizes: &[(&str, u64)]| {
            let sizes = sizes.iter();
            sizes
                .map(|(name, mib)| ((*name).to_owned(), ByteSize::from_mib(*mib)))
                .collect()
        };
        script.1 = Some(Budgets {
            peak: Some(ByteSize::from_mib(100)),
            stages: sizes(&[("compile", 60), ("lint", 1)]),
            classes: sizes(&[("cc1", 80)]),
        });
        let (report, _) = script.report(&[("compile", "cc1")]);
        let told: Vec<_> = (report.budgets.iter())
            .map(|budget| {
                let mib = |bytes: Option<u64>| bytes.map(|bytes| bytes / MIB);
                let PartBudget {
                    part,
                    name,
                    measured_bytes,
                    exceeded_by_bytes,
                    ..
                } = budget;
                (
                    *part,
                    name.as_str(),
                    mib(*measured_bytes),
                    mib(*exceeded_by_bytes),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (Part::Stage, "compile", Some(70), Some(10)),
                (Part::Stage, "lint", Some(0), Some(0)),
                (Part::Class, "cc1", Some(80), Some(0)),
            ]
        );
        assert_eq!(report.budget.unwrap().exceeded_by_bytes, Some(0));
        assert_eq!(report.verdict, Verdict::OverBudget);
        let why = |what: &str| {
            report
                .notes
                .iter()
                .find(|note| note.what == what)
                .map(|note| note.why.as_str())
        };
        assert_eq!(why("budgets.stage.lint"), Some("nothing of that name ran"));
        assert_eq!(why("budgets.stage.compile"), None);
    }

    #[test]
    fn what_is_missing_has_a_note() {
        let (report, _) = Script::new([]).report(&[]);
        for what in ["headline.bytes", "peak", "exit", "oom.kills"] {
            assert!(
                report.notes.iter().any(|note| note.what == what),
                "no note on {what}"
            );
        }
    }

    #[test]
    fn processes_are_grouped_by_what_they_ran() {
        let mut script = vec![forked(1, 10), execed(10, "make")];
        for (tgid, size) in [(11, 30), (12, 10), (13, 20), (14, 40)] {
            script.extend([
                forked(10, tgid),
                execed(tgid, "/usr/lib/cc1 x.c"),
                exited(tgid, size),
            ]);
        }
        let (report, _) = Script::new(script).report(&[]);
        let cc1 = crate::report::ProcessClass {
            command_class: "cc1".into(),
            count: 4,
            peak_rss_max_bytes: Some(40 * MIB),
            peak_rss_p50_bytes: Some(20 * MIB),
            // One after the other.
            peak_concurrency: 1,
            pss_at_peak_bytes: 0,
            share_of_peak: 0.0,
        };
        assert_eq!(report.processes.classes[0], cc1);
        assert_eq!(
            report
                .processes
                .classes
                .iter()
                .map(|class| class.count)
                .sum::<u64>(),
            5
        );
    }
}
