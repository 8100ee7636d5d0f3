//! Which hierarchy has the memory controller, and where our own cgroup is in it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use procfs::process::MountInfo;
use procfs::{FromRead, ProcessCGroups};

use crate::problem::Problem;
use crate::reading::Reading;
use crate::units::ByteSize;

use super::{bytes, v1, v2};

/// The version of a cgroup file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy a controller, or a few.
    V1,
    /// The unified hierarchy.
    V2,
}

impl Version {
    /// 1 or 2.
    pub const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// The file of a cgroup with its high-water mark: the headline's source. On v2 since Linux 5.19.
    pub const fn headline_file(self) -> &'static str {
        match self {
            Self::V1 => v1::PEAK,
            Self::V2 => v2::PEAK,
        }
    }
}

/// The hierarchy with the memory controller, as this process sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its version. Memory may be on v1 while v2 is mounted beside it (hybrid).
    pub version: Version,
    /// The kernel's number of it, as in /proc/self/cgroup; 0 for v2.
    pub id: u32,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The cgroup that is seen at `mount_point`: a container's mount may show a subtree. A path in the hierarchy.
    pub mount_root: String,
    /// Our own cgroup, as a path in the hierarchy: from its root, or from that of our cgroup namespace.
    pub own_path: String,
    /// The folder of our own cgroup, below `mount_point`.
    pub own_dir: PathBuf,
}

impl Hierarchy {
    /// Finds it: `self/cgroup` below `proc_root` (cgroups(7)) says which hierarchies there are and where in them we
    /// are, `self/mountinfo` (proc_pid_mountinfo(5)) where they are mounted.
    ///
    /// # Errors
    ///
    /// When the controller's hierarchy is not mounted, or its mount does not show our own cgroup.
    pub fn detect(proc_root: &Path) -> Result<Self, Problem> {
        let (version, id, own_path) = own_cgroup(&read(&proc_root.join("self/cgroup"))?)?;
        let mountinfo = read(&proc_root.join("self/mountinfo"))?;
        let mut mounts: Vec<MountInfo> = mountinfo
            .lines()
            // A line that the parser does not know is some other file system's.
            .filter_map(|line| MountInfo::from_line(line).ok())
            .filter(|mount| match version {
                Version::V1 => {
                    mount.fs_type == "cgroup" && mount.super_options.contains_key("memory")
                }
                Version::V2 => mount.fs_type == "cgroup2",
            })
            .collect();
        if mounts.is_empty() {
            return Err(not_mounted(version));
        }
        // A container may have the same hierarchy read-only at one place and writable at another.
        mounts.sort_by_key(|mount| mount.mount_options.contains_key("ro"));
        mounts
            .into_iter()
            .map(|mount| Self {
                version,
                id,
                mount_point: unescape(&mount.mount_point.to_string_lossy()),
                mount_root: unescape(&mount.root).to_string_lossy().into_owned(),
                own_path: own_path.clone(),
                own_dir: PathBuf::new(),
            })
            .find_map(|mut hierarchy| {
                let dir = hierarchy.directory_of(&own_path)?;
                dir.join("cgroup.procs").exists().then(|| {
                    hierarchy.own_dir = dir;
                    hierarchy
                })
            })
            .ok_or_else(|| {
                Problem::new(format!(
                    "cannot find our own cgroup `{own_path}` in the mounted cgroup file system"
                ))
                .because("none of its mounts shows that part of the hierarchy")
                .help("in a container, run it with a cgroup namespace of its own (docker: `--cgroupns=private`)")
            })
    }

    /// The folder of a cgroup, where it is below the mount's root.
    pub fn directory_of(&self, path_in_hierarchy: &str) -> Option<PathBuf> {
        let below = Path::new(path_in_hierarchy)
            .strip_prefix(&self.mount_root)
            .ok()?;
        // `..` stands for what is outside of our cgroup namespace.
        below
            .components()
            .all(|component| matches!(component, Component::Normal(_)))
            .then(|| join(&self.mount_point, below))
    }

    /// The path in the hierarchy of a folder below the mount point.
    pub fn path_of(&self, directory: &Path) -> Option<String> {
        let below = directory.strip_prefix(&self.mount_point).ok()?;
        let path = join(Path::new(&self.mount_root), below);
        Some(path.to_string_lossy().into_owned())
    }

