//! Where things are on the screen.

use ratatui::layout::Rect;

/// Where things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Areas {
    /// What is run, and the figures: one line, or two.
    pub header: Rect,
    /// Memory over time.
    pub chart: Option<Rect>,
    /// Stages and processes.
    pub tables: Option<Rect>,
    /// The line above the output.
    pub output_title: Option<Rect>,
    /// The build's output: the size of its terminal. Depends on the screen's size and `zoomed` alone, since a build is
    /// told of each change.
    pub output: Rect,
    /// Keys, and what the measurement costs.
    pub footer: Option<Rect>,
}

/// Below so many rows beside header and footer, there are no tables.
const TABLES_FROM: u16 = 8;

/// Below so many rows for chart and tables, there is no chart.
const CHART_FROM: u16 = 10;

/// The areas of a screen. None overlaps another.
pub fn areas(screen: Rect, zoomed: bool) -> Areas {
    let mut rest = screen;
    let header = take(&mut rest, if screen.height < 14 { 1 } else { 2 });
    let footer = (screen.height >= 4).then(|| take_last(&mut rest, 1));
    let (mut chart, mut tables) = (None, None);
    if !zoomed && rest.height >= TABLES_FROM {
        let mut top = rest.height - rest.height * 2 / 5;
        if top >= CHART_FROM {
            let height = (top * 2 / 5).clamp(4, 12);
            chart = Some(take(&mut rest, height));
            top -= height;
        }
        tables = Some(take(&mut rest, top));
    }
    let output_title = (rest.height >= 2).then(|| take(&mut rest, 1));
    Areas {
        header,
        chart,
        tables,
        output_title,
        output: rest,
        footer,
    }
}

/// The first rows, which are no longer part of the rest.
pub(super) fn take(rest: &mut Rect, rows: u16) -> Rect {
    let height = rows.min(rest.height);
    let taken = Rect { height, ..*rest };
    rest.y += height;
    rest.height -= height;
    taken
}

/// The last rows.
fn take_last(rest: &mut Rect, rows: u16) -> Rect {
    let height = rows.min(rest.height);
    rest.height -= height;
    Rect {
        y: rest.y + rest.height,
        height,
        ..*rest
    }
}
