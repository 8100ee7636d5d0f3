//! The summary for people: what the peak was, of what it consisted, which stage and which processes held it;
//! then everything that a reader must know to trust it.
//!
//! All sections share their first two columns, a name and a size, so that one look down the page compares
//! everything that has a size. Whatever is printed here comes from outside (command lines, stage names, paths)
//! and goes through `layout`, which lets no control character pass and no line grow too wide.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Color, Style};

use super::layout::{
    Cell, Column, Line, NAME_AT_MOST, Table, byte_size, count, cut_end, percent, seconds, share,
    signed_size, size, visible, width as width_of,
};
use crate::command_line::CommandLine;
use crate::event::{Note, VerifyCheck};
use crate::report::{
    Budget, Composition, Escaped, Exit, Headline, Host, JobPool, LeftRunning, Oom, OomVictim,
    PartBudget, Peak, Pressure, ProcessAtPeak, ProcessClass, Processes, Profiler, Report, Stage,
    StageAtPeak, TopProcess, Verdict, WithoutCache,
};
use crate::units::ByteSize;

/// Processes that are listed at the peak.
pub(super) const AT_PEAK: usize = 8;

/// Processes that are listed by their own peak.
const LARGEST: usize = 5;

/// Of process classes, so many are listed.
const CLASSES: usize = 6;

/// A class is listed if the largest process of it has this part of the largest of all.
const CLASS_WORTH_A_LINE: u64 = 50;

/// A table of these would hide the rest; all of them are in the result.
const OTHERS: usize = 5;

/// Columns of the status line, for a terminal of 80 of which the last stays free.
const STATUS: usize = 79;

/// What a page cannot be narrower than: below it, lines are cut.
const NARROWEST: usize = 20;

/// The styles of the summary.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    pub(super) title: Style,
    pub(super) figure: Style,
    pub(super) faint: Style,
    pub(super) good: Style,
    pub(super) bad: Style,
    pub(super) warning: Style,
    /// One a stage, in turn. None of them means good or bad.
    pub(super) stages: [Style; 6],
}

impl Palette {
    /// Without colours.
    pub const fn plain() -> Self {
        Self {
            title: Style::new(),
            figure: Style::new(),
            faint: Style::new(),
            good: Style::new(),
            bad: Style::new(),
            warning: Style::new(),
            stages: [Style::new(); 6],
        }
    }

    /// Whether there are colours.
    pub const fn has_colors(&self) -> bool {
        self.stages[0].get_fg_color().is_some()
    }

    /// With colours.
    pub const fn colored() -> Self {
        Self {
            title: Style::new().bold(),
            figure: in_color(AnsiColor::Cyan).bold(),
            faint: Style::new().dimmed(),
            good: in_color(AnsiColor::Green).bold(),
            bad: in_color(AnsiColor::Red).bold(),
            warning: in_color(AnsiColor::Yellow),
            stages: [
                in_color(AnsiColor::Cyan),
                in_color(AnsiColor::Magenta),
                in_color(AnsiColor::BrightBlue),
                in_color(AnsiColor::BrightMagenta),
                in_color(AnsiColor::BrightCyan),
                // Dark on many terminals, so last.
                in_color(AnsiColor::Blue),
            ],
        }
    }
}

const fn in_color(color: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(color)))
}

/// What the live status line shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What is going on, such as `build-mem`.
    pub title: String,
    /// The stage of highest precedence that has a live process.
    pub stage: Option<String>,
    /// The cgroup's usage now; absent where it cannot be read.
    pub now: Option<ByteSize>,
    /// The highest so far.
    pub peak: Option<ByteSize>,
    /// Live processes.
    pub processes: u64,
    /// Time since the build's start.
    pub elapsed: Duration,
}

/// The live status line: at most 79 columns, what matters least last. ASCII but for the stage's name: it is
/// redrawn in the middle of other output, where a column that is counted wrongly would leave traces. Without
/// styles, for the same reason.
pub fn status(status: &Status) -> String {
    let Status {
        title,
        stage,
        now,
        peak,
        processes,
        elapsed,
    } = status;
    let seconds = elapsed.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut line = match hours {
        0 => format!("{title} {minutes}:{seconds:02}"),
        hours => format!("{title} {hours}:{minutes:02}:{seconds:02}"),
    };
    let stage = (stage.as_ref()).map(|stage| cut_end(&visible(stage), NAME_AT_MOST, false));
    let now = now.map(|now| format!("{} now", byte_size(now)));
    let peak = peak.map(|peak| format!("{} peak", byte_size(peak)));
    let processes = Some(count(*processes, "process", "processes"));
    for part in [stage, now, peak, processes].into_iter().flatten() {
        if width_of(&line) + 3 + width_of(&part) <= STATUS {
            line.push_str(" | ");
            line.push_str(&part);
        }
    }
    line
}

/// Writes the summary, at most `width` columns wide.
pub fn write(
    report: &Report,
    palette: &Palette,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Report {
        schema: _,
        label,
        started_at,
        duration_s,
        command,
        // Who reads the summary has just run the build, or knows where it was.
        cwd: _,
        verdict,
        exit,
        headline,
        peak,
        stages,
        processes,
        jobs,
        oom,
        pressure,
        budget,
        budgets,
        verify,
        profiler,
        host,
        notes,
    } = report;
    let mut page = Page::new(*palette, width.max(NARROWEST), stages);
    page.title(label, started_at, command);
    let missed = missed_peak(headline, peak.as_ref(), host);
    page.headline(headline, peak.as_ref(), missed, profiler.events_lost);
    page.result(*verdict, *exit, *duration_s, oom, verify);
    if let Some(budget) = budget {
        page.budget(budget);
    }
    page.part_budgets(budgets);
    page.out_of_memory(oom);
    page.pressure(pressure, *duration_s);
    page.composition(peak.as_ref(), missed);
    page.stages(stages, peak.as_ref(), missed);
    page.at_peak(peak.as_ref(), missed);
    page.largest(processes, peak.as_ref());
    page.classes(processes);
    page.jobs(jobs);
    page.left_running(&processes.left_running);
    page.escaped(&headline.escaped);
    page.verified(verify);
    page.notes(notes);
    page.completeness(processes, profiler, host, *duration_s, *verdict);
    page.write(out)
}

