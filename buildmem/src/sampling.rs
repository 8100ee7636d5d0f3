//! Which processes to look at closely, and how much that may cost: the sampler's policy, without its reading.
//!
//! RSS of every live process and the cgroup's usage cost microseconds; PSS costs some 4 ms a GiB and stalls the
//! process's mmap meanwhile. So PSS is read only where it can have changed, cheapest first, within a share of
//! one core. Between two reads, PSS follows RSS (see [`Process::current_pss`](crate::tree::Process::current_pss)).

use std::cmp::Ordering;
use std::time::Duration;

use crate::ids::{ProcessId, Tgid};
use crate::units::{BootTime, ByteSize};

/// The sampler's share of one core, as a divisor: half a percent, so that all of build-mem stays within one. With less, a slow
/// machine's build of some seconds has next to no samples.
const SHARE_OF_CORE: u32 = 200;

/// The part of that which the overview may use, so that something is left for PSS: two thirds.
const SHARE_OF_OVERVIEW: (u32, u32) = (2, 3);

/// What the sampler may use at once at the start, so that a build of a second is sampled too.
const HEAD_START: Duration = Duration::from_millis(15);

/// A change of RSS below this part of it leaves PSS as it is.
const LEAST_CHANGE: u64 = 100;

/// A change of RSS below this leaves PSS as it is: one sync of the kernel's per-CPU counters.
const LEAST_CHANGE_BYTES: ByteSize = ByteSize::from_kib(256);

/// So long a PSS that was read follows a change of RSS: new pages are mostly the process's own.
const FOLLOWS_RSS: Duration = Duration::from_millis(500);

/// PSS is read anew after this time although RSS stayed: others may have come to share its pages, or ceased to.
const OUT_OF_DATE: Duration = Duration::from_secs(2);

/// A process's PSS is read no more often than this many times the cost of its last read.
const REST: u32 = 200;

/// The same where its pages came to be shared with others, or ceased to: by a fork the PSS is wrong by a factor.
const REST_WHEN_WRONG: u32 = 20;

/// What a first read costs in nanoseconds a KiB resident: 4 ms a GiB of 4 KiB pages.
const COST_PER_KIB: u64 = 4;

/// What any read costs.
const LEAST_COST: Duration = Duration::from_micros(40);

/// How much CPU time the sampler has used of its share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    overview: Duration,
    close_looks: Duration,
    /// What the last overview cost.
    last_overview: Duration,
}

/// What is left for overviews.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Means {
    /// Nothing.
    None,
    /// A few, which are kept for a new high.
    Last,
    /// Less than half of the share.
    Short,
    /// More.
    #[default]
    Ample,
}

/// So many overviews are kept for a new high …
const KEPT: u32 = 4;

/// … and no less than these: the last one may have been cheap.
const LEAST_KEPT: Duration = Duration::from_millis(1);

impl Budget {
    /// Adds what reading the cgroup and everyone's RSS cost.
    pub fn spend_on_overview(&mut self, cost: Duration) {
        self.overview += cost;
        self.last_overview = cost;
    }

    /// Adds what a look at the cgroup's usage alone cost.
    pub fn spend_on_look(&mut self, cost: Duration) {
        self.overview += cost;
    }

    /// Adds what reading PSS cost.
    pub fn spend(&mut self, cost: Duration) {
        self.close_looks += cost;
    }

    /// CPU time used until now.
    pub const fn spent(&self) -> Duration {
        self.overview.saturating_add(self.close_looks)
    }

    /// Whether PSS may be read, so long after the start.
    pub fn has_left(&self, elapsed: Duration) -> bool {
        self.spent() < share(elapsed)
    }

    /// What is left for overviews, so long after the start. One expensive PSS must not blind the sampler, so they have a
    /// share that PSS cannot use up; PSS gets what they leave.
    pub fn means(&self, elapsed: Duration) -> Means {
        let share = share_of_overview(elapsed);
        let left = share.saturating_sub(self.overview);
        if left.is_zero() {
            Means::None
        } else if left <= LEAST_KEPT.max(self.last_overview * KEPT) {
            Means::Last
        } else if left < share / 2 {
            Means::Short
        } else {
            Means::Ample
        }
    }
}

