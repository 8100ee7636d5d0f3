//! Memory over time: a stacked area by stage, the cgroup's usage and the limit above it. It is drawn as SVG that
//! grows with the page without a script: shapes are stretched, and texts stand at parts of the width.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write};

use super::colors::{Colors, MORE};
use super::markup::{Text, within};
use crate::event::ExitStatus;
use crate::export::layout::{seconds, size};
use crate::export::text::signal_name;
use crate::history::{History, MarkKind};
use crate::report::Report;
use crate::stages::OTHER;
use crate::timeline::{TimelineRow, TimelineTable};
use crate::units::BootTime;

/// A timeline of more samples than three times this is thinned out: of each of so many parts of the time, the highest
/// samples stay.
const PARTS: usize = 400;

/// A petabyte, to which every figure is cut: so that a thousand of them can be added, whatever a recording says.
const MOST_BYTES: u64 = 1 << 50;

/// The plot's own units: of its width and of its height.
const WIDTH: f64 = 10_000.0;
const HEIGHT: f64 = 1000.0;

/// Marks that are drawn, such as signals and out-of-memory kills.
const MOST_MARKS: usize = 50;

/// What is drawn.
pub(super) struct Chart {
    /// From the lowest to the highest.
    pub(super) layers: Vec<Layer>,
    /// In the order of time.
    pub(super) points: Vec<Point>,
    /// Samples that were taken.
    pub(super) samples: usize,
    /// How long the time axis is.
    pub(super) span_s: f64,
    /// How high the other axis is.
    pub(super) top: u64,
    limit: Option<u64>,
    peak: Option<(f64, u64)>,
    marks: Vec<(f64, String)>,
}

/// A stage, or all that have no colour of their own.
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) class: String,
}

/// A sample.
pub(super) struct Point {
    pub(super) at_s: f64,
    pub(super) cgroup: Option<u64>,
    /// One a layer.
    pub(super) held: Vec<u64>,
}

impl Chart {
    pub(super) fn new(
        report: &Report,
        table: &TimelineTable,
        history: &History,
        colors: &Colors,
    ) -> Self {
        let span_s = span_s(report, table, history);
        let (layers, layer_of) = layers(table, colors);
        let point = |row: &TimelineRow| {
            let mut held = vec![0; layers.len()];
            for (pss, layer) in row.stage_pss.iter().zip(&layer_of) {
                held[*layer] += pss.bytes().min(MOST_BYTES);
            }
            Point {
                at_s: row.at_s,
                cgroup: row.cgroup.map(|usage| usage.bytes().min(MOST_BYTES)),
                held,
            }
        };
        let rows = thinned(&table.rows, span_s);
        let points: Vec<Point> = rows.into_iter().map(point).collect();
        let sum = |point: &Point| point.held.iter().sum::<u64>();
        let highest = points.iter().map(|it| sum(it).max(it.cgroup.unwrap_or(0)));
        let highest = highest.max().unwrap_or(0);
        let headline = report.headline.bytes.unwrap_or(0).min(MOST_BYTES);
        let highest = highest.max(headline).max(1 << 20);
        // A limit far above would press everything else to the ground.
        let limit = report.headline.limit_bytes;
        let shown_limit = limit.filter(|limit| *limit / 2 <= highest);
        let step = step_of_size(highest.max(shown_limit.unwrap_or(0)));
        let top = highest.max(shown_limit.unwrap_or(0));
        let top = (top + top / 20).div_ceil(step) * step;
        Self {
            layers,
            points,
            samples: table.rows.len(),
            span_s,
            top,
            limit,
            peak: (report.peak.as_ref())
                .map(|peak| (peak.at_s, peak.cgroup_bytes.unwrap_or(peak.pss_bytes))),
            marks: marks(history),
        }
    }

    /// A moment as a part of the width, in percent.
    fn x(&self, at_s: f64) -> f64 {
        within(at_s / self.span_s) * 100.0
    }

    /// A size as a part of the height, in percent from above.
    #[expect(clippy::cast_precision_loss, reason = "a place on a screen")]
    fn y(&self, bytes: u64) -> f64 {
        within(1.0 - bytes as f64 / self.top as f64) * 100.0
    }

