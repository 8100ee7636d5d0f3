//! The leaf that holds the build alone: made, read, and removed with whatever the build left in it. Where none can be
//! made, a container's own cgroup stands in for it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::event::{CgroupFaults, CgroupPressure, CgroupSample};
use crate::ids::Tgid;
use crate::launch::privileges::with_held_back;
use crate::problem::Problem;
use crate::reading::Reading;
use crate::units::ByteSize;

use super::hierarchy::{Hierarchy, Version};
use super::room::Room;
use super::scope::Scope;
use super::{bytes, v1, v2};

const PREFIX: &str = "build-mem-";
const PROCS: &str = "cgroup.procs";

/// How often a folder that is still busy is tried again, and how long after: a process leaves its cgroup a moment
/// after it was waited for.
const REMOVE_TRIES: u32 = 40;
const REMOVE_PAUSE: Duration = Duration::from_millis(5);

/// How often the processes of a cgroup are listed while they are moved out: they may fork meanwhile.
const MOVE_ROUNDS: u32 = 100;

/// A fresh cgroup for one build. It is ours as long as we hold the lock on its folder; [`Leaf::remove`] takes it
/// away, and dropping it does so too, silently.
///
/// Or, [shared](Leaf::shared) with us and others, the cgroup in which the build is anyway: that is only read.
#[derive(Debug)]
pub struct Leaf {
    hierarchy: Hierarchy,
    dir: PathBuf,
    id: u64,
    usage: File,
    stat: File,
    /// v1 only: v2 tells kernel memory in memory.stat.
    kernel: Option<File>,
    buffer: Vec<u8>,
    ownership: Ownership,
    removed: bool,
}

#[derive(Debug)]
enum Ownership {
    /// Made by us.
    Fresh {
        /// Keeps the lock that tells other runs that the leaf's owner lives.
        _lock: File,
        /// Where we are meanwhile, when that is another place than before.
        room: Option<Room>,
        /// What systemd has made for it, and takes away after it.
        _scope: Option<Scope>,
    },
    /// There before us; what it told then is absent until that is read.
    Shared(Option<Box<Before>>),
}

/// What a cgroup told before the build began.
#[derive(Debug)]
struct Before {
    peak: Option<ByteSize>,
    oom_kills: Option<u64>,
    pressure: CgroupPressure,
    /// Its memory.peak, where the kernel lets us begin that anew for who keeps it open (Linux 6.12).
    reset: Option<File>,
}

/// What became of a limit of swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapLimit {
    /// It is in force.
    Set,
    /// The kernel does not count the swap of cgroups.
    NotCounted,
}

/// The highest usage since it was last taken, as the kernel keeps it for this open file alone: `memory.peak`, Linux 6.12.
#[derive(Debug)]
pub struct StageMark(File);

impl StageMark {
    /// Reads it, and sets it back to what the cgroup holds now. What it holds between the two system calls is in neither.
    ///
    /// # Errors
    ///
    /// When the kernel does not let us.
    pub fn take(&self) -> io::Result<ByteSize> {
        let mut buffer = [0; 32];
        let length = self.0.read_at(&mut buffer, 0)?;
        let highest = bytes(&buffer[..length]).ok_or(io::ErrorKind::InvalidData)?;
        self.0.write_at(b"0", 0)?;
        Ok(highest)
    }
}

/// A leaf of a run that is gone.
#[derive(Debug)]
pub struct Leftover {
    /// Its path in the hierarchy.
    pub path: String,
    /// The processes that were still in it and were moved out, or why it is still there.
    pub outcome: Result<Vec<Tgid>, Problem>,
}

impl Leaf {
    /// Makes a leaf: on v1 below our own cgroup, on v2 in a scope of systemd's or, without systemd, below the nearest
    /// ancestor that can have children with the memory controller.
    ///
    /// # Errors
    ///
    /// When there is no such place, or it cannot be written.
    pub fn create(hierarchy: &Hierarchy) -> Result<Self, Problem> {
        with_held_back(|| Self::create_as_we_are(hierarchy))
    }

