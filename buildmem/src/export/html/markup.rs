//! What the page is made of: text that stays text, and tables. Everything that comes from outside goes through here.

use std::fmt;
use std::io::{self, Write};

use crate::export::layout::{percent, size, visible};

/// A text in the page, in an element or in a quoted attribute. What is not to be seen is escaped first.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in visible(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // No character of a page; a recording of a process may have any.
                '\u{fffe}' | '\u{ffff}' => f.write_str("\u{fffd}")?,
                c => fmt::Write::write_char(f, c)?,
            }
        }
        Ok(())
    }
}

/// A part of a whole as it can be drawn, whatever a result says.
pub(super) const fn within(part: f64) -> f64 {
    if part.is_nan() {
        0.0
    } else {
        part.clamp(0.0, 1.0)
    }
}

/// JSON as it can stand in a `<script>`: nothing in it ends or begins an element or a comment.
pub(super) fn embedded(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // All of them can only be within strings.
            '<' => text.push_str("\\u003c"),
            '>' => text.push_str("\\u003e"),
            '&' => text.push_str("\\u0026"),
            '\u{2028}' => text.push_str("\\u2028"),
            '\u{2029}' => text.push_str("\\u2029"),
            c => text.push(c),
        }
    }
    text
}

/// A table with its caption.
pub(super) struct Table<'a> {
    pub(super) caption: &'a str,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A column's title and form.
#[derive(Clone, Copy)]
pub(super) struct Column {
    title: &'static str,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Words,
    Figure,
    Bar,
}

/// What stands in a cell.
pub(super) enum Cell {
    /// What the row is about.
    Head(String),
    /// What the row is about, with the colour of a stage.
    Stage(String, String),
    /// Words, or a figure.
    Plain(String),
    /// A command line, or another text of a machine.
    Code(String),
    /// A good or a bad end, in a word.
    Outcome(bool, String),
    /// A part of a whole, drawn in the colour of this class.
    Bar(String, f64),
    /// From when to when, both as parts of a whole.
    Span(String, f64, f64),
}

impl Column {
    pub(super) const fn words(title: &'static str) -> Self {
        let form = Form::Words;
        Self { title, form }
    }

    pub(super) const fn figure(title: &'static str) -> Self {
        let form = Form::Figure;
        Self { title, form }
    }

    pub(super) const fn bar(title: &'static str) -> Self {
        let form = Form::Bar;
        Self { title, form }
    }

    const fn class(self) -> &'static str {
        match self.form {
            Form::Words => "",
            Form::Figure => " class=\"n\"",
            Form::Bar => " class=\"b\"",
        }
    }
}

impl Cell {
    /// A size, or that it is not known.
    pub(super) fn size(bytes: Option<u64>) -> Self {
        Self::Plain(bytes.map_or("unknown".to_owned(), size))
    }

    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::Plain(text.into())
    }
}

impl Table<'_> {
    /// Writes the table; one without rows is left out.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Table {
            caption,
            columns,
            rows,
        } = self;
        if rows.is_empty() {
            return Ok(());
        }
        // Wide tables scroll by themselves, by keyboard as well.
        write!(
            out,
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table><caption>{}</caption><thead><tr>",
            Text(caption),
            Text(caption)
        )?;
        for column in columns {
            let (class, title) = (column.class(), Text(column.title));
            write!(out, "<th scope=\"col\"{class}>{title}</th>")?;
        }
        write!(out, "</tr></thead><tbody>")?;
        for row in rows {
            write!(out, "<tr>")?;
            for (cell, column) in row.iter().zip(columns) {
                cell.write(column.class(), out)?;
            }
            write!(out, "</tr>")?;
        }
        writeln!(out, "</tbody></table></div>")
    }
}

impl Cell {
    fn write(&self, class: &str, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Head(text) => write!(out, "<th scope=\"row\">{}</th>", Text(text)),
            Self::Stage(color, text) => write!(
                out,
                "<th scope=\"row\"><i class=\"dot {color}\"></i>{}</th>",
                Text(text)
            ),
            Self::Plain(text) => write!(out, "<td{class}>{}</td>", Text(text)),
            Self::Code(text) => write!(out, "<td><code>{}</code></td>", Text(text)),
            Self::Outcome(good, text) => {
                let (class, mark) = if *good {
                    ("good", "✓")
                } else {
                    ("bad", "✗")
                };
                write!(out, "<td class=\"{class}\">{mark} {}</td>", Text(text))
            }
            Self::Bar(color, part) => {
                let part = within(*part);
                let percents = percent(part);
                // It may be `<1 %`.
                let percents = Text(&percents);
                write!(
                    out,
                    "<td class=\"b\"><svg class=\"bar {color}\" aria-hidden=\"true\"><rect width=\"{:.1}%\" height=\"100%\"/></svg><span>{percents}</span></td>",
                    part * 100.0
                )
            }
            Self::Span(color, from, to) => {
                let from = within(*from);
                let width = (within(*to) - from).max(0.005);
                write!(
                    out,
                    "<td class=\"b\"><svg class=\"bar span {color}\" aria-hidden=\"true\"><rect x=\"{:.1}%\" width=\"{:.1}%\" height=\"100%\"/></svg></td>",
                    from * 100.0,
                    width * 100.0
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_markup() {
        let text = Text("</td><script>a & \"b\" 'c'\u{0}\u{2028}\u{202e}").to_string();
        assert_eq!(
            text,
            "&lt;/td&gt;&lt;script&gt;a &amp; &quot;b&quot; &#39;c&#39;\\u{0}\\u{2028}\\u{202e}"
        );
    }

    #[test]
    fn embedded_json_is_the_same_json_and_ends_no_script() {
        let value = serde_json::json!({ "a": "</script><!--<script> & \u{2028}\u{2029}" });
        let text = embedded(&value.to_string());
        assert!(!text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']));
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, value);
    }
}
