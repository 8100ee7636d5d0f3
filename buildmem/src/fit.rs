//! The search for the smallest memory limit under which a build passes, `build-mem/fit/1`: from what was measured so far,
//! which limit to try next, and why; when to stop; and what is known then. Running the builds is `commands::fit`'s
//! business, showing them `export::fit`'s.
//!
//! Two figures of a run without a limit bound the answer from the start. Usage never passed the headline, so that a limit
//! there changes nothing: the ceiling. And page cache can be taken back while all else cannot, so that the answer is
//! hardly far from the peak without page cache: there the search begins, and walks away from it in steps that double,
//! until it has a limit that is too low and one that is not. Then it halves what is between them.

use serde::{Deserialize, Serialize};

use crate::report::{Report, Verdict};
use crate::statistics::Sample;
use crate::units::ByteSize;

/// The version of the form.
pub const SCHEMA: &str = "build-mem/fit/1";

/// Limits are whole MiB.
const MIB: u64 = 1 << 20;

/// How often a limit has to pass before it is the answer: near the edge, chance decides.
const PASSES: u64 = 2;

/// A build that takes so much longer than without a limit still counts as fast.
pub const TOLERATED_SLOWDOWN: f64 = 0.05;

/// The same in seconds, for builds that are so short that the start of processes decides.
const TOLERATED_S: f64 = 0.1;

/// Everything that a search has found so far: its file is rewritten after each build, and a search goes on from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// [`SCHEMA`].
    pub schema: String,
    /// The search's name, unique in its output folder.
    pub label: String,
    /// When it began: RFC 3339, UTC.
    pub started_at: String,
    /// What is built.
    pub command: Vec<String>,
    /// Where.
    pub cwd: String,
    /// 1 or 2: which hierarchy has the memory controller; on 1 the kernel does not tell how long a build waits.
    pub cgroup_version: Option<u8>,
    /// What was asked for.
    pub plan: Plan,
    /// The run without a limit.
    pub base: Step,
    /// The runs under a limit, in their order.
    pub steps: Vec<Step>,
    /// What is known by now.
    pub conclusion: Conclusion,
}

/// What a search is to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// No smaller limit is tried.
    pub from_bytes: Option<u64>,
    /// No larger limit is tried.
    pub to_bytes: Option<u64>,
    /// How near the answer is to come to a limit that is too low; absent: 2 % of it, and no less than 4 MiB.
    pub resolution_bytes: Option<u64>,
    /// Swap that the build may use beside the limit.
    pub swap_bytes: u64,
    /// The most builds, that without a limit included.
    pub max_builds: u64,
}

/// One build of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its recording.
    pub label: String,
    /// The limit; absent for the run without.
    pub limit_bytes: Option<u64>,
    /// Why this limit.
    pub reason: String,
    /// What it says of the limit.
    pub outcome: Outcome,
    /// What was seen, in a few words.
    pub detail: String,
    /// The verdict of its result.
    pub verdict: Verdict,
    /// The code that build-mem exited with.
    pub exit_code: u8,
    /// Wall time of the build.
    pub duration_s: f64,
    /// `headline.bytes` of its result.
    pub headline_bytes: Option<u64>,
    /// `headline.without_cache.bytes` of its result.
    pub without_cache_bytes: Option<u64>,
    /// What the limit cost.
    pub price: Price,
}

/// What one build says of its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The build passed, its artifacts are there, and no process of it was killed for want of memory.
    Passed,
    /// It did not for want of memory.
    TooLittle,
    /// It failed for another reason.
    Failed,
}

/// What a limit cost, beside time. Each is absent where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// How often the limit was met, and memory had to be taken back: `max` of `memory.events`; absent on cgroup v1.
    pub limit_hits: Option<u64>,
    /// Pages of files that were read again.
    pub refaults_file: Option<u64>,
    /// Pages that came back from swap.
    pub refaults_anon: Option<u64>,
    /// Page faults that had to read.
    pub major_faults: Option<u64>,
    /// Time in which some task waited for memory.
    pub stalled_some_s: Option<f64>,
    /// Time in which all tasks did.
    pub stalled_full_s: Option<f64>,
    /// Processes that were killed for want of memory.
    pub oom_kills: Option<u64>,
}

/// What a search does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Builds under this limit.
    Build {
        /// The limit.
        limit: ByteSize,
        /// Why, for people.
        reason: String,
    },
    /// Ends.
    End(End),
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It goes on.
    UnderWay,
    /// Everything that was asked is known.
    Found,
    /// The builds are used up.
    OutOfBuilds,
    /// It does not pass at the largest limit that was to be tried.
    NotWithinRange,
    /// It does not pass without a limit.
    FailsWithoutLimit,
    /// It failed for another reason than memory.
    FailedOtherwise,
}

