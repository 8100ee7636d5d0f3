//! The summary for people. (A stand-in until the designed one lands.)

use std::io::{self, Write};
use std::time::Duration;

use crate::report::Report;
use crate::units::ByteSize;

/// The styles of the summary.
#[derive(Clone, Copy, Debug)]
pub struct Palette;

impl Palette {
    /// Without colours.
    pub const fn plain() -> Self {
        Self
    }

    /// With colours.
    pub const fn colored() -> Self {
        Self
    }
}

/// What the live status line shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The stage of highest precedence that has a live process.
    pub stage: Option<String>,
    /// The cgroup's usage now; absent where it cannot be read.
    pub now: Option<ByteSize>,
    /// The highest so far.
    pub peak: Option<ByteSize>,
    /// Live processes.
    pub processes: u64,
    /// Time since the build's start.
    pub elapsed: Duration,
}

/// The live status line.
pub fn status(status: &Status) -> String {
    format!("{status:?}")
}

/// Writes the summary, at most `width` columns wide.
pub fn write(
    report: &Report,
    _palette: &Palette,
    _width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{report:#?}")
}
