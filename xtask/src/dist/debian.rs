//! The Debian package: a folder laid out as the file system is, packed by dpkg-deb(1). The binary is static, so that it
//! depends on nothing; nothing runs when it is installed or removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::documents::{Documents, SHELLS, files};
use super::{Release, emptied, place_file};
use crate::run::{execute, output};

/// Who is asked about the package.
const MAINTAINER: &str = "The build-mem authors <build-mem@users.noreply.github.com>";

/// Completions, where the shells of Debian look for them. For the others there is no such place.
fn completions_place(shell: &str) -> &'static str {
    match shell {
        "bash" => "usr/share/bash-completion/completions/build-mem",
        "zsh" => "usr/share/zsh/vendor-completions/_build-mem",
        "fish" => "usr/share/fish/vendor_completions.d/build-mem.fish",
        "elvish" => "usr/share/doc/build-mem/completions/build-mem.elv",
        _ => "usr/share/doc/build-mem/completions/_build-mem.ps1",
    }
}

/// Where the package comes to lie.
pub fn path(release: &Release) -> PathBuf {
    let name = format!("build-mem_{}_amd64.deb", release.version);
    release.place.join(name)
}

/// Lays the package out, and packs it.
pub fn make(release: &Release, documents: &Documents) -> anyhow::Result<PathBuf> {
    let layout = emptied(release.work.join("debian"))?;
    let doc = layout.join("usr/share/doc/build-mem");
    place_file(&release.binary, &layout.join("usr/bin/build-mem"), "755")?;
    for path in files(&documents.man)? {
        let name = path.file_name().unwrap_or_default();
        let place = layout.join("usr/share/man/man1").join(name);
        place_file(&path, &place, "644")?;
        compress(&place)?;
    }
    for (shell, name) in SHELLS {
        let place = layout.join(completions_place(shell));
        place_file(&documents.completions.join(name), &place, "644")?;
    }
    for name in ["README.md", "CHANGELOG.md"] {
        place_file(&release.root.join(name), &doc.join(name), "644")?;
    }
    for path in files(&release.root.join("docs"))?
        .iter()
        .filter(|path| path.is_file())
    {
        let name = path.file_name().unwrap_or_default();
        place_file(path, &doc.join("docs").join(name), "644")?;
    }
    place_file(&documents.third_party, &doc.join("THIRD-PARTY.md"), "644")?;
    compress(&doc.join("THIRD-PARTY.md"))?;
    fs::write(doc.join("copyright"), copyright(&release.root)?)?;
    fs::write(doc.join("changelog"), changelog(release)?)?;
    compress(&doc.join("changelog"))?;
    let overrides = layout.join("usr/share/lintian/overrides");
    place_file(
        &release.root.join("packaging/debian/lintian-overrides"),
        &overrides.join("build-mem"),
        "644",
    )?;
    control(release, &layout)?;
    let package = path(release);
    execute(
        Command::new("dpkg-deb")
            .args(["--build", "--root-owner-group", "-Zxz", "--threads-max=2"])
            .args([&layout, &package])
            .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
            .stdout(std::process::Stdio::null()),
    )?;
    Ok(package)
}

/// Writes what dpkg reads: the package's description and the sums of its files.
fn control(release: &Release, layout: &Path) -> anyhow::Result<()> {
    let size = output(
        Command::new("du")
            .args(["--summarize", "--apparent-size", "--block-size=1024"])
            .arg(layout),
    )?;
    let size = size
        .split_whitespace()
        .next()
        .context("du printed no size")?;
    // Sorted, and without `./` before the names.
    let sums = output(
        Command::new("sh")
            .args([
                "-c",
                "find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum",
            ])
            .current_dir(layout),
    )?;
    let folder = layout.join("DEBIAN");
    fs::create_dir(&folder)?;
    let text = include_str!("../../../packaging/debian/control");
    let text = text
        .replace("@VERSION@", &release.version)
        .replace("@SIZE@", size)
        .replace("@MAINTAINER@", MAINTAINER);
    fs::write(folder.join("control"), text)?;
    fs::write(folder.join("md5sums"), sums + "\n")?;
    execute(
        Command::new("chmod")
            .args(["--recursive", "u+rwX,go+rX,go-w"])
            .arg(layout),
    )
}

/// Debian's form of the copyright, machine-readable.
fn copyright(root: &Path) -> anyhow::Result<String> {
    let mit = fs::read_to_string(root.join("LICENSE-MIT"))?;
    let (holders, terms) = mit
        .split_once("\n\n")
        .and_then(|(_, rest)| rest.split_once("\n\n"))
        .context("LICENSE-MIT has no line of copyright below its title")?;
    let holders = holders.trim().trim_start_matches("Copyright (c) ");
    let mut indented = String::new();
    for line in terms.trim_end().lines() {
        indented.push_str(if line.is_empty() { " ." } else { " " });
        indented.push_str(line);
        indented.push('\n');
    }
    Ok(include_str!("../../../packaging/debian/copyright")
        .replace("@HOLDERS@", holders)
        .replace("@MIT@", indented.trim_end()))
}

/// Debian's own log names the releases; what is in them stands in `CHANGELOG.md`.
fn changelog(release: &Release) -> anyhow::Result<String> {
    let date = output(
        Command::new("date")
            .args(["--utc", "--rfc-email"])
            .arg(format!("--date=@{}", release.epoch))
            .env("LC_ALL", "C"),
    )?;
    Ok(format!(
        "build-mem ({}) unstable; urgency=medium\n\n  * What is new stands in CHANGELOG.md.\n\n -- {MAINTAINER}  {date}\n",
        release.version
    ))
}

/// Compresses a file, as Debian wants it for manual pages and the like.
fn compress(path: &Path) -> anyhow::Result<()> {
    execute(
        Command::new("gzip")
            .args(["-9", "--no-name", "--force"])
            .arg(path),
    )
}
