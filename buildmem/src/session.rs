//! The only event loop: merges what the kernel reports, what the sampler reads and what happens to the build in
//! the order of time, feeds recording and tree, and ends with the build.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::event::{Event, EventKind, ExitStatus, Note, ProfilerCost};
use crate::export::text::Status;
use crate::growth::Growth;
use crate::ids::Tgid;
use crate::launch::signals::SignalStream;
use crate::launch::start::RunningBuild;
use crate::launch::terminal::Terminal;
use crate::launch::tui::Tui;
use crate::live::{Cost, Facts, Live, SortOrder};
use crate::observe::bpf::LostCount;
use crate::observe::cgroup::{Hierarchy, Leaf, StageMark};
use crate::observe::host::boot_time_now;
use crate::observe::proc::is_gone;
use crate::observe::sampler::Sampler;
use crate::observe::tracker::Tracker;
use crate::problem::Problem;
use crate::reading::Reading;
use crate::recorder::{Recorded, Recorder};
use crate::sampling::Means;
use crate::stages::StageId;
use crate::tree::ProcessTree;
use crate::units::{BootTime, ByteSize};

/// How often the recording is handed to the system, so that it survives our end.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// How long the clock waits for its sample at the most, when few more can be had.
const CLOCK_AT_LEAST: Duration = Duration::from_secs(1);

/// How soon it is seen that stages change, where the kernel keeps a mark for each.
const STAGES_CHANGE: Duration = Duration::from_millis(20);

/// How long processes that end together with the build are waited for before they count as left running.
const SETTLE: Duration = Duration::from_millis(200);

/// A measurement under way.
pub struct Session {
    tracker: Tracker,
    leaf: Option<Leaf>,
    sampler: Sampler,
    recorder: Recorder,
    tree: ProcessTree,
    interval: Duration,
    started: BootTime,
    started_cpu: Duration,
    title: String,
    /// Whether what loses its parent becomes our child.
    reaps: bool,
    /// The build's own process, with the moment of its end as the kernel saw it.
    root: Option<(Tgid, Option<BootTime>)>,
    escaped: BTreeSet<String>,
    /// Absent where the kernel keeps no mark that can be set back.
    stage_mark: Option<StageMark>,
    /// The stages that went on when the mark was last read.
    live_stages: BTreeSet<StageId>,
    usage: Option<ByteSize>,
    peak: Option<ByteSize>,
    growth: Growth,
    /// The kernel tells of growth.
    watched: bool,
    /// It will, and has not yet.
    armed: bool,
    /// When the last sample was taken.
    sampled: Option<BootTime>,
    samples: u64,
    samples_triggered: u64,
    live: Option<Shown>,
}

/// What is folded for the screen of `--tui`, and where it is shown.
struct Shown {
    live: Live,
    tui: Tui,
    limit: Option<ByteSize>,
    budget: Option<ByteSize>,
}

/// What a session needs.
pub struct Parts {
    /// Follows the processes.
    pub tracker: Tracker,
    /// The build's cgroup; absent where none could be made.
    pub leaf: Option<Leaf>,
    /// Reads processes and cgroup.
    pub sampler: Sampler,
    /// Keeps the events.
    pub recorder: Recorder,
    /// Folds them.
    pub tree: ProcessTree,
    /// Time between samples.
    pub interval: Duration,
    /// When the measurement started.
    pub started: BootTime,
    /// What the status line begins with.
    pub title: String,
}

impl Session {
    /// Begins a measurement.
    pub fn new(parts: Parts) -> Self {
        let Parts {
            tracker,
            leaf,
            sampler,
            recorder,
            tree,
            interval,
            started,
            title,
        } = parts;
        // A poller waits for those that it polls.
        let reaps = std::process::id() == 1 && matches!(tracker, Tracker::Ebpf(_));
        Self {
            tracker,
            leaf,
            sampler,
            recorder,
            tree,
            interval,
            started,
            started_cpu: own_cpu_time(),
            title,
            reaps,
            root: None,
            escaped: BTreeSet::new(),
            stage_mark: None,
            live_stages: BTreeSet::new(),
            usage: None,
            peak: None,
            growth: Growth::default(),
            watched: false,
            armed: false,
            sampled: None,
            samples: 0,
            samples_triggered: 0,
            live: None,
        }
    }

