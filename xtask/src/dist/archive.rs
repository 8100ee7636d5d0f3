//! The archive: the binary, what it comes with, and the documentation, in one folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::documents::{Documents, TEXTS, files};
use super::{Release, emptied, place_file};
use crate::run::execute;

/// The name of the archive and of the folder in it.
pub fn name(release: &Release) -> String {
    format!("build-mem-{}-x86_64-linux", release.version)
}

/// Lays the folder out, and packs it.
pub fn make(release: &Release, documents: &Documents) -> anyhow::Result<PathBuf> {
    let name = name(release);
    let layout = emptied(release.work.join("archive"))?;
    let folder = layout.join(&name);
    place_file(&release.binary, &folder.join("build-mem"), "755")?;
    for text in TEXTS {
        place_file(&release.root.join(text), &folder.join(text), "644")?;
    }
    place_file(
        &documents.third_party,
        &folder.join("THIRD-PARTY.md"),
        "644",
    )?;
    let folders = [
        (documents.man.clone(), "man"),
        (documents.completions.clone(), "completions"),
        (release.root.join("docs"), "docs"),
    ];
    for (from, to) in folders {
        for path in files(&from)?.iter().filter(|path| path.is_file()) {
            let name = path.file_name().unwrap_or_default();
            place_file(path, &folder.join(to).join(name), "644")?;
        }
    }
    let archive = release.place.join(format!("{name}.tar.gz"));
    pack(&layout, &name, &archive, release.epoch)?;
    Ok(archive)
}

/// Packs a folder so that neither its owner nor the time or order in which it was made shows.
pub fn pack(place: &Path, folder: &str, archive: &Path, epoch: u64) -> anyhow::Result<()> {
    execute(
        Command::new("tar")
            .args(["--create", "--sort=name", "--format=gnu", "--numeric-owner"])
            .args(["--owner=0", "--group=0", "--mode=u+rwX,go+rX,go-w"])
            .arg(format!("--mtime=@{epoch}"))
            .args(["--use-compress-program=gzip -9 --no-name", "--file"])
            .arg(archive)
            .arg("--directory")
            .arg(place)
            .arg(folder),
    )
}
