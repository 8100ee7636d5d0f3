//! `cargo xtask test`: everything that can be tested on this machine, with what that needs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::bail;

use crate::project_root;
use crate::run::{execute, has, install, is_root};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Leave out what needs root, eBPF, a cgroup or npm
    #[arg(long)]
    pure: bool,
}

/// What the tests' workloads are made with, and what gives rights, with the Debian package that brings each.
const TOOLS: [(&str, &str); 11] = [
    // The page for browsers is opened in one, which its driver starts.
    ("chromedriver", "chromium-driver"),
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("gcc", "gcc"),
    ("jq", "jq"),
    ("make", "make"),
    ("npm", "npm"),
    ("python3", "python3"),
    ("setcap", "libcap2-bin"),
    ("shellcheck", "shellcheck"),
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
    let python = python()?;
    execute(&mut cargo_test())?;
    println!("\nNow the tests that need root: real eBPF programs, cgroups and builds.");
    // One after the other: they measure memory, and some of them load the machine.
    privileged.args(["--", "--ignored", "--test-threads=1"]);
    privileged.env("BUILD_MEM_PYTHON", python);
    // For these it takes a host that may do everything, or a machine of their own: `cargo xtask vm`.
    execute(privileged.args(["--skip", "host::", "--skip", "machine::"]))
}

/// A Python with what exports are decoded with, in a venv of its own.
fn python() -> anyhow::Result<PathBuf> {
    let root = project_root()?;
    let wanted = fs::read(root.join("buildmem/tests/support/requirements.txt"))?;
    let venv = root.join("target/test-venv");
    let python = venv.join("bin/python");
    // Written last: it says that all of it is there.
    let installed = venv.join("requirements.txt");
    if fs::read(&installed).is_ok_and(|there| there == wanted) {
        return Ok(python);
    }
    let make = || {
        let mut command = Command::new("python3");
        execute(command.args(["-m", "venv", "--clear"]).arg(&venv))
    };
    // Debian has it in a package of its own.
    make().or_else(|_| {
        install(&["python3-venv"])?;
        make()
    })?;
    execute(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(root.join("buildmem/tests/support/requirements.txt")),
    )?;
    fs::write(installed, wanted)?;
    Ok(python)
}

fn cargo_test() -> Command {
    let mut command = Command::new(env!("CARGO"));
    // The workloads of the tests are examples, and are built with all targets.
    command.args(["test", "--workspace", "--all-targets", "--no-fail-fast"]);
    command
}
