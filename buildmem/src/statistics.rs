//! What the figures of several runs say: their median and its uncertainty, how far they scatter, which of them are
//! outliers, and whether two series of them differ by more than chance.
//!
//! Nothing here takes the figures to be distributed in any special way: those of builds have long tails and steps. So
//! everything rests on their order. Bytes are exact up to 8 PiB.

/// The figures of some runs of one thing, in ascending order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    ordered: Vec<f64>,
}

/// An interval, both ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub from: f64,
    /// Its upper end.
    pub to: f64,
}

impl Interval {
    /// Half of its width.
    pub fn half_width(self) -> f64 {
        (self.to - self.from) / 2.0
    }
}

/// How surely the interval of a median holds it.
pub const CONFIDENCE: f64 = 0.95;

/// Differences that chance alone would bring about at most so often are taken to be none of chance's.
pub const SIGNIFICANCE: f64 = 0.05;

/// For a normal distribution, the standard deviation is so many median absolute deviations.
pub const STANDARD_DEVIATIONS_A_MAD: f64 = 1.4826;

/// Figures that are so many median absolute deviations away from the median are outliers: ten standard deviations of a
/// normal distribution, which is hyperfine's bound, too.
const MADS_OF_AN_OUTLIER: f64 = 10.0 * STANDARD_DEVIATIONS_A_MAD;

/// What the deviation is taken to be at the least when outliers are looked for, as a share of the median. Of three runs
/// of which two are equal to the byte, the third is none for a page more.
const LEAST_DEVIATION: f64 = 0.001;

/// The exact distribution of ranks is counted up to so many figures of both sides; above, it is as good as normal.
const MOST_FOR_EXACT: usize = 60;

/// The binomial distribution is counted up to so many figures; above, it is as good as normal.
const MOST_FOR_BINOMIAL: usize = 500;

impl Sample {
    /// Of these figures; what is no number is left out.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut ordered: Vec<f64> = figures
            .into_iter()
            .filter(|figure| figure.is_finite())
            .collect();
        ordered.sort_by(f64::total_cmp);
        Self { ordered }
    }

    /// Of these sizes or counts.
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 2^53, which is 8 PiB"
    )]
    pub fn of_integers(figures: impl IntoIterator<Item = u64>) -> Self {
        Self::of(figures.into_iter().map(|figure| figure as f64))
    }

    /// The figures in ascending order.
    pub fn ordered(&self) -> &[f64] {
        &self.ordered
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ordered.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ordered.is_empty()
    }

    /// The least and the greatest; none of none.
    pub fn range(&self) -> Option<Interval> {
        let (from, to) = (*self.ordered.first()?, *self.ordered.last()?);
        Some(Interval { from, to })
    }

    /// The middle one; of an even number, the mean of the two in the middle. None of none.
    pub fn median(&self) -> Option<f64> {
        self.quantile(0.5)
    }

    /// The first and the third quartile; none of none.
    pub fn quartiles(&self) -> Option<Interval> {
        Some(Interval {
            from: self.quantile(0.25)?,
            to: self.quantile(0.75)?,
        })
    }

    /// Below which this share of the figures lies, between two of them by their distance.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into the figures"
    )]
    fn quantile(&self, share: f64) -> Option<f64> {
        let last = self.ordered.len().checked_sub(1)?;
        let place = share.clamp(0.0, 1.0) * last as f64;
        let below = (place.floor() as usize).min(last);
        let above = (below + 1).min(last);
        let (from, to) = (self.ordered[below], self.ordered[above]);
        Some(from + (to - from) * place.fract())
    }

    /// Median of the figures' distances from their median: how far a typical one is from it. None of none.
    pub fn median_absolute_deviation(&self) -> Option<f64> {
        let median = self.median()?;
        Self::of(self.ordered.iter().map(|figure| (figure - median).abs())).median()
    }

    /// The interval between two of the figures that holds the true median with a confidence of at least [`CONFIDENCE`].
    /// None of fewer than six, of which no interval is that sure.
    pub fn interval_of_median(&self) -> Option<Interval> {
        let left_out = left_out_at_either_end(self.len())?;
        let to = self.len() - 1 - left_out;
        Some(Interval {
            from: self.ordered[left_out],
            to: self.ordered[to],
        })
    }

    /// How far the true median may be from that of these figures: half the width of its interval; where they are too
    /// few for one, half of their range. None of fewer than two.
    pub fn uncertainty_of_median(&self) -> Option<f64> {
        match self.len() {
            0 | 1 => None,
            _ => self
                .interval_of_median()
                .or_else(|| self.range())
                .map(Interval::half_width),
        }
    }
}

