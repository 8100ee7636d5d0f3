//! Where our own cgroup is ours alone, as one that was delegated to us or a container's that has no other process: we
//! step aside into a child of it, so that it may give others of its children the memory controller.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::hierarchy::{Hierarchy, Version};
use super::leaf::{lock_leaf, move_processes, processes_of};
use super::v2;
use crate::ids::Tgid;
use crate::launch::privileges::with_held_back;

const PROCS: &str = "cgroup.procs";
const SUBTREE_CONTROL: &str = "cgroup.subtree_control";

/// The child in which we are. When this is dropped, everything is as it was, as far as that can be.
#[derive(Debug)]
pub(super) struct Room {
    own: PathBuf,
    dir: PathBuf,
    /// Tells other runs that it is in use.
    _lock: File,
}

impl Room {
    /// Steps aside, where we are alone and may.
    pub(super) fn step_into(hierarchy: &Hierarchy, name: &str) -> Option<Self> {
        let own = &hierarchy.own_dir;
        let is_alone = || processes_of(own).is_ok_and(|all| all == [Tgid(std::process::id())]);
        if hierarchy.version != Version::V2 || !own.join("cgroup.type").exists() || !is_alone() {
            return None;
        }
        let dir = own.join(name);
        fs::create_dir(&dir).ok()?;
        let Some(lock) = lock_leaf(&dir) else {
            let _ = fs::remove_dir(&dir);
            return None;
        };
        let room = Self {
            own: own.clone(),
            dir,
            _lock: lock,
        };
        fs::write(room.dir.join(PROCS), std::process::id().to_string()).ok()?;
        v2::parent_for_leaf(own, own).ok()?;
        Some(room)
    }

    /// Where leaves can be made now.
    pub(super) fn parent(&self) -> &Path {
        &self.own
    }

    /// Where processes can be that are in no leaf.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        with_held_back(|| {
            // Nobody can go back before the controller is taken away again.
            let _ = fs::write(self.own.join(SUBTREE_CONTROL), "-memory");
            let _ = move_processes(&self.dir, &self.own, &mut Vec::new());
            let _ = fs::remove_dir(&self.dir);
        });
    }
}