    fn create_as_we_are(hierarchy: &Hierarchy) -> Result<Self, Problem> {
        let scope = Scope::create(hierarchy, &fresh_name()).unwrap_or_else(|problem| {
            log::info!("{problem}: the leaf is made without it");
            None
        });
        let room = match &scope {
            Some(_) => None,
            None => Room::step_into(hierarchy, &fresh_name()),
        };
        let parent = match (&scope, &room) {
            (Some(scope), _) => scope.dir().to_owned(),
            (None, Some(room)) => room.parent().to_owned(),
            (None, None) => parent(hierarchy)?,
        };
        // Another run may take a leaf for a dead owner's in the moment between its making and its locking: try again.
        for _ in 0..8 {
            let dir = parent.join(fresh_name());
            match fs::DirBuilder::new().mode(0o755).create(&dir) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(cannot_make(&dir, &error)),
            }
            if let Some(lock) = lock_leaf(&dir) {
                let id = lock.metadata().map(|metadata| metadata.ino());
                let ownership = Ownership::Fresh {
                    _lock: lock,
                    room,
                    _scope: scope,
                };
                return Self::open(hierarchy, &dir, id, ownership).inspect_err(|_| {
                    let _ = fs::remove_dir(&dir);
                });
            }
        }
        Err(Problem::new(format!(
            "cannot keep a cgroup of our own below `{}`",
            parent.display()
        ))
        .because("another program removes it at once"))
    }

    /// A cgroup for a build: a leaf of its own or, where there can be none in a container, the container's, with
    /// the reason.
    ///
    /// # Errors
    ///
    /// When there is neither.
    pub fn for_build(hierarchy: &Hierarchy) -> Result<(Self, Option<Problem>), Problem> {
        match Self::create(hierarchy) {
            Ok(leaf) => Ok((leaf, None)),
            Err(problem) if hierarchy.shows_only_ours() => {
                Ok((Self::shared(hierarchy)?, Some(problem)))
            }
            Err(problem) => Err(problem),
        }
    }

    /// The cgroup in which we are ourselves, for where the build can have none of its own: what else is in it counts
    /// too, and so does what was in it before. It is never written, but for beginning its high-water mark anew where
    /// that concerns nobody else.
    ///
    /// # Errors
    ///
    /// When it does not show what it holds.
    pub fn shared(hierarchy: &Hierarchy) -> Result<Self, Problem> {
        let dir = &hierarchy.own_dir;
        let id = fs::metadata(dir).map(|metadata| metadata.ino());
        let mut leaf = Self::open(hierarchy, dir, id, Ownership::Shared(None))?;
        // On v1 it would begin anew for everyone.
        let reset = match hierarchy.version {
            Version::V1 => None,
            Version::V2 => leaf.reset_peak().ok(),
        };
        leaf.ownership = Ownership::Shared(Some(Box::new(Before {
            peak: hierarchy.peak_in(dir).value().copied(),
            oom_kills: leaf.oom_kills(),
            pressure: leaf.pressure_since_ever(),
            reset,
        })));
        Ok(leaf)
    }

    fn before(&self) -> Option<&Before> {
        match &self.ownership {
            Ownership::Fresh { .. } => None,
            Ownership::Shared(before) => before.as_deref(),
        }
    }

    /// Whether it holds more than the build.
    pub const fn is_shared(&self) -> bool {
        matches!(self.ownership, Ownership::Shared(_))
    }

    /// The leaf with this folder, whose inode is `id`.
    fn open(
        hierarchy: &Hierarchy,
        dir: &Path,
        id: io::Result<u64>,
        ownership: Ownership,
    ) -> Result<Self, Problem> {
        let cannot_read = |path: &Path, error: &io::Error| {
            Problem::new(format!("cannot read `{}`", path.display())).because(error)
        };
        let open = |name: &str| {
            let path = dir.join(name);
            File::open(&path).map_err(|error| cannot_read(&path, &error))
        };
        let (usage, stat, kernel) = match hierarchy.version {
            Version::V1 => {
                // Before Linux 5.11 a v1 cgroup counts those below it only when told so. Later kernels always do, and
                // refuse the same when the parent does already: nothing depends on the outcome.
                if let Ownership::Fresh { .. } = ownership {
                    let _ = fs::write(dir.join(v1::USE_HIERARCHY), "1");
                }
                // Absent where the kernel was built or booted without kernel memory accounting.
                let kernel = File::open(dir.join(v1::KERNEL)).ok();
                (open(v1::USAGE)?, open(v1::STAT)?, kernel)
            }
            Version::V2 => (open(v2::USAGE)?, open(v2::STAT)?, None),
        };
        let id = id.map_err(|error| cannot_read(dir, &error))?;
        Ok(Self {
            hierarchy: hierarchy.clone(),
            dir: dir.to_owned(),
            id,
            usage,
            stat,
            kernel,
            buffer: vec![0; 8192],
            ownership,
            removed: false,
        })
    }

    /// Its cgroup.procs, open for writing: whoever writes `0` to it moves into the leaf. Closed at exec. Absent where
    /// the build is in it by its birth.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened for writing.
    pub fn procs_file(&self) -> Result<Option<OwnedFd>, Problem> {
        if self.is_shared() {
            return Ok(None);
        }
        let path = self.dir.join(PROCS);
        match with_held_back(|| OpenOptions::new().write(true).open(&path)) {
            Ok(file) => Ok(Some(file.into())),
            Err(error) => {
                Err(Problem::new(format!("cannot write `{}`", path.display())).because(error))
            }
        }
    }

    /// The kernel's number of the cgroup: the inode of its folder (`cgroup->kn->id`), unique in its hierarchy.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The hierarchy that it is in.
    pub const fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its path from the root of the hierarchy, or of our cgroup namespace.
    pub fn path_in_hierarchy(&self) -> String {
        self.hierarchy
            .path_of(&self.dir)
            .unwrap_or_else(|| self.dir.to_string_lossy().into_owned())
    }

    /// The path in the hierarchy of the cgroup with this inode number; none for the leaf and for those below it. One that
    /// is gone, or outside of what is mounted, goes by its number.
    pub fn path_outside(&self, id: u64) -> Option<String> {
        let mut dirs = descendants(&self.hierarchy.mount_point).into_iter();
        let is_it = |dir: &PathBuf| fs::metadata(dir).is_ok_and(|metadata| metadata.ino() == id);
        match dirs.find(is_it) {
            Some(dir) if dir.starts_with(&self.dir) => None,
            Some(dir) => self.hierarchy.path_of(&dir),
            None => Some(format!("cgroup {id}")),
        }
    }

    /// What it holds now.
    ///
    /// # Errors
    ///
    /// When the usage cannot be read. A composition that cannot be read is absent.
    pub fn sample(&mut self) -> io::Result<CgroupSample> {
        let usage = self.usage()?;
        let kernel = match &self.kernel {
            Some(file) => pread(file, &mut self.buffer).ok().and_then(bytes),
            None => None,
        };
        let composition = match pread(&self.stat, &mut self.buffer) {
            Ok(stat) => match self.hierarchy.version {
                Version::V1 => v1::composition(stat, kernel),
                Version::V2 => v2::composition(stat),
            },
            Err(_) => None,
        };
        Ok(CgroupSample { usage, composition })
    }

    /// Everything that is charged to it now.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn usage(&mut self) -> io::Result<ByteSize> {
        let unreadable = || io::Error::new(io::ErrorKind::InvalidData, "not a number of bytes");
        bytes(pread(&self.usage, &mut self.buffer)?).ok_or_else(unreadable)
    }

    /// The kernel's high-water mark of everything charged to it: `memory.peak` or `memory.max_usage_in_bytes`.
    /// May exceed the true use by the charges that the kernel takes in advance: 256 KiB a CPU. `watermark` is the same
    /// figure from another source, for kernels without the file.
    ///
    /// What a shared cgroup had reached before the build is no figure of the build's.
    pub fn headline(&self, watermark: impl FnOnce() -> Reading<ByteSize>) -> Reading<ByteSize> {
        let before = self.before();
        if let Some(file) = before.and_then(|before| before.reset.as_ref()) {
            return self.hierarchy.peak_of_file(file);
        }
        let peak = match self.hierarchy.peak_in(&self.dir) {
            missing @ Reading::Missing(_) => missing.or(watermark()),
            known @ Reading::Known { .. } => known,
        };
        match (peak.value(), before.and_then(|before| before.peak)) {
            (Some(peak), Some(before)) if *peak <= before => Reading::missing(format!(
                "the cgroup was at its peak of {before} before the build began, which remained below that"
            )),
            _ => peak,
        }
    }

    /// The limit in effect: the lowest of it and its ancestors, as far as they can be seen (on v1, all of them).
    pub fn limit(&self) -> Option<ByteSize> {
        let read = |dir: &Path, name: &str| fs::read(dir.join(name)).ok();
        let visible = self
            .dir
            .ancestors()
            .take_while(|dir| dir.starts_with(&self.hierarchy.mount_point));
        match self.hierarchy.version {
            Version::V1 => visible
                .filter_map(|dir| v1::limit(&read(dir, v1::LIMIT)?))
                .chain(read(&self.dir, v1::STAT).and_then(|stat| v1::hierarchical_limit(&stat)))
                .min(),
            Version::V2 => visible
                .filter_map(|dir| v2::limit(&read(dir, v2::LIMIT)?))
                .min(),
        }
    }

    /// Begins its high-water mark anew, at what it holds now: since Linux 6.12 for whoever keeps the file open that
    /// this gives (cgroup-v2.rst), on v1 for everyone.
    ///
    /// # Errors
    ///
    /// When the kernel cannot, or does not let us.
    pub fn reset_peak(&self) -> io::Result<File> {
        let path = self.dir.join(self.hierarchy.version.headline_file());
        let file = with_held_back(|| OpenOptions::new().read(true).write(true).open(path))?;
        // v1 takes a number, v2 anything.
        file.write_at(b"0", 0)?;
        Ok(file)
    }

    /// A mark that is set back whenever it is read. On v1 that would set the headline back, too.
    ///
    /// # Errors
    ///
    /// When the kernel cannot, or does not let us.
    pub fn stage_mark(&self) -> io::Result<StageMark> {
        match self.hierarchy.version {
            Version::V1 => Err(io::ErrorKind::Unsupported.into()),
            Version::V2 => Ok(StageMark(self.reset_peak()?)),
        }
    }

    /// Sets the most memory that it and those below it may hold, and the most swap beside it.
    ///
    /// # Errors
    ///
    /// When the kernel does not take it.
    pub fn set_limit(&self, memory: ByteSize, swap: ByteSize) -> Result<SwapLimit, Problem> {
        let write = |name: &str, bytes: u64| fs::write(self.dir.join(name), bytes.to_string());
        let memory = memory.bytes();
        let (limit, swap_file, swap) = match self.hierarchy.version {
            // v1 limits the sum of both, which must not be below the limit of memory: that one is set first.
            Version::V1 => (
                v1::LIMIT,
                v1::SWAP_LIMIT,
                memory.saturating_add(swap.bytes()),
            ),
            Version::V2 => (v2::LIMIT, v2::SWAP_LIMIT, swap.bytes()),
        };
        let failed = |name: &str, error: &io::Error| {
            Problem::new(format!(
                "cannot set the limit of the build's cgroup (`{name}`)"
            ))
            .because(error)
        };
        write(limit, memory).map_err(|error| failed(limit, &error))?;
        match write(swap_file, swap) {
            Ok(()) => Ok(SwapLimit::Set),
            // Built or booted without it; cgroup v1 makes no such file, and does not let us make one.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                ) && !self.dir.join(swap_file).exists() =>
            {
                Ok(SwapLimit::NotCounted)
            }
            Err(error) => Err(failed(swap_file, &error)),
        }
    }

    /// Processes that the out-of-memory killer took in it and below it; absent where the kernel does not count
    /// them (v1 before Linux 4.13). On v1, kills in cgroups that the build made and removed are not in it.
    pub fn oom_kills(&self) -> Option<u64> {
        let kills = match self.hierarchy.version {
            Version::V1 => descendants(&self.dir)
                .iter()
                .filter_map(|dir| v1::oom_kills(&fs::read(dir.join(v1::OOM)).ok()?))
                .reduce(u64::saturating_add),
            Version::V2 => v2::oom_kills(&fs::read(self.dir.join(v2::EVENTS)).ok()?),
        };
        let before = self.before().and_then(|before| before.oom_kills);
        kills.map(|kills| kills.saturating_sub(before.unwrap_or(0)))
    }

    /// How the build fared for want of memory.
    pub fn pressure(&self) -> CgroupPressure {
        let now = self.pressure_since_ever();
        match self.before() {
            None => now,
            Some(before) => since(&now, &before.pressure),
        }
    }

    fn pressure_since_ever(&self) -> CgroupPressure {
        if self.hierarchy.version == Version::V1 {
            return CgroupPressure {
                swap_peak: Reading::missing("cgroup v1 keeps none of swap alone"),
                stalled: Reading::missing("cgroup v1 does not tell it of a cgroup"),
                events: Reading::missing(
                    "cgroup v1 does not count them: its memory.failcnt stays 0 at a limit on newer kernels",
                ),
                faults: self.read(v1::STAT, v1::faults),
            };
        }
        CgroupPressure {
            swap_peak: self.read(v2::SWAP_PEAK, bytes),
            stalled: self.read(v2::PRESSURE, v2::stalled),
            events: self.read(v2::EVENTS, |text| Some(v2::events(text))),
            faults: self.read(v2::STAT, v2::faults),
        }
    }

    /// What one of its files tells.
    fn read<T>(&self, file: &'static str, parse: impl FnOnce(&[u8]) -> Option<T>) -> Reading<T> {
        match fs::read(self.dir.join(file)) {
            Ok(text) => match parse(&text) {
                Some(value) => Reading::known(value, file),
                None => Reading::missing(format!("{file} is not as expected")),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Reading::missing(format!("this kernel shows no {file}"))
            }
            Err(error) => Reading::missing(format!("cannot read {file}: {error}")),
        }
    }

    /// The processes in it and in cgroups that the build made below it.
    ///
    /// # Errors
    ///
    /// When its cgroup.procs cannot be read.
    pub fn processes(&self) -> io::Result<Vec<Tgid>> {
        let mut processes = processes_of(&self.dir)?;
        for dir in descendants(&self.dir) {
            if dir != self.dir {
                // One that is gone by now has none.
                processes.extend(processes_of(&dir).unwrap_or_default());
            }
        }
        processes.sort_unstable();
        processes.dedup();
        Ok(processes)
    }

    /// Takes it away, unless it is shared. Processes that are still in it are moved to our own cgroup first, and are
    /// returned.
    ///
    /// # Errors
    ///
    /// When it cannot be emptied or removed: then it is still there.
    pub fn remove(mut self) -> Result<Vec<Tgid>, Problem> {
        if self.is_shared() {
            return Ok(Vec::new());
        }
        // Tried once: what failed now fails in `drop`, too.
        self.removed = true;
        with_held_back(|| remove_tree(&self.dir, self.refuge()))
    }

    /// Where processes go that are still in it when it is removed: on v1 its parent, on v2 our own cgroup too, since
    /// the leaf's parent may hold none.
    fn refuge(&self) -> &Path {
        match &self.ownership {
            Ownership::Fresh {
                room: Some(room), ..
            } => room.dir(),
            _ => &self.hierarchy.own_dir,
        }
    }

    /// Removes the leaves of runs that are gone (killed before they could): those beside which ours would be made,
    /// with the name that we give, whose lock nobody holds.
    ///
    /// # Errors
    ///
    /// When there is no place for leaves, or it cannot be listed. What became of each leaf is in the list.
    pub fn clean_leftovers(hierarchy: &Hierarchy) -> Result<Vec<Leftover>, Problem> {
        with_held_back(|| Self::clean_leftovers_as_we_are(hierarchy))
    }

    fn clean_leftovers_as_we_are(hierarchy: &Hierarchy) -> Result<Vec<Leftover>, Problem> {
        let mut leftovers = Vec::new();
        for scope in Scope::all(hierarchy, is_name_of_leaf) {
            // One that is gone by now has none.
            let _ = Self::clean_below(&scope, hierarchy, &mut leftovers);
        }
        let parent = parent(hierarchy)?;
        Self::clean_below(&parent, hierarchy, &mut leftovers).map_err(|error| {
            Problem::new(format!("cannot list `{}`", parent.display())).because(error)
        })?;
        Ok(leftovers)
    }

    fn clean_below(
        parent: &Path,
        hierarchy: &Hierarchy,
        leftovers: &mut Vec<Leftover>,
    ) -> io::Result<()> {
        for entry in fs::read_dir(parent)?.flatten() {
            let is_ours = entry.file_name().to_str().is_some_and(is_name_of_leaf)
                && entry.file_type().is_ok_and(|kind| kind.is_dir());
            if !is_ours {
                continue;
            }
            let dir = entry.path();
            // The lock is held until the folder is gone, against a third run that does the same.
            let Some(_lock) = lock_leaf(&dir) else {
                continue;
            };
            leftovers.push(Leftover {
                path: hierarchy
                    .path_of(&dir)
                    .unwrap_or_else(|| dir.to_string_lossy().into_owned()),
                outcome: remove_tree(&dir, &hierarchy.own_dir),
            });
        }
        Ok(())
    }
}

