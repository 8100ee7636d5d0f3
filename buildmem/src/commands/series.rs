//! `build-mem run --runs N`: the same build several times, each run as a single one is, and what they have in common.

use std::io::{self, IsTerminal as _, Write as _};

use crate::cli::RunArgs;
use crate::commands::again::{self, Measured, Repeater};
use crate::commands::color::{palette, width};
use crate::commands::run::{label_of, print_result_line};
use crate::exit_code;
use crate::export;
use crate::launch::credentials::Environment;
use crate::out_dir::{OutDir, RunFile, check_label};
use crate::problem::Problem;
use crate::report::Verdict;
use crate::series::{Asked, RunSample, Series, SizeSpread};
use crate::units::ByteSize;

/// Whether more than a single run is asked for.
pub const fn is_asked_for(args: &RunArgs) -> bool {
    args.part_of.is_none()
        && (args.runs.is_some() || args.warmup.is_some() || args.prepare.is_some())
}

/// Measures the build so many times.
pub fn run(args: &RunArgs) -> Result<u8, Problem> {
    let environment = again::elevate(args)?;
    let runtime = again::runtime()?;
    let measured = runtime.block_on(measure(args, environment));
    runtime.shutdown_background();
    let (series, code) = measured?;
    let Some(series) = series else {
        return Ok(code);
    };
    match print_result_line(&export::series::result_line(&series)) {
        // The build's own failure is what its caller must learn.
        Err(problem) if code != 0 => {
            log::warn!("{problem}");
            Ok(code)
        }
        printed => printed.map(|()| code),
    }
}

/// A run of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Turn {
    label: String,
    /// Such as `run 3 of 5`.
    which: String,
    counts: bool,
}

async fn measure(
    args: &RunArgs,
    environment: Environment,
) -> Result<(Option<Series>, u8), Problem> {
    let label = label_of(args);
    let asked = Asked {
        runs: args.runs.unwrap_or(1).into(),
        warmup: args.warmup.unwrap_or(0).into(),
        prepare: args.prepare.clone(),
        budget: args.budget.map(ByteSize::bytes),
    };
    let turns = turns(&label, &asked);
    for Turn { label, .. } in &turns {
        check_label(label)?;
    }
    let mut repeater = Repeater::new(args, environment)?;
    let mut replaced = Replaced::look(args, &repeater.out_dir, &label, &turns)?;
    let (mut warmups, mut samples) = (Vec::new(), Vec::new());
    let mut ended: Option<(Series, u8)> = None;
    for turn in turns {
        if repeater.interrupted().is_some() {
            break;
        }
        if let Some(line) = &args.prepare {
            repeater.prepare(line, args.json_only).await?;
            if repeater.interrupted().is_some() {
                break;
            }
        }
        let Measured {
            code,
            report,
            other_cpus,
        } = repeater.measure(&of_turn(args, &turn, &samples)).await?;
        let Some(report) = report else {
            // It has told why.
            return Ok((ended.map(|(series, _)| series), code));
        };
        replaced.remove(&repeater.out_dir, &label);
        let sample = RunSample::of(&report, code, other_cpus);
        if turn.counts {
            samples.push(sample.clone());
        } else {
            for file in RunFile::ALL {
                // What stays is a run more in the list.
                let _ = repeater.out_dir.remove_file(file, &turn.label);
            }
            warmups.push(sample.clone());
        }
        let series = Series::new(&label, &asked, &warmups, &samples, &report);
        save(&repeater.out_dir, &series)?;
        tell(args, &turn, &sample, &series);
        let failed = code != 0;
        ended = Some((series, code));
        if failed {
            break;
        }
    }
    let interrupted = repeater.interrupted();
    let Some((mut series, code)) = ended else {
        return Ok((
            None,
            interrupted.map_or(exit_code::TOOL_FAILED, again::code_of),
        ));
    };
    if interrupted.is_some() && series.verdict == Verdict::Incomplete {
        series.verdict = Verdict::Interrupted;
        save(&repeater.out_dir, &series)?;
    }
    let code = match (code, interrupted, &series.budget) {
        (0, Some(signal), _) if series.verdict == Verdict::Interrupted => again::code_of(signal),
        (0, _, Some(budget)) => match budget.exceeded_by_bytes {
            Some(0) => 0,
            Some(_) => exit_code::OVER_BUDGET,
            // Who asks for a budget must not take an answer that nobody has for a yes.
            None => exit_code::NOT_TRUSTWORTHY,
        },
        (code, _, _) => code,
    };
    if !args.quiet && !args.json_only {
        // A stderr that takes nothing must cost neither the result nor the exit code.
        let _ = print_summary(args, &repeater.out_dir, &series);
    }
    Ok((Some(series), code))
}

