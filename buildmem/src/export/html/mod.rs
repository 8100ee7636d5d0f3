//! The report as one page that opens offline: what a reader needs within five seconds, then memory over time, who held
//! it at the peak, every process that matters, and the tables. Without scripts it is a page of pictures and tables;
//! with the one script that it brings, these can be asked.
//!
//! Nothing of it is fetched, and its content security policy allows no other script, style or connection. All texts
//! come from outside, command lines first of all: `markup` is what they go through.

mod colors;
mod data;
mod markup;
mod selection;
mod timeline;

use std::io::{self, Write};

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use self::colors::Colors;
use self::data::Data;
use self::markup::{Cell, Column, Table, Text, embedded};
pub use self::selection::MOST_PROCESSES;
use self::selection::Selection;
use self::timeline::Chart;
use crate::command_line::CommandLine;
use crate::event::{Note, VerifyCheck};
use crate::export::layout::{byte_size, count, percent, seconds, share, signed_size, size};
use crate::export::text::{SAID_OTHERWISE, missed_peak, signal_name};
use crate::history::{Counted, History, Keep};
use crate::report::{
    Budget, Composition, Escaped, Exit, JobPool, LeftRunning, OomVictim, Peak, ProcessAtPeak,
    ProcessClass, Profiler, Report, Stage, TopProcess, Verdict,
};
use crate::timeline::TimelineTable;
use crate::units::ByteSize;

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// What a page needs of a build's history: it chooses among them once more.
pub const KEEP: Keep = Keep::Most(MOST_PROCESSES);

/// Rows of a table that may have hundreds: the others are counted.
const MOST_ROWS: usize = 40;

