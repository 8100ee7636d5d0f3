//! The report for a pull request or a job's summary: GitHub's Markdown, which GitLab and most others read as well.
//!
//! Everything from outside (command lines, stages, paths) stands in cells of tables and goes through `code` or
//! `prose`, which leave nothing of it that would be markup, a link, a mention or the end of a cell. The chart is made of
//! block characters: no service draws it, and it is there wherever the text is.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::layout::{
    count, percent, seconds, share, shorten_command, signed_size, size, visible, width,
};
use super::text::{AT_PEAK, SAID_OTHERWISE, has_kernel_peaks, is_listed, missed_peak, signal_name};
use crate::command_line::CommandLine;
use crate::event::{Note, VerifyCheck};
use crate::report::{
    Budget, Composition, Escaped, Exit, Headline, Oom, Peak, ProcessAtPeak, Processes, Report,
    Stage, TopProcess, Verdict,
};
use crate::timeline::TimelineTable;

/// A command line is cut to so many columns.
const COMMAND: usize = 100;

/// Any other text from outside is cut to so many characters.
const TEXT: usize = 300;

/// Rows of any other table.
const ROWS: usize = 25;

/// Bytes of the page before its last line. A comment on GitHub has at most 65,536 characters.
const LONGEST: usize = 50_000;

/// Columns and lines of the chart.
const CHART: (usize, usize) = (64, 8);

/// Columns before it, for a [`size`].
const MARGIN: usize = 10;

/// Writes the report; `table` is what the chart shows.
pub fn write(report: &Report, table: &TimelineTable, out: &mut dyn Write) -> io::Result<()> {
    let peak = report.peak.as_ref();
    let missed = missed_peak(&report.headline, peak, &report.host);
    // Where all is one stage, it need not be told of each process.
    let first = usize::from(report.stages.len() < 2);
    let sections: [&dyn Fn(&mut String); 10] = [
        &|page| headline(page, report, missed),
        &|page| page.push_str(&chart(table)),
        &|page| at_peak(page, peak, missed),
        &|page| stages(page, &report.stages, peak),
        &|page| processes_at_peak(page, peak, first),
        &|page| out_of_memory(page, &report.oom, first),
        &|page| escaped(page, &report.headline.escaped),
        &|page| verified(page, &report.verify),
        &|page| notes(page, &report.notes),
        &|page| more_processes(page, &report.processes, peak, first),
    ];
    let mut page = String::new();
    let mut is_whole = true;
    for section in sections {
        let before = page.len();
        section(&mut page);
        if page.len() > LONGEST {
            page.truncate(before);
            is_whole = false;
        }
    }
    if !is_whole {
        page.push_str("⚠️ Some tables had no place here: `build-mem report` shows them.\n\n");
    }
    page.push_str(&completeness(report));
    out.write_all(page.as_bytes())
}