/// What is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conclusion {
    /// Why it ended.
    pub end: End,
    /// The smallest limit that passed, above all that did not.
    pub smallest: Option<Found>,
    /// The largest limit that was too low.
    pub too_little_bytes: Option<u64>,
    /// The smallest limit that passed at hardly any cost in time.
    pub recommended: Option<Found>,
}

/// A limit that a build passes at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The limit.
    pub limit_bytes: u64,
    /// How often it passed; 0 for the headline of the run without a limit, which stands for itself.
    pub passes: u64,
    /// Median of its wall times.
    pub duration_s: f64,
    /// By which part that is longer than without a limit; negative when it was shorter.
    pub slowdown: f64,
}

impl Found {
    /// Whether it passed more than once, or cannot but pass.
    pub const fn is_confirmed(&self) -> bool {
        self.passes == 0 || self.passes >= PASSES
    }
}

impl Step {
    /// What this result says of the limit that the build had.
    pub fn of(report: &Report, limit: Option<ByteSize>, reason: String, exit_code: u8) -> Self {
        let (outcome, detail) = judge(report, exit_code);
        let pressure = &report.pressure;
        Self {
            label: report.label.clone(),
            limit_bytes: limit.map(ByteSize::bytes),
            reason,
            outcome,
            detail,
            verdict: report.verdict,
            exit_code,
            duration_s: report.duration_s,
            headline_bytes: report.headline.bytes,
            without_cache_bytes: (report.headline.without_cache.as_ref()).map(|it| it.bytes),
            price: Price {
                limit_hits: (pressure.events.as_ref()).and_then(|it| it.get("max").copied()),
                refaults_file: pressure.refaults_file,
                refaults_anon: pressure.refaults_anon,
                major_faults: pressure.major_faults,
                stalled_some_s: pressure.stalled_some_s,
                stalled_full_s: pressure.stalled_full_s,
                oom_kills: report.oom.kills,
            },
        }
    }

    fn limit(&self) -> u64 {
        self.limit_bytes.unwrap_or(u64::MAX)
    }
}

/// Whether a build passed, and if not, whether it was for want of memory. The kernel does not always kill: at the limit
/// it also refuses memory of its own, such as for a new process, and what a build makes of that is its own matter. So a
/// failure at the limit is one of memory, and one far below it is not.
fn judge(report: &Report, exit_code: u8) -> (Outcome, String) {
    let kills = report.oom.kills.unwrap_or(0);
    let killed = match kills {
        0 => None,
        1 => Some("a process was killed".to_owned()),
        kills => Some(format!("{kills} processes were killed")),
    };
    let failed = match report.verdict {
        Verdict::Pass | Verdict::OverBudget => None,
        Verdict::OutOfMemory => Some("out of memory".to_owned()),
        Verdict::BuildFailed => Some(format!("exit code {exit_code}")),
        Verdict::VerificationFailed => Some("artifacts are missing or broken".to_owned()),
        Verdict::BuildKilled => Some("the build was killed".to_owned()),
        verdict @ (Verdict::Interrupted | Verdict::Incomplete) => {
            return (Outcome::Failed, verdict.word().to_owned());
        }
    };
    match (failed, killed) {
        (None, None) => (Outcome::Passed, "passed".to_owned()),
        // What the build leaves then may be anything.
        (None, Some(killed)) => (Outcome::TooLittle, format!("{killed}, and it went on")),
        (Some(failed), Some(killed)) => (Outcome::TooLittle, format!("{failed}: {killed}")),
        (Some(failed), None) if report.verdict == Verdict::OutOfMemory => {
            (Outcome::TooLittle, failed)
        }
        (Some(failed), None) if report.headline.saturated => {
            (Outcome::TooLittle, format!("{failed}, at the limit"))
        }
        (Some(failed), None) => (Outcome::Failed, failed),
    }
}

/// What the steps so far say.
struct Known<'fit> {
    plan: &'fit Plan,
    base: &'fit Step,
    steps: &'fit [Step],
    /// The largest limit that was too low; 0 when none was.
    low: u64,
    /// The smallest above it that passed.
    high: Option<u64>,
    /// From here on no limit can be felt, or it is not to be tried.
    ceiling: u64,
    floor: u64,
}

