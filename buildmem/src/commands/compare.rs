//! `build-mem compare`: before and after, each a recording or several of them.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cli::{CompareArgs, ComparisonFormat};
use crate::commands::color::{palette, width};
use crate::commands::project::load_config;
use crate::commands::recorded::{self, print};
use crate::commands::replay::{Rules, replay};
use crate::compare::Comparison;
use crate::config::Config;
use crate::exit_code;
use crate::export;
use crate::out_dir::{OutDir, RunFile};
use crate::problem::Problem;
use crate::report::Report;
use crate::timeline::TimelineTable;

/// The runs of one side, as they are named by whoever asks.
struct Side {
    name: String,
    reports: Vec<Report>,
    timelines: Vec<TimelineTable>,
}

/// One recording, or the runs of a series.
struct Measurement {
    name: String,
    labels: Vec<String>,
}

impl Measurement {
    /// What is meant by words that are joined by commas.
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            labels: name.split(',').map(str::to_owned).collect(),
        }
    }
}

/// Compares two builds.
pub fn run(args: &CompareArgs) -> Result<u8, Problem> {
    let config = args.config.as_deref().map(load_config).transpose()?;
    let rules = config.map(Rules::from);
    let [base, new] =
        meant(args)?.map(|measurement| side(&measurement, &args.out_dir, rules.as_ref()));
    let (base, new) = (base?, new?);
    let comparison = Comparison::new(
        (&base.name, &base.reports),
        (&new.name, &new.reports),
        args.fail_above,
    );
    if !comparison.refusals.is_empty() && !args.force {
        return Err(refused(&comparison));
    }
    let mut text = Vec::new();
    let written = match args.format {
        ComparisonFormat::Text => {
            let palette = palette(args.color, io::stdout().is_terminal());
            export::comparison::write(&comparison, &palette, width(io::stderr()), &mut text)
        }
        ComparisonFormat::Markdown => export::comparison::markdown::write(&comparison, &mut text),
        ComparisonFormat::Json => export::comparison::write_json(&comparison, &mut text),
        ComparisonFormat::Html => {
            let timelines = [&base, &new].map(|side| middle(side).map(|at| &side.timelines[at]));
            export::comparison::html::write(&comparison, timelines, &mut text)
        }
    };
    let printed = print("comparison", written, &text)?;
    let exceeded = comparison.fail_above.map(|fail_above| fail_above.exceeded);
    Ok(match exceeded {
        Some(Some(true)) => exit_code::OVER_BUDGET,
        // Who asks must not take an answer that nobody has for a yes.
        Some(None) => exit_code::NOT_TRUSTWORTHY,
        Some(Some(false)) | None => printed,
    })
}

fn refused(comparison: &Comparison) -> Problem {
    let reasons: Vec<&str> = (comparison.refusals.iter())
        .map(|refusal| refusal.why.as_str())
        .collect();
    Problem::new(format!(
        "cannot compare `{}` with `{}`",
        comparison.base.name, comparison.new.name
    ))
    .because(reasons.join("; "))
    .help("measure both in the same way, or compare them as they are with `--force`")
}

/// The run of the side whose peak is the median: its timeline stands for all. Absent where no peak is known.
fn middle(side: &Side) -> Option<usize> {
    let mut by_peak: Vec<usize> = (0..side.reports.len()).collect();
    by_peak.sort_by_key(|at| side.reports[*at].headline.bytes);
    by_peak.get(by_peak.len().saturating_sub(1) / 2).copied()
}

/// What is to be compared: what was named, else the last two measurements.
fn meant(args: &CompareArgs) -> Result<[Measurement; 2], Problem> {
    if let (Some(base), Some(new)) = (&args.base, &args.new) {
        return Ok([Measurement::named(base), Measurement::named(new)]);
    }
    let mut measured = measurements(&args.out_dir)?;
    let too_few = || {
        Problem::new(format!(
            "there is nothing to compare in `{}`",
            args.out_dir.display()
        ))
        .because("it takes two measurements: before and after")
        .help("measure a build, change it, and measure it again: `sudo build-mem run -- CMD`")
    };
    let new = measured.pop().ok_or_else(too_few)?;
    let base = match &args.base {
        Some(base) => Measurement::named(base),
        None => measured.pop().ok_or_else(too_few)?,
    };
    Ok([base, new])
}

