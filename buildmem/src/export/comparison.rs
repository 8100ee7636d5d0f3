//! What changed between two builds, for people and for programs: `docs/comparison-1.schema.json` describes the latter.

pub mod html;
pub mod markdown;

use std::io::{self, Write};

use anstyle::Style;

use super::layout::{
    Cell, Column, Line, Table, count, seconds, shorten_command, signed_size, size, visible,
    width as width_of,
};
use super::text::{Palette, wrapped};
use crate::command_line::CommandLine;
use crate::compare::{
    ArtifactChange, Change, ClassChange, Comparison, FailAbove, Figures, Finding, Refusal, Run,
    Side, StageChange, StageSource, Unit,
};
use crate::event::Note;
use crate::statistics::rounded;

/// Narrower than that it is cut.
const NARROWEST: usize = 40;

/// Of the classes that changed, so many are listed.
const CLASSES: usize = 8;

/// Width of the names at the least.
const NAMES: usize = 14;

/// Width of a size.
const SIZES: usize = 10;

/// Without known noise, a class is listed when its peak changed by this part at the least, and by a MiB.
const WORTH_A_LINE: f64 = 0.02;

const MIB: f64 = 1024.0 * 1024.0;

/// Writes the comparison as JSON.
pub fn write_json(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, comparison)?;
    out.write_all(b"\n")
}

/// Writes the comparison for people, at most `width` columns wide.
pub fn write(
    comparison: &Comparison,
    palette: &Palette,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Comparison {
        schema: _,
        base,
        new,
        refusals,
        headline,
        without_cache,
        duration,
        processes,
        stages,
        classes,
        artifacts,
        fail_above,
        notes,
    } = comparison;
    let mut page = Page {
        palette: *palette,
        width: width.max(NARROWEST),
        lines: Vec::new(),
    };
    page.title(base, new);
    page.refusals(refusals);
    page.conclusion(headline, fail_above.as_ref());
    page.section(
        "",
        vec![
            page.row("Peak memory", headline, Taste::LessIsBetter),
            page.row("without cache", without_cache, Taste::LessIsBetter),
            page.row("Duration", duration, Taste::LessIsBetter),
            page.row("Processes", processes, Taste::None),
        ],
    );
    page.stages(stages);
    page.classes(classes);
    page.artifacts(artifacts);
    page.runs(base, new);
    page.notes(notes);
    for line in &page.lines {
        line.write(page.width, out)?;
    }
    Ok(())
}

/// Whether less of something is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taste {
    LessIsBetter,
    None,
}

struct Page {
    palette: Palette,
    width: usize,
    lines: Vec<Line>,
}

impl Page {
    fn blank(&mut self) {
        self.lines.push(Line::default());
    }

    fn title(&mut self, base: &Side, new: &Side) {
        let Palette { title, faint, .. } = self.palette;
        let sides = format!("{} → {}", named(base), named(new));
        let command = shown_command(&new.command);
        let place = self.width.saturating_sub(width_of(&visible(&sides)) + 3);
        let mut line = Line::default().text(title, &shorten_command(&command, place));
        line.fill(self.width.saturating_sub(width_of(&visible(&sides))));
        line.push(faint, &sides);
        self.lines.push(line);
        self.blank();
    }

    /// A mark and prose beside it.
    fn prose(&mut self, style: Style, mark: &str, text: &str) {
        let mut line = Line::default().text(style, mark);
        for part in wrapped(&visible(text), self.width.saturating_sub(2)) {
            line.fill(2);
            line.push(Style::new(), &part);
            self.lines.push(std::mem::take(&mut line));
        }
    }

    /// What makes it no comparison of before and after, though it was asked for.
    fn refusals(&mut self, refusals: &[Refusal]) {
        for Refusal { what: _, why } in refusals {
            self.prose(self.palette.warning, "!", why);
        }
        if !refusals.is_empty() {
            self.prose(Style::new(), "", "What follows may be due to that alone.");
            self.blank();
        }
    }

    fn conclusion(&mut self, headline: &Change, fail_above: Option<&FailAbove>) {
        let Palette {
            good, bad, warning, ..
        } = self.palette;
        let (style, mark) = match headline.finding {
            Finding::Grew => (bad, "▲"),
            Finding::Shrank => (good, "▼"),
            Finding::WithinNoise | Finding::Same => (Style::new(), "="),
            Finding::NoiseUnknown | Finding::Appeared | Finding::Gone | Finding::Unknown => {
                (warning, "?")
            }
        };
        self.prose(style, mark, &sentence(headline));
        if let Some(fail_above) = fail_above {
            let (style, mark) = match fail_above.exceeded {
                Some(true) => (bad, "✗"),
                Some(false) => (good, "✓"),
                None => (warning, "?"),
            };
            self.prose(style, mark, &judgement(fail_above));
        }
        self.blank();
    }

