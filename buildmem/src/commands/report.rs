//! `build-mem report`: any view of a recording, again.

use std::io::{self, IsTerminal as _};

use crate::cli::ReportArgs;
use crate::commands::color::{palette, width};
use crate::commands::recorded::{print, report, report_for_page};
use crate::export::{self, Format};
use crate::problem::Problem;

/// Shows a recording.
pub fn run(args: &ReportArgs) -> Result<u8, Problem> {
    let mut text = Vec::new();
    let written = match Format::from(args.format) {
        Format::Text => {
            let (report, _) = report(&args.recorded)?;
            let palette = palette(args.color, io::stdout().is_terminal());
            export::text::write(&report, &palette, width(io::stderr()), &mut text)
        }
        Format::Json => export::json::write(&report(&args.recorded)?.0, &mut text),
        Format::Csv => export::csv::write(&report(&args.recorded)?.1, &mut text),
        Format::Html => {
            let (report, table, history) = report_for_page(&args.recorded)?;
            export::html::write(&report, &table, &history, &mut text)
        }
    };
    print("report", written, &text)
}
