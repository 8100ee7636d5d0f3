//! `cargo xtask vm`: the end-to-end tests on other kernels, each booted under QEMU.

mod boot;
mod image;
mod kernel;

use std::collections::BTreeSet;
use std::fs;

use anyhow::{bail, ensure};

use crate::project_root;
use crate::run::{has, install};
use crate::table::aligned;
use boot::{Accelerator, Outcome, boot};
use kernel::RELEASES;

/// Options of `cargo xtask vm`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Which kernel, such as `6.1`; may be repeated
    #[arg(long, default_value = "all")]
    kernel: Vec<String>,
    /// Run only the tests whose names contain one of these
    tests: Vec<String>,
}

/// What this needs, and the Debian package that brings each.
const TOOLS: [(&str, &str); 6] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("cpio", "cpio"),
    ("insmod", "kmod"),
    ("mke2fs", "e2fsprogs"),
    ("script", "bsdutils"),
    ("fincore", "util-linux-extra"),
];

/// Boots the kernels one after the other, and prints what passed on which.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { kernel, tests } = arguments;
    let wanted = |version: &str| kernel.iter().any(|name| name == version || name == "all");
    for name in kernel {
        let known = RELEASES.iter().any(|release| release.version == name);
        ensure!(
            known || name == "all",
            "there is no kernel `{name}`; there are {} and `all`",
            RELEASES.map(|release| release.version).join(", ")
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
    let root = project_root()?;
    let scratch = root.join("target/vm");
    fs::create_dir_all(&scratch)?;
    let binaries = image::Binaries::build(root, &scratch)?;
    let tree = image::root(&binaries, &scratch)?;
    let disk = scratch.join("disk.img");
    let mut accelerator = None;
    let mut outcomes = Vec::new();
    for release in RELEASES.iter().filter(|release| wanted(release.version)) {
        let kernel = release.fetch(&scratch.join("kernels"))?;
        if !kernel.release.starts_with(&format!("{}.", release.version))
            && !kernel.release.starts_with(&format!("{}+", release.version))
        {
            println!(
                "note: Debian has Linux {} where {} was",
                kernel.release, release.version
            );
        }
        let accelerator = *accelerator.get_or_insert_with(|| Accelerator::find(&kernel.image));
        let how = match accelerator {
            Accelerator::Kvm => "by KVM",
            Accelerator::Tcg => "emulated: this takes some minutes",
        };
        println!("booting Linux {} ({how})", kernel.release);
        let initramfs = image::initramfs(&kernel, &scratch)?;
        image::disk(&tree, &disk)?;
        let log = scratch.join(format!("console-{}.log", release.version));
        let outcome = boot(accelerator, &kernel.image, &initramfs, &disk, tests, &log)?;
        outcomes.push(outcome);
    }
    println!("\n{}", table(&outcomes));
    if outcomes.iter().all(Outcome::is_green) {
        return Ok(());
    }
    bail!(
        "not everything passed: the consoles are in `{}`",
        scratch.display()
    )
}

/// A row a check, a column a kernel.
fn table(outcomes: &[Outcome]) -> String {
    let names: BTreeSet<&String> = outcomes
        .iter()
        .flat_map(|outcome| outcome.checks.keys())
        .collect();
    let mut rows = vec![row("check", outcomes, |outcome| {
        outcome.release.clone().unwrap_or_default()
    })];
    for name in names {
        rows.push(row(name, outcomes, |outcome| {
            let Some(check) = outcome.checks.get(name) else {
                return "not run".to_owned();
            };
            let all = check.passed + check.failed.len();
            format!("{} of {all}", check.passed)
        }));
    }
    rows.push(row("came to its end", outcomes, |outcome| {
        let complete = if outcome.complete { "yes" } else { "no" };
        complete.to_owned()
    }));
    aligned(&rows)
}

fn row(name: &str, outcomes: &[Outcome], cell: impl Fn(&Outcome) -> String) -> Vec<String> {
    let cells = outcomes.iter().map(cell);
    std::iter::once(name.to_owned()).chain(cells).collect()
}