    fn row(&self, name: &str, change: &Change, taste: Taste) -> Vec<Cell> {
        let Palette {
            figure,
            faint,
            good,
            bad,
            warning,
            ..
        } = self.palette;
        let side = |figures: Option<Figures>, style| match figures {
            Some(figures) => Cell::Text(style, amount(change.unit, figures.median)),
            None => Cell::Text(faint, "-".to_owned()),
        };
        let style = match (change.finding, taste) {
            (Finding::Grew, Taste::LessIsBetter) => bad,
            (Finding::Shrank, Taste::LessIsBetter) => good,
            (Finding::NoiseUnknown, Taste::LessIsBetter) => warning,
            (Finding::WithinNoise | Finding::Same, _) => faint,
            (Finding::Grew | Finding::Shrank | Finding::NoiseUnknown, Taste::None)
            | (Finding::Appeared | Finding::Gone | Finding::Unknown, _) => Style::new(),
        };
        vec![
            Cell::plain(name),
            side(change.base, Style::new()),
            side(change.new, figure),
            Cell::Text(
                style,
                change
                    .difference
                    .map_or_else(String::new, |by| signed(change.unit, by)),
            ),
            Cell::Text(style, change.share.map_or_else(String::new, signed_percent)),
            Cell::Text(style, remark(change)),
        ]
    }

    fn section(&mut self, title: &str, rows: Vec<Vec<Cell>>) {
        let columns = vec![
            Column::left("", NAMES),
            Column::right("base", SIZES),
            Column::right("new", SIZES),
            Column::right("change", SIZES + 1),
            Column::right("", 7).sparing(1),
            Column::left("", 0).sparing(2),
        ];
        self.table(title, columns, rows);
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
        self.lines.extend(table.lines(self.width));
    }

    fn stages(&mut self, stages: &[StageChange]) {
        if stages.len() < 2 {
            return;
        }
        self.blank();
        let rows = stages
            .iter()
            .map(|stage| self.row(&stage.name, &stage.peak, Taste::LessIsBetter));
        let rows = rows.collect();
        self.section("Stages", rows);
        self.aside(&stage_sources(stages));
    }

    fn aside(&mut self, text: &str) {
        for part in wrapped(text, self.width.saturating_sub(2)) {
            let mut line = Line::default();
            line.fill(2);
            line.push(self.palette.faint, &part);
            self.lines.push(line);
        }
    }

    fn classes(&mut self, classes: &[ClassChange]) {
        let changed = changed_classes(classes);
        if changed.is_empty() {
            return;
        }
        self.blank();
        let rows = changed.iter().take(CLASSES).map(|class| {
            let ClassChange {
                command_class,
                count,
                peak_rss,
            } = class;
            let mut row = self.row(command_class, peak_rss, Taste::LessIsBetter);
            // Beside the peak of the largest, how many there are says more than the noise of that.
            if let Some(last) = row.last_mut() {
                *last = Cell::plain(counts(count));
            }
            row
        });
        let rows = rows.collect();
        self.section("Largest of class", rows);
        if let Some(hidden) = changed
            .len()
            .checked_sub(CLASSES)
            .filter(|hidden| *hidden > 0)
        {
            self.aside(&format!("… {hidden} more changed"));
        }
    }

    fn artifacts(&mut self, artifacts: &[ArtifactChange]) {
        if artifacts.is_empty() {
            return;
        }
        self.blank();
        let rows = artifacts.iter().map(|artifact| {
            let ArtifactChange { path, size } = artifact;
            self.row(path, size, Taste::None)
        });
        let rows = rows.collect();
        self.section("Artifacts", rows);
    }

    /// All runs, where there are several.
    fn runs(&mut self, base: &Side, new: &Side) {
        if base.runs.len() + new.runs.len() < 3 {
            return;
        }
        self.blank();
        let row = |side: &str, run: &Run| {
            let bytes =
                |bytes: Option<u64>| Cell::plain(bytes.map_or_else(|| "-".to_owned(), size));
            vec![
                Cell::plain(run.label.clone()),
                bytes(run.headline_bytes),
                bytes(run.without_cache_bytes),
                Cell::plain(seconds(run.duration_s)),
                Cell::Text(self.palette.faint, side.to_owned()),
            ]
        };
        let rows = (base.runs.iter().map(|run| row("base", run)))
            .chain(new.runs.iter().map(|run| row("new", run)));
        let rows = rows.collect();
        let columns = vec![
            Column::left("", NAMES),
            Column::right("peak", SIZES),
            Column::right("no cache", SIZES),
            Column::right("duration", SIZES + 1),
            Column::left("", 0).sparing(1),
        ];
        self.table("Runs", columns, rows);
    }

