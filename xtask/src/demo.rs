//! `cargo xtask demo`: measures a real build that every checkout can do: build-mem's own.

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::project_root;
use crate::run::{execute, has, is_root};

/// Builds build-mem, and measures how it is built.
pub fn run() -> anyhow::Result<()> {
    let root = project_root()?;
    let cargo = env!("CARGO");
    println!("1/3  building build-mem (release)");
    execute(
        Command::new(cargo)
            .args(["build", "--release", "--package", "buildmem"])
            .current_dir(root),
    )?;

    println!("2/3  what this host can measure");
    let build_mem = root.join("target/release/build-mem");
    let mut doctor = as_root(build_mem.as_os_str())?;
    let status = doctor
        .arg("doctor")
        .status()
        .context("cannot run build-mem")?;
    if !status.success() {
        println!("The measurement goes on with what there is.");
    }

    println!("3/3  measuring a cold `cargo build` of build-mem itself");
    let scratch = root.join("target/demo");
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch).context("cannot remove `target/demo`")?;
    }
    // All of it is on this machine by now: the network is no part of the measurement. The summary is for people,
    // and on stderr; the result line on stdout is for programs, and as long as a compiler's command lines are.
    execute(
        as_root(build_mem.as_os_str())?
            .args(["run", "--label", "demo", "--force", "--"])
            .args([
                cargo,
                "build",
                "--offline",
                "--quiet",
                "--package",
                "buildmem",
                "--target-dir",
            ])
            .arg(&scratch)
            .current_dir(root)
            .stdout(Stdio::null()),
    )?;
    println!(
        "\nSee it again:       target/release/build-mem report demo\n\
         Memory over time:   target/release/build-mem report demo --format csv\n\
         Your own build:     sudo {} run -- npm run build",
        build_mem.display()
    );
    Ok(())
}

/// A program with root's rights: eBPF needs them. The build itself runs as the user who called sudo.
fn as_root(program: &std::ffi::OsStr) -> anyhow::Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    if !has("sudo") {
        bail!(
            "build-mem needs root for its eBPF programs: run `cargo xtask demo` as root, or install sudo"
        );
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    Ok(command)
}
