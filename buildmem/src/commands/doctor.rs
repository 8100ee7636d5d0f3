//! `build-mem doctor`: what this host can measure, what each absence costs, and what mends it.

use std::io::{self, IsTerminal as _, Write as _};

use buildmem_common::TRACKED_CAPACITY;

use crate::capability::{Capabilities, Roots};
use crate::cli::DoctorArgs;
use crate::commands::color;
use crate::export;
use crate::observe::bpf::{self, TrackerConfig, TriedHook};
use crate::observe::host;
use crate::problem::Problem;

/// What doctor ends with when a run would not be complete.
const NOT_COMPLETE: u8 = 1;

/// Tells whether a run by eBPF would begin.
///
/// # Errors
///
/// When it would not.
pub fn try_ebpf() -> Result<u8, Problem> {
    for (hook, outcome) in try_hooks(&Roots::default())? {
        if bpf::is_needed(hook) {
            outcome?;
        }
    }
    Ok(0)
}

fn try_hooks(roots: &Roots) -> Result<Vec<TriedHook>, Problem> {
    bpf::try_hooks(TrackerConfig {
        page_size: host::facts(&roots.proc).page_size.bytes(),
        diagnostics: false,
        tracked_capacity: TRACKED_CAPACITY,
    })
}

/// Tries everything, and shows it.
pub fn run(args: &DoctorArgs) -> Result<u8, Problem> {
    let roots = Roots::default();
    let capabilities = Capabilities::detect(&roots, || try_hooks(&roots));
    let mut text = Vec::new();
    let stdout = io::stdout();
    let written = if args.json {
        export::doctor::write_json(&capabilities, &mut text)
    } else {
        let width = color::width(&stdout);
        if color::is_wanted(args.color, stdout.is_terminal()) {
            export::doctor::write_text(&capabilities, width, &mut text)
        } else {
            let mut plain = anstream::StripStream::new(&mut text);
            export::doctor::write_text(&capabilities, width, &mut plain)
        }
    };
    written
        .and_then(|()| io::stdout().write_all(&text))
        .map_err(|error| Problem::new("cannot print what was found").because(error))?;
    Ok(if capabilities.complete() {
        0
    } else {
        NOT_COMPLETE
    })
}
