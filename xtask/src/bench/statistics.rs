//! Medians with their spread.

use std::fmt;

/// The median of some figures, with the least and the greatest, and with the interval that holds the true median with
/// a confidence of at least 95 %, whatever the figures' distribution is: that between two of the ordered figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one; of an even number, the mean of the two in the middle. NaN of none.
    pub median: f64,
    least: f64,
    greatest: f64,
    /// `None` of fewer than six figures, of which no interval is that sure.
    interval: Option<(f64, f64)>,
}

/// How many of `count` ordered figures may be left out at either end so that the rest still hold the true median with
/// a confidence of 95 %: each figure is as likely above it as below.
fn outside(count: usize) -> Option<usize> {
    let count = u32::try_from(count).ok()?;
    // The chance that exactly `k` of the figures are below it; both ends are left out.
    let mut chance = 0.5_f64.powf(f64::from(count));
    let mut wrong = 2.0 * chance;
    let mut left_out = None;
    let mut k = 0;
    while wrong <= 0.05 {
        left_out = usize::try_from(k).ok();
        chance *= f64::from(count - k) / f64::from(k + 1);
        wrong += 2.0 * chance;
        k += 1;
    }
    left_out
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
        let interval =
            outside(figures.len()).map(|out| (figures[out], figures[figures.len() - 1 - out]));
        Self {
            median,
            least,
            greatest,
            interval,
        }
    }

    /// Of shares of a whole: `-62.7 % (-65.8…-2.0)`.
    pub fn in_percent(&self) -> String {
        let [median, least, greatest] =
            [self.median, self.least, self.greatest].map(|share| share * 100.0);
        format!("{median:.1} % ({least:.1}…{greatest:.1})")
    }

    /// Without decimals: `1136 (967…1214)`.
    pub fn whole(&self) -> String {
        let Self {
            median,
            least,
            greatest,
            interval: _,
        } = self;
        format!("{median:.0} ({least:.0}…{greatest:.0})")
    }
}

/// `1.004 [0.995…1.012]`, with the interval of the median; of few figures `1.004 (0.98…1.02)`, least and greatest.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            median,
            least,
            greatest,
            interval,
        } = self;
        match interval {
            Some((from, to)) => write!(f, "{median:.3} [{from:.3}…{to:.3}]"),
            None => write!(f, "{median:.3} ({least:.2}…{greatest:.2})"),
        }
    }
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
    fn the_median_is_known_to_lie_between_two_figures() {
        // Of six, all above or all below has a chance of 1 in 32; of twenty, the sixth to the fifteenth (as any table
        // of the sign test has it).
        assert_eq!(
            [5, 6, 8, 9, 20].map(outside),
            [None, Some(0), Some(0), Some(1), Some(5)]
        );
        let figures = (1..=9).map(f64::from);
        assert_eq!(Spread::of(figures).to_string(), "5.000 [2.000…8.000]");
    }
}
