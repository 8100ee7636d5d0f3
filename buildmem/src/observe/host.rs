//! The host that a build runs on: what does not change while it runs, and the clock of all events.

use std::fs;
use std::io;
use std::path::Path;

use procfs::{FromRead, Meminfo};
use rustix::system::uname;
use rustix::thread::sched_getaffinity;
use rustix::time::{ClockId, clock_gettime};

use crate::reading::Reading;
use crate::units::{BootTime, ByteSize};

/// What the host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// CPUs that this process, and so the build, may run on: sched_getaffinity(2), which heeds cpusets but not
    /// quotas.
    pub cpus: u64,
    /// Memory of the machine: `MemTotal` of /proc/meminfo. In a container too it is the machine's.
    pub memory: Reading<ByteSize>,
    /// The kernel's release, as `uname -r` shows it.
    pub kernel: String,
    /// Size of a page: what statm and the kernel's counters count in.
    pub page_size: ByteSize,
}

/// Looks at the host, with `/proc` at this folder.
pub fn facts(proc_root: &Path) -> HostFacts {
    HostFacts {
        cpus: usable_cpus(),
        memory: memory_total(proc_root),
        kernel: kernel_release(),
        page_size: ByteSize::from_bytes(procfs::page_size()),
    }
}

/// Now, on the one clock of every event.
pub fn boot_time_now() -> BootTime {
    let now = clock_gettime(ClockId::Boottime);
    // Both are positive: the clock starts at boot.
    let nanos = now
        .tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(now.tv_nsec);
    BootTime::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

fn usable_cpus() -> u64 {
    match sched_getaffinity(None) {
        Ok(set) => u64::from(set.count()),
        // More CPUs than the set has room for: std asks with a larger one.
        Err(_) => std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64),
    }
}

fn memory_total(proc_root: &Path) -> Reading<ByteSize> {
    let path = proc_root.join("meminfo");
    let total = fs::read(&path)
        .map_err(|error| error.to_string())
        .and_then(|text| Meminfo::from_read(text.as_slice()).map_err(|error| error.to_string()));
    match total {
        Ok(meminfo) => Reading::known(ByteSize::from_bytes(meminfo.mem_total), "MemTotal"),
        Err(error) => Reading::missing(format!("cannot read `{}`: {error}", path.display())),
    }
}

/// The kernel's release, as `uname -r` shows it.
pub fn kernel_release() -> String {
    uname().release().to_string_lossy().into_owned()
}

/// What says that this is a container; empty outside of one, as far as can be told. Files that runtimes leave: docker's,
/// podman's, and what systemd keeps of others; the variable `container`, which is systemd's, too
/// (<https://systemd.io/CONTAINER_INTERFACE>), and `ours` or that of pid 1; and our cgroup, where no namespace hides it.
pub fn container_hints(root: &Path, proc_root: &Path, ours: Option<&str>) -> Vec<String> {
    let files = [
        "/.dockerenv",
        "/run/.containerenv",
        "/run/systemd/container",
    ]
    .into_iter()
    .filter(|path| {
        let path = root.join(path.trim_start_matches('/'));
        matches!(
            fs::symlink_metadata(path).map_err(|error| error.kind()),
            Ok(_) | Err(io::ErrorKind::PermissionDenied)
        )
    })
    .map(str::to_owned);
    // Only root may read it.
    let environ = fs::read(proc_root.join("1/environ")).unwrap_or_default();
    let of_first_process = environ
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(b"container="))
        .map(|value| String::from_utf8_lossy(value).into_owned());
    let variable = ours
        .map(str::to_owned)
        .or(of_first_process)
        .map(|value| format!("container={value}"));
    let cgroups = fs::read_to_string(proc_root.join("self/cgroup")).unwrap_or_default();
    let cgroup = cgroups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .find(|path| path.split('/').any(is_cgroup_of_container))
        .map(str::to_owned);
    files.chain(variable).chain(cgroup).collect()
}

/// Whether a container runtime calls a cgroup so: `/docker/<id>`, `docker-<id>.scope`, `/kubepods.slice/…`.
fn is_cgroup_of_container(name: &str) -> bool {
    // The runtime's own service is none.
    if name.ends_with(".service") {
        return false;
    }
    let starts = [
        "docker-",
        "libpod-",
        "cri-containerd-",
        "crio-",
        "kubepods",
        "lxc.payload",
    ];
    matches!(name, "docker" | "lxc" | "ecs") || starts.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_memory_is_read_from_meminfo() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("proc")).unwrap();
        let meminfo = "MemTotal:       16384000 kB\nMemFree:  16000000 kB\nBuffers: 1 kB\nCached: 2 kB\n\
            SwapCached: 0 kB\nActive: 0 kB\nInactive: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nDirty: 0 kB\n\
            Writeback: 0 kB\nMapped: 0 kB\nSlab: 0 kB\nCommitted_AS: 0 kB\nVmallocTotal: 0 kB\n\
            VmallocUsed: 0 kB\nVmallocChunk: 0 kB\n";
        fs::write(root.path().join("proc/meminfo"), meminfo).unwrap();
        let facts = facts(&root.path().join("proc"));
        assert_eq!(
            facts.memory,
            Reading::known(ByteSize::from_kib(16_384_000), "MemTotal")
        );
        assert!(facts.cpus >= 1);
        assert!(facts.page_size >= ByteSize::from_kib(4));
        assert!(!facts.kernel.is_empty());
    }

    #[test]
    fn memory_that_cannot_be_read_is_missing() {
        let root = tempfile::tempdir().unwrap();
        let facts = facts(root.path());
        assert!(facts.memory.value().is_none());
    }

    #[test]
    fn a_container_is_known_by_its_files_variables_and_cgroup() {
        let root = tempfile::tempdir().unwrap();
        let hints = |variable| container_hints(root.path(), &root.path().join("proc"), variable);
        let write = |name: &str, content: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write(
            "proc/self/cgroup",
            "4:memory:/ci/job\n0::/system.slice/docker-x.service\n",
        );
        write("proc/1/environ", "PATH=/bin\0not_container=x\0");
        assert_eq!(hints(None), Vec::<String>::new());
        assert_eq!(hints(Some("podman")), ["container=podman"]);
        write("proc/1/environ", "PATH=/bin\0container=lxc\0");
        assert_eq!(hints(None), ["container=lxc"]);
        write(".dockerenv", "");
        write(
            "proc/self/cgroup",
            "4:memory:/\n0::/system.slice/docker-4f2a.scope\n",
        );
        assert_eq!(
            hints(None),
            [
                "/.dockerenv",
                "container=lxc",
                "/system.slice/docker-4f2a.scope"
            ]
        );
    }

    #[test]
    fn the_clock_runs_forward() {
        let earlier = boot_time_now();
        assert!(earlier > BootTime::from_nanos(0));
        assert!(boot_time_now() >= earlier);
    }
}