/// What is laid out so far, and what all sections share.
struct Page {
    palette: Palette,
    width: usize,
    /// Width of the first column of every section.
    names: usize,
    /// Width of every bar.
    bars: usize,
    /// The stages that have a colour, in the order of their start.
    stages: Vec<String>,
    lines: Vec<Line>,
}

/// A sample with less than this part of the headline is not shown as the peak. The recordings among the fixtures
/// reach 95 % and more; where below that to draw the line is a choice, not a measurement.
const MISSED_BELOW: f64 = 0.85;

/// The command has so much place beside the label at the least, or a line of its own.
const TITLE_AT_LEAST: usize = 24;

/// A remark beside a figure has so much place at the least, or stands below it.
const REMARK_AT_LEAST: usize = 24;

/// The same for the remark beside a part of the peak. It has figures, so the bar goes before it.
const PART_REMARK_AT_LEAST: usize = 16;

/// Width of the second column of every section: a [`size`].
const SIZES: usize = 10;

/// The check of the build's own end, see [`VerifyCheck::path`].
const EXIT_STATUS: &str = "exit status";

/// What processes belong to that are in no stage.
const OTHER: &str = "(other)";

impl Page {
    fn new(palette: Palette, width: usize, stages: &[Stage]) -> Self {
        let longest = stages.iter().map(|stage| width_of(&visible(&stage.name)));
        // At the least the longest name of our own, `unattributed`.
        let names = longest.max().unwrap_or(0).clamp(12, NAME_AT_MOST);
        let by_kernel = if has_kernel_peaks(stages) { 12 } else { 0 };
        // What the table of stages needs beside its bars.
        let beside = names + 64 + by_kernel;
        Self {
            palette,
            width,
            names,
            bars: width.saturating_sub(beside).clamp(8, 24),
            stages: stages
                .iter()
                .map(|stage| stage.name.clone())
                .filter(|name| name != OTHER)
                .collect(),
            lines: Vec::new(),
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for line in &self.lines {
            line.write(self.width, out)?;
        }
        Ok(())
    }

    fn blank(&mut self) {
        self.lines.push(Line::default());
    }

    /// A line of the sort `name  figure  text`, where all sections have their names and sizes.
    fn figure(&mut self, name: &str, style: Style, figure: &str, text_style: Style, text: &str) {
        let mut line = Line::default().text(Style::new(), "  ");
        line.push(Style::new(), name);
        line.fill(2 + self.names + 2 + SIZES.saturating_sub(width_of(figure)));
        line.push(style, figure);
        line.push(Style::new(), "  ");
        self.remark(line, text_style, text);
    }

    /// A line and the text that belongs to it: on the same line, or where that leaves too little place for it, wrapped
    /// below. It may be what keeps the figure from being misread, so nothing of it is cut.
    fn remark(&mut self, mut line: Line, style: Style, text: &str) {
        let text = visible(text);
        let place = self.width.saturating_sub(line.columns());
        if width_of(&text) <= place {
            line.push(style, &text);
            self.lines.push(line);
            return;
        }
        let indent = if place < REMARK_AT_LEAST {
            self.lines.push(line);
            line = Line::default();
            line.fill(4);
            4
        } else {
            line.columns()
        };
        for part in wrapped(&text, self.width.saturating_sub(indent)) {
            line.fill(indent);
            line.push(style, &part);
            self.lines.push(std::mem::take(&mut line));
        }
    }

    fn section(&mut self, title: &str, columns: Vec<Column>, rows: Vec<Vec<Cell>>) {
        let table = Table {
            title: (self.palette.title, title.to_owned()),
            heads: self.palette.faint,
            columns,
            rows,
        };
        self.blank();
        self.lines.extend(table.lines(self.width));
    }

    /// Prose under a title, wrapped: what must be known is not cut.
    fn prose(&mut self, mark: Style, first: &str, text: &str) {
        let indent = 4;
        let parts = wrapped(&visible(text), self.width.saturating_sub(indent));
        for (index, part) in parts.into_iter().enumerate() {
            let mut line = Line::default().text(Style::new(), "  ");
            if index == 0 {
                line.push(mark, first);
            }
            line.fill(indent);
            line.push(Style::new(), &part);
            self.lines.push(line);
        }
    }

    fn stage_style(&self, name: &str) -> Style {
        let styles = &self.palette.stages;
        match self.stages.iter().position(|stage| stage == name) {
            Some(index) => styles[index % styles.len()],
            None => self.palette.faint,
        }
    }

    fn stage_cell(&self, name: &str) -> Cell {
        Cell::Text(self.stage_style(name), name.to_owned())
    }

    /// A row about a process. Where there are no stages, its pid stands in their place.
    fn process_row(&self, stage: &str, pid: u32, middle: Vec<Cell>, command: &str) -> Vec<Cell> {
        let pid = Cell::Text(self.palette.faint, pid.to_string());
        let mut row = middle;
        if self.has_stages() {
            row.insert(0, self.stage_cell(stage));
            row.push(pid);
        } else {
            row.insert(0, pid);
        }
        row.push(if command.is_empty() {
            Cell::Text(self.palette.faint, "unknown".to_owned())
        } else {
            Cell::Command(command.to_owned())
        });
        row
    }

    /// The columns of such rows.
    fn process_columns(&self, middle: Vec<Column>) -> Vec<Column> {
        let mut columns = vec![Column::left("", self.names)];
        columns.extend(middle);
        if self.has_stages() {
            columns.push(Column::right("pid", 0).sparing(1));
        }
        columns.push(Column::left("command", 0));
        columns
    }

    fn has_stages(&self) -> bool {
        !self.stages.is_empty()
    }

    fn size_cell(&self, bytes: Option<u64>) -> Cell {
        match bytes {
            Some(bytes) => Cell::plain(size(bytes)),
            None => Cell::Text(self.palette.faint, "unknown".to_owned()),
        }
    }

    fn title(&mut self, label: &str, started_at: &str, command: &[String]) {
        let Palette { title, faint, .. } = self.palette;
        let command = CommandLine::from_args(command.iter().map(String::as_str)).display();
        let when = format!("{label}, {started_at}");
        let beside = self.width.saturating_sub(width_of(&visible(&when)) + 3);
        let is_crowded = beside < TITLE_AT_LEAST && width_of(&visible(&command)) > beside;
        let place = if is_crowded { self.width } else { beside };
        let mut line =
            Line::default().text(title, &super::layout::shorten_command(&command, place));
        if is_crowded {
            self.lines.push(std::mem::take(&mut line));
        }
        line.fill(self.width.saturating_sub(width_of(&visible(&when))));
        line.push(faint, &when);
        self.lines.push(line);
        self.blank();
    }

    fn headline(
        &mut self,
        headline: &Headline,
        peak: Option<&Peak>,
        missed: Option<f64>,
        events_lost: u64,
    ) {
        let Headline {
            bytes,
            source,
            highest_sampled_bytes,
            without_cache,
            cgroup: _,
            complete,
            saturated,
            limit_bytes,
            escaped,
        } = headline;
        let Palette {
            figure,
            faint,
            warning,
            ..
        } = self.palette;
        let name = "Peak memory";
        let none = Style::new();
        let source = source.as_deref().unwrap_or("source unknown");
        match (bytes, highest_sampled_bytes, peak) {
            (Some(bytes), _, _) => {
                let what = format!("kernel's high-water mark ({source})");
                self.figure(name, figure, &size(*bytes), none, &what);
            }
            (None, Some(sampled), _) => {
                let why = "at least (highest sample; exact peak unknown)";
                self.figure(name, warning, &size(*sampled), warning, why);
            }
            (None, None, Some(peak)) => {
                let why = "at least (highest sampled sum of PSS; no cgroup)";
                self.figure(name, warning, &size(peak.pss_bytes), warning, why);
            }
            (None, None, None) => {
                self.figure(name, warning, "unknown", warning, "nothing was measured");
            }
        }
        // What samples held that are far from the peak says nothing of the peak.
        if let Some(WithoutCache { bytes, .. }) =
            without_cache.as_ref().filter(|_| missed.is_none())
        {
            let what = "without page cache: what a limit has to hold";
            self.figure("", none, &size(*bytes), none, what);
        }
        if *saturated {
            let limit = limit_bytes.map_or("unknown".to_owned(), size);
            let why = "the limit, which was reached: it may need more";
            self.figure("", warning, &limit, warning, why);
        } else if let Some(limit) = limit_bytes {
            self.figure("", Style::new(), &size(*limit), faint, "is the limit");
        }
        if bytes.is_some() && !complete {
            let gone =
                (escaped.iter()).fold(0_u64, |sum, escaped| sum.saturating_add(escaped.processes));
            let why = match (gone, events_lost) {
                (0, 0) => "not known to be complete: what left the cgroup was not seen".to_owned(),
                (0, _) => "not complete: events were lost".to_owned(),
                (gone, _) => format!(
                    "not complete: {} left the cgroup, see below",
                    count(gone, "process", "processes")
                ),
            };
            self.figure("", warning, "", warning, &why);
        }
    }

    fn result(
        &mut self,
        verdict: Verdict,
        exit: Exit,
        duration_s: f64,
        oom: &Oom,
        verify: &[VerifyCheck],
    ) {
        let Palette {
            good, bad, warning, ..
        } = self.palette;
        let (style, word) = match verdict {
            Verdict::Pass => (good, "✓ pass"),
            Verdict::BuildFailed => (bad, "✗ build failed"),
            Verdict::BuildKilled => (bad, "✗ build killed"),
            Verdict::OutOfMemory => (bad, "✗ out of memory"),
            Verdict::OverBudget => (bad, "✗ over budget"),
            Verdict::Interrupted => (warning, "! interrupted"),
            Verdict::VerificationFailed => (bad, "✗ verification failed"),
            Verdict::Incomplete => (warning, "! incomplete"),
        };
        let mut line = Line::default().text(Style::new(), "  Result");
        line.fill(2 + self.names + 2);
        line.push(style, word);
        let Exit { code, signal } = exit;
        let how = match (code, signal) {
            (Some(code), _) => format!(", exit code {code}"),
            (None, Some(signal)) => format!(", ended by {}", signal_name(signal)),
            (None, None) => ", its end was not seen".to_owned(),
        };
        let wrong = verify.iter().filter(|check| !check.ok).count();
        let checks = match verdict {
            Verdict::VerificationFailed if wrong > 0 => {
                format!(", {wrong} of {} checks failed", verify.len())
            }
            Verdict::Pass
            | Verdict::BuildFailed
            | Verdict::BuildKilled
            | Verdict::OutOfMemory
            | Verdict::OverBudget
            | Verdict::Interrupted
            | Verdict::VerificationFailed
            | Verdict::Incomplete => String::new(),
        };
        let text = format!("after {}{how}{checks}", seconds(duration_s));
        line.push(Style::new(), " ");
        self.remark(line, Style::new(), &text);

        // What everybody asks after SIGKILL, of the build's own process or, through a shell, of one that it ran.
        let Oom { kills, victims } = oom;
        let was_killed = signal == Some(9) || code == Some(137);
        if was_killed && *kills == Some(0) && victims.is_empty() {
            let text = "not for want of memory: its cgroup counted no out-of-memory kill";
            self.figure("", Style::new(), "", Style::new(), text);
        }
    }

    /// Whether the build stayed within what it was to stay within.
    fn budget(&mut self, budget: &Budget) {
        let Budget {
            bytes,
            exceeded_by_bytes,
            stage,
        } = budget;
        let Palette {
            good, bad, warning, ..
        } = self.palette;
        let (style, text) = match (exceeded_by_bytes, stage) {
            (Some(0), _) => (good, "is the budget: not exceeded".to_owned()),
            (Some(more), Some(stage)) => (
                bad,
                format!(
                    "is the budget: would exceed by {} in stage {stage}",
                    size(*more)
                ),
            ),
            (Some(more), None) => (
                bad,
                format!("is the budget: would exceed by {}", size(*more)),
            ),
            (None, _) => (warning, "is the budget: not known to be kept".to_owned()),
        };
        self.figure("", Style::new(), &size(*bytes), style, &text);
    }

    /// The budgets of stages and classes: those that were not kept, and that the others were.
    fn part_budgets(&mut self, budgets: &[PartBudget]) {
        let Palette {
            good, bad, warning, ..
        } = self.palette;
        let mut kept = 0;
        for budget in budgets {
            let PartBudget {
                part,
                name,
                bytes,
                measured_bytes: _,
                exceeded_by_bytes,
            } = budget;
            let of = format!("is the budget of {} {name}", part.word());
            let (style, text) = match exceeded_by_bytes {
                Some(0) => {
                    kept += 1;
                    continue;
                }
                Some(more) => (bad, format!("{of}: exceeded by {}", size(*more))),
                None => (warning, format!("{of}: not known to be kept")),
            };
            self.figure("", Style::new(), &size(*bytes), style, &text);
        }
        if kept > 0 {
            let what = count(
                kept,
                "budget of a stage or class",
                "budgets of stages and classes",
            );
            self.figure("", Style::new(), "", good, &format!("{what} not exceeded"));
        }
    }

    /// What the cgroup's memory consisted of. The parts add up to what it held, `unattributed` included.
    fn composition(&mut self, peak: Option<&Peak>, missed: Option<f64>) {
        let Palette {
            title,
            figure,
            faint,
            warning,
            ..
        } = self.palette;
        self.blank();
        let Some(peak) = peak else {
            let text = "No sample was taken: who held the memory is not known.";
            self.prose(warning, "!", text);
            return;
        };
        let Peak {
            at_s,
            cgroup_bytes,
            pss_bytes,
            pss_read_bytes: _,
            rss_bytes: _,
            capture: _,
            composition,
            stages: _,
            processes: _,
        } = peak;
        let held = cgroup_bytes.unwrap_or(*pss_bytes);
        let name = match missed {
            None => "At the peak",
            Some(_) => "Highest sample",
        };
        let mut first = Line::default().text(title, name);
        first.fill(2 + self.names + 2 + SIZES.saturating_sub(width_of(&size(held))));
        first.push(figure, &size(held));
        first.push(Style::new(), "  ");
        let when = match missed {
            None => format!("in the highest sample, {} after the start", seconds(*at_s)),
            Some(_) => format!("{} after the start", seconds(*at_s)),
        };
        self.remark(first, faint, &when);
        if let Some(part) = missed {
            let text = format!(
                "The peak fell between two samples: the highest has only {} of it. Who held the rest is not known.",
                percent(part)
            );
            self.prose(warning, "!", &text);
        }

        let mut rows = Vec::new();
        if let (Some(held), Some(composition)) = (cgroup_bytes, composition) {
            let Composition {
                anon,
                file_mapped,
                file_unmapped,
                shmem,
                kernel,
                charged_elsewhere,
                unattributed,
            } = *composition;
            let elsewhere = -i128::from(charged_elsewhere);
            let others = i128::from(file_unmapped)
                + i128::from(shmem)
                + i128::from(kernel.unwrap_or(0))
                + elsewhere
                + i128::from(unattributed);
            // As attribution has it: the processes' PSS without the shared memory in it, which has its own line.
            let of_processes = i128::from(*held) - others;
            // Processes may have more mapped than the cgroup is charged for; the longest bar is the largest part.
            let scale = of_processes.max(i128::from(*held));
            let part = |name: &str, bytes: i128, style: Style, remark: String| {
                let of_held = share(bytes, *held).unwrap_or(0.0);
                let length = u64::try_from(scale)
                    .ok()
                    .and_then(|scale| share(bytes, scale));
                vec![
                    Cell::plain(name),
                    Cell::plain(signed_size(bytes)),
                    Cell::plain(percent(of_held)),
                    Cell::Bar(style, length.unwrap_or(0.0)),
                    Cell::Text(faint, remark),
                ]
            };
            let (anon, mapped) = (size(anon), size(file_mapped));
            let charged = format!("anon {anon}, mapped {mapped}");
            rows.push(part("processes", of_processes, Style::new(), charged));
            let cache = i128::from(file_unmapped);
            rows.push(part("page cache", cache, faint, "reclaimable".to_owned()));
            if shmem > 0 {
                let remark = "tmpfs and shared mappings".to_owned();
                rows.push(part("shared", i128::from(shmem), Style::new(), remark));
            }
            match kernel {
                Some(kernel) => {
                    let remark = "stacks, page tables, slab".to_owned();
                    rows.push(part("kernel", i128::from(kernel), Style::new(), remark));
                }
                None => rows.push(vec![
                    Cell::plain("kernel"),
                    self.size_cell(None),
                    Cell::empty(),
                    Cell::empty(),
                    Cell::Text(faint, "not told; in unattributed".to_owned()),
                ]),
            }
            if elsewhere < 0 {
                let remark = "libraries in memory before".to_owned();
                rows.push(part("not charged", elsewhere, faint, remark));
            }
            let unattributed = i128::from(unattributed);
            let remark = match share(unattributed, *held).unwrap_or(0.0) {
                part if part.abs() < 0.02 => "",
                part if part < 0.0 => "given back meanwhile",
                _ => "charged, but in no process seen",
            };
            rows.push(part(
                "unattributed",
                unattributed,
                warning,
                remark.to_owned(),
            ));
        } else {
            let of_what = match cgroup_bytes {
                Some(_) => "PSS; what else is held is unknown",
                None => "PSS; no cgroup could be read",
            };
            rows.push(vec![
                Cell::plain("processes"),
                Cell::plain(size(*pss_bytes)),
                Cell::plain(share(i128::from(*pss_bytes), held).map_or(String::new(), percent)),
                Cell::Bar(
                    Style::new(),
                    share(i128::from(*pss_bytes), held).unwrap_or(0.0),
                ),
                Cell::Text(faint, of_what.to_owned()),
            ]);
        }
        let table = Table {
            title: (title, String::new()),
            heads: faint,
            columns: vec![
                Column::left("", self.names),
                Column::right("", SIZES),
                Column::right("", PERCENTS),
                Column::left("", self.bars).sparing(2),
                Column::left("", PART_REMARK_AT_LEAST).sparing(1),
            ],
            rows,
        };
        // The line above stands in the place of the table's titles.
        self.lines
            .extend(table.lines(self.width).into_iter().skip(1));
    }

    /// The stages in the order of their start: what each held at the peak, and its own highest.
    fn stages(&mut self, stages: &[Stage], peak: Option<&Peak>, missed: Option<f64>) {
        if !self.has_stages() {
            return;
        }
        let at_peak: &[StageAtPeak] = peak.map_or(&[], |peak| &peak.stages);
        let has_kernel_peaks = has_kernel_peaks(stages);
        let rows = stages.iter().map(|stage| {
            let Stage {
                name,
                // They are in this order.
                started_s: _,
                wall_s,
                processes,
                peak_pss_bytes,
                peak_at_s,
                peak_cgroup_bytes,
                share_of_peak,
            } = stage;
            let held = at_peak.iter().find(|at_peak| at_peak.name == *name);
            let held = match (peak, held) {
                (None, _) => self.size_cell(None),
                (Some(_), Some(held)) => Cell::plain(size(held.pss_bytes)),
                (Some(_), None) => Cell::Text(self.palette.faint, size(0)),
            };
            let part = match peak {
                Some(_) if *share_of_peak > 0.0 => Cell::plain(percent(*share_of_peak)),
                Some(_) => Cell::Text(self.palette.faint, percent(0.0)),
                None => Cell::empty(),
            };
            let mut row = vec![
                self.stage_cell(name),
                held,
                part,
                Cell::Bar(self.stage_style(name), *share_of_peak),
                self.size_cell(*peak_pss_bytes),
                Cell::plain(peak_at_s.map_or(String::new(), seconds)),
            ];
            if has_kernel_peaks {
                row.push(self.size_cell(*peak_cgroup_bytes));
            }
            row.push(Cell::plain(seconds(*wall_s)));
            row.push(Cell::plain(processes.to_string()));
            row
        });
        let rows: Vec<_> = rows.collect();
        let mut columns = vec![
            Column::left("", self.names),
            Column::right(if missed.is_none() { "at peak" } else { "then" }, SIZES),
            Column::right("", PERCENTS),
            Column::left("", self.bars).sparing(3),
            Column::right("own peak", SIZES).sparing(1),
            Column::right("at", 0).sparing(6),
        ];
        if has_kernel_peaks {
            columns.push(Column::right("by kernel", SIZES).sparing(2));
        }
        columns.push(Column::right("wall", 0).sparing(4));
        columns.push(Column::right("processes", 0).sparing(5));
        self.section("Stages", columns, rows);
    }

    /// Who was alive at the peak.
    fn at_peak(&mut self, peak: Option<&Peak>, missed: Option<f64>) {
        let Some(peak) = peak else { return };
        let Peak {
            at_s: _,
            cgroup_bytes: _,
            capture: _,
            pss_bytes,
            pss_read_bytes,
            rss_bytes,
            composition: _,
            stages: _,
            processes,
        } = peak;
        if processes.is_empty() {
            return;
        }
        let faint = self.palette.faint;
        let sum = |name: String, pss: Option<u64>, rss: Option<u64>| {
            let cell = |bytes: Option<u64>| Cell::Text(faint, bytes.map_or(String::new(), size));
            let (name, pss, rss) = (Cell::Text(faint, name), cell(pss), cell(rss));
            let rest = if self.has_stages() { 3 } else { 2 };
            [name, pss, rss]
                .into_iter()
                .chain((0..rest).map(|_| Cell::empty()))
                .collect()
        };
        let shown = processes.iter().take(AT_PEAK).map(|process| {
            let ProcessAtPeak {
                pid,
                ppid: _,
                stage,
                command,
                command_lossy: _,
                pss_bytes,
                rss_bytes,
                age_s,
            } = process;
            let figures = vec![
                self.size_cell(*pss_bytes),
                self.size_cell(*rss_bytes),
                Cell::plain(seconds(*age_s)),
            ];
            self.process_row(stage, *pid, figures, command)
        });
        let mut rows: Vec<_> = shown.collect();
        let hidden = processes.get(AT_PEAK..).unwrap_or_default();
        if !hidden.is_empty() {
            let sum_of = |of: fn(&ProcessAtPeak) -> Option<u64>| {
                let sizes = hidden.iter().filter_map(of).map(ByteSize::from_bytes);
                sizes.sum::<ByteSize>().bytes()
            };
            let pss = sum_of(|process| process.pss_bytes);
            let rss = sum_of(|process| process.rss_bytes);
            let name = format!("… {} more", hidden.len());
            rows.push(sum(name, Some(pss), Some(rss)));
        }
        if processes.len() > 1 {
            let name = format!("all {}", processes.len());
            rows.push(sum(name, Some(*pss_bytes), Some(*rss_bytes)));
        }
        let columns = self.process_columns(vec![
            Column::right("PSS", SIZES),
            Column::right("RSS", SIZES).sparing(2),
            Column::right("age", 0).sparing(3),
        ]);
        let title = match missed {
            None => "Processes at the peak",
            Some(_) => "Processes then",
        };
        self.section(title, columns, rows);
        let fresh = share(i128::from(*pss_read_bytes), *pss_bytes).unwrap_or(1.0);
        if fresh < 0.5 {
            let text = format!(
                "{} of the PSS was read in this very sample, the rest before it and moved by the change of RSS",
                percent(fresh)
            );
            let line = Line::default().text(Style::new(), "  ");
            self.remark(line, faint, &text);
        }
    }

    /// The processes with the highest own peak, whenever they lived, but for those that are listed at the peak.
    fn largest(&mut self, processes: &Processes, peak: Option<&Peak>) {
        let Processes {
            forks,
            execs: _,
            exits: _,
            peak_live: _,
            top,
            classes: _,
            left_running: _,
        } = processes;
        // One process is the build: the headline is about it.
        if *forks < 2 {
            return;
        }
        let others = top.iter().filter(|process| !is_listed(process, peak));
        let shown: Vec<&TopProcess> = others.take(LARGEST).collect();
        if shown.is_empty() {
            return;
        }
        let all_well = shown.iter().all(|process| {
            matches!(
                process.exit,
                Exit {
                    code: Some(0) | None,
                    signal: None
                }
            )
        });
        let rows = shown.iter().map(|process| {
            let TopProcess {
                pid,
                command,
                command_lossy: _,
                stage,
                peak_rss_bytes,
                started_s,
                ended_s,
                exit: Exit { code, signal },
            } = process;
            let until = ended_s.map_or("running".to_owned(), seconds);
            let end = match (code, signal) {
                (Some(0) | None, None) => String::new(),
                (Some(code), _) => format!("exit {code}"),
                (None, Some(signal)) => signal_name(*signal),
            };
            let mut figures = vec![
                Cell::plain(size(*peak_rss_bytes)),
                Cell::plain(seconds(*started_s)),
                Cell::plain(until),
            ];
            if !all_well {
                figures.push(Cell::plain(end));
            }
            self.process_row(stage, *pid, figures, command)
        });
        let rows: Vec<_> = rows.collect();
        let mut figures = vec![
            Column::right("peak RSS", SIZES),
            Column::right("from", SIZES).sparing(2),
            Column::right("until", 0).sparing(3),
        ];
        if !all_well {
            figures.push(Column::left("end", 0).sparing(4));
        }
        let columns = self.process_columns(figures);
        let is_first_list = peak.is_none_or(|peak| peak.processes.is_empty());
        let title = if is_first_list {
            "Largest processes"
        } else {
            "Largest others"
        };
        self.section(title, columns, rows);
    }

    /// What the processes were, those first that have the largest among them.
    fn classes(&mut self, processes: &Processes) {
        let largest = processes
            .classes
            .iter()
            .filter_map(|it| it.peak_rss_max_bytes)
            .max();
        let noise = largest.unwrap_or(0) / CLASS_WORTH_A_LINE;
        // What is the only one of its kind stands in the lists of processes.
        let worth_it = |class: &&ProcessClass| {
            class.count > 1 && (class.peak_rss_max_bytes).is_some_and(|peak| peak >= noise)
        };
        let shown = processes.classes.iter().filter(worth_it).take(CLASSES);
        let rows = shown.map(|class| {
            let ProcessClass {
                command_class,
                count,
                peak_rss_max_bytes,
                peak_rss_p50_bytes,
                peak_concurrency,
                pss_at_peak_bytes,
                share_of_peak,
            } = class;
            let share = Cell::Text(self.palette.faint, percent(*share_of_peak));
            vec![
                Cell::plain(count.to_string()),
                self.size_cell(*peak_rss_max_bytes),
                self.size_cell(*peak_rss_p50_bytes),
                Cell::plain(peak_concurrency.to_string()),
                Cell::plain(size(*pss_at_peak_bytes)),
                share,
                Cell::Command(command_class.clone()),
            ]
        });
        let rows: Vec<_> = rows.collect();
        if rows.is_empty() {
            return;
        }
        let columns = vec![
            Column::left("", self.names),
            Column::right("peak RSS", SIZES),
            Column::right("median", SIZES),
            Column::right("at once", 0),
            Column::right("at peak", SIZES).sparing(1),
            Column::right("", 4).sparing(2),
            Column::left("class", 0),
        ];
        self.section("Process classes", columns, rows);
    }

    /// What one more parallel job costs.
    fn jobs(&mut self, jobs: &[JobPool]) {
        if jobs.is_empty() {
            return;
        }
        self.blank();
        let title = self.palette.title;
        self.lines
            .push(Line::default().text(title, "Parallel jobs"));
        for pool in jobs {
            let largest = pool.largest_bytes.first().copied();
            let typical = pool.typical_bytes.map_or("unknown".to_owned(), size);
            let largest = largest.map_or("unknown".to_owned(), size);
            let text = format!(
                "one more costs {typical} typically, {largest} at most; {}, up to {} at once",
                count(pool.jobs, "job", "jobs"),
                pool.peak_concurrency
            );
            let mut line = Line::default().text(Style::new(), "  ");
            line.push(Style::new(), pool.tool.word());
            line.fill(2 + self.names + 2);
            self.remark(line, Style::new(), &text);
        }
        let hint = "`build-mem advise --memory 8GiB` tells how many fit";
        let line = Line::default().text(Style::new(), "  ");
        self.remark(line, self.palette.faint, hint);
    }

    /// What the build left behind.
    fn left_running(&mut self, left: &[LeftRunning]) {
        if left.is_empty() {
            return;
        }
        let rows = left.iter().take(OTHERS).map(|process| {
            let LeftRunning {
                pid,
                command,
                stage,
                peak_rss_bytes,
            } = process;
            let figures = vec![self.size_cell(*peak_rss_bytes)];
            self.process_row(stage, *pid, figures, command)
        });
        let columns = self.process_columns(vec![Column::right("peak RSS", SIZES)]);
        let rows = rows.collect();
        self.section("Left running", columns, rows);
        self.more(left.len());
    }

    /// Where processes went whose memory is not in the headline.
    fn escaped(&mut self, escaped: &[Escaped]) {
        if escaped.is_empty() {
            return;
        }
        let rows = escaped.iter().take(OTHERS).map(|escaped| {
            let Escaped {
                cgroup,
                processes,
                peak_bytes,
            } = escaped;
            vec![
                Cell::plain(count(*processes, "process", "processes")),
                self.size_cell(*peak_bytes),
                Cell::Command(cgroup.clone()),
            ]
        });
        let columns = vec![
            Column::left("", self.names),
            Column::right("peak", SIZES),
            Column::left("cgroup, whose memory is not in the figure above", 0),
        ];
        let rows = rows.collect();
        self.section("Left the cgroup", columns, rows);
        self.more(escaped.len());
    }

    /// Whom the kernel killed.
    fn out_of_memory(&mut self, oom: &Oom) {
        let Oom { kills, victims } = oom;
        if victims.is_empty() && kills.unwrap_or(0) == 0 {
            return;
        }
        let rows = victims.iter().take(OTHERS).map(|victim| {
            let OomVictim {
                pid,
                command,
                stage,
            } = victim;
            let killed = vec![Cell::Text(self.palette.bad, "killed".to_owned())];
            self.process_row(stage, *pid, killed, command)
        });
        let columns = self.process_columns(vec![Column::right("", SIZES)]);
        let rows = rows.collect();
        self.section("Out of memory", columns, rows);
        self.more(victims.len());
        if let Some(kills) = kills {
            let text = format!(
                "  the cgroup counted {}",
                count(*kills, "out-of-memory kill", "out-of-memory kills")
            );
            self.lines
                .push(Line::default().text(self.palette.faint, &text));
        }
    }

    /// What want of memory cost the build, where it cost anything.
    fn pressure(&mut self, pressure: &Pressure, duration_s: f64) {
        let Pressure {
            swap_peak_bytes,
            stalled_some_s,
            stalled_full_s,
            events: _,
            major_faults: _,
            refaults_file: _,
            refaults_anon: _,
        } = pressure;
        let Palette { warning, .. } = self.palette;
        let part = |seconds: f64| seconds / duration_s.max(f64::MIN_POSITIVE);
        if let Some(some) = stalled_some_s.filter(|some| part(*some) >= STALLED_WORTH_A_LINE) {
            let all = stalled_full_s.map_or(0.0, part);
            let what = format!(
                "some process waited for memory: {} of the time; all of them at once: {}",
                percent(part(some)),
                percent(all)
            );
            self.figure("", warning, &format!("{some:.2} s"), warning, &what);
        }
        if let Some(swap) = swap_peak_bytes.filter(|swap| *swap > 0) {
            self.figure("", warning, &size(swap), warning, "of swap at the most");
        }
    }

    /// Says how many rows a section left out.
    fn more(&mut self, rows: usize) {
        if let Some(hidden) = rows.checked_sub(OTHERS).filter(|hidden| *hidden > 0) {
            let text = format!("  … {hidden} more");
            self.lines
                .push(Line::default().text(self.palette.faint, &text));
        }
    }

    /// What the build had to leave.
    fn verified(&mut self, checks: &[VerifyCheck]) {
        // How the build ended stands above already.
        if checks.iter().all(|check| check.path == EXIT_STATUS) {
            return;
        }
        let rows = checks.iter().map(|check| {
            let VerifyCheck {
                path,
                ok,
                detail,
                bytes: _,
            } = check;
            let (style, mark) = match ok {
                true => (self.palette.good, "✓"),
                false => (self.palette.bad, "✗"),
            };
            vec![
                Cell::Text(style, mark.to_owned()),
                Cell::plain(path.clone()),
                Cell::Text(self.palette.faint, detail.clone()),
            ]
        });
        let columns = vec![
            Column::left("", 1),
            Column::left("", 0),
            Column::left("", 0),
        ];
        let rows = rows.collect();
        self.section("Verified", columns, rows);
    }

    fn notes(&mut self, notes: &[Note]) {
        let notes: Vec<&Note> = (notes.iter())
            .filter(|note| !SAID_OTHERWISE.contains(&note.what.as_str()))
            .collect();
        if notes.is_empty() {
            return;
        }
        self.blank();
        let title = Line::default().text(self.palette.title, "Notes");
        self.lines.push(title);
        for note in notes {
            let Note { what, why } = note;
            self.prose(self.palette.warning, "!", &format!("{what}: {why}"));
        }
    }

    /// How much of the build was seen, and what looking cost.
    fn completeness(
        &mut self,
        processes: &Processes,
        profiler: &Profiler,
        host: &Host,
        duration_s: f64,
        verdict: Verdict,
    ) {
        let Profiler {
            version,
            kernel,
            tracker,
            interval_ms: _,
            samples,
            samples_triggered,
            samples_put_off,
            events_lost,
            sampler_cpu_s,
            total_cpu_s,
            peak_rss_bytes,
        } = profiler;
        let Host {
            cpus,
            memory_bytes,
            cgroup_version,
            image,
        } = host;
        let Palette {
            good,
            faint,
            warning,
            ..
        } = self.palette;
        let seen = count(processes.forks, "process", "processes");
        let none_lost = || "0 events lost".to_owned();
        let (style, mark, seen) = match (tracker.as_str(), verdict, events_lost) {
            ("ebpf", Verdict::Incomplete, 0) => {
                let seen = format!("{seen} seen until the recording ends");
                (warning, "!", vec![seen])
            }
            ("ebpf", _, 0) if processes.forks == 1 => (
                good,
                "✓",
                vec!["its one process seen".to_owned(), none_lost()],
            ),
            ("ebpf", _, 0) => {
                let seen = format!("every one of {seen} seen");
                (good, "✓", vec![seen, none_lost()])
            }
            ("ebpf", _, lost) => {
                let lost = count(*lost, "event", "events");
                let seen = format!("{lost} lost: more than the {seen} seen may have been there");
                (warning, "!", vec![seen])
            }
            (_, _, _) => {
                let seen = format!("{seen} seen by `{tracker}`: short ones may have been missed");
                (warning, "!", vec![seen])
            }
        };
        let of_a_core =
            |cpu_s: f64| format!("{:.1} %", 100.0 * cpu_s / duration_s.max(f64::MIN_POSITIVE));
        let cost = match (total_cpu_s, sampler_cpu_s) {
            (Some(total), Some(sampler)) => Some(format!(
                "cost {} of a core (sampler {})",
                of_a_core(*total),
                of_a_core(*sampler)
            )),
            (Some(cpu_s), None) | (None, Some(cpu_s)) => {
                Some(format!("cost {} of a core", of_a_core(*cpu_s)))
            }
            (None, None) => None,
        };
        let cost = cost.into_iter().chain(peak_rss_bytes.map(size));
        let parts: Vec<String> = seen.into_iter().chain(cost).collect();
        self.blank();
        self.packed(style, mark, Style::new(), &parts);

        let mut parts = vec![count(*samples, "sample", "samples")];
        if *samples_triggered > 0 {
            parts.push(format!("{samples_triggered} of them as memory grew"));
        }
        if *samples_put_off > 0 {
            parts.push(format!("{samples_put_off} put off"));
        }
        parts.push(format!("up to {} at once", processes.peak_live));
        parts.push(format!("build-mem {version}"));
        parts.push(format!("Linux {kernel}"));
        parts.extend(cgroup_version.map(|version| format!("cgroup v{version}")));
        parts.extend(
            image
                .iter()
                .map(|image| format!("in a container of {image}")),
        );
        let cpus = count(*cpus, "CPU", "CPUs");
        parts.push(format!("{cpus}, {}", size(*memory_bytes)));
        self.packed(Style::new(), "", faint, &parts);
    }

    /// Parts in a row, on as many lines as they need.
    fn packed(&mut self, mark_style: Style, mark: &str, style: Style, parts: &[String]) {
        const BETWEEN: &str = " · ";
        let mut line = Line::default().text(mark_style, mark);
        line.fill(2);
        let mut is_first = true;
        for part in parts {
            let needed = width_of(BETWEEN) + width_of(&visible(part));
            if !is_first && line.columns() + needed > self.width {
                let full = std::mem::take(&mut line);
                self.lines.push(full);
                line.fill(2);
            } else if !is_first {
                line.push(style, BETWEEN);
            }
            if line.columns() == 2 {
                // Wider than the page, it is wrapped.
                self.remark(std::mem::take(&mut line), style, part);
                line = self.lines.pop().unwrap_or_default();
            } else {
                line.push(style, part);
            }
            is_first = false;
        }
        self.lines.push(line);
    }
}

/// Prose on lines no wider than this.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let options = textwrap::Options::new(columns.max(10))
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    let parts = textwrap::wrap(text, options);
    parts.into_iter().map(Cow::into_owned).collect()
}