/// The reports of the runs that this names, else of the last measurement; for stages and classes the config's rules.
pub fn reports(
    named: Option<&str>,
    out_dir: &Path,
    config: Config,
) -> Result<Vec<Report>, Problem> {
    let measurement = match named {
        Some(name) => Measurement::named(name),
        None => measurements(out_dir)?.pop().ok_or_else(|| {
            Problem::new(format!("there is no recording in `{}`", out_dir.display()))
                .help("measure a build first: `sudo build-mem run -- CMD`")
        })?,
    };
    let rules = Rules::from(config);
    Ok(side(&measurement, out_dir, Some(&rules))?.reports)
}

/// All recordings in the folder, the oldest first, those of a series as one.
fn measurements(out_dir: &Path) -> Result<Vec<Measurement>, Problem> {
    let folder = OutDir::open(out_dir)?;
    let cannot_list = |error: io::Error| {
        Problem::new(format!("cannot read the folder `{}`", out_dir.display())).because(error)
    };
    let mut series = Vec::new();
    for label in folder.labels_of(RunFile::Series).map_err(cannot_list)? {
        series.extend(runs_of_series(&folder, &label).map(|runs| (label, runs)));
    }
    let mut found: Vec<Measurement> = Vec::new();
    for label in folder.labels().map_err(cannot_list)? {
        let Some((name, _)) = series.iter().find(|(_, runs)| runs.contains(&label)) else {
            found.push(Measurement {
                name: label.clone(),
                labels: vec![label],
            });
            continue;
        };
        // A series is as old as its last run.
        let begun = found
            .iter()
            .position(|measurement| measurement.name == *name);
        let mut whole = match begun {
            Some(at) => found.remove(at),
            None => Measurement {
                name: name.clone(),
                labels: Vec::new(),
            },
        };
        whole.labels.push(label);
        found.push(whole);
    }
    Ok(found)
}

/// The labels of a series' runs; none where there is no such series.
fn runs_of_series(folder: &OutDir, label: &str) -> Option<Vec<String>> {
    /// What matters here of `build-mem/series/1`.
    #[derive(Deserialize)]
    struct Series {
        schema: String,
        runs: Vec<String>,
    }
    let content = folder.read_file(RunFile::Series, label).ok()?;
    let Series { schema, runs } = serde_json::from_slice(&content).ok()?;
    (schema == "build-mem/series/1" && !runs.is_empty()).then_some(runs)
}

/// Computes the reports of a side.
fn side(measurement: &Measurement, out_dir: &Path, rules: Option<&Rules>) -> Result<Side, Problem> {
    let mut side = Side {
        name: measurement.name.clone(),
        reports: Vec::new(),
        timelines: Vec::new(),
    };
    for label in &measurement.labels {
        for (file, path) in open(label, out_dir)? {
            let (report, timeline) = replay(file, &path, rules.cloned(), &[])?;
            side.reports.push(report);
            side.timelines.push(timeline);
        }
    }
    Ok(side)
}

/// The recordings that a word means: a file, a label, or the label of a series.
fn open(word: &str, out_dir: &Path) -> Result<Vec<(File, PathBuf)>, Problem> {
    let recording = |word: &str| recorded::open(Some(Path::new(word)), out_dir);
    let runs = match OutDir::open(out_dir) {
        Ok(folder)
            if recorded::is_label(word) && folder.open_file(RunFile::Recording, word).is_err() =>
        {
            runs_of_series(&folder, word)
        }
        // Where a file is meant, it may be anywhere.
        Ok(_) | Err(_) => None,
    };
    match runs {
        Some(runs) => runs.iter().map(|run| recording(run)).collect(),
        None => Ok(vec![recording(word)?]),
    }
}
