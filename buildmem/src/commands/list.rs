//! `build-mem list`: the recordings in the output folder, the oldest first.

use std::io::{self, Write as _};

use crate::cli::ListArgs;
use crate::commands::replay::replay;
use crate::export::visible;
use crate::out_dir::{OutDir, RunFile};
use crate::problem::Problem;
use crate::report::Report;
use crate::units::ByteSize;

/// Lists the recordings.
pub fn run(args: &ListArgs) -> Result<u8, Problem> {
    let out_dir = OutDir::open(&args.out_dir)?;
    let labels = out_dir.labels().map_err(|error| {
        Problem::new(format!(
            "cannot read the folder `{}`",
            args.out_dir.display()
        ))
        .because(error)
    })?;
    if labels.is_empty() {
        // The list is empty, whether anybody hears of it or not.
        let _ = writeln!(
            io::stderr(),
            "There is no recording in `{}`.",
            args.out_dir.display()
        );
        return Ok(0);
    }
    let widest = labels
        .iter()
        .map(String::len)
        .max()
        .unwrap_or_default()
        .max("LABEL".len());
    let mut lines = vec![format!(
        "{:widest$}  {:20}  {:>12}  {:>9}  {:20}  COMMAND",
        "LABEL", "STARTED", "PEAK", "DURATION", "VERDICT"
    )];
    for label in &labels {
        let path = out_dir.path_of(RunFile::Recording, label);
        let line = match out_dir.open_file(RunFile::Recording, label) {
            Ok(file) => match replay(file, &path, None, &[]) {
                Ok((report, _)) => line(&report),
                Err(problem) => problem.to_string(),
            },
            Err(error) => error.to_string(),
        };
        lines.push(visible(&format!("{label:widest$}  {line}")));
    }
    match writeln!(io::stdout(), "{}", lines.join("\n")) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(Problem::new("cannot print the list").because(error)),
        Ok(()) => Ok(0),
    }
}

fn line(report: &Report) -> String {
    let peak = report.headline.bytes.map_or_else(
        || "-".to_owned(),
        |bytes| ByteSize::from_bytes(bytes).to_string(),
    );
    let duration = format!("{:.1} s", report.duration_s);
    let verdict = report.verdict.word();
    let command = crate::command_line::CommandLine::from_args(report.command.iter().cloned());
    format!(
        "{:20}  {peak:>12}  {duration:>9}  {verdict:20}  {}",
        report.started_at,
        command.display()
    )
}
