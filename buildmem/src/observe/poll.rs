//! Follows the build's processes where eBPF cannot be had: looks at them in `/proc` many times a second, which needs
//! no privilege. What lives shorter than the time between two looks is not seen, and figures are as of the last look.
//!
//! The build's descendants are found through their parents. So that those whose parents end are found too, build-mem
//! becomes their parent (a subreaper), and asks for their status when they end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{
    Pid, WaitOptions, child_subreaper, geteuid, getpid, set_child_subreaper, waitpid,
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
                .because(format!(
                    "`{shown}` does not show this process under its number"
                ))
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
            foreign: BTreeSet::new(),
            build: None,
            build_status: None,
            known: BTreeMap::new(),
            last_look: BootTime::default(),
        }
    }

    /// Remembers the children that we have before the build. An orphan of theirs that comes to us later cannot be told from
    /// the build's.
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
        self.known.insert(tgid, Known::new(stat, command));
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
        stat.started().max(self.last_look).min(now)
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
                let _ = self.proc.children(tgid, single_threaded, &mut children);
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
            (ImageMark::NotPermitted, ImageMark::NotPermitted) => read().ok().filter(|command| {
                !command.args.is_empty() && self.command.as_ref() != Some(command)
            }),
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const OWN: u32 = 10;
    const BUILD: u32 = 11;

    /// A process as `/proc` shows it.
    #[derive(Clone, Copy)]
    struct Shown {
        parent: u32,
        started_s: u64,
        layout: [u64; 3],
        command: &'static [&'static str],
        high_water_mib: u64,
        state: char,
        wait_status: i32,
    }

    /// A living process, forked in the first second, that runs the program laid out at `stack`.
    const fn process(parent: u32, stack: u64, command: &'static [&'static str]) -> Shown {
        Shown {
            parent,
            started_s: 1,
            layout: [100, 200, stack],
            command,
            high_water_mib: 5,
            state: 'S',
            wait_status: 0,
        }
    }

    /// A `/proc` of our making, at which a looker looks once a second.
    struct World {
        root: tempfile::TempDir,
        processes: BTreeMap<u32, Shown>,
        looker: Looker,
        now_s: u64,
    }

    impl World {
        /// The build has just been started.
        fn new() -> Self {
            Self::searched(Search::Listed)
        }

        fn searched(search: Search) -> Self {
            let root = tempfile::tempdir().unwrap();
            let proc = ProcReader::new(root.path()).unwrap();
            let mut looker = Looker::new(proc, Tgid(OWN), search);
            looker.build = Some(Tgid(BUILD));
            let own = process(1, 1, &["build-mem"]);
            let build = process(OWN, 2, &["make", "all"]);
            Self {
                root,
                processes: [(OWN, own), (BUILD, build)].into(),
                looker,
                now_s: 1,
            }
        }

        fn render(&self) {
            for entry in fs::read_dir(self.root.path()).unwrap() {
                fs::remove_dir_all(entry.unwrap().path()).unwrap();
            }
            for (tgid, process) in &self.processes {
                let folder = self.root.path().join(tgid.to_string());
                let task = folder.join(format!("task/{tgid}"));
                fs::create_dir_all(&task).unwrap();
                let children =
                    |(child, of): (&u32, &Shown)| (of.parent == *tgid).then(|| format!("{child} "));
                let children: String = self.processes.iter().filter_map(children).collect();
                fs::write(task.join("children"), children).unwrap();
                fs::write(folder.join("stat"), stat_line(*tgid, process)).unwrap();
                let (command, status) = match process.state {
                    'Z' => (String::new(), "State:\tZ (zombie)\n".to_owned()),
                    _ => (
                        process.command.join("\0") + "\0",
                        format!(
                            "State:\tS (sleeping)\nVmHWM:\t{} kB\n",
                            process.high_water_mib * 1024
                        ),
                    ),
                };
                fs::write(folder.join("cmdline"), command).unwrap();
                fs::write(folder.join("status"), status).unwrap();
            }
        }

        /// What the next look tells, a second after the last one: `<second> <what>`.
        fn look(&mut self) -> Vec<String> {
            self.render();
            self.now_s += 1;
            let now = BootTime::from_nanos(self.now_s * 1_000_000_000);
            self.looker.look(now).iter().map(told).collect()
        }
    }

    fn stat_line(tgid: u32, process: &Shown) -> String {
        let mut fields = vec!["0".to_owned(); 52];
        let mut set = |index: usize, value: String| fields[index - 1] = value;
        set(1, tgid.to_string());
        set(2, format!("({})", process.command[0]));
        set(3, process.state.to_string());
        set(4, process.parent.to_string());
        set(20, "1".to_owned());
        let ticks = process.started_s * rustix::param::clock_ticks_per_second();
        set(22, ticks.to_string());
        for (index, value) in (26..).zip(process.layout) {
            set(
                index,
                if process.state == 'Z' { 0 } else { value }.to_string(),
            );
        }
        set(52, process.wait_status.to_string());
        fields.join(" ") + "\n"
    }

    fn told(event: &Event) -> String {
        let peak = |reading: &Reading<ByteSize>| match reading {
            Reading::Known { value, source: _ } => value.to_string(),
            Reading::Missing(_) => "?".to_owned(),
        };
        let what = match &event.event {
            EventKind::Forked { parent, child, .. } => format!("{parent} forked {child}"),
            EventKind::Execed {
                tgid,
                argv,
                ended_image,
            } => {
                let ended = peak(ended_image);
                format!("{tgid} runs {} after {ended}", argv.joined())
            }
            EventKind::Exited {
                tgid,
                status,
                rss_high_water,
            } => {
                let peak = peak(rss_high_water);
                let status = status.map(ExitStatus::shell_code);
                format!("{tgid} ended with {status:?} and {peak}")
            }
            other => panic!("{other:?}"),
        };
        format!("{} {what}", event.at.nanos() / 1_000_000_000)
    }

    #[test]
    fn the_builds_processes_are_found_and_only_they() {
        for search in [Search::Listed, Search::Everyone(BTreeMap::new())] {
            let mut world = World::searched(search);
            world.processes.insert(7, process(1, 9, &["daemon"]));
            world.processes.insert(8, process(OWN, 9, &["before"]));
            let build = world.processes.remove(&BUILD).unwrap();
            world.render();
            world.looker.learn_foreign();
            world.processes.insert(BUILD, build);
            world
                .processes
                .insert(12, process(BUILD, 3, &["cc", "a.c"]));
            world.processes.insert(13, process(12, 4, &["cc1"]));
            assert_eq!(
                world.look(),
                [
                    "1 10 forked 11",
                    "1 11 runs make all after ?",
                    "1 11 forked 12",
                    "1 12 runs cc a.c after ?",
                    "1 12 forked 13",
                    "1 13 runs cc1 after ?",
                ]
            );
            assert_eq!(world.look(), [""; 0]);
        }
    }

    #[test]
    fn a_forked_copy_has_not_called_exec_until_it_is_laid_out_anew() {
        let mut world = World::new();
        let copy = process(BUILD, 2, &["make", "all"]);
        world.processes.insert(12, copy);
        assert_eq!(world.look()[2..], ["1 11 forked 12"]);
        let cc = process(BUILD, 3, &["cc"]);
        world.processes.insert(12, cc);
        assert_eq!(world.look(), ["2 12 runs cc after 5.00 MiB"]);
    }

    #[test]
    fn a_title_is_no_exec_and_the_same_program_again_is_one() {
        let mut world = World::new();
        world.look();
        world
            .processes
            .insert(BUILD, process(OWN, 2, &["make: idle"]));
        assert_eq!(world.look(), [""; 0]);
        world
            .processes
            .insert(BUILD, process(OWN, 3, &["make", "all"]));
        assert_eq!(world.look(), ["3 11 runs make all after 5.00 MiB"]);
    }

    #[test]
    fn what_may_not_be_read_is_told_by_its_command_line() {
        let secret = |command| Shown {
            layout: [1, 1, 0],
            ..process(BUILD, 0, command)
        };
        let mut world = World::new();
        world.processes.insert(12, secret(&["sudo", "cc"]));
        assert_eq!(
            world.look()[2..],
            ["1 11 forked 12", "1 12 runs sudo cc after ?"]
        );
        assert_eq!(world.look(), [""; 0]);
        world.processes.insert(12, secret(&["cc"]));
        assert_eq!(world.look(), ["3 12 runs cc after 5.00 MiB"]);
    }

    #[test]
    fn the_peak_is_the_highest_that_was_looked_at_and_a_status_that_nobody_saw_is_unknown() {
        let mut world = World::new();
        for high_water_mib in [70, 90] {
            let cc = process(BUILD, 3, &["cc"]);
            let cc = Shown {
                high_water_mib,
                ..cc
            };
            world.processes.insert(12, cc);
            world.look();
        }
        world.processes.remove(&12);
        assert_eq!(world.look(), ["4 12 ended with None and 90.00 MiB"]);
        assert_eq!(world.look(), [""; 0]);
    }

    #[test]
    fn one_that_waits_to_be_asked_for_its_status_has_ended_once_and_with_it() {
        let mut world = World::new();
        world.processes.insert(12, process(BUILD, 3, &["cc"]));
        world.look();
        let ended = Shown {
            state: 'Z',
            wait_status: 0x0300,
            ..process(BUILD, 3, &["cc"])
        };
        world.processes.insert(12, ended);
        assert_eq!(world.look(), ["3 12 ended with Some(3) and 5.00 MiB"]);
        assert_eq!(world.look(), [""; 0]);
        world.processes.remove(&12);
        assert_eq!(world.look(), [""; 0]);
        // Met when it had ended already, it has only a name.
        world.processes.insert(13, ended);
        assert_eq!(
            world.look(),
            [
                "5 11 forked 13",
                "5 13 runs cc after ?",
                "6 13 ended with Some(3) and ?"
            ]
        );
    }

    #[test]
    fn the_build_itself_ends_as_it_was_waited_for() {
        let mut world = World::new();
        world.look();
        let ended = Shown {
            state: 'Z',
            ..process(OWN, 2, &["make", "all"])
        };
        world.processes.insert(BUILD, ended);
        assert_eq!(world.look(), [""; 0]);
        world.processes.remove(&BUILD);
        world.looker.build_status = Some(ExitStatus::Signal(9));
        assert_eq!(world.look(), ["4 11 ended with Some(137) and 5.00 MiB"]);
    }

    #[test]
    fn a_number_that_is_used_again_is_another_process() {
        let mut world = World::new();
        world.processes.insert(12, process(BUILD, 3, &["cc"]));
        world.look();
        let other = Shown {
            started_s: 2,
            ..process(BUILD, 4, &["ld"])
        };
        world.processes.insert(12, other);
        // The new one is met at the next look at the latest.
        let told: Vec<String> = [world.look(), world.look()].concat();
        assert_eq!(
            told,
            [
                "2 12 ended with None and 5.00 MiB",
                "3 11 forked 12",
                "3 12 runs ld after ?"
            ]
        );
    }

    #[test]
    fn an_orphan_stays_known_and_one_that_is_met_as_such_has_no_known_parent() {
        let mut world = World::new();
        world.processes.insert(12, process(BUILD, 3, &["server"]));
        world.look();
        world.processes.insert(12, process(OWN, 3, &["server"]));
        world.processes.insert(13, process(OWN, 4, &["daemon"]));
        world.processes.insert(14, process(13, 5, &["worker"]));
        assert_eq!(
            world.look(),
            [
                "2 13 runs daemon after ?",
                "2 13 forked 14",
                "2 14 runs worker after ?"
            ]
        );
    }
}
