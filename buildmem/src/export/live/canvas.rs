//! Text on cells: cut to its place, in the styles of the summary.

use std::time::Duration;

use anstyle::{AnsiColor, Effects};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::super::layout::{cut_end, shorten_command, visible, width};
use super::super::text::Palette;

/// Between two parts of a line.
const GAP: u16 = 2;

/// The summary's styles for cells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Styles {
    pub(super) plain: Style,
    pub(super) title: Style,
    pub(super) figure: Style,
    pub(super) faint: Style,
    pub(super) bad: Style,
    pub(super) warning: Style,
    pub(super) stages: [Style; 6],
}

impl Styles {
    pub(super) fn of(palette: &Palette) -> Self {
        let Palette {
            title,
            figure,
            faint,
            good: _,
            bad,
            warning,
            stages,
        } = palette;
        Self {
            plain: Style::new(),
            title: style(*title),
            figure: style(*figure),
            faint: style(*faint),
            bad: style(*bad),
            warning: style(*warning),
            stages: stages.map(style),
        }
    }

    /// Whether there are colours.
    pub(super) const fn are_colored(&self) -> bool {
        self.stages[0].fg.is_some()
    }

    /// A group's: one each in turn, and none for what belongs to no stage.
    pub(super) fn group(&self, index: usize, is_other: bool) -> Style {
        if is_other {
            self.plain
        } else {
            self.stages[index % self.stages.len()]
        }
    }
}

fn style(style: anstyle::Style) -> Style {
    let mut converted = Style::new();
    if let Some(anstyle::Color::Ansi(color)) = style.get_fg_color() {
        converted = converted.fg(color_of(color));
    }
    for (effect, modifier) in [
        (Effects::BOLD, Modifier::BOLD),
        (Effects::DIMMED, Modifier::DIM),
    ] {
        if style.get_effects().contains(effect) {
            converted = converted.add_modifier(modifier);
        }
    }
    converted
}

const fn color_of(color: AnsiColor) -> Color {
    match color {
        AnsiColor::Black => Color::Black,
        AnsiColor::Red => Color::Red,
        AnsiColor::Green => Color::Green,
        AnsiColor::Yellow => Color::Yellow,
        AnsiColor::Blue => Color::Blue,
        AnsiColor::Magenta => Color::Magenta,
        AnsiColor::Cyan => Color::Cyan,
        AnsiColor::White => Color::Gray,
        AnsiColor::BrightBlack => Color::DarkGray,
        AnsiColor::BrightRed => Color::LightRed,
        AnsiColor::BrightGreen => Color::LightGreen,
        AnsiColor::BrightYellow => Color::LightYellow,
        AnsiColor::BrightBlue => Color::LightBlue,
        AnsiColor::BrightMagenta => Color::LightMagenta,
        AnsiColor::BrightCyan => Color::LightCyan,
        AnsiColor::BrightWhite => Color::White,
    }
}

/// Cells to draw on. Nothing is drawn outside of the area that is given for it.
pub(super) struct Canvas<'screen> {
    buffer: &'screen mut Buffer,
    styles: &'screen Styles,
}

impl<'screen> Canvas<'screen> {
    pub(super) const fn new(buffer: &'screen mut Buffer, styles: &'screen Styles) -> Self {
        Self { buffer, styles }
    }

    pub(super) const fn styles(&self) -> &'screen Styles {
        self.styles
    }

    pub(super) const fn buffer(&mut self) -> &mut Buffer {
        self.buffer
    }

    /// Text at the start of a line; gives what is left of that.
    pub(super) fn text(&mut self, line: Rect, style: Style, text: &str) -> Rect {
        let place = usize::from(line.width);
        self.shown(line, style, &cut_end(&visible(text), place, false))
    }

    /// A command line at the start of a line.
    pub(super) fn command(&mut self, line: Rect, style: Style, command: &str) {
        let shown = shorten_command(command, usize::from(line.width));
        self.shown(line, style, &cut_end(&shown, line.width.into(), false));
    }

    /// Text at the end of a line, if there is place for it; gives what is left of that.
    pub(super) fn right(&mut self, line: Rect, style: Style, text: &str) -> Rect {
        let text = visible(text);
        let Some(wide) = columns(&text).filter(|wide| *wide <= line.width) else {
            return line;
        };
        let [rest, at] = split(line, line.width - wide);
        self.shown(at, style, &text);
        Rect {
            width: rest.width.saturating_sub(GAP),
            ..rest
        }
    }

    /// Text at the end of its column.
    pub(super) fn figure(&mut self, column: Rect, style: Style, text: &str) {
        let shown = cut_end(&visible(text), column.width.into(), false);
        let wide = columns(&shown).unwrap_or(column.width).min(column.width);
        let [_, at] = split(column, column.width - wide);
        self.shown(at, style, &shown);
    }

    /// Parts of a line as far as there is place for all of each.
    pub(super) fn parts(&mut self, line: Rect, parts: &[(Style, String)]) {
        let mut rest = line;
        for (style, text) in parts {
            let text = visible(text);
            if columns(&text).is_none_or(|wide| wide > rest.width) {
                return;
            }
            rest = self.shown(rest, *style, &text);
            rest = split(rest, GAP)[1];
        }
    }

    /// A line with a title in it, and something at its end.
    pub(super) fn rule(&mut self, line: Rect, title: &str, right: &str) {
        let styles = self.styles;
        self.shown(line, styles.faint, &"─".repeat(line.width.into()));
        let [_, inner] = split(line, 1);
        if !title.is_empty() {
            self.text(inner, styles.title, &format!(" {title} "));
        }
        if !right.is_empty() {
            let end = Rect {
                width: inner.width.saturating_sub(1),
                ..inner
            };
            self.right(end, styles.faint, &format!(" {right} "));
        }
    }

    /// One cell.
    pub(super) fn cell(&mut self, x: u16, y: u16, symbol: char, style: Style) {
        if let Some(cell) = self.buffer.cell_mut((x, y)) {
            cell.set_char(symbol).set_style(style);
        }
    }

    /// Whether there is nothing in a cell.
    pub(super) fn is_blank(&self, x: u16, y: u16) -> bool {
        self.buffer
            .cell((x, y))
            .is_some_and(|cell| cell.symbol() == " ")
    }

    /// Empties an area.
    pub(super) fn clear(&mut self, area: Rect) {
        for position in area.intersection(self.buffer.area).positions() {
            if let Some(cell) = self.buffer.cell_mut(position) {
                cell.reset();
            }
        }
    }

    /// Text that is known to be harmless and to have place.
    fn shown(&mut self, line: Rect, style: Style, text: &str) -> Rect {
        let line = line.intersection(self.buffer.area);
        if line.is_empty() {
            return Rect { width: 0, ..line };
        }
        let (end, _) = (self.buffer).set_stringn(line.x, line.y, text, line.width.into(), style);
        split(line, end.saturating_sub(line.x))[1]
    }
}

fn columns(text: &str) -> Option<u16> {
    u16::try_from(width(text)).ok()
}

/// The row of this number, from the top.
pub(super) fn row(area: Rect, row: u16) -> Option<Rect> {
    (row < area.height && area.width > 0).then(|| Rect {
        y: area.y + row,
        height: 1,
        ..area
    })
}

/// The first columns, and the others.
pub(super) fn split(area: Rect, columns: u16) -> [Rect; 2] {
    let first = columns.min(area.width);
    [
        Rect {
            width: first,
            ..area
        },
        Rect {
            x: area.x + first,
            width: area.width - first,
            ..area
        },
    ]
}

/// A time as clocks show it.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}
