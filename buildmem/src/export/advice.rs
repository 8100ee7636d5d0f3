//! How many parallel jobs fit, for people and for programs.

use std::io::{self, Write};

use anstyle::Style;

use super::layout::{Line, count, shorten_command, size, visible};
use super::text::{Palette, wrapped};
use crate::advise::{Advice, Answer, Fit, Largest, Line as Paste, NodeHeap, PoolAdvice};
use crate::command_line::CommandLine;

/// Narrower than that it is cut.
const NARROWEST: usize = 40;

/// Width of the names of figures.
const NAMES: usize = 14;

/// Width of a size.
const SIZES: usize = 10;

/// Writes the advice as JSON.
pub fn write_json(advice: &Advice, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, advice)?;
    out.write_all(b"\n")
}

/// Writes the advice for people, at most `width` columns wide but for the lines to paste, which are whole.
pub fn write(
    advice: &Advice,
    palette: &Palette,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Advice {
        schema: _,
        label,
        command,
        memory_bytes,
        answer,
        recorded_bytes,
        pools,
        largest,
        node,
        assumptions,
    } = advice;
    let mut page = Page {
        palette: *palette,
        width: width.max(NARROWEST),
        lines: Vec::new(),
    };
    page.title(label, command);
    page.answer(*answer, *memory_bytes, *recorded_bytes, pools);
    if let Some(recorded) = recorded_bytes {
        page.figure(
            "The run held",
            *recorded,
            "without page cache, at its highest sample",
        );
    }
    if let Some(Largest {
        command,
        stage: _,
        peak_rss_bytes,
    }) = largest
    {
        page.figure(
            "Largest",
            *peak_rss_bytes,
            &format!("peak RSS of {}", short(command)),
        );
    }
    for pool in pools {
        page.pool(pool, *memory_bytes);
    }
    if let Some(node) = node {
        page.node(node);
    }
    page.heading("What this rests on");
    for assumption in assumptions {
        page.prose("·", assumption);
    }
    for Shown { line, whole } in &page.lines {
        line.write(if *whole { usize::MAX } else { page.width }, out)?;
    }
    Ok(())
}

/// A command as a part of a sentence.
fn short(command: &str) -> String {
    const LONGEST: usize = 48;
    shorten_command(command, LONGEST)
}

struct Page {
    palette: Palette,
    width: usize,
    lines: Vec<Shown>,
}

struct Shown {
    line: Line,
    /// It is to be copied: nothing of it is cut.
    whole: bool,
}

impl Page {
    fn push(&mut self, line: Line) {
        self.lines.push(Shown { line, whole: false });
    }

    fn title(&mut self, label: &str, command: &[String]) {
        let Palette { title, faint, .. } = self.palette;
        let command = CommandLine::from_args(command.iter().map(String::as_str)).display();
        let from = format!("from {label}");
        let place = self
            .width
            .saturating_sub(visible(&from).chars().count() + 3);
        let mut line = Line::default().text(title, &shorten_command(&command, place));
        line.push(Style::new(), "   ");
        line.push(faint, &from);
        self.push(line);
        self.push(Line::default());
    }

    fn heading(&mut self, text: &str) {
        self.push(Line::default());
        self.push(Line::default().text(self.palette.title, text));
    }

    fn answer(&mut self, answer: Answer, memory: u64, recorded: Option<u64>, pools: &[PoolAdvice]) {
        let Palette {
            good, bad, warning, ..
        } = self.palette;
        let held = recorded.is_some_and(|recorded| recorded <= memory);
        let (style, text) = match answer {
            Answer::Fits if pools.is_empty() => (good, "fits, as it was run"),
            Answer::Fits => (
                good,
                "fits with as many jobs at once as there were, even in the worst case",
            ),
            Answer::FitsWithFewerJobs if held => (
                warning,
                "fits with fewer jobs at once. What the run held fits, too, but not the worst case with as many",
            ),
            Answer::FitsWithFewerJobs => (warning, "fits with fewer jobs at once than there were"),
            Answer::Tight => (
                warning,
                "is tight: what the run held fits, but not if its parts are at their highest together, and fewer \
                 jobs do not change that",
            ),
            Answer::TooLarge if pools.is_empty() => (
                bad,
                "is too little: the run held more, and had no jobs side by side that could be fewer",
            ),
            Answer::TooLarge => (
                bad,
                "is too little: the run held more, and fewer jobs do not change that",
            ),
            Answer::Unknown => (warning, "cannot be judged: the recording has no sample"),
        };
        self.told(&format!("  {}  ", size(memory)), style, text);
    }

    /// A line that begins so, with text that is wrapped beside it.
    fn told(&mut self, first: &str, style: Style, text: &str) {
        let line = Line::default().text(self.palette.title, first);
        self.beside(line, style, text);
    }

