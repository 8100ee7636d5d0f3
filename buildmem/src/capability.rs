//! Finds what this host can measure: each mechanism is tried once, and the system's own reason is kept. Nothing
//! is concluded from version numbers.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use std::os::unix::process::CommandExt;

use procfs::FromRead;
use procfs::process::Status as ProcStatus;
use rustix::process::geteuid;

pub use crate::diagnosis::{Capabilities, Capability, Mechanism, SCHEMA, Status};
use crate::ids::Tgid;
use crate::observe::bpf::WATERMARK;
use crate::observe::cgroup::{Hierarchy, Leaf};
use crate::observe::host;
use crate::observe::proc::{ProcReader, is_gone};
use crate::problem::Problem;
use crate::reading::Reading;

/// Where the system's file systems are.
#[derive(Clone, Debug)]
pub struct Roots {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
    /// `/`.
    pub root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            proc: PathBuf::from("/proc"),
            sys: PathBuf::from("/sys"),
            root: PathBuf::from("/"),
        }
    }
}

/// Bits of capabilities(7) in `CapEff` of /proc/self/status.
const CAPABILITIES: [(&str, u32); 4] = [
    ("CAP_BPF", 39),
    ("CAP_PERFMON", 38),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_SYS_PTRACE", 19),
];

const NO_EVENTS: &str = "no process is seen; `run --tracker proc` polls, and misses short ones";
const NO_PSS: &str = "peaks are RSS and count shared pages twice";
const NO_HEADLINE: &str =
    "no headline: only the highest sampled usage, which may miss the true peak";
const NO_COMPOSITION: &str = "the peak is not told by kind of memory";

impl Capabilities {
    /// Tries everything that a run needs. `try_ebpf` loads and attaches the real programs, and lets them go.
    ///
    /// Makes a cgroup beside where the build's would be, and removes it.
    pub fn detect(roots: &Roots, try_ebpf: impl FnOnce() -> Result<(), Problem>) -> Self {
        let host = host::facts(&roots.proc, &roots.root);
        let in_container = !host.container_hints.is_empty();
        let hierarchy = Hierarchy::detect(&roots.proc);
        let cgroup_version = hierarchy
            .as_ref()
            .ok()
            .map(|hierarchy| hierarchy.version.number());
        let events = process_events(try_ebpf());
        let cgroup = build_cgroup(hierarchy, events.status == Status::Yes);
        let mut capabilities = vec![
            privileges(&roots.proc, in_container),
            kernel_types(&roots.sys),
            events,
        ];
        capabilities.extend(cgroup);
        capabilities.push(pss(&roots.proc, in_container));
        capabilities.push(build_user(
            geteuid().is_root(),
            env::var("SUDO_USER").ok().as_deref(),
        ));
        Self {
            kernel: host.kernel,
            container_hints: host.container_hints,
            cgroup_version,
            capabilities,
        }
    }
}

