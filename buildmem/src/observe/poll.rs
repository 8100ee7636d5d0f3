//! Follows the build's processes where eBPF cannot be had: looks at them in `/proc` many times a second, which needs
//! no privilege. What lives shorter than the time between two looks is not seen, and figures are as of the last look.
//!
//! The build's descendants are found through their parents. So that those whose parents end are found too, build-mem
//! becomes their parent (a subreaper), and asks for their status when they end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::process::{
    Pid, WaitOptions, child_subreaper, getpid, geteuid, set_child_subreaper, waitpid,
};

use super::host::boot_time_now;
use super::proc::{ImageMark, ProcReader, Stat, is_gone};
use super::sampler::Stopwatch;
use crate::command_line::CommandLine;
use crate::event::{Event, EventKind, ExitStatus};
use crate::ids::Tgid;
use crate::problem::Problem;
use crate::reading::Reading;
use crate::units::{BootTime, ByteSize};

/// How often the processes are looked at, where that costs little.
pub const INTERVAL: Duration = Duration::from_millis(20);

/// A look is followed by a rest of so many times its cost: 5 % of one core at the most.
const REST: u32 = 20;

/// Source of a process's peak: less than the true one by what it grew after the last look.
const LAST_HIGH_WATER: &str = "VmHWM of /proc/<pid>/status at the last look";

/// Follows the descendants of one process of ours by polling.
pub struct Tracker {
    looker: Looker,
    was_subreaper: Option<Pid>,
    /// How long after a look the next one may be taken.
    rest: Duration,
    /// The build's own process has ended: what is left is looked at without rest.
    ending: bool,
}

impl Tracker {
    /// From now on, orphans among the descendants of this process become its children. Nothing is followed until
    /// [`started`](Self::started).
    ///
    /// # Errors
    ///
    /// When `proc_root` does not show this process under its own number, or it may not become a subreaper.
    pub fn start(proc_root: &Path) -> Result<Self, Problem> {
        let what = "cannot follow processes by polling";
        let own = Tgid(getpid().as_raw_nonzero().get().cast_unsigned());
        let shown = std::fs::read_link(proc_root.join("self"));
        if !shown.is_ok_and(|shown| shown == Path::new(&own.to_string())) {
            let shown = proc_root.display();
            return Err(Problem::new(what)
                .because(format!("`{shown}` does not show this process under its number"))
                .help("mount the `/proc` of this PID namespace, as `unshare --mount-proc` does"));
        }
        let mut proc = ProcReader::new(proc_root).map_err(|error| {
            Problem::new(format!("cannot read `{}`", proc_root.display())).because(error)
        })?;
        let search = Search::choose(&mut proc, own);
        let no_subreaper =
            |errno| Problem::new(what).because(format!("PR_SET_CHILD_SUBREAPER: {errno}"));
        let was_subreaper = child_subreaper().map_err(no_subreaper)?;
        set_child_subreaper(Some(getpid())).map_err(no_subreaper)?;
        Ok(Self {
            looker: Looker::new(proc, own, search),
            was_subreaper,
            rest: Duration::ZERO,
            ending: false,
        })
    }

    /// To be called before the build is started: children that this process has now are not the build's.
    pub fn arm(&mut self) {
        self.looker.learn_foreign();
        self.looker.last_look = boot_time_now();
    }

    /// The build's own process was started.
    pub const fn started(&mut self, build: Tgid) {
        self.looker.build = Some(build);
    }

    /// The build's own process was waited for. What is left of it is looked at without rest from now on.
    pub const fn build_ended(&mut self, status: ExitStatus) {
        self.looker.build_status = Some(status);
        self.ending = true;
    }

    /// Looks at the processes, unless the last look has cost so much that it is too early, and hands what has changed
    /// to `sink`.
    pub fn drain(&mut self, sink: impl FnMut(Event)) {
        let now = boot_time_now();
        let rested = now.since(self.looker.last_look) >= self.rest;
        if self.looker.build.is_none() || !(rested || self.ending) {
            return;
        }
        let mut stopwatch = Stopwatch::start();
        let events = self.looker.look(now);
        self.rest = stopwatch.lap() * REST;
        events.into_iter().for_each(sink);
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        // What the build left running is from now on whose it would have been without us.
        let _ = set_child_subreaper(self.was_subreaper);
    }
}

/// How children are found.
enum Search {
    /// From each process, by what the kernel lists (`CONFIG_PROC_CHILDREN`).
    Listed,
    /// By the parents of all processes on the host, which are kept here by their parent.
    Everyone(BTreeMap<Tgid, Vec<Tgid>>),
}

impl Search {
    fn choose(proc: &mut ProcReader, own: Tgid) -> Self {
        match proc.children(own, true, &mut Vec::new()) {
            Ok(()) => Self::Listed,
            Err(_) => Self::Everyone(BTreeMap::new()),
        }
    }
}