    /// Shows the measurement on this screen.
    pub fn show_on(&mut self, tui: Tui, live: Live, budget: Option<ByteSize>) {
        self.live = Some(Shown {
            live,
            tui,
            limit: self.leaf.as_ref().and_then(Leaf::limit),
            budget,
        });
    }

    /// Gives the screen back, where there is one.
    pub fn take_screen(&mut self) -> Option<Tui> {
        self.live.take().map(|shown| shown.tui)
    }

    /// Starts the build, so that its process is followed from its fork on.
    pub fn start(
        &mut self,
        start: impl FnOnce() -> Result<RunningBuild, Problem>,
    ) -> Result<RunningBuild, Problem> {
        self.stage_mark = self.leaf.as_ref().and_then(|leaf| leaf.stage_mark().ok());
        self.tracker.arm()?;
        let build = start();
        self.tracker.disarm()?;
        let build = build?;
        self.tracker.started(build.tgid());
        self.root = Some((build.tgid(), None));
        self.drain();
        self.record_now(EventKind::BuildStarted { tgid: build.tgid() });
        Ok(build)
    }

    /// Observes until the build's own process ends.
    pub async fn observe(
        &mut self,
        build: &mut RunningBuild,
        signals: &SignalStream,
        terminal: &Terminal,
    ) -> Result<ExitStatus, Problem> {
        let mut drains = interval(self.drain_interval());
        drains.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut samples = interval(self.interval);
        samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flushed = Instant::now();
        let growth = self.growth_events();
        self.watched = growth.is_some();
        let mut next_look = Instant::now();
        loop {
            // Signals reach the build through a borrow that waiting for its end holds, too.
            let signal = tokio::select! {
                status = build.wait() => {
                    // Ctrl-C reaches the build too, which may have ended by it before we looked.
                    while let Some(signal) = signals.pending() {
                        self.record_now(EventKind::SignalForwarded {
                            signal: signal.signal as i32,
                        });
                    }
                    return status;
                }
                signal = signals.next() => Some(signal?),
                _ = samples.tick() => {
                    self.drain();
                    self.sample(self.means_for_the_clock());
                    if terminal.shows_status() {
                        terminal.set_status(&self.status_line());
                    }
                    self.show(false);
                    None
                }
                () = sleep_until(next_look), if self.leaf.is_some() => {
                    next_look = Instant::now() + self.look();
                    None
                }
                () = readable(growth.as_ref()) => {
                    if let Some(low) = self.tracker.grown() {
                        self.growth.told(low);
                        self.armed = false;
                        next_look = Instant::now() + self.look();
                    }
                    None
                }
                _ = drains.tick() => {
                    self.drain();
                    if self.reaps {
                        build.reap_others();
                    }
                    self.tracker.flush_diagnostics();
                    // One waking does for both.
                    if Instant::now() + self.drain_interval() / 2 >= next_look {
                        next_look = Instant::now() + self.look();
                    }
                    None
                }
            };
            if let Some(signal) = signal {
                self.record_now(EventKind::SignalForwarded {
                    signal: signal.signal as i32,
                });
                if let Err(problem) = signal.forward(build) {
                    let what = "signal".to_owned();
                    self.note(Note {
                        what,
                        why: problem.to_string(),
                    });
                }
            }
            if flushed.elapsed() >= FLUSH_INTERVAL {
                self.recorder.flush();
                flushed = Instant::now();
            }
        }
    }

    /// Takes in the build's end, and accounts for what it left behind and for what was not seen.
    pub async fn end(&mut self, status: ExitStatus) {
        self.tracker.build_ended(status);
        self.drain();
        let (_, ended) = self.root.unwrap_or((Tgid(0), None));
        let at = ended.unwrap_or_else(boot_time_now);
        self.record(Event::new(at, EventKind::BuildEnded { status }));
        self.settle().await;
        self.show(true);
        self.tracker.flush_diagnostics();
        self.tell_left_running();
        self.tell_losses();
        self.tell_headline();
    }

