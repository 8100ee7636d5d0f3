//! Started without the rights that eBPF needs: build-mem runs itself through sudo, where that can work.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::thread::{CapabilitySet, capabilities};

use crate::problem::Problem;

/// Whether this process may load eBPF programs, as far as capabilities(7) decide it: with CAP_BPF and CAP_PERFMON, or with
/// CAP_SYS_ADMIN.
pub fn has_ebpf_capabilities() -> bool {
    let effective = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    effective.contains(CapabilitySet::SYS_ADMIN)
        || effective.contains(CapabilitySet::BPF | CapabilitySet::PERFMON)
}

/// Becomes `sudo build-mem …` with our arguments, if sudo needs no password, or has a terminal to ask for it. Else it
/// returns, and what fails for want of rights tells so.
///
/// # Errors
///
/// When sudo cannot be executed.
pub fn through_sudo(tell: bool) -> Result<(), Problem> {
    // Called by sudo already, and still not allowed: to go round would change nothing.
    if env::var_os("SUDO_UID").is_some() {
        return Ok(());
    }
    let Some(sudo) = find(env::var_os("PATH").as_deref()) else {
        return Ok(());
    };
    if !asks_for_no_password(&sudo) && !io::stdin().is_terminal() {
        return Ok(());
    }
    let ours = env::current_exe()
        .map_err(|error| Problem::new("cannot find build-mem's own program").because(error))?;
    if tell {
        // A stderr that takes nothing must not be in the way.
        let _ = writeln!(
            io::stderr(),
            "build-mem: eBPF needs root: running build-mem through sudo; the build runs as you"
        );
    }
    let error = Command::new(&sudo)
        .arg("--")
        .arg(ours)
        .args(env::args_os().skip(1))
        .exec();
    Err(Problem::new(format!("cannot execute `{}`", sudo.display())).because(error))
}

fn find(path: Option<&OsStr>) -> Option<PathBuf> {
    env::split_paths(path?)
        // A relative one is the project's, which others write.
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("sudo"))
        .find(|sudo| sudo.is_file())
}

fn asks_for_no_password(sudo: &Path) -> bool {
    let status = Command::new(sudo)
        .args(["--non-interactive", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