impl<'fit> Known<'fit> {
    fn of(plan: &'fit Plan, base: &'fit Step, steps: &'fit [Step]) -> Self {
        let with = |outcome: Outcome| {
            steps
                .iter()
                .filter(move |step| step.outcome == outcome)
                .map(Step::limit)
        };
        let low = with(Outcome::TooLittle).max().unwrap_or(0);
        let high = with(Outcome::Passed).filter(|limit| *limit > low).min();
        let needed = base.headline_bytes.or(base.without_cache_bytes);
        let most = plan.to_bytes.unwrap_or(u64::MAX);
        let floor = plan.from_bytes.unwrap_or(MIB).max(MIB).min(most);
        let ceiling = rounded_up(needed.unwrap_or(u64::MAX >> 1))
            .min(most)
            .max(floor);
        Self {
            plan,
            base,
            steps,
            low,
            high,
            ceiling,
            floor,
        }
    }

    fn resolution(&self, limit: u64) -> u64 {
        let by_default = rounded_up(limit / 50).max(4 * MIB);
        self.plan.resolution_bytes.unwrap_or(by_default).max(MIB)
    }

    fn builds_left(&self) -> u64 {
        (self.plan.max_builds).saturating_sub(1 + self.steps.len() as u64)
    }

    fn passes(&self, limit: u64) -> impl Iterator<Item = &'fit Step> {
        self.steps
            .iter()
            .filter(move |step| step.limit() == limit && step.outcome == Outcome::Passed)
    }

    fn count(&self, limit: u64) -> u64 {
        self.passes(limit).count() as u64
    }

    fn found(&self, limit: u64) -> Found {
        let passes = self.count(limit);
        let times = Sample::of(self.passes(limit).map(|step| step.duration_s));
        let duration_s = times.median().unwrap_or(self.base.duration_s);
        Found {
            limit_bytes: limit,
            passes,
            duration_s,
            slowdown: duration_s / self.base.duration_s.max(0.001) - 1.0,
        }
    }

    fn is_fast(&self, limit: u64) -> bool {
        let duration_s = self.found(limit).duration_s;
        let without = self.base.duration_s;
        duration_s <= (without * (1.0 + TOLERATED_SLOWDOWN)).max(without + TOLERATED_S)
    }

    /// How many of the last steps, up to 20, had this outcome: with each the next step is twice as far.
    fn in_a_row(&self, outcome: Outcome) -> usize {
        let last = self.steps.iter().rev().take(20);
        last.take_while(|step| step.outcome == outcome).count()
    }

    /// Limits above the largest that was too low which have passed, in ascending order.
    fn passing(&self) -> Vec<u64> {
        let mut limits: Vec<u64> = (self.steps.iter())
            .filter(|step| step.outcome == Outcome::Passed && step.limit() > self.low)
            .map(Step::limit)
            .collect();
        limits.sort_unstable();
        limits.dedup();
        limits
    }

    /// Whether the headline of the run without a limit is within what may be tried.
    fn may_have_headline(&self) -> bool {
        let headline = self.base.headline_bytes.map(rounded_up);
        headline.is_some_and(|headline| headline <= self.ceiling && headline > self.low)
    }

    /// The smallest limit from which on it is fast, and the largest below it that is slow: the knee is between them.
    fn knee(&self) -> (Option<u64>, Option<u64>) {
        let limits = self.passing();
        let slow = limits.iter().copied().rfind(|limit| !self.is_fast(*limit));
        let fast = (limits.into_iter())
            .chain(self.may_have_headline().then_some(self.ceiling))
            .filter(|limit| slow.is_none_or(|slow| *limit > slow))
            .min();
        (fast, slow)
    }
}

/// What to do after these steps.
pub fn next(plan: &Plan, base: &Step, steps: &[Step]) -> Next {
    if base.outcome != Outcome::Passed {
        return Next::End(End::FailsWithoutLimit);
    }
    if steps.iter().any(|step| step.outcome == Outcome::Failed) {
        return Next::End(End::FailedOtherwise);
    }
    let known = Known::of(plan, base, steps);
    if plan.to_bytes.is_some_and(|to| known.low >= to) {
        return Next::End(End::NotWithinRange);
    }
    let proposed = propose(&known);
    match proposed {
        Next::Build { .. } if known.builds_left() == 0 => Next::End(End::OutOfBuilds),
        proposed => proposed,
    }
}

