//! Lines of text with styles, cut to a width, and tables of them. Whatever a text holds, it stays on its line.

use std::io::{self, Write};

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// A line under construction: pieces of text, each with its style.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(Vec<(Style, String)>);

impl Line {
    /// One piece.
    pub(super) fn of(style: Style, text: impl AsRef<str>) -> Self {
        Self::default().with(style, text)
    }

    /// With another piece.
    pub(super) fn with(mut self, style: Style, text: impl AsRef<str>) -> Self {
        self.0.push((style, on_one_line(text.as_ref())));
        self
    }

    /// With another line behind it.
    pub(super) fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// With spaces before it, so that it is at least `width` columns wide.
    pub(super) fn right(mut self, width: usize) -> Self {
        let missing = width.saturating_sub(self.width());
        self.0.insert(0, (Style::new(), " ".repeat(missing)));
        self
    }

    /// With spaces behind it, so that it is at least `width` columns wide.
    pub(super) fn left(self, width: usize) -> Self {
        let missing = width.saturating_sub(self.width());
        self.with(Style::new(), " ".repeat(missing))
    }

    /// Columns on a terminal.
    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.width()).sum()
    }

    /// Cut to so many columns, `…` in the place of what is missing.
    pub(super) fn cut(self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut left = width.saturating_sub(1);
        let mut cut = Self::default();
        for (style, text) in self.0 {
            let mut part = String::new();
            for c in text.chars() {
                let columns = c.width().unwrap_or(0);
                if columns > left {
                    part.push('…');
                    cut.0.push((style, part));
                    return cut;
                }
                left -= columns;
                part.push(c);
            }
            cut.0.push((style, part));
        }
        cut
    }

    /// Writes it, without spaces at its end.
    pub(super) fn write(&self, width: usize, out: &mut dyn Write) -> io::Result<()> {
        let line = self.clone().cut(width);
        let last = line
            .0
            .iter()
            .rposition(|(_, text)| !text.trim_end().is_empty());
        for (index, (style, text)) in line.0.iter().enumerate() {
            let text = match last {
                Some(last) if index < last => text.as_str(),
                Some(last) if index == last => text.trim_end(),
                _ => break,
            };
            write!(out, "{style}{text}{style:#}")?;
        }
        writeln!(out)
    }
}

/// Without line breaks and control characters, which would move the cursor or change the terminal.
fn on_one_line(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

/// How a column's cells are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Texts.
    Left,
    /// Figures.
    Right,
}

/// Writes rows so that their cells stand below each other, two spaces apart; the last column may be as wide as
/// the line.
pub(super) fn write_table(
    columns: &[Align],
    rows: Vec<Vec<Line>>,
    indent: usize,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let widest: Vec<usize> = (0..columns.len())
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(Line::width)
                .max()
                .unwrap_or_default()
        })
        .collect();
    for row in rows {
        let last = row.len().saturating_sub(1);
        let mut line = Line::of(Style::new(), " ".repeat(indent));
        for (column, cell) in row.into_iter().enumerate() {
            let cell = match columns.get(column) {
                Some(Align::Right) => cell.right(widest[column]),
                Some(Align::Left) if column < last => cell.left(widest[column]),
                Some(Align::Left) | None => cell,
            };
            line = line.then(cell);
            if column < last {
                line = line.with(Style::new(), "  ");
            }
        }
        line.write(width, out)?;
    }
    Ok(())
}

/// A bar for a share from 0 to 1, in eighths of a column.
pub(super) fn bar(share: f64, columns: u32) -> String {
    const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share.clamp(0.0, 1.0) * f64::from(columns * 8)).round();
    // At most 8 × columns, and not negative.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "see above"
    )]
    let eighths = eighths as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(PARTS[eighths % 8]);
    }
    bar
}
