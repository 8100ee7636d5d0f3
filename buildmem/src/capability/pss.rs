//! Proportional set size: tried with processes of our own and of others.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::geteuid;

use super::AS_FOR_CAPABILITIES;
use crate::diagnosis::{Capability, Mechanism};
use crate::ids::Tgid;
use crate::launch::privileges::with_held_back;
use crate::observe::proc::{ProcReader, is_gone};

const NO_PSS: &str = "peaks are RSS and count shared pages twice";

/// Reads a child's PSS: of another user, where we may make one; else of our own.
pub(super) fn row(proc_root: &Path) -> Capability {
    let mechanism = Mechanism::Pss;
    let refused = |error: &io::Error, whose: &str, cost: &str| {
        let detail = format!("`smaps_rollup` of {whose} process: {error}");
        Capability::failed(mechanism, detail, cost).mend(AS_FOR_CAPABILITIES.to_owned())
    };
    let mut reader = match ProcReader::new(proc_root) {
        Ok(reader) => reader,
        Err(error) => {
            let detail = format!("`{}`: {error}", proc_root.display());
            return Capability::failed(mechanism, detail, NO_PSS);
        }
    };
    // Any but root and ourselves; the first is nobody's, on most systems.
    let another_user = match geteuid().as_raw() {
        65534 => 65533,
        _ => 65534,
    };
    match pss_of_child(&mut reader, Some(another_user)) {
        Ok(()) => {
            return Capability::ok(
                mechanism,
                "`smaps_rollup`, tried with another user's process",
            );
        }
        Err(Refusal::Reading(error)) if geteuid().is_root() => {
            // Root's builds may run as another user.
            return refused(&error, "another user's", NO_PSS);
        }
        Err(Refusal::Reading(_) | Refusal::Starting(_)) => {}
    }
    // Without root's power to start one, there are those that run already.
    if let Some(Tgid(pid)) = others_with_pss(proc_root, &mut reader) {
        let detail = format!("`smaps_rollup`, tried with another user's process, {pid}");
        return Capability::ok(mechanism, detail);
    }
    match pss_of_child(&mut reader, None) {
        Ok(()) => Capability::limited(
            mechanism,
            "`smaps_rollup`, of our own user's processes only",
            "of what the build runs as another user there is only RSS, which counts shared pages twice",
        )
        .mend(AS_FOR_CAPABILITIES.to_owned()),
        Err(Refusal::Reading(error)) => refused(&error, "our own user's", NO_PSS),
        Err(Refusal::Starting(error)) => {
            Capability::failed(mechanism, format!("cannot start `sh` to try it: {error}"), NO_PSS)
        }
    }
}

/// A process that is another user's and lets its PSS be read. Some may be kept from everybody: a few are tried.
fn others_with_pss(proc_root: &Path, reader: &mut ProcReader) -> Option<Tgid> {
    const TRIES: usize = 64;
    let ours = geteuid().as_raw();
    fs::read_dir(proc_root)
        .ok()?
        .flatten()
        .filter(|entry| entry.metadata().is_ok_and(|folder| folder.uid() != ours))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Tgid))
        // The kernel's own have neither a command line nor memory.
        .filter(|Tgid(pid)| {
            fs::read(proc_root.join(format!("{pid}/cmdline"))).is_ok_and(|line| !line.is_empty())
        })
        .take(TRIES)
        .find(|tgid| with_held_back(|| reader.pss(*tgid)).is_ok())
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
    // Not a name to look up: this may run as root, with somebody else's PATH.
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "read -r line"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    // It has called exec when this returns.
    let child = WaitingChild(command.spawn().map_err(Refusal::Starting)?);
    match with_held_back(|| reader.pss(Tgid(child.0.id()))) {
        Ok(_) => Ok(()),
        Err(error) if is_gone(&error) => {
            Err(Refusal::Starting(io::Error::other("it ended at once")))
        }
        Err(error) => Err(Refusal::Reading(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pss_of_our_own_processes_can_be_read_without_privilege() {
        let mut reader = ProcReader::new(Path::new("/proc")).unwrap();
        assert!(pss_of_child(&mut reader, None).is_ok());
    }
}