    /// Writes the chart with its legend.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_legend(out)?;
        write!(out, "<div class=\"chart\" id=\"chart\">")?;
        write!(out, "<svg class=\"ylab\" aria-hidden=\"true\">")?;
        let step = step_of_size(self.top);
        let levels = (0..=self.top / step).map(|level| level * step);
        for level in levels.clone() {
            let y = self.y(level);
            let label = axis_size(level);
            write!(out, "<text x=\"100%\" y=\"{y:.2}%\">{label}</text>")?;
        }
        write!(out, "</svg><div class=\"plot\" id=\"plot\">")?;
        write!(
            out,
            "<svg class=\"areas\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
            Text(&self.described())
        )?;
        self.write_areas(out)?;
        write!(out, "</svg><svg class=\"over\">")?;
        for level in levels.skip(1) {
            let y = self.y(level);
            write!(
                out,
                "<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"{y:.2}%\" y2=\"{y:.2}%\"/>"
            )?;
        }
        if let Some(limit) = self.limit.filter(|limit| *limit <= self.top) {
            let y = self.y(limit);
            write!(
                out,
                "<line class=\"limit\" x1=\"0\" x2=\"100%\" y1=\"{y:.2}%\" y2=\"{y:.2}%\"/><text class=\"limit\" x=\"4\" y=\"{y:.2}%\" dy=\"-5\">limit {}</text>",
                size(limit)
            )?;
        }
        for (at_s, what) in &self.marks {
            let x = self.x(*at_s);
            write!(
                out,
                "<g class=\"mark\"><title>{0}</title><line x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"0\" y2=\"100%\"/><text x=\"{x:.2}%\" y=\"12\" dx=\"{1}\" text-anchor=\"{2}\">{0}</text></g>",
                Text(what),
                if x > 70.0 { -4 } else { 4 },
                if x > 70.0 { "end" } else { "start" }
            )?;
        }
        if let Some((at_s, bytes)) = self.peak {
            let (x, y) = (self.x(at_s), self.y(bytes));
            let (text, at) = (size(bytes), seconds(at_s));
            write!(
                out,
                "<a class=\"peak\" href=\"#at-peak\" id=\"peak-mark\" aria-label=\"Peak, {text} after {at}: who held it\"><line x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{y:.2}%\" y2=\"100%\"/><circle cx=\"{x:.2}%\" cy=\"{y:.2}%\" r=\"5\"/><text x=\"{x:.2}%\" y=\"{y:.2}%\" dx=\"{}\" dy=\"-8\" text-anchor=\"{}\">peak {text}</text></a>",
                if x > 70.0 { 4 } else { -4 },
                if x > 70.0 { "end" } else { "start" }
            )?;
        }
        write!(out, "</svg></div><svg class=\"xlab\" aria-hidden=\"true\">")?;
        let step = step_of_time(self.span_s);
        let mut at_s = 0.0;
        while at_s <= self.span_s * 0.97 {
            let x = self.x(at_s);
            let anchor = if at_s == 0.0 { "start" } else { "middle" };
            let label = axis_time(at_s, step);
            write!(
                out,
                "<text x=\"{x:.2}%\" y=\"14\" text-anchor=\"{anchor}\">{label}</text>"
            )?;
            at_s += step;
        }
        writeln!(out, "</svg></div>")
    }

    fn write_legend(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "<ul class=\"legend\">")?;
        for Layer { name, class } in &self.layers {
            write!(out, "<li><i class=\"dot {class}\"></i>{}</li>", Text(name))?;
        }
        if self.points.iter().any(|point| point.cgroup.is_some()) {
            write!(
                out,
                "<li><i class=\"line\"></i>all of the cgroup, with page cache</li>"
            )?;
        }
        if let Some(limit) = self.limit.filter(|limit| *limit > self.top) {
            write!(
                out,
                "<li class=\"quiet\">limit {}, above this chart</li>",
                size(limit)
            )?;
        }
        writeln!(out, "</ul>")
    }

    /// What somebody is told who does not see it.
    fn described(&self) -> String {
        let mut text = format!(
            "Memory over {}, stacked by stage: proportional set size",
            seconds(self.span_s)
        );
        if let Some((at_s, bytes)) = self.peak {
            // Cannot fail: the target is a String.
            let _ = write!(text, ". Peak {} after {}", size(bytes), seconds(at_s));
        }
        text
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "places on a screen need no more"
    )]
    fn write_areas(&self, out: &mut dyn Write) -> io::Result<()> {
        let x = |point: &Point| self.x(point.at_s) / 100.0 * WIDTH;
        let y = |bytes: u64| (1.0 - bytes as f64 / self.top as f64) * HEIGHT;
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else {
            return Ok(());
        };
        // Each covers what is below it up to the ground, so that the highest is drawn first.
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let mut path = format!("M{:.0} {HEIGHT}", x(first));
            let mut highest = 0;
            for point in &self.points {
                let sum: u64 = point.held[..=index].iter().sum();
                highest = highest.max(point.held[index]);
                // Cannot fail: the target is a String.
                let _ = write!(path, "L{:.0} {:.1}", x(point), y(sum));
            }
            if highest > 0 {
                let class = &layer.class;
                let end = x(last);
                write!(
                    out,
                    "<path class=\"area {class}\" d=\"{path}L{end:.0} {HEIGHT}Z\"/>"
                )?;
            }
        }
        let mut path = String::new();
        let mut goes_on = false;
        for point in &self.points {
            if let Some(bytes) = point.cgroup {
                let command = if goes_on { 'L' } else { 'M' };
                let _ = write!(path, "{command}{:.0} {:.1}", x(point), y(bytes));
            }
            goes_on = point.cgroup.is_some();
        }
        if path.is_empty() {
            return Ok(());
        }
        write!(out, "<path class=\"usage\" d=\"{path}\"/>")
    }
}

