//! `cargo xtask bench --cache`: what the state of the page cache does to the two headlines. The Next.js example is measured with
//! its packages in nobody's memory, and with all of them in ours, so that the build is charged for none; in turns.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use anyhow::Context as _;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::unistd::sync;
use serde_json::Value;

use super::statistics::Spread;
use super::table;
use super::tools::{Tool, measured};
use super::workload::Workload;

/// Puts a file's pages into the state.
type Put = fn(&File) -> io::Result<()>;

/// The state of the page cache before a build.
const STATES: [(&str, Put); 2] = [("cold", forget), ("warm", read)];

/// What is compared: its name, and where it stands in the result.
const FIGURES: [(&str, &str); 3] = [
    ("headline", "/headline/bytes"),
    ("headline.without_cache", "/headline/without_cache/bytes"),
    (
        "page cache that nobody has mapped, at the peak",
        "/peak/composition/file_unmapped",
    ),
];

/// Measures, and prints the table.
pub fn run(root: &Path, scratch: &Path, rounds: usize) -> anyhow::Result<()> {
    let workload = Workload::prepare("next", root, scratch, false)?;
    let build_mem = root.join("target/release/build-mem");
    let mut results: [Vec<Value>; 2] = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for ((state, put), results) in STATES.iter().zip(&mut results) {
            eprintln!("{state}: round {} of {rounds}", round + 1);
            workload.clean()?;
            // Only clean pages can be given up.
            sync();
            for_each_file(&workload.folder, *put)?;
            let (_, result) = measured(&workload, &build_mem, Tool::Ebpf.name())?;
            results.push(result);
        }
    }
    print!("{}", table::markdown(&rows(&results)));
    Ok(())
}

/// A row a figure: each state's in MiB, and the second one's median against the first one's.
fn rows(results: &[Vec<Value>; 2]) -> Vec<Vec<String>> {
    let mut rows = vec![
        [
            "MiB, median (least…greatest)",
            "cold",
            "warm",
            "warm / cold",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for (name, pointer) in FIGURES {
        let spreads = results.each_ref().map(|results| {
            let bytes = results
                .iter()
                .filter_map(|result| result.pointer(pointer)?.as_f64());
            Spread::of(bytes.map(|bytes| bytes / f64::from(1 << 20)))
        });
        let [cold, warm] = spreads;
        rows.push(vec![
            name.to_owned(),
            cold.whole(),
            warm.whole(),
            format!("{:.3}", warm.median / cold.median),
        ]);
    }
    rows
}

/// Has the kernel give up a file's pages.
fn forget(file: &File) -> io::Result<()> {
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}

/// Brings a file's pages into memory, on our account.
fn read(file: &File) -> io::Result<()> {
    io::copy(&mut &*file, &mut io::sink())?;
    Ok(())
}

fn for_each_file(folder: &Path, put: Put) -> anyhow::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let explain = || format!("cannot read `{}`", folder.display());
        for entry in fs::read_dir(&folder).with_context(explain)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let file = File::open(entry.path()).and_then(|file| put(&file));
                file.with_context(|| format!("cannot read `{}`", entry.path().display()))?;
            }
        }
    }
    Ok(())
}
