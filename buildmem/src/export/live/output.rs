//! The build's own output: the cells of its terminal, with their colours.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use vt100::{Cell, Screen};

use super::super::layout::visible;

/// Draws what is on the build's terminal.
pub(super) fn draw(screen: &Screen, area: Rect, buffer: &mut Buffer) {
    for position in area.intersection(buffer.area).positions() {
        let (row, column) = (position.y - area.y, position.x - area.x);
        let Some(cell) = screen.cell(row, column) else {
            continue;
        };
        // A character of two columns stands in the first; in the last column there is no place for it.
        if cell.is_wide_continuation() || (cell.is_wide() && position.x + 1 >= area.right()) {
            continue;
        }
        let Some(target) = buffer.cell_mut(position) else {
            continue;
        };
        if cell.has_contents() {
            target.set_symbol(harmless(cell.contents()));
        }
        target.set_style(style(cell));
    }
}

/// A character as it is, or in the place of one that a terminal would obey.
fn harmless(contents: &str) -> &str {
    if visible(contents) == contents {
        contents
    } else {
        // A variation selector or a joiner is left out, and the character that has it stays.
        let end = contents.chars().next().map_or(0, char::len_utf8);
        let first = &contents[..end];
        if visible(first) == first { first } else { "?" }
    }
}

fn style(cell: &Cell) -> Style {
    let mut style = Style::new()
        .fg(color(cell.fgcolor()))
        .bg(color(cell.bgcolor()));
    for (is_set, modifier) in [
        (cell.bold(), Modifier::BOLD),
        (cell.dim(), Modifier::DIM),
        (cell.italic(), Modifier::ITALIC),
        (cell.underline(), Modifier::UNDERLINED),
        (cell.inverse(), Modifier::REVERSED),
    ] {
        if is_set {
            style = style.add_modifier(modifier);
        }
    }
    style
}

const fn color(color: vt100::Color) -> Color {
    match color {
        vt100::Color::Default => Color::Reset,
        vt100::Color::Idx(index) => Color::Indexed(index),
        vt100::Color::Rgb(red, green, blue) => Color::Rgb(red, green, blue),
    }
}

/// The last lines on a build's terminal that are not empty, with their colours: for a terminal that shows lines.
pub fn last_lines(screen: &Screen, colored: bool) -> Vec<String> {
    let columns = screen.size().1.get();
    let plain: Vec<String> = screen.rows(0, columns).collect();
    let Some(last) = plain.iter().rposition(|line| !line.trim().is_empty()) else {
        return Vec::new();
    };
    let lines: Vec<String> = if colored {
        (screen.rows_formatted(0, columns))
            .map(|line| format!("{line}\x1b[m"))
            .collect()
    } else {
        plain.iter().map(|line| visible(line)).collect()
    };
    lines.into_iter().take(last + 1).collect()
}
