//! Memory over time: what processes hold by stage, stacked; above it what the cgroup holds besides; limit and budget as
//! lines where they are near.

use std::time::Duration;

use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

use super::canvas::{Canvas, clock, split};
use crate::export::layout::byte_size;
use crate::live::{Bin, Group, LiveView, Timeline};
use crate::units::ByteSize;

/// Width of the sizes beside the chart, with a space.
const SIZES: u16 = 11;

/// Narrower screens have no sizes beside the chart.
const SIZES_FROM: u16 = 40;

/// A cell's height in steps.
const STEPS: u64 = 8;

/// Cells that are full by so many steps, from none to all.
const FULL: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What the cgroup holds besides, where there are no colours.
const SHADE: char = '░';

/// A line at a limit.
const LINE: char = '╌';

/// A bound as a line, where it is at most so many times the highest, by two.
const NEAR: u64 = 3;

/// The axis ends at one of these seconds, the first that is not over yet.
const SPANS: [u64; 14] = [
    10, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 3600, 7200, 14400,
];

/// Draws the chart, with its axis in the last row.
pub(super) fn draw(canvas: &mut Canvas<'_>, area: Rect, view: &LiveView) {
    if area.height < 2 || area.width == 0 {
        return;
    }
    let rows = area.height - 1;
    let [sizes, plot] = if area.width >= SIZES_FROM {
        split(area, SIZES)
    } else {
        split(area, 0)
    };
    let scale = Scale::of(view, rows);
    if sizes.width > 0 {
        scale.draw_sizes(canvas, sizes, rows);
    }
    let span = span(view.elapsed);
    let columns = columns(&view.timeline, span, plot.width, view.elapsed);
    for (x, bin) in (plot.x..).zip(columns) {
        if let Some(bin) = bin {
            column(canvas, x, plot.y, rows, &scale, bin, view);
        }
    }
    for (bound, name) in [(view.facts.limit, "limit"), (view.facts.budget, "budget")] {
        if let Some(row) = bound.and_then(|bound| scale.row(bound)) {
            line(canvas, plot, row, name);
        }
    }
    axis(canvas, area, plot, span);
}

/// How much a row stands for.
struct Scale {
    top: ByteSize,
    rows: u16,
}

impl Scale {
    /// As high as everything so far, and as limit and budget where they are near.
    fn of(view: &LiveView, rows: u16) -> Self {
        let bins = view.timeline.bins.iter().flatten();
        let highest = bins.map(|bin| bin.height().max(bin.pss)).max();
        let highest = highest.unwrap_or_default();
        let bounds = [view.facts.limit, view.facts.budget];
        let near = |bound: &ByteSize| bound.bytes() / NEAR <= highest.bytes() / 2;
        let bound = bounds.into_iter().flatten().filter(near).max();
        Self {
            top: round_up(highest.max(bound.unwrap_or_default())),
            rows,
        }
    }

    /// The steps from the bottom, rounded.
    fn steps(&self, size: ByteSize) -> u64 {
        let all = ByteSize::from_bytes(u64::from(self.rows) * STEPS * 2);
        let twice = all.scaled(size, self.top).bytes();
        twice.div_ceil(2).min(u64::from(self.rows) * STEPS)
    }

    /// The row from the top in which a size is; `None` above the top.
    fn row(&self, size: ByteSize) -> Option<u16> {
        let step = self.steps(size).checked_sub(1)?;
        let row = u16::try_from(step / STEPS).ok()?;
        (size <= self.top).then(|| (self.rows - 1).saturating_sub(row))
    }

    /// At the top, in the middle and at the bottom.
    fn draw_sizes(&self, canvas: &mut Canvas<'_>, area: Rect, rows: u16) {
        let style = canvas.styles().faint;
        let half = ByteSize::from_bytes(self.top.bytes() / 2);
        let mut at = |row: u16, size: ByteSize| {
            let place = Rect {
                y: area.y + row,
                width: area.width - 1,
                height: 1,
                ..area
            };
            canvas.figure(place, style, &byte_size(size));
        };
        at(0, self.top);
        if rows >= 5 && rows.is_multiple_of(2) {
            at(rows / 2, half);
        }
    }
}

/// A power of two, or that and one, two or three quarters of it: the chart is read by it and by its half.
fn round_up(size: ByteSize) -> ByteSize {
    let mut octave = ByteSize::from_mib(8);
    loop {
        let quarter = octave.bytes() / 4;
        let mut tops =
            (5..=8).map(|quarters| ByteSize::from_bytes(quarter.saturating_mul(quarters)));
        if let Some(top) = tops.find(|top| *top >= size) {
            return top;
        }
        octave += octave;
    }
}

/// How much time the axis has place for.
fn span(elapsed: Duration) -> Duration {
    let seconds = elapsed.as_secs();
    let longest = SPANS[SPANS.len() - 1];
    let fitting = SPANS.into_iter().find(|span| *span > seconds);
    Duration::from_secs(fitting.unwrap_or_else(|| (seconds / longest + 1) * longest))
}

/// The highest bin of each column; where there is none, the one before. Nothing is in the columns after `elapsed`.
fn columns(
    timeline: &Timeline,
    span: Duration,
    width: u16,
    elapsed: Duration,
) -> Vec<Option<&Bin>> {
    let index = |column: u16| {
        let at = span.as_nanos() * u128::from(column) / u128::from(width.max(1));
        usize::try_from(at / timeline.width.as_nanos().max(1)).unwrap_or(usize::MAX)
    };
    let mut before = None;
    (0..width)
        .take_while(|column| span * u32::from(*column) / u32::from(width) <= elapsed)
        .map(|column| {
            let first = index(column).min(timeline.bins.len());
            let end = index(column + 1).max(first + 1).min(timeline.bins.len());
            let bins = timeline.bins[first..end].iter().flatten();
            let bin = bins.max_by_key(|bin| bin.height()).or(before);
            before = bin;
            bin
        })
        .collect()
}