fn privileges(proc_root: &Path, in_container: bool) -> Capability {
    let mechanism = Mechanism::Privileges;
    let path = proc_root.join("self/status");
    let status = match fs::read(&path)
        .map_err(|error| error.to_string())
        .and_then(|text| ProcStatus::from_read(text.as_slice()).map_err(|error| error.to_string()))
    {
        Ok(status) => status,
        Err(error) => {
            return Capability::no(
                mechanism,
                format!("cannot read `{}`: {error}", path.display()),
                "what is missing below cannot be explained",
            );
        }
    };
    let (present, missing): (Vec<_>, Vec<_>) = CAPABILITIES
        .into_iter()
        .partition(|(_, bit)| (status.capeff >> bit) & 1 == 1);
    let names = |list: &[(&'static str, u32)]| {
        list.iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let holds = |wanted: &str| present.iter().any(|(name, _)| *name == wanted);
    // CAP_SYS_ADMIN stands for both of the others.
    let ebpf = holds("CAP_SYS_ADMIN") || (holds("CAP_BPF") && holds("CAP_PERFMON"));
    let euid = status.euid;
    let detail = match (present.is_empty(), missing.is_empty()) {
        (true, _) => format!("uid {euid} without {}", names(&missing)),
        (false, true) => format!("uid {euid} with {}", names(&present)),
        (false, false) => format!(
            "uid {euid} with {}, without {}",
            names(&present),
            names(&missing)
        ),
    };
    let help = how_to_get(&["BPF", "PERFMON", "SYS_PTRACE"], in_container);
    match (ebpf, holds("CAP_SYS_PTRACE")) {
        (true, true) => Capability::yes(mechanism, detail),
        (false, true) => Capability::limited(mechanism, detail, "eBPF is refused"),
        (true, false) => Capability::limited(
            mechanism,
            detail,
            "the memory of other users' processes may be refused",
        ),
        (false, false) => Capability::no(
            mechanism,
            detail,
            "eBPF is refused, and the memory of other users' processes",
        ),
    }
    .help_unless_yes(&help)
}

/// How to come by capabilities, by where we are.
fn how_to_get(names: &[&str], in_container: bool) -> String {
    match (in_container, geteuid().is_root()) {
        (true, _) => {
            let options: Vec<_> = names
                .iter()
                .map(|name| format!("--cap-add={name}"))
                .collect();
            format!(
                "give them to the container: `docker run {} …`",
                options.join(" ")
            )
        }
        (false, false) => "run with sudo: `sudo build-mem doctor`".to_owned(),
        (false, true) => format!(
            "whatever starts build-mem takes CAP_{} from root, such as a unit's `CapabilityBoundingSet=`: allow them",
            names.join(", CAP_")
        ),
    }
}

fn kernel_types(sys_root: &Path) -> Capability {
    let mechanism = Mechanism::KernelTypes;
    let path = sys_root.join("kernel/btf/vmlinux");
    let mut magic = [0; 2];
    let outcome = File::open(&path).and_then(|mut file| file.read_exact(&mut magic));
    let cost = "the eBPF programs cannot find the kernel's fields: no process events";
    match outcome {
        // BTF_MAGIC of linux/btf.h, in the machine's own byte order.
        Ok(()) if u16::from_ne_bytes(magic) == 0xeb9f => {
            Capability::yes(mechanism, format!("`{}`", path.display()))
        }
        Ok(()) => Capability::no(mechanism, format!("`{}` is not BTF", path.display()), cost),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Capability::no(
            mechanism,
            format!("no `{}`", path.display()),
            cost,
        )
        .help("boot a kernel built with `CONFIG_DEBUG_INFO_BTF=y`, as distributions' are; in a container, mount `/sys`".to_owned()),
        Err(error) => Capability::no(mechanism, format!("`{}`: {error}", path.display()), cost)
            .help("run with sudo: `sudo build-mem doctor`".to_owned()),
    }
}

fn process_events(outcome: Result<(), Problem>) -> Capability {
    let mechanism = Mechanism::ProcessEvents;
    match outcome {
        Ok(()) => Capability::yes(mechanism, "fork, exec and exit of every process"),
        Err(problem) => {
            Capability::no(mechanism, problem.to_string(), NO_EVENTS).help(problem.help)
        }
    }
}

/// The cgroup, and what it tells: tried with a leaf as a run makes it.
///
/// A high-water mark that no file shows can be read by eBPF.
fn build_cgroup(hierarchy: Result<Hierarchy, Problem>, ebpf: bool) -> [Capability; 3] {
    let leaf = hierarchy.and_then(|hierarchy| Leaf::create(&hierarchy));
    let mut leaf = match leaf {
        Ok(leaf) => leaf,
        Err(problem) => {
            let untried =
                |mechanism, cost| Capability::no(mechanism, "no cgroup to read it of", cost);
            let detail = problem.to_string();
            return [
                Capability::no(
                    Mechanism::BuildCgroup,
                    detail,
                    "the build's memory cannot be told from that of others",
                )
                .help(problem.help),
                untried(Mechanism::Headline, NO_HEADLINE),
                untried(Mechanism::Composition, NO_COMPOSITION),
            ];
        }
    };
    let headline = match leaf.headline() {
        Reading::Known { value: _, source } => Capability::yes(
            Mechanism::Headline,
            format!("{source}, page cache included"),
        ),
        Reading::Missing(_) if ebpf => Capability::yes(
            Mechanism::Headline,
            format!("{WATERMARK}, page cache included; this kernel has no file that shows it"),
        ),
        Reading::Missing(why) => Capability::no(Mechanism::Headline, why, NO_HEADLINE)
            .help("boot Linux 5.19 or later".to_owned()),
    };
    let composition = match leaf.sample() {
        Ok(sample) => match sample.composition {
            Some(parts) if parts.kernel.is_some() => Capability::yes(
                Mechanism::Composition,
                "memory.stat: anon, file, shmem, kernel",
            ),
            Some(_) => Capability::limited(
                Mechanism::Composition,
                "memory.stat: anon, file, shmem; kernel memory is not told",
                "kernel memory is shown as unattributed",
            ),
            None => Capability::no(
                Mechanism::Composition,
                "memory.stat does not tell it",
                NO_COMPOSITION,
            ),
        },
        Err(error) => Capability::no(
            Mechanism::Composition,
            format!("cannot read `{}`: {error}", leaf.dir().display()),
            NO_COMPOSITION,
        ),
    };
    let version = leaf.hierarchy().version.number();
    let parent = leaf.dir().parent().map(Path::to_owned).unwrap_or_default();
    let made = format!("cgroup v{version}, below `{}`", parent.display());
    let cgroup = match leaf.remove() {
        Ok(_) => Capability::yes(Mechanism::BuildCgroup, made),
        Err(problem) => Capability::limited(
            Mechanism::BuildCgroup,
            format!("{made}; {problem}"),
            "cgroups of runs that have ended stay",
        )
        .help(problem.help),
    };
    [cgroup, headline, composition]
}

/// Reads a child's PSS: of another user, where we may make one; else of our own.
fn pss(proc_root: &Path, in_container: bool) -> Capability {
    let mechanism = Mechanism::Pss;
    let help = how_to_get(&["SYS_PTRACE"], in_container);
    let refused = |error: &io::Error, whose: &str, cost: &str| {
        let detail = format!("`smaps_rollup` of {whose} process: {error}");
        Capability::no(mechanism, detail, cost).help(help.clone())
    };
    let mut reader = match ProcReader::new(proc_root) {
        Ok(reader) => reader,
        Err(error) => {
            let detail = format!("`{}`: {error}", proc_root.display());
            return Capability::no(mechanism, detail, NO_PSS);
        }
    };
    // Any but root and ourselves; the first is nobody's, on most systems.
    let another_user = match geteuid().as_raw() {
        65534 => 65533,
        _ => 65534,
    };
    match pss_of_child(&mut reader, Some(another_user)) {
        Ok(()) => {
            return Capability::yes(
                mechanism,
                "`smaps_rollup`, tried with another user's process",
            );
        }
        Err(Refusal::Reading(error)) if geteuid().is_root() => {
            // Root's builds may run as another user.
            return refused(&error, "another user's", NO_PSS);
        }
        // Without root's power to start one, there is still pid 1, which is root's.
        Err(_) if !geteuid().is_root() && reader.pss(Tgid(1)).is_ok() => {
            return Capability::yes(mechanism, "`smaps_rollup`, tried with pid 1");
        }
        Err(Refusal::Reading(_) | Refusal::Starting(_)) => {}
    }
    match pss_of_child(&mut reader, None) {
        Ok(()) => Capability::limited(
            mechanism,
            "`smaps_rollup`, of our own user's processes only",
            "of what the build runs as another user there is only RSS, which counts shared pages twice",
        )
        .help(help.clone()),
        Err(Refusal::Reading(error)) => refused(&error, "our own user's", NO_PSS),
        Err(Refusal::Starting(error)) => {
            Capability::no(mechanism, format!("cannot start `cat` to try it: {error}"), NO_PSS)
        }
    }
}

/// Why a child's PSS could not be read.
enum Refusal {
    Starting(io::Error),
    Reading(io::Error),
}

/// A child that waits for its input to end, which is when it is dropped.
struct WaitingChild(Child);

impl Drop for WaitingChild {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn pss_of_child(reader: &mut ProcReader, user: Option<u32>) -> Result<(), Refusal> {
    let mut command = Command::new("cat");
    command
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    // It has called exec when this returns.
    let child = WaitingChild(command.spawn().map_err(Refusal::Starting)?);
    match reader.pss(Tgid(child.0.id())) {
        Ok(_) => Ok(()),
        Err(error) if is_gone(&error) => {
            Err(Refusal::Starting(io::Error::other("it ended at once")))
        }
        Err(error) => Err(Refusal::Reading(error)),
    }
}

fn build_user(is_root: bool, sudo_user: Option<&str>) -> Capability {
    let mechanism = Mechanism::BuildUser;
    match (is_root, sudo_user) {
        (false, _) => Capability::yes(mechanism, "yourself"),
        (true, Some(user)) if user != "root" => {
            Capability::yes(mechanism, format!("`{user}`, who called sudo"))
        }
        (true, _) => Capability::limited(
            mechanism,
            "root: there is no SUDO_USER",
            "files that the build writes belong to root",
        )
        .help("where that matters: `build-mem run --user NAME`, or sudo as that user".to_owned()),
    }
}

impl Capability {
    fn help_unless_yes(self, help: &str) -> Self {
        match self.status {
            Status::Yes => self,
            Status::Limited | Status::No => self.help(help.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(capability: &Capability) -> String {
        let Capability {
            mechanism: _,
            status,
            detail,
            cost,
            help,
        } = capability;
        format!("{}: {detail} → {cost:?} {help:?}", status.word())
    }

    /// A `/proc/self/status` with these effective capabilities.
    fn status(cap_eff: u64) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("self")).unwrap();
        let text = format!(
            "Name:\tx\nState:\tR (running)\nTgid:\t1\nPid:\t1\nPPid:\t0\nTracerPid:\t0\nUid:\t7\t7\t7\t7\n\
             Gid:\t7\t7\t7\t7\nFDSize:\t64\nGroups:\t\nThreads:\t1\nSigQ:\t0/1\nSigPnd:\t0\nShdPnd:\t0\nSigBlk:\t0\n\
             SigIgn:\t0\nSigCgt:\t0\nCapInh:\t0\nCapPrm:\t0\nCapEff:\t{cap_eff:016x}\n"
        );
        fs::write(root.path().join("self/status"), text).unwrap();
        root
    }

    #[test]
    fn privileges_are_told_by_capability_and_not_by_uid() {
        // In a container, where the help does not depend on who runs the tests.
        let told = |cap_eff| shown(&privileges(status(cap_eff).path(), true));
        insta::assert_snapshot!(told(0x1ff_ffff_ffff), @"yes: uid 7 with CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE → None None");
        insta::assert_snapshot!(told((1 << 39) | (1 << 38) | (1 << 19)), @"yes: uid 7 with CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, without CAP_SYS_ADMIN → None None");
        insta::assert_snapshot!(told((1 << 39) | (1 << 19)), @r#"limited: uid 7 with CAP_BPF, CAP_SYS_PTRACE, without CAP_PERFMON, CAP_SYS_ADMIN → Some("eBPF is refused") Some("give them to the container: `docker run --cap-add=BPF --cap-add=PERFMON --cap-add=SYS_PTRACE …`")"#);
        insta::assert_snapshot!(told(1 << 21), @r#"limited: uid 7 with CAP_SYS_ADMIN, without CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE → Some("the memory of other users' processes may be refused") Some("give them to the container: `docker run --cap-add=BPF --cap-add=PERFMON --cap-add=SYS_PTRACE …`")"#);
        insta::assert_snapshot!(told(0), @r#"no: uid 7 without CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE → Some("eBPF is refused, and the memory of other users' processes") Some("give them to the container: `docker run --cap-add=BPF --cap-add=PERFMON --cap-add=SYS_PTRACE …`")"#);
    }

    #[test]
    fn an_unreadable_status_is_said() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(privileges(root.path(), false).status, Status::No);
        fs::create_dir(root.path().join("self")).unwrap();
        fs::write(root.path().join("self/status"), b"\xff\xfe").unwrap();
        assert_eq!(privileges(root.path(), false).status, Status::No);
    }

    #[test]
    fn kernel_types_are_known_by_their_magic_number() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(kernel_types(root.path()).status, Status::No);
        assert!(kernel_types(root.path()).help.is_some());
        let dir = root.path().join("kernel/btf");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("vmlinux"), 0xeb9f_u16.to_ne_bytes()).unwrap();
        assert_eq!(kernel_types(root.path()).status, Status::Yes);
        fs::write(dir.join("vmlinux"), "other").unwrap();
        assert_eq!(kernel_types(root.path()).status, Status::No);
    }

    #[test]
    fn a_refused_tracker_is_shown_with_its_reason_and_help() {
        let problem = Problem::new("cannot load the eBPF programs")
            .because("operation not permitted (os error 1)")
            .help("run with sudo");
        insta::assert_snapshot!(shown(&process_events(Err(problem))), @r#"no: cannot load the eBPF programs: operation not permitted (os error 1) → Some("no process is seen; `run --tracker proc` polls, and misses short ones") Some("run with sudo")"#);
        assert_eq!(process_events(Ok(())).status, Status::Yes);
    }

    #[test]
    fn without_a_cgroup_nothing_of_it_is_claimed() {
        let outcome = build_cgroup(
            Err(Problem::new("cannot use the cgroup v2 hierarchy")
                .because("it is not mounted")
                .help("mount it: `mount -t cgroup2 none /sys/fs/cgroup`")),
            true,
        );
        assert!(outcome.iter().all(|line| line.status == Status::No));
        assert!(outcome[0].help.is_some());
    }

    #[test]
    fn the_build_runs_as_whoever_called_sudo() {
        insta::assert_snapshot!(shown(&build_user(true, Some("dev"))), @"yes: `dev`, who called sudo → None None");
        insta::assert_snapshot!(shown(&build_user(true, Some("root"))), @r#"limited: root: there is no SUDO_USER → Some("files that the build writes belong to root") Some("where that matters: `build-mem run --user NAME`, or sudo as that user")"#);
        insta::assert_snapshot!(shown(&build_user(false, None)), @"yes: yourself → None None");
    }

    #[test]
    fn pss_of_our_own_processes_can_be_read_without_privilege() {
        let mut reader = ProcReader::new(Path::new("/proc")).unwrap();
        assert!(pss_of_child(&mut reader, None).is_ok());
    }

    #[test]
    #[ignore = "needs root and a writable cgroup: cargo xtask test"]
    fn everything_is_there_for_root() {
        let found = Capabilities::detect(&Roots::default(), || Ok(()));
        let gaps: Vec<_> = found.gaps().collect();
        assert!(found.complete(), "{gaps:?}");
        assert_eq!(found.capabilities.len(), 8);
        assert_eq!(
            found.get(Mechanism::Privileges).unwrap().status,
            Status::Yes
        );
        assert_eq!(
            found.get(Mechanism::KernelTypes).unwrap().status,
            Status::Yes
        );
    }
}
