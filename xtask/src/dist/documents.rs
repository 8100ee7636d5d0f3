//! What comes with the binary: manual pages and completions, which it writes itself, and texts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;

use super::{Release, licences};
use crate::run::{execute, output};

/// The shells, with the name under which each finds completions.
pub const SHELLS: [(&str, &str); 5] = [
    ("bash", "build-mem.bash"),
    ("zsh", "_build-mem"),
    ("fish", "build-mem.fish"),
    ("elvish", "build-mem.elv"),
    ("powershell", "_build-mem.ps1"),
];

/// The texts of the project that a release has, by their paths in the checkout.
pub const TEXTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// Where each kind is.
pub struct Documents {
    /// `build-mem.1`, and one for each command.
    pub man: PathBuf,
    /// By the names in [`SHELLS`].
    pub completions: PathBuf,
    pub third_party: PathBuf,
}

/// Writes them.
pub fn make(release: &Release) -> anyhow::Result<Documents> {
    let folder = release.work.join("documents");
    let documents = Documents {
        man: folder.join("man"),
        completions: folder.join("completions"),
        third_party: folder.join("THIRD-PARTY.md"),
    };
    let binary = || Command::new(&release.binary);
    execute(binary().args(["man", "--dir"]).arg(&documents.man))?;
    fs::create_dir_all(&documents.completions)?;
    for (shell, name) in SHELLS {
        let script = output(binary().args(["completions", shell]))?;
        ensure!(
            script.contains("build-mem"),
            "there are no completions for {shell}"
        );
        fs::write(documents.completions.join(name), script + "\n")?;
    }
    fs::write(
        &documents.third_party,
        licences::third_party(&release.root)?,
    )?;
    Ok(documents)
}

/// The paths of a folder's files, sorted.
pub fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
