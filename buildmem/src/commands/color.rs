//! Whether and how wide to show something on this terminal.

use std::os::fd::AsFd;

use crate::cli::Color;
use crate::export::text::Palette;

/// What is shown where the width is not known, as when piped.
const DEFAULT_WIDTH: usize = 100;

/// A line longer than this is hard to follow.
const GREATEST_WIDTH: usize = 140;

/// The colours to use, see [`is_wanted`].
pub fn palette(color: Color, on_terminal: bool) -> Palette {
    if is_wanted(color, on_terminal) {
        Palette::colored()
    } else {
        Palette::plain()
    }
}

/// Whether to use colours: by `--color`, then `NO_COLOR`, `CLICOLOR_FORCE` and `TERM`, then what it is shown on.
pub fn is_wanted(color: Color, on_terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if set("NO_COLOR") => false,
        Color::Auto if set("CLICOLOR_FORCE") => true,
        Color::Auto => on_terminal && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
    }
}

/// The width of the terminal that this stream is.
pub fn width(stream: impl AsFd) -> usize {
    match rustix::termios::tcgetwinsize(stream) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col).min(GREATEST_WIDTH),
        Ok(_) | Err(_) => DEFAULT_WIDTH,
    }
}
