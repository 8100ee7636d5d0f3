//! `build-mem report`: any view of a recording, again; and of a series or a search for a limit, of which there are two.

use std::io::{self, IsTerminal as _};

use crate::cli::{FormatArg, RecordedArgs, ReportArgs};
use crate::commands::color::{palette, width};
use crate::commands::fit;
use crate::commands::output::write_file;
use crate::commands::recorded::{print, report, report_keeping};
use crate::commands::series;
use crate::export::{self, Format};
use crate::history::Keep;
use crate::out_dir::{OutDir, check_label};
use crate::problem::Problem;
use crate::report::Report;

/// Shows a recording.
pub fn run(args: &ReportArgs) -> Result<u8, Problem> {
    if let Some(text) = whole(args) {
        return show(args, Ok(()), &text);
    }
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
            let (report, table, history) = report_keeping(export::html::KEEP, &args.recorded)?;
            export::html::write(&report, &table, &history, &mut text)
        }
        Format::ProcessesCsv => {
            let (_, _, history) = report_keeping(Keep::All, &args.recorded)?;
            export::processes_csv::write(&history, &mut text)
        }
        Format::Perfetto => {
            let (report, table, history) = report_keeping(Keep::All, &args.recorded)?;
            export::perfetto::write(&report, &table, &history, &mut text)
        }
        Format::OpenMetrics => export::openmetrics::write(&report(&args.recorded)?.0, &mut text),
        Format::Bmf => export::bmf::write(&to_follow(args)?, &mut text),
        Format::GithubBenchmark => export::github_benchmark::write(&to_follow(args)?, &mut text),
    };
    show(args, written, &text)
}

/// Writes the text to where it was asked for.
fn show(args: &ReportArgs, written: io::Result<()>, text: &[u8]) -> Result<u8, Problem> {
    match (&args.output, &written) {
        (Some(path), Ok(())) => write_file(path, text).map(|()| 0),
        (Some(_), Err(_)) | (None, _) => print("report", written, text),
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

/// What is meant where the label is that of several runs, which have no recording of that name.
fn whole(args: &ReportArgs) -> Option<Vec<u8>> {
    let RecordedArgs {
        recording,
        config: _,
        out_dir,
    } = &args.recorded;
    let label = recording.as_ref()?.to_str()?;
    check_label(label).ok()?;
    let out_dir = OutDir::open(out_dir).ok()?;
    let series = series::load(&out_dir, label);
    let fit = fit::load(&out_dir, label);
    let on_terminal = args.output.is_none() && io::stdout().is_terminal();
    let palette = palette(args.color, on_terminal);
    let width = width(io::stderr());
    let mut text = Vec::new();
    let out = &mut text;
    match (args.format, series, fit) {
        (FormatArg::Text, Some(series), _) => {
            export::series::write(&series, &palette, width, out).ok()?;
        }
        (FormatArg::Json, Some(series), _) => export::series::write_json(&series, out).ok()?,
        (FormatArg::Text, None, Some(fit)) => {
            export::fit::write(&fit, &palette, width, out).ok()?;
        }
        (FormatArg::Json, None, Some(fit)) => export::fit::write_json(&fit, out).ok()?,
        // The other forms are of one recording.
        (_, _, _) => return None,
    }
    Some(text)
}
