//! `cargo xtask vm`: the end-to-end tests on other kernels, each booted under QEMU.

mod boot;
mod host;
mod image;
mod kernel;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use crate::project_root;
use crate::run::{has, install};
use crate::table::aligned;
use boot::{Accelerator, Outcome, boot};
use kernel::{Kernel, RELEASES};

/// Options of `cargo xtask vm`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Which kernel, such as `6.1`, or `host`: a whole host with systemd, docker and podman, or `hybrid`: that host with
    /// cgroup v1 beside v2; may be repeated
    #[arg(long, default_value = "all")]
    kernel: Vec<String>,
    /// Run only the tests whose names contain one of these
    tests: Vec<String>,
}

/// The names of the whole host among the kernels, and what else its kernel is told.
const HOSTS: [(&str, &str); 2] = [("host", ""), ("hybrid", host::HYBRID)];

/// The kernel on which all tests are run.
const ALL_TESTS_ON: &str = "6.12";

/// Tests that are run on that one alone: of commands that run builds or look at recordings, which are the same on each, and
/// those that set a machine's clock and send it to sleep, from which not every kernel may wake under QEMU.
const OF_ONE_KERNEL: [&str; 6] = [
    "advise::",
    "compare::",
    "fit::",
    "machine::",
    "series::",
    "tui::",
];

/// What this needs, and the Debian package that brings each.
const TOOLS: [(&str, &str); 7] = [
    ("debootstrap", "debootstrap"),
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
        let is_host = HOSTS.iter().any(|(host, _)| host == name);
        ensure!(
            known || name == "all" || is_host,
            "there is no kernel `{name}`; there are {}, {} and `all`",
            RELEASES.map(|release| release.version).join(", "),
            HOSTS.map(|(host, _)| format!("`{host}`")).join(", ")
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
    let binaries = image::Binaries::build(root)?;
    let mut machine = Machine {
        scratch: &scratch,
        accelerator: None,
        tests,
    };
    let mut outcomes = Vec::new();
    let hosts: Vec<_> = HOSTS.iter().filter(|(host, _)| wanted(host)).collect();
    if !hosts.is_empty() {
        let release = RELEASES
            .iter()
            .find(|release| release.version == host::KERNEL);
        let release = release.context("the host's kernel is one of those")?;
        let kernel = release.fetch(&scratch.join("kernels"))?;
        let tree = host::root(&binaries, &kernel, &scratch)?;
        for (name, more) in hosts {
            let arguments = format!("vm.init={} {more}", host::INIT);
            outcomes.push(machine.run(name, &kernel, &tree, &arguments)?);
        }
    }
    let mut tree = None;
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
        let tree = match &tree {
            Some(tree) => tree,
            None => tree.insert(image::root(&binaries, &scratch)?),
        };
        let skipped = match release.version {
            ALL_TESTS_ON => String::new(),
            _ => OF_ONE_KERNEL.join(","),
        };
        let arguments = format!("vm.init={} vm.skip={skipped}", image::INIT);
        outcomes.push(machine.run(release.version, &kernel, tree, &arguments)?);
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

/// What boots one kernel after the other.
struct Machine<'a> {
    scratch: &'a Path,
    accelerator: Option<Accelerator>,
    tests: &'a [String],
}

impl Machine<'_> {
    /// Boots a kernel, which is told `arguments`, with a disk of what is in `tree`.
    fn run(
        &mut self,
        name: &str,
        kernel: &Kernel,
        tree: &Path,
        arguments: &str,
    ) -> anyhow::Result<Outcome> {
        let Self {
            scratch,
            accelerator,
            tests,
        } = self;
        let accelerator = *accelerator.get_or_insert_with(|| Accelerator::find(&kernel.image));
        let how = match accelerator {
            Accelerator::Kvm => "by KVM",
            Accelerator::Tcg => "emulated: this takes some minutes",
        };
        println!("booting Linux {} ({how})", kernel.release);
        let initramfs = image::initramfs(kernel, scratch)?;
        let disk = scratch.join("disk.img");
        image::disk(tree, &disk)?;
        let boot = |tests: &[String], log: &str| {
            let log = scratch.join(log);
            boot(
                accelerator,
                &kernel.image,
                &initramfs,
                &disk,
                arguments,
                tests,
                &log,
            )
        };
        let mut outcome = boot(tests, &format!("console-{name}.log"))?;
        // An emulated machine stands still at times, by which some tests run out of theirs, and its sampler out of its share.
        for attempt in 2..=3 {
            let failed = outcome.failed();
            if accelerator != Accelerator::Tcg || !outcome.complete || failed.is_empty() {
                break;
            }
            println!("  once more: {}", failed.join(", "));
            let again = boot(&failed, &format!("console-{name}-{attempt}.log"))?;
            for name in outcome.correct(&again) {
                println!("  passed at attempt {attempt}: {name}");
            }
        }
        Ok(outcome)
    }
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
