//! Removing what an earlier build left, for a cold build: the paths of the config's `[clear]`.
//!
//! Nothing outside the project can be removed, even while someone else changes it: the kernel resolves each
//! path beneath the project's open folder and follows no symlink, openat2(2), and each removal is relative to
//! an open folder. Run it as the invoking user, with
//! [`Invoker::act_as`](super::credentials::Invoker::act_as): root could be led to remove what that user can't.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags, openat, openat2, unlinkat};
use rustix::io::Errno;

use crate::problem::Problem;

/// What will be removed: checked, and held open, so that it stays what it was.
#[derive(Debug)]
pub struct ClearPlan {
    targets: Vec<Target>,
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleared {
    /// As the config names it.
    pub path: PathBuf,
    /// Files, symlinks and folders that were removed, itself included. 0: it was not there.
    pub entries: u64,
}

#[derive(Debug)]
struct Target {
    path: PathBuf,
    /// The folder that it is in; absent when that is not there.
    parent: Option<OwnedFd>,
    name: CString,
}

/// Checks all `paths`, which are relative to `project`. When one is refused nothing is removed.
pub fn check(project: &Path, paths: &[PathBuf]) -> Result<ClearPlan, Problem> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat(CWD, project, flags, Mode::empty()).map_err(|errno| {
        Problem::new(format!("cannot open the project `{}`", project.display())).because(errno)
    })?;
    let targets = paths
        .iter()
        .map(|path| check_one(folder.as_fd(), path))
        .collect::<Result<_, _>>()?;
    Ok(ClearPlan { targets })
}

impl ClearPlan {
    /// Removes it all. Stops at the first thing that can't be removed.
    pub fn execute(self) -> Result<Vec<Cleared>, Problem> {
        self.targets
            .into_iter()
            .map(|Target { path, parent, name }| {
                let entries = match parent {
                    Some(parent) => remove(parent.as_fd(), &name, &mut path.clone())?,
                    None => 0,
                };
                Ok(Cleared { path, entries })
            })
            .collect()
    }
}

fn check_one(project: BorrowedFd<'_>, path: &Path) -> Result<Target, Problem> {
    let refuse = |why: &str| {
        Problem::new(format!("refused to clear `{}`", path.display()))
            .because(why)
            .help("nothing was removed; correct `[clear] paths`, or use `--skip-clear`")
    };
    let mut parent_path = PathBuf::from(".");
    let mut name: Option<&OsStr> = None;
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(component) => {
                if let Some(folder) = name.replace(component) {
                    parent_path.push(folder);
                }
            }
            Component::ParentDir => return Err(refuse("`..` may lead out of the project")),
            Component::RootDir | Component::Prefix(_) => {
                return Err(refuse("it is not relative to the project"));
            }
        }
    }
    let Some(name) = name else {
        return Err(refuse("it names the project itself"));
    };
    let name = CString::new(name.as_bytes()).map_err(|_| refuse("it has a NUL byte in it"))?;
    let target = |parent| Target {
        path: path.to_owned(),
        parent,
        name: name.clone(),
    };
    let explain = |errno: Errno| match errno {
        Errno::LOOP => refuse("a folder on the way to it is a symlink"),
        Errno::XDEV => refuse("it is on another mount than the project"),
        Errno::NOTDIR => refuse("something on the way to it is not a folder"),
        Errno::NOSYS => refuse("this system has no openat2(2), which keeps it inside the project"),
        errno => refuse(&errno.to_string()),
    };

    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match openat2(project, &parent_path, flags, Mode::empty(), inside()) {
        Ok(parent) => parent,
        Err(Errno::NOENT) => return Ok(target(None)),
        Err(errno) => return Err(explain(errno)),
    };
    // Opened for the check only: without NOFOLLOW a final symlink would be an error, with it it's opened itself.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(&parent, name.as_c_str(), flags, Mode::empty(), inside()) {
        Ok(_) | Err(Errno::NOENT) => Ok(target(Some(parent))),
        Err(errno) => Err(explain(errno)),
    }
}

/// Never out of the folder, never through a symlink, never to another mount.
fn inside() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV
}

/// Removes `name` in `parent`, whatever it is, and returns how many entries that was. `path` is its path for
/// messages, as it is again afterwards.
fn remove(parent: BorrowedFd<'_>, name: &CStr, path: &mut PathBuf) -> Result<u64, Problem> {
    // Not by its type, which may change between asking and removing.
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) => return Ok(1),
        Err(Errno::NOENT) => return Ok(0),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(cannot_clear(path, errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat2(parent, name, flags, Mode::empty(), inside())
        .map_err(|errno| cannot_clear(path, errno))?;
    // All names before the first removal: some file systems skip entries that move up meanwhile.
    let names = names_in(folder.as_fd()).map_err(|errno| cannot_clear(path, errno))?;
    let mut removed = 0;
    for name in names {
        path.push(OsStr::from_bytes(name.to_bytes()));
        removed += remove(folder.as_fd(), &name, path)?;
        path.pop();
    }
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(removed + 1),
        Err(errno) => Err(cannot_clear(path, errno)),
    }
}

fn names_in(folder: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    Dir::read_from(folder)?
        .filter_map(|entry| match entry {
            Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => None,
            Ok(entry) => Some(Ok(entry.file_name().to_owned())),
            Err(errno) => Some(Err(errno)),
        })
        .collect()
}

