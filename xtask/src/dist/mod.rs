//! `cargo xtask dist`: what is released, in `target/dist`. `--check` tests what was made.

mod archive;
mod check;
mod debian;
mod documents;
mod image;
mod licences;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::project_root;
use crate::run::{execute, output};
use crate::static_binary::{self, Profile};

/// Options of `cargo xtask dist`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Test what was made: shells load the completions, the package is installed and removed. Needs root
    #[arg(long)]
    check: bool,
}

/// What a release is made of.
pub struct Release {
    /// The checkout.
    pub root: PathBuf,
    /// Where it comes to lie.
    pub place: PathBuf,
    /// What is needed for it.
    pub work: PathBuf,
    pub version: String,
    /// What each file in it has as its time, in seconds since 1970: the same sources give the same bytes.
    pub epoch: u64,
    /// The static binary.
    pub binary: PathBuf,
}

/// Makes everything.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { check } = arguments;
    let root = project_root()?;
    let licensed = licences::check(root)?;
    println!("licences: {licensed} dependencies, all as `deny.toml` allows");
    let place = emptied(root.join("target/dist"))?;
    let work = emptied(place.join("work"))?;
    let release = Release {
        version: version(root)?,
        epoch: epoch(root)?,
        binary: build(root, &work)?,
        work,
        place,
        root: root.to_owned(),
    };
    let documents = documents::make(&release)?;
    let made = [
        archive::make(&release, &documents)?,
        debian::make(&release, &documents)?,
    ];
    image::make(&release, &documents)?;
    let sums = sums(&release, &made)?;
    for path in made.iter().chain([&sums]) {
        let size = fs::metadata(path)?.len();
        println!(
            "{}  {size} bytes",
            path.strip_prefix(root).unwrap_or(path).display()
        );
    }
    if *check {
        check::all(&release, &documents)?;
    }
    Ok(())
}

/// Builds the binary. What its debug information takes is packed: two thirds of it.
fn build(root: &Path, work: &Path) -> anyhow::Result<PathBuf> {
    println!("building the static binary");
    execute(static_binary::cargo(root, "build", Profile::Release)?.args(["--locked", "--bins"]))?;
    let packed = work.join("build-mem");
    execute(
        Command::new("objcopy")
            .arg("--compress-debug-sections=zlib")
            .arg(Profile::Release.folder(root).join("build-mem"))
            .arg(&packed),
    )?;
    Ok(packed)
}

/// The version in the workspace's manifest.
fn version(root: &Path) -> anyhow::Result<String> {
    let manifest: toml::Table = toml::from_str(&fs::read_to_string(root.join("Cargo.toml"))?)?;
    let version = manifest["workspace"]["package"]["version"].as_str();
    Ok(version.context("the workspace has no version")?.to_owned())
}

/// `SOURCE_DATE_EPOCH`, else when the commit was made.
fn epoch(root: &Path) -> anyhow::Result<u64> {
    let text = match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => output(
            Command::new("git")
                .args(["log", "-1", "--format=%ct"])
                .current_dir(root),
        )
        .context("outside of a git repository, give SOURCE_DATE_EPOCH: seconds since 1970")?,
    };
    text.parse()
        .with_context(|| format!("`{text}` is no number of seconds"))
}

/// `SHA256SUMS`, as sha256sum(1) reads it.
fn sums(release: &Release, made: &[PathBuf]) -> anyhow::Result<PathBuf> {
    let names = made.iter().filter_map(|path| path.file_name());
    let text = output(
        Command::new("sha256sum")
            .args(names)
            .current_dir(&release.place),
    )?;
    let path = release.place.join("SHA256SUMS");
    fs::write(&path, text + "\n")?;
    Ok(path)
}

/// Copies a file below a folder that is laid out, with the given mode.
fn place_file(from: &Path, to: &Path, mode: &str) -> anyhow::Result<()> {
    ensure!(from.is_file(), "`{}` is not there", from.display());
    execute(
        Command::new("install")
            .args(["-D", "--mode", mode])
            .args([from, to]),
    )
}

fn emptied(folder: PathBuf) -> anyhow::Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove `{}`", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