/// What is known of the processes, without the clock and the process that looks.
struct Looker {
    proc: ProcReader,
    own: Tgid,
    search: Search,
    nanos_per_tick: u64,
    /// Children of ours that we had before the build, each with the moment of its fork.
    foreign: BTreeSet<(Tgid, u64)>,
    build: Option<Tgid>,
    build_status: Option<ExitStatus>,
    known: BTreeMap<Tgid, Known>,
    last_look: BootTime,
}

/// A process of the build.
#[derive(Debug)]
struct Known {
    started_ticks: u64,
    name: Vec<u8>,
    image: ImageMark,
    /// Kept where the image cannot be told by its layout.
    command: Option<CommandLine>,
    high_water: Option<ByteSize>,
    single_threaded: bool,
    /// Its end was told, and its parent has not asked for its status yet.
    ended: bool,
}

impl Looker {
    fn new(proc: ProcReader, own: Tgid, search: Search) -> Self {
        Self {
            proc,
            own,
            search,
            nanos_per_tick: 1_000_000_000 / clock_ticks_per_second().max(1),
            foreign: BTreeSet::new(),
            build: None,
            build_status: None,
            known: BTreeMap::new(),
            last_look: BootTime::default(),
        }
    }

    fn learn_foreign(&mut self) {
        self.look_around();
        for child in self.children(self.own, false) {
            if let Ok(stat) = self.proc.stat(child) {
                self.foreign.insert((child, stat.started_ticks));
            }
        }
    }

    /// What has changed since the last look, in the order of time as far as it is known.
    fn look(&mut self, now: BootTime) -> Vec<Event> {
        let mut events = Vec::new();
        self.look_around();
        for child in self.children(self.own, false) {
            self.meet(child, None, now, &mut events);
        }
        let mut waiting: VecDeque<Tgid> = self.known.keys().copied().collect();
        while let Some(tgid) = waiting.pop_front() {
            let Some(single_threaded) = self.look_at(tgid, now, &mut events) else {
                continue;
            };
            for child in self.children(tgid, single_threaded) {
                if self.meet(child, Some(tgid), now, &mut events) {
                    waiting.push_back(child);
                }
            }
        }
        self.last_look = now;
        events.sort_by_key(|event| event.at);
        events
    }

    /// Takes in a process that was not known. Whether it is one, and of the build.
    fn meet(
        &mut self,
        tgid: Tgid,
        parent: Option<Tgid>,
        now: BootTime,
        events: &mut Vec<Event>,
    ) -> bool {
        if self.known.contains_key(&tgid) {
            return false;
        }
        let Ok(stat) = self.proc.stat(tgid) else {
            return false;
        };
        if self.foreign.contains(&(tgid, stat.started_ticks)) {
            return false;
        }
        let at = self.moment(&stat, now);
        let parent = match parent {
            None if self.build == Some(tgid) => Some(self.own),
            // An orphan that is met for the first time: who forked it is not known.
            parent => parent,
        };
        let command = self.command_of(tgid, &stat);
        if let Some(parent) = parent {
            events.push(Event::new(
                at,
                EventKind::Forked {
                    parent,
                    child: tgid,
                    shares_mm: false,
                },
            ));
        }
        if self.has_execed(parent, &stat, &command) {
            events.push(Event::new(
                at,
                EventKind::Execed {
                    tgid,
                    argv: command.clone(),
                    ended_image: Reading::missing("it was not seen"),
                },
            ));
        }
        self.known
            .insert(tgid, Known::new(stat, command));
        true
    }

    /// Looks at a known process again. Whether it has one thread; nothing when it has ended.
    fn look_at(&mut self, tgid: Tgid, now: BootTime, events: &mut Vec<Event>) -> Option<bool> {
        let stat = match self.proc.stat(tgid) {
            Ok(stat) => Some(stat),
            Err(error) if is_gone(&error) => None,
            // To be looked at the next time.
            Err(_) => return None,
        };
        let started_ticks = self.known.get(&tgid)?.started_ticks;
        let (stat, successor) = match stat {
            Some(stat) if stat.started_ticks == started_ticks => (Some(stat), None),
            other => (None, other),
        };
        let Some(stat) = stat else {
            // Its number may be another's already.
            let at = successor.map_or(now, |stat| self.moment(&stat, now));
            let known = self.known.remove(&tgid)?;
            let status = self.build_status.filter(|_| self.build == Some(tgid));
            events.extend(known.exited(tgid, status, at));
            return None;
        };
        if stat.ended && self.build == Some(tgid) && self.build_status.is_none() {
            // It is waited for elsewhere, and its end told then.
            return None;
        }
        if stat.ended {
            let status = self.status_of(tgid, &stat);
            let known = self.known.get_mut(&tgid)?;
            events.extend(known.exited(tgid, status, now));
            known.ended = true;
            return None;
        }
        // Before whatever it has forked since.
        let since = self.moment(&stat, now);
        let known = self.known.get_mut(&tgid)?;
        known.single_threaded = stat.single_threaded;
        if let Some(command) = known.next_command(&stat, || self.proc.command_line(tgid)) {
            let ended_image = known.peak();
            events.push(Event::new(
                since,
                EventKind::Execed {
                    tgid,
                    argv: command.clone(),
                    ended_image,
                },
            ));
            *known = Known::new(stat, command);
        }
        // A process that is just ending has none any more.
        if let Ok(high_water) = self.proc.high_water(tgid) {
            known.high_water = known.high_water.max(Some(high_water));
        }
        Some(known.single_threaded)
    }

