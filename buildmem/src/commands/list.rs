//! `build-mem list`: the recordings in the output folder, the oldest first; the runs of a series and of a search below it.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use crate::cli::ListArgs;
use crate::command_line::CommandLine;
use crate::commands::fit;
use crate::commands::replay::replay;
use crate::commands::series;
use crate::export::visible;
use crate::fit::Fit;
use crate::out_dir::{OutDir, RunFile};
use crate::problem::Problem;
use crate::report::Report;
use crate::series::Series;
use crate::units::ByteSize;

/// Before the label of a run that belongs to the line above.
const INDENT: &str = "  ";

/// Lists the recordings.
pub fn run(args: &ListArgs) -> Result<u8, Problem> {
    let out_dir = OutDir::open(&args.out_dir)?;
    let cannot_list = |error: io::Error| {
        Problem::new(format!(
            "cannot read the folder `{}`",
            args.out_dir.display()
        ))
        .because(error)
    };
    let labels = out_dir.labels().map_err(cannot_list)?;
    let mut wholes = Whole::all(&out_dir).map_err(cannot_list)?;
    if labels.is_empty() && wholes.is_empty() {
        // The list is empty, whether anybody hears of it or not.
        let _ = writeln!(
            io::stderr(),
            "There is no recording in `{}`.",
            args.out_dir.display()
        );
        return Ok(0);
    }
    let whole_of: BTreeMap<String, String> = (wholes.iter())
        .flat_map(|(label, whole)| whole.runs.iter().map(|run| (run.clone(), label.clone())))
        .collect();
    let shown = |label: &String| match whole_of.get(label) {
        Some(_) => format!("{INDENT}{label}"),
        None => label.clone(),
    };
    let widest = (labels.iter().map(|label| shown(label).len()))
        .chain(wholes.keys().map(String::len))
        .max()
        .unwrap_or_default()
        .max("LABEL".len());
    let mut lines = vec![format!(
        "{:widest$}  {:20}  {:>12}  {:>9}  {:20}  COMMAND",
        "LABEL", "STARTED", "PEAK", "DURATION", "VERDICT"
    )];
    for label in &labels {
        let whole = whole_of.get(label);
        if let Some(whole) = whole
            && let Some(Whole { line, .. }) = wholes.remove(whole)
        {
            lines.push(visible(&format!("{whole:widest$}  {line}")));
        }
        let path = out_dir.path_of(RunFile::Recording, label);
        let line = match out_dir.open_file(RunFile::Recording, label) {
            Ok(file) => match replay(file, &path, None, &[]) {
                Ok((report, _)) => line(&report),
                Err(problem) => problem.to_string(),
            },
            Err(error) => error.to_string(),
        };
        let label = shown(label);
        lines.push(visible(&format!("{label:widest$}  {line}")));
    }
    // Those of which no recording is there any more.
    for (label, Whole { line, .. }) in &wholes {
        lines.push(visible(&format!("{label:widest$}  {line}")));
    }
    match writeln!(io::stdout(), "{}", lines.join("\n")) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(Problem::new("cannot print the list").because(error)),
        Ok(()) => Ok(0),
    }
}

/// Several runs that are one measurement.
struct Whole {
    line: String,
    runs: Vec<String>,
}

impl Whole {
    /// All that are there and can be read, by label.
    fn all(out_dir: &OutDir) -> io::Result<BTreeMap<String, Self>> {
        let series = (out_dir.labels_of(RunFile::Series)?.into_iter()).filter_map(|label| {
            let series = series::load(out_dir, &label)?;
            Some((label, Self::of_series(series)))
        });
        let fits = (out_dir.labels_of(RunFile::Fit)?.into_iter()).filter_map(|label| {
            let fit = fit::load(out_dir, &label)?;
            Some((label, Self::of_fit(&fit)))
        });
        Ok(series.chain(fits).collect())
    }

    fn of_series(series: Series) -> Self {
        let median = (series.statistics.headline).map(|it| it.median_bytes);
        let duration = (series.statistics.duration).map(|it| it.median_s);
        let runs = format!("median of {} runs: ", series.runs.len());
        Self {
            line: columns(
                &series.started_at,
                median,
                duration,
                series.verdict.word(),
                &runs,
                &series.command,
            ),
            runs: series.runs,
        }
    }

    fn of_fit(fit: &Fit) -> Self {
        let smallest = fit.conclusion.smallest;
        let verdict = if smallest.is_some() {
            "fits"
        } else {
            "does not fit"
        };
        let builds = format!("limit by {} builds: ", fit.steps.len() + 1);
        Self {
            line: columns(
                &fit.started_at,
                smallest.map(|it| it.limit_bytes),
                smallest.map(|it| it.duration_s),
                verdict,
                &builds,
                &fit.command,
            ),
            runs: [&fit.base]
                .into_iter()
                .chain(&fit.steps)
                .map(|step| step.label.clone())
                .collect(),
        }
    }
}

fn line(report: &Report) -> String {
    columns(
        &report.started_at,
        report.headline.bytes,
        Some(report.duration_s),
        report.verdict.word(),
        "",
        &report.command,
    )
}

fn columns(
    started_at: &str,
    bytes: Option<u64>,
    seconds: Option<f64>,
    verdict: &str,
    what: &str,
    command: &[String],
) -> String {
    let absent = || "-".to_owned();
    let bytes = bytes.map_or_else(absent, |bytes| ByteSize::from_bytes(bytes).to_string());
    let seconds = seconds.map_or_else(absent, |seconds| format!("{seconds:.1} s"));
    let command = CommandLine::from_args(command.iter().cloned()).display();
    format!("{started_at:20}  {bytes:>12}  {seconds:>9}  {verdict:20}  {what}{command}")
}