/// What `now` tells beyond what was told `before`.
fn since(now: &CgroupPressure, before: &CgroupPressure) -> CgroupPressure {
    let mut stalled = now.stalled.clone();
    if let (Reading::Known { value, .. }, Some(before)) = (&mut stalled, before.stalled.value()) {
        value.some_us = value.some_us.saturating_sub(before.some_us);
        value.full_us = value.full_us.saturating_sub(before.full_us);
    }
    let mut events = now.events.clone();
    if let (Reading::Known { value, .. }, Some(before)) = (&mut events, before.events.value()) {
        for (name, count) in value {
            *count = count.saturating_sub(before.get(name).copied().unwrap_or(0));
        }
    }
    let mut faults = now.faults.clone();
    if let (Reading::Known { value, .. }, Some(before)) = (&mut faults, before.faults.value()) {
        let less = |now: Option<u64>, before: Option<u64>| {
            now.map(|now| now.saturating_sub(before.unwrap_or(0)))
        };
        *value = CgroupFaults {
            major: less(value.major, before.major),
            refaults_file: less(value.refaults_file, before.refaults_file),
            refaults_anon: less(value.refaults_anon, before.refaults_anon),
        };
    }
    CgroupPressure {
        swap_peak: match (now.swap_peak.value(), before.swap_peak.value()) {
            (Some(now), Some(before)) if now <= before && *now > ByteSize::ZERO => {
                Reading::missing("the cgroup had it so high before the build began")
            }
            _ => now.swap_peak.clone(),
        },
        stalled,
        events,
        faults,
    }
}

