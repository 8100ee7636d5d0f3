//! Medians with their spread, and tables.

use std::fmt;

/// The median of some figures, with the least and the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one; of an even number, the mean of the two in the middle. NaN of none.
    pub median: f64,
    least: f64,
    greatest: f64,
}

impl Spread {
    /// Of these figures.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let median = match figures.as_slice() {
            [] => f64::NAN,
            _ if figures.len().is_multiple_of(2) => {
                f64::midpoint(figures[middle - 1], figures[middle])
            }
            _ => figures[middle],
        };
        let least = figures.first().copied().unwrap_or(f64::NAN);
        let greatest = figures.last().copied().unwrap_or(f64::NAN);
        Self {
            median,
            least,
            greatest,
        }
    }

    /// Of shares of a whole: `-62.7 % (-65.8…-2.0)`.
    pub fn in_percent(&self) -> String {
        let [median, least, greatest] =
            [self.median, self.least, self.greatest].map(|share| share * 100.0);
        format!("{median:.1} % ({least:.1}…{greatest:.1})")
    }
}

/// `1.004 (0.98…1.02)`.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.3} ({:.2}…{:.2})",
            self.median, self.least, self.greatest
        )
    }
}

/// Rows with their columns below each other, the first column to the left, the others to the right.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            let parts = if column == 0 {
                [cell, "", &padding]
            } else {
                ["  ", &padding, cell]
            };
            line.extend(parts);
        }
        text += line.trim_end();
        text += "\n";
    }
    text
}

/// Rows as a Markdown table, the first one its heading.
pub fn markdown(rows: &[Vec<String>]) -> String {
    let line = |row: &Vec<String>| format!("| {} |\n", row.join(" | "));
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        text += &line(row);
        if index == 0 {
            let rule = |column| if column == 0 { "---" } else { "---:" };
            text += &line(
                &(0..row.len())
                    .map(|column| rule(column).to_owned())
                    .collect(),
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).to_string(), "2.000 (1.00…3.00)");
        assert_eq!(Spread::of([1.0, 2.0]).to_string(), "1.500 (1.00…2.00)");
        assert!(Spread::of([]).median.is_nan());
    }

    #[test]
    fn tables_are_aligned() {
        let rows = [["a", "long"], ["bb", "1"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows), "a   long\nbb     1\n");
        assert_eq!(
            markdown(&rows),
            "| a | long |\n| --- | ---: |\n| bb | 1 |\n"
        );
    }
}