/// Writes the page.
pub fn write(
    report: &Report,
    table: &TimelineTable,
    history: &History,
    out: &mut dyn Write,
) -> io::Result<()> {
    let colors = Colors::new(&report.stages);
    let chart = Chart::new(report, table, history, &colors);
    let selection = Selection::new(history, MOST_PROCESSES);
    let page = Page {
        report,
        colors: &colors,
        missed: missed_peak(&report.headline, report.peak.as_ref(), &report.host),
        span_s: chart.span_s,
    };
    page.write_head(out)?;
    page.write_header(out)?;
    writeln!(out, "<main>")?;
    write_timeline(&chart, out)?;
    page.write_at_peak(out)?;
    page.write_processes(&selection, out)?;
    page.write_tables(out)?;
    writeln!(out, "</main>")?;
    page.write_footer(out)?;
    let data = Data::new(history, &selection, &chart, &colors);
    let data = embedded(&serde_json::to_string(&data)?);
    write!(
        out,
        "<script type=\"application/json\" id=\"data\">{data}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// What may be loaded and run: this style, this script, and nothing from anywhere.
fn policy() -> String {
    let hash = |text: &str| {
        let digest = Sha256::digest(text.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(digest)
    };
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

/// What the sections have in common.
struct Page<'a> {
    report: &'a Report,
    colors: &'a Colors,
    /// See [`missed_peak`].
    missed: Option<f64>,
    span_s: f64,
}

impl Page<'_> {
    fn write_head(&self, out: &mut dyn Write) -> io::Result<()> {
        let label = Text(&self.report.label);
        writeln!(
            out,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"generator\" content=\"build-mem {}\">\n<title>{label} – build-mem</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            policy(),
            Text(&self.report.profiler.version)
        )
    }

    fn write_header(&self, out: &mut dyn Write) -> io::Result<()> {
        let Report {
            label,
            started_at,
            command,
            cwd,
            ..
        } = self.report;
        let command = CommandLine::from_args(command.iter().map(String::as_str)).display();
        let (mood, verdict) = verdict(self.report);
        write!(
            out,
            "<a class=\"skip\" href=\"#timeline\">Skip to the timeline</a><header><div class=\"bar-top\"><span class=\"brand\">build-mem</span><span class=\"run\"><b>{}</b> · {}</span><button id=\"theme\" type=\"button\" hidden>Dark</button></div>",
            Text(label),
            Text(started_at)
        )?;
        write!(
            out,
            "<h1><code title=\"in {}\">{}</code></h1><p class=\"verdict {mood}\"><b>{}</b> {}</p>",
            Text(cwd),
            Text(&command),
            Text(verdict),
            Text(&self.how_it_ended())
        )?;
        write!(out, "<div class=\"lead\"><div class=\"headline\">")?;
        let (figure, what) = self.headline();
        write!(
            out,
            "<p class=\"figure\" id=\"headline\">{}</p><p class=\"what\">{}</p>",
            Text(&figure),
            Text(&what)
        )?;
        write!(out, "</div>")?;
        self.write_facts(out)?;
        write!(out, "</div>")?;
        self.write_composition(out)?;
        let warnings = self.warnings();
        if !warnings.is_empty() {
            write!(out, "<ul class=\"warnings\">")?;
            for warning in warnings {
                write!(out, "<li>{}</li>", Text(&warning))?;
            }
            write!(out, "</ul>")?;
        }
        writeln!(out, "</header>")
    }

    /// The figure that the page is about, and what it is.
    fn headline(&self) -> (String, String) {
        let headline = &self.report.headline;
        let source = headline.source.as_deref().unwrap_or("source unknown");
        let peak = self.report.peak.as_ref();
        let (figure, what) = match (headline.bytes, headline.highest_sampled_bytes, peak) {
            (Some(bytes), _, _) => (
                size(bytes),
                format!("peak memory of the whole build, as the kernel kept it ({source})"),
            ),
            (None, Some(sampled), _) => (
                format!("≥ {}", size(sampled)),
                "at least: the highest sample; the exact peak is not known".to_owned(),
            ),
            (None, None, Some(peak)) => (
                format!("≥ {}", size(peak.pss_bytes)),
                "at least: the highest sampled sum of PSS; no cgroup could be read".to_owned(),
            ),
            (None, None, None) => ("unknown".to_owned(), "nothing was measured".to_owned()),
        };
        let who = peak
            .filter(|_| self.missed.is_none())
            .and_then(|peak| Some((peak, peak.stages.first().filter(|_| peak.stages.len() > 1)?)))
            .and_then(|(peak, stage)| {
                let part = share(i128::from(stage.pss_bytes), peak.pss_bytes)?;
                Some(format!(
                    ". {} of the processes’ memory was {}’s then",
                    percent(part),
                    stage.name
                ))
            });
        (figure, format!("{what}{}", who.unwrap_or_default()))
    }

    fn how_it_ended(&self) -> String {
        let Report {
            exit: Exit { code, signal },
            duration_s,
            verify,
            verdict,
            ..
        } = self.report;
        let how = match (code, signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("ended by {}", signal_name(*signal)),
            (None, None) => "its end was not seen".to_owned(),
        };
        let wrong = verify.iter().filter(|check| !check.ok).count();
        let checks = if *verdict == Verdict::VerificationFailed && wrong > 0 {
            format!(", {wrong} of {} checks failed", verify.len())
        } else {
            String::new()
        };
        format!("after {}, {how}{checks}", seconds(*duration_s))
    }

    /// The few figures beside the headline.
    fn write_facts(&self, out: &mut dyn Write) -> io::Result<()> {
        let Report {
            headline,
            peak,
            budget,
            processes,
            oom,
            ..
        } = self.report;
        let mut facts: Vec<(&str, String)> = Vec::new();
        if let Some(without) = headline
            .without_cache
            .as_ref()
            .filter(|_| self.missed.is_none())
        {
            facts.push(("without page cache", size(without.bytes)));
        }
        if let Some(limit) = headline.limit_bytes {
            facts.push(("limit", size(limit)));
        }
        if let Some(Budget {
            bytes,
            exceeded_by_bytes,
            stage: _,
        }) = budget
        {
            let word = match exceeded_by_bytes {
                Some(0) => "budget, kept",
                Some(_) => "budget, exceeded",
                None => "budget, not known to be kept",
            };
            facts.push((word, size(*bytes)));
        }
        if let Some(peak) = peak {
            let word = if self.missed.is_none() {
                "peak at"
            } else {
                "highest sample at"
            };
            facts.push((word, seconds(peak.at_s)));
        }
        facts.push(("processes", grouped(processes.forks)));
        facts.push(("most at once", grouped(processes.peak_live)));
        if let Some(kills) = oom.kills.filter(|kills| *kills > 0) {
            facts.push(("out-of-memory kills", kills.to_string()));
        }
        write!(out, "<dl class=\"facts\">")?;
        for (name, figure) in facts {
            write!(out, "<div><dt>{name}</dt><dd>{figure}</dd></div>")?;
        }
        write!(out, "</dl>")
    }

    /// What the cgroup's memory consisted of: the parts add up to what it held.
    fn write_composition(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some((held, parts)) = self.report.peak.as_ref().and_then(composition) else {
            return Ok(());
        };
        let drawn: i128 = parts.iter().map(|part| part.bytes.max(0)).sum();
        let width = |part: &Part| {
            let whole = u64::try_from(drawn).unwrap_or(u64::MAX);
            share(part.bytes.max(0), whole).unwrap_or(0.0) * 100.0
        };
        let title = if self.missed.is_none() {
            "At the peak"
        } else {
            "In the highest sample"
        };
        write!(
            out,
            "<div class=\"composition\"><p class=\"small\">{title} the cgroup held {}:</p><svg class=\"parts\" aria-hidden=\"true\">",
            size(held)
        )?;
        let mut x = 0.0;
        for part in parts.iter().filter(|part| part.bytes > 0) {
            let (class, width) = (part.class, width(part));
            write!(
                out,
                "<rect class=\"{class}\" x=\"{x:.2}%\" width=\"{width:.2}%\" height=\"100%\"/>"
            )?;
            x += width;
        }
        write!(out, "</svg><ul class=\"legend\">")?;
        for part in &parts {
            let of_held = share(part.bytes, held).map_or(String::new(), percent);
            write!(
                out,
                "<li title=\"{}\"><i class=\"dot {}\"></i>{} <b>{}</b> <span class=\"quiet\">{}</span></li>",
                Text(&part.remark),
                part.class,
                part.name,
                signed_size(part.bytes),
                Text(&of_held)
            )?;
        }
        writeln!(out, "</ul></div>")
    }

    /// What must be known before any figure is believed.
    fn warnings(&self) -> Vec<String> {
        let Report {
            headline,
            profiler,
            oom,
            exit,
            verdict,
            ..
        } = self.report;
        let mut warnings = Vec::new();
        if headline.saturated {
            let limit = headline.limit_bytes.map_or("unknown".to_owned(), size);
            warnings.push(format!(
                "The limit of {limit} was reached: the build may need more than the figure above."
            ));
        }
        if headline.bytes.is_some() && !headline.complete {
            let gone = (headline.escaped.iter())
                .fold(0_u64, |sum, escaped| sum.saturating_add(escaped.processes));
            warnings.push(match (gone, profiler.events_lost) {
                (0, 0) => {
                    "The figure is not known to be complete: what left the cgroup was not seen."
                        .to_owned()
                }
                (0, lost) => format!(
                    "The figure is not complete: {} lost.",
                    count(lost, "event was", "events were")
                ),
                (gone, _) => format!(
                    "The figure is not complete: {} left the cgroup.",
                    count(gone, "process", "processes")
                ),
            });
        }
        if let Some(part) = self.missed {
            warnings.push(format!(
                "The peak fell between two samples: the highest has only {} of it. Who held the rest is not known.",
                percent(part)
            ));
        }
        if self.report.peak.is_none() {
            warnings.push("No sample was taken: who held the memory is not known.".to_owned());
        }
        if *verdict == Verdict::Incomplete {
            warnings.push("The recording ends before the build does.".to_owned());
        }
        let was_killed = exit.signal == Some(9) || exit.code == Some(137);
        if was_killed && oom.kills == Some(0) && oom.victims.is_empty() {
            warnings.push(
                "It was not killed for want of memory: its cgroup counted no out-of-memory kill."
                    .to_owned(),
            );
        }
        for OomVictim {
            pid,
            command,
            stage,
        } in oom.victims.iter().take(3)
        {
            warnings.push(format!(
                "The kernel killed process {pid} of {stage} for want of memory: {command}"
            ));
        }
        warnings
    }

    fn write_at_peak(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(peak) = &self.report.peak else {
            return Ok(());
        };
        let title = if self.missed.is_none() {
            "Who held it at the peak"
        } else {
            "Who held it in the highest sample"
        };
        write!(
            out,
            "<section id=\"at-peak\" aria-labelledby=\"at-peak-title\"><div class=\"title\"><h2 id=\"at-peak-title\">{title}</h2><p class=\"small\">{} after the start: {} with {} of PSS together",
            seconds(peak.at_s),
            count(peak.processes.len() as u64, "process", "processes"),
            size(peak.pss_bytes)
        )?;
        let fresh = share(i128::from(peak.pss_read_bytes), peak.pss_bytes).unwrap_or(1.0);
        if fresh < 0.5 {
            write!(
                out,
                "; {} of it was read in this very sample, the rest before it and moved by the change of RSS",
                Text(&percent(fresh))
            )?;
        }
        write!(
            out,
            "</p></div><div id=\"treemap\" class=\"treemap\" hidden></div>"
        )?;
        let rows = peak.processes.iter().take(MOST_ROWS).map(|process| {
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
            let part = pss_bytes.and_then(|pss| share(i128::from(pss), peak.pss_bytes));
            vec![
                self.stage_cell(stage),
                Cell::size(*pss_bytes),
                Cell::Bar(self.colors.class(stage), part.unwrap_or(0.0)),
                Cell::size(*rss_bytes),
                Cell::plain(seconds(*age_s)),
                Cell::plain(pid.to_string()),
                command_cell(command),
            ]
        });
        let hidden = peak.processes.get(MOST_ROWS..).unwrap_or_default();
        let rest = (!hidden.is_empty()).then(|| {
            let pss = hidden.iter().filter_map(|process| process.pss_bytes);
            let pss: ByteSize = pss.map(ByteSize::from_bytes).sum();
            vec![
                Cell::Head(format!("{} more", hidden.len())),
                Cell::size(Some(pss.bytes())),
            ]
        });
        write!(
            out,
            "<details id=\"at-peak-table\" open><summary>As a table</summary>"
        )?;
        Table {
            caption: "Processes that were alive at the peak, the largest first",
            columns: vec![
                Column::words("stage"),
                Column::figure("PSS"),
                Column::bar(""),
                Column::figure("RSS"),
                Column::figure("age"),
                Column::figure("pid"),
                Column::words("command"),
            ],
            rows: rows.chain(rest).collect(),
        }
        .write(out)?;
        writeln!(out, "</details></section>")
    }

    fn write_processes(&self, selection: &Selection<'_>, out: &mut dyn Write) -> io::Result<()> {
        let kept = selection.kept.len();
        let Counted {
            processes: left_out,
            largest,
        } = selection.sum_left_out();
        write!(
            out,
            "<section id=\"processes\" aria-labelledby=\"processes-title\"><div class=\"title\"><h2 id=\"processes-title\">Processes</h2><p class=\"small\">"
        )?;
        if left_out == 0 {
            write!(
                out,
                "each with its lifetime and its exact peak RSS, of the kernel"
            )?;
        } else {
            let largest = largest.map_or(String::new(), |size| {
                format!(", none of them above {}", byte_size(size))
            });
            write!(
                out,
                "{} of {} are drawn: those at the peak, the killed, the largest, the longest, and who started them. {} more{largest} are counted below their parents",
                grouped(kept as u64),
                grouped(left_out + kept as u64),
                grouped(left_out)
            )?;
        }
        write!(
            out,
            "</p></div><div id=\"explorer\" class=\"explorer\" hidden></div>"
        )?;
        let rows = self.report.processes.top.iter().map(|process| {
            let TopProcess {
                pid,
                command,
                command_lossy: _,
                stage,
                peak_rss_bytes,
                started_s,
                ended_s,
                exit,
            } = process;
            let until = ended_s.unwrap_or(self.span_s);
            vec![
                self.stage_cell(stage),
                Cell::size(Some(*peak_rss_bytes)),
                Cell::Span(
                    self.colors.class(stage),
                    started_s / self.span_s,
                    until / self.span_s,
                ),
                Cell::plain(seconds(*started_s)),
                Cell::plain(ended_s.map_or("running".to_owned(), seconds)),
                Cell::plain(exit_word(*exit)),
                Cell::plain(pid.to_string()),
                command_cell(command),
            ]
        });
        write!(
            out,
            "<details id=\"largest\" open><summary>The largest as a table</summary>"
        )?;
        Table {
            caption: "The processes with the highest peak RSS, whenever they lived",
            columns: vec![
                Column::words("stage"),
                Column::figure("peak RSS"),
                Column::bar("lifetime"),
                Column::figure("from"),
                Column::figure("until"),
                Column::words("end"),
                Column::figure("pid"),
                Column::words("command"),
            ],
            rows: rows.collect(),
        }
        .write(out)?;
        writeln!(out, "</details></section>")
    }

    fn write_tables(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "<section id=\"tables\" aria-labelledby=\"tables-title\"><h2 id=\"tables-title\">In figures</h2>"
        )?;
        self.stages().write(out)?;
        self.classes().write(out)?;
        self.jobs().write(out)?;
        self.escaped().write(out)?;
        self.left_running().write(out)?;
        self.victims().write(out)?;
        self.verified().write(out)?;
        self.pressure().write(out)?;
        self.notes().write(out)?;
        self.profiler().write(out)?;
        writeln!(out, "</section>")
    }

    fn stages(&self) -> Table<'_> {
        let stages = &self.report.stages;
        let by_kernel = stages.iter().any(|stage| stage.peak_cgroup_bytes.is_some());
        let rows = stages.iter().map(|stage| {
            let Stage {
                name,
                started_s,
                wall_s,
                processes,
                peak_pss_bytes,
                peak_at_s,
                peak_cgroup_bytes,
                share_of_peak,
            } = stage;
            let color = self.colors.class(name);
            let end = (started_s + wall_s) / self.span_s;
            let mut row = vec![
                self.stage_cell(name),
                Cell::Bar(color.clone(), *share_of_peak),
                Cell::size(*peak_pss_bytes),
                Cell::plain(peak_at_s.map_or(String::new(), seconds)),
            ];
            if by_kernel {
                row.push(Cell::size(*peak_cgroup_bytes));
            }
            row.extend([
                Cell::plain(seconds(*wall_s)),
                Cell::Span(color, started_s / self.span_s, end),
                Cell::plain(processes.to_string()),
            ]);
            row
        });
        let mut columns = vec![
            Column::words("stage"),
            Column::bar("part of the peak"),
            Column::figure("own peak (PSS)"),
            Column::figure("at"),
        ];
        if by_kernel {
            columns.push(Column::figure("own peak (kernel)"));
        }
        columns.extend([
            Column::figure("wall"),
            Column::bar("from start to end"),
            Column::figure("processes"),
        ]);
        Table {
            caption: "Stages, in the order of their start",
            columns,
            rows: limited(rows, stages.len()),
        }
    }

    fn classes(&self) -> Table<'_> {
        let classes = &self.report.processes.classes;
        let rows = classes.iter().map(|class| {
            let ProcessClass {
                command_class,
                count,
                peak_rss_max_bytes,
                peak_rss_p50_bytes,
                peak_concurrency,
                pss_at_peak_bytes,
                share_of_peak,
            } = class;
            vec![
                Cell::Head(command_class.clone()),
                Cell::plain(count.to_string()),
                Cell::plain(peak_concurrency.to_string()),
                Cell::size(*peak_rss_max_bytes),
                Cell::size(*peak_rss_p50_bytes),
                Cell::size(Some(*pss_at_peak_bytes)),
                Cell::Bar("neutral".to_owned(), *share_of_peak),
            ]
        });
        Table {
            caption: "Process classes: by what they ran, the largest first",
            columns: vec![
                Column::words("class"),
                Column::figure("processes"),
                Column::figure("at once"),
                Column::figure("peak RSS"),
                Column::figure("median"),
                Column::figure("PSS at the peak"),
                Column::bar("part of the peak"),
            ],
            rows: limited(rows, classes.len()),
        }
    }

    fn jobs(&self) -> Table<'_> {
        let rows = self.report.jobs.iter().map(|pool| {
            let JobPool {
                tool,
                jobs,
                unmeasured: _,
                peak_concurrency,
                typical_bytes,
                largest_class,
                beside_bytes,
                others_bytes: _,
                largest_bytes,
            } = pool;
            vec![
                Cell::Head(tool.word().to_owned()),
                Cell::plain(jobs.to_string()),
                Cell::plain(peak_concurrency.to_string()),
                Cell::size(*typical_bytes),
                Cell::size(largest_bytes.first().copied()),
                Cell::plain(largest_class.clone().unwrap_or_default()),
                Cell::size(*beside_bytes),
            ]
        });
        Table {
            caption: "Parallel jobs: what one more costs (build-mem advise tells how many fit)",
            columns: vec![
                Column::words("tool"),
                Column::figure("jobs"),
                Column::figure("at once"),
                Column::figure("typical job"),
                Column::figure("largest job"),
                Column::words("which is"),
                Column::figure("beside them"),
            ],
            rows: rows.collect(),
        }
    }

    fn escaped(&self) -> Table<'_> {
        let escaped = &self.report.headline.escaped;
        let rows = escaped.iter().map(|escaped| {
            let Escaped {
                cgroup,
                processes,
                peak_bytes,
            } = escaped;
            vec![
                Cell::Code(cgroup.clone()),
                Cell::plain(processes.to_string()),
                Cell::size(*peak_bytes),
            ]
        });
        Table {
            caption: "Where processes went: this memory is not in the headline",
            columns: vec![
                Column::words("cgroup"),
                Column::figure("processes"),
                Column::figure("peak"),
            ],
            rows: limited(rows, escaped.len()),
        }
    }

    fn left_running(&self) -> Table<'_> {
        let left = &self.report.processes.left_running;
        let rows = left.iter().map(|process| {
            let LeftRunning {
                pid,
                command,
                stage,
                peak_rss_bytes,
            } = process;
            vec![
                self.stage_cell(stage),
                Cell::size(*peak_rss_bytes),
                Cell::plain(pid.to_string()),
                command_cell(command),
            ]
        });
        Table {
            caption: "Left running: these outlived the build",
            columns: vec![
                Column::words("stage"),
                Column::figure("peak RSS"),
                Column::figure("pid"),
                Column::words("command"),
            ],
            rows: limited(rows, left.len()),
        }
    }

    fn victims(&self) -> Table<'_> {
        let victims = &self.report.oom.victims;
        let rows = victims.iter().map(|victim| {
            let OomVictim {
                pid,
                command,
                stage,
            } = victim;
            vec![
                self.stage_cell(stage),
                Cell::plain(pid.to_string()),
                command_cell(command),
            ]
        });
        Table {
            caption: "Killed for want of memory",
            columns: vec![
                Column::words("stage"),
                Column::figure("pid"),
                Column::words("command"),
            ],
            rows: limited(rows, victims.len()),
        }
    }

    fn verified(&self) -> Table<'_> {
        let rows = self.report.verify.iter().map(|check| {
            let VerifyCheck {
                path,
                ok,
                detail,
                bytes: _,
            } = check;
            vec![Cell::Head(path.clone()), Cell::Outcome(*ok, detail.clone())]
        });
        Table {
            caption: "Verification: what the build had to leave",
            columns: vec![Column::words("what"), Column::words("found")],
            rows: rows.collect(),
        }
    }

    fn pressure(&self) -> Table<'_> {
        let pressure = &self.report.pressure;
        let time = |name: &str, seconds: Option<f64>| {
            let seconds = seconds.filter(|seconds| *seconds > 0.0)?;
            Some(vec![
                Cell::Head(name.to_owned()),
                Cell::plain(format!("{seconds:.2} s")),
            ])
        };
        let swap = pressure.swap_peak_bytes.filter(|swap| *swap > 0);
        let swap = swap.map(|swap| {
            vec![
                Cell::Head("swap at the most".to_owned()),
                Cell::plain(size(swap)),
            ]
        });
        let events = pressure
            .events
            .iter()
            .flatten()
            .filter(|(_, times)| **times > 0);
        let events = events.map(|(name, times)| {
            vec![
                Cell::Head(format!("memory.events: {name}")),
                Cell::plain(times.to_string()),
            ]
        });
        let rows = [
            time("some process waited for memory", pressure.stalled_some_s),
            time("all processes waited for memory", pressure.stalled_full_s),
            swap,
        ];
        Table {
            caption: "Want of memory",
            columns: vec![Column::words("what"), Column::figure("how much")],
            rows: rows.into_iter().flatten().chain(events).collect(),
        }
    }

    fn notes(&self) -> Table<'_> {
        let rows = self.report.notes.iter().map(|note| {
            let Note { what, why } = note;
            // What the page says elsewhere, or has no place for, comes last and in no need of attention.
            let is_known = SAID_OTHERWISE.contains(&what.as_str());
            (
                is_known,
                vec![Cell::Head(what.clone()), Cell::plain(why.clone())],
            )
        });
        let (known, news): (Vec<_>, Vec<_>) = rows.partition(|(is_known, _)| *is_known);
        Table {
            caption: "Notes: what is absent above, and what must be known to trust the rest",
            columns: vec![Column::words("about"), Column::words("note")],
            rows: news.into_iter().chain(known).map(|(_, row)| row).collect(),
        }
    }

    fn profiler(&self) -> Table<'_> {
        let Profiler {
            version,
            kernel,
            tracker,
            interval_ms,
            samples,
            samples_triggered,
            samples_put_off,
            events_lost,
            sampler_cpu_s,
            total_cpu_s,
            peak_rss_bytes,
        } = &self.report.profiler;
        let host = &self.report.host;
        let duration_s = self.report.duration_s.max(f64::MIN_POSITIVE);
        let cpu = |cpu_s: &Option<f64>| {
            cpu_s.map_or("unknown".to_owned(), |cpu_s| {
                format!(
                    "{cpu_s:.3} s, {:.2} % of a core",
                    100.0 * cpu_s / duration_s
                )
            })
        };
        let cgroup = host
            .cgroup_version
            .map_or("none".to_owned(), |version| format!("v{version}"));
        let mut rows = vec![
            ("events lost", events_lost.to_string()),
            ("CPU time of build-mem", cpu(total_cpu_s)),
            ("of it the sampler", cpu(sampler_cpu_s)),
            (
                "peak RSS of build-mem",
                peak_rss_bytes.map_or("unknown".to_owned(), size),
            ),
            (
                "samples",
                format!(
                    "{samples}, one every {interval_ms} ms; {samples_triggered} of them as memory grew, {samples_put_off} put off"
                ),
            ),
            ("tracker", tracker.clone()),
            ("build-mem", version.clone()),
            ("kernel", format!("Linux {kernel}, cgroup {cgroup}")),
            (
                "host",
                format!(
                    "{}, {}",
                    count(host.cpus, "CPU", "CPUs"),
                    size(host.memory_bytes)
                ),
            ),
        ];
        rows.extend(host.image.clone().map(|image| ("container image", image)));
        let rows = rows
            .into_iter()
            .map(|(name, text)| vec![Cell::Head(name.to_owned()), Cell::plain(text)]);
        Table {
            caption: "The measurement: how complete it is, and what it cost",
            columns: vec![Column::words("what"), Column::words("")],
            rows: rows.collect(),
        }
    }

    fn write_footer(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "<footer><p class=\"small\">PSS counts a page that several processes share once; RSS counts it for each. Made by build-mem {} from its recording: <code>build-mem report {} --format html</code></p></footer>",
            Text(&self.report.profiler.version),
            Text(&self.report.label)
        )
    }

    fn stage_cell(&self, stage: &str) -> Cell {
        Cell::Stage(self.colors.class(stage), stage.to_owned())
    }
}

