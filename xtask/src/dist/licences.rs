//! The licences of what is linked into the binary: which may be there (`deny.toml` says so), and their texts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use spdx::{Expression, ParseMode};

use crate::run::output;
use crate::static_binary::TARGET;

/// The workspaces whose crates go into the binary: the second gives the eBPF object, which is embedded.
const WORKSPACES: [&str; 2] = ["Cargo.toml", "buildmem-ebpf/Cargo.toml"];

/// Where Debian has the texts of common licences.
const COMMON: &str = "/usr/share/common-licenses";

/// A crate of others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    /// An SPDX expression, in the way of its manifest: some still write a slash for `OR`.
    licence: String,
    folder: PathBuf,
}

/// Fails when a dependency, be it for tests only, has a licence that `deny.toml` does not allow.
pub fn check(root: &Path) -> anyhow::Result<usize> {
    let allowed = allowed(&fs::read_to_string(root.join("deny.toml"))?)?;
    let mut refused = Vec::new();
    let mut count = 0;
    for workspace in WORKSPACES {
        for dependency in crates(&root.join(workspace))? {
            count += 1;
            let Crate {
                name,
                version,
                licence,
                folder: _,
            } = dependency;
            if !is_allowed(&licence, &allowed)? {
                refused.push(format!("{name} {version}: {licence}"));
            }
        }
    }
    ensure!(
        refused.is_empty(),
        "`deny.toml` does not allow the licence of\n  {}",
        refused.join("\n  ")
    );
    Ok(count)
}

/// The licences that `deny.toml` allows.
fn allowed(deny: &str) -> anyhow::Result<BTreeSet<String>> {
    let deny: toml::Table = toml::from_str(deny).context("cannot read `deny.toml`")?;
    let list = deny.get("licenses").and_then(|table| table.get("allow"));
    let list = list.and_then(toml::Value::as_array);
    let list = list.context("`deny.toml` has no `licenses.allow`")?;
    Ok(list
        .iter()
        .filter_map(toml::Value::as_str)
        .map(str::to_owned)
        .collect())
}

fn is_allowed(licence: &str, allowed: &BTreeSet<String>) -> anyhow::Result<bool> {
    let expression = Expression::parse_mode(licence, ParseMode::LAX)
        .with_context(|| format!("`{licence}` is no SPDX expression"))?;
    Ok(expression.evaluate(|required| allowed.contains(&required.to_string())))
}

/// All crates of a workspace that come from elsewhere.
fn crates(manifest: &Path) -> anyhow::Result<BTreeSet<Crate>> {
    let metadata = output(
        cargo("metadata", manifest)
            .args(["--format-version", "1"])
            .args(["--filter-platform", TARGET]),
    )?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata names no packages")?;
    let of_others = packages
        .iter()
        .filter(|package| !package["source"].is_null());
    of_others
        .map(|package| {
            let text = |key: &str| package[key].as_str().map(str::to_owned);
            let name = text("name").context("a package has a name")?;
            let manifest = text("manifest_path").context("a package has a manifest")?;
            let licence = text("license").with_context(|| format!("`{name}` names no licence"))?;
            Ok(Crate {
                version: text("version").context("a package has a version")?,
                licence,
                folder: Path::new(&manifest)
                    .parent()
                    .context("a manifest is in a folder")?
                    .to_owned(),
                name,
            })
        })
        .collect()
}

/// Those of them that are linked: by name and version, as cargo resolves features and the target.
fn linked(manifest: &Path, package: &str) -> anyhow::Result<BTreeSet<(String, String)>> {
    let tree = output(cargo("tree", manifest).args([
        "--package",
        package,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--target",
        TARGET,
    ]))?;
    // "aya v0.14.0", "zerocopy-derive v0.8.27 (proc-macro)", "aya v0.14.0 (*)"
    let name_and_version = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        let version = words.next()?.strip_prefix('v')?.to_owned();
        Some((name, version))
    };
    Ok(tree.lines().filter_map(name_and_version).collect())
}

