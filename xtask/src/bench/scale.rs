//! A build of a million processes: what its recording takes, and what its report does.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::mebibytes;
use super::statistics::Spread;
use super::tools::watched;
use crate::run::execute;

/// Processes of the recording that is reported.
const PROCESSES: u64 = 1_000_000;

/// Makes the recording, reports it so many times, and tells what that took.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub fn run(root: &Path, scratch: &Path, rounds: usize) -> anyhow::Result<()> {
    let recording = scratch.join("large.jsonl");
    eprintln!("making a recording of {PROCESSES} processes");
    let file = File::create(&recording).context("cannot make the recording")?;
    execute(
        Command::new(root.join("target/release/examples/large_recording"))
            .arg(PROCESSES.to_string())
            .stdout(file),
    )?;
    let bytes = fs::metadata(&recording)?.len();
    let mut seconds = Vec::new();
    let mut resident = None;
    for round in 0..rounds {
        eprintln!("report: round {} of {rounds}", round + 1);
        let mut report = Command::new(root.join("target/release/build-mem"));
        report
            .args(["report", "--format", "json"])
            .arg(&recording)
            .stdout(Stdio::null());
        let (cost, told) = watched(&mut report, scratch, "report")?;
        seconds.push(cost.wall_s);
        resident = resident.max(told.resident);
    }
    fs::remove_file(&recording)?;
    println!(
        "\n{PROCESSES} processes: a recording of {} ({:.0} bytes a process), reported in {} s, with {} resident",
        mebibytes(bytes),
        bytes as f64 / PROCESSES as f64,
        Spread::of(seconds),
        resident.map_or_else(|| "an unknown amount".to_owned(), mebibytes),
    );
    Ok(())
}