fn command_cell(command: &str) -> Cell {
    if command.is_empty() {
        Cell::plain("unknown")
    } else {
        Cell::Code(shortened(command))
    }
}

/// A command line in a table: its start. The whole is in the details of the process.
fn shortened(command: &str) -> String {
    const LONGEST: usize = 300;
    if command.chars().count() <= LONGEST {
        return command.to_owned();
    }
    command.chars().take(LONGEST).chain(['…']).collect()
}

fn exit_word(exit: Exit) -> String {
    let Exit { code, signal } = exit;
    match (code, signal) {
        (Some(0), _) => "ok".to_owned(),
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => signal_name(signal),
        (None, None) => String::new(),
    }
}

/// The rows that a table shows, and how many it does not.
fn limited(rows: impl Iterator<Item = Vec<Cell>>, count: usize) -> Vec<Vec<Cell>> {
    let rest = count.saturating_sub(MOST_ROWS);
    let more = (rest > 0).then(|| vec![Cell::Head(format!("{rest} more, in the result"))]);
    rows.take(MOST_ROWS).chain(more).collect()
}

/// Memory over time, with what tells of the part that was chosen.
fn write_timeline(chart: &Chart, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "<section id=\"timeline\" aria-labelledby=\"timeline-title\"><div class=\"title\"><h2 id=\"timeline-title\">Memory over time</h2><p class=\"small\">proportional set size by stage; a page that several processes share is counted once</p></div>"
    )?;
    if chart.points.is_empty() {
        return writeln!(out, "<p class=\"quiet\">No sample was taken.</p></section>");
    }
    chart.write(out)?;
    write!(
        out,
        "<div class=\"range\" id=\"range\" hidden><p id=\"range-text\" role=\"status\"></p><button id=\"range-clear\" type=\"button\" hidden>Whole build</button></div>"
    )?;
    if chart.samples > chart.points.len() {
        write!(
            out,
            "<p class=\"small\">{} of {} samples are drawn: the highest of each moment.</p>",
            chart.points.len(),
            chart.samples
        )?;
    }
    writeln!(out, "</section>")
}

