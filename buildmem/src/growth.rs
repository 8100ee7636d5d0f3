//! Samples follow memory: when to look at the usage of the build's cgroup, and when what is seen there is worth a
//! sample. A look costs some microseconds, a sample ten times that and more.
//!
//! Where the kernel can tell, a look comes when the usage has passed a [`Gate`]. Else the
//! next one comes when the usage, growing as it did, would be worth a sample, and within 10 ms: whatever grows (heap,
//! huge pages, page cache) shows there.

use std::time::Duration;

use crate::sampling::Means;
use crate::units::{BootTime, ByteSize};

/// The longest time between two looks where nothing else tells of growth. What is allocated and given back within it may
/// be missed.
const CALM: Duration = Duration::from_millis(10);

/// The same where the kernel tells of growth.
const WATCHED: Duration = Duration::from_millis(25);

/// The shortest time between two looks: what timers resolve.
const HURRY: Duration = Duration::from_millis(1);

/// A new high is worth a sample when it is above the sampled one by this part of it.
const NEW_HIGH: u64 = 64;

/// The same to a sampler that is short of means, while the usage goes on growing.
const NEW_HIGH_OF_THE_SHORT: u64 = 16;

/// Growth below the sampled high is worth a sample when it is this part of the lowest usage since the last sample, and has
/// ceased: stages have a peak of their own.
const REGROWTH: u64 = 10;

/// The same while the usage goes on growing.
const REGROWTH_MEANWHILE: u64 = 5;

/// The same to a sampler that is short of means, whether it goes on growing or not.
const REGROWTH_OF_THE_SHORT: u64 = 2;

/// Growth by less is none: the kernel charges a cgroup in advance, by up to 64 pages a CPU.
const NOISE: ByteSize = ByteSize::from_kib(256);

/// Growth below the sampled high by less is not worth a sample.
const LEAST_REGROWTH: ByteSize = ByteSize::from_mib(2);

/// The usage has ceased to grow when a look finds it grown by less than this part of it.
const CEASED: u64 = 256;

/// What was seen of the usage until now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Growth {
    /// The highest usage that was sampled.
    high: ByteSize,
    /// The lowest usage since the last sample, that one's included.
    low: ByteSize,
    last: Option<(BootTime, ByteSize)>,
    /// What it grew by between the last two looks, and the time between them.
    grown: (ByteSize, Duration),
    /// The usage is worth a sample as soon as it ceases to grow.
    waits: bool,
    /// What the sampler had left at the last look.
    means: Means,
    /// Who has seen the growth first that goes on.
    news: News,
}

/// The usage that is worth a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// From here on.
    pub high: ByteSize,
    /// The lowest usage until now …
    pub low: ByteSize,
    /// … and what has grown by this part of the lowest, …
    pub regrowth_divisor: u64,
    /// … and by no less than this.
    pub least_regrowth: ByteSize,
}

/// Who has seen the growth first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum News {
    /// There is none.
    #[default]
    None,
    /// The kernel, which has told of it: the next look sees it.
    Told,
    /// A look: it grows in a way of which the kernel does not tell, such as huge pages or files that are read.
    Untold,
}

impl Growth {
    /// Takes in a look at the usage. Whether it is worth a sample now, to a sampler with these means: with fewer it is
    /// worth one mostly when the usage has ceased to grow, and with the last ones only at a new high.
    pub fn looked(&mut self, at: BootTime, usage: ByteSize, means: Means) -> bool {
        let (grown, elapsed) = match self.last {
            Some((before, was)) => (usage.saturating_sub(was), at.since(before)),
            None => (ByteSize::ZERO, Duration::ZERO),
        };
        self.last = Some((at, usage));
        self.grown = (grown, elapsed);
        self.means = means;
        self.low = self.low.min(usage);
        let waited = self.waits;
        let ceased = grown < NOISE.max(part(usage, CEASED));
        self.waits = usage >= self.level_when_ceased();
        let due = if ceased {
            self.waits
        } else {
            match means {
                Means::Ample => usage >= self.level(NEW_HIGH, Some(REGROWTH_MEANWHILE)),
                Means::Short => {
                    usage >= self.level(NEW_HIGH_OF_THE_SHORT, Some(REGROWTH_OF_THE_SHORT))
                }
                Means::Last | Means::None => false,
            }
        };
        self.waits &= !due;
        let goes_on = self.news == News::Untold && grown > ByteSize::ZERO;
        // What was waited for has been told.
        let found = self.news != News::Told && !waited && due;
        self.news = if found || goes_on {
            News::Untold
        } else {
            News::None
        };
        due
    }

    /// Takes in that a sample was taken, which found this usage.
    pub fn sampled(&mut self, at: BootTime, usage: ByteSize) {
        self.high = self.high.max(usage);
        self.low = usage;
        self.last = Some((at, usage));
        self.waits = false;
    }