/// The share of a build's time that waiting for memory must have taken to be told.
const STALLED_WORTH_A_LINE: f64 = 0.01;

/// Notes on fields that the summary does not show, or explains where it shows them. They come with most builds:
/// among them a warning would be overlooked.
pub(super) const SAID_OTHERWISE: [&str; 9] = [
    "pressure",
    "pressure.swap_peak_bytes",
    "pressure.stalled_some_s",
    "pressure.events",
    "pressure.major_faults",
    "pressure.refaults_file",
    "stages[].peak_cgroup_bytes",
    "peak.composition.kernel",
    "peak.composition.unattributed",
];

/// Whether this process stands in the list of those at the peak already. A pid may have been used again, but
/// not by two processes that were alive at that moment.
pub(super) fn is_listed(process: &TopProcess, peak: Option<&Peak>) -> bool {
    peak.is_some_and(|peak| {
        let was_alive = process.started_s <= peak.at_s
            && process.ended_s.is_none_or(|ended_s| ended_s >= peak.at_s);
        let mut listed = peak.processes.iter().take(AT_PEAK);
        was_alive && listed.any(|at_peak| at_peak.pid == process.pid)
    })
}

/// The part of the headline that the highest sample found, when that is too little to tell of the peak.
#[expect(clippy::cast_precision_loss, reason = "a part for people")]
pub(super) fn missed_peak(headline: &Headline, peak: Option<&Peak>, host: &Host) -> Option<f64> {
    let (peak, sampled) = (headline.bytes?, peak?.cgroup_bytes?);
    // The mark may be above the true use by what the kernel charges in advance: 64 pages a CPU.
    let in_advance = host.cpus.saturating_mul(64 * 4096);
    let part = sampled as f64 / peak as f64;
    let is_far = part < MISSED_BELOW && peak.saturating_sub(sampled) > in_advance;
    is_far.then_some(part)
}

pub(super) fn has_kernel_peaks(stages: &[Stage]) -> bool {
    stages.iter().any(|stage| stage.peak_cgroup_bytes.is_some())
}

/// Width of the column of parts in percent.
const PERCENTS: usize = 5;

/// A signal as people know it.
pub(super) fn signal_name(signal: i32) -> String {
    // The ones that end builds, the same on all of Linux's architectures: signal(7).
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        signal => return format!("signal {signal}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests;
