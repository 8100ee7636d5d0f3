//! `cargo xtask test`: everything that can be tested on this machine, with what that needs.

use std::process::Command;

use anyhow::bail;

use crate::run::{execute, has, install, is_root};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Leave out what needs root, eBPF, a cgroup or npm
    #[arg(long)]
    pure: bool,
}

/// What the tests' workloads are made with, and what gives rights, with the Debian package that brings each.
const TOOLS: [(&str, &str); 5] = [
    ("gcc", "gcc"),
    ("make", "make"),
    ("npm", "npm"),
    ("setcap", "libcap2-bin"),
    ("sudo", "sudo"),
];

/// Runs the tests.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { pure } = arguments;
    if *pure {
        return execute(&mut cargo_test());
    }
    let mut privileged = cargo_test();
    if !is_root() {
        if !has("sudo") {
            bail!(
                "most tests need root: they load eBPF programs and make cgroups. Run this as root, \
                 or only those that do not: cargo xtask test --pure"
            );
        }
        // Built as this user, run as root.
        privileged.env(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
            "sudo --preserve-env",
        );
        privileged.env(
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER",
            "sudo --preserve-env",
        );
    }
    let missing: Vec<&str> = TOOLS
        .iter()
        .filter(|(tool, _)| !has(tool))
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    execute(&mut cargo_test())?;
    println!("\nNow the tests that need root: real eBPF programs, cgroups and builds.");
    // One after the other: they measure memory, and some of them load the machine.
    privileged.args(["--", "--ignored", "--test-threads=1"]);
    // For these it takes a host that may do everything, or a machine of their own: `cargo xtask vm`.
    execute(privileged.args(["--skip", "host::", "--skip", "machine::"]))
}

fn cargo_test() -> Command {
    let mut command = Command::new(env!("CARGO"));
    // The workloads of the tests are examples, and are built with all targets.
    command.args(["test", "--workspace", "--all-targets", "--no-fail-fast"]);
    command
}
