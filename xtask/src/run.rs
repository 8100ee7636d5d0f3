//! Other programs: run with their output on ours, or the machine's package manager.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use nix::sys::signal::{SigHandler, Signal, signal};

/// Runs a command to its end; fails when it does.
pub fn execute(command: &mut Command) -> anyhow::Result<()> {
    let shown = show(command);
    let status = command
        .status()
        .with_context(|| format!("cannot run `{shown}`"))?;
    ensure!(status.success(), "`{shown}` failed: {status}");
    Ok(())
}

/// Gives signals back what they do by themselves. A shell that runs us in the background has us ignore some of them, and what
/// we run would inherit that: to tests of signals, and to builds that are measured.
pub fn heed_signals() -> anyhow::Result<()> {
    for number in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP] {
        // SAFETY: no code of ours is run by a default action.
        unsafe { signal(number, SigHandler::SigDfl) }
            .with_context(|| format!("cannot heed {number}"))?;
    }
    Ok(())
}

/// What a command prints, without the line break at its end. Its stderr is shown when it fails.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = show(command);
    let output = command
        .output()
        .with_context(|| format!("cannot run `{shown}`"))?;
    ensure!(
        output.status.success(),
        "`{shown}` failed: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// Whether a program is found on PATH.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether we are root.
pub fn is_root() -> bool {
    // The owner of our own folder in /proc is the user that we are.
    std::fs::metadata("/proc/self")
        .is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

/// Installs Debian packages, as root on a machine that has apt.
pub fn install(packages: &[&str]) -> anyhow::Result<()> {
    ensure!(
        is_root() && Path::new("/usr/bin/apt-get").exists(),
        "`{}` must be installed; as root on Debian or Ubuntu this installs it by itself",
        packages.join("`, `")
    );
    println!("installing {}", packages.join(" "));
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let install = || {
        execute(
            apt_get()
                .args(["install", "--quiet", "--yes", "--no-install-recommends"])
                .args(packages),
        )
    };
    // A fresh machine has no lists of packages, an old one has lists of what is gone.
    install().or_else(|_| {
        execute(apt_get().args(["update", "--quiet"]))?;
        install()
    })
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
