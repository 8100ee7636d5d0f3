//! What follows the build's processes: eBPF or, where that cannot be had, a poller. Both tell the same events.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use super::bpf::{self, CgroupLeaf, LostCount, TrackerConfig};
use super::poll;
use crate::event::{Event, ExitStatus};
use crate::growth::Gate;
use crate::ids::Tgid;
use crate::problem::Problem;
use crate::reading::Reading;
use crate::units::ByteSize;

/// How often the kernel's events are taken over. The ring buffer holds a quarter of a second of the heaviest
/// storm, and being woken for each event would cost more than the events.
const EBPF_DRAIN_INTERVAL: Duration = Duration::from_millis(50);

/// Follows the processes of a build.
pub enum Tracker {
    /// Every process, by eBPF.
    Ebpf(Box<bpf::Tracker>),
    /// Those that live long enough to be seen in `/proc`.
    Proc(Box<poll::Tracker>),
}

impl Tracker {
    /// Loads and attaches the eBPF programs.
    pub fn ebpf(config: TrackerConfig) -> Result<Self, Problem> {
        bpf::Tracker::start(config).map(|tracker| Self::Ebpf(Box::new(tracker)))
    }

    /// Prepares to poll the processes below `proc_root`.
    pub fn proc(proc_root: &Path) -> Result<Self, Problem> {
        poll::Tracker::start(proc_root).map(|tracker| Self::Proc(Box::new(tracker)))
    }

    /// From now on, what the *calling thread* forks belongs to the build.
    pub fn arm(&mut self) -> Result<(), Problem> {
        match self {
            Self::Ebpf(tracker) => tracker.arm(),
            Self::Proc(tracker) => {
                tracker.arm();
                Ok(())
            }
        }
    }

    /// From now on, nothing that the profiler forks belongs to the build.
    pub fn disarm(&mut self) -> Result<(), Problem> {
        match self {
            Self::Ebpf(tracker) => tracker.disarm(),
            Self::Proc(_) => Ok(()),
        }
    }

    /// The build's own process was started.
    pub fn started(&mut self, build: Tgid) {
        match self {
            // The programs have told.
            Self::Ebpf(_) => {}
            Self::Proc(tracker) => tracker.started(build),
        }
    }

    /// The build's own process was waited for, with this status.
    pub fn build_ended(&mut self, status: ExitStatus) {
        match self {
            Self::Ebpf(_) => {}
            Self::Proc(tracker) => tracker.build_ended(status),
        }
    }

    /// Tells where the build belongs: a process that is moved out of it is an event, where such moves are seen.
    pub fn set_leaf(&mut self, leaf: CgroupLeaf) {
        match self {
            Self::Ebpf(tracker) => tracker.set_leaf(leaf),
            Self::Proc(_) => {}
        }
    }

    /// How often [`drain`](Self::drain) is to be called.
    pub const fn drain_interval(&self) -> Duration {
        match self {
            Self::Ebpf(_) => EBPF_DRAIN_INTERVAL,
            Self::Proc(_) => poll::INTERVAL,
        }
    }

    /// Hands everything that was seen since the last call to `sink`, in the order in which it happened. `path_of` finds
    /// the cgroup with this inode number.
    pub fn drain(&mut self, path_of: impl Fn(u64) -> Option<String>, sink: impl FnMut(Event)) {
        match self {
            Self::Ebpf(tracker) => tracker.drain(path_of, sink),
            Self::Proc(tracker) => tracker.drain(sink),
        }
    }

    /// Everything that is known to have been lost; empty when nothing was. What a poller does not see it does not
    /// know of.
    pub fn lost(&self) -> Result<Vec<LostCount>, Problem> {
        match self {
            Self::Ebpf(tracker) => tracker.lost(),
            Self::Proc(_) => Ok(Vec::new()),
        }
    }

    /// The high-water mark of the cgroup with this inode number, as the kernel's memory controller keeps it.
    pub fn watermark(&self, cgroup_id: u64) -> Reading<ByteSize> {
        match self {
            Self::Ebpf(tracker) => tracker.watermark(cgroup_id),
            Self::Proc(_) => Reading::missing("only eBPF can read it on this kernel"),
        }
    }

    /// Readable when [`grown`](Self::grown) has something to tell; absent where it never has.
    pub fn growth_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Ebpf(tracker) => tracker.growth_fd(),
            Self::Proc(_) => None,
        }
    }

    /// Asks to be woken once, when the build has touched memory and its cgroup's usage has passed the gate.
    pub fn watch_growth(&mut self, gate: Gate) -> Result<(), Problem> {
        match self {
            Self::Ebpf(tracker) => tracker.watch_growth(gate),
            Self::Proc(_) => Ok(()),
        }
    }

    /// The lowest usage before the growth that has passed the gate, if it has.
    pub fn grown(&mut self) -> Option<ByteSize> {
        match self {
            Self::Ebpf(tracker) => tracker.grown(),
            Self::Proc(_) => None,
        }
    }

    /// Hands what the eBPF programs logged to the logger of the `log` crate.
    pub fn flush_diagnostics(&mut self) {
        match self {
            Self::Ebpf(tracker) => tracker.flush_diagnostics(),
            Self::Proc(_) => {}
        }
    }
}