    fn notes(&mut self, notes: &[Note]) {
        if notes.is_empty() {
            return;
        }
        self.blank();
        let title = Line::default().text(self.palette.title, "Notes");
        self.lines.push(title);
        for Note { what, why } in notes {
            self.prose(self.palette.warning, "!", &format!("{what}: {why}"));
        }
    }
}

fn shown_command(command: &[String]) -> String {
    CommandLine::from_args(command.iter().map(String::as_str)).display()
}

/// `before (5 runs)`.
fn named(side: &Side) -> String {
    match side.runs.len() {
        1 => side.name.clone(),
        runs => format!("{} ({runs} runs)", side.name),
    }
}

/// The finding about the peak in a sentence.
fn sentence(headline: &Change) -> String {
    let change = || {
        let by = headline.difference.unwrap_or_default();
        let percent = headline
            .share
            .map_or_else(String::new, |share| format!(" ({})", signed_percent(share)));
        format!("{}{percent}", signed(headline.unit, by))
    };
    let noise = || {
        headline
            .noise_share()
            .map_or_else(|| "unknown size".to_owned(), tenths)
    };
    let odds = headline
        .p
        .map_or_else(String::new, |p| format!(" (p = {})", probability(p)));
    match headline.finding {
        Finding::Grew => format!(
            "The peak grew: {}, outside the noise of {}{odds}.",
            change(),
            noise()
        ),
        Finding::Shrank => format!(
            "The peak shrank: {}, outside the noise of {}{odds}.",
            change(),
            noise()
        ),
        Finding::WithinNoise if is_above_noise(headline) => {
            format!(
                "No finding: {} is more than the noise of {}, but chance alone would do it as well{odds}.",
                change(),
                noise()
            )
        }
        Finding::WithinNoise => format!(
            "No finding: {}, within the noise of {}{odds}.",
            change(),
            noise()
        ),
        Finding::Same => "The peak is the same.".to_owned(),
        Finding::NoiseUnknown => format!(
            "{}, but the noise is unknown: measure several times, `build-mem run --runs 5`.",
            change()
        ),
        Finding::Appeared | Finding::Gone | Finding::Unknown => {
            "The peaks cannot be compared: the kernel's high-water mark is missing.".to_owned()
        }
    }
}

/// What came of `--fail-above`.
fn judgement(fail_above: &FailAbove) -> String {
    let FailAbove {
        threshold,
        allowed_bytes: _,
        exceeded,
    } = fail_above;
    match exceeded {
        Some(true) => format!("That is a regression: more than {threshold}."),
        Some(false) => format!("No regression: no growth above {threshold}."),
        None => format!("Nobody can tell whether it grew by more than {threshold}."),
    }
}

/// What is said beside a row.
fn remark(change: &Change) -> String {
    let noise = || match change.unit {
        Unit::Count => format!("±{}", rounded(change.noise.unwrap_or_default())),
        Unit::Bytes | Unit::Seconds => change.noise_share().map_or_else(String::new, short_percent),
    };
    match change.finding {
        Finding::Grew | Finding::Shrank => format!("above noise {}", noise()),
        Finding::WithinNoise if is_above_noise(change) => "may be chance".to_owned(),
        Finding::WithinNoise => format!("within noise {}", noise()),
        Finding::Same => "the same".to_owned(),
        Finding::NoiseUnknown => "noise unknown".to_owned(),
        Finding::Appeared => "appeared".to_owned(),
        Finding::Gone => "gone".to_owned(),
        Finding::Unknown => "unknown".to_owned(),
    }
}

/// Whether the medians differ by more than the noise, whatever the ranks say.
fn is_above_noise(change: &Change) -> bool {
    change.noise.unwrap_or_default() < change.difference.unwrap_or_default().abs()
}

/// A share on few columns.
fn short_percent(share: f64) -> String {
    if share < 0.0995 {
        return tenths(share);
    }
    format!("{:.0} %", share * 100.0)
}

/// How many processes there are: `12 → 9 processes`.
fn counts(count: &Change) -> String {
    let median = |figures: Option<Figures>| figures.map_or(0, |figures| rounded(figures.median));
    match (median(count.base), median(count.new)) {
        (0, new) => format!("appeared: {}", self::count(new, "process", "processes")),
        (base, 0) => format!("gone: {}", self::count(base, "process", "processes")),
        (base, new) if base == new => self::count(new, "process", "processes"),
        (base, new) => format!("{base} → {new} processes"),
    }
}