fn headline(page: &mut String, report: &Report, missed: Option<f64>) {
    let Headline {
        bytes,
        source,
        highest_sampled_bytes,
        without_cache,
        cgroup: _,
        complete,
        saturated,
        limit_bytes,
        escaped: _,
    } = &report.headline;
    let (mark, word) = match report.verdict {
        Verdict::Pass => ("✅", "pass"),
        Verdict::BuildFailed => ("❌", "build failed"),
        Verdict::BuildKilled => ("❌", "build killed"),
        Verdict::OutOfMemory => ("❌", "out of memory"),
        Verdict::OverBudget => ("❌", "over budget"),
        Verdict::Interrupted => ("⚠️", "interrupted"),
        Verdict::VerificationFailed => ("❌", "verification failed"),
        Verdict::Incomplete => ("⚠️", "incomplete"),
    };
    let pss = report.peak.as_ref().map(|peak| peak.pss_bytes);
    let source = source.as_deref().map_or("source unknown".to_owned(), code);
    let (figure, about) = match (bytes, highest_sampled_bytes, pss) {
        (Some(bytes), _, _) => (size(*bytes), format!("kernel's high-water mark ({source})")),
        (None, Some(sampled), _) => (
            format!("at least {}", size(*sampled)),
            "highest sample; exact peak unknown".to_owned(),
        ),
        (None, None, Some(pss)) => (
            format!("at least {}", size(pss)),
            "highest sampled sum of PSS; no cgroup".to_owned(),
        ),
        (None, None, None) => ("unknown".to_owned(), "nothing was measured".to_owned()),
    };
    let Exit { code: exit, signal } = report.exit;
    let how = match (exit, signal) {
        (Some(exit), _) => format!("exit code {exit}"),
        (None, Some(signal)) => format!("ended by {}", signal_name(signal)),
        (None, None) => "its end was not seen".to_owned(),
    };
    let _ = writeln!(page, "### {mark} Build memory: {figure} at the peak\n");

    let mut table = Table::new(["", ">", ""]);
    let mut row = |name: &str, figure: String, about: String| {
        table.row([name.to_owned(), figure, about]);
    };
    let command = CommandLine::from_args(report.command.iter().map(String::as_str)).display();
    row("Build", String::new(), command_code(&command));
    let when = format!(
        "{how}; {}, {}",
        code(&report.label),
        code(&report.started_at)
    );
    row(&format!("**{word}**"), seconds(report.duration_s), when);
    row("**Peak memory**", format!("**{figure}**"), about);
    // What samples held that are far from the peak says nothing of the peak.
    if let Some(without_cache) = without_cache.as_ref().filter(|_| missed.is_none()) {
        row(
            "without page cache",
            size(without_cache.bytes),
            "what a limit has to hold".to_owned(),
        );
    }
    match (limit_bytes, saturated) {
        (Some(limit), false) => row("limit", size(*limit), String::new()),
        (limit, true) => row(
            "⚠️ limit",
            limit.map_or("unknown".to_owned(), size),
            "which was reached: the build may need more".to_owned(),
        ),
        (None, false) => {}
    }
    if let Some(budget) = &report.budget {
        let (mark, about) = budget_about(budget);
        row(&format!("{mark} budget"), size(budget.bytes), about);
    }
    if bytes.is_some() && !complete {
        row(
            "⚠️ not complete",
            String::new(),
            "not everything that the build ran is known to be in the peak".to_owned(),
        );
    }
    table.write(page);
}

fn budget_about(budget: &Budget) -> (&'static str, String) {
    let Budget {
        bytes: _,
        exceeded_by_bytes,
        stage,
    } = budget;
    match (exceeded_by_bytes, stage) {
        (Some(0), _) => ("✅", "kept".to_owned()),
        (Some(more), Some(stage)) => (
            "❌",
            format!("exceeded by {} in stage {}", size(*more), code(stage)),
        ),
        (Some(more), None) => ("❌", format!("exceeded by {}", size(*more))),
        (None, _) => ("⚠️", "not known to be kept".to_owned()),
    }
}

/// Memory over time, drawn with block characters in a code block. The highest sample is marked.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the column and the height are within the chart, which is small"
)]
fn chart(table: &TimelineTable) -> String {
    const STEPS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (columns, lines) = CHART;
    // What was not read of the cgroup is not zero; a build without one is drawn by its processes.
    let has_cgroup = table.rows.iter().any(|row| row.cgroup.is_some());
    let points: Vec<(f64, u64)> = (table.rows.iter())
        .filter_map(|row| {
            let held = if has_cgroup {
                row.cgroup
            } else {
                Some(row.pss)
            };
            Some((row.at_s, held?.bytes()))
        })
        .filter(|(at_s, _)| at_s.is_finite() && *at_s >= 0.0)
        .collect();
    let highest = points.iter().copied().rev().max_by_key(|(_, held)| *held);
    let end = points.iter().map(|(at_s, _)| *at_s).fold(0.0, f64::max);
    let Some((peak_at, peak)) = highest.filter(|(_, held)| *held > 0 && end > 0.0) else {
        return String::new();
    };
    let column_of = |at_s: f64| ((at_s / end * columns as f64) as usize).min(columns - 1);
    let mut held: Vec<Option<u64>> = vec![None; columns];
    for (at_s, bytes) in points {
        let slot = &mut held[column_of(at_s)];
        *slot = (*slot).max(Some(bytes));
    }
    // Between two samples the memory is taken to be as in the one before.
    let mut last = 0;
    let heights: Vec<usize> = (held.into_iter())
        .map(|bytes| {
            last = bytes.unwrap_or(last);
            (last as f64 / peak as f64 * (lines * 8) as f64).ceil() as usize
        })
        .collect();

    let label = size(peak);
    let what = if has_cgroup {
        ""
    } else {
        " (PSS of the processes)"
    };
    let mark = format!("▼ {label} after {}{what}", seconds(peak_at));
    let at = column_of(peak_at);
    let indent = if at + width(&mark) <= columns {
        format!("{}{mark}", " ".repeat(at))
    } else {
        let mark = format!("{label} after {}{what} ▼", seconds(peak_at));
        format!(
            "{}{mark}",
            " ".repeat((at + 1).saturating_sub(width(&mark)))
        )
    };
    let mut chart = format!("```text\n{:MARGIN$} │{indent}\n", "");
    for line in (0..lines).rev() {
        let name = match line {
            line if line + 1 == lines => label.clone(),
            line if line == lines / 2 - 1 => size(peak / 2),
            _ => String::new(),
        };
        let blocks: String = (heights.iter())
            .map(|height| STEPS[height.saturating_sub(line * 8).min(8)])
            .collect();
        let _ = writeln!(chart, "{name:>MARGIN$} │{}", blocks.trim_end());
    }
    let end = seconds(end);
    let _ = writeln!(chart, "{:>MARGIN$} └{}", size(0), "─".repeat(columns));
    let _ = writeln!(chart, "{:MARGIN$}  0 s{end:>1$}\n```\n", "", columns - 3);
    chart
}