/// A safety net: a leaf that an early return forgot.
impl Drop for Leaf {
    fn drop(&mut self) {
        if !self.removed && !self.is_shared() {
            let _ = with_held_back(|| remove_tree(&self.dir, self.refuge()));
        }
    }
}

/// Where leaves are made.
fn parent(hierarchy: &Hierarchy) -> Result<PathBuf, Problem> {
    match hierarchy.version {
        Version::V1 => Ok(hierarchy.own_dir.clone()),
        Version::V2 => v2::parent_for_leaf(&hierarchy.own_dir, &hierarchy.mount_point)
            .map_err(|refusals| no_parent(hierarchy, &refusals)),
    }
}

fn no_parent(hierarchy: &Hierarchy, refusals: &[String]) -> Problem {
    let top = hierarchy.mount_point.display();
    let problem = Problem::new(format!("cannot make a cgroup for the build below `{top}`"))
        .because(refusals.join("; "));
    let top_holds_processes = refusals
        .last()
        .is_some_and(|last| last.ends_with("holds processes"));
    if top_holds_processes {
        // A container: its root cgroup is where everything in it runs.
        problem.help(format!(
            "a cgroup with processes gives no memory controller to its children; move them into a child of it first: \
             `mkdir {top}/init && for p in $(cat {top}/cgroup.procs); do echo $p > {top}/init/cgroup.procs; done`"
        ))
    } else {
        problem.help("run with sudo; in a container, with a writable cgroup file system and a cgroup namespace of its own (docker: `--privileged --cgroupns=private`)")
    }
}

