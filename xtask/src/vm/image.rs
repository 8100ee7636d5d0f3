//! What the virtual machine runs: an initramfs with the static binaries, the workloads and a few programs of this
//! machine, and an empty disk, since what a build reads must go through a page cache.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::kernel::Kernel;
use crate::run::{execute, output};

/// The binaries run on any kernel, whatever this machine's C library is.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The files of tests that are run in the machine.
pub const SUITES: [&str; 3] = ["tracker", "cgroup", "run"];

/// What init and the tests call, and the Debian package that brings it where it is not on every machine.
const PROGRAMS: [&str; 34] = [
    "bash", "cat", "chmod", "cp", "cut", "dd", "df", "echo", "env", "false", "fincore", "find",
    "grep", "head", "id", "insmod", "kill", "ln", "ls", "mkdir", "mount", "printf", "rm", "script",
    "sed", "setsid", "sh", "sleep", "sort", "tail", "touch", "true", "uname", "unshare",
];

/// Modules that make the disk appear, each after those that it needs. The cloud kernel has all else built in.
const MODULES: [&str; 6] = [
    "virtio",
    "virtio_ring",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
];

/// The binaries of this checkout, linked statically.
pub struct Binaries {
    /// build-mem, where the tests expect it.
    build_mem: PathBuf,
    examples: PathBuf,
    /// By the order of [`SUITES`].
    suites: Vec<PathBuf>,
}

impl Binaries {
    /// Builds them.
    pub fn build(root: &Path, scratch: &Path) -> anyhow::Result<Self> {
        println!("building static binaries");
        let target_dir = scratch.join("target");
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args([
                "test",
                "--no-run",
                "--quiet",
                "--release",
                "--package",
                "buildmem",
            ])
            .args(["--bins", "--examples", "--message-format=json"])
            .args(SUITES.iter().flat_map(|suite| ["--test", suite]))
            .args(["--target", TARGET])
            .arg("--target-dir")
            .arg(&target_dir)
            // Programs that run on any kernel of any machine: they bring their C library.
            .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
            .current_dir(root);
        let messages = output(&mut cargo)?;
        let suites = SUITES
            .iter()
            .map(|suite| executable(&messages, suite))
            .collect::<anyhow::Result<_>>()?;
        let release = target_dir.join(TARGET).join("release");
        Ok(Self {
            build_mem: release.join("build-mem"),
            examples: release.join("examples"),
            suites,
        })
    }
}

/// The executable of a test target, from what cargo told.
fn executable(messages: &str, suite: &str) -> anyhow::Result<PathBuf> {
    let artifacts = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut executables = artifacts.filter_map(|message| {
        let is_it = message["target"]["name"] == suite && message["target"]["kind"][0] == "test";
        let path = message["executable"].as_str()?;
        is_it.then(|| PathBuf::from(path))
    });
    executables
        .next()
        .with_context(|| format!("cargo did not say where the test `{suite}` is"))
}

/// Makes the initramfs of everything but the modules.
pub fn base(binaries: &Binaries, scratch: &Path) -> anyhow::Result<PathBuf> {
    let root = scratch.join("root");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    for folder in ["dev", "etc", "proc", "root", "run", "sys", "tmp", "tests"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for program in PROGRAMS {
        let path = find_program(program)?;
        let place = root.join("bin").join(program);
        install_file(&path, &place)?;
        for library in libraries(&path)? {
            let place = root.join(library.strip_prefix("/").unwrap_or(&library));
            install_file(&library, &place)?;
        }
    }
    fs::create_dir_all(root.join("usr"))?;
    symlink("/bin", root.join("usr/bin"))?;
    for (suite, path) in SUITES.iter().zip(&binaries.suites) {
        install_file(path, &root.join("tests").join(suite))?;
    }
    for entry in fs::read_dir(&binaries.examples)? {
        let path = entry?.path();
        // Beside each program lie cargo's notes, and the same program with a hash in its name.
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.filter(|name| !name.contains(['.', '-'])) {
            install_file(&path, &root.join("tests/examples").join(name))?;
        }
    }
    // The tests have its path from cargo.
    let build_mem = &binaries.build_mem;
    install_file(
        build_mem,
        &root.join(build_mem.strip_prefix("/").unwrap_or(build_mem)),
    )?;
    symlink(build_mem, root.join("bin/build-mem"))?;
    for (name, content) in [
        (
            "passwd",
            "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
        ),
        ("group", "root:x:0:\nnogroup:x:65534:\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\n"),
    ] {
        fs::write(root.join("etc").join(name), content)?;
    }
    fs::write(root.join("init"), include_str!("init.sh"))?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    archive(&root, &scratch.join("base.cpio"))
}

/// Makes the initramfs of a kernel: the base, with the modules behind it.
pub fn with_modules(base: &Path, kernel: &Kernel, scratch: &Path) -> anyhow::Result<PathBuf> {
    let root = scratch.join(format!("modules-{}", kernel.release));
    let place = root.join("modules");
    fs::create_dir_all(&place)?;
    let found = output(
        Command::new("find")
            .arg(&kernel.modules)
            .args(["-name", "virtio*.ko*"]),
    )?;
    for (index, module) in MODULES.iter().enumerate() {
        let is_it = |path: &&str| {
            let name = path.rsplit('/').next().unwrap_or_default();
            name.split('.').next() == Some(module)
        };
        // An older kernel has less of them: what it lacks is part of another one.
        if let Some(path) = found.lines().find(is_it) {
            let end = path.rsplit_once(".ko").map_or("", |(_, end)| end);
            install_file(
                Path::new(path),
                &place.join(format!("{index}-{module}.ko{end}")),
            )?;
        }
    }
    let modules = archive(
        &root,
        &scratch.join(format!("modules-{}.cpio", kernel.release)),
    )?;
    let whole = scratch.join(format!("initramfs-{}", kernel.release));
    // The kernel unpacks archives that are one behind the other.
    let mut bytes = fs::read(base)?;
    bytes.extend(fs::read(modules)?);
    fs::write(&whole, bytes)?;
    Ok(whole)
}

/// Makes an empty disk with a file system.
pub fn disk(place: &Path) -> anyhow::Result<()> {
    let _ = fs::remove_file(place);
    execute(
        Command::new("mke2fs")
            .args(["-q", "-t", "ext4"])
            .arg(place)
            .arg("4G")
            .stdout(Stdio::null()),
    )
}

/// The newc archive of a folder.
fn archive(root: &Path, place: &Path) -> anyhow::Result<PathBuf> {
    execute(
        Command::new("sh")
            .args([
                "-c",
                "find . | cpio --quiet --create --format=newc --owner=+0:+0 > \"$0\"",
            ])
            .arg(place)
            .current_dir(root),
    )?;
    Ok(place.to_owned())
}

fn find_program(name: &str) -> anyhow::Result<PathBuf> {
    ["/bin", "/usr/bin", "/sbin", "/usr/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .with_context(|| format!("this machine has no `{name}`, which the virtual machine needs"))
}

/// The libraries that a program is loaded with, as ldd(1) tells.
fn libraries(program: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let text = output(Command::new("ldd").arg(program)).unwrap_or_default();
    Ok(text
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect())
}

/// Copies a file with its rights, links followed.
fn install_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    let folder = to.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder)?;
    let copied = fs::copy(from, to)
        .with_context(|| format!("cannot copy `{}` to `{}`", from.display(), to.display()))?;
    ensure!(copied > 0, "`{}` is empty", from.display());
    Ok(())
}
