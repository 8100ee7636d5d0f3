//! Where systemd is the first process, all cgroups are its own, but those that it delegates: a transient scope, made for
//! one run, in which we may make the leaf. See <https://systemd.io/CGROUP_DELEGATION>.
//!
//! A scope lives as long as there is a process in it. Ours has a keeper, which waits for our end however that comes: the
//! leaf of a run that was killed goes with its scope when its last process has ended.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::geteuid;

use super::hierarchy::{Hierarchy, Version};
use super::{number, v2};
use crate::problem::Problem;

/// Made by systemd where it is the first process: sd_booted(3).
const BOOTED: &str = "/run/systemd/system";

/// The name of our first process, which systemd gives itself. In a PID namespace of our own it is another one, though
/// the host's systemd may be within reach: a process's number there is not what systemd takes it for.
const FIRST: (&str, &str) = ("/proc/1/comm", "systemd");

/// systemd's own client of D-Bus. It comes with systemd.
const BUSCTL: &str = "/usr/bin/busctl";

/// How long systemd may take to move the keeper: some milliseconds are usual.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(1);

/// How long it is waited for that a scope is gone.
const GONE_WITHIN: Duration = Duration::from_secs(1);

const SUFFIX: &str = ".scope";
const PROCS: &str = "cgroup.procs";

/// A transient scope of our own. It goes when this is dropped, with all that is in it and holds no process.
#[derive(Debug)]
pub(super) struct Scope {
    dir: PathBuf,
    keeper: Option<Keeper>,
}

impl Scope {
    /// Has systemd make one, with a cgroup whose children get the memory controller; absent where there is no systemd, or
    /// we may not ask it.
    ///
    /// It is beside the unit in which we are, not in it: what bounds that unit bounds the scope too, and the scope is
    /// stopped with it.
    ///
    /// # Errors
    ///
    /// When systemd does not make it.
    pub(super) fn create(hierarchy: &Hierarchy, name: &str) -> Result<Option<Self>, Problem> {
        if hierarchy.version != Version::V2 || !geteuid().is_root() || !is_first() {
            return Ok(None);
        }
        let unit = format!("{name}{SUFFIX}");
        let failed =
            |why: &dyn std::fmt::Display| Problem::new("systemd makes no scope").because(why);
        let mut keeper = Keeper::start().map_err(|error| failed(&error))?;
        let place = Place::of(&hierarchy.own_path);
        let bounds = bounds(&hierarchy.own_dir, place.depth);
        start_unit(&unit, &place, &bounds, keeper.pid()).map_err(|why| failed(&why))?;
        let path = keeper.path_in(&unit).map_err(|error| failed(&error))?;
        let dir = hierarchy
            .directory_of(&path)
            .ok_or_else(|| failed(&format!("`{path}` is not mounted")))?;
        // A cgroup with processes gives no controller to its children: the keeper must be in one of them, too.
        let room = dir.join("keeper");
        fs::create_dir(&room)
            .and_then(|()| fs::write(room.join(PROCS), keeper.pid().to_string()))
            .map_err(|error| failed(&error))?;
        v2::parent_for_leaf(&dir, &dir).map_err(|refusals| failed(&refusals.join("; ")))?;
        Ok(Some(Self {
            dir,
            keeper: Some(keeper),
        }))
    }

    /// Its cgroup's folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Those of all runs from this place, whether they live or not.
    pub(super) fn all(hierarchy: &Hierarchy, is_name: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        let slice = Place::of(&hierarchy.own_path).slice;
        let is_ours = |entry: &fs::DirEntry| {
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            name.is_some_and(&is_name)
        };
        let dir = hierarchy.directory_of(&slice);
        let entries = dir.and_then(|dir| fs::read_dir(dir).ok());
        entries
            .into_iter()
            .flatten()
            .flatten()
            .filter(is_ours)
            .map(|entry| entry.path())
            .collect()
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        drop(self.keeper.take());
        // systemd learns that it is empty from the kernel, and removes it then. Whoever looks next must not find it.
        let deadline = Instant::now() + GONE_WITHIN;
        while self.dir.exists() && Instant::now() < deadline {
            thread::sleep(PAUSE);
        }
    }
}

/// Whether systemd is our first process.
fn is_first() -> bool {
    let (file, name) = FIRST;
    Path::new(BOOTED).exists() && fs::read_to_string(file).is_ok_and(|text| text.trim() == name)
}

/// Where we are among systemd's units.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// The path of the slice in which our unit is. Of the system's own units only: those below `user@1000.service` are
    /// named by another systemd, the user's.
    slice: String,
    /// Our unit: a service or a scope of the system's.
    unit: Option<String>,
    /// How many cgroups there are from our own up to the slice, without that.
    depth: usize,
}

impl Place {
    fn of(own_path: &str) -> Self {
        let names: Vec<&str> = own_path
            .split('/')
            .filter(|name| !name.is_empty())
            .collect();
        let slices = names
            .iter()
            .take_while(|name| is_kind(name, "slice"))
            .count();
        let is_unit = |name: &&&str| {
            let name = **name;
            name != "init.scope" && (is_kind(name, "service") || is_kind(name, "scope"))
        };
        Self {
            // Without a slice, systemd takes this one.
            slice: match slices {
                0 => "/system.slice".to_owned(),
                _ => format!("/{}", names[..slices].join("/")),
            },
            unit: names
                .get(slices)
                .filter(is_unit)
                .map(|name| (*name).to_owned()),
            depth: names.len() - slices,
        }
    }

    /// The slice as systemd names it: by the last part of its path.
    fn slice_name(&self) -> &str {
        self.slice.rsplit('/').next().unwrap_or_default()
    }
}

