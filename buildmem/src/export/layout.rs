//! Lines and tables for a terminal: nothing here is wider than asked for, and no text from outside reaches the
//! terminal as anything but visible characters.

use std::fmt::Write as _;
use std::io::{self, Write};

use anstyle::Style;
use unicode_width::UnicodeWidthChar as _;

use crate::units::ByteSize;

/// Between two columns.
const GAP: usize = 2;

/// Before the rows of a section; its title stands at the margin.
const INDENT: usize = 2;

/// A command shorter than this says little: columns that can be spared make place for it.
const SPARING_BELOW: usize = 28;

/// How many marks may be put onto one character. More is not writing but an attack on the layout.
const MARKS: usize = 4;

/// One line of styled text.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    spans: Vec<(Style, String)>,
    columns: usize,
}

impl Line {
    /// Appends text, with what a terminal would obey made visible.
    pub(super) fn push(&mut self, style: Style, text: &str) {
        let text = visible(text);
        self.columns += width(&text);
        self.spans.push((style, text));
    }

    /// Appends text, see [`push`](Self::push).
    #[must_use]
    pub(super) fn text(mut self, style: Style, text: &str) -> Self {
        self.push(style, text);
        self
    }

    /// Appends spaces until the line is so wide.
    pub(super) fn fill(&mut self, columns: usize) {
        let missing = columns.saturating_sub(self.columns);
        self.push(Style::new(), &" ".repeat(missing));
    }

    /// How wide it is.
    pub(super) const fn columns(&self) -> usize {
        self.columns
    }

    /// Writes it, cut to `columns`, without spaces at its end.
    pub(super) fn write(&self, columns: usize, out: &mut dyn Write) -> io::Result<()> {
        let mut spans = self.cut(columns);
        while let Some((_, last)) = spans.last_mut() {
            last.truncate(last.trim_end().len());
            if !last.is_empty() {
                break;
            }
            spans.pop();
        }
        for (style, text) in spans {
            write!(out, "{style}{text}{style:#}")?;
        }
        writeln!(out)
    }

    fn cut(&self, columns: usize) -> Vec<(Style, String)> {
        if self.columns <= columns {
            return self.spans.clone();
        }
        let mut left = columns;
        let mut spans = Vec::new();
        for (style, text) in &self.spans {
            let has = width(text);
            // The last column may be needed for the `…`.
            if has < left {
                left -= has;
                spans.push((*style, text.clone()));
                continue;
            }
            spans.push((*style, cut_end(text, left, true)));
            break;
        }
        spans
    }
}

/// One place of a table.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// Text.
    Text(Style, String),
    /// A command line, shortened to what place there is.
    Command(String),
    /// A bar of this part of its column's width.
    Bar(Style, f64),
}

impl Cell {
    /// Nothing.
    pub(super) const fn empty() -> Self {
        Self::Text(Style::new(), String::new())
    }

    /// Text without a style.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::Text(Style::new(), text.into())
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// What stands above it.
    pub(super) title: &'static str,
    /// Which side its texts keep to.
    pub(super) align: Align,
    /// Its width at the least; exactly that for bars.
    pub(super) at_least: usize,
    /// When columns must go to make place, those with the highest number go first; those with 0 stay.
    pub(super) sparing: u8,
}

/// Which side a text keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Texts.
    Left,
    /// Figures.
    Right,
}

impl Column {
    /// A column of texts.
    pub(super) const fn left(title: &'static str, at_least: usize) -> Self {
        Self {
            title,
            align: Align::Left,
            at_least,
            sparing: 0,
        }
    }

    /// A column of figures.
    pub(super) const fn right(title: &'static str, at_least: usize) -> Self {
        Self {
            title,
            align: Align::Right,
            at_least,
            sparing: 0,
        }
    }

    /// The same, which may go.
    pub(super) const fn sparing(mut self, order: u8) -> Self {
        self.sparing = order;
        self
    }
}

/// Rows under a title.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// What the section is called; stands where the first column has its title.
    pub(super) title: (Style, String),
    /// How the other columns' titles look.
    pub(super) heads: Style,
    /// From left to right.
    pub(super) columns: Vec<Column>,
    /// From top to bottom, each with as many cells as there are columns.
    pub(super) rows: Vec<Vec<Cell>>,
}

