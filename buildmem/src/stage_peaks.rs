//! The kernel's own peak of each stage, where stages follow one another: its mark is read, and set back, whenever a
//! stage begins or ends.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::stages::StageId;
use crate::units::{BootTime, ByteSize};

/// Who has begun so shortly before a reading has its own to come: the reading is of the stage before.
///
/// It is three times the time between two looks at what began and ended; what a stage holds in its first moments is less
/// than what the one before had at its peak, or else it is counted there.
const JUST_BEGUN: Duration = Duration::from_millis(60);

/// What the readings tell of each stage.
#[derive(Debug, Default)]
pub struct StagePeaks {
    /// The stages that had a live process since the last reading.
    since_last: BTreeMap<StageId, Since>,
    peaks: BTreeMap<StageId, Peak>,
    was_read: bool,
}

#[derive(Clone, Copy, Debug)]
enum Since {
    LastReading,
    Began(BootTime),
}

#[derive(Clone, Copy, Debug)]
enum Peak {
    Alone(ByteSize),
    BesideAnother,
    /// It began between two readings: the mark may be of what was before it. This is how it is when rules are applied
    /// to a recording that was made with others.
    BeganBetween,
}

impl Peak {
    /// The higher; without a figure for one of a stage's times there is none for the stage.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Alone(one), Self::Alone(other)) => Self::Alone(one.max(other)),
            (Self::Alone(_), without) | (without, _) => without,
        }
    }
}

impl StagePeaks {
    /// A process has come to this stage.
    pub fn began(&mut self, stage: StageId, at: BootTime) {
        self.since_last.entry(stage).or_insert(Since::Began(at));
    }

    /// The highest usage since the last reading was read. These stages go on.
    pub fn read(
        &mut self,
        at: BootTime,
        highest: ByteSize,
        live: impl IntoIterator<Item = StageId>,
    ) {
        self.was_read = true;
        let is_to_come =
            |since: Since| matches!(since, Since::Began(began) if at.since(began) <= JUST_BEGUN);
        let mut were_there = std::mem::take(&mut self.since_last);
        were_there.retain(|_, since| !is_to_come(*since));
        let alone = were_there.len() == 1;
        for (stage, since) in were_there {
            let peak = match since {
                _ if !alone => Peak::BesideAnother,
                Since::Began(_) => Peak::BeganBetween,
                Since::LastReading => Peak::Alone(highest),
            };
            self.peaks
                .entry(stage)
                .and_modify(|before| *before = before.with(peak))
                .or_insert(peak);
        }
        let live = live.into_iter().map(|stage| (stage, Since::LastReading));
        self.since_last = live.collect();
    }

    /// Whether there were readings.
    pub const fn was_read(&self) -> bool {
        self.was_read
    }

    /// The stage's own.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn of(&self, stage: StageId) -> Result<ByteSize, &'static str> {
        match self.peaks.get(&stage) {
            Some(Peak::Alone(peak)) => Ok(*peak),
            Some(Peak::BesideAnother) => {
                Err("it ran beside another stage, and the mark is of both")
            }
            Some(Peak::BeganBetween) => {
                Err("the mark was not set back when it began, and may be of what was before it")
            }
            None => Err("it was too short"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> BootTime {
        BootTime::from_nanos(1_000_000_000 + ms * 1_000_000)
    }

    const fn mib(mib: u64) -> ByteSize {
        ByteSize::from_mib(mib)
    }

    fn stage(n: u16) -> StageId {
        StageId::for_test(n)
    }

    #[test]
    fn stages_that_follow_one_another_have_a_peak_each() {
        let mut peaks = StagePeaks::default();
        peaks.began(stage(0), ms(0));
        peaks.read(ms(10), mib(1), [stage(0)]);
        peaks.began(stage(1), ms(500));
        // The first one's end and the second one's begin are seen together.
        peaks.read(ms(510), mib(90), [stage(1)]);
        peaks.read(ms(900), mib(40), []);
        assert_eq!(peaks.of(stage(0)), Ok(mib(90)));
        assert_eq!(peaks.of(stage(1)), Ok(mib(40)));
    }

    #[test]
    fn a_stage_that_comes_again_has_the_higher_of_its_peaks() {
        let mut peaks = StagePeaks::default();
        for (n, high) in [(0, 70), (1, 30), (0, 50)] {
            peaks.began(stage(n), ms(0));
            peaks.read(ms(10), mib(1), [stage(n)]);
            peaks.read(ms(100), mib(high), []);
        }
        assert_eq!(peaks.of(stage(0)), Ok(mib(70)));
        assert_eq!(peaks.of(stage(1)), Ok(mib(30)));
    }

    #[test]
    fn stages_beside_one_another_have_none() {
        let mut peaks = StagePeaks::default();
        peaks.began(stage(0), ms(0));
        peaks.read(ms(10), mib(1), [stage(0)]);
        peaks.began(stage(1), ms(100));
        peaks.read(ms(110), mib(20), [stage(0), stage(1)]);
        peaks.read(ms(300), mib(50), [stage(1)]);
        peaks.read(ms(500), mib(10), []);
        assert!(peaks.of(stage(0)).unwrap_err().contains("beside"));
        assert!(peaks.of(stage(1)).unwrap_err().contains("beside"));
    }

    #[test]
    fn a_stage_that_is_over_at_once_has_none() {
        let mut peaks = StagePeaks::default();
        peaks.began(stage(0), ms(0));
        peaks.read(ms(10), mib(1), [stage(0)]);
        peaks.began(stage(1), ms(480));
        peaks.read(ms(500), mib(50), []);
        assert_eq!(peaks.of(stage(0)), Ok(mib(50)));
        assert!(peaks.of(stage(1)).unwrap_err().contains("short"));
    }

    #[test]
    fn a_stage_that_began_between_two_readings_has_none() {
        let mut peaks = StagePeaks::default();
        peaks.began(stage(0), ms(0));
        peaks.read(ms(300), mib(50), []);
        peaks.began(stage(0), ms(400));
        peaks.read(ms(410), mib(1), [stage(0)]);
        peaks.read(ms(600), mib(20), []);
        assert!(peaks.of(stage(0)).unwrap_err().contains("before it"));
    }
}