    /// The inode number of a cgroup's folder, where it is there and can be seen.
    pub fn id_of(&self, path_in_hierarchy: &str) -> Option<u64> {
        let dir = self.directory_of(path_in_hierarchy)?;
        fs::metadata(dir).ok().map(|metadata| metadata.ino())
    }

    /// The high-water mark of any cgroup, such as one to which a process of the build was moved. It covers
    /// everything that was ever in that cgroup, not the build alone.
    pub fn peak_of(&self, path_in_hierarchy: &str) -> Reading<ByteSize> {
        match self.directory_of(path_in_hierarchy) {
            Some(dir) => self.peak_in(&dir),
            None => Reading::missing(format!(
                "cgroup `{path_in_hierarchy}` is outside of what is mounted at `{}`",
                self.mount_point.display()
            )),
        }
    }

    /// Whether our own cgroup is all that is seen of the hierarchy, and is not its root: so it is in a container.
    pub fn shows_only_ours(&self) -> bool {
        let is_root = match self.version {
            // Of all cgroups, only the root has this file: memory.rst, cgroup-v2.rst.
            Version::V1 => self.own_dir.join("release_agent").exists(),
            Version::V2 => !self.own_dir.join("cgroup.type").exists(),
        };
        self.own_dir == self.mount_point && !is_root
    }

    /// The high-water mark that this open file shows: since it was begun anew through it, where it was.
    pub(super) fn peak_of_file(&self, mut file: &File) -> Reading<ByteSize> {
        let name = self.version.headline_file();
        let mut text = Vec::new();
        let read = file.rewind().and_then(|()| file.read_to_end(&mut text));
        match (read, bytes(&text)) {
            (Ok(_), Some(value)) => Reading::known(value, name),
            (Ok(_), None) => Reading::missing(format!("{name} holds no number")),
            (Err(error), _) => Reading::missing(format!("cannot read {name}: {error}")),
        }
    }