impl Table {
    /// The table's lines, for a page of this width.
    pub(super) fn lines(mut self, page: usize) -> Vec<Line> {
        let has_commands =
            (self.rows.iter().flatten()).any(|cell| matches!(cell, Cell::Command(_)));
        let mut widths = self.widths(page);
        if let Some(last) = widths.last_mut().filter(|_| has_commands) {
            *last = SPARING_BELOW;
        }
        while INDENT + taken(&widths) > page {
            let Some(spared) = self.spared() else { break };
            self.columns.remove(spared);
            for row in &mut self.rows {
                row.remove(spared);
            }
            widths.remove(spared);
        }
        let Self {
            title: (title_style, title),
            heads,
            columns,
            rows,
        } = self;

        let mut head = Line::default().text(title_style, &title);
        let mut end = INDENT;
        for (index, (column, width)) in columns.iter().zip(&widths).enumerate() {
            let start = end + if index == 0 { 0 } else { GAP };
            end = start + width;
            if column.title.is_empty() {
                continue;
            }
            let at = match column.align {
                Align::Left => start,
                Align::Right => end.saturating_sub(self::width(column.title)),
            };
            // A title of the section that is longer than the first column pushes the others on.
            head.fill(at.max(head.columns() + GAP));
            head.push(heads, column.title);
        }

        let mut lines = vec![head];
        for row in rows {
            let mut line = Line::default();
            let mut end = INDENT;
            for (index, ((cell, column), width)) in
                row.into_iter().zip(&columns).zip(&widths).enumerate()
            {
                let start = end + if index == 0 { 0 } else { GAP };
                end = start + width;
                let place = page.saturating_sub(start);
                let (style, text) = match cell {
                    Cell::Text(style, text) => (style, visible(&text)),
                    Cell::Command(command) => (Style::new(), shorten_command(&command, place)),
                    Cell::Bar(style, part) => (style, bar(part, *width)),
                };
                // Only the last column may be wider than it was measured.
                let text = if index + 1 < columns.len() {
                    cut_end(&text, *width, false)
                } else {
                    text
                };
                line.fill(match column.align {
                    Align::Left => start,
                    Align::Right => end.saturating_sub(self::width(&text)),
                });
                line.push(style, &text);
            }
            lines.push(line);
        }
        lines
    }

    fn widths(&self, page: usize) -> Vec<usize> {
        let last = self.columns.len().saturating_sub(1);
        (self.columns.iter().enumerate())
            .map(|(index, column)| {
                let cells = self.rows.iter().filter_map(|row| row.get(index));
                let widest = cells.map(|cell| match cell {
                    // What stands at the end may be cut, and so needs no place of its own.
                    Cell::Text(..) if index == last && column.align == Align::Left => 0,
                    Cell::Text(_, text) => width(&visible(text)),
                    Cell::Command(_) | Cell::Bar(..) => 0,
                });
                // The first column's title is the section's, which may stand over its neighbour.
                let title = if index == 0 { 0 } else { width(column.title) };
                let widest = widest.max().unwrap_or(0).max(title).max(column.at_least);
                // A stage may be called anything, and so may an artifact.
                widest.min(if index == 0 { NAME_AT_MOST } else { page / 2 })
            })
            .collect()
    }

    fn spared(&self) -> Option<usize> {
        let candidates = self.columns.iter().enumerate();
        candidates
            .filter(|(_, column)| column.sparing > 0)
            .max_by_key(|(_, column)| column.sparing)
            .map(|(index, _)| index)
    }
}

/// The first column is never wider.
pub(super) const NAME_AT_MOST: usize = 24;

fn taken(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// How many columns a terminal needs for a text that [`visible`] made. At the worst too many, where a terminal
/// joins characters.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The text with everything escaped that a terminal would obey and nobody would see: control characters, line
/// breaks of all kinds, and what changes the direction of writing.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut marks = 0;
    for c in text.chars() {
        // Cannot fail: the target is a String.
        let _ = match c {
            '\n' => write!(shown, "\\n"),
            '\r' => write!(shown, "\\r"),
            '\t' => write!(shown, "\\t"),
            // They choose between two pictures of a character, and make its width uncertain.
            '\u{fe00}'..='\u{fe0f}' => continue,
            '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' => write!(shown, "\\u{{{:x}}}", u32::from(c)),
            c if c.is_control() => write!(shown, "\\u{{{:x}}}", u32::from(c)),
            c if c.width() == Some(0) => {
                marks += 1;
                if marks <= MARKS {
                    shown.push(c);
                }
                continue;
            }
            c => {
                shown.push(c);
                Ok(())
            }
        };
        marks = 0;
    }
    shown
}

