//! `build-mem advise`: how many parallel jobs fit into so much memory, and the lines to paste.

use std::io::{self, IsTerminal as _};

use crate::advise::Advice;
use crate::cli::{AdviceFormat, AdviseArgs};
use crate::commands::color::{palette, width};
use crate::commands::recorded::{print, report};
use crate::export;
use crate::problem::Problem;

/// Advises by a recording.
pub fn run(args: &AdviseArgs) -> Result<u8, Problem> {
    let (report, _) = report(&args.recorded)?;
    let advice = Advice::new(&report, args.memory);
    let mut text = Vec::new();
    let written = match args.format {
        AdviceFormat::Text => {
            let palette = palette(args.color, io::stdout().is_terminal());
            export::advice::write(&advice, &palette, width(io::stderr()), &mut text)
        }
        AdviceFormat::Json => export::advice::write_json(&advice, &mut text),
    };
    print("advice", written, &text)
}
