//! The comparison as one page that opens offline: both builds' memory on one axis of time, and the tables. Without scripts,
//! and without a request to anywhere.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::{
    amount, changed_classes, counts, judgement, named, remark, sentence, shown_command, signed,
    signed_percent, stage_sources,
};
use crate::compare::{Change, Comparison, Figures, Finding, Refusal, Run, Side};
use crate::event::Note;
use crate::export::layout::{seconds, size, visible};
use crate::timeline::{TimelineRow, TimelineTable};
use crate::units::ByteSize;

/// Of the classes that changed, so many are listed.
const CLASSES: usize = 100;

/// A line has so many points at the most: more than there are pixels.
const POINTS: usize = 1500;

/// The drawing's size, in its own units, with room for the labels of both axes.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 76.0;
const BOTTOM: f64 = 28.0;
const TOP: f64 = 12.0;
const RIGHT: f64 = 12.0;

/// Marks on an axis, at the most.
const TICKS: f64 = 6.0;

const STYLE: &str = "
:root { color-scheme: light dark; --page: #fff; --text: #1d232b; --faint: #5d6773; --rule: #d8dde3; --base: #6b7785; --new: #0b67c2;
  --good: #1a7f37; --bad: #c0262d; --warning: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --text: #e4e8ec; --faint: #9aa5b1; --rule: #333b45; --base: #a3aebb;
  --new: #5db0ff; --good: #56c271; --bad: #ff7b72; --warning: #e0b050; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0 0 .3rem; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
p { margin: .3rem 0; } .faint, caption { color: var(--faint); } .conclusion { font-size: 1.1rem; margin: 1rem 0 .3rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .warning { color: var(--warning); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; } caption { text-align: left; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; } th { font-weight: 600; color: var(--faint); }
td:last-child { text-align: left; } .scroll { overflow-x: auto; } svg { width: 100%; height: auto; }
svg text { font-size: 12px; fill: var(--faint); } .grid { stroke: var(--rule); stroke-width: 1; }
.line { fill: none; stroke-width: 1.8; } .pss { fill: none; stroke-width: 1; stroke-dasharray: 2 3; } .mark { stroke-width: 1; stroke-dasharray: 7 4; }
.base { stroke: var(--base); } .new { stroke: var(--new); } svg text.base { stroke: none; fill: var(--base); } svg text.new { stroke: none; fill: var(--new); }
";

/// Writes the page. The timelines are of one run of each side, where there is one.
pub fn write(
    comparison: &Comparison,
    timelines: [Option<&TimelineTable>; 2],
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
    let command = escaped(&shown_command(&new.command));
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{command}: {} and {}</title>\n<style>{STYLE}</style>\n<main>\n<h1>{command}</h1>\n\
         <p class=\"faint\">{} → {}</p>",
        escaped(&base.name),
        escaped(&new.name),
        escaped(&named(base)),
        escaped(&named(new))
    )?;
    for Refusal { what: _, why } in refusals {
        writeln!(
            out,
            "<p class=\"warning\"><strong>Not comparable:</strong> {}</p>",
            escaped(why)
        )?;
    }
    let class = of_finding(headline.finding);
    writeln!(
        out,
        "<p class=\"conclusion {class}\">{}</p>",
        escaped(&sentence(headline))
    )?;
    if let Some(fail_above) = fail_above {
        writeln!(
            out,
            "<p><strong>{}</strong></p>",
            escaped(&judgement(fail_above))
        )?;
    }
    let figures = [
        ("Peak memory", headline),
        ("Peak without page cache", without_cache),
        ("Duration", duration),
        ("Processes", processes),
    ];
    table(
        "The whole build",
        figures.map(|(name, change)| (name, change, remark(change))),
        out,
    )?;
    chart(timelines, headline, out)?;
    if stages.len() > 1 {
        let rows = stages
            .iter()
            .map(|stage| (stage.name.as_str(), &stage.peak, remark(&stage.peak)));
        table("Stages", rows, out)?;
        writeln!(
            out,
            "<p class=\"faint\">{}</p>",
            escaped(&stage_sources(stages))
        )?;
    }
    let changed = changed_classes(classes);
    if !changed.is_empty() {
        let rows = changed.iter().take(CLASSES);
        let rows = rows.map(|class| {
            (
                class.command_class.as_str(),
                &class.peak_rss,
                counts(&class.count),
            )
        });
        table(
            "Classes of processes that changed, by the peak RSS of the largest",
            rows,
            out,
        )?;
    }
    if !artifacts.is_empty() {
        let rows = artifacts.iter().map(|artifact| {
            (
                artifact.path.as_str(),
                &artifact.size,
                remark(&artifact.size),
            )
        });
        table("Artifacts", rows, out)?;
    }
    runs(base, new, out)?;
    if !notes.is_empty() {
        writeln!(out, "<h2>Notes</h2>\n<ul>")?;
        for Note { what, why } in notes {
            writeln!(
                out,
                "<li><strong>{}</strong>: {}</li>",
                escaped(what),
                escaped(why)
            )?;
        }
        writeln!(out, "</ul>")?;
    }
    writeln!(out, "</main>\n</html>")
}

const fn of_finding(finding: Finding) -> &'static str {
    match finding {
        Finding::Grew => "bad",
        Finding::Shrank => "good",
        Finding::WithinNoise | Finding::Same => "",
        Finding::NoiseUnknown | Finding::Appeared | Finding::Gone | Finding::Unknown => "warning",
    }
}