    /// The high-water mark of the cgroup with this folder.
    pub(super) fn peak_in(&self, dir: &Path) -> Reading<ByteSize> {
        let file = self.version.headline_file();
        let path = dir.join(file);
        match fs::read(&path) {
            Ok(text) => match bytes(&text) {
                Some(value) => Reading::known(value, file),
                None => Reading::missing(format!("`{}` holds no number", path.display())),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && dir.exists() => {
                Reading::missing(match self.version {
                    Version::V1 => format!("`{}` has no {file}", dir.display()),
                    Version::V2 => format!(
                        "this kernel shows no {file} (Linux 5.19 and later do, except of the root cgroup)"
                    ),
                })
            }
            Err(error) => Reading::missing(format!("cannot read `{}`: {error}", path.display())),
        }
    }
}

/// The version and number of the hierarchy with the memory controller, and our path in it, of /proc/self/cgroup.
fn own_cgroup(text: &str) -> Result<(Version, u32, String), Problem> {
    let lines: Vec<_> = text
        .lines()
        .filter_map(|line| ProcessCGroups::from_read(line.as_bytes()).ok())
        .flat_map(|cgroups| cgroups.0)
        .collect();
    let on_v1 = lines
        .iter()
        .find(|line| line.controllers.iter().any(|name| name == "memory"));
    let on_v2 = lines
        .iter()
        .find(|line| line.hierarchy == 0 && line.controllers.is_empty());
    match (on_v1, on_v2) {
        (Some(line), _) => Ok((Version::V1, line.hierarchy, line.pathname.clone())),
        (None, Some(line)) => Ok((Version::V2, 0, line.pathname.clone())),
        (None, None) => Err(
            Problem::new("cannot find a cgroup hierarchy with the memory controller")
                .because("`/proc/self/cgroup` names none")
                .help("boot without `cgroup_disable=memory`, and mount the cgroup file system: `mount -t cgroup2 none /sys/fs/cgroup`"),
        ),
    }
}

fn not_mounted(version: Version) -> Problem {
    let (file_system, command) = match version {
        Version::V1 => (
            "cgroup v1 hierarchy with the memory controller",
            "mkdir -p /sys/fs/cgroup/memory && mount -t cgroup -o memory none /sys/fs/cgroup/memory",
        ),
        Version::V2 => (
            "cgroup v2 hierarchy",
            "mount -t cgroup2 none /sys/fs/cgroup",
        ),
    };
    Problem::new(format!("cannot use the {file_system}"))
        .because("it is not mounted")
        .help(format!("mount it: `{command}`"))
}

/// `Path::join` gives a path with a slash at its end when there is nothing to add.
fn join(base: &Path, below: &Path) -> PathBuf {
    base.components().chain(below.components()).collect()
}

fn read(path: &Path) -> Result<String, Problem> {
    // Lossily: another mount's odd name must not hide ours.
    match fs::read(path) {
        Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Err(error) => Err(Problem::new(format!("cannot read `{}`", path.display())).because(error)),
    }
}

/// A path as mountinfo shows it, where space, tab, newline and backslash are `\` and three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = match (first, tail.get(..3)) {
            (b'\\', Some(digits)) => std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 8).ok()),
            _ => None,
        };
        bytes.push(octal.unwrap_or(first));
        rest = &tail[if octal.is_some() { 3 } else { 0 }..];
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A `/proc` and a cgroup file system in which `own` is a cgroup; `@` in `mountinfo` is the folder of both.
    fn fake(cgroup: &str, mountinfo: &str, own: &str) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let proc_self = root.path().join("proc/self");
        fs::create_dir_all(&proc_self).unwrap();
        fs::write(proc_self.join("cgroup"), cgroup).unwrap();
        let at = root.path().to_str().unwrap();
        fs::write(proc_self.join("mountinfo"), mountinfo.replace('@', at)).unwrap();
        fs::create_dir_all(root.path().join(own)).unwrap();
        fs::write(root.path().join(own).join("cgroup.procs"), "").unwrap();
        let proc_root = root.path().join("proc");
        (root, proc_root)
    }

    #[test]
    fn memory_on_v1_is_found_beside_a_mounted_v2() {
        let (root, proc_root) = fake(
            "9:name=systemd:/\n4:memory:/ci/job\n1:cpu,cpuacct:/\n0::/ci/job\n",
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             35 31 0:32 / @/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
             32 31 0:29 / @/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
             41 31 0:38 / @/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
            "cgroup/memory/ci/job",
        );
        let found = Hierarchy::detect(&proc_root).unwrap();
        assert_eq!(
            found,
            Hierarchy {
                version: Version::V1,
                id: 4,
                mount_point: root.path().join("cgroup/memory"),
                mount_root: "/".to_owned(),
                own_path: "/ci/job".to_owned(),
                own_dir: root.path().join("cgroup/memory/ci/job"),
            }
        );
    }

    #[test]
    fn a_v2_session_is_found() {
        let (root, proc_root) = fake(
            "0::/user.slice/user-1000.slice/session-2.scope\n",
            "35 25 0:30 / @/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
            "cgroup/user.slice/user-1000.slice/session-2.scope",
        );
        let found = Hierarchy::detect(&proc_root).unwrap();
        assert_eq!((found.version, found.id), (Version::V2, 0));
        assert_eq!(
            found.own_dir,
            root.path()
                .join("cgroup/user.slice/user-1000.slice/session-2.scope")
        );
    }

    #[test]
    fn a_container_that_sees_a_subtree_finds_itself_through_the_mounts_root() {
        let (root, proc_root) = fake(
            "4:memory:/docker/4f2a\n0::/\n",
            "700 690 0:32 /docker/4f2a @/cgroup/memory rw - cgroup cgroup rw,memory\n",
            "cgroup/memory",
        );
        let found = Hierarchy::detect(&proc_root).unwrap();
        assert_eq!(found.own_dir, root.path().join("cgroup/memory"));
        let child = found.own_dir.join("build-mem-1-2");
        assert_eq!(
            found.path_of(&child).as_deref(),
            Some("/docker/4f2a/build-mem-1-2")
        );
        assert_eq!(
            found.directory_of("/docker/4f2a/build-mem-1-2"),
            Some(child)
        );
        assert_eq!(
            found.path_of(&found.own_dir).as_deref(),
            Some("/docker/4f2a")
        );
        assert_eq!(found.directory_of("/docker/4f2abc"), None);
        assert_eq!(found.directory_of("/docker/4f2a/../x"), None);
    }

    #[test]
    fn the_writable_mount_is_preferred_and_escapes_are_undone() {
        let (root, proc_root) = fake(
            "0::/\n",
            "1 0 0:30 / @/ro ro,nosuid - cgroup2 cgroup rw\n\
             2 0 0:30 / @/with\\040space rw - cgroup2 cgroup rw\n",
            "with space",
        );
        fs::create_dir(root.path().join("ro")).unwrap();
        fs::write(root.path().join("ro/cgroup.procs"), "").unwrap();
        let found = Hierarchy::detect(&proc_root).unwrap();
        assert_eq!(found.mount_point, root.path().join("with space"));
    }

    #[test]
    fn what_is_missing_is_said() {
        let problem = |cgroup: &str, mountinfo: &str| {
            let (root, proc_root) = fake(cgroup, mountinfo, "elsewhere");
            let problem = Hierarchy::detect(&proc_root).unwrap_err();
            assert!(problem.help.is_some());
            problem
                .to_string()
                .replace(root.path().to_str().unwrap(), "@")
        };
        insta::assert_snapshot!(problem("", ""), @"cannot find a cgroup hierarchy with the memory controller: `/proc/self/cgroup` names none");
        insta::assert_snapshot!(problem("4:memory:/\n0::/\n", "1 0 0:1 / @/u rw - cgroup2 c rw\n"), @"cannot use the cgroup v1 hierarchy with the memory controller: it is not mounted");
        insta::assert_snapshot!(problem("0::/\n", "1 0 0:1 / / rw - ext4 /dev/x rw\n"), @"cannot use the cgroup v2 hierarchy: it is not mounted");
        insta::assert_snapshot!(problem("0::/a\n", "1 0 0:1 /b @/u rw - cgroup2 c rw\n"), @"cannot find our own cgroup `/a` in the mounted cgroup file system: none of its mounts shows that part of the hierarchy");
    }

    #[test]
    fn the_peak_of_another_cgroup_is_read_or_said_to_be_missing() {
        let (root, proc_root) = fake(
            "0::/job\n",
            "1 0 0:30 / @/cgroup rw - cgroup2 cgroup rw\n",
            "cgroup/job",
        );
        let snap = root.path().join("cgroup/snap.node");
        fs::create_dir(&snap).unwrap();
        fs::write(snap.join("memory.peak"), "123456789\n").unwrap();
        let hierarchy = Hierarchy::detect(&proc_root).unwrap();
        assert_eq!(
            hierarchy.peak_of("/snap.node"),
            Reading::known(ByteSize::from_bytes(123_456_789), "memory.peak")
        );
        let why = |path: &str| match hierarchy.peak_of(path) {
            Reading::Missing(why) => why.replace(root.path().to_str().unwrap(), "@"),
            Reading::Known { value, source: _ } => panic!("{value}"),
        };
        insta::assert_snapshot!(why("/job"), @"this kernel shows no memory.peak (Linux 5.19 and later do, except of the root cgroup)");
        insta::assert_snapshot!(why("/gone"), @"cannot read `@/cgroup/gone/memory.peak`: No such file or directory (os error 2)");
        insta::assert_snapshot!(why("/../x"), @"cgroup `/../x` is outside of what is mounted at `@/cgroup`");
    }

    proptest! {
        #[test]
        fn any_proc_files_are_read_without_panic(
            cgroup in "[0-9:,a-z/\\n]{0,60}",
            mountinfo in "([0-9a-z:/,=\\\\ -]{0,40}| - cgroup2 c rw|\\n|1 0 0:1 / /){0,6}",
        ) {
            let (_root, proc_root) = fake(&cgroup, &mountinfo, "own");
            let _ = Hierarchy::detect(&proc_root);
        }

        #[test]
        fn any_path_is_unescaped_without_panic(text in "[\\\\0-9a-zé]{0,20}") {
            unescape(&text);
        }
    }
}
