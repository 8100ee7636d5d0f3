//! build-mem once more, as a child: each run of a series is exactly what a single run is.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::signal::SigSet;
use rustix::io::Errno;

use super::credentials::Environment;
use super::start::{RunningBuild, become_a_parent};
use crate::problem::Problem;

/// Our own program, also where its file has been replaced or removed since: the kernel keeps it for us.
const OURSELVES: &str = "/proc/self/exe";

/// Starts `build-mem ARGUMENTS…` with our stdio, rights and process group: what a terminal sends to its foreground job
/// reaches it as it reaches us. It gets `environment`, ours at the start, and the signal mask that we were started with.
pub fn start(
    arguments: &[OsString],
    environment: &Environment,
    signal_mask: &SigSet,
) -> Result<RunningBuild, Problem> {
    become_a_parent()?;
    let mut process = Command::new(OURSELVES);
    // What `ps` shows is what was called.
    if let Some(name) = env::args_os().next() {
        process.arg0(name);
    }
    process.args(arguments).env_clear().envs(environment);
    let mask = *signal_mask;
    let restore_mask = move || {
        mask.thread_set_mask()
            .map_err(|errno| Errno::from_raw_os_error(errno as i32).into())
    };
    // SAFETY: between fork and exec the closure makes one system call only, through sigprocmask(2), which is
    // async-signal-safe. It allocates nothing and takes no lock.
    unsafe { process.pre_exec(restore_mask) };
    let child = process
        .spawn()
        .map_err(|error| Problem::new("cannot start build-mem once more").because(error))?;
    RunningBuild::of(child)
}