/// A part of a column: up to which step, in which style; without one what is not of processes.
struct Part {
    until: u64,
    style: Option<Style>,
}

fn column(
    canvas: &mut Canvas<'_>,
    x: u16,
    top: u16,
    rows: u16,
    scale: &Scale,
    bin: &Bin,
    view: &LiveView,
) {
    let styles = canvas.styles();
    let mut parts = Vec::new();
    let mut sum = ByteSize::ZERO;
    for (group, size) in &bin.groups {
        sum += *size;
        let is_other = view.groups.get(*group).is_none_or(Group::is_other);
        parts.push(Part {
            until: scale.steps(sum),
            style: Some(styles.group(*group, is_other)),
        });
    }
    parts.push(Part {
        until: scale.steps(bin.height().max(sum)),
        style: None,
    });
    for row in 0..rows {
        let bottom = u64::from(rows - 1 - row) * STEPS;
        if let Some((symbol, style)) = cell(&parts, bottom, styles.are_colored()) {
            canvas.cell(x, top + row, symbol, style);
        }
    }
}

/// What is in the cell that begins at this step: at most two parts can be told apart.
fn cell(parts: &[Part], bottom: u64, colored: bool) -> Option<(char, Style)> {
    let end = bottom + STEPS;
    let mut inside = parts.iter().filter(|part| part.until > bottom);
    let first = inside.next()?;
    let steps = usize::try_from((first.until - bottom).min(STEPS)).unwrap_or(0);
    // The part that has most of what is left.
    let mut from = first.until.min(end);
    let mut second: Option<(u64, &Part)> = None;
    for part in inside {
        let has = part.until.min(end).saturating_sub(from);
        from = from.max(part.until.min(end));
        if has > second.map_or(0, |(most, _)| most) {
            second = Some((has, part));
        }
    }
    if !colored {
        return Some(match (first.style, second) {
            (Some(_), _) => (FULL[steps], Style::new()),
            (None, _) => (if steps > 3 { SHADE } else { ' ' }, Style::new()),
        });
    }
    let grey = Style::new().fg(Color::DarkGray);
    let style = first.style.unwrap_or(grey);
    let Some((_, second)) = second else {
        return Some((FULL[steps], style));
    };
    let behind = second.style.unwrap_or(grey).fg.unwrap_or(Color::Reset);
    // A colour in front has none of its own where it is that of text, which cannot be one behind.
    Some(match behind {
        Color::Reset => (FULL[steps], style),
        behind => (FULL[steps], style.bg(behind)),
    })
}

/// A line in what is blank of a row, with its name at the end.
fn line(canvas: &mut Canvas<'_>, plot: Rect, row: u16, name: &str) {
    let style = canvas.styles().warning;
    let y = plot.y + row;
    for x in plot.x..plot.right() {
        if canvas.is_blank(x, y) {
            canvas.cell(x, y, LINE, style);
        }
    }
    let place = Rect {
        y,
        height: 1,
        ..plot
    };
    canvas.right(place, style, &format!(" {name} "));
}

/// The axis: its two ends and the middle, as far as there is place.
fn axis(canvas: &mut Canvas<'_>, area: Rect, plot: Rect, span: Duration) {
    let style = canvas.styles().faint;
    let line = Rect {
        y: area.bottom() - 1,
        height: 1,
        ..plot
    };
    canvas.text(line, style, "0:00");
    canvas.right(line, style, &clock(span));
    if plot.width >= 30 {
        let [_, middle] = split(line, plot.width / 2);
        canvas.text(middle, style, &clock(span / 2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_at_a_figure_that_is_easily_read() {
        let rounded = |mib| round_up(ByteSize::from_mib(mib)).to_string();
        assert_eq!(rounded(0), "10.00 MiB");
        assert_eq!(rounded(17), "20.00 MiB");
        assert_eq!(rounded(700), "768.00 MiB");
        assert_eq!(rounded(1025), "1.25 GiB");
        assert_eq!(rounded(1536), "1.50 GiB");
        assert!(round_up(ByteSize::from_bytes(u64::MAX)) >= ByteSize::from_bytes(1 << 63));
    }

    #[test]
    fn the_axis_is_longer_than_the_build() {
        for (elapsed, expected) in [(0, 10), (10, 20), (59, 60), (14_400, 28_800)] {
            assert_eq!(
                span(Duration::from_secs(elapsed)),
                Duration::from_secs(expected)
            );
        }
    }

    #[test]
    fn a_cell_shows_the_two_parts_that_have_most_of_it() {
        let part = |until, color| Part {
            until,
            style: Some(Style::new().fg(color)),
        };
        let parts = [
            part(3, Color::Cyan),
            part(4, Color::Red),
            part(8, Color::Blue),
            Part {
                until: 12,
                style: None,
            },
        ];
        let cyan = Style::new().fg(Color::Cyan);
        assert_eq!(cell(&parts, 0, true), Some(('▃', cyan.bg(Color::Blue))));
        let grey = Style::new().fg(Color::DarkGray);
        assert_eq!(cell(&parts, 8, true), Some(('▄', grey)));
        assert_eq!(cell(&parts, 16, true), None);
        assert_eq!(cell(&parts, 8, false), Some((SHADE, Style::new())));
    }
}