/// The classes that a reader should look at.
fn changed_classes(classes: &[ClassChange]) -> Vec<&ClassChange> {
    let is_changed = |class: &&ClassChange| {
        let ClassChange {
            command_class: _,
            count,
            peak_rss,
        } = class;
        let is_large = || {
            let part = peak_rss
                .share
                .is_some_and(|share| share.abs() >= WORTH_A_LINE);
            part && peak_rss.difference.is_some_and(|by| by.abs() >= MIB)
        };
        let grown =
            peak_rss.is_a_change() && (peak_rss.finding != Finding::NoiseUnknown || is_large());
        grown || count.is_a_change()
    };
    classes.iter().filter(is_changed).collect()
}

/// What the figures of stages are.
fn stage_sources(stages: &[StageChange]) -> String {
    let is_kernel = |stage: &StageChange| stage.source == StageSource::Kernel;
    match (stages.iter().any(is_kernel), stages.iter().all(is_kernel)) {
        (_, true) => "each stage's own high-water mark, of the kernel".to_owned(),
        (false, _) => "each stage's highest sampled sum of PSS".to_owned(),
        (true, false) => {
            let of_kernel = stages.iter().filter(|stage| is_kernel(stage));
            let names: Vec<&str> = of_kernel.map(|stage| stage.name.as_str()).collect();
            format!(
                "the kernel's high-water mark of {}, of the others the highest sampled sum of PSS",
                names.join(", ")
            )
        }
    }
}

/// A figure with its unit.
fn amount(unit: Unit, figure: f64) -> String {
    match unit {
        // An artifact may be that small.
        Unit::Bytes if figure < MIB / 100.0 => format!("{} B", rounded(figure)),
        Unit::Bytes => size(rounded(figure)),
        Unit::Seconds => seconds(figure),
        Unit::Count => rounded(figure).to_string(),
    }
}

/// A difference with its sign and unit.
fn signed(unit: Unit, difference: f64) -> String {
    let sign = match difference {
        0.0 => "",
        difference if difference > 0.0 => "+",
        _ => "−",
    };
    let positive = difference.abs();
    let text = match unit {
        Unit::Bytes if positive < MIB / 100.0 => format!("{} B", rounded(positive)),
        Unit::Bytes => signed_size(i128::from(rounded(positive))),
        Unit::Seconds => seconds(positive),
        Unit::Count => rounded(positive).to_string(),
    };
    format!("{sign}{text}")
}

/// `−11.0 %`.
fn signed_percent(share: f64) -> String {
    let text = tenths(share.abs());
    match share {
        share if share > 0.0 => format!("+{text}"),
        share if share < 0.0 => format!("−{text}"),
        _ => text,
    }
}