/// What the cgroup's memory consisted of.
fn at_peak(page: &mut String, peak: Option<&Peak>, missed: Option<f64>) {
    let Some(peak) = peak else { return };
    let held = peak.cgroup_bytes.unwrap_or(peak.pss_bytes);
    let _ = writeln!(
        page,
        "#### {}: {} after {}\n",
        if missed.is_none() {
            "At the peak"
        } else {
            "The highest sample"
        },
        size(held),
        seconds(peak.at_s),
    );
    if let Some(part) = missed {
        let _ = writeln!(
            page,
            "⚠️ The peak fell between two samples: the highest has only {} of it. Who held the rest is not known.\n",
            percent(part)
        );
    }
    let mut table = Table::new(["Held by", ">Memory", ">Share", ""]);
    let mut row = |name: &str, bytes: i128, about: &str| {
        let share = share(bytes, held).map_or(String::new(), percent);
        table.row([name.to_owned(), signed_size(bytes), share, about.to_owned()]);
    };
    let Some(composition) = peak.composition.filter(|_| peak.cgroup_bytes.is_some()) else {
        row(
            "processes",
            peak.pss_bytes.into(),
            "PSS; what else was held is not known",
        );
        table.write(page);
        return;
    };
    let Composition {
        anon,
        file_mapped,
        file_unmapped,
        shmem,
        kernel,
        charged_elsewhere,
        unattributed,
    } = composition;
    let others = i128::from(file_unmapped)
        + i128::from(shmem)
        + i128::from(kernel.unwrap_or(0))
        + i128::from(unattributed)
        - i128::from(charged_elsewhere);
    let about = format!("anon {}, mapped {}", size(anon), size(file_mapped));
    row("processes", i128::from(held) - others, &about);
    row("page cache", file_unmapped.into(), "reclaimable");
    if shmem > 0 {
        row("shared", shmem.into(), "tmpfs and shared mappings");
    }
    if let Some(kernel) = kernel {
        row("kernel", kernel.into(), "stacks, page tables, slab");
    }
    if charged_elsewhere > 0 {
        let about = "libraries that were in memory before";
        row("not charged", -i128::from(charged_elsewhere), about);
    }
    let about = if kernel.is_none() {
        "with kernel memory, which is not told"
    } else {
        ""
    };
    row("unattributed", unattributed.into(), about);
    table.write(page);
}

fn stages(page: &mut String, stages: &[Stage], peak: Option<&Peak>) {
    if stages.len() < 2 {
        return;
    }
    page.push_str("#### Stages\n\n");
    let by_kernel = has_kernel_peaks(stages);
    let mut heads = vec!["Stage", ">At the peak", ">Share", ">Own peak", ">After"];
    if by_kernel {
        heads.push(">By the kernel");
    }
    heads.extend([">Wall", ">Processes"]);
    let mut table = Table::new(heads);
    for stage in stages {
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
        let held = peak.map(|peak| {
            let held = peak.stages.iter().find(|held| held.name == *name);
            held.map_or(0, |held| held.pss_bytes)
        });
        let mut row = vec![
            code(name),
            known(held),
            peak.map_or(String::new(), |_| percent(*share_of_peak)),
            known(*peak_pss_bytes),
            peak_at_s.map_or(String::new(), seconds),
        ];
        if by_kernel {
            row.push(known(*peak_cgroup_bytes));
        }
        row.extend([seconds(*wall_s), processes.to_string()]);
        table.row(row);
    }
    table.write(page);
}