/// The text cut to `columns`, with `…` where something is missing; `more` says that something is, whatever fits.
pub(super) fn cut_end(text: &str, columns: usize, more: bool) -> String {
    if !more && width(text) <= columns {
        return text.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    let mut cut = take_start(text, columns - 1).to_owned();
    cut.push('…');
    cut
}

/// A command line on `columns`. First the folders of paths go, as many as must: what is run and on what stays
/// readable the longest. Then all but the start, the end and the one word that tells it from others goes.
pub(super) fn shorten_command(command: &str, columns: usize) -> String {
    let command = visible(command);
    if width(&command) <= columns {
        return command;
    }
    let words: Vec<&str> = command.split(' ').collect();
    let mut shortened: Vec<String> = (words.iter().enumerate())
        .map(|(index, word)| match index {
            0 => program(word).to_owned(),
            _ => shorten_path(word, 0),
        })
        .collect();
    let has: usize = shortened.iter().map(|word| width(word) + 1).sum::<usize>() - 1;
    let Some(mut spare) = columns.checked_sub(has) else {
        return cut_around(&shortened, columns)
            .unwrap_or_else(|| cut_middle(&shortened.join(" "), columns));
    };
    // What is run stands before what it is run on: it gets its folders back first.
    for (short, word) in shortened.iter_mut().zip(&words).skip(1) {
        let before = width(short);
        *short = shorten_path(word, before + spare);
        spare -= width(short) - before;
    }
    shortened.join(" ")
}

/// The program's name without its folders.
fn program(word: &str) -> &str {
    match word.rsplit('/').next() {
        Some(name) if !name.is_empty() => name,
        Some(_) | None => word,
    }
}

/// The word on `columns`, or with the name alone where that is wider: from the path in it as many folders go as
/// must. `--out=/a/b/c` becomes `--out=…/c`.
fn shorten_path(word: &str, columns: usize) -> String {
    let Some(slash) = word.find('/').filter(|_| width(word) > columns) else {
        return word.to_owned();
    };
    let before = &word[..slash];
    let start = match before.rfind(['=', ':', ',', '\'', '"', '(']) {
        Some(delimiter) => delimiter + 1,
        // `-I/usr/include`: the path begins at its slash; `src/lib/x.c`: with its first folder.
        None if before.starts_with('-') => slash,
        None => 0,
    };
    let (option, path) = word.split_at(start);
    let name = path.trim_end_matches('/');
    let mut shortest = word.to_owned();
    for (at, _) in name.match_indices('/').skip_while(|(at, _)| *at == 0) {
        shortest = format!("{option}…{}", &path[at..]);
        if width(&shortest) <= columns {
            break;
        }
    }
    // `/a` and `a/` are as short as they get.
    if width(&shortest) < width(word) {
        shortest
    } else {
        word.to_owned()
    }
}

/// The line with the one word kept in sight without which it says nothing: the source that a compiler works on
/// (of two hundred compilers only that differs), else the program that an interpreter runs.
fn cut_around(words: &[String], columns: usize) -> Option<String> {
    const ENDINGS: [&str; 16] = [
        ".c", ".cc", ".cpp", ".cxx", ".cu", ".go", ".java", ".js", ".kt", ".m", ".mjs", ".rs",
        ".S", ".swift", ".ts", ".tsx",
    ];
    let is_source = |word: &String| ENDINGS.iter().any(|ending| word.ends_with(ending));
    let is_path = |word: &String| word.starts_with("…/");
    let after_program = || words.iter().skip(1);
    let at = after_program()
        .position(is_source)
        .or_else(|| after_program().position(is_path))?
        + 1;
    let start = words[..at].join(" ");
    let end = if at + 1 < words.len() { " …" } else { "" };
    let word = format!(" {}{end}", words[at]);
    if width(&start) + width(&word) <= columns - tail_of(columns) {
        // It stands in the part that is kept anyway.
        return None;
    }
    // What is left before it must name the program.
    let place = columns
        .checked_sub(width(&word))
        .filter(|place| *place >= 12)?;
    let start = if width(&start) > place {
        format!("{}…", whole_words(take_start(&start, place - 1)))
    } else {
        start
    };
    Some(format!("{start}{word}"))
}

fn cut_middle(text: &str, columns: usize) -> String {
    // What is left of a tail this short says nothing.
    if columns < 24 {
        return cut_end(text, columns, false);
    }
    let end = take_end(text, tail_of(columns));
    // Where a word was cut in two and others are left, the rest of it goes.
    let end = match end.split_once(' ') {
        Some((_, words)) if words.len() * 2 > end.len() => format!("… {words}"),
        Some(_) | None => format!("…{}", end.trim_start_matches([' ', '…'])),
    };
    let start = take_start(text, columns - width(&end));
    format!("{}{end}", whole_words(start))
}

/// How much of a line that is cut in the middle its end gets.
const fn tail_of(columns: usize) -> usize {
    columns.saturating_sub(1) * 2 / 5
}

/// The text without a last word that may have been cut in two, when enough is left of it.
fn whole_words(text: &str) -> &str {
    match text.rfind(' ') {
        Some(end) if end * 3 > text.len() * 2 => &text[..=end],
        Some(_) | None => text,
    }
}

fn take_start(text: &str, columns: usize) -> &str {
    let mut left = columns;
    for (index, c) in text.char_indices() {
        let width = c.width().unwrap_or(0);
        if width > left {
            return &text[..index];
        }
        left -= width;
    }
    text
}

fn take_end(text: &str, columns: usize) -> &str {
    let mut left = columns;
    let mut start = text.len();
    for (index, c) in text.char_indices().rev() {
        let width = c.width().unwrap_or(0);
        if width > left {
            break;
        }
        left -= width;
        // A mark without the character that it is put on would be put on the `…`.
        if width > 0 {
            start = index;
        }
    }
    &text[start..]
}

/// A bar of this part of `columns`, in steps of an eighth of a column. What is not nothing can be seen.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the part is between 0 and 1, and a bar has few columns"
)]
pub(super) fn bar(part: f64, columns: usize) -> String {
    const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    if part.is_nan() || part <= 0.0 {
        return String::new();
    }
    let eighths = ((part.min(1.0) * columns as f64 * 8.0).round() as usize).max(1);
    let mut bar = "█".repeat(eighths / 8);
    if let Some(rest) = (eighths % 8).checked_sub(1) {
        bar.push(EIGHTHS[rest]);
    }
    bar
}

