//! `cargo xtask ebpf`: buildmem-ebpf becomes `buildmem/src/observe/bpf/buildmem.bpf.o`.
//!
//! The object is checked in, so that building build-mem needs a stable Rust and nothing else. Its own
//! toolchain is unusual: `core` for the target bpfel-unknown-none, which rustup does not ship, and bpf-linker
//! with an LLVM at least as new as the compiler's. Debian packages both; elsewhere a nightly compiles `core`
//! itself. The bytes depend on the compiler, but on nothing else of the machine: neither on where the
//! checkout is, nor on the user.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::project_root;
use crate::run::{execute, install, is_root, output};

/// Options of `cargo xtask ebpf`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Change nothing; fail when the checked-in object is not what its source gives
    #[arg(long)]
    check: bool,
}

/// Builds the object, and puts it in place or compares it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let root = project_root()?;
    let toolchain = Toolchain::find()?;
    let made_by = toolchain.versions()?;
    let object = build(root, &toolchain)?;
    let place = root.join(OBJECT);
    let note = root.join(MADE_BY);
    if arguments.check {
        return check(&object, &made_by, &place, &note);
    }
    fs::write(&place, &object).with_context(|| format!("cannot write `{OBJECT}`"))?;
    fs::write(&note, &made_by).with_context(|| format!("cannot write `{MADE_BY}`"))?;
    println!("{OBJECT}: {} bytes, made by\n{made_by}", object.len());
    Ok(())
}

/// The object, from the root of the project.
const OBJECT: &str = "buildmem/src/observe/bpf/buildmem.bpf.o";
/// The versions of what made it.
const MADE_BY: &str = "buildmem/src/observe/bpf/buildmem.bpf.o.made-by";

const TARGET: &str = "bpfel-unknown-none";
const LINKER_VERSION: &str = "0.13.0";
/// What Debian's `libstd-rust-web-dev-bpf` brings.
const DEBIAN_CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none";
const DEBIAN_LLVM: &str = "/usr/lib/llvm-22";
const DEBIAN_PACKAGES: [&str; 4] = [
    "rustc-web",
    "cargo-web",
    "libstd-rust-web-dev-bpf",
    "llvm-22-dev",
];

const HOW_TO_GET_A_TOOLCHAIN: &str = "\
the eBPF programs need a compiler that has `core` for bpfel-unknown-none. Either
  - on Debian: run this as root, and it installs rustc-web, cargo-web, libstd-rust-web-dev-bpf and llvm-22-dev; or
  - with rustup: rustup toolchain install nightly --component rust-src,llvm-tools && cargo install bpf-linker
Building build-mem itself needs neither: the object is checked in";

/// What compiles, links and strips.
struct Toolchain {
    kind: ToolchainKind,
    linker: PathBuf,
    strip: PathBuf,
}

/// Where the compiler comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ToolchainKind {
    /// Debian's packages, with a ready `core`. What the checked-in object is made with.
    Debian,
    /// rustup's nightly, which compiles `core` from rust-src.
    Nightly,
}

impl Toolchain {
    /// The machine's toolchain; installs Debian's where it may.
    fn find() -> anyhow::Result<Self> {
        if !Path::new(DEBIAN_CORE).exists() && is_root() && has_apt_packages() {
            install(&DEBIAN_PACKAGES)?;
        }
        let kind = if Path::new(DEBIAN_CORE).exists() {
            ToolchainKind::Debian
        } else if nightly_sysroot().is_ok_and(|sysroot| rust_src(&sysroot).exists()) {
            ToolchainKind::Nightly
        } else {
            bail!(HOW_TO_GET_A_TOOLCHAIN);
        };
        Ok(Self {
            kind,
            linker: find_linker(kind)?,
            strip: match kind {
                ToolchainKind::Debian => Path::new(DEBIAN_LLVM).join("bin/llvm-strip"),
                ToolchainKind::Nightly => nightly_strip()?,
            },
        })
    }

    /// A program of the toolchain, free of what the outer cargo and the user's shell would make it do.
    fn command(&self, program: &str) -> Command {
        let mut command = match self.kind {
            ToolchainKind::Debian => Command::new(Path::new("/usr/bin").join(program)),
            ToolchainKind::Nightly => {
                let mut rustup = Command::new("rustup");
                rustup.args(["run", "nightly", program]);
                rustup
            }
        };
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(changes_the_build) {
                command.env_remove(name);
            }
        }
        if self.kind == ToolchainKind::Debian {
            command.env("RUSTC", "/usr/bin/rustc");
            // aya-ebpf uses inline assembly of a target for which it is not stable.
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        // The programs are the same for every architecture of the kernel, their debug information is not.
        command.env("AYA_BPF_TARGET_ARCH", "x86_64");
        command
    }

    /// One line a tool.
    fn versions(&self) -> anyhow::Result<String> {
        let rustc = output(self.command("rustc").arg("--version"))?;
        let linker = output(Command::new(&self.linker).arg("--version"))?;
        Ok(format!("{rustc}\n{linker}\n"))
    }
}

