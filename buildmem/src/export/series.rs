//! Several runs of one build, for people and for programs.

use std::io::{self, Write};

use anstyle::Style;

use super::json::RESULT_MARK;
use super::layout::{Cell, Column, Line, Table, count, seconds, shorten_command, size};
use super::text::{Palette, wrapped};
use crate::command_line::CommandLine;
use crate::report::Verdict;
use crate::series::{
    Finding, RunSample, Series, SizeSpread, StageStatistics, Statistics, TimeSpread,
};

/// Narrower than that it is cut.
const NARROWEST: usize = 40;

/// Writes the series as it stands in its file.
pub fn write_json(series: &Series, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, series)?;
    out.write_all(b"\n")
}

/// The series on the one line that a script finds in a log, where a single run has its result.
pub fn result_line(series: &Series) -> io::Result<String> {
    Ok(format!("{RESULT_MARK} {}", serde_json::to_string(series)?))
}

/// What is told of a run when it has ended. `which` is such as `run 3 of 5`; `median` is that of the headlines so far.
pub fn progress(which: &str, run: &RunSample, median: Option<SizeSpread>) -> String {
    let mut parts = Vec::new();
    if run.verdict != Verdict::Pass {
        parts.push(run.verdict.word().to_owned());
    }
    parts.push(optional(run.headline_bytes));
    if let Some(bytes) = run.without_cache_bytes {
        parts.push(format!("{} without page cache", size(bytes)));
    }
    parts.push(seconds(run.duration_s));
    let median = median
        .filter(|median| median.runs > 1)
        .map(|median| format!("; median so far {}", size(median.median_bytes)));
    format!(
        "{which}: {}{}",
        parts.join(", "),
        median.unwrap_or_default()
    )
}

/// Writes the series for people, at most `width` columns wide.
pub fn write(
    series: &Series,
    palette: &Palette,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Series {
        schema: _,
        label,
        started_at: _,
        command,
        cwd: _,
        verdict,
        budget,
        runs: _,
        runs_asked_for,
        warmup,
        prepare,
        samples,
        warmups: _,
        statistics,
        findings,
        host: _,
    } = series;
    let mut page = Page {
        palette: *palette,
        width: width.max(NARROWEST),
        lines: Vec::new(),
    };
    page.title(label, command, *warmup, prepare.as_deref());
    page.verdict(*verdict, samples, *runs_asked_for);
    if let Some(budget) = budget {
        let (style, text) = match budget.exceeded_by_bytes {
            Some(0) => (palette.good, "the median is within it".to_owned()),
            Some(more) => (
                palette.bad,
                format!("the median is {} above it", size(more)),
            ),
            None => (palette.warning, "no run had a headline".to_owned()),
        };
        let budget = format!("Budget {}: {text}", size(budget.bytes));
        page.lines.push(Line::default().text(style, &budget));
    }
    page.statistics(statistics);
    page.stages(&statistics.stages);
    page.runs(samples);
    page.findings(findings);
    for line in &page.lines {
        line.write(page.width, out)?;
    }
    Ok(())
}

struct Page {
    palette: Palette,
    width: usize,
    lines: Vec<Line>,
}

impl Page {
    fn title(&mut self, label: &str, command: &[String], warmup: u64, prepare: Option<&str>) {
        let Palette { title, faint, .. } = self.palette;
        let command = CommandLine::from_args(command.iter().map(String::as_str)).display();
        let mut line = Line::default().text(title, &shorten_command(&command, self.width / 2));
        let warmup = match warmup {
            0 => String::new(),
            warmup => format!(", after {}", count(warmup, "warm-up", "warm-ups")),
        };
        line.push(Style::new(), "   ");
        line.push(faint, &format!("series {label}{warmup}"));
        self.lines.push(line);
        if let Some(prepare) = prepare {
            let prepare = format!("each prepared by: {prepare}");
            self.lines.push(Line::default().text(faint, &prepare));
        }
        self.lines.push(Line::default());
    }