/// A size on ten columns: MiB, GiB or TiB with two decimals, so that figures below each other can be compared.
/// The same as [`ByteSize`]'s own form but for sizes that are no whole MiB, and for those from 1000 to 1024.
pub(super) fn size(bytes: u64) -> String {
    signed_size(i128::from(bytes))
}

/// The same for a difference.
#[expect(clippy::cast_precision_loss, reason = "two decimals for people")]
pub(super) fn signed_size(bytes: i128) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    let mut value = bytes as f64 / MIB;
    let mut unit = "MiB";
    for larger in ["GiB", "TiB"] {
        // What would take four digits is less than one of the next unit.
        if value.abs() < 999.995 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    // There is no negative zero.
    let value = if value.abs() < 0.005 { 0.0 } else { value };
    format!("{value:.2} {unit}")
}

/// A part in whole percent.
pub(super) fn percent(part: f64) -> String {
    let percent = (part * 100.0).round();
    match part {
        part if !part.is_finite() => String::new(),
        part if percent == 0.0 && part > 0.0 => "<1 %".to_owned(),
        _ if percent == 0.0 => "0 %".to_owned(),
        _ => format!("{percent:.0} %"),
    }
}

/// A share of a whole as a fraction; absent when there is no whole.
#[expect(clippy::cast_precision_loss, reason = "a share for people")]
pub(super) fn share(part: i128, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A time or duration: seconds below a minute, then minutes and seconds, then hours and minutes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is checked to be positive and in range before the cast"
)]
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        // A century: no build takes that long, but a result may say anything.
        s if !s.is_finite() || !(-3.2e9..3.2e9).contains(&s) => "unknown".to_owned(),
        s if s < 59.995 => format!("{s:.2} s"),
        s if s < 3599.5 => {
            let whole = s.round() as u64;
            format!("{}m {:02}s", whole / 60, whole % 60)
        }
        s => {
            let minutes = (s / 60.0).round() as u64;
            format!("{}h {:02}m", minutes / 60, minutes % 60)
        }
    }
}