/// Who was alive then. Of the tables about processes, the columns from `first` on are shown: the one before is the stage.
fn processes_at_peak(page: &mut String, peak: Option<&Peak>, first: usize) {
    let Some(peak) = peak.filter(|peak| !peak.processes.is_empty()) else {
        return;
    };
    page.push_str("#### Processes then\n\n");
    let heads = ["Stage", ">PSS", ">RSS", ">Age", ">pid", "Command"];
    let mut table = Table::new(heads.into_iter().skip(first));
    let mut row = |cells: [String; 6]| table.row(cells.into_iter().skip(first));
    for process in peak.processes.iter().take(AT_PEAK) {
        row([
            code(&process.stage),
            known(process.pss_bytes),
            known(process.rss_bytes),
            seconds(process.age_s),
            process.pid.to_string(),
            command_code(&process.command),
        ]);
    }
    let sum = |pss: u64, rss: u64, of: String| {
        [
            String::new(),
            size(pss),
            size(rss),
            String::new(),
            String::new(),
            of,
        ]
    };
    let hidden = peak.processes.get(AT_PEAK..).unwrap_or_default();
    if !hidden.is_empty() {
        let add = |of: fn(&ProcessAtPeak) -> Option<u64>| {
            let sizes = hidden.iter().filter_map(of);
            sizes.fold(0, u64::saturating_add)
        };
        let pss = add(|process| process.pss_bytes);
        let rss = add(|process| process.rss_bytes);
        row(sum(pss, rss, format!("… {} more", hidden.len())));
    }
    if peak.processes.len() > 1 {
        let all = format!("all {}", peak.processes.len());
        row(sum(peak.pss_bytes, peak.rss_bytes, all));
    }
    table.write(page);
}

/// Whom the kernel killed.
fn out_of_memory(page: &mut String, oom: &Oom, first: usize) {
    let Oom { kills, victims } = oom;
    if victims.is_empty() && kills.unwrap_or(0) == 0 {
        return;
    }
    let counted = kills.map_or(String::new(), |kills| {
        format!(": {}", count(kills, "kill", "kills"))
    });
    let _ = writeln!(page, "#### ❌ Out of memory{counted}\n");
    let heads = ["Stage", ">pid", "Killed"];
    let mut table = Table::new(heads.into_iter().skip(first));
    for victim in victims {
        let cells = [
            code(&victim.stage),
            victim.pid.to_string(),
            command_code(&victim.command),
        ];
        table.row(cells.into_iter().skip(first));
    }
    table.write(page);
}

/// Where processes went whose memory is not in the headline.
fn escaped(page: &mut String, escaped: &[Escaped]) {
    if escaped.is_empty() {
        return;
    }
    page.push_str("#### ⚠️ Left the cgroup: their memory is not in the peak above\n\n");
    let mut table = Table::new([">Processes", ">Peak", "cgroup"]);
    for escaped in escaped {
        let Escaped {
            cgroup,
            processes,
            peak_bytes,
        } = escaped;
        table.row([processes.to_string(), known(*peak_bytes), code(cgroup)]);
    }
    table.write(page);
}