fn share_of_overview(elapsed: Duration) -> Duration {
    let (part, whole) = SHARE_OF_OVERVIEW;
    share(elapsed) * part / whole
}

/// What may be used, so long after the start.
fn share(elapsed: Duration) -> Duration {
    HEAD_START + elapsed / SHARE_OF_CORE
}

/// A live process whose PSS could be read.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// The process.
    pub id: ProcessId,
    /// Its number for the kernel.
    pub tgid: Tgid,
    /// Its RSS now.
    pub rss: ByteSize,
    /// When its pages last began or ceased to be shared with a relative.
    pub sharing_changed: BootTime,
    /// How long ago it was forked.
    pub age: Duration,
    /// Its last read.
    pub last: Option<LastRead>,
}

/// A past read of a process's PSS.
#[derive(Clone, Copy, Debug)]
pub struct LastRead {
    /// When it was.
    pub at: BootTime,
    /// The RSS that it found.
    pub rss: ByteSize,
    /// What it cost in CPU time.
    pub cost: Duration,
}

impl Candidate {
    /// Whether what is known of its PSS is wrong, or may have become so, and it has rested since the last read. As long as
    /// its pages are shared with the same others, what was read follows RSS well enough for a while.
    fn is_due(&self, now: BootTime) -> bool {
        if self.rss == ByteSize::ZERO {
            // It is just starting or ending: there is nothing to read.
            return false;
        }
        let Some(last) = self.last else { return true };
        let since = now.since(last.at);
        let sharing_changed = self.sharing_changed > last.at;
        let rest = if sharing_changed {
            REST_WHEN_WRONG
        } else {
            REST
        };
        if since < last.cost * rest {
            return false;
        }
        let change = ByteSize::from_bytes(self.rss.signed_difference(last.rss).unsigned_abs());
        let notable = LEAST_CHANGE_BYTES.max(ByteSize::from_bytes(last.rss.bytes() / LEAST_CHANGE));
        sharing_changed || (change > notable && since > FOLLOWS_RSS) || since > OUT_OF_DATE
    }

    fn expected_cost(&self) -> Duration {
        let first = Duration::from_nanos(self.rss.bytes() / 1024 * COST_PER_KIB);
        self.last.map_or(first, |last| last.cost).max(LEAST_COST)
    }

    /// Cost over waiting time squared: the cheapest comes first, but who waits long enough comes too.
    fn urgency(&self, now: BootTime) -> f64 {
        let waited = self
            .last
            .map_or(self.age, |last| now.since(last.at))
            .max(Duration::from_millis(1));
        self.expected_cost().as_secs_f64() / waited.as_secs_f64().powi(2)
    }
}

