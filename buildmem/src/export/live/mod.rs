//! The screen of `run --tui`: a function from what is shown of a build, what the user has chosen and the build's own
//! output to the cells of a terminal, of whatever size.
//!
//! Whatever is shown here comes from outside, and no cell gets what a terminal would obey.

mod areas;
mod canvas;
mod chart;
mod keys;
mod output;
mod tables;

use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::Rect;
use vt100::Screen;

pub use areas::{Areas, areas};
pub use keys::{Key, Keys};
pub use output::last_lines;

use self::canvas::{Canvas, Styles, clock};
use super::layout::{byte_size, count, percent};
use super::text::Palette;
use crate::live::{LiveView, SortOrder};
use crate::units::ByteSize;

/// How far the output goes on with one key.
const PAGE: usize = 10;

/// What does not change while a build runs.
#[derive(Clone, Debug)]
pub struct Titles {
    /// The run's name.
    pub label: Arc<str>,
    /// What is run, quoted for people.
    pub command: Arc<str>,
}

/// What the user has chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// The order of the processes.
    pub order: SortOrder,
    /// So many of them are scrolled over.
    pub first: usize,
    /// So many lines of output are below the pane.
    pub back: usize,
    /// The output has the whole screen.
    pub zoomed: bool,
    /// The help is shown.
    pub help: bool,
    /// The build was asked to end.
    pub interrupted: bool,
}

impl Choices {
    /// Takes in a key; true where the build is to be interrupted by it.
    pub fn press(&mut self, key: Key) -> bool {
        match key {
            Key::Char('q') => {
                self.interrupted = true;
                return true;
            }
            Key::Char('?' | 'h') => self.help = !self.help,
            Key::Escape if self.help => self.help = false,
            Key::Char('o') => self.zoomed = !self.zoomed,
            Key::Escape => self.zoomed = false,
            Key::Char('p' | '>') | Key::Right => self.order_by(1),
            Key::Char('<') | Key::Left => self.order_by(SortOrder::ALL.len() - 1),
            Key::Down | Key::Char('j') => self.first = self.first.saturating_add(1),
            Key::Up | Key::Char('k') => self.first = self.first.saturating_sub(1),
            Key::Home => self.first = 0,
            Key::PageUp => self.back = self.back.saturating_add(PAGE),
            Key::PageDown => self.back = self.back.saturating_sub(PAGE),
            Key::End => self.back = 0,
            Key::Char(_) | Key::Suspend => {}
        }
        false
    }

    /// The order so many columns to the right.
    fn order_by(&mut self, steps: usize) {
        let all = SortOrder::ALL;
        let at = all.iter().position(|order| *order == self.order);
        self.order = all[(at.unwrap_or(0) + steps) % all.len()];
        self.first = 0;
    }

    /// Keeps them where there is something: no more processes and lines of output than there are.
    pub fn clamp(&mut self, processes: usize, scrollback: usize) {
        self.first = self.first.min(processes.saturating_sub(1));
        self.back = self.back.min(scrollback);
    }
}

/// Draws the screen. `output` is the build's own, in the size of [`Areas::output`].
pub fn draw(
    view: &LiveView,
    titles: &Titles,
    choices: &Choices,
    palette: &Palette,
    output: &Screen,
    frame: &mut Frame<'_>,
) {
    let areas = areas(frame.area(), choices.zoomed);
    let styles = Styles::of(palette);
    let mut canvas = Canvas::new(frame.buffer_mut(), &styles);
    header(&mut canvas, areas.header, view, titles);
    if let Some(area) = areas.chart {
        chart::draw(&mut canvas, area, view);
    }
    if let Some(area) = areas.tables {
        tables::draw(&mut canvas, area, view, choices);
    }
    if let Some(area) = areas.output_title {
        output_title(&mut canvas, area, choices);
    }
    output::draw(output, areas.output, canvas.buffer());
    if let Some(area) = areas.footer {
        footer(&mut canvas, area, view, choices);
    }
    if choices.help {
        help(&mut canvas, frame_area(&areas));
    }
}

/// All that the areas cover.
fn frame_area(areas: &Areas) -> Rect {
    let all = areas.header.union(areas.output);
    areas.footer.map_or(all, |footer| all.union(footer))
}

/// What is run, and the figures; on one line the figures alone.
fn header(canvas: &mut Canvas<'_>, area: Rect, view: &LiveView, titles: &Titles) {
    let [first, second] = [0, 1].map(|row| canvas::row(area, row));
    let figures = match (first, second) {
        (Some(first), Some(second)) => {
            title(canvas, first, view, titles);
            second
        }
        (Some(only), None) => only,
        (None, _) => return,
    };
    let styles = canvas.styles();
    let mut parts = Vec::new();
    if second.is_none() {
        parts.push((styles.plain, clock(view.elapsed)));
    }
    parts.extend(headline(canvas, view));
    canvas.parts(figures, &parts);
}

fn title(canvas: &mut Canvas<'_>, area: Rect, view: &LiveView, titles: &Titles) {
    let Titles { label, command } = titles;
    let styles = canvas.styles();
    let (elapsed, ended) = (clock(view.elapsed), view.facts.ended);
    let right = if ended {
        format!("{label}  {elapsed}  ended: writing the result")
    } else {
        format!("{label}  {elapsed}")
    };
    let left = canvas.right(area, styles.faint, &right);
    let mark = canvas.text(left, styles.title, "build-mem ");
    canvas.command(mark, styles.plain, command);
}