/// What was large at another time, folded away.
fn more_processes(page: &mut String, processes: &Processes, peak: Option<&Peak>, first: usize) {
    let others: Vec<&TopProcess> = (processes.top.iter())
        .filter(|process| !is_listed(process, peak))
        .take(AT_PEAK)
        .collect();
    if !others.is_empty() && processes.forks > 1 {
        fold(page, "Other large processes, by their own exact peak");
        let heads = ["Stage", ">Peak RSS", ">From", ">Until", "End", "Command"];
        let mut table = Table::new(heads.into_iter().skip(first));
        for process in others {
            let TopProcess {
                pid: _,
                command,
                command_lossy: _,
                stage,
                peak_rss_bytes,
                started_s,
                ended_s,
                exit: Exit { code: exit, signal },
            } = process;
            let end = match (exit, signal) {
                (Some(0) | None, None) => String::new(),
                (Some(exit), _) => format!("exit {exit}"),
                (None, Some(signal)) => signal_name(*signal),
            };
            let cells = [
                code(stage),
                size(*peak_rss_bytes),
                seconds(*started_s),
                ended_s.map_or("running".to_owned(), seconds),
                end,
                command_code(command),
            ];
            table.row(cells.into_iter().skip(first));
        }
        table.write(page);
        page.push_str("</details>\n\n");
    }
    let classes = &processes.classes;
    if processes.forks > 1 && !classes.is_empty() {
        fold(page, "Process classes");
        let heads = [
            "Class",
            ">Processes",
            ">At once",
            ">Largest RSS",
            ">Median",
            ">At the peak",
        ];
        let mut table = Table::new(heads);
        for class in classes.iter().take(AT_PEAK) {
            table.row([
                code(&class.command_class),
                class.count.to_string(),
                class.peak_concurrency.to_string(),
                known(class.peak_rss_max_bytes),
                known(class.peak_rss_p50_bytes),
                size(class.pss_at_peak_bytes),
            ]);
        }
        if let Some(hidden) = classes.len().checked_sub(AT_PEAK).filter(|more| *more > 0) {
            table.row([format!("… {hidden} more")]);
        }
        table.write(page);
        page.push_str("</details>\n\n");
    }
}

/// Opens a part that is shown when it is clicked. The empty line makes what follows Markdown again.
fn fold(page: &mut String, title: &str) {
    let _ = writeln!(page, "<details><summary>{title}</summary>\n");
}

fn verified(page: &mut String, checks: &[VerifyCheck]) {
    if checks.is_empty() {
        return;
    }
    page.push_str("#### Verified\n\n");
    let mut table = Table::new(["", "What", "Found"]);
    // What is wrong first, should there be too many.
    let wrong_first =
        (checks.iter().filter(|check| !check.ok)).chain(checks.iter().filter(|check| check.ok));
    for check in wrong_first {
        let VerifyCheck {
            path,
            ok,
            detail,
            bytes: _,
        } = check;
        let mark = if *ok { "✅" } else { "❌" };
        table.row([mark.to_owned(), code(path), prose(detail)]);
    }
    table.write(page);
}

fn notes(page: &mut String, notes: &[Note]) {
    let notes: Vec<&Note> = (notes.iter())
        .filter(|note| !SAID_OTHERWISE.contains(&note.what.as_str()))
        .collect();
    if notes.is_empty() {
        return;
    }
    page.push_str("#### Notes\n\n");
    let mut table = Table::new(["Of", "What one must know"]);
    for note in notes {
        let Note { what, why } = note;
        table.row([code(what), prose(why)]);
    }
    table.write(page);
}

/// How much of the build was seen.
fn completeness(report: &Report) -> String {
    let profiler = &report.profiler;
    let seen = count(report.processes.forks, "process", "processes");
    let seen = match (
        profiler.tracker.as_str(),
        report.verdict,
        profiler.events_lost,
    ) {
        ("ebpf", Verdict::Incomplete, 0) => format!("⚠️ {seen} seen until the recording ends"),
        ("ebpf", _, 0) => format!("every one of {seen} seen, 0 events lost"),
        ("ebpf", _, lost) => format!(
            "⚠️ {} lost: more than the {seen} seen may have been there",
            count(lost, "event", "events")
        ),
        (_, _, _) => format!("⚠️ {seen} seen by polling: short ones may have been missed"),
    };
    let host = &report.host;
    let cgroup = host
        .cgroup_version
        .map_or(String::new(), |version| format!(" · cgroup v{version}"));
    let image = host
        .image
        .as_deref()
        .map_or(String::new(), |image| format!(" · {}", prose(image)));
    format!(
        "<sub>{seen} · {} · build-mem {} · Linux {}{cgroup}{image} · {}, {}</sub>\n",
        count(profiler.samples, "sample", "samples"),
        prose(&profiler.version),
        prose(&profiler.kernel),
        count(host.cpus, "CPU", "CPUs"),
        size(host.memory_bytes),
    )
}

fn known(bytes: Option<u64>) -> String {
    bytes.map_or("unknown".to_owned(), size)
}

/// A table of GitHub's Markdown, in which each row has as many cells as there are columns.
struct Table {
    columns: usize,
    text: String,
    rows: usize,
}