/// The processes whose PSS is worth reading now, in the order in which to read them.
pub fn due(mut candidates: Vec<Candidate>, now: BootTime) -> Vec<Candidate> {
    candidates.retain(|candidate| candidate.is_due(now));
    candidates.sort_by(|a, b| {
        let by_urgency = a
            .urgency(now)
            .partial_cmp(&b.urgency(now))
            .unwrap_or(Ordering::Equal);
        by_urgency.then_with(|| a.id.cmp(&b.id))
    });
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: BootTime = BootTime::from_nanos(100_000_000_000);

    fn ago(millis: u64) -> BootTime {
        BootTime::from_nanos(NOW.nanos() - millis * 1_000_000)
    }

    fn candidate(id: u32, rss_mib: u64) -> Candidate {
        Candidate {
            id: ProcessId(id),
            tgid: Tgid(id),
            rss: ByteSize::from_mib(rss_mib),
            sharing_changed: ago(10_000),
            age: Duration::from_millis(150),
            last: None,
        }
    }

    fn read(candidate: Candidate, millis_ago: u64, rss_mib: u64) -> Candidate {
        let last = LastRead {
            at: ago(millis_ago),
            rss: ByteSize::from_mib(rss_mib),
            cost: Duration::from_micros(rss_mib * 4),
        };
        Candidate {
            last: Some(last),
            ..candidate
        }
    }

    fn due_ids(candidates: &[Candidate]) -> Vec<u32> {
        due(candidates.to_vec(), NOW)
            .iter()
            .map(|candidate| candidate.tgid.0)
            .collect()
    }

    #[test]
    fn the_cheapest_comes_first() {
        assert_eq!(
            due_ids(&[candidate(1, 900), candidate(2, 3), candidate(3, 80)]),
            [2, 3, 1]
        );
    }

    #[test]
    fn a_large_process_that_waits_comes_before_small_ones_that_were_just_read() {
        let large = Candidate {
            age: Duration::from_secs(3),
            ..candidate(1, 1000)
        };
        let small = read(candidate(2, 60), 550, 45);
        assert_eq!(due_ids(&[small, large]), [1, 2]);
    }

    #[test]
    fn what_cannot_have_changed_is_not_read() {
        assert_eq!(due_ids(&[read(candidate(1, 100), 1000, 100)]), [0_u32; 0]);
        assert_eq!(due_ids(&[read(candidate(1, 102), 1000, 100)]), [1]);
        assert_eq!(due_ids(&[read(candidate(1, 100), 2500, 100)]), [1]);
        let forked = Candidate {
            sharing_changed: ago(500),
            ..read(candidate(1, 100), 1000, 100)
        };
        assert_eq!(due_ids(&[forked]), [1]);
    }

    #[test]
    fn a_change_of_rss_is_followed_for_half_a_second_without_a_read() {
        assert_eq!(due_ids(&[read(candidate(1, 150), 400, 100)]), [0_u32; 0]);
        assert_eq!(due_ids(&[read(candidate(1, 150), 600, 100)]), [1]);
    }

    #[test]
    fn a_read_is_followed_by_a_rest_of_200_times_its_cost() {
        // 1000 MiB cost 4 ms here: 800 ms of rest.
        assert_eq!(due_ids(&[read(candidate(1, 2000), 700, 1000)]), [0_u32; 0]);
        assert_eq!(due_ids(&[read(candidate(1, 2000), 900, 1000)]), [1]);
    }

    #[test]
    fn after_a_fork_the_rest_is_20_times_the_cost() {
        let forked = |millis_ago| Candidate {
            sharing_changed: ago(10),
            ..read(candidate(1, 1000), millis_ago, 1000)
        };
        assert_eq!(due_ids(&[forked(70)]), [0_u32; 0]);
        assert_eq!(due_ids(&[forked(90)]), [1]);
    }

    #[test]
    fn a_process_without_memory_is_left_alone() {
        assert_eq!(due_ids(&[candidate(1, 0)]), [0_u32; 0]);
    }

    #[test]
    fn the_budget_is_a_part_of_a_core_and_a_head_start() {
        let mut budget = Budget::default();
        assert!(budget.has_left(Duration::ZERO));
        budget.spend(Duration::from_millis(16));
        assert!(!budget.has_left(Duration::ZERO));
        assert!(budget.has_left(Duration::from_secs(1)));
        budget.spend(Duration::from_millis(100));
        assert!(!budget.has_left(Duration::from_secs(20)));
        assert!(budget.has_left(Duration::from_secs(21)));
    }

    #[test]
    fn an_expensive_pss_does_not_keep_the_overview_from_being_taken() {
        let mut budget = Budget::default();
        budget.spend(Duration::from_millis(100));
        assert!(!budget.has_left(Duration::ZERO));
        assert_eq!(budget.means(Duration::ZERO), Means::Ample);
        budget.spend_on_overview(Duration::from_millis(11));
        assert_eq!(budget.means(Duration::ZERO), Means::None);
    }

    #[test]
    fn the_last_overviews_are_kept() {
        use Means::{Ample, Last, Short};
        let mut budget = Budget::default();
        let mut means = Vec::new();
        // The share is 10 ms.
        for _ in 0..10 {
            means.push(budget.means(Duration::ZERO));
            budget.spend_on_overview(Duration::from_millis(1));
        }
        assert_eq!(
            means,
            [
                Ample, Ample, Ample, Ample, Ample, Ample, Last, Last, Last, Last
            ]
        );
        let mut budget = Budget::default();
        budget.spend_on_overview(Duration::from_millis(6));
        budget.spend_on_overview(Duration::from_micros(50));
        assert_eq!(budget.means(Duration::ZERO), Short);
        budget.spend_on_overview(Duration::from_micros(2950));
        budget.spend_on_overview(Duration::from_micros(50));
        assert_eq!(budget.means(Duration::ZERO), Last);
    }
}