fn cannot_make(dir: &Path, error: &io::Error) -> Problem {
    let problem =
        Problem::new(format!("cannot make the cgroup `{}`", dir.display())).because(error);
    match error.kind() {
        io::ErrorKind::PermissionDenied => problem.help("run with sudo"),
        io::ErrorKind::ReadOnlyFilesystem => problem
            .help("the cgroup file system is read-only here: run the container with a writable one (docker: `--privileged`)"),
        _ => problem,
    }
}

/// `build-mem-<pid>-<nanoseconds since boot, in hex>`: the pid for people, the time since pids repeat (also between
/// containers that share a parent).
fn fresh_name() -> String {
    let now = clock_gettime(ClockId::Boottime);
    let nanos = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    format!("{PREFIX}{}-{nanos:016x}", std::process::id())
}

/// Whether [`fresh_name`] could have given this name: others may call a cgroup of theirs `build-mem-…` too.
fn is_name_of_leaf(name: &str) -> bool {
    let Some((pid, time)) = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('-'))
    else {
        return false;
    };
    !pid.is_empty()
        && pid.bytes().all(|byte| byte.is_ascii_digit())
        && time.len() >= 16
        && time.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The lock on a leaf's folder, or nothing when another process holds it or the folder is gone. The kernel gives it
/// up when its holder dies, which tells a dead owner from one in another PID namespace.
pub(super) fn lock_leaf(dir: &Path) -> Option<File> {
    let directory = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(directory.bits().cast_signed())
        .open(dir)
        .ok()?;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    // It may have been removed between the opening and the locking.
    let (locked, named) = (file.metadata().ok()?, fs::metadata(dir).ok()?);
    (locked.ino() == named.ino()).then_some(file)
}