    /// Notes something that a reader must know.
    pub fn note(&mut self, note: Note) {
        self.record_now(EventKind::Noted(note));
    }

    /// Adds what happens now.
    pub fn record_now(&mut self, kind: EventKind) {
        self.record(Event::new(boot_time_now(), kind));
    }

    /// Ends the measurement: removes the build's cgroup, and gives what was recorded.
    pub fn finish(mut self) -> Recorded {
        if let Some(leaf) = self.leaf.take()
            && let Err(problem) = leaf.remove()
        {
            self.note(Note {
                what: "headline.cgroup".to_owned(),
                why: problem.to_string(),
            });
        }
        let cost = self.cost();
        self.record_now(EventKind::MeasurementEnded(cost));
        self.recorder.finish()
    }

    fn record(&mut self, event: Event) {
        let ended = self.tree.apply(&event);
        if let Some(Shown { live, .. }) = &mut self.live {
            live.apply(&event, &self.tree, ended.as_ref());
        }
        self.recorder.record(event);
    }

    /// How often the kernel's events are taken over: where stages have a mark of their own, soon after they change.
    fn drain_interval(&self) -> Duration {
        let usual = self.tracker.drain_interval();
        match self.stage_mark {
            Some(_) => usual.min(STAGES_CHANGE),
            None => usual,
        }
    }

    /// Takes over the kernel's events.
    fn drain(&mut self) {
        self.take_over();
        let live = self.tree.live_stages();
        if live != self.live_stages {
            self.live_stages = live;
            self.read_stage_mark();
        }
    }

    /// Reads the highest usage since the stages last changed.
    fn read_stage_mark(&mut self) {
        // Without it, the report says so.
        if let Some(bytes) = self.stage_mark.as_ref().and_then(|mark| mark.take().ok()) {
            self.record_now(EventKind::StagePeakRead { bytes });
        }
    }

    fn take_over(&mut self) {
        let Self {
            tracker,
            tree,
            recorder,
            root,
            escaped,
            leaf,
            live,
            ..
        } = self;
        let path_of = |id| leaf.as_ref().and_then(|leaf| leaf.path_outside(id));
        tracker.drain(path_of, |event| {
            match (&event.event, &mut *root) {
                (EventKind::Exited { tgid, .. }, Some((build, ended))) if tgid == build => {
                    // The first end of that number: it may be another process's later.
                    ended.get_or_insert(event.at);
                }
                (EventKind::CgroupLeft { cgroup, .. }, _) => {
                    escaped.insert(cgroup.clone());
                }
                _ => {}
            }
            let ended = tree.apply(&event);
            if let Some(Shown { live, .. }) = live {
                live.apply(&event, tree, ended.as_ref());
            }
            recorder.record(event);
        });
    }

    /// What tells that the build's memory has grown, where something does.
    fn growth_events(&self) -> Option<AsyncFd<OwnedFd>> {
        self.leaf.as_ref()?;
        let fd = self.tracker.growth_fd()?.try_clone_to_owned().ok()?;
        // SAFETY: the descriptor is an `OwnedFd`'s, which gives the same one as long as it lives.
        let events = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        // Without it the usage is looked at more often.
        events.ok()
    }

    /// Looks whether memory has grown so much that a sample is due. Gives the time until the next look.
    fn look(&mut self) -> Duration {
        let Some(leaf) = &mut self.leaf else {
            return self.interval;
        };
        let Some((at, usage)) = self.sampler.look(|| leaf.usage().ok()) else {
            return self.interval;
        };
        if self.growth.looked(at, usage, self.sampler.means(at)) {
            self.drain();
            let before = self.samples;
            self.sample(Means::Last);
            self.samples_triggered += self.samples - before;
        }
        if !self.armed {
            // Told, and not worth a sample.
            self.watch_growth();
        }
        self.growth.next_look(self.watched)
    }