/// A figure of integers, such as a median of bytes, as one again.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, and a cast of floats saturates"
)]
pub fn rounded(figure: f64) -> u64 {
    figure.round() as u64
}

/// How many of `count` ordered figures may be left out at either end so that the rest still hold the true median with a
/// confidence of [`CONFIDENCE`]: each figure is above it as likely as below, whatever their distribution.
fn left_out_at_either_end(count: usize) -> Option<usize> {
    if count > MOST_FOR_BINOMIAL {
        return Some(left_out_of_many(count));
    }
    let count = u32::try_from(count).ok()?;
    // The chance that exactly `below` of the figures are below the median. The interval misses it when too few are
    // below, or too few above.
    let mut chance = 0.5_f64.powf(f64::from(count));
    let mut missed = 2.0 * chance;
    let mut left_out = None;
    let mut below = 0;
    while missed <= 1.0 - CONFIDENCE {
        left_out = usize::try_from(below).ok();
        chance *= f64::from(count - below) / f64::from(below + 1);
        missed += 2.0 * chance;
        below += 1;
    }
    left_out
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive and below the count, which is more than a few hundred"
)]
fn left_out_of_many(count: usize) -> usize {
    let count = count as f64;
    // Of a normal distribution, 95 % lie within 1.96 standard deviations; rounded to the safe side.
    ((count - 1.96 * count.sqrt()) / 2.0 - 1.0).floor() as usize
}

/// Which of these figures, by their place among them, are so far from the others that something else happened in that
/// run.
pub fn outliers(figures: &[f64]) -> Vec<usize> {
    let sample = Sample::of(figures.iter().copied());
    let (Some(median), Some(deviation)) = (sample.median(), sample.median_absolute_deviation())
    else {
        return Vec::new();
    };
    let bound = MADS_OF_AN_OUTLIER * deviation.max(LEAST_DEVIATION * median.abs());
    let is_outlier = |figure: f64| (figure - median).abs() > bound;
    (figures.iter().enumerate())
        .filter(|(_, figure)| is_outlier(**figure))
        .map(|(place, _)| place)
        .collect()
}

/// What the ranks of two series say: the test of Mann and Whitney, two-sided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankTest {
    /// How often chance alone would part the two at least as far, if the same was measured in both.
    pub p: f64,
    /// The least that `p` can be with so many figures a side: that of two series of which one lies wholly above the other.
    pub least_p: f64,
}

impl RankTest {
    /// Whether chance alone would hardly do this.
    pub fn is_significant(&self) -> bool {
        self.p <= SIGNIFICANCE
    }

    /// Whether there are enough figures for [`Self::is_significant`] to be possible at all: four a side, or three and five.
    pub fn can_be_significant(&self) -> bool {
        self.least_p <= SIGNIFICANCE
    }
}

/// Compares the ranks of two series; none when one of them is empty.
///
/// Exact up to 60 figures, ties included: all ways in which the ranks could have fallen to the two sides are counted.
/// Above that, by the normal distribution, with corrections for ties and continuity.
pub fn rank_test(one: &Sample, other: &Sample) -> Option<RankTest> {
    if one.is_empty() || other.is_empty() {
        return None;
    }
    let pooled = Sample::of(one.ordered.iter().chain(&other.ordered).copied());
    let ranks = doubled_ranks(&pooled.ordered);
    let rank_of = |figure: &f64| ranks[pooled.ordered.partition_point(|least| least < figure)];
    let sum = one.ordered.iter().map(rank_of).sum();
    let untied: Vec<usize> = (1..=pooled.len()).map(|rank| 2 * rank).collect();
    let lowest = untied[..one.len()].iter().sum();
    let p_of = |ranks: &[usize], sum| {
        if pooled.len() <= MOST_FOR_EXACT {
            exact_p(ranks, one.len(), sum)
        } else {
            normal_p(ranks, one.len(), sum)
        }
    };
    Some(RankTest {
        p: p_of(&ranks, sum),
        least_p: p_of(&untied, lowest),
    })
}

