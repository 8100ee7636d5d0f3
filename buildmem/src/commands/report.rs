//! `build-mem report`: any view of a recording, again; and of a series or a search for a limit, of which there are two.

use std::io::{self, IsTerminal as _};

use crate::cli::{FormatArg, RecordedArgs, ReportArgs};
use crate::commands::color::{palette, width};
use crate::commands::fit;
use crate::commands::recorded::{print, report};
use crate::commands::series;
use crate::export::{self, Format};
use crate::out_dir::{OutDir, check_label};
use crate::problem::Problem;

/// Shows a recording.
pub fn run(args: &ReportArgs) -> Result<u8, Problem> {
    if let Some(text) = whole(args) {
        return print("report", Ok(()), &text);
    }
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
    let palette = palette(args.color, io::stdout().is_terminal());
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
