//! `build-mem report`: any view of a recording, again.

use std::io::{self, IsTerminal as _, Write};

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
    let written = make(args, &mut text)?;
    match (&args.output, &written) {
        (Some(path), Ok(())) => write_file(path, &text).map(|()| 0),
        (Some(_), Err(_)) | (None, _) => print("report", written, &text),
    }
}

fn make(args: &ReportArgs, out: &mut Vec<u8>) -> Result<io::Result<()>, Problem> {
    let of_report = |write: fn(&Report, &mut dyn Write) -> io::Result<()>, out: &mut Vec<u8>| {
        let (report, _) = report(&args.recorded)?;
        Ok(write(&report, out))
    };
    let of_figures = |write: fn(&Report, &mut dyn Write) -> io::Result<()>, out: &mut Vec<u8>| {
        let (report, _) = report(&args.recorded)?;
        check_worth_following(&report)?;
        Ok(write(&report, out))
    };
    match Format::from(args.format) {
        Format::Text => {
            let on_terminal = args.output.is_none() && io::stdout().is_terminal();
            let palette = palette(args.color, on_terminal);
            let (report, _) = report(&args.recorded)?;
            Ok(export::text::write(
                &report,
                &palette,
                width(io::stderr()),
                out,
            ))
        }
        Format::Json => of_report(export::json::write, out),
        Format::Markdown => {
            let (report, table) = report(&args.recorded)?;
            Ok(export::markdown::write(&report, &table, out))
        }
        Format::Csv => {
            let (_, table) = report(&args.recorded)?;
            Ok(export::csv::write(&table, out))
        }
        Format::ProcessesCsv => {
            let (_, _, history) = report_with_history(&args.recorded)?;
            Ok(export::processes_csv::write(&history, out))
        }
        Format::Perfetto => {
            let (report, table, history) = report_with_history(&args.recorded)?;
            Ok(export::perfetto::write(&report, &table, &history, out))
        }
        Format::OpenMetrics => of_report(export::openmetrics::write, out),
        Format::Bmf => of_figures(export::bmf::write, out),
        Format::GithubBenchmark => of_figures(export::github_benchmark::write, out),
    }
}

/// A service that follows the figures from run to run would take those of a build that broke off for an improvement.
fn check_worth_following(report: &Report) -> Result<(), Problem> {
    if export::is_worth_following(report) {
        return Ok(());
    }
    Err(Problem::new(format!(
        "the figures of the run `{}` are not to be followed from run to run",
        report.label
    ))
    .because(format!("its verdict is `{}`", report.verdict.word()))
    .help("`--format text` and the other formats show them"))
}