    fn verdict(&mut self, verdict: Verdict, samples: &[RunSample], asked_for: u64) {
        let Palette {
            good, bad, warning, ..
        } = self.palette;
        let runs = count(samples.len() as u64, "run", "runs");
        let (style, text) = match (verdict, samples.last()) {
            (Verdict::Pass | Verdict::OverBudget, _) => (good, format!("{runs} passed")),
            (Verdict::Incomplete, _) => (
                warning,
                format!("{} of {asked_for} runs were made", samples.len()),
            ),
            (Verdict::Interrupted, _) => {
                (warning, format!("interrupted after {runs} of {asked_for}"))
            }
            (verdict, last) => {
                let with = last.map_or_else(String::new, |last| format!(" with {}", last.label));
                let text = format!("ended early{with}: {}", verdict.word());
                (bad, text)
            }
        };
        self.lines.push(Line::default().text(style, &text));
    }

    fn table(&mut self, title: &str, columns: Vec<Column>, rows: Vec<Vec<Cell>>) {
        if rows.is_empty() {
            return;
        }
        let table = Table {
            title: (self.palette.title, title.to_owned()),
            heads: self.palette.faint,
            columns,
            rows,
        };
        self.lines.push(Line::default());
        self.lines.extend(table.lines(self.width));
    }

    fn statistics(&mut self, statistics: &Statistics) {
        let Statistics {
            headline,
            without_cache,
            duration,
            stages: _,
        } = statistics;
        let row = |name: &str, figures: [String; 4]| {
            let [median, rest @ ..] = figures;
            let figures = rest.map(Cell::plain);
            let median = Cell::Text(self.palette.figure, median);
            [Cell::plain(name), median]
                .into_iter()
                .chain(figures)
                .collect::<Vec<_>>()
        };
        let sizes = |spread: &SizeSpread| {
            [
                spread.median_bytes,
                spread.min_bytes,
                spread.max_bytes,
                spread.mad_bytes,
            ]
            .map(size)
        };
        let times = |spread: &TimeSpread| {
            [spread.median_s, spread.min_s, spread.max_s, spread.mad_s].map(seconds)
        };
        let rows = [
            headline.as_ref().map(|it| row("peak", sizes(it))),
            (without_cache.as_ref()).map(|it| row("without page cache", sizes(it))),
            duration.as_ref().map(|it| row("duration", times(it))),
        ];
        let columns = vec![
            Column::left("", 18),
            Column::right("median", 10),
            Column::right("min", 10),
            Column::right("max", 10),
            Column::right("MAD", 10).sparing(1),
        ];
        self.table("All runs", columns, rows.into_iter().flatten().collect());
    }

    fn stages(&mut self, stages: &[StageStatistics]) {
        // One that is the whole build says nothing new.
        if stages.len() < 2 {
            return;
        }
        let spread = |it: Option<SizeSpread>| {
            it.map_or_else(String::new, |it| {
                format!("{} … {}", size(it.min_bytes), size(it.max_bytes))
            })
        };
        let row = |stage: &StageStatistics| {
            let StageStatistics {
                name,
                peak_pss,
                peak_cgroup,
                wall,
            } = stage;
            vec![
                Cell::plain(name.clone()),
                Cell::Text(
                    self.palette.figure,
                    optional(peak_pss.map(|it| it.median_bytes)),
                ),
                Cell::plain(spread(*peak_pss)),
                Cell::plain(optional(peak_cgroup.map(|it| it.median_bytes))),
                Cell::plain(wall.map_or_else(String::new, |it| seconds(it.median_s))),
            ]
        };
        let columns = vec![
            Column::left("", 18),
            Column::right("median PSS", 10),
            Column::right("min … max", 10).sparing(2),
            Column::right("cgroup", 10).sparing(1),
            Column::right("wall", 8),
        ];
        self.table("Stages", columns, stages.iter().map(row).collect());
    }

    fn runs(&mut self, samples: &[RunSample]) {
        let row = |run: &RunSample| {
            let (style, verdict) = match run.verdict {
                Verdict::Pass if run.exit_code == 0 => (Style::new(), String::new()),
                Verdict::Pass => (self.palette.warning, "not trustworthy".to_owned()),
                verdict => (self.palette.bad, verdict.word().to_owned()),
            };
            vec![
                Cell::plain(run.label.clone()),
                Cell::plain(optional(run.headline_bytes)),
                Cell::plain(optional(run.without_cache_bytes)),
                Cell::plain(seconds(run.duration_s)),
                Cell::plain(run.forks.to_string()),
                Cell::Text(style, verdict),
            ]
        };
        let columns = vec![
            Column::left("", 18),
            Column::right("peak", 10),
            Column::right("without cache", 10),
            Column::right("duration", 10),
            Column::right("processes", 9).sparing(1),
            Column::left("", 0),
        ];
        self.table("Each run", columns, samples.iter().map(row).collect());
    }