/// From the start to the last thing that is drawn.
fn span_s(report: &Report, table: &TimelineTable, history: &History) -> f64 {
    let last_row = table.rows.last().map_or(0.0, |row| row.at_s);
    let lives = history.lives.iter().filter_map(|life| life.ended);
    let last_end = lives.max().map_or(0.0, |at| since(history, at));
    let span_s = report.duration_s.max(last_row).max(last_end);
    if span_s.is_finite() && span_s > 0.0 {
        span_s
    } else {
        1.0
    }
}

/// Seconds since the build's start.
pub(super) fn since(history: &History, at: BootTime) -> f64 {
    at.since(history.started).as_secs_f64()
}

/// The layers, and for each stage of the table the place of its layer.
fn layers(table: &TimelineTable, colors: &Colors) -> (Vec<Layer>, Vec<usize>) {
    let layer = |name: &str, class: &str| Layer {
        name: name.to_owned(),
        class: class.to_owned(),
    };
    let without_color = |name: &&String| *name != OTHER && colors.index(name).is_none();
    let more = table.stages.iter().filter(without_color).count();
    let mut layers = Vec::new();
    if table.stages.iter().any(|stage| stage == OTHER) {
        layers.push(layer(OTHER, &colors.class(OTHER)));
    }
    if more > 0 {
        layers.push(layer(&format!("{more} more"), MORE));
    }
    for (index, name) in colors.named().iter().enumerate() {
        layers.push(layer(name, &format!("s{index}")));
    }
    let place = |name: &String| {
        let class = colors.class(name);
        layers.iter().position(|layer| layer.class == class)
    };
    let layer_of = table.stages.iter().map(|name| place(name).unwrap_or(0));
    let layer_of = layer_of.collect();
    (layers, layer_of)
}

/// Those of the rows that make the picture: in each part of the time the highest, by the cgroup's usage and by PSS, and
/// the highest of each stage. The lows between them would fill the chart with their lines.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the number of a part is between 0 and PARTS"
)]
fn thinned(rows: &[TimelineRow], span_s: f64) -> Vec<&TimelineRow> {
    if rows.len() <= 3 * PARTS {
        return rows.iter().collect();
    }
    let part = |row: &TimelineRow| {
        let part = (row.at_s / span_s).clamp(0.0, 1.0) * PARTS as f64;
        (part as usize).min(PARTS - 1)
    };
    let mut kept = BTreeSet::from([0, rows.len() - 1]);
    let mut from = 0;
    for rows_of_part in rows.chunk_by(|a, b| part(a) == part(b)) {
        let range = from..from + rows_of_part.len();
        kept.extend(range.clone().max_by_key(|index| rows[*index].cgroup));
        kept.extend(range.clone().max_by_key(|index| rows[*index].pss));
        from = range.end;
    }
    let stages = rows.first().map_or(0, |row| row.stage_pss.len());
    // Of hundreds of stages, each has its highest in the table of stages.
    for stage in 0..stages.min(PARTS) {
        kept.extend((0..rows.len()).max_by_key(|index| rows[*index].stage_pss.get(stage)));
    }
    kept.into_iter().map(|index| &rows[index]).collect()
}