fn cannot_clear(path: &Path, errno: Errno) -> Problem {
    let help = match errno {
        Errno::ACCESS | Errno::PERM => {
            "an earlier build may have run as root; remove it by hand, or use `--skip-clear`"
        }
        Errno::XDEV | Errno::BUSY => {
            "something is mounted there; name what is beside it in `[clear] paths`, or use `--skip-clear`"
        }
        Errno::NOTEMPTY => "something still writes there; end it, or use `--skip-clear`",
        _ => "remove it by hand, or use `--skip-clear`",
    };
    Problem::new(format!("cannot clear `{}`", path.display()))
        .because(errno)
        .help(help)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn project() -> tempfile::TempDir {
        let project = tempfile::tempdir().unwrap();
        fs::create_dir_all(project.path().join("server/.next/cache/deep")).unwrap();
        fs::write(project.path().join("server/.next/BUILD_ID"), "1").unwrap();
        fs::write(project.path().join("server/.next/cache/deep/file"), "1").unwrap();
        fs::write(project.path().join("server/tsconfig.tsbuildinfo"), "1").unwrap();
        fs::write(project.path().join("server/kept"), "1").unwrap();
        project
    }

    fn plan(project: &Path, paths: &[&str]) -> Result<ClearPlan, Problem> {
        let paths: Vec<_> = paths.iter().map(PathBuf::from).collect();
        check(project, &paths)
    }

    fn clear(project: &Path, paths: &[&str]) -> Vec<u64> {
        let cleared = plan(project, paths).unwrap().execute().unwrap();
        cleared.into_iter().map(|cleared| cleared.entries).collect()
    }

    fn refused(project: &Path, path: &str) -> String {
        let problem = plan(project, &["server/.next", path]).unwrap_err();
        assert!(project.join("server/.next/BUILD_ID").exists());
        problem.to_string()
    }

    #[test]
    fn folders_files_and_missing_paths() {
        let project = project();
        let paths = [
            "server/.next",
            "./server/tsconfig.tsbuildinfo",
            "server/missing",
            "missing/missing",
            "server/.next/",
        ];
        assert_eq!(clear(project.path(), &paths), [5, 1, 0, 0, 0]);
        let left: Vec<_> = fs::read_dir(project.path().join("server"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["kept"]);
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused_before_anything_is_removed() {
        let project = project();
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), project.path().join("link")).unwrap();
        symlink("server", project.path().join("within")).unwrap();
        let cases = [
            ("", "the project itself"),
            (".", "the project itself"),
            ("./.", "the project itself"),
            ("/etc", "not relative"),
            ("..", "`..`"),
            ("server/../../x", "`..`"),
            ("server/..", "`..`"),
            ("link/x", "symlink"),
            ("within/.next", "symlink"),
            ("server/kept/x", "not a folder"),
        ];
        for (path, why) in cases {
            let told = refused(project.path(), path);
            assert!(told.contains(why), "{path}: {told}");
        }
    }

    #[test]
    fn a_final_symlink_is_unlinked_and_never_followed() {
        let project = project();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("precious"), "1").unwrap();
        symlink(elsewhere.path(), project.path().join("link")).unwrap();
        symlink(
            elsewhere.path(),
            project.path().join("server/.next/cache/link"),
        )
        .unwrap();
        assert_eq!(
            clear(project.path(), &["link", "link/", "server/.next"]),
            [1, 0, 6]
        );
        assert!(elsewhere.path().join("precious").exists());
    }

    #[test]
    fn a_symlink_that_replaces_a_folder_after_the_check_is_not_followed() {
        let project = project();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::create_dir(elsewhere.path().join(".next")).unwrap();
        fs::write(elsewhere.path().join(".next/precious"), "1").unwrap();
        let server = project.path().join("server");
        let plan = plan(project.path(), &["server/.next"]).unwrap();
        fs::rename(&server, project.path().join("moved")).unwrap();
        symlink(elsewhere.path(), &server).unwrap();
        plan.execute().unwrap();
        assert!(elsewhere.path().join(".next/precious").exists());
        assert!(!project.path().join("moved/.next").exists());
    }

    #[test]
    fn names_that_are_not_utf8_are_removed() {
        let project = project();
        let name = OsStr::from_bytes(b"server/.next/\xff\xfe");
        fs::write(project.path().join(name), "1").unwrap();
        assert_eq!(clear(project.path(), &["server/.next"]), [6]);
    }

    #[test]
    #[ignore = "needs root: cargo xtask test"]
    fn a_mount_is_refused_and_never_entered() {
        let project = project();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("precious"), "1").unwrap();
        let at = project.path().join("server/.next/cache");
        let mount = |arguments: &[&OsStr]| {
            let status = std::process::Command::new("mount").args(arguments).status();
            assert!(status.unwrap().success());
        };
        mount(&["--bind".as_ref(), elsewhere.path().as_ref(), at.as_ref()]);
        let at_itself = plan(project.path(), &["server/.next/cache"]).map(|_| ());
        let above = plan(project.path(), &["server/.next"]).unwrap().execute();
        let unmounted = std::process::Command::new("umount").arg(&at).status();
        assert!(unmounted.unwrap().success());
        assert!(at_itself.unwrap_err().to_string().contains("mount"));
        let told = above.unwrap_err();
        assert!(told.what.ends_with("server/.next/cache`"), "{told}");
        assert!(told.help.unwrap().contains("mounted"));
        assert!(elsewhere.path().join("precious").exists());
    }
}
