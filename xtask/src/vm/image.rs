//! What the virtual machine runs: the static binaries, the workloads and a few programs of this machine. They are on a
//! disk, since what a build reads and maps must be in a page cache; an initramfs brings the modules that the disk needs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::kernel::Kernel;
use crate::run::{execute, output};
use crate::static_binary::{Profile, TARGET, cargo, target_dir};

/// The files of tests that are run in the machine.
pub const SUITES: [&str; 3] = ["tracker", "cgroup", "run"];

/// What the tests call.
const PROGRAMS: [&str; 37] = [
    "bash", "cat", "chmod", "chown", "cp", "cut", "dd", "df", "dirname", "echo", "env", "false",
    "fincore", "find", "grep", "head", "id", "kill", "ln", "ls", "mkdir", "mount", "printf", "pwd",
    "rm", "script", "sed", "setsid", "sh", "sleep", "sort", "tail", "touch", "true", "uname",
    "unshare", "wc",
];

/// What init calls.
const INIT_PROGRAMS: [&str; 7] = [
    "echo",
    "insmod",
    "mkdir",
    "mount",
    "sh",
    "switch_root",
    "umount",
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
    /// Where the tests have large files.
    scratch: PathBuf,
    /// By the order of [`SUITES`].
    suites: Vec<PathBuf>,
}

impl Binaries {
    /// Builds them.
    pub fn build(root: &Path) -> anyhow::Result<Self> {
        println!("building static binaries");
        execute(cargo(root, "build", Profile::Vm)?.args(["--bins", "--examples"]))?;
        let mut tests = cargo(root, "test", Profile::Vm)?;
        tests.args(["--no-run", "--message-format=json"]);
        tests.args(SUITES.iter().flat_map(|suite| ["--test", suite]));
        let messages = output(&mut tests)?;
        let suites = SUITES
            .iter()
            .map(|suite| executable(&messages, suite))
            .collect::<anyhow::Result<_>>()?;
        let built = Profile::Vm.folder(root);
        Ok(Self {
            build_mem: built.join("build-mem"),
            examples: built.join("examples"),
            scratch: target_dir(root).join(TARGET).join("tmp"),
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

/// What the machine runs as its first process.
pub const INIT: &str = "/tests/suites";

/// Makes the folder that becomes the disk's.
pub fn root(binaries: &Binaries, scratch: &Path) -> anyhow::Result<PathBuf> {
    let root = empty_folder(scratch.join("root"))?;
    furnish(&root)?;
    install_tests(binaries, &root)?;
    install_script(&within(&root, Path::new(INIT)), include_str!("suites.sh"))?;
    Ok(root)
}

/// Puts a small system into an empty folder: programs of this machine, and its users.
pub fn furnish(root: &Path) -> anyhow::Result<()> {
    for folder in [
        "dev",
        "etc",
        "proc",
        "root",
        "run",
        "sys",
        "tmp",
        "usr/local/bin",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    install_programs(root, &PROGRAMS)?;
    symlink("/bin", root.join("usr/bin"))?;
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
    Ok(())
}

/// Installs the tests with what they run, in the places of the last time.
pub fn install_tests(binaries: &Binaries, root: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(within(root, &binaries.scratch))?;
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
    install_file(build_mem, &within(root, build_mem))?;
    let command = root.join("bin/build-mem");
    let _ = fs::remove_file(&command);
    symlink(build_mem, command)?;
    Ok(())
}

/// Makes the initramfs of a kernel.
pub fn initramfs(kernel: &Kernel, scratch: &Path) -> anyhow::Result<PathBuf> {
    let root = empty_folder(scratch.join(format!("initramfs-{}", kernel.release)))?;
    for folder in ["dev", "proc", "sys"] {
        fs::create_dir_all(root.join(folder))?;
    }
    install_programs(&root, &INIT_PROGRAMS)?;
    install_script(&root.join("init"), include_str!("init.sh"))?;
    let place = root.join("modules");
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
    archive(
        &root,
        &scratch.join(format!("initramfs-{}.cpio", kernel.release)),
    )
}

/// Makes a disk with what is in a folder.
pub fn disk(root: &Path, place: &Path) -> anyhow::Result<()> {
    let _ = fs::remove_file(place);
    execute(
        Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-d"])
            .arg(root)
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

pub fn empty_folder(folder: PathBuf) -> anyhow::Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Where an absolute path is below another root.
fn within(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Copies programs of this machine to `bin`, and the libraries that they need to where they are here.
fn install_programs(root: &Path, names: &[&str]) -> anyhow::Result<()> {
    for name in names {
        let path = find_program(name)?;
        install_file(&path, &root.join("bin").join(name))?;
        for library in libraries(&path) {
            install_file(&library, &within(root, &library))?;
        }
    }
    Ok(())
}

pub fn install_script(place: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(place, text)?;
    fs::set_permissions(place, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn find_program(name: &str) -> anyhow::Result<PathBuf> {
    ["/bin", "/usr/bin", "/sbin", "/usr/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .with_context(|| format!("this machine has no `{name}`, which the virtual machine needs"))
}

/// The libraries that a program is loaded with, as ldd(1) tells; of one that needs none, it fails.
fn libraries(program: &Path) -> BTreeSet<PathBuf> {
    let text = output(Command::new("ldd").arg(program)).unwrap_or_default();
    text.split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
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