/// `THIRD-PARTY.md`: whose work is in the binary, and under which licences, with their texts.
pub fn third_party(root: &Path) -> anyhow::Result<String> {
    let mut used = BTreeSet::new();
    for (workspace, package) in WORKSPACES.into_iter().zip(["buildmem", "buildmem-ebpf"]) {
        let manifest = root.join(workspace);
        let linked = linked(&manifest, package)?;
        used.extend(crates(&manifest)?.into_iter().filter(|dependency| {
            linked.contains(&(dependency.name.clone(), dependency.version.clone()))
        }));
    }
    ensure!(!used.is_empty(), "cargo tree names no dependency");
    let mut texts: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    let mut table = String::new();
    for dependency in &used {
        let Crate {
            name,
            version,
            licence,
            folder,
        } = dependency;
        writeln!(table, "| {name} | {version} | {licence} |")?;
        for text in texts_in(folder)? {
            // The same text is wrapped and indented in many ways.
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let of = &mut texts
                .entry(words)
                .or_insert_with(|| (text, BTreeSet::new()))
                .1;
            of.insert(format!("{name} {version}"));
        }
    }
    let mut out = format!(
        "# What others wrote\n\n\
         The binary of build-mem contains these crates, or what they generated. Each is used under one of the licences \
         that it offers.\n\n\
         | crate | version | licence |\n| --- | --- | --- |\n{table}\n{}\n# Licence texts\n",
        runtime()?
    );
    let mut texts: Vec<_> = texts.into_values().collect();
    texts.sort_by(|(_, left), (_, right)| left.cmp(right));
    for (text, of) in texts {
        let of = of.into_iter().collect::<Vec<_>>().join(", ");
        write!(out, "\n## {of}\n\n```text\n{}\n```\n", text.trim_end())?;
    }
    for name in ["LGPL-2.1", "GPL-3"] {
        let path = Path::new(COMMON).join(name);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read `{}`, which Debian has", path.display()))?;
        write!(out, "\n## {name}\n\n```text\n{}\n```\n", text.trim_end())?;
    }
    Ok(out)
}

/// What is in a static binary beside crates.
fn runtime() -> anyhow::Result<String> {
    let rust = output(Command::new("rustc").arg("--version"))?;
    let glibc = output(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    let gcc = output(Command::new("gcc").arg("-dumpfullversion"))?;
    Ok(format!(
        "Linked statically with them are\n\n\
         - Rust's standard library ({rust}): MIT OR Apache-2.0, <https://github.com/rust-lang/rust>;\n\
         - the GNU C Library ({glibc}): LGPL-2.1-or-later, <https://sourceware.org/glibc/>. With the source of build-mem, \
         which this release belongs to, `cargo xtask dist` links it anew with another version of it;\n\
         - GCC's runtime library (gcc {gcc}): GPL-3.0-or-later WITH GCC-exception-3.1, <https://gcc.gnu.org/>.\n"
    ))
}

/// The texts of licences and notices in a crate's folder, by the names of their files.
fn texts_in(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_uppercase();
        let is_one = [
            "LICENSE",
            "LICENCE",
            "COPYING",
            "COPYRIGHT",
            "NOTICE",
            "UNLICENSE",
        ]
        .iter()
        .any(|start| name.starts_with(start));
        if is_one && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    paths
        .iter()
        .map(|path| {
            fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
        })
        .collect()
}

fn cargo(command: &str, manifest: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([command, "--locked", "--manifest-path"])
        .arg(manifest);
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(licence: &str, expected: bool) {
        let allowed = allowed("[licenses]\nallow = ['MIT', 'Unicode-3.0']\n").unwrap();
        assert_eq!(
            is_allowed(licence, &allowed).unwrap(),
            expected,
            "{licence}"
        );
    }

    #[test]
    fn one_of_several_offered_licences_is_enough() {
        check("MIT OR GPL-3.0-only", true);
        check("Apache-2.0/MIT", true);
        check("Apache-2.0 OR BSL-1.0", false);
    }

    #[test]
    fn all_of_several_imposed_licences_must_be_allowed() {
        check("(MIT OR Apache-2.0) AND Unicode-3.0", true);
        check("MIT AND GPL-3.0-only", false);
    }

    #[test]
    fn an_exception_makes_it_another_licence() {
        let allowed = BTreeSet::from(["Apache-2.0".to_owned()]);
        assert!(!is_allowed("Apache-2.0 WITH LLVM-exception", &allowed).unwrap());
    }

    #[test]
    fn without_a_list_nothing_is_allowed() {
        assert!(allowed("[licenses]\n").is_err());
    }
}