fn marks(history: &History) -> Vec<(f64, String)> {
    let marks = history.marks.iter().filter_map(|mark| {
        let what = match &mark.kind {
            MarkKind::SignalForwarded { signal } => signal_name(*signal),
            MarkKind::OomKilled { tgid, .. } => format!("out of memory: {tgid} killed"),
            MarkKind::BuildEnded {
                status: ExitStatus::Signal(signal),
            } => format!("build ended by {}", signal_name(*signal)),
            MarkKind::CgroupLeft { .. } | MarkKind::BuildEnded { .. } | MarkKind::Lost { .. } => {
                return None;
            }
        };
        Some((since(history, mark.at), what))
    });
    marks.take(MOST_MARKS).collect()
}

/// The distance of two lines of the axis of sizes: a power of two, so that there are at most six.
fn step_of_size(top: u64) -> u64 {
    let mut step = 1 << 18;
    while top / step > 5 && step < 1 << 60 {
        step *= 2;
    }
    step
}

fn axis_size(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        bytes if bytes % (1 << 30) == 0 => format!("{} GiB", bytes >> 30),
        bytes if bytes > 1 << 30 => size(bytes).replace("0 GiB", " GiB"),
        bytes if bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        bytes => size(bytes),
    }
}

/// The distance of two moments on the axis of time: at most eight of them.
fn step_of_time(span_s: f64) -> f64 {
    const STEPS: [f64; 20] = [
        0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0,
        600.0, 1800.0, 3600.0, 7200.0, 21600.0,
    ];
    let fits = |step: &&f64| span_s / **step <= 8.0;
    STEPS.iter().find(fits).copied().unwrap_or(span_s / 8.0)
}

fn axis_time(at_s: f64, step: f64) -> String {
    match step {
        _ if at_s == 0.0 => "0".to_owned(),
        step if step < 0.1 => format!("{at_s:.2} s"),
        step if step < 1.0 => format!("{at_s:.1} s"),
        _ if at_s < 60.0 => format!("{at_s:.0} s"),
        _ => seconds(at_s),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::ByteSize;

    fn row(at: usize, pss: u64) -> TimelineRow {
        TimelineRow {
            at_s: f64::from(u32::try_from(at).unwrap()),
            stage: OTHER.to_owned(),
            cgroup: Some(ByteSize::from_bytes(pss * 2)),
            pss: ByteSize::from_bytes(pss),
            rss: ByteSize::ZERO,
            live: 1,
            stage_pss: vec![ByteSize::from_bytes(pss)],
        }
    }

    proptest! {
        #[test]
        fn a_long_timeline_is_thinned_out_and_keeps_its_ends_and_maxima(
            held in prop::collection::vec(0..1000_u64, 3 * PARTS + 1..6 * PARTS),
            peak in 0..3 * PARTS,
        ) {
            let mut held = held;
            held[peak] = 5000;
            let rows: Vec<TimelineRow> = held.iter().enumerate().map(|(at, pss)| row(at, *pss)).collect();
            let last = rows.last().unwrap();
            let kept = thinned(&rows, last.at_s);
            prop_assert!(kept.len() <= 4 * PARTS);
            prop_assert!(kept.windows(2).all(|two| two[0].at_s < two[1].at_s));
            prop_assert_eq!((kept[0], kept[kept.len() - 1]), (&rows[0], last));
            prop_assert!(kept.contains(&&rows[peak]));
        }

        #[test]
        fn an_axis_has_few_lines_whatever_was_held(top in (1_u64 << 20)..(1 << 50), span_s in 0.001..1e6) {
            let lines = top / step_of_size(top);
            prop_assert!((1..=5).contains(&lines), "{}", lines);
            prop_assert!(span_s / step_of_time(span_s) <= 8.001);
        }
    }

    #[test]
    fn sizes_on_the_axis_are_short() {
        let shown = |mib: u64| axis_size(mib << 20);
        assert_eq!(
            [0, 256, 1024, 1536].map(shown),
            ["0", "256 MiB", "1 GiB", "1.5 GiB"]
        );
        assert_eq!(axis_size(1 << 19), "0.50 MiB");
    }
}