    /// The last means are kept for what the clock does not see, but for one sample a second.
    fn means_for_the_clock(&self) -> Means {
        if self
            .sampled
            .is_none_or(|at| boot_time_now().since(at) > CLOCK_AT_LEAST)
        {
            Means::Last
        } else {
            Means::Short
        }
    }

    /// Takes a sample, where no less than these means are left.
    fn sample(&mut self, least: Means) {
        let Self {
            sampler,
            tree,
            leaf,
            ..
        } = self;
        // A cgroup that cannot be read leaves the sample without it; the report says so.
        let read_cgroup = || leaf.as_mut().and_then(|leaf| leaf.sample().ok());
        let Some(event) = sampler.sample(tree, least, read_cgroup) else {
            return;
        };
        if let EventKind::Sampled { cgroup, .. } = &event.event {
            self.usage = cgroup.map(|sample| sample.usage);
            if let Some(usage) = self.usage {
                self.growth.sampled(event.at, usage);
                self.watch_growth();
            }
        }
        self.samples += 1;
        self.sampled = Some(event.at);
        self.record(event);
        let held = self.usage.unwrap_or_else(|| {
            self.tree
                .holdings()
                .iter()
                .filter_map(|holding| holding.pss)
                .sum()
        });
        self.peak = self.peak.max(Some(held));
    }

    /// Has the kernel tell of the growth that is worth the next look.
    fn watch_growth(&mut self) {
        if !self.watched {
            return;
        }
        let Some(gate) = self.growth.gate() else {
            return;
        };
        match self.tracker.watch_growth(gate) {
            Ok(()) => self.armed = true,
            Err(problem) => {
                log::warn!("{problem}");
                self.watched = false;
            }
        }
    }

    fn status_line(&self) -> String {
        let stages = self.tree.stages();
        let status = Status {
            title: self.title.clone(),
            stage: self
                .tree
                .current_stage()
                .map(|stage| stages.name(Some(stage)).to_owned()),
            now: self.usage,
            peak: self.peak,
            processes: self.tree.live().len() as u64,
            elapsed: boot_time_now().since(self.started),
        };
        crate::export::text::status(&status)
    }

    /// Hands a view to the screen, when it wants one or the build has `ended`.
    fn show(&mut self, ended: bool) {
        let now = boot_time_now();
        let Self {
            live: Some(shown),
            tree,
            leaf,
            tracker,
            ..
        } = self
        else {
            return;
        };
        let order = match (shown.tui.wants(), ended) {
            (Some(order), _) => order,
            (None, true) => SortOrder::default(),
            (None, false) => return,
        };
        let headline = leaf.as_ref().and_then(|leaf| {
            let headline = leaf.headline(|| tracker.watermark(leaf.id()));
            headline.value().copied()
        });
        let elapsed = now.since(self.started).max(Duration::from_millis(1));
        let cpu = own_cpu_time().saturating_sub(self.started_cpu);
        let facts = Facts {
            headline,
            limit: shown.limit,
            budget: shown.budget,
            ended,
            cost: Cost {
                cpu_share: cpu.as_secs_f64() / elapsed.as_secs_f64(),
                samples: self.samples,
                triggered: self.samples_triggered,
                put_off: self.sampler.put_off(),
            },
        };
        let view = shown.live.view(now, order, tree, facts);
        shown.tui.show(view);
    }

