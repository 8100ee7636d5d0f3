//! The whole result, for programs.

use std::io::{self, Write};

use crate::report::Report;

/// What the result line begins with.
pub const RESULT_MARK: &str = "[BUILD-MEM RESULT]";

/// Writes the result as it stands in its file.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    out.write_all(b"\n")
}

/// The result on the one line that a script finds in a log.
pub fn result_line(report: &Report) -> io::Result<String> {
    Ok(format!("{RESULT_MARK} {}", serde_json::to_string(report)?))
}