/// Whether a unit's name says that it is of this kind.
fn is_kind(name: &str, kind: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == kind)
}

/// Properties of a unit that bound what is in it, and the files that tell them, of cgroup-v2.rst.
const BOUNDS: [(&str, &str); 4] = [
    ("MemoryMax", "memory.max"),
    ("MemoryHigh", "memory.high"),
    ("MemorySwapMax", "memory.swap.max"),
    ("TasksMax", "pids.max"),
];

/// What systemd takes for no bound.
const INFINITY: u64 = u64::MAX;

/// The narrowest of the bounds of the cgroup `own` and those above it, `depth` in all. Said of each, since systemd has
/// defaults of its own for a scope, which are not those of the unit.
fn bounds(own: &Path, depth: usize) -> [(&'static str, u64); BOUNDS.len()] {
    BOUNDS.map(|(property, file)| {
        let all = own.ancestors().take(depth);
        let bound = all
            // "max" is no number.
            .filter_map(|dir| number(&fs::read(dir.join(file)).ok()?))
            .min();
        (property, bound.unwrap_or(INFINITY))
    })
}

/// Calls StartTransientUnit, org.freedesktop.systemd1(5).
fn start_unit(
    unit: &str,
    place: &Place,
    bounds: &[(&str, u64)],
    keeper: u32,
) -> Result<(), String> {
    let keeper = keeper.to_string();
    let bounds: Vec<(&str, String)> = bounds
        .iter()
        .map(|(property, bound)| (*property, bound.to_string()))
        .collect();
    let mut properties = vec![
        vec!["PIDs", "au", "1", &keeper],
        vec!["Delegate", "b", "true"],
        vec!["Description", "s", "A build that build-mem measures"],
        // Gone without a trace, however its processes end.
        vec!["CollectMode", "s", "inactive-or-failed"],
        vec!["Slice", "s", place.slice_name()],
    ];
    properties.extend(
        bounds
            .iter()
            .map(|(property, bound)| vec![*property, "t", bound]),
    );
    // Who stops the service, or ends the session, stops the build with it: our unit first, so that we learn of it before
    // the build does, then what is left of the scope. (Units stop in the reverse of the order in which they start.)
    let unit_of_ours = place.unit.as_deref();
    let dependencies = |name| ["PartOf", "Before"].map(|kind| vec![kind, "as", "1", name]);
    properties.extend(unit_of_ours.into_iter().flat_map(dependencies));
    let output = Command::new(BUSCTL)
        .args(["--system", "--timeout=5", "call"])
        .args(["org.freedesktop.systemd1", "/org/freedesktop/systemd1"])
        .args([
            "org.freedesktop.systemd1.Manager",
            "StartTransientUnit",
            "ssa(sv)a(sa(sv))",
        ])
        .args([unit, "fail", &properties.len().to_string()])
        .args(properties.concat())
        .arg("0")
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`{BUSCTL}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// A process that waits for our end.
#[derive(Debug)]
struct Keeper(Child);

impl Keeper {
    fn start() -> io::Result<Self> {
        // Its stdin ends when we do. A Ctrl-C at the terminal is none of its business, nor is it when systemd stops the
        // scope: without it systemd would take the leaf away before we have read what the build held.
        Command::new("/bin/sh")
            .args(["-c", "trap '' HUP INT TERM; read -r line"])
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it is in the unit's cgroup, and gives that.
    fn path_in(&mut self, unit: &str) -> io::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(format!("/proc/{}/cgroup", self.pid()))?;
            let path = text.lines().find_map(|line| line.strip_prefix("0::"));
            if let Some(path) = path.filter(|path| Path::new(path).ends_with(unit)) {
                return Ok(path.to_owned());
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("it does not move a process to it"));
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_stays_in_our_slice_and_ends_with_our_unit() {
        let place = |own: &str| {
            let place = Place::of(own);
            let name = place.slice_name().to_owned();
            let Place { slice, unit, depth } = place;
            format!("{slice} ({name}) {} {depth}", unit.unwrap_or_default())
        };
        for (own, expected) in [
            (
                "/user.slice/user-1000.slice/session-2.scope",
                "/user.slice/user-1000.slice (user-1000.slice) session-2.scope 1",
            ),
            (
                "/system.slice/ci.service",
                "/system.slice (system.slice) ci.service 1",
            ),
            // A terminal of a desktop: its unit, and the slices below the user's systemd, are not the system's.
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app-terminal.slice/vte-1.scope",
                "/user.slice/user-1000.slice (user-1000.slice) user@1000.service 4",
            ),
            (
                "/system.slice/runner.service/jobs/7",
                "/system.slice (system.slice) runner.service 3",
            ),
            ("/init.scope", "/system.slice (system.slice)  1"),
            ("/", "/system.slice (system.slice)  0"),
        ] {
            assert_eq!(place(own), expected);
        }
    }

    #[test]
    fn the_narrowest_bound_below_the_slice_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let job = root.path().join("runner.service/jobs");
        fs::create_dir_all(&job).unwrap();
        for (dir, file, text) in [
            (root.path(), "memory.max", "1\n"),
            (job.parent().unwrap(), "memory.max", "4096000\n"),
            (&job, "memory.max", "8192000\n"),
            (&job, "memory.high", "max\n"),
            (&job, "memory.swap.max", "0\n"),
        ] {
            fs::write(dir.join(file), text).unwrap();
        }
        assert_eq!(
            bounds(&job, 2),
            [
                ("MemoryMax", 4_096_000),
                ("MemoryHigh", INFINITY),
                ("MemorySwapMax", 0),
                ("TasksMax", INFINITY)
            ]
        );
        assert_eq!(bounds(root.path(), 0)[0], ("MemoryMax", INFINITY));
    }
}