/// Twice the rank of each of these ordered figures: figures that are equal share the mean of their ranks, which is a
/// half or a whole.
#[expect(clippy::float_cmp, reason = "figures are tied when they are equal")]
fn doubled_ranks(ordered: &[f64]) -> Vec<usize> {
    let mut ranks = Vec::with_capacity(ordered.len());
    for equal in ordered.chunk_by(|a, b| a == b) {
        let (before, count) = (ranks.len(), equal.len());
        ranks.extend(std::iter::repeat_n(2 * before + count + 1, count));
    }
    ranks
}

/// How often `chosen` of these ranks, chosen by chance, have a sum at least as far from its mean as this one.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of ways: below 2^57, and a probability in the end"
)]
fn exact_p(ranks: &[usize], chosen: usize, sum: usize) -> f64 {
    let total: usize = ranks.iter().sum();
    // In how many ways so many of the ranks have this sum.
    let mut ways = vec![vec![0_u64; total + 1]; chosen + 1];
    ways[0][0] = 1;
    for &rank in ranks {
        for count in (1..=chosen).rev() {
            for sum in (rank..=total).rev() {
                ways[count][sum] += ways[count - 1][sum - rank];
            }
        }
    }
    // The mean sum is `total * chosen / ranks.len()`; in whole numbers, for equal distances must count as equal.
    let distance = |sum: usize| (sum * ranks.len()).abs_diff(total * chosen);
    let all: u64 = ways[chosen].iter().sum();
    let as_far: u64 = (ways[chosen].iter().enumerate())
        .filter(|(other, _)| distance(*other) >= distance(sum))
        .map(|(_, ways)| ways)
        .sum();
    as_far as f64 / all as f64
}

/// The same by the normal distribution that the sum's comes close to.
#[expect(
    clippy::cast_precision_loss,
    reason = "ranks of at most some thousand figures"
)]
fn normal_p(ranks: &[usize], chosen: usize, sum: usize) -> f64 {
    let (all, chosen) = (ranks.len() as f64, chosen as f64);
    let mean = ranks.iter().sum::<usize>() as f64 / all;
    // The variance of the ranks, which ties make smaller.
    let variance = (ranks.iter())
        .map(|rank| (*rank as f64 - mean).powi(2))
        .sum::<f64>()
        / (all - 1.0);
    let deviation = (variance * chosen * (all - chosen) / all).sqrt();
    if deviation == 0.0 {
        return 1.0;
    }
    // A rank is counted twice here, and so is the half that continuity asks for.
    let distance = ((sum as f64 - chosen * mean).abs() - 1.0).max(0.0) / deviation;
    beyond(distance)
}

