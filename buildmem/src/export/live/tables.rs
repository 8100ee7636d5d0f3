//! Stages, or what runs where there are none; and the largest processes.

use std::time::Duration;

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::Choices;
use super::areas::take;
use super::canvas::{Canvas, clock, row, split};
use crate::export::layout::{NAME_AT_MOST, byte_size, visible, width};
use crate::live::{Group, GroupState, Grouping, LiveProcess, LiveView, SortOrder};
use crate::units::ByteSize;

/// From so many columns on, the two tables stand beside each other.
const BESIDE_FROM: u16 = 150;

/// Rows of the processes, with their title, that stages leave to them.
const PROCESSES_AT_LEAST: u16 = 4;

/// Narrower columns of commands say nothing.
const COMMAND_AT_LEAST: u16 = 24;

/// A column's width, without its gap.
const SIZE: u16 = 10;

/// The same for times.
const TIME: u16 = 8;

/// Between two columns.
const GAP: u16 = 2;

/// What is not known.
const UNKNOWN: &str = "-";

/// Draws the tables.
pub(super) fn draw(canvas: &mut Canvas<'_>, area: Rect, view: &LiveView, choices: &Choices) {
    let mut rest = area;
    let groups = u16::try_from(view.groups.len()).unwrap_or(u16::MAX);
    let wanted = groups.saturating_add(1);
    let stages = if area.width >= BESIDE_FROM {
        let [mut left, right] = split(rest, 66);
        rest = split(right, GAP)[1];
        take(&mut left, wanted)
    } else {
        let most = (area.height / 2).min(area.height.saturating_sub(PROCESSES_AT_LEAST));
        take(&mut rest, wanted.min(most))
    };
    // A title alone says nothing.
    if stages.height >= 2 {
        draw_groups(canvas, stages, view);
    }
    draw_processes(canvas, rest, view, choices);
}

/// One column of a table.
#[derive(Clone, Copy)]
struct Column {
    title: &'static str,
    width: u16,
    is_figure: bool,
    /// Which goes first when there is no place for all: the highest.
    sparing: u8,
}

impl Column {
    const fn figure(title: &'static str, width: u16, sparing: u8) -> Self {
        Self {
            title,
            width,
            is_figure: true,
            sparing,
        }
    }

    const fn text(title: &'static str, width: u16, sparing: u8) -> Self {
        Self {
            title,
            width,
            is_figure: false,
            sparing,
        }
    }
}

/// The columns that have place in so many, in their order.
fn fitting<const N: usize>(columns: [Column; N], place: u16) -> Vec<(usize, Column)> {
    let mut left: Vec<(usize, Column)> = columns.into_iter().enumerate().collect();
    let taken = |left: &[(usize, Column)]| {
        let widths = left.iter().map(|(_, column)| column.width + GAP);
        widths.sum::<u16>()
    };
    while taken(&left) > place {
        let spared = (left.iter().enumerate())
            .filter(|(_, (_, column))| column.sparing > 0)
            .max_by_key(|(_, (_, column))| column.sparing);
        match spared {
            Some((at, _)) => left.remove(at),
            None => break,
        };
    }
    left
}

/// One line of a table: a text for each column, and the place that is left.
fn line<'text>(
    canvas: &mut Canvas<'_>,
    line: Rect,
    columns: &[(usize, Column)],
    mut text: impl FnMut(usize) -> (Style, std::borrow::Cow<'text, str>),
) -> Rect {
    let mut rest = line;
    for (index, column) in columns {
        let [place, after] = split(rest, column.width);
        let (style, text) = text(*index);
        if column.is_figure {
            canvas.figure(place, style, &text);
        } else {
            canvas.text(place, style, &text);
        }
        rest = split(after, GAP)[1];
    }
    rest
}

fn draw_groups(canvas: &mut Canvas<'_>, area: Rect, view: &LiveView) {
    let Some(head) = row(area, 0) else { return };
    let styles = canvas.styles();
    let shown = shown_groups(view, usize::from(area.height - 1));
    let names = shown.iter().map(|index| {
        let name = width(&visible(&view.groups[*index].name));
        u16::try_from(name.clamp(12, NAME_AT_MOST)).unwrap_or(12)
    });
    let columns = fitting(
        [
            Column::text("", names.max().unwrap_or(12) + 4, 0),
            Column::text("state", 7, 3),
            Column::figure("processes", 9, 4),
            Column::figure("wall", TIME, 2),
            Column::figure("now", SIZE, 0),
            Column::figure("peak", SIZE, 1),
        ],
        area.width,
    );
    let title = title(view.grouping);
    let title = match (shown.len(), view.groups.len()) {
        (shown, all) if shown < all => format!("{title} {shown} of {all}"),
        _ => title.to_owned(),
    };
    line(canvas, head, &columns, |index| match index {
        0 => (styles.title, title.clone().into()),
        index => {
            let of = |(at, _): &&(usize, Column)| *at == index;
            let title = columns
                .iter()
                .find(of)
                .map_or("", |(_, column)| column.title);
            (styles.faint, title.into())
        }
    });
    for (at, index) in (1..area.height).zip(shown) {
        let Some(place) = row(area, at) else { break };
        let Group {
            name,
            state,
            wall,
            live,
            now,
            peak,
        } = &view.groups[index];
        let of_group = styles.group(index, view.groups[index].is_other());
        let (word, style) = match state {
            GroupState::Waiting => ("waits", styles.faint),
            GroupState::Running => ("runs", styles.plain),
            GroupState::Over => ("over", styles.faint),
        };
        line(canvas, place, &columns, |column| match column {
            0 => (of_group, format!("■ {name}").into()),
            1 => (style, word.into()),
            2 => (style, positive(*live).into()),
            3 => (style, wall.map_or_else(String::new, clock).into()),
            4 => (style, held(*state, *now).into()),
            _ => (style, peak.map_or_else(String::new, byte_size).into()),
        });
    }
}