fn table<'a>(
    title: &str,
    rows: impl IntoIterator<Item = (&'a str, &'a Change, String)>,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(
        out,
        "<h2>{title}</h2>\n<div class=\"scroll\"><table>\n<tr><th scope=\"col\">&#8203;</th><th scope=\"col\">base</th>\
         <th scope=\"col\">new</th><th scope=\"col\">change</th><th scope=\"col\">%</th><th scope=\"col\">&#8203;</th></tr>"
    )?;
    for (name, change, remark) in rows {
        let side = |figures: Option<Figures>| {
            figures.map_or_else(
                || "-".to_owned(),
                |figures| amount(change.unit, figures.median),
            )
        };
        let (before, after) = (side(change.base), side(change.new));
        let by = change
            .difference
            .map_or_else(String::new, |by| signed(change.unit, by));
        let share = change.share.map_or_else(String::new, signed_percent);
        let name = escaped(name);
        writeln!(
            out,
            "<tr><td>{name}</td><td>{before}</td><td>{after}</td><td>{by}</td><td>{share}</td><td>{}</td></tr>",
            escaped(&remark)
        )?;
    }
    writeln!(out, "</table></div>")
}

/// All runs, where there are several.
fn runs(base: &Side, new: &Side, out: &mut dyn Write) -> io::Result<()> {
    if base.runs.len() + new.runs.len() < 3 {
        return Ok(());
    }
    writeln!(
        out,
        "<h2>Runs</h2>\n<div class=\"scroll\"><table>\n<tr><th scope=\"col\">run</th><th scope=\"col\">peak</th>\
         <th scope=\"col\">without page cache</th><th scope=\"col\">duration</th><th scope=\"col\">side</th></tr>"
    )?;
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), size);
    let sides = [("base", base), ("new", new)];
    for (side, run) in sides
        .into_iter()
        .flat_map(|(name, side)| side.runs.iter().map(move |run| (name, run)))
    {
        let Run {
            label,
            started_at: _,
            headline_bytes,
            without_cache_bytes,
            duration_s,
        } = run;
        writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{side}</td></tr>",
            escaped(label),
            bytes(*headline_bytes),
            bytes(*without_cache_bytes),
            seconds(*duration_s)
        )?;
    }
    writeln!(out, "</table></div>")
}

