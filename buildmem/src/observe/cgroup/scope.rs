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
use super::v2;
use crate::problem::Problem;

/// Made by systemd where it is the first process: sd_booted(3).
const BOOTED: &str = "/run/systemd/system";

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
    /// # Errors
    ///
    /// When systemd does not make it.
    pub(super) fn create(hierarchy: &Hierarchy, name: &str) -> Result<Option<Self>, Problem> {
        if hierarchy.version != Version::V2 || !geteuid().is_root() || !Path::new(BOOTED).exists() {
            return Ok(None);
        }
        let unit = format!("{name}{SUFFIX}");
        let failed =
            |why: &dyn std::fmt::Display| Problem::new("systemd makes no scope").because(why);
        let mut keeper = Keeper::start().map_err(|error| failed(&error))?;
        start_unit(&unit, slice_of(hierarchy), keeper.pid()).map_err(|why| failed(&why))?;
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
        let slice = slice_of(hierarchy).map_or(Path::new("/"), |(path, _)| path);
        let is_ours = |entry: &fs::DirEntry| {
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            name.is_some_and(&is_name)
        };
        let dir = hierarchy.directory_of(&slice.to_string_lossy());
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

/// The slice in which we are, as a path and by its name, so that what bounds us bounds the build, too.
fn slice_of(hierarchy: &Hierarchy) -> Option<(&Path, &str)> {
    Path::new(&hierarchy.own_path).ancestors().find_map(|path| {
        let name = path.file_name()?.to_str()?;
        let is_slice = path.extension().is_some_and(|kind| kind == "slice");
        is_slice.then_some((path, name))
    })
}

/// Calls StartTransientUnit, org.freedesktop.systemd1(5).
fn start_unit(unit: &str, slice: Option<(&Path, &str)>, keeper: u32) -> Result<(), String> {
    let keeper = keeper.to_string();
    let mut properties = vec![
        vec!["PIDs", "au", "1", &keeper],
        vec!["Delegate", "b", "true"],
        vec!["Description", "s", "A build that build-mem measures"],
        // Gone without a trace, however its processes end.
        vec!["CollectMode", "s", "inactive-or-failed"],
    ];
    properties.extend(slice.map(|(_, name)| vec!["Slice", "s", name]));
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
        // Its stdin ends when we do. A Ctrl-C at the terminal is none of its business.
        Command::new("/bin/sh")
            .args(["-c", "read -r line"])
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

    fn hierarchy(own_path: &str) -> Hierarchy {
        Hierarchy {
            version: Version::V2,
            id: 0,
            mount_point: "/sys/fs/cgroup".into(),
            mount_root: "/".to_owned(),
            own_path: own_path.to_owned(),
            own_dir: Path::new("/sys/fs/cgroup").join(own_path.trim_start_matches('/')),
        }
    }

    #[test]
    fn the_build_stays_in_our_slice() {
        let slice = |own: &str| {
            let hierarchy = hierarchy(own);
            slice_of(&hierarchy).map(|(path, name)| (path.display().to_string(), name.to_owned()))
        };
        assert_eq!(
            slice("/user.slice/user-1000.slice/session-2.scope"),
            Some((
                "/user.slice/user-1000.slice".to_owned(),
                "user-1000.slice".to_owned()
            ))
        );
        assert_eq!(
            slice("/system.slice/ci.service"),
            Some(("/system.slice".to_owned(), "system.slice".to_owned()))
        );
        assert_eq!(slice("/init.scope"), None);
        assert_eq!(slice("/"), None);
    }
}