    fn findings(&mut self, findings: &[Finding]) {
        if findings.is_empty() {
            return;
        }
        self.lines.push(Line::default());
        for finding in findings {
            let Finding {
                kind: _,
                runs: _,
                why,
                help,
            } = finding;
            self.prose(self.palette.warning, "!", why);
            if let Some(help) = help {
                self.prose(self.palette.faint, "→", help);
            }
        }
    }

    /// A paragraph with a mark before it.
    fn prose(&mut self, style: Style, mark: &str, text: &str) {
        for (index, part) in wrapped(text, self.width - 4).into_iter().enumerate() {
            let mut line = Line::default();
            line.fill(if mark == "!" { 0 } else { 2 });
            line.push(style, if index == 0 { mark } else { " " });
            line.push(style, &format!(" {part}"));
            self.lines.push(line);
        }
    }
}

fn optional(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), size)
}

#[cfg(test)]
mod tests {
    use crate::report::Host;
    use crate::series::{Asked, StageSample};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn run(number: u64, headline: u64, duration_s: f64) -> RunSample {
        let stage = |name: &str, mib: u64| StageSample {
            name: name.to_owned(),
            wall_s: duration_s / 2.0,
            peak_pss_bytes: Some(mib * MIB),
            peak_cgroup_bytes: (number > 1).then_some((mib + 9) * MIB),
        };
        RunSample {
            label: format!("before.{number}"),
            started_at: "2026-01-01T00:00:00Z".to_owned(),
            verdict: Verdict::Pass,
            exit_code: 0,
            headline_bytes: Some(headline * MIB),
            without_cache_bytes: Some(1000 * MIB),
            duration_s,
            complete: true,
            saturated: false,
            limit_bytes: None,
            forks: 240 + number,
            other_cpus: Some(0.0),
            stages: vec![stage("build-deps", 400 + number), stage("next-build", 990)],
            classes: [("node".to_owned(), 9)].into(),
        }
    }

    fn series() -> Series {
        let report = crate::export::samples::monorepo();
        let asked = Asked {
            runs: 4,
            warmup: 1,
            prepare: Some("rm -rf \x1b[31m.cache".to_owned()),
            budget: Some(1100 * MIB),
        };
        let samples = [
            run(1, 1900, 61.0),
            run(2, 1210, 41.5),
            run(3, 1200, 41.0),
            run(4, 1204, 41.25),
        ];
        let host = Host {
            cpus: 2,
            ..report.host.clone()
        };
        Series {
            host,
            ..Series::new("before", &asked, &[run(0, 5, 1.0)], &samples, &report)
        }
    }

    fn text(series: &Series, width: usize) -> String {
        let mut text = Vec::new();
        write(series, &Palette::plain(), width, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_series_for_people() {
        insta::assert_snapshot!(text(&series(), 100));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_none_has_control_codes() {
        for width in [40, 60, 100] {
            for line in text(&series(), width).lines() {
                assert!(
                    crate::export::layout::width(line) <= width,
                    "{width}: {line}"
                );
                assert!(!line.contains('\x1b'), "{line:?}");
            }
        }
    }

    #[test]
    fn a_series_is_read_back_as_it_was_from_its_file_and_from_its_line() {
        let series = series();
        let mut file = Vec::new();
        write_json(&series, &mut file).unwrap();
        assert_eq!(serde_json::from_slice::<Series>(&file).unwrap(), series);
        let line = result_line(&series).unwrap();
        assert!(!line.contains(['\n', '\x1b']));
        let json = line.strip_prefix("[BUILD-MEM RESULT] ").unwrap();
        assert_eq!(serde_json::from_str::<Series>(json).unwrap(), series);
    }

    #[test]
    fn how_far_it_is_on_one_line() {
        let series = series();
        let told = progress("run 4 of 4", &series.samples[3], series.statistics.headline);
        assert_eq!(
            told,
            "run 4 of 4: 1.18 GiB, 1000.00 MiB without page cache, 41.25 s; median so far 1.18 GiB"
                .replace("1000.00 MiB", &size(1000 * MIB))
        );
    }
}