/// Both builds' memory over time.
fn chart(
    timelines: [Option<&TimelineTable>; 2],
    headline: &Change,
    out: &mut dyn Write,
) -> io::Result<()> {
    let rows = timelines.map(|timeline| timeline.map_or(&[][..], |timeline| &timeline.rows));
    if rows.iter().all(|rows| rows.is_empty()) {
        return writeln!(
            out,
            "<p class=\"faint\">No sample was taken: there is no memory over time to show.</p>"
        );
    }
    let marks = [headline.base, headline.new].map(|figures| figures.map(|figures| figures.median));
    let all = || rows.iter().copied().flatten();
    let highest = all()
        .map(|row| as_float(held(row).max(row.pss)))
        .chain(marks.into_iter().flatten());
    let scale = Scale {
        seconds: all().map(|row| row.at_s).fold(0.001, f64::max),
        bytes: highest.fold(1.0, f64::max) * 1.04,
    };
    writeln!(
        out,
        "<h2>Memory over time</h2>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Memory of both builds over time; the tables have the figures\">"
    )?;
    grid(&scale, out)?;
    let names = ["base", "new"];
    for ((name, rows), mark) in names.into_iter().zip(rows).zip(marks) {
        let points = path(&scale, rows, |row| as_float(row.pss));
        writeln!(out, "<path class=\"pss {name}\" d=\"{points}\"/>")?;
        let points = path(&scale, rows, |row| as_float(held(row)));
        writeln!(out, "<path class=\"line {name}\" d=\"{points}\"/>")?;
        if let Some(mark) = mark {
            let (y, end) = (scale.y(mark), WIDTH - RIGHT);
            writeln!(
                out,
                "<line class=\"mark {name}\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            )?;
        }
    }
    for (at, name) in names.into_iter().enumerate() {
        let x = LEFT + 10.0 + if at == 0 { 0.0 } else { 60.0 };
        writeln!(
            out,
            "<text class=\"{name}\" x=\"{x}\" y=\"{}\">— {name}</text>",
            TOP + 4.0
        )?;
    }
    writeln!(
        out,
        "</svg>\n<p class=\"faint\">Solid: what the build's cgroup held; dotted: the sum of its processes' PSS; dashed: the \
         kernel's high-water mark, the median of the runs. Of several runs, the one in the middle by its peak is drawn.</p>"
    )
}

/// What the build held in a sample, page cache and the kernel's own included; its processes alone where no cgroup was read.
fn held(row: &TimelineRow) -> ByteSize {
    row.cgroup.unwrap_or(row.pss)
}

/// What is at the ends of the axes.
struct Scale {
    seconds: f64,
    bytes: f64,
}

impl Scale {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * seconds / self.seconds
    }

    fn y(&self, bytes: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * bytes / self.bytes
    }
}

fn grid(scale: &Scale, out: &mut dyn Write) -> io::Result<()> {
    const MIB: f64 = 1024.0 * 1024.0;
    let (end, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let powers = (0..30).map(|power| MIB * f64::from(1_u32 << power));
    for tick in ticks(scale.bytes, powers) {
        let y = scale.y(tick);
        writeln!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 4.0,
            amount(crate::compare::Unit::Bytes, tick)
        )?;
    }
    let steps = [
        0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
        14400.0,
    ];
    for tick in ticks(scale.seconds, steps.into_iter()) {
        let x = scale.x(tick);
        writeln!(
            out,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{:.1}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 5.0,
            bottom + 18.0,
            seconds(tick)
        )?;
    }
    Ok(())
}

/// Round figures up to this one, in the smallest of these steps that makes few enough.
fn ticks(highest: f64, mut steps: impl Iterator<Item = f64>) -> Vec<f64> {
    let Some(step) = steps.find(|step| highest / step <= TICKS) else {
        return Vec::new();
    };
    (0_u8..=10)
        .map(|number| f64::from(number) * step)
        .take_while(|tick| *tick <= highest)
        .collect()
}

/// A line through the samples; of many, through the highest of those that stand together.
fn path(scale: &Scale, rows: &[TimelineRow], figure: impl Fn(&TimelineRow) -> f64) -> String {
    let together = rows.len().div_ceil(POINTS).max(1);
    let mut path = String::new();
    for (at, rows) in rows.chunks(together).enumerate() {
        let highest = rows.iter().max_by(|a, b| figure(a).total_cmp(&figure(b)));
        if let Some(row) = highest {
            let step = if at == 0 { 'M' } else { 'L' };
            // Cannot fail: the target is a String.
            let _ = write!(
                path,
                "{step}{:.1} {:.1}",
                scale.x(row.at_s),
                scale.y(figure(row))
            );
        }
    }
    path
}

#[expect(clippy::cast_precision_loss, reason = "a place on a drawing")]
const fn as_float(size: ByteSize) -> f64 {
    size.bytes() as f64
}

/// A text from outside as nothing but text.
fn escaped(outside: &str) -> String {
    let mut text = String::new();
    for c in visible(outside).chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            c => text.push(c),
        }
    }
    text
}