    fn figure(&mut self, name: &str, bytes: u64, text: &str) {
        let mut line = Line::default().text(Style::new(), "  ");
        line.push(Style::new(), name);
        let figure = size(bytes);
        line.fill(2 + NAMES + SIZES.saturating_sub(figure.chars().count()));
        line.push(self.palette.figure, &figure);
        line.push(Style::new(), "  ");
        self.beside(line, Style::new(), text);
    }

    fn prose(&mut self, mark: &str, text: &str) {
        let line = Line::default().text(self.palette.faint, &format!("  {mark} "));
        self.beside(line, Style::new(), text);
    }

    fn pool(&mut self, pool: &PoolAdvice, memory: u64) {
        let PoolAdvice {
            tool,
            jobs,
            peak_concurrency,
            beside_bytes,
            others_bytes,
            largest_bytes,
            largest_class,
            typical_bytes,
            worst,
            typical,
            recorded_worst_bytes,
            lines,
        } = pool;
        self.heading(&format!(
            "{}: {}, up to {peak_concurrency} at once",
            tool.word(),
            count(*jobs, "job", "jobs")
        ));
        let largest = match largest_class {
            Some(class) => format!("the largest job, most of it `{class}`"),
            None => "the largest job".to_owned(),
        };
        self.figure("One job", *largest_bytes, &largest);
        self.figure("", *typical_bytes, "a typical one");
        self.figure(
            "Beside them",
            *beside_bytes,
            "the rest of the build while they ran",
        );
        if others_bytes > beside_bytes {
            self.figure("", *others_bytes, "the rest of the build at another time");
        }
        self.figure(
            "Worst case",
            *recorded_worst_bytes,
            &format!("with {peak_concurrency} at once as in the run, and those the largest"),
        );
        if *others_bytes > memory {
            let text = "any number is too much: the rest of the build alone does not fit";
            self.named("At most", self.palette.bad, text);
        } else {
            self.fit("At most", *worst, *jobs, "in the worst case", memory);
            if typical.jobs > worst.jobs {
                let case = "in a typical case, the largest beside typical ones";
                self.fit("", *typical, *jobs, case, memory);
            }
        }
        self.paste(lines);
    }

    fn fit(&mut self, name: &str, fit: Fit, all: u64, case: &str, memory: u64) {
        let Fit { jobs, needs_bytes } = fit;
        let needs = size(needs_bytes);
        let (style, text) = match jobs {
            0 => (
                self.palette.bad,
                format!("not even one at a time fits {case}: that needs {needs}"),
            ),
            jobs if jobs == all => (
                self.palette.good,
                format!("all {jobs} at once fit {case}: that needs {needs}"),
            ),
            1 => (
                self.palette.figure,
                format!(
                    "one at a time fits {case}: that needs {needs} of {}",
                    size(memory)
                ),
            ),
            jobs => (
                self.palette.figure,
                format!(
                    "{jobs} at once fit {case}: that needs {needs} of {}",
                    size(memory)
                ),
            ),
        };
        self.named(name, style, &text);
    }

    /// Text under a name.
    fn named(&mut self, name: &str, style: Style, text: &str) {
        let mut line = Line::default().text(Style::new(), "  ");
        line.push(Style::new(), name);
        line.fill(2 + NAMES);
        self.beside(line, style, text);
    }

    /// The rest of a line, wrapped where it is too long.
    fn beside(&mut self, mut line: Line, style: Style, text: &str) {
        let indent = line.columns();
        for part in wrapped(&visible(text), self.width.saturating_sub(indent)) {
            line.fill(indent);
            line.push(style, &part);
            self.push(std::mem::take(&mut line));
        }
    }

    /// Lines of which nothing is cut.
    fn paste(&mut self, lines: &[Paste]) {
        for Paste { place, text } in lines {
            self.push(Line::default().text(self.palette.faint, &format!("  {place}:")));
            for part in text.lines() {
                let line = Line::default()
                    .text(Style::new(), "    ")
                    .text(self.palette.title, part);
                self.lines.push(Shown { line, whole: true });
            }
        }
    }

    fn node(&mut self, node: &NodeHeap) {
        let NodeHeap {
            cap_mib: _,
            others_bytes,
            lines,
        } = node;
        self.heading("The heap of the largest process");
        self.prose(
            " ",
            "Node.js decides by the host's memory how far its heap may grow. Three quarters of what the rest of the \
             build leaves is a bound that leaves room for what is not in the heap: buffers, addons, threads and code. \
             Each node process may grow so far, and one that needs more fails instead of the build being killed. \
             Where the build sets NODE_OPTIONS itself, it belongs there.",
        );
        self.figure("The rest", *others_bytes, "at the peak, without page cache");
        self.paste(lines);
    }
}
