//! The same run inside docker or podman: the runtime starts this very program in a container, where it starts the
//! build. The container's cgroup is the build's, and its files land in the project, which is mounted where it is here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{Access, access};
use rustix::process::geteuid;

use crate::launch::credentials::{Credentials, Environment};
use crate::problem::Problem;
use crate::units::ByteSize;

/// The image of a bare `--container`.
pub const DEFAULT_IMAGE: &str = "node:24-bookworm";

/// Where this program is in the container: in the `PATH` of nearly every image, so that the build can mark its stages.
const PROGRAM: &str = "/usr/local/bin/build-mem";

/// The command of ours that tells by its exit code whether eBPF works.
pub const PROBE: &str = "try-ebpf";

/// What eBPF needs.
const EBPF: [&str; 2] = ["BPF", "PERFMON"];

/// The same, for runtimes that do not know of those two yet (Linux 5.8), such as docker 20.10, or whose seccomp profile
/// does not, such as that of podman 4.3.
const EBPF_FORMERLY: [&str; 1] = ["SYS_ADMIN"];

/// What build-mem needs in the container besides: the memory of the build's processes, and to become its user. SETPCAP
/// is for taking the others from the build; CHOWN and DAC_OVERRIDE for files in that user's project; KILL for signals.
const CAPABILITIES: [&str; 7] = [
    "SYS_PTRACE",
    "SETUID",
    "SETGID",
    "SETPCAP",
    "CHOWN",
    "DAC_OVERRIDE",
    "KILL",
];

/// What runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// docker, whose daemon makes the container.
    Docker,
    /// podman, which makes it itself.
    Podman,
}

impl Runtime {
    /// The name of its program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    /// Whether this process can have containers of it in which eBPF works. A container that a user's own podman makes is
    /// in a user namespace, to which the kernel gives no eBPF.
    pub fn is_within_reach(self, environment: &Environment) -> bool {
        if geteuid().is_root() {
            return true;
        }
        match self {
            // A daemon elsewhere tells by itself whether we may use it.
            Self::Docker => {
                environment.contains_key(OsStr::new("DOCKER_HOST"))
                    || access("/var/run/docker.sock", Access::WRITE_OK).is_ok()
            }
            Self::Podman => false,
        }
    }
}

/// What build-mem may do in the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileges {
    /// What it needs: CAP_BPF and CAP_PERFMON are among it.
    Least,
    /// The same with CAP_SYS_ADMIN in the place of these two.
    Older,
    /// The same without eBPF.
    NoEbpf,
    /// Everything.
    Full,
}

/// A run in a container.
#[derive(Clone, Debug)]
pub struct Container<'a> {
    /// What it is made of.
    pub image: &'a str,
    /// What we may do in it.
    pub privileges: Privileges,
    /// Whether the kernel takes eBPF maps for locked memory, of which a process may have little: before Linux 5.11.
    pub maps_are_locked_memory: bool,
    /// The most memory that it may have.
    pub memory: Option<ByteSize>,
    /// The most swap beside that.
    pub swap: ByteSize,
    /// This program's file.
    pub program: &'a Path,
    /// The folder that is mounted and worked in.
    pub project: &'a Path,
    /// Who the build is.
    pub user: &'a Credentials,
    /// Whether stdin and stdout are a terminal.
    pub on_terminal: bool,
    /// The arguments of this run, as they were typed.
    pub arguments: &'a [OsString],
}

impl Container<'_> {
    /// What the runtime's program is to be called with to [try](PROBE) these privileges.
    ///
    /// # Errors
    ///
    /// When this program cannot be mounted.
    pub fn to_probe(&self) -> Result<Vec<OsString>, Problem> {
        let mut words: Vec<OsString> = vec!["run".into(), "--rm".into()];
        words.extend(self.rights());
        words.extend(self.program()?);
        words.extend([self.image.into(), PROBE.into()]);
        Ok(words)
    }

    /// What the runtime's program is to be called with to make it.
    ///
    /// # Errors
    ///
    /// When the project cannot be mounted.
    pub fn to_create(&self) -> Result<Vec<OsString>, Problem> {
        if self.project == Path::new("/") {
            return Err(
                Problem::new("cannot mount `/` into a container").help("change to the project")
            );
        }
        let mut words: Vec<OsString> = vec!["create".into(), "--rm".into(), "--interactive".into()];
        if self.on_terminal {
            words.push("--tty".into());
        }
        words.extend(self.rights());
        if let Some(memory) = self.memory {
            // The runtimes' second limit is that of memory and swap.
            let both = memory.bytes().saturating_add(self.swap.bytes());
            words.push(format!("--memory={}b", memory.bytes()).into());
            words.push(format!("--memory-swap={both}b").into());
        }
        words.extend(self.program()?);
        words.push(mount(self.project, self.project, false)?);
        words.push(option("--workdir=", self.project));
        words.push("--env=NO_COLOR".into());
        // From here on, nothing is an option of the runtime.
        words.push(self.image.into());
        words.extend(["run".into(), format!("--inside={}", self.user).into()]);
        let typed = self.arguments;
        let is_named = typed.first().is_some_and(|word| word == "run");
        words.extend_from_slice(&typed[usize::from(is_named)..]);
        Ok(words)
    }

    /// Whatever the image has for its user and its program: ours begins, as root, and becomes the build's user.
    fn program(&self) -> Result<[OsString; 3], Problem> {
        Ok([
            mount(self.program, Path::new(PROGRAM), true)?,
            "--user=0:0".into(),
            option("--entrypoint=", PROGRAM),
        ])
    }

    fn rights(&self) -> Vec<OsString> {
        let mut words = match self.privileges {
            Privileges::Full => vec!["--privileged".into()],
            Privileges::Least => self.capabilities(&EBPF),
            Privileges::Older => self.capabilities(&EBPF_FORMERLY),
            Privileges::NoEbpf => self.capabilities(&[]),
        };
        if self.maps_are_locked_memory {
            words.push("--ulimit=memlock=-1:-1".into());
        }
        words
    }

    fn capabilities(&self, ebpf: &[&str]) -> Vec<OsString> {
        // A build that is root has what a container's root has.
        let none = (!self.user.uid.is_root()).then(|| "--cap-drop=ALL".into());
        let names = ebpf.iter().chain(&CAPABILITIES);
        none.into_iter()
            .chain(names.map(|name| format!("--cap-add={name}").into()))
            .collect()
    }
}

