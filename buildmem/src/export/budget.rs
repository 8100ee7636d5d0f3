//! Budgets beside what runs needed, for people.

use std::io::{self, Write};

use super::layout::{Cell, Column, Line, Table, byte_size, count};
use super::text::Palette;
use crate::budget_figures::{Entry, Needed, Of, written};
use crate::units::ByteSize;

/// Narrower than that it is cut.
const NARROWEST: usize = 40;

/// Writes the budgets, at most `width` columns wide.
pub fn write(
    entries: &[Entry],
    palette: &Palette,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Palette {
        title,
        faint,
        good,
        bad,
        warning,
        ..
    } = *palette;
    let rows = entries.iter().map(|entry| {
        let (name, of) = match &entry.of {
            Of::Peak => ("peak", "the whole build"),
            Of::Stage(name) => (name.as_str(), "stage, PSS"),
            Of::Class(name) => (name.as_str(), "class, RSS of the largest"),
        };
        let or_none = |size: Option<ByteSize>| match size {
            Some(size) => Cell::plain(byte_size(size)),
            None => Cell::Text(faint, "-".to_owned()),
        };
        let needed = entry.needed;
        let (style, state) = match (entry.exceeded_by(), entry.update()) {
            (Some(ByteSize::ZERO), None) => (good, "kept".to_owned()),
            (Some(ByteSize::ZERO), Some(_)) => (good, "kept; may follow the runs".to_owned()),
            (Some(by), _) => (bad, format!("exceeded by {}", byte_size(by))),
            (None, Some(_)) => (warning, "new".to_owned()),
            (None, None) => (
                warning,
                "nothing of that name ran, or its peak is not known".to_owned(),
            ),
        };
        let proposed = match entry.update().or(entry.current) {
            Some(size) if entry.update().is_some() => Cell::plain(written(size)),
            Some(_) | None => Cell::Text(faint, "as it is".to_owned()),
        };
        vec![
            Cell::plain(name),
            or_none(entry.current),
            or_none(needed.map(|needed: Needed| needed.median)),
            or_none(needed.map(|needed: Needed| needed.greatest)),
            proposed,
            Cell::Text(faint, of.to_owned()),
            Cell::Text(style, state),
        ]
    });
    let table = Table {
        title: (title, "Budgets".to_owned()),
        heads: faint,
        columns: vec![
            Column::left("", 12),
            Column::right("budget", 10),
            Column::right("median", 10),
            Column::right("greatest", 10),
            Column::right("proposed", 8),
            Column::left("of", 0).sparing(1),
            Column::left("", 0),
        ],
        rows: rows.collect(),
    };
    for line in table.lines(width.max(NARROWEST)) {
        line.write(width.max(NARROWEST), out)?;
    }
    let runs = entries
        .iter()
        .filter_map(|entry| entry.needed)
        .map(|needed| needed.runs)
        .max();
    let runs = count(runs.unwrap_or(0) as u64, "run", "runs");
    let text = format!("  from {runs}; proposed is the median with headroom for noise");
    Line::default()
        .text(faint, &text)
        .write(width.max(NARROWEST), out)
}