/// A number of things, its digits in groups: `100,001`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How the build went, and in a word.
const fn verdict(report: &Report) -> (&'static str, &'static str) {
    match report.verdict {
        Verdict::Pass => ("good", "✓ Passed"),
        Verdict::BuildFailed => ("bad", "✗ Build failed"),
        Verdict::BuildKilled => ("bad", "✗ Build killed"),
        Verdict::OutOfMemory => ("bad", "✗ Out of memory"),
        Verdict::OverBudget => ("bad", "✗ Over budget"),
        Verdict::Interrupted => ("warn", "! Interrupted"),
        Verdict::VerificationFailed => ("bad", "✗ Verification failed"),
        Verdict::Incomplete => ("warn", "! Incomplete"),
    }
}

/// A part of what the cgroup held.
struct Part {
    name: &'static str,
    class: &'static str,
    bytes: i128,
    remark: String,
}

/// What the cgroup held, and its parts; `None` where they are not known.
fn composition(peak: &Peak) -> Option<(u64, Vec<Part>)> {
    let held = peak.cgroup_bytes?;
    let Composition {
        anon,
        file_mapped,
        file_unmapped,
        shmem,
        kernel,
        charged_elsewhere,
        unattributed,
    } = peak.composition?;
    let elsewhere = -i128::from(charged_elsewhere);
    let others = i128::from(file_unmapped)
        + i128::from(shmem)
        + i128::from(kernel.unwrap_or(0))
        + elsewhere
        + i128::from(unattributed);
    let part = |name, class, bytes, remark: &str| Part {
        name,
        class,
        bytes,
        remark: remark.to_owned(),
    };
    let charged = format!(
        "anonymous {}, mapped files {}",
        size(anon),
        size(file_mapped)
    );
    let mut parts = vec![
        part("processes", "c0", i128::from(held) - others, &charged),
        part(
            "page cache",
            "c1",
            i128::from(file_unmapped),
            "files that no process has mapped: the kernel can take it back",
        ),
    ];
    if shmem > 0 {
        parts.push(part(
            "shared",
            "c2",
            i128::from(shmem),
            "tmpfs and shared mappings",
        ));
    }
    if let Some(kernel) = kernel {
        parts.push(part(
            "kernel",
            "c3",
            i128::from(kernel),
            "stacks, page tables, slab",
        ));
    }
    if elsewhere < 0 {
        parts.push(part(
            "not charged",
            "c4",
            elsewhere,
            "libraries that were in memory before the build",
        ));
    }
    let remark = "what the parts do not explain";
    parts.push(part("unattributed", "c5", i128::from(unattributed), remark));
    Some((held, parts))
}

#[cfg(test)]
mod tests;