impl Table {
    /// With these titles; those after a `>` are of figures.
    fn new<'head>(heads: impl IntoIterator<Item = &'head str>) -> Self {
        let heads: Vec<&str> = heads.into_iter().collect();
        let titles = heads.iter().map(|head| head.trim_start_matches('>'));
        let sides = heads.iter().map(|head| {
            if head.starts_with('>') {
                "---:"
            } else {
                ":---"
            }
        });
        Self {
            columns: heads.len(),
            text: format!("{}{}", line(titles), line(sides)),
            rows: 0,
        }
    }

    /// Adds a row, of cells that are Markdown without a bare `|`.
    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows += 1;
        if self.rows > ROWS {
            return;
        }
        let cells: Vec<String> = cells.into_iter().collect();
        let missing = self.columns.saturating_sub(cells.len());
        let cells = cells.iter().map(String::as_str);
        self.text
            .push_str(&line(cells.chain(std::iter::repeat_n("", missing))));
    }

    /// Ends it, and says how many rows there was no place for.
    fn write(mut self, page: &mut String) {
        if self.rows == 0 {
            return;
        }
        if let Some(hidden) = self.rows.checked_sub(ROWS).filter(|hidden| *hidden > 0) {
            self.rows = 0;
            self.row([format!("… {hidden} more")]);
        }
        let _ = writeln!(page, "{}", self.text);
    }
}

fn line<'cell>(cells: impl IntoIterator<Item = &'cell str>) -> String {
    let mut line = "|".to_owned();
    for cell in cells {
        let _ = write!(line, " {cell} |");
    }
    line.push('\n');
    line
}

/// A command line as a code span for a cell.
fn command_code(command: &str) -> String {
    match command {
        "" => "unknown".to_owned(),
        command => code_span(&shorten_command(command, COMMAND)),
    }
}

/// A text from outside as a code span for a cell.
fn code(text: &str) -> String {
    code_span(&short(text))
}

/// Visible text as a code span for a cell: nothing in it is markup, a link or a mention.
fn code_span(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    if text.contains("\\|") {
        // What becomes of `\` before an escaped `|` depends on who reads it.
        return format!("<code>{}</code>", plain(text));
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // A space that a fence needs beside a backtick is not shown.
    let space = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    // A cell ends at every other `|`, in code as well.
    let text = text.replace('|', "\\|");
    format!("{fence}{space}{text}{space}{fence}")
}

/// A sentence of ours in which there may be text from outside: what stands between backticks is code, and nothing of the
/// rest is markup, a link or a mention.
fn prose(text: &str) -> String {
    let text = short(text);
    let mut prose = String::new();
    let mut parts = text.split('`').peekable();
    let mut is_code = false;
    while let Some(part) = parts.next() {
        let is_closed = parts.peek().is_some();
        match (is_code, is_closed) {
            (true, true) => prose.push_str(&code_span(part)),
            // Nothing ends it.
            (true, false) => prose.push_str(&plain(&format!("`{part}"))),
            (false, _) => prose.push_str(&plain(part)),
        }
        is_code = !is_code;
    }
    prose
}

/// Text that is nothing but text. A space of no width follows each `@`, `#` and `:` that a word follows, for GitHub looks for
/// mentions, issues and emoji, and Markdown for addresses, in what is shown.
fn plain(text: &str) -> String {
    let mut escaped = String::new();
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let ends_word = chars.peek().is_none_or(|next| *next == ' ');
        let _ = match c {
            // What begins with `www.` is an address.
            '.' if matches!(before, 'w' | 'W') => write!(escaped, "&#46;"),
            ' ' | '(' | ')' | ',' | ';' | '/' | '%' | '+' | '-' | '.' | '=' | '?' | '\'' => {
                write!(escaped, "{c}")
            }
            ':' if ends_word => write!(escaped, ":"),
            '@' | '#' | ':' => write!(escaped, "&#{};&#8203;", u32::from(c)),
            c if c.is_ascii_punctuation() => write!(escaped, "&#{};", u32::from(c)),
            c => write!(escaped, "{c}"),
        };
        before = c;
    }
    escaped
}

/// A text from outside: of visible characters, not too long.
fn short(text: &str) -> String {
    let text = visible(text);
    if text.chars().count() <= TEXT {
        return text;
    }
    text.chars().take(TEXT - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