    /// Waits a moment for processes that end together with the build.
    async fn settle(&mut self) {
        let until = Instant::now() + SETTLE;
        while self.tree.live().len() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
            self.drain();
        }
    }

    fn tell_left_running(&mut self) {
        let left: Vec<(Tgid, BootTime)> = self
            .tree
            .live()
            .map(|process| (process.tgid, process.started))
            .collect();
        let ends_may_be_lost = self
            .tracker
            .lost()
            .is_ok_and(|losses| losses.iter().any(|lost| lost.count > 0));
        for (tgid, started) in left {
            let proc = self.sampler.proc();
            // Its end was lost, and its number belongs to a program that began later.
            if ends_may_be_lost && proc.stat(tgid).is_ok_and(|stat| stat.started() > started) {
                continue;
            }
            let rss_high_water = match proc.high_water(tgid) {
                Ok(size) => Reading::known(size, "VmHWM of /proc/<pid>/status"),
                // It is left in the tree only: its end was lost, which is told.
                Err(error) if is_gone(&error) && ends_may_be_lost => continue,
                // It ends just now, and its event is under way: it is as good as ended.
                Err(error) if is_gone(&error) => Reading::missing("it ended when it was looked at"),
                Err(error) => Reading::missing(error.to_string()),
            };
            self.record_now(EventKind::LeftRunning {
                tgid,
                rss_high_water,
            });
        }
    }

    fn tell_losses(&mut self) {
        match self.tracker.lost() {
            Ok(losses) => {
                for LostCount {
                    source,
                    count,
                    at_most,
                } in losses
                {
                    let source = source.to_owned();
                    if at_most {
                        self.note(Note {
                            what: "profiler.events_lost".to_owned(),
                            why: format!("besides, at most {count} {source}"),
                        });
                    } else {
                        self.record_now(EventKind::Lost { source, count });
                    }
                }
            }
            // Not to know whether anything was lost is a loss.
            Err(problem) => {
                self.record_now(EventKind::Lost {
                    source: problem.to_string(),
                    count: 1,
                });
            }
        }
        if let Some(error) = self.sampler.refused() {
            let why = format!("the PSS of some processes could not be read: {error}");
            self.note(Note {
                what: "peak.processes[].pss_bytes".to_owned(),
                why,
            });
        }
    }

    fn tell_headline(&mut self) {
        let Some(leaf) = &self.leaf else {
            self.record_now(EventKind::HeadlineRead {
                bytes: Reading::missing("the build had no cgroup of its own"),
                limit: None,
                oom_kills: None,
            });
            return;
        };
        let headline = EventKind::HeadlineRead {
            // What the file shows is what the kernel keeps, and not every kernel has the file.
            bytes: leaf.headline(|| self.tracker.watermark(leaf.id())),
            limit: leaf.limit(),
            oom_kills: leaf.oom_kills(),
        };
        let hierarchy: Hierarchy = leaf.hierarchy().clone();
        let pressure = leaf.pressure();
        self.record_now(headline);
        self.record_now(EventKind::PressureRead(pressure));
        for cgroup in std::mem::take(&mut self.escaped) {
            let watermark = || Some(self.tracker.watermark(hierarchy.id_of(&cgroup)?));
            let bytes = match hierarchy.peak_of(&cgroup) {
                Reading::Missing(why) => watermark().unwrap_or(Reading::Missing(why)),
                known @ Reading::Known { .. } => known,
            };
            self.record_now(EventKind::EscapedCgroupRead { cgroup, bytes });
        }
    }

    fn cost(&mut self) -> ProfilerCost {
        let own = Tgid(std::process::id());
        ProfilerCost {
            sampler_cpu_s: self.sampler.cpu_time().as_secs_f64(),
            total_cpu_s: own_cpu_time()
                .saturating_sub(self.started_cpu)
                .as_secs_f64(),
            peak_rss: self.sampler.proc().high_water(own).unwrap_or_default(),
            samples: self.samples,
            samples_triggered: self.samples_triggered,
            samples_put_off: self.sampler.put_off(),
        }
    }
}

/// Waits until there is something to read; for ever without a descriptor.
async fn readable(events: Option<&AsyncFd<OwnedFd>>) {
    if let Some(events) = events
        && let Ok(mut ready) = events.readable().await
    {
        // What is there is read at once.
        ready.clear_ready();
        return;
    }
    std::future::pending::<()>().await;
}

/// CPU time of all our threads.
fn own_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    // The clock of a running process is never negative.
    Duration::try_from(time).unwrap_or_default()
}
