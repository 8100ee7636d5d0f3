//! Moving processes between cgroups is kept from being slow at the moment at which the build waits for it.

use std::fs;
use std::path::Path;
use std::thread::{self, JoinHandle};

use super::Hierarchy;
use crate::launch::privileges::with_held_back;

/// Makes the kernel ready to move a process, which takes it a while, and gives the thread that waits for it.
///
/// Whoever moves a process takes a lock (`cgroup_threadgroup_rwsem`) that every fork and exit holds for reading without
/// a cost. To take it, the kernel waits until all CPUs know (a grace period of RCU, some 10 ms), unless somebody had it
/// shortly before. So we move ourselves to where we are, while the eBPF programs are loaded. The thread must have ended
/// before we are moved anywhere else.
pub fn make_ready_to_move(proc_root: &Path) -> JoinHandle<()> {
    let proc_root = proc_root.to_owned();
    thread::spawn(move || {
        let Ok(own) = Hierarchy::detect(&proc_root) else {
            return;
        };
        // 0 is the writer: cgroups(7). Where it may not, it does not matter here.
        let _ = with_held_back(|| fs::write(own.own_dir.join("cgroup.procs"), "0"));
    })
}