    /// Takes in that the kernel tells of growth, from a usage as low as that.
    pub fn told(&mut self, low: ByteSize) {
        self.low = self.low.min(low);
        self.news = News::Told;
    }

    /// When to be woken; `None` while looks come in a hurry.
    pub fn gate(&self) -> Option<Gate> {
        let (new_high, regrowth) = self.parts_when_ceased();
        (!self.waits).then(|| Gate {
            high: self.above_high(new_high),
            low: self.low,
            regrowth_divisor: regrowth.unwrap_or(1),
            least_regrowth: regrowth.map_or(ByteSize::MAX, |_| LEAST_REGROWTH),
        })
    }

    /// How long after the last look the next one is to come, where the kernel tells of growth or does not.
    pub fn next_look(&self, watched: bool) -> Duration {
        if self.waits {
            return HURRY;
        }
        if watched && self.news != News::Untold {
            return WATCHED;
        }
        let usage = self.last.map_or(ByteSize::ZERO, |(_, usage)| usage);
        let to_go = self.level_when_ceased().saturating_sub(usage);
        let (grown, elapsed) = self.grown;
        if grown == ByteSize::ZERO {
            return CALM;
        }
        let until_there = elapsed.as_secs_f64() * to_go.share_of(grown);
        Duration::try_from_secs_f64(until_there).map_or(CALM, |time| time.clamp(HURRY, CALM))
    }

    /// The parts by which growth is worth a sample once it has ceased: for a new high, and below it.
    const fn parts_when_ceased(&self) -> (u64, Option<u64>) {
        match self.means {
            Means::Ample => (NEW_HIGH, Some(REGROWTH)),
            Means::Short => (NEW_HIGH, Some(REGROWTH_OF_THE_SHORT)),
            Means::Last | Means::None => (NEW_HIGH, None),
        }
    }

    /// The usage that is worth a sample once it has ceased to grow.
    fn level_when_ceased(&self) -> ByteSize {
        let (new_high, regrowth) = self.parts_when_ceased();
        self.level(new_high, regrowth)
    }

    /// The usage that is worth a sample, by the parts for a new high and for growth below it.
    fn level(&self, new_high: u64, regrowth: Option<u64>) -> ByteSize {
        let above_low = regrowth.map_or(ByteSize::MAX, |regrowth| {
            self.low + LEAST_REGROWTH.max(part(self.low, regrowth))
        });
        self.above_high(new_high).min(above_low)
    }

    fn above_high(&self, new_high: u64) -> ByteSize {
        self.high + NOISE.max(part(self.high, new_high))
    }
}

