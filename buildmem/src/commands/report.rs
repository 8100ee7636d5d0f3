//! `build-mem report`: any view of a recording, again.

use std::io::{self, IsTerminal as _};

use crate::cli::ReportArgs;
use crate::commands::color::{palette, width};
use crate::commands::output::write_file;
use crate::commands::recorded::{print, report, report_with_history};
use crate::export::{self, Format};
use crate::problem::Problem;
use crate::report::Report;

/// Shows a recording.
pub fn run(args: &ReportArgs) -> Result<u8, Problem> {
    let mut text = Vec::new();
    let written = match Format::from(args.format) {
        Format::Text => {
            let (report, _) = report(&args.recorded)?;
            let on_terminal = args.output.is_none() && io::stdout().is_terminal();
            let palette = palette(args.color, on_terminal);
            export::text::write(&report, &palette, width(io::stderr()), &mut text)
        }
        Format::Json => export::json::write(&report(&args.recorded)?.0, &mut text),
        Format::Markdown => {
            let (report, table) = report(&args.recorded)?;
            export::markdown::write(&report, &table, &mut text)
        }
        Format::Csv => export::csv::write(&report(&args.recorded)?.1, &mut text),
        Format::Html => {
            let (report, table, history) = report_with_history(&args.recorded)?;
            export::html::write(&report, &table, &history, &mut text)
        }
        Format::ProcessesCsv => {
            let (_, _, history) = report_with_history(&args.recorded)?;
            export::processes_csv::write(&history, &mut text)
        }
        Format::Perfetto => {
            let (report, table, history) = report_with_history(&args.recorded)?;
            export::perfetto::write(&report, &table, &history, &mut text)
        }
        Format::OpenMetrics => export::openmetrics::write(&report(&args.recorded)?.0, &mut text),
        Format::Bmf => export::bmf::write(&to_follow(args)?, &mut text),
        Format::GithubBenchmark => export::github_benchmark::write(&to_follow(args)?, &mut text),
    };
    match (&args.output, &written) {
        (Some(path), Ok(())) => write_file(path, &text).map(|()| 0),
        (Some(_), Err(_)) | (None, _) => print("report", written, &text),
    }
}

/// A report whose figures are followed from run to run: those of a build that broke off would be taken for an improvement.
fn to_follow(args: &ReportArgs) -> Result<Report, Problem> {
    let (report, _) = report(&args.recorded)?;
    if export::is_worth_following(&report) {
        return Ok(report);
    }
    Err(Problem::new(format!(
        "the figures of the run `{}` are not to be followed from run to run",
        report.label
    ))
    .because(format!("its verdict is `{}`", report.verdict.word()))
    .help("`--format text` and the other formats show them"))
}