    /// Whether a process that is met for the first time has called exec since its parent forked it.
    fn has_execed(&self, parent: Option<Tgid>, stat: &Stat, command: &CommandLine) -> bool {
        let Some(parent) = parent.and_then(|parent| self.known.get(&parent)) else {
            return true;
        };
        match (parent.image, stat.image) {
            (ImageMark::NotPermitted, ImageMark::NotPermitted) => {
                parent.command.as_ref() != Some(command)
            }
            (_, ImageMark::None) | (ImageMark::None, _) => parent.name != stat.name,
            (parent, own) => parent != own,
        }
    }

    /// The command line; what has ended has only a name left.
    fn command_of(&mut self, tgid: Tgid, stat: &Stat) -> CommandLine {
        match self.proc.command_line(tgid) {
            Ok(command) if !command.args.is_empty() => command,
            Ok(_) | Err(_) => CommandLine::from_args([stat.name.clone()]),
        }
    }

    /// How a process that has ended did so, as far as it can be known. When it is a child of ours, it is gone then.
    fn status_of(&self, tgid: Tgid, stat: &Stat) -> Option<ExitStatus> {
        if self.build == Some(tgid) {
            return self.build_status;
        }
        if stat.parent == self.own {
            return reap(tgid);
        }
        // 0 also stands for "not permitted"; our own user's processes are, once their memory is gone.
        let permitted = stat.wait_status != 0
            || self
                .proc
                .user(tgid)
                .is_ok_and(|user| user == geteuid().as_raw());
        permitted.then(|| ExitStatus::from_wait_status(stat.wait_status))
    }

    /// The fork of a process, to the clock tick; it was not there at the last look.
    fn moment(&self, stat: &Stat, now: BootTime) -> BootTime {
        let forked = BootTime::from_nanos(stat.started_ticks.saturating_mul(self.nanos_per_tick));
        forked.max(self.last_look).min(now)
    }

    fn look_around(&mut self) {
        let Search::Everyone(by_parent) = &mut self.search else {
            return;
        };
        by_parent.clear();
        for tgid in self.proc.processes().unwrap_or_default() {
            if let Ok(stat) = self.proc.stat(tgid) {
                by_parent.entry(stat.parent).or_default().push(tgid);
            }
        }
    }

    fn children(&mut self, tgid: Tgid, single_threaded: bool) -> Vec<Tgid> {
        match &self.search {
            Search::Listed => {
                let mut children = Vec::new();
                // A process that has just ended has none, and is found to be gone the next time.
                let _ = self
                    .proc
                    .children(tgid, single_threaded, &mut children);
                children
            }
            Search::Everyone(by_parent) => by_parent.get(&tgid).cloned().unwrap_or_default(),
        }
    }
}

impl Known {
    fn new(stat: Stat, command: CommandLine) -> Self {
        let Stat {
            name,
            parent: _,
            ended: _,
            single_threaded,
            started_ticks,
            image,
            wait_status: _,
        } = stat;
        Self {
            started_ticks,
            name,
            command: (image == ImageMark::NotPermitted).then_some(command),
            image,
            high_water: None,
            single_threaded,
            ended: false,
        }
    }

    /// Its command line, if it has called exec since it was last looked at.
    fn next_command(
        &self,
        stat: &Stat,
        read: impl FnOnce() -> io::Result<CommandLine>,
    ) -> Option<CommandLine> {
        match (self.image, stat.image) {
            (_, ImageMark::None) => None,
            (ImageMark::NotPermitted, ImageMark::NotPermitted) => read()
                .ok()
                .filter(|command| !command.args.is_empty() && self.command.as_ref() != Some(command)),
            (before, now) if before == now => None,
            (_, _) => read().ok().filter(|command| !command.args.is_empty()),
        }
    }

    fn peak(&self) -> Reading<ByteSize> {
        match self.high_water {
            Some(size) => Reading::known(size, LAST_HIGH_WATER),
            None => Reading::missing("it ended before its memory was looked at"),
        }
    }

    /// Its end, unless that was told.
    fn exited(&self, tgid: Tgid, status: Option<ExitStatus>, at: BootTime) -> Option<Event> {
        let kind = EventKind::Exited {
            tgid,
            status,
            rss_high_water: self.peak(),
        };
        (!self.ended).then(|| Event::new(at, kind))
    }
}

/// Asks for the status of a child of ours that has ended, which lets it go.
fn reap(tgid: Tgid) -> Option<ExitStatus> {
    let pid = Pid::from_raw(tgid.0.cast_signed())?;
    let (_, status) = waitpid(Some(pid), WaitOptions::NOHANG).ok()??;
    Some(ExitStatus::from_wait_status(status.as_raw()))
}
