//! `build-mem report`: any view of a recording, again.

use std::io::{self, IsTerminal as _};

use crate::cli::ReportArgs;
use crate::commands::color::{palette, width};
use crate::commands::recorded::{print, report};
use crate::export::{self, Format};
use crate::problem::Problem;

/// Shows a recording.
pub fn run(args: &ReportArgs) -> Result<u8, Problem> {
    let (report, table) = report(&args.recorded)?;
    let mut text = Vec::new();
    let written = match Format::from(args.format) {
        Format::Text => {
            let palette = palette(args.color, io::stdout().is_terminal());
            export::text::write(&report, &palette, width(io::stderr()), &mut text)
        }
        Format::Json => export::json::write(&report, &mut text),
        Format::Csv => export::csv::write(&table, &mut text),
    };
    print("report", written, &text)
}
