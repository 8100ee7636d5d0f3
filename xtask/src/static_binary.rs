//! Binaries that bring their C library, and so run on any kernel and in any container: for virtual machines and releases,
//! which share what was built.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ebpf::cargo_home;

/// Static linking is asked for by naming the target, so that build scripts and macros stay as they are.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Where they are built.
pub fn target_dir(root: &Path) -> PathBuf {
    root.join("target/static")
}

/// How they are built: a profile of the manifest, and the name of its folder.
#[derive(Clone, Copy)]
pub enum Profile {
    /// What is released.
    Release,
    /// For virtual machines: without link-time optimization, which takes minutes.
    Vm,
}

impl Profile {
    const fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Vm => "vm",
        }
    }

    /// The folder of what it gives.
    pub fn folder(self, root: &Path) -> PathBuf {
        target_dir(root).join(TARGET).join(self.name())
    }
}

/// `cargo COMMAND` for a static build of build-mem.
pub fn cargo(root: &Path, command: &str, profile: Profile) -> anyhow::Result<Command> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([command, "--quiet", "--package", "buildmem"])
        .args(["--profile", profile.name()])
        .args(["--target", TARGET, "--target-dir"])
        .arg(target_dir(root))
        .env("CARGO_ENCODED_RUSTFLAGS", flags(root)?)
        .current_dir(root);
    Ok(cargo)
}

/// Flags for every crate, separated by the unit separator. The binaries do not tell where they were built.
fn flags(root: &Path) -> anyhow::Result<OsString> {
    let registry = cargo_home()?.join("registry/src");
    let mut flags = OsString::from("-Ctarget-feature=+crt-static");
    for (from, to) in [(root, "build-mem"), (&registry, "crates")] {
        flags.push("\x1f--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    }
    Ok(flags)
}
