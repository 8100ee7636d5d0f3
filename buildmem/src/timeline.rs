//! Memory over time: one row a sample.

use crate::event::CgroupComposition;
use crate::units::ByteSize;

/// The samples of a build, with what each stage held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimelineTable {
    /// The stages in the order of their start, `(other)` last.
    pub stages: Vec<String>,
    /// In the order of time.
    pub rows: Vec<TimelineRow>,
}

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct TimelineRow {
    /// Seconds since the build's start.
    pub at_s: f64,
    /// The stage of highest precedence with a live process.
    pub stage: String,
    /// The cgroup's usage; absent where it could not be read.
    pub cgroup: Option<ByteSize>,
    /// What it consisted of; absent where that could not be read.
    pub composition: Option<CgroupComposition>,
    /// Sum of the live processes' PSS.
    pub pss: ByteSize,
    /// Sum of the live processes' RSS.
    pub rss: ByteSize,
    /// Live processes.
    pub live: u64,
    /// Sum of PSS by stage, in the order of [`TimelineTable::stages`].
    pub stage_pss: Vec<ByteSize>,
}