fn propose(known: &Known<'_>) -> Next {
    let Some(high) = known.high else {
        return first_pass(known);
    };
    let confirmed = known.count(high) >= PASSES;
    let is_narrow = high <= known.floor || high - known.low <= known.resolution(high);
    // The answer is worth more than a smaller one that chance may have given.
    let is_last = known.builds_left() == 1 && !confirmed;
    if is_narrow || is_last {
        if !confirmed {
            let so_far = if is_narrow {
                "the smallest that passed"
            } else {
                "the last build is for the smallest that passed"
            };
            return build(
                high,
                format!("{so_far}: once more, for chance decides near the edge"),
            );
        }
        return knee(known);
    }
    if known.low == 0 {
        let step = known.resolution(high) << known.in_a_row(Outcome::Passed);
        let limit = rounded_up(high.saturating_sub(step)).max(known.floor);
        return build(limit, "it passed at all that were tried: lower".to_owned());
    }
    let middle = middle(known.low, high);
    build(
        middle,
        format!(
            "between {}, which is too little, and {}, which passes",
            shown(known.low),
            shown(high)
        ),
    )
}

/// Nothing has passed under a limit so far.
fn first_pass(known: &Known<'_>) -> Next {
    let (low, ceiling) = (known.low, known.ceiling);
    if low == 0 {
        let needed = known.base.without_cache_bytes;
        let (guess, what) = match needed {
            Some(needed) => (needed, "without page cache"),
            None => (ceiling, "at its peak"),
        };
        let guess = rounded_up(guess).clamp(known.floor, ceiling);
        let reason = if guess == known.floor && known.floor > MIB {
            "the least that was to be tried".to_owned()
        } else if guess == ceiling && known.plan.to_bytes == Some(ceiling) {
            "the most that was to be tried".to_owned()
        } else {
            format!("what the run without a limit held {what}")
        };
        return build(guess, reason);
    }
    let step = known.resolution(low) << known.in_a_row(Outcome::TooLittle);
    let limit = rounded_up(low.saturating_add(step));
    // What is known to pass is no news.
    if limit < ceiling && known.builds_left() > 1 {
        return build(limit, format!("{} is too little: higher", shown(low)));
    }
    if low < ceiling {
        let reason = if known.plan.to_bytes == Some(ceiling) {
            "the most that was to be tried"
        } else {
            "the headline of the run without a limit"
        };
        return build(ceiling, reason.to_owned());
    }
    // Chance: the run without a limit needed less than this one.
    let to = known.plan.to_bytes.unwrap_or(u64::MAX >> 1);
    build(
        limit.min(to),
        format!(
            "{} is too little, though the run without a limit had no more: higher",
            shown(low)
        ),
    )
}

/// The smallest limit is known. From where on does it cost no time?
fn knee(known: &Known<'_>) -> Next {
    let (Some(fast), Some(slow)) = known.knee() else {
        return Next::End(End::Found);
    };
    // Times scatter more than sizes.
    let resolution = (fast / 20).max(2 * known.resolution(fast));
    if fast - slow <= resolution {
        return Next::End(End::Found);
    }
    build(
        middle(slow, fast),
        format!(
            "from where on is it as fast as without a limit: at {} it is {:.0} % slower",
            shown(slow),
            known.found(slow).slowdown * 100.0
        ),
    )
}

/// What these steps say, at the end or on the way.
pub fn conclude(plan: &Plan, base: &Step, steps: &[Step]) -> Conclusion {
    let end = match next(plan, base, steps) {
        Next::Build { .. } => End::UnderWay,
        Next::End(end) => end,
    };
    let known = Known::of(plan, base, steps);
    // A limit at which nothing was measured is no finding by itself.
    let (fast, _) = known.knee();
    Conclusion {
        end,
        smallest: known.high.map(|limit| known.found(limit)),
        too_little_bytes: Some(known.low).filter(|low| *low > 0),
        recommended: (fast.filter(|_| known.high.is_some())).map(|limit| known.found(limit)),
    }
}

fn build(limit: u64, reason: String) -> Next {
    Next::Build {
        limit: ByteSize::from_bytes(limit),
        reason,
    }
}

/// A whole number of MiB in the middle, and neither of both where there is another.
fn middle(low: u64, high: u64) -> u64 {
    rounded_up(low + (high - low) / 2).min(high - MIB.min((high - low) / 2))
}

fn rounded_up(bytes: u64) -> u64 {
    bytes.div_ceil(MIB).saturating_mul(MIB)
}

fn shown(bytes: u64) -> String {
    ByteSize::from_bytes(bytes).to_string()
}

#[cfg(test)]
mod tests;