/// `1 process`, `2 processes`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// How [`ByteSize`]s are shown here.
pub(super) fn byte_size(size: ByteSize) -> String {
    self::size(size.bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_command_loses_folders_first_then_what_says_least() {
        let nx = "/usr/bin/node /app/node_modules/nx/bin/nx.js build";
        let asc = "/usr/bin/node --enable-source-maps /app/.bin/asc --target release";
        let cc = "cc -I/usr/include/glib-2.0 --out=/a/b/c.o -c src/lib/x.c";
        let cc1 = "/usr/lib/gcc/14/cc1 -quiet -I . -imultiarch x86_64-linux-gnu lapi.c -o /tmp/x.s";
        let cases = [
            ("make -j8", 20, "make -j8"),
            (nx, 50, nx),
            (nx, 44, "node /app/node_modules/nx/bin/nx.js build"),
            (nx, 40, "node …/node_modules/nx/bin/nx.js build"),
            (nx, 20, "node …/nx.js build"),
            (nx, 12, "node …/nx.j…"),
            (asc, 40, "node --enable-source-maps …/asc …"),
            (cc, 46, "cc -I…/include/glib-2.0 --out=…/b/c.o -c …/x.c"),
            (cc1, 40, "cc1 -quiet -I . -imultiarch … lapi.c …"),
            (
                "ar cr libsed.a one.o two.o three.o four.o five.o six.o",
                30,
                "ar cr libsed.a …ive.o six.o",
            ),
            ("echo 'one long argument'", 12, "echo 'one l…"),
            ("/", 0, ""),
        ];
        for (command, columns, expected) in cases {
            assert_eq!(shorten_command(command, columns), expected, "on {columns}");
        }
    }

    #[test]
    fn sizes_take_at_most_ten_columns() {
        let shown = [0, 1, 6000, 1 << 20, 1023 << 20, 1 << 30, 999 << 30, 1 << 40].map(size);
        let expected = [
            "0.00 MiB",
            "0.00 MiB",
            "0.01 MiB",
            "1.00 MiB",
            "1.00 GiB",
            "1.00 GiB",
            "999.00 GiB",
            "1.00 TiB",
        ];
        assert_eq!(shown, expected);
        assert_eq!(signed_size(-61 << 20), "-61.00 MiB");
        assert_eq!(signed_size(-1), "0.00 MiB");
    }

    #[test]
    fn times_are_as_exact_as_they_are_short() {
        let shown = [0.004, 59.99, 59.996, 3599.4, 3599.5, 7260.0, -1.0, f64::NAN].map(seconds);
        let expected = [
            "0.00 s", "59.99 s", "1m 00s", "59m 59s", "1h 00m", "2h 01m", "-1.00 s", "unknown",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn parts_are_shown_in_whole_percent() {
        let shown = [0.0, 0.001, 0.994, 1.0, 3.55, -0.08, f64::NAN].map(percent);
        assert_eq!(shown, ["0 %", "<1 %", "99 %", "100 %", "355 %", "-8 %", ""]);
    }

    #[test]
    fn a_bar_grows_by_eighths_and_never_beyond_its_column() {
        let shown = [0.0, 1e-9, 0.5, 0.55, 1.0, 7.0, -1.0, f64::NAN].map(|part| bar(part, 4));
        assert_eq!(shown, ["", "▏", "██", "██▎", "████", "████", "", ""]);
    }

    proptest! {
        #[test]
        fn a_shortened_command_fits(
            command in "[a/ …漢e\u{301}\n'=-]{0,40}(\\.c|\\.js)?[ a/-]{0,40}",
            columns in 0..60_usize,
        ) {
            prop_assert!(width(&shorten_command(&command, columns)) <= columns);
        }
    }
}