/// Compiles, links and strips; gives the object's bytes.
fn build(root: &Path, toolchain: &Toolchain) -> anyhow::Result<Vec<u8>> {
    let crate_root = root.join("buildmem-ebpf");
    // First, since the compiler must be told where the sources of the dependencies are.
    execute(
        toolchain
            .command("cargo")
            .args(["fetch", "--locked"])
            .current_dir(&crate_root),
    )?;
    let mut cargo = toolchain.command("cargo");
    cargo
        .args(["build", "--release", "--locked", "--target", TARGET])
        .arg("--target-dir")
        .arg(crate_root.join("target"))
        .current_dir(&crate_root)
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &toolchain.linker)
        .env("CARGO_ENCODED_RUSTFLAGS", compiler_flags(root, toolchain)?);
    if toolchain.kind == ToolchainKind::Nightly {
        cargo.arg("-Zbuild-std=core");
    }
    execute(&mut cargo)?;

    let linked = crate_root.join(format!("target/{TARGET}/release/buildmem"));
    let stripped = linked.with_extension("o");
    // BTF stays: it is no debug information to strip, and the kernel shows it in the verifier's log.
    execute(
        Command::new(&toolchain.strip)
            .arg("--strip-debug")
            .arg("-o")
            .arg(&stripped)
            .arg(&linked),
    )?;
    fs::read(&stripped).with_context(|| format!("cannot read `{}`", stripped.display()))
}

/// Flags for every crate, in the form of CARGO_ENCODED_RUSTFLAGS: separated by the unit separator.
fn compiler_flags(root: &Path, toolchain: &Toolchain) -> anyhow::Result<OsString> {
    let mut flags = vec![OsString::from("-Clink-arg=--btf")];
    let mut remap = |from: &Path, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    };
    remap(root, "build-mem");
    // A folder a registry, named by its host.
    let registries = cargo_home()?.join("registry/src");
    for registry in fs::read_dir(&registries)
        .with_context(|| format!("cannot read `{}`", registries.display()))?
    {
        remap(&registry?.path(), "crates");
    }
    if toolchain.kind == ToolchainKind::Nightly {
        remap(&rust_src(&nightly_sysroot()?), "/usr/src/rustc");
    }
    Ok(flags.join(&OsString::from("\x1f")))
}

/// Whether an environment variable changes what cargo builds, or with what.
fn changes_the_build(name: &str) -> bool {
    const PREFIXES: [&str; 9] = [
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_ENCODED_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "CARGO_UNSTABLE_",
        "RUSTC",
    ];
    const NAMES: [&str; 4] = [
        "CARGO",
        "CARGO_INCREMENTAL",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Compares what was built with what is checked in.
fn check(object: &[u8], made_by: &str, place: &Path, note: &Path) -> anyhow::Result<()> {
    let checked_in = fs::read(place).with_context(|| format!("cannot read `{OBJECT}`"))?;
    if checked_in == object {
        println!("{OBJECT} is what its source gives");
        return Ok(());
    }
    let recorded = fs::read_to_string(note).unwrap_or_default();
    if recorded == made_by {
        bail!(
            "`{OBJECT}` is not what buildmem-ebpf gives: run `cargo xtask ebpf` and commit the object"
        );
    }
    bail!(
        "`{OBJECT}` is not what buildmem-ebpf gives here, but the compiler differs too, and another compiler \
         gives other bytes from the same source.\nThe checked-in one was made by\n{recorded}and here is\n{made_by}\
         To tell, check with Debian's rustc-web of that version"
    );
}

/// bpf-linker on the PATH or among cargo's programs; installed where Debian's LLVM is there to build it with.
fn find_linker(kind: ToolchainKind) -> anyhow::Result<PathBuf> {
    if let Some(linker) = on_path("bpf-linker")? {
        return Ok(linker);
    }
    ensure!(
        kind == ToolchainKind::Debian,
        "there is no bpf-linker: `cargo install bpf-linker`"
    );
    println!("installing bpf-linker {LINKER_VERSION}");
    let library = format!("{DEBIAN_LLVM}/lib");
    execute(
        Command::new("cargo")
            .args(["install", "bpf-linker", "--version", LINKER_VERSION])
            .args(["--no-default-features", "--features", "llvm-22"])
            .current_dir("/")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("LLVM_PREFIX", DEBIAN_LLVM)
            .env(
                "RUSTFLAGS",
                format!("-L{library} -Clink-arg=-Wl,-rpath,{library}"),
            ),
    )?;
    on_path("bpf-linker")?.context("bpf-linker was installed, but is not to be found")
}

/// A program on the PATH or among cargo's.
fn on_path(program: &str) -> anyhow::Result<Option<PathBuf>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargos = cargo_home()?.join("bin");
    Ok(env::split_paths(&path)
        .chain([cargos])
        .map(|folder| folder.join(program))
        .find(|program| program.is_file()))
}

/// Where cargo has its files.
pub fn cargo_home() -> anyhow::Result<PathBuf> {
    match env::var_os("CARGO_HOME") {
        Some(home) => Ok(PathBuf::from(home)),
        None => Ok(env::home_dir()
            .context("there is no home folder to look for cargo's files in")?
            .join(".cargo")),
    }
}

fn nightly_sysroot() -> anyhow::Result<PathBuf> {
    let sysroot =
        output(Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]))?;
    Ok(PathBuf::from(sysroot))
}

fn rust_src(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust")
}

/// llvm-strip of the component llvm-tools, or any other.
fn nightly_strip() -> anyhow::Result<PathBuf> {
    let libraries = nightly_sysroot()?.join("lib/rustlib");
    let of_component = fs::read_dir(&libraries)
        .with_context(|| format!("cannot read `{}`", libraries.display()))?
        .filter_map(Result::ok)
        .map(|target| target.path().join("bin/llvm-strip"))
        .find(|program| program.is_file());
    match of_component {
        Some(strip) => Ok(strip),
        None => on_path("llvm-strip")?.context(
            "there is no llvm-strip: `rustup component add llvm-tools --toolchain nightly`",
        ),
    }
}

fn has_apt_packages() -> bool {
    output(Command::new("apt-cache").arg("show").args(DEBIAN_PACKAGES)).is_ok()
}
