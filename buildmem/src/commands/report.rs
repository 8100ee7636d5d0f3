//! `build-mem report`: any view of a recording, again.

use std::io::{self, IsTerminal as _};

use crate::cli::ReportArgs;
use crate::commands::color::{palette, width};
use crate::commands::output::write_file;
use crate::commands::recorded::{print, report, report_with_history};
use crate::export::{self, Format};
use crate::history::History;
use crate::problem::Problem;

/// Shows a recording.
pub fn run(args: &ReportArgs) -> Result<u8, Problem> {
    let format = Format::from(args.format);
    let (report, table, history) = if format.shows_every_process() {
        report_with_history(&args.recorded)?
    } else {
        let (report, table) = report(&args.recorded)?;
        (report, table, History::default())
    };
    if format.is_for_trackers() && !export::is_worth_following(&report) {
        return Err(Problem::new(format!(
            "the figures of the run `{}` are not those of the build",
            report.label
        ))
        .because(format!("its verdict is `{}`", report.verdict.word()))
        .help("whoever follows them from run to run would see an improvement; `--format text` shows them"));
    }
    let mut text = Vec::new();
    let written = match format {
        Format::Text => {
            let on_terminal = args.output.is_none() && io::stdout().is_terminal();
            let palette = palette(args.color, on_terminal);
            export::text::write(&report, &palette, width(io::stderr()), &mut text)
        }
        Format::Json => export::json::write(&report, &mut text),
        Format::Markdown => export::markdown::write(&report, &table, &mut text),
        Format::Csv => export::csv::write(&table, &mut text),
        Format::Html => export::html::write(&report, &table, &history, &mut text),
        Format::OpenMetrics => export::openmetrics::write(&report, &mut text),
        Format::Bmf => export::bmf::write(&report, &mut text),
        Format::GithubBenchmark => export::github_benchmark::write(&report, &mut text),
    };
    match (&args.output, &written) {
        (Some(path), Ok(())) => write_file(path, &text).map(|()| 0),
        (Some(_), Err(_)) | (None, _) => print("report", written, &text),
    }
}