const fn title(grouping: Grouping) -> &'static str {
    match grouping {
        Grouping::Stages => "stages",
        Grouping::Programs => "programs",
    }
}

fn positive(number: u64) -> String {
    match number {
        0 => String::new(),
        number => number.to_string(),
    }
}

fn held(state: GroupState, size: ByteSize) -> String {
    match state {
        GroupState::Running => byte_size(size),
        GroupState::Waiting | GroupState::Over => String::new(),
    }
}

/// The places of those that are shown: all of them, or those that matter most; stages in their order, programs by what they
/// hold.
fn shown_groups(view: &LiveView, place: usize) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..view.groups.len()).collect();
    shown.sort_by_key(|index| {
        let group = &view.groups[*index];
        std::cmp::Reverse((group.state == GroupState::Running, group.now, group.peak))
    });
    shown.truncate(place);
    if view.grouping == Grouping::Stages {
        shown.sort_by_key(|index| (view.groups[*index].is_other(), *index));
    }
    shown
}

fn draw_processes(canvas: &mut Canvas<'_>, area: Rect, view: &LiveView, choices: &Choices) {
    let Some(head) = row(area, 0) else { return };
    let styles = canvas.styles();
    let names = view.groups.iter().map(|group| width(&visible(&group.name)));
    let names = u16::try_from(names.max().unwrap_or(0).clamp(5, 16)).unwrap_or(5);
    // What they run is in their command already.
    let (stage, of_stage) = match view.grouping {
        Grouping::Stages => (names, 2),
        Grouping::Programs => (0, u8::MAX),
    };
    let columns: Vec<_> = fitting(
        [
            Column::figure("pid", 9, 0),
            Column::figure("PSS", SIZE, 0),
            Column::figure("RSS", SIZE, 3),
            Column::figure("age", TIME, 4),
            Column::text("stage", stage, of_stage),
        ],
        (area.width.saturating_sub(COMMAND_AT_LEAST)).max(SIZE * 2 + GAP),
    );
    let columns: Vec<_> = (columns.into_iter())
        .filter(|(_, column)| column.width > 0)
        .collect();
    let sorted = match choices.order {
        SortOrder::Pid => 0,
        SortOrder::Pss => 1,
        SortOrder::Rss => 2,
        SortOrder::Age => 3,
    };
    let rest = line(canvas, head, &columns, |index| {
        let of = |(at, _): &&(usize, Column)| *at == index;
        let title = columns
            .iter()
            .find(of)
            .map_or("", |(_, column)| column.title);
        if index == sorted {
            (styles.title, format!("{title} ▾").into())
        } else {
            (styles.faint, title.into())
        }
    });
    let rows = usize::from(area.height - 1);
    // The last page is full.
    let first = choices.first.min(view.processes.len().saturating_sub(rows));
    let rest = if first > 0 {
        let more = format!("{first} above");
        canvas.right(rest, styles.faint, &more)
    } else {
        rest
    };
    canvas.text(rest, styles.faint, "command");
    for (at, process) in (1..area.height).zip(view.processes.iter().skip(first)) {
        let Some(place) = row(area, at) else { break };
        let LiveProcess {
            pid,
            pss,
            rss,
            age: lived,
            group,
            command,
        } = process;
        let size = |size: &Option<ByteSize>| match size {
            Some(size) => (styles.plain, byte_size(*size).into()),
            None => (styles.faint, UNKNOWN.into()),
        };
        let rest = line(canvas, place, &columns, |index| match index {
            0 => (styles.faint, pid.to_string().into()),
            1 => size(pss),
            2 => size(rss),
            3 => (styles.faint, age(*lived).into()),
            _ => match group.and_then(|index| Some((index, view.groups.get(index)?))) {
                Some((index, group)) => {
                    let style = styles.group(index, group.is_other());
                    (style, group.name.to_string().into())
                }
                None => (styles.faint, UNKNOWN.into()),
            },
        });
        canvas.command(rest, styles.plain, command);
    }
}

fn age(age: Duration) -> String {
    match age.as_secs() {
        0..60 => format!("{:.1} s", age.as_secs_f64()),
        _ => clock(age),
    }
}