fn part(size: ByteSize, of: u64) -> ByteSize {
    ByteSize::from_bytes(size.bytes() / of)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a usage over time until `end_ms`, as the session does. Gives the moments, in milliseconds, and usages
    /// of the samples, and the count of looks.
    fn follow(usage_at: impl Fn(f64) -> f64, end_ms: f64, means: Means) -> (Vec<(f64, f64)>, u32) {
        follow_watched(usage_at, end_ms, means, false)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a test's figures"
    )]
    fn follow_watched(
        usage_at: impl Fn(f64) -> f64,
        end_ms: f64,
        means: Means,
        watched: bool,
    ) -> (Vec<(f64, f64)>, u32) {
        let mut growth = Growth::default();
        let (mut now, mut looks, mut samples) = (0.0, 0, Vec::new());
        while now < end_ms {
            let at = BootTime::from_nanos((now * 1e6) as u64);
            let usage = ByteSize::from_bytes((usage_at(now) * 1024.0 * 1024.0) as u64);
            looks += 1;
            if growth.looked(at, usage, means) {
                growth.sampled(at, usage);
                samples.push((now, usage_at(now)));
            }
            now += growth.next_look(watched).as_secs_f64() * 1e3;
        }
        (samples, looks)
    }

    /// Grows from 5 MiB by 2.5 MiB a millisecond to 500 MiB, stays there, and goes back.
    fn spike(stays_ms: f64) -> impl Fn(f64) -> f64 {
        move |now| {
            let grown = 5.0 + 2.5 * now;
            if grown < 500.0 {
                grown
            } else if now < 198.0 + stays_ms {
                500.0
            } else {
                5.0
            }
        }
    }

    fn highest(samples: &[(f64, f64)]) -> f64 {
        samples.iter().map(|(_, usage)| *usage).fold(0.0, f64::max)
    }

    #[test]
    fn a_spike_that_stays_for_three_milliseconds_is_sampled_at_its_top() {
        for means in [Means::Ample, Means::Short] {
            let (samples, _) = follow(spike(3.0), 250.0, means);
            assert!(highest(&samples) >= 0.98 * 500.0, "{samples:?}");
        }
    }

    #[test]
    fn who_is_short_takes_less_than_half_of_the_samples() {
        let (all, _) = follow(spike(20.0), 250.0, Means::Ample);
        let (few, _) = follow(spike(20.0), 250.0, Means::Short);
        assert!(
            few.len() * 2 < all.len() && few.len() < 60,
            "{} of {}",
            few.len(),
            all.len()
        );
    }

    #[test]
    fn a_spike_that_goes_at_once_is_sampled_near_its_top() {
        let (samples, _) = follow(spike(0.0), 250.0, Means::Ample);
        assert!(highest(&samples) >= 0.98 * 500.0, "{samples:?}");
        let (samples, _) = follow(spike(0.0), 250.0, Means::Short);
        assert!(highest(&samples) >= 0.88 * 500.0, "{samples:?}");
    }

    #[test]
    fn a_build_at_rest_is_looked_at_a_hundred_times_a_second_and_not_sampled() {
        let (samples, looks) = follow(|_| 300.0, 1000.0, Means::Ample);
        assert_eq!(samples.len(), 1);
        assert!(looks <= 102, "{looks}");
    }

    #[test]
    fn slow_growth_is_sampled_by_steps_of_a_sixty_fourth_with_few_looks() {
        let (samples, looks) = follow(|now| 500.0 + now * 0.05, 1000.0, Means::Ample);
        // 7.8 MiB in the first step, at 0.05 MiB a millisecond.
        assert!((6..=8).contains(&samples.len()), "{samples:?}");
        assert!(looks <= 110, "{looks}");
    }

    #[test]
    fn a_stage_of_50_milliseconds_after_a_larger_one_is_sampled_near_its_own_top() {
        let stages = |now: f64| match now {
            ..200.0 => 300.0,
            ..250.0 => 10.0 + (now - 200.0) * 2.0,
            _ => 10.0,
        };
        for means in [Means::Ample, Means::Short] {
            let (samples, _) = follow(stages, 400.0, means);
            let second = samples.iter().filter(|(at, _)| *at > 200.0);
            let top = second.map(|(_, usage)| *usage).fold(0.0, f64::max);
            let least = if means == Means::Short { 0.6 } else { 0.9 };
            assert!(top >= least * 110.0, "{samples:?}");
        }
    }

    #[test]
    fn growth_of_which_the_kernel_does_not_tell_is_followed_once_it_was_seen() {
        for means in [Means::Ample, Means::Short] {
            let (samples, looks) = follow_watched(spike(3.0), 250.0, means, true);
            assert!(highest(&samples) >= 0.98 * 500.0, "{samples:?}");
            assert!(looks > 30, "{looks}");
        }
        let (_, looks) = follow_watched(|_| 300.0, 1000.0, Means::Ample, true);
        assert!(looks <= 45, "{looks}");
    }

    #[test]
    fn growth_of_which_the_kernel_tells_needs_no_hurry() {
        let mut growth = Growth::default();
        let (now, mib) = (BootTime::from_nanos, ByteSize::from_mib);
        growth.sampled(now(0), mib(100));
        let gate = growth.gate().unwrap();
        assert!(gate.high > mib(101) && gate.high < mib(102));
        growth.told(mib(50));
        assert!(growth.looked(now(1_000_000), mib(60), Means::Ample));
        growth.sampled(now(1_000_000), mib(60));
        assert_eq!(growth.next_look(true), WATCHED);
        assert_eq!(growth.gate().unwrap().low, mib(60));
    }

    #[test]
    fn the_last_samples_are_for_a_high_that_has_ceased_to_grow() {
        let (samples, _) = follow(spike(3.0), 250.0, Means::Last);
        assert!(samples.len() <= 2, "{samples:?}");
        assert!(highest(&samples) >= 0.99 * 500.0, "{samples:?}");
        let mut growth = Growth::default();
        let (now, mib) = (BootTime::from_nanos, ByteSize::from_mib);
        growth.sampled(now(0), mib(100));
        // Far below the high, whatever it grows by.
        assert!(!growth.looked(now(1_000_000), mib(10), Means::Last));
        assert!(!growth.looked(now(2_000_000), mib(90), Means::Last));
        assert_eq!(growth.gate().unwrap().least_regrowth, ByteSize::MAX);
    }

    #[test]
    fn a_small_wave_below_the_high_is_not_sampled() {
        let (samples, _) = follow(|now| 200.0 + 8.0 * (now / 50.0).sin(), 3000.0, Means::Ample);
        assert!(samples.len() <= 8, "{samples:?}");
    }

    #[test]
    fn charges_in_advance_are_no_growth() {
        let (samples, _) = follow(|now| 4.0 + 0.1 * now.sin(), 500.0, Means::Ample);
        assert_eq!(samples.len(), 1);
    }
}