fn option(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut word = OsString::from(name);
    word.push(value);
    word
}

/// A bind mount. In the runtimes' syntax commas separate, and what is between quotation marks is their CSV reader's.
fn mount(source: &Path, target: &Path, read_only: bool) -> Result<OsString, Problem> {
    for path in [source, target] {
        let bytes = path.as_os_str().as_bytes();
        if bytes.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n')) {
            return Err(Problem::new(format!(
                "cannot mount `{}` into a container",
                path.display()
            ))
            .because("docker and podman cannot be told of a path with a comma, a quotation mark or a line break")
            .help("rename the folder"));
        }
    }
    let mut word = option("--mount=type=bind,source=", source);
    word.push(",target=");
    word.push(target);
    if read_only {
        word.push(",readonly");
    }
    Ok(word)
}

#[cfg(test)]
mod tests {
    use rustix::process::{Gid, Uid};

    use super::*;

    const TYPED: [&str; 5] = ["run", "--image", "x", "--", "make"];

    fn words(typed: &[&str], change: impl FnOnce(&mut Container)) -> Vec<String> {
        let user = Credentials {
            uid: Uid::from_raw(1000),
            gid: Gid::from_raw(100),
            groups: vec![Gid::from_raw(100), Gid::from_raw(27)],
        };
        let arguments: Vec<OsString> = typed.iter().map(OsString::from).collect();
        let mut container = Container {
            image: "x",
            privileges: Privileges::Least,
            maps_are_locked_memory: false,
            memory: None,
            swap: ByteSize::ZERO,
            program: Path::new("/opt/build-mem"),
            project: Path::new("/home/dev/a b"),
            user: &user,
            on_terminal: false,
            arguments: &arguments,
        };
        change(&mut container);
        let words = container.to_create().unwrap();
        words
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect()
    }

    #[test]
    fn what_was_typed_is_run_again_inside() {
        let all = words(&TYPED, |_| {});
        let image = all.iter().position(|word| word == "x").unwrap();
        assert_eq!(
            all[image..],
            [
                "x",
                "run",
                "--inside=1000:100,27",
                "--image",
                "x",
                "--",
                "make"
            ]
        );
        assert!(all.contains(&"--workdir=/home/dev/a b".to_owned()));
        assert!(
            all.contains(&"--mount=type=bind,source=/home/dev/a b,target=/home/dev/a b".to_owned())
        );
        let unnamed = words(&["--container", "--", "make"], |_| {});
        assert_eq!(
            unnamed[unnamed.len() - 5..],
            ["run", "--inside=1000:100,27", "--container", "--", "make"]
        );
    }

    #[test]
    fn a_ceiling_is_the_runtimes_and_leaves_the_swap_that_was_asked_for() {
        let all = words(&TYPED, |container| {
            container.memory = Some(ByteSize::from_mib(64));
            container.swap = ByteSize::from_mib(1);
        });
        assert!(all.contains(&"--memory=67108864b".to_owned()));
        assert!(all.contains(&"--memory-swap=68157440b".to_owned()));
        assert!(
            !words(&TYPED, |_| {})
                .iter()
                .any(|word| word.starts_with("--memory"))
        );
    }

    #[test]
    fn everything_is_allowed_only_when_asked_for() {
        let all = words(&TYPED, |_| {});
        assert!(all.contains(&"--cap-drop=ALL".to_owned()));
        assert!(!all.contains(&"--privileged".to_owned()));
        assert!(all.contains(&"--cap-add=BPF".to_owned()));
        assert!(!all.contains(&"--cap-add=SYS_ADMIN".to_owned()));
        let full = words(&TYPED, |container| container.privileges = Privileges::Full);
        assert!(full.contains(&"--privileged".to_owned()));
        assert!(!full.iter().any(|word| word.starts_with("--cap-")));
    }

    #[test]
    fn a_path_that_cannot_be_mounted_is_refused() {
        for path in ["/a,readonly", "/a\"b"] {
            assert!(mount(Path::new(path), Path::new("/x"), false).is_err());
        }
    }
}