/// `3.0 %`, of a share that is not negative.
fn tenths(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn probability(p: f64) -> String {
    match p {
        p if p < 0.001 => "0.001 or less".to_owned(),
        p if p < 0.1 => format!("{p:.3}"),
        p => format!("{p:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::export::samples;
    use crate::report::{Report, Verdict, WithoutCache};
    use crate::timeline::{TimelineRow, TimelineTable};
    use crate::units::ByteSize;

    const MIB: u64 = 1 << 20;

    fn series(label: &str, peaks: &[u64]) -> Vec<Report> {
        let run = |(peak, number): (&u64, u32)| {
            let mut report = samples::monorepo();
            report.label = format!("{label}.{number}");
            report.headline.bytes = Some(peak * MIB);
            report.headline.without_cache = Some(WithoutCache {
                bytes: (peak - 240) * MIB,
                at_s: 1.0,
                source: "x".to_owned(),
            });
            report.duration_s += f64::from(number) / 8.0;
            report
        };
        peaks.iter().zip(1..).map(run).collect()
    }

    /// A saving in one stage, with a tool that came and one that went.
    fn saving() -> Comparison {
        let base = series("before", &[1516, 1530, 1521, 1509, 1525]);
        let mut new = series("after", &[1376, 1381, 1370, 1388, 1379]);
        for report in &mut new {
            let stage = report
                .stages
                .iter_mut()
                .find(|stage| stage.name == "next-build")
                .unwrap();
            *stage.peak_pss_bytes.as_mut().unwrap() -= 138 * MIB;
            report.processes.classes[0].command_class = "tsgo".to_owned();
            report.verify[1].bytes = Some(23);
        }
        Comparison::new(("before", &base), ("after", &new), "2%".parse().ok())
    }

    /// Nothing that could be compared, with names that attack.
    fn hostile() -> Comparison {
        let base = samples::monorepo();
        let mut new = samples::monorepo();
        new.verdict = Verdict::BuildFailed;
        new.headline.bytes = None;
        new.command = vec!["<script>alert(1)</script>\x1b[2J|`x`".to_owned()];
        new.stages[0].name = "<img src=x>|\x1b]0;x\x07\u{202e}".to_owned();
        Comparison::new(("a", &[base]), ("b", &[new]), "0%".parse().ok())
    }

    fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut bytes = Vec::new();
        write(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn text(comparison: &Comparison, width: usize) -> String {
        written(|out| write(comparison, &Palette::plain(), width, out))
    }

    fn timeline(peak: u64) -> TimelineTable {
        let row = |at: u32| TimelineRow {
            at_s: f64::from(at),
            stage: "x".to_owned(),
            cgroup: Some(ByteSize::from_mib(peak * u64::from(at) / 5000)),
            composition: None,
            pss: ByteSize::from_mib(1),
            rss: ByteSize::from_mib(1),
            live: 1,
            stage_pss: Vec::new(),
        };
        TimelineTable {
            stages: Vec::new(),
            rows: (0..5000).map(row).collect(),
        }
    }

    fn page(comparison: &Comparison) -> String {
        let (base, new) = (timeline(1516), timeline(1376));
        written(|out| html::write(comparison, [Some(&base), Some(&new)], out))
    }

    #[test]
    fn a_saving_is_told() {
        insta::assert_snapshot!("a_saving", text(&saving(), 100));
        insta::assert_snapshot!(
            "a_saving_in_markdown",
            written(|out| markdown::write(&saving(), out))
        );
    }

    #[test]
    fn what_cannot_be_compared_is_told_first() {
        insta::assert_snapshot!("not_comparable", text(&hostile(), 80));
    }

    #[test]
    fn one_run_a_side_says_that_the_noise_is_unknown() {
        let compared = Comparison::new(
            ("a", &series("a", &[1516])),
            ("b", &series("b", &[1376])),
            None,
        );
        let told = text(&compared, 100);
        assert!(
            told.contains("−140.00 MiB (−9.2 %), but the noise is unknown: measure several times"),
            "{told}"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_page_and_no_control_character_passes() {
        for comparison in [saving(), hostile()] {
            for width in [40, 60, 80, 100, 140] {
                for line in text(&comparison, width).lines() {
                    assert!(width_of(line) <= width, "{width}: {line}");
                    assert!(!line.chars().any(char::is_control), "{line:?}");
                }
            }
        }
    }

    #[test]
    fn what_comes_from_outside_is_text_in_every_form() {
        let comparison = hostile();
        let markdown = written(|out| markdown::write(&comparison, out));
        assert!(
            !markdown.contains("<img") && !markdown.contains('\x1b'),
            "{markdown}"
        );
        // The command stands between backticks, where tags are text.
        assert_eq!(markdown.matches("<script").count(), 1, "{markdown}");
        let page = page(&comparison);
        assert!(
            !page.contains("<script") && !page.contains("<img"),
            "{page}"
        );
        assert!(page.contains("&lt;script&gt;"));
    }

    #[test]
    fn the_page_has_both_lines_on_one_axis_and_asks_nobody_for_anything() {
        let page = page(&saving());
        for class in [
            "line base",
            "line new",
            "pss base",
            "pss new",
            "mark base",
            "mark new",
        ] {
            assert_eq!(
                page.matches(&format!("class=\"{class}\"")).count(),
                1,
                "{class}"
            );
        }
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url("));
        assert!(page.len() < 200_000, "{}", page.len());
        assert!(
            page.contains("−9.3 %") && page.contains("1.00 GiB"),
            "{page}"
        );
        let without = written(|out| html::write(&saving(), [None, None], out));
        assert!(without.contains("No sample was taken"));
    }

    #[test]
    fn every_comparison_is_as_the_published_schema_says() {
        let schema =
            serde_json::from_str(include_str!("../../../docs/comparison-1.schema.json")).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        for comparison in [saving(), hostile()] {
            let json: Value =
                serde_json::from_str(&written(|out| write_json(&comparison, out))).unwrap();
            let errors: Vec<String> = validator
                .iter_errors(&json)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert_eq!(errors, [""; 0]);
            assert!(json["headline"]["base"]["median"].is_u64());
            let mut more = json.clone();
            more["headline"]["more"] = Value::Null;
            assert!(!validator.is_valid(&more));
        }
    }
}
