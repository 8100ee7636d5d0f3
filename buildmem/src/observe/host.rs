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
    /// Files that container runtimes leave, such as `/.dockerenv`. Empty outside of one, as far as can be told.
    pub container_hints: Vec<String>,
}

/// Looks at the host, with `/proc` and `/` at these folders.
pub fn facts(proc_root: &Path, root: &Path) -> HostFacts {
    HostFacts {
        cpus: usable_cpus(),
        memory: memory_total(proc_root),
        kernel: uname().release().to_string_lossy().into_owned(),
        page_size: ByteSize::from_bytes(procfs::page_size()),
        container_hints: container_hints(root),
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

/// Files that say that this is a container: docker's, podman's, and what systemd keeps for others
/// (<https://systemd.io/CONTAINER_INTERFACE>).
fn container_hints(root: &Path) -> Vec<String> {
    [
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
    .map(str::to_owned)
    .collect()
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
        fs::write(root.path().join(".dockerenv"), "").unwrap();
        let facts = facts(&root.path().join("proc"), root.path());
        assert_eq!(
            facts.memory,
            Reading::known(ByteSize::from_kib(16_384_000), "MemTotal")
        );
        assert_eq!(facts.container_hints, ["/.dockerenv"]);
        assert!(facts.cpus >= 1);
        assert!(facts.page_size >= ByteSize::from_kib(4));
        assert!(!facts.kernel.is_empty());
    }

    #[test]
    fn memory_that_cannot_be_read_is_missing() {
        let root = tempfile::tempdir().unwrap();
        let facts = facts(root.path(), root.path());
        assert!(facts.memory.value().is_none());
        assert_eq!(facts.container_hints, Vec::<String>::new());
    }

    #[test]
    fn the_clock_runs_forward() {
        let earlier = boot_time_now();
        assert!(earlier > BootTime::from_nanos(0));
        assert!(boot_time_now() >= earlier);
    }
}