/// The part of a normal distribution that is at least so many standard deviations from its mean, on either side, to some
/// 1e-7.
fn beyond(deviations: f64) -> f64 {
    // 7.1.26 of Abramowitz and Stegun, for the complementary error function.
    const COEFFICIENTS: [f64; 5] = [
        1.061_405_429,
        -1.453_152_027,
        1.421_413_741,
        -0.284_496_736,
        0.254_829_592,
    ];
    let x = deviations / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = (COEFFICIENTS.iter()).fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    (polynomial * (-x * x).exp()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(figures: &[f64]) -> Sample {
        Sample::of(figures.iter().copied())
    }

    fn p(one: &[f64], other: &[f64]) -> f64 {
        rank_test(&of(one), &of(other)).unwrap().p
    }

    fn is(figure: f64, expected: f64) -> bool {
        (figure - expected).abs() < 1e-6
    }

    #[test]
    fn nothing_has_no_figures() {
        let none = of(&[]);
        assert_eq!((none.median(), none.range()), (None, None));
        assert_eq!((none.quartiles(), none.interval_of_median()), (None, None));
        assert_eq!(none.median_absolute_deviation(), None);
        assert_eq!(rank_test(&none, &of(&[1.0])), None);
        assert_eq!(outliers(&[]), [0; 0]);
        assert_eq!(of(&[f64::NAN, 1.0, f64::INFINITY]).ordered(), [1.0]);
    }

    #[test]
    fn the_median_is_in_the_middle_and_the_quartiles_halve_the_halves() {
        assert_eq!(of(&[3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(Sample::of_integers([4, 1, 2, 3]).median(), Some(2.5));
        let five = Sample::of_integers(1..=5);
        assert_eq!(five.quartiles(), Some(Interval { from: 2.0, to: 4.0 }));
        assert_eq!(five.median_absolute_deviation(), Some(1.0));
    }

    #[test]
    fn the_median_is_known_to_lie_between_two_figures() {
        // As any table of the sign test has it: of six, the first to the sixth; of twenty, the sixth to the fifteenth.
        let left_out = [5, 6, 8, 9, 20, 50].map(left_out_at_either_end);
        assert_eq!(
            left_out,
            [None, Some(0), Some(0), Some(1), Some(5), Some(17)]
        );
        // By the normal distribution and by the binomial one: the same but for one on the safe side.
        let exact = left_out_at_either_end(MOST_FOR_BINOMIAL).unwrap();
        let close = left_out_of_many(MOST_FOR_BINOMIAL);
        assert!((exact - 1..=exact).contains(&close), "{close} of {exact}");
        let nine = Sample::of_integers(1..=9);
        assert_eq!(
            nine.interval_of_median(),
            Some(Interval { from: 2.0, to: 8.0 })
        );
        assert_eq!(nine.uncertainty_of_median(), Some(3.0));
        assert_eq!(of(&[1.0, 5.0]).uncertainty_of_median(), Some(2.0));
        assert_eq!(of(&[1.0]).uncertainty_of_median(), None);
    }

    #[test]
    fn ranks_part_two_series_as_the_tables_of_the_test_say() {
        let from =
            |first: u32, count: u32| (first..first + count).map(f64::from).collect::<Vec<_>>();
        // Wholly apart: two of all the ways in which the ranks can fall.
        assert!(is(p(&from(0, 3), &from(3, 3)), 2.0 / 20.0));
        assert!(is(p(&from(0, 4), &from(4, 4)), 2.0 / 70.0));
        assert!(is(p(&from(9, 5), &from(0, 3)), 2.0 / 56.0));
        assert!(is(p(&from(0, 1), &from(3, 4)), 2.0 / 5.0));
        // U = 4 of 5 and 5: 0.0952; U = 2: 0.0317 (Mann and Whitney's own table, doubled).
        assert!(is(
            p(&[1.0, 2.0, 3.0, 4.0, 9.0], &[5.0, 6.0, 7.0, 8.0, 10.0]),
            24.0 / 252.0
        ));
        assert!(is(
            p(&[1.0, 2.0, 3.0, 4.0, 7.0], &[5.0, 6.0, 8.0, 9.0, 10.0]),
            8.0 / 252.0
        ));
        assert!(is(p(&[1.0; 4], &[1.0; 4]), 1.0));
    }

    #[test]
    fn ties_share_their_rank() {
        assert_eq!(doubled_ranks(&[1.0, 2.0, 2.0, 3.0]), [2, 5, 5, 8]);
        // Of the six ways to choose two of the ranks 1, 2.5, 2.5 and 4, all but the two of 1 or 4 with each other or both
        // middles are as far out as 3.5.
        assert!(is(p(&[1.0, 2.0], &[2.0, 3.0]), 4.0 / 6.0));
    }

    #[test]
    fn too_few_runs_can_prove_nothing() {
        let can = |one: u64, other: u64| {
            let test = rank_test(&Sample::of_integers(0..one), &Sample::of_integers(0..other));
            test.unwrap().can_be_significant()
        };
        assert!(!can(1, 1) && !can(3, 3) && !can(1, 30));
        assert!(can(4, 4) && can(3, 5) && can(2, 8) && can(1, 39));
    }

    #[test]
    fn the_normal_distribution_takes_over_where_counting_ends() {
        let one: Vec<f64> = (0..30).map(|n| f64::from(n * 7 % 31)).collect();
        let other: Vec<f64> = (0..30).map(|n| f64::from(n * 11 % 37) + 4.0).collect();
        let pooled = Sample::of(one.iter().chain(&other).copied());
        let ranks = doubled_ranks(&pooled.ordered);
        let rank_of = |figure: &f64| ranks[pooled.ordered.partition_point(|least| least < figure)];
        let sum = one.iter().map(rank_of).sum();
        let (exact, normal) = (exact_p(&ranks, 30, sum), normal_p(&ranks, 30, sum));
        assert!((0.001..0.2).contains(&exact), "{exact}");
        assert!((exact - normal).abs() < 0.003, "{exact} and {normal}");
        // A normal distribution's 1.96 standard deviations.
        assert!((beyond(1.959_964) - 0.05).abs() < 1e-6);
        assert!((beyond(0.0) - 1.0).abs() < 1e-6);
        let (low, high) = (Sample::of_integers(0..40), Sample::of_integers(100..140));
        assert!(rank_test(&low, &high).unwrap().p < 1e-6);
    }

    #[test]
    fn an_outlier_is_far_from_the_others_and_is_named_by_its_run() {
        assert_eq!(outliers(&[10.0, 10.1, 30.0, 9.9, 10.0]), [2]);
        assert_eq!(outliers(&[10.0, 11.0, 12.0, 9.0, 10.5]), [0; 0]);
        // Equal but for a page: none; but for a tenth: one.
        assert_eq!(outliers(&[1e9, 1e9, 1e9 + 4096.0]), [0; 0]);
        assert_eq!(outliers(&[1e9, 1e9, 1.1e9]), [2]);
        assert_eq!(outliers(&[1.0, 2.0]), [0; 0]);
    }

    #[test]
    fn integers_stay_exact() {
        let size = (1 << 52) + 1;
        let median = Sample::of_integers([size, size, 0]).median().unwrap();
        assert_eq!(rounded(median), size);
        assert_eq!(rounded(-1.0), 0);
    }

    /// Small integers, so that ties are usual.
    fn figures(most: usize) -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec((0_i32..8).prop_map(f64::from), 1..most)
    }

    proptest! {
        #[test]
        fn what_is_in_the_middle_is_within_what_is_around_it(figures in figures(40)) {
            let sample = of(&figures);
            let (median, range) = (sample.median().unwrap(), sample.range().unwrap());
            let quartiles = sample.quartiles().unwrap();
            prop_assert!(range.from <= quartiles.from && quartiles.from <= median);
            prop_assert!(median <= quartiles.to && quartiles.to <= range.to);
            if let Some(Interval { from, to }) = sample.interval_of_median() {
                prop_assert!(range.from <= from && from <= median && median <= to && to <= range.to);
            }
            let deviation = sample.median_absolute_deviation().unwrap();
            prop_assert!(0.0 <= deviation && deviation <= range.to - range.from);
        }

        #[test]
        fn the_rank_test_is_a_probability_that_has_no_sides_and_sees_only_the_order(
            one in figures(45), other in figures(45),
        ) {
            let test = rank_test(&of(&one), &of(&other)).unwrap();
            prop_assert!(0.0 < test.p && test.p <= 1.0);
            let swapped = p(&other, &one);
            prop_assert!((swapped - test.p).abs() < 1e-9);
            let stretched = |figures: &[f64]| figures.iter().map(|n| n.exp()).collect::<Vec<_>>();
            prop_assert!((p(&stretched(&one), &stretched(&other)) - test.p).abs() < 1e-9);
        }

        #[test]
        fn a_count_of_all_choices_agrees_with_the_exact_test(
            one in figures(6), other in figures(6),
        ) {
            let all: Vec<f64> = one.iter().chain(&other).copied().collect();
            let rank = |n: f64| {
                let below = all.iter().filter(|m| **m < n).count();
                let equal = all.iter().filter(|m| m.total_cmp(&n).is_eq()).count();
                2 * below + equal + 1
            };
            let ranks: Vec<usize> = all.iter().map(|n| rank(*n)).collect();
            let distance = |sum: usize| (sum * all.len()).abs_diff(ranks.iter().sum::<usize>() * one.len());
            let seen = distance(ranks[..one.len()].iter().sum());
            let (mut as_far, mut ways) = (0_u32, 0_u32);
            for choice in 0_u32..1 << all.len() {
                if choice.count_ones() as usize == one.len() {
                    let chosen = (0..all.len()).filter(|n| choice >> n & 1 == 1);
                    ways += 1;
                    as_far += u32::from(distance(chosen.map(|n| ranks[n]).sum()) >= seen);
                }
            }
            prop_assert!((p(&one, &other) - f64::from(as_far) / f64::from(ways)).abs() < 1e-9);
        }
    }
}
