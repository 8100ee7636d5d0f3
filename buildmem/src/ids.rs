//! Who is who: the kernel's number of a process, which is reused, and ours, which is not.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kernel's number of a process (thread group), as seen in the profiler's PID namespace: what `ps` shows
/// as its pid. Reused by the kernel after the process is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tgid(pub u32);

impl fmt::Display for Tgid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Our number of a process: its place in the [`ProcessTree`](crate::tree::ProcessTree). Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub(crate) u32);

impl ProcessId {
    /// The place in a list of processes in the order of their appearance.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