/// Reads a whole small file from its beginning. These files are made anew by every read at offset 0, and one read
/// gives all that fits.
fn pread<'buffer>(file: &File, buffer: &'buffer mut Vec<u8>) -> io::Result<&'buffer [u8]> {
    loop {
        match file.read_at(buffer, 0) {
            Ok(length) if length < buffer.len() => return Ok(&buffer[..length]),
            Ok(_) => buffer.resize(buffer.len() * 2, 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The processes in exactly this cgroup, in our PID namespace; 0 is one that has no number in it.
pub(super) fn processes_of(dir: &Path) -> io::Result<Vec<Tgid>> {
    let text = fs::read_to_string(dir.join(PROCS))?;
    Ok(text
        .lines()
        .filter_map(|line| line.trim().parse().ok().map(Tgid))
        .collect())
}

/// The cgroup and all below it, the deepest first.
fn descendants(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    let mut next = 0;
    while let Some(dir) = found.get(next) {
        let children: Vec<PathBuf> = fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        found.extend(children);
        next += 1;
    }
    found.reverse();
    found
}

/// Empties the cgroup and those below it, and removes them.
fn remove_tree(dir: &Path, refuge: &Path) -> Result<Vec<Tgid>, Problem> {
    let mut moved = Vec::new();
    let mut tries = 0;
    loop {
        // Afresh at every try: a process in it may have made another cgroup meanwhile.
        let outcome = descendants(dir).iter().try_for_each(|dir| {
            move_processes(dir, refuge, &mut moved)?;
            match fs::remove_dir(dir) {
                Ok(()) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            }
        });
        tries += 1;
        match outcome {
            Ok(()) => {
                moved.sort_unstable();
                moved.dedup();
                return Ok(moved);
            }
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries < REMOVE_TRIES => {
                thread::sleep(REMOVE_PAUSE);
            }
            Err(error) => {
                return Err(
                    Problem::new(format!("cannot remove the cgroup `{}`", dir.display()))
                        .because(error)
                        .help(format!(
                            "when its processes have ended: `rmdir {}`",
                            dir.display()
                        )),
                );
            }
        }
    }
}

/// Moves every process of `from` to `to`.
pub(super) fn move_processes(from: &Path, to: &Path, moved: &mut Vec<Tgid>) -> io::Result<()> {
    for _ in 0..MOVE_ROUNDS {
        let processes = match processes_of(from) {
            Ok(processes) if processes.is_empty() => return Ok(()),
            Ok(processes) => processes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let procs = OpenOptions::new().write(true).open(to.join(PROCS))?;
        for process in processes {
            if process == Tgid(0) {
                // Writing 0 would move ourselves.
                return Err(io::Error::other(
                    "it holds a process of another PID namespace",
                ));
            }
            match procs.write_at(process.to_string().as_bytes(), 0) {
                Ok(_) => moved.push(process),
                // It ended meanwhile.
                Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Err(io::Error::other(
        "its processes fork faster than they can be moved",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::CgroupComposition;

    /// A hierarchy whose cgroups are plain folders with files of our own making.
    fn hierarchy(version: Version, root: &Path) -> Hierarchy {
        Hierarchy {
            version,
            id: 4,
            mount_point: root.to_owned(),
            mount_root: "/box".to_owned(),
            own_path: "/box/job".to_owned(),
            own_dir: root.join("job"),
        }
    }

    /// A leaf in such a hierarchy, `root/job/leaf`, with these files.
    fn leaf(version: Version, root: &Path, files: &[(&str, &str)]) -> Result<Leaf, Problem> {
        let dir = root.join("job/leaf");
        fs::create_dir_all(&dir).unwrap();
        for (name, text) in files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let lock = lock_leaf(&dir).unwrap();
        let id = Ok(lock.metadata().unwrap().ino());
        let ownership = Ownership::Fresh {
            _lock: lock,
            room: None,
            _scope: None,
        };
        Leaf::open(&hierarchy(version, root), &dir, id, ownership)
    }

    const V1_FILES: &[(&str, &str)] = &[
        ("memory.usage_in_bytes", "1048576\n"),
        ("memory.max_usage_in_bytes", "4194304\n"),
        ("memory.limit_in_bytes", "9223372036854771712\n"),
        ("memory.kmem.usage_in_bytes", "4096\n"),
        (
            "memory.stat",
            "total_cache 3000\ntotal_rss 1000\ntotal_shmem 1000\ntotal_mapped_file 500\n",
        ),
        (
            "memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        ),
        ("cgroup.procs", "12\n9\n"),
        ("made-by-the-build/memory.oom_control", "oom_kill 2\n"),
        ("made-by-the-build/cgroup.procs", "13\n"),
    ];

    const V2_FILES: &[(&str, &str)] = &[
        ("memory.current", "1048576\n"),
        ("memory.peak", "4194304\n"),
        ("memory.max", "max\n"),
        (
            "memory.stat",
            "anon 1000\nfile 3000\nkernel 4096\nsock 0\nshmem 1000\nfile_mapped 500\n",
        ),
        (
            "memory.events",
            "low 0\nhigh 0\nmax 0\noom 1\noom_kill 3\noom_group_kill 0\n",
        ),
        ("cgroup.procs", "9\n12\n"),
        ("made-by-the-build/cgroup.procs", "13\n"),
    ];

    #[test]
    fn both_versions_are_read_alike() {
        for (version, files) in [(Version::V1, V1_FILES), (Version::V2, V2_FILES)] {
            let root = tempfile::tempdir().unwrap();
            let mut leaf = leaf(version, root.path(), files).unwrap();
            let size = ByteSize::from_bytes;
            let expected = CgroupSample {
                usage: ByteSize::from_mib(1),
                composition: Some(CgroupComposition {
                    anon: size(1000),
                    file_mapped: size(500),
                    file_unmapped: size(1500),
                    shmem: size(1000),
                    kernel: Some(size(4096)),
                }),
            };
            assert_eq!(leaf.sample().unwrap(), expected);
            assert_eq!(leaf.sample().unwrap(), expected, "read again");
            assert_eq!(
                leaf.headline(|| Reading::missing("no other source")),
                Reading::known(ByteSize::from_mib(4), version.headline_file())
            );
            assert_eq!(leaf.oom_kills(), Some(3));
            assert_eq!(leaf.limit(), None);
            assert_eq!(leaf.processes().unwrap(), [Tgid(9), Tgid(12), Tgid(13)]);
            assert_eq!(leaf.path_in_hierarchy(), "/box/job/leaf");
            assert_eq!(leaf.id(), fs::metadata(leaf.dir()).unwrap().ino());
        }
    }

    #[test]
    fn the_lowest_limit_on_the_way_up_is_in_effect() {
        for (version, files, name) in [
            (Version::V1, V1_FILES, "memory.limit_in_bytes"),
            (Version::V2, V2_FILES, "memory.max"),
        ] {
            let root = tempfile::tempdir().unwrap();
            let leaf = leaf(version, root.path(), files).unwrap();
            fs::write(root.path().join("job").join(name), "2147483648\n").unwrap();
            fs::write(root.path().join(name), "8589934592\n").unwrap();
            assert_eq!(leaf.limit(), Some(ByteSize::from_mib(2048)));
            fs::write(root.path().join(name), "1073741824\n").unwrap();
            assert_eq!(leaf.limit(), Some(ByteSize::from_mib(1024)));
        }
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_absent() {
        let root = tempfile::tempdir().unwrap();
        let files = &[("memory.current", "1048576\n"), ("memory.stat", "")];
        let mut leaf = leaf(Version::V2, root.path(), files).unwrap();
        assert_eq!(
            leaf.sample().unwrap(),
            CgroupSample {
                usage: ByteSize::from_mib(1),
                composition: None
            }
        );
        assert_eq!(leaf.oom_kills(), None);
        assert!(
            matches!(leaf.headline(|| Reading::missing("no other source")), Reading::Missing(why) if why.contains("memory.peak"))
        );
    }

    #[test]
    fn garbage_for_a_usage_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let files = &[("memory.current", "lots\n"), ("memory.stat", "\u{fffd}")];
        let mut leaf = leaf(Version::V2, root.path(), files).unwrap();
        assert_eq!(
            leaf.sample().unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn a_stat_file_longer_than_the_buffer_is_read_whole() {
        let root = tempfile::tempdir().unwrap();
        let mut stat = "x 1\n".repeat(10_000);
        stat.push_str("anon 7\nfile 0\nshmem 0\nfile_mapped 0\n");
        let files = &[("memory.current", "1\n"), ("memory.stat", &stat)];
        let mut leaf = leaf(Version::V2, root.path(), files).unwrap();
        assert_eq!(
            leaf.sample().unwrap().composition.unwrap().anon,
            ByteSize::from_bytes(7)
        );
    }

    #[test]
    fn a_cgroup_without_the_controller_is_said_to_be_unreadable() {
        let root = tempfile::tempdir().unwrap();
        let problem = leaf(Version::V1, root.path(), &[]).unwrap_err();
        assert!(problem.what.ends_with("memory.usage_in_bytes`"));
    }

    #[test]
    fn only_the_names_that_we_give_are_ours() {
        assert!(is_name_of_leaf(&fresh_name()));
        for name in [
            "build-mem-",
            "build-mem-12",
            "build-mem-12-",
            "build-mem-12-short",
            "build-mem-x-0000000000000000",
            "build-mem--0000000000000000",
            "build-mem-tests",
            "other-12-0000000000000000",
        ] {
            assert!(!is_name_of_leaf(name), "{name}");
        }
    }

    #[test]
    fn a_lock_that_is_held_is_not_had_twice() {
        let root = tempfile::tempdir().unwrap();
        let held = lock_leaf(root.path()).unwrap();
        assert!(lock_leaf(root.path()).is_none());
        drop(held);
        assert!(lock_leaf(root.path()).is_some());
    }

    #[test]
    fn leftovers_are_looked_for_by_name_and_lock() {
        let root = tempfile::tempdir().unwrap();
        let hierarchy = hierarchy(Version::V1, root.path());
        let names = [
            "build-mem-1-0000000000000001",
            "build-mem-2-0000000000000002",
            "theirs",
        ];
        for name in names {
            fs::create_dir_all(hierarchy.own_dir.join(name)).unwrap();
        }
        let _live = lock_leaf(&hierarchy.own_dir.join(names[1])).unwrap();
        let leftovers = Leaf::clean_leftovers(&hierarchy).unwrap();
        let paths: Vec<_> = leftovers.iter().map(|left| left.path.as_str()).collect();
        assert_eq!(paths, ["/box/job/build-mem-1-0000000000000001"]);
        assert!(leftovers.iter().all(|left| left.outcome.is_ok()));
        let exists = |name: &str| hierarchy.own_dir.join(name).exists();
        assert_eq!(names.map(exists), [false, true, true]);
    }

    #[test]
    fn where_no_leaf_can_be_made_it_is_said_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        let mut hierarchy = hierarchy(Version::V2, root.path());
        hierarchy.own_dir.clone_from(&hierarchy.mount_point);
        for (name, text) in [
            ("cgroup.type", "domain\n"),
            ("cgroup.controllers", "memory\n"),
            ("cgroup.subtree_control", "\n"),
            ("cgroup.procs", "1\n"),
        ] {
            fs::write(root.path().join(name), text).unwrap();
        }
        let problem = Leaf::create(&hierarchy).unwrap_err();
        let text = format!("{problem}\n{}", problem.help.as_deref().unwrap());
        let text = text.replace(root.path().to_str().unwrap(), "/sys/fs/cgroup");
        insta::assert_snapshot!(text, @r"
        cannot make a cgroup for the build below `/sys/fs/cgroup`: `/sys/fs/cgroup` holds processes
        a cgroup with processes gives no memory controller to its children; move them into a child of it first: `mkdir /sys/fs/cgroup/init && for p in $(cat /sys/fs/cgroup/cgroup.procs); do echo $p > /sys/fs/cgroup/init/cgroup.procs; done`
        ");
    }
}
