//! Tests of what was made, each with the program that it is made for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::documents::{Documents, files};
use super::{Release, archive, debian, emptied};
use crate::run::{execute, has, install, is_root, output};

/// What this needs, and the Debian package that brings each.
const TOOLS: [(&str, &str); 7] = [
    ("buildah", "buildah"),
    ("elvish", "elvish"),
    ("fish", "fish"),
    ("lintian", "lintian"),
    ("man", "man-db"),
    ("groff", "groff"),
    ("zsh", "zsh"),
];

/// Runs all of them.
pub fn all(release: &Release, documents: &Documents) -> anyhow::Result<()> {
    ensure!(
        is_root(),
        "the tests of the package need root: it is installed in a folder, and measures there"
    );
    let missing: Vec<&str> = TOOLS
        .iter()
        .filter(|(tool, _)| !has(tool))
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    let scratch = emptied(release.work.join("check"))?;
    execute(
        Command::new("sha256sum")
            .args(["--check", "--quiet", "--strict", "SHA256SUMS"])
            .current_dir(&release.place),
    )?;
    manual(release, &documents.man).context("the manual pages")?;
    completions(&documents.completions, &scratch).context("the completions")?;
    unpacked(release, &scratch).context("the archive")?;
    package(release, &scratch).context("the Debian package")?;
    image(release, &scratch).context("the container image")?;
    Ok(())
}

/// Each command has a page, which groff sets without a warning, and whose name and purpose whatis(1) finds.
fn manual(release: &Release, folder: &Path) -> anyhow::Result<()> {
    let pages = files(folder)?;
    let mut named = BTreeSet::new();
    for page in &pages {
        let warnings = Command::new("groff")
            // As man(1) has it: pages are UTF-8.
            .args(["-Kutf8", "-ww", "-man", "-Tutf8", "-z"])
            .arg(page)
            .output()?;
        let warnings = String::from_utf8_lossy(&warnings.stderr).into_owned();
        ensure!(warnings.is_empty(), "groff warns: {warnings}");
        let shown = output(
            Command::new("man")
                .args(["--warnings", "--local-file"])
                .arg(page)
                .env("MANWIDTH", "80"),
        )?;
        ensure!(
            shown.contains("SYNOPSIS"),
            "man shows no synopsis of `{}`",
            page.display()
        );
        // `build-mem.1: "build-mem - How much …"`
        let name = output(Command::new("lexgrog").arg(page))?;
        let name = name
            .split('"')
            .nth(1)
            .and_then(|line| line.split(" - ").next());
        named.insert(name.context("lexgrog finds no name")?.to_owned());
    }
    for command in commands(release)? {
        ensure!(
            named.contains(&format!("build-mem-{command}")),
            "the command `{command}` has no page"
        );
    }
    ensure!(named.contains("build-mem"), "there is no page `build-mem`");
    println!("manual pages: {}, without a warning of groff", pages.len());
    Ok(())
}

/// The commands that the binary's help lists.
fn commands(release: &Release) -> anyhow::Result<Vec<String>> {
    let help = output(Command::new(&release.binary).arg("--help"))?;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<String> = listed
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .map(str::to_owned)
        .collect();
    ensure!(commands.len() > 5, "the help lists {commands:?} only");
    Ok(commands)
}

/// A shell of each kind, but for PowerShell, which Debian lacks, completes `build-mem adv` to `advise`.
fn completions(folder: &Path, scratch: &Path) -> anyhow::Result<()> {
    let shells = [
        (
            "bash",
            &["--norc"] as &[_],
            "build-mem.bash",
            include_str!("complete.bash"),
        ),
        (
            "elvish",
            &["-norc"],
            "build-mem.elv",
            include_str!("complete.elv"),
        ),
        (
            "fish",
            &["--no-config"],
            "build-mem.fish",
            include_str!("complete.fish"),
        ),
        ("zsh", &["-f"], "_build-mem", include_str!("complete.zsh")),
    ];
    for (shell, options, name, script) in shells {
        let path = scratch.join(format!("complete.{shell}"));
        fs::write(&path, script)?;
        let offered = output(
            Command::new("timeout")
                .args(["60", shell])
                .args(options)
                .arg(&path)
                .arg(folder.join(name)),
        )?;
        ensure!(
            offered.split_whitespace().any(|word| word == "advise"),
            "after `build-mem adv`, {shell} offers: {offered}"
        );
    }
    println!("completions: bash, elvish, fish and zsh complete; PowerShell was not tried");
    Ok(())
}

/// It unpacks to a program that needs nothing else, and packing again gives the same bytes.
fn unpacked(release: &Release, scratch: &Path) -> anyhow::Result<()> {
    let name = archive::name(release);
    let packed = release.place.join(format!("{name}.tar.gz"));
    let folder = emptied(scratch.join("archive"))?;
    execute(
        Command::new("tar")
            .args(["--extract", "--file"])
            .arg(&packed)
            .arg("--directory")
            .arg(&folder),
    )?;
    let binary = folder.join(&name).join("build-mem");
    let said = output(Command::new(&binary).arg("--version"))?;
    ensure!(
        said == format!("build-mem {}", release.version),
        "it says that it is {said}"
    );
    let headers = output(
        Command::new("readelf")
            .args(["--program-headers", "--wide"])
            .arg(&binary),
    )?;
    ensure!(
        !headers.contains("INTERP"),
        "the binary is linked dynamically"
    );
    let text = fs::read(&binary)?;
    let here = release.root.as_os_str().as_encoded_bytes();
    ensure!(
        !text.windows(here.len()).any(|window| window == here),
        "the binary tells where it was built"
    );
    let again = scratch.join("again.tar.gz");
    archive::pack(&folder, &name, &again, release.epoch)?;
    ensure!(
        fs::read(&packed)? == fs::read(&again)?,
        "packed again, it has other bytes"
    );
    println!("archive: static, and packed the same way again");
    Ok(())
}

/// lintian finds no error or warning, and the package can be installed, used and removed.
fn package(release: &Release, scratch: &Path) -> anyhow::Result<()> {
    let package = debian::path(release);
    execute(
        Command::new("lintian")
            .args([
                "--allow-root",
                "--fail-on",
                "error,warning",
                "--tag-display-limit=0",
            ])
            .arg(&package),
    )?;
    let script = scratch.join("installed.sh");
    fs::write(&script, include_str!("installed.sh"))?;
    let root = emptied(scratch.join("root"))?;
    execute(
        Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh"])
            .args([&script, &package, &root])
            .arg(&release.version),
    )?;
    println!("package: passes lintian; installed, used and removed without a trace");
    Ok(())
}

/// The recipe builds, with a base image and without.
fn image(release: &Release, scratch: &Path) -> anyhow::Result<()> {
    let script = scratch.join("image.sh");
    fs::write(&script, include_str!("image.sh"))?;
    let store = emptied(scratch.join("image"))?;
    execute(
        Command::new("sh")
            .args([&script, &release.place.join("image"), &store])
            .arg(&release.version),
    )?;
    println!("container image: built by buildah, alone and on a base");
    Ok(())
}