/// The figures of the build, what matters least last.
fn headline(canvas: &Canvas<'_>, view: &LiveView) -> Vec<(ratatui::style::Style, String)> {
    let styles = canvas.styles();
    let LiveView {
        usage,
        pss,
        peak,
        live,
        forks,
        oom_kills,
        escaped,
        facts,
        ..
    } = view;
    let mut parts = Vec::new();
    match usage {
        Some(usage) => parts.push((styles.plain, format!("now {}", byte_size(*usage)))),
        None => parts.push((styles.plain, format!("now {} PSS", byte_size(*pss)))),
    }
    let highest = facts.headline.max(peak.map(|(size, _)| size));
    let over = |bound: ByteSize| highest.is_some_and(|highest| highest > bound);
    if let Some(highest) = highest {
        let what = match facts.headline {
            Some(_) => "peak",
            None => "peak at least",
        };
        let at = peak.map_or_else(String::new, |(_, at)| format!(" at {}", clock(at)));
        parts.push((styles.figure, format!("{what} {}{at}", byte_size(highest))));
    }
    if *oom_kills > 0 {
        parts.push((styles.bad, format!("{oom_kills} killed for want of memory")));
    }
    if let Some(budget) = facts.budget {
        let (style, word) = if over(budget) {
            (styles.bad, "over the budget of")
        } else {
            (styles.plain, "budget")
        };
        parts.push((style, format!("{word} {}", byte_size(budget))));
    }
    if let Some(limit) = facts.limit {
        let share = highest.map_or(0.0, |highest| highest.share_of(limit));
        let style = if share > 0.9 {
            styles.warning
        } else {
            styles.plain
        };
        let share = percent(share);
        parts.push((style, format!("limit {} ({share})", byte_size(limit))));
    }
    if *escaped > 0 {
        parts.push((styles.warning, format!("{escaped} left the cgroup")));
    }
    parts.push((
        styles.faint,
        format!("{} of {forks}", count(*live, "process", "processes")),
    ));
    parts
}

fn output_title(canvas: &mut Canvas<'_>, area: Rect, choices: &Choices) {
    let right = if choices.back > 0 {
        format!("{} lines back, End follows", choices.back)
    } else {
        String::new()
    };
    canvas.rule(area, "output", &right);
}

/// What the measurement costs, and keys as far as there is place beside it.
fn footer(canvas: &mut Canvas<'_>, area: Rect, view: &LiveView, choices: &Choices) {
    let styles = canvas.styles();
    let cost = view.facts.cost;
    let share = format!("{:.1} % of a core", cost.cpu_share * 100.0);
    let samples = count(cost.samples, "sample", "samples");
    let costs = [
        format!(
            "build-mem {share}, {samples} ({} by growth), {} put off",
            cost.triggered, cost.put_off
        ),
        format!("{share}, {samples}, {} put off", cost.put_off),
        format!("{share}, {} put off", cost.put_off),
        share,
    ];
    let keys: &[(&str, &str)] = if choices.interrupted {
        &[("q", "interrupt again"), ("?", "help")]
    } else {
        &[
            ("q", "interrupt"),
            ("?", "help"),
            ("↑↓", "processes"),
            ("←→", "order"),
            ("PgUp", "output"),
            ("o", "zoom"),
        ]
    };
    // The keys that anyone needs, and on wider screens more of them.
    let width = usize::from(area.width);
    let place = width.saturating_sub((width * 9 / 20).max(22));
    let fitting = costs.iter().find(|cost| cost.chars().count() <= place);
    let left = match fitting {
        Some(cost) => canvas.right(area, styles.faint, cost),
        None => area,
    };
    let mut rest = left;
    for (key, what) in keys {
        let wide = key.chars().count() + what.chars().count() + 3;
        if usize::from(rest.width) < wide {
            break;
        }
        rest = canvas.text(rest, styles.title, key);
        rest = canvas.text(rest, styles.faint, &format!(" {what}  "));
    }
}

/// What the keys do and what is shown.
const HELP: [(&str, &str); 14] = [
    (
        "q, Ctrl-C",
        "interrupt the build, as Ctrl-C does without this screen;",
    ),
    ("", "the screen ends with the build"),
    ("Ctrl-\\", "quit it; Ctrl-Z stops it until `fg`"),
    ("← → p", "the processes' order: pid, PSS, RSS, age"),
    ("↑ ↓ Home", "scroll the processes"),
    ("PgUp PgDn End", "scroll the build's output"),
    ("o", "the output on the whole screen, and back"),
    ("? Esc", "this help, and back"),
    ("", ""),
    ("colours", "PSS of the processes by stage, stacked"),
    (
        "grey above",
        "what the cgroup holds besides: page cache, kernel memory",
    ),
    (
        "peak",
        "of the cgroup, as the kernel keeps it; the time is of a sample",
    ),
    ("put off", "samples that would have cost too much"),
    ("output", "the log of the run has all of it"),
];

fn help(canvas: &mut Canvas<'_>, screen: Rect) {
    let width = 78.min(screen.width);
    let wanted = u16::try_from(HELP.len() + 2).unwrap_or(u16::MAX);
    let height = wanted.min(screen.height);
    let area = Rect {
        x: screen.x + (screen.width - width) / 2,
        y: screen.y + (screen.height - height) / 2,
        width,
        height,
    };
    canvas.clear(area);
    if let Some(top) = canvas::row(area, 0) {
        canvas.rule(top, "keys", "");
    }
    if let Some(bottom) = canvas::row(area, height.saturating_sub(1)) {
        canvas.rule(bottom, "", "");
    }
    let styles = canvas.styles();
    for (row, (key, what)) in (1..height.saturating_sub(1)).zip(HELP) {
        let Some(line) = canvas::row(area, row) else {
            break;
        };
        let [keys, text] = canvas::split(line, 16);
        canvas.text(keys, styles.title, &format!(" {key}"));
        canvas.text(text, styles.plain, what);
    }
}

#[cfg(test)]
mod tests;