/// The runs in their order: warm-ups first.
fn turns(label: &str, asked: &Asked) -> Vec<Turn> {
    let (runs, warmup) = (asked.runs, asked.warmup);
    let warmups = (1..=warmup).map(|number| Turn {
        label: format!("{label}.w{number}"),
        which: format!("warm-up {number} of {warmup}"),
        counts: false,
    });
    let runs = (1..=runs).map(|number| Turn {
        label: format!("{label}.{number}"),
        which: format!("run {number} of {runs}"),
        counts: true,
    });
    warmups.chain(runs).collect()
}

/// The options of one run of the series. The budget is the median's.
fn of_turn(args: &RunArgs, turn: &Turn, samples: &[RunSample]) -> RunArgs {
    let median = SizeSpread::of(samples.iter().filter_map(|run| run.headline_bytes));
    let median = median.map(|it| {
        let median = crate::units::ByteSize::from_bytes(it.median_bytes);
        format!(", median {median}")
    });
    RunArgs {
        label: Some(turn.label.clone()),
        part_of: Some(format!("{}{}", turn.which, median.unwrap_or_default())),
        budget: None,
        quiet: args.quiet || args.json_only,
        ..args.clone()
    }
}

/// What another measurement of the same label left, and is to go when this one has begun.
struct Replaced {
    /// Labels of runs that this series does not have.
    runs: Vec<String>,
}

impl Replaced {
    /// Looks what has the labels.
    ///
    /// # Errors
    ///
    /// When something has, and is not to be replaced.
    fn look(
        args: &RunArgs,
        out_dir: &OutDir,
        label: &str,
        turns: &[Turn],
    ) -> Result<Self, Problem> {
        let labels = || std::iter::once(label).chain(turns.iter().map(|turn| turn.label.as_str()));
        if !args.force {
            if let Some(taken) = labels().find(|label| out_dir.has(label)) {
                return Err(
                    Problem::new(format!("there is a run `{taken}` already")).help(
                        "choose another `--label`, or replace it with `--force`; `build-mem list` shows all that are there",
                    ),
                );
            }
            return Ok(Self { runs: Vec::new() });
        }
        let old = load(out_dir, label);
        let is_one_of_a_series = |run: &str| {
            let number = run
                .strip_prefix(label)
                .and_then(|rest| rest.strip_prefix('.'));
            number.is_some_and(|number| number.parse::<u16>().is_ok())
        };
        let runs = (old.into_iter().flat_map(|series| series.runs))
            .filter(|run| is_one_of_a_series(run) && labels().all(|label| label != run))
            // A single run of the same name.
            .chain([label.to_owned()])
            .collect();
        Ok(Self { runs })
    }

    fn remove(&mut self, out_dir: &OutDir, label: &str) {
        for run in self.runs.drain(..) {
            for file in RunFile::ALL {
                if (file, run.as_str()) != (RunFile::Series, label) {
                    // What stays is a run more in the list.
                    let _ = out_dir.remove_file(file, &run);
                }
            }
        }
    }
}

fn save(out_dir: &OutDir, series: &Series) -> Result<(), Problem> {
    let mut text = Vec::new();
    export::series::write_json(series, &mut text)
        .and_then(|()| out_dir.replace_file(RunFile::Series, &series.label, &text))
        .map_err(|error| {
            let path = out_dir.path_of(RunFile::Series, &series.label);
            Problem::new(format!("cannot write `{}`", path.display())).because(error)
        })
}

/// One line a run: a terminal has the status line meanwhile.
fn tell(args: &RunArgs, turn: &Turn, sample: &RunSample, series: &Series) {
    if args.quiet || args.json_only {
        return;
    }
    let line = export::series::progress(&turn.which, sample, series.statistics.headline);
    let _ = writeln!(io::stderr(), "build-mem: {line}");
}

fn print_summary(args: &RunArgs, out_dir: &OutDir, series: &Series) -> io::Result<()> {
    let stderr = io::stderr();
    let palette = palette(args.color, stderr.is_terminal());
    let mut text = b"\n".to_vec();
    export::series::write(series, &palette, width(&stderr), &mut text)?;
    let file = out_dir.path_of(RunFile::Series, &series.label);
    writeln!(text, "Series: {}", file.display())?;
    stderr.lock().write_all(&text)
}

/// The series of this label, where there is one that can be read.
pub fn load(out_dir: &OutDir, label: &str) -> Option<Series> {
    let text = out_dir.read_file(RunFile::Series, label).ok()?;
    serde_json::from_slice(&text).ok()
}
