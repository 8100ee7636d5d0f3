//! What changed between two builds, each measured once or several times, and whether that is more than noise.
//!
//! Two builds can only be compared when nothing but what is to be judged is different: what speaks against that is
//! found here, too, and listed. Showing it is `export`'s business, acting on it the command's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::command_line::CommandLine;
use crate::event::Note;
use crate::report::{Host, JobTool, Report, Verdict};
use crate::statistics::{Sample, outliers, rank_test};
use crate::units::ByteSize;

/// The version of the comparison's form.
pub const SCHEMA: &str = "build-mem/comparison/1";

/// How seldom chance alone must bring a difference about where there are too few runs for
/// [`SIGNIFICANCE`](crate::statistics::SIGNIFICANCE), and one side lies wholly above the other: three runs a side do it.
const SIGNIFICANCE_OF_FEW: f64 = 0.1;

/// A series of fewer runs says nothing of how far a single run may be from it.
const FEWEST_FOR_ONE: usize = 3;

/// Below this part of the headline, the highest sample says little of the peak.
const MISSED_BELOW: f64 = 0.85;

/// A build in which fewer than this part of the other's compilers ran is taken to have found the rest in a cache.
const CACHED_BELOW: f64 = 0.5;

/// With fewer compilers or tasks, half of them is not much of a hint.
const FEWEST_COMPILERS: u64 = 8;

/// A build in which fewer than this part of the other's programs were started did not do the same work.
const IDLE_BELOW: f64 = 1.0 / 3.0;

/// With fewer programs, a third of them is not much of a hint.
const FEWEST_EXECS: u64 = 30;

/// What compilers are called as classes of processes: those that do the work, not what starts them.
const COMPILERS: [&str; 22] = [
    "asc",
    "cc1",
    "cc1obj",
    "cc1plus",
    "cicc",
    "clang",
    "clang++",
    "compile",
    "f951",
    "ghc",
    "gnat1",
    "javac",
    "kotlinc",
    "ldc2",
    "nvcc",
    "ocamlopt",
    "rustc",
    "scalac",
    "swift-frontend",
    "swiftc",
    "tsc",
    "zig",
];

/// What keeps results of compilers.
const COMPILER_CACHES: [&str; 3] = ["buildcache", "ccache", "sccache"];

/// What changed from one build to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Before.
    pub base: Side,
    /// After.
    pub new: Side,
    /// What makes the two something else than before and after; empty where they can be compared.
    pub refusals: Vec<Refusal>,
    /// The kernel's high-water mark: what a regression is judged by.
    pub headline: Change,
    /// The highest usage without page cache.
    pub without_cache: Change,
    /// Wall time.
    pub duration: Change,
    /// Processes made.
    pub processes: Change,
    /// In the order of their start, those that are only in the new build last.
    pub stages: Vec<StageChange>,
    /// The classes of processes, that with the largest process of both builds first.
    pub classes: Vec<ClassChange>,
    /// What the builds left.
    pub artifacts: Vec<ArtifactChange>,
    /// How much the headline might grow, and whether it did; absent when that was not asked.
    pub fail_above: Option<FailAbove>,
    /// What a reader must know to trust the rest.
    pub notes: Vec<Note>,
}

/// One of the two builds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// As it was asked for.
    pub name: String,
    /// What was run.
    pub command: Vec<String>,
    /// Its runs, with all figures of which the medians are made.
    pub runs: Vec<Run>,
}

/// One run of a side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its label.
    pub label: String,
    /// When it started: RFC 3339, UTC.
    pub started_at: String,
    /// The kernel's high-water mark; absent where the kernel kept none.
    pub headline_bytes: Option<u64>,
    /// The highest usage without page cache; absent where no sample told.
    pub without_cache_bytes: Option<u64>,
    /// Wall time.
    pub duration_s: f64,
}

/// A figure before and after.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Of what it is a number.
    pub unit: Unit,
    /// Before; absent where no run has it.
    pub base: Option<Figures>,
    /// After; absent where no run has it.
    pub new: Option<Figures>,
    /// The new median less the base's; absent without either.
    #[serde(serialize_with = "plain_if_known")]
    pub difference: Option<f64>,
    /// The same as a part of the base's median; absent where that is 0.
    pub share: Option<f64>,
    /// By how much the medians may differ when nothing has changed; absent where the runs are too few to tell.
    #[serde(serialize_with = "plain_if_known")]
    pub noise: Option<f64>,
    /// How often chance alone would part the two series at least as far: the rank test of Mann and Whitney. Absent where a
    /// side has one run.
    pub p: Option<f64>,
    /// What follows.
    pub finding: Finding,
}

/// Of what a figure is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// Things.
    Count,
}

/// What the runs of one side have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// How many runs have the figure.
    pub runs: usize,
    /// The median of them.
    #[serde(serialize_with = "plain")]
    pub median: f64,
    /// The lowest.
    #[serde(serialize_with = "plain")]
    pub least: f64,
    /// The highest.
    #[serde(serialize_with = "plain")]
    pub greatest: f64,
}

/// What a change is, as far as the runs can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// Larger by more than the noise.
    Grew,
    /// Smaller by more than the noise.
    Shrank,
    /// Not different by more than two measurements of the same build would be.
    WithinNoise,
    /// Equal.
    Same,
    /// Different, but the runs are too few to tell whether that is more than noise.
    NoiseUnknown,
    /// Only the new build has it.
    Appeared,
    /// Only the base has it.
    Gone,
    /// Nobody has it.
    Unknown,
}

/// A stage before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageChange {
    /// Its name.
    pub name: String,
    /// What `peak` is.
    pub source: StageSource,
    /// Its own peak, wherever that was in the build.
    pub peak: Change,
    /// From its first process's start to its last one's end.
    pub wall: Change,
}

/// What a stage's peak is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageSource {
    /// The kernel's own high-water mark of the stage: all runs have one.
    Kernel,
    /// The highest sampled sum of its processes' PSS.
    Pss,
}

/// A class of processes before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassChange {
    /// What they ran, or the name that a rule gave.
    pub command_class: String,
    /// How many.
    pub count: Change,
    /// The peak RSS of the largest of them.
    pub peak_rss: Change,
}

/// An artifact before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArtifactChange {
    /// Relative to the project.
    pub path: String,
    /// Its size.
    pub size: Change,
}

/// Why two builds cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Which rule this is of.
    pub what: Obstacle,
    /// What was found, for people.
    pub why: String,
}

/// What stands against a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Obstacle {
    /// A build did not succeed, or did not leave what it had to.
    Verdict,
    /// Not all of a build was measured.
    Incomplete,
    /// A limit held a build's memory down.
    Limit,
    /// Something else was run.
    Command,
    /// It was run on another host, kernel or kind of cgroup, or in another image.
    Host,
    /// The processes were followed in another way.
    Tracker,
    /// One build found in a cache what the other had to make.
    CacheState,
}

/// How much the headline may grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// By this part of the base's.
    Share(f64),
    /// By this size.
    Size(ByteSize),
}

/// What was asked about the growth of the headline, and the answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailAbove {
    /// As it was asked: `2%`, `50.00 MiB`.
    pub threshold: String,
    /// The growth that it allows; absent without the base's headline.
    pub allowed_bytes: Option<u64>,
    /// Whether the headline grew by more than that, and by more than the noise where that is known; absent without a
    /// headline on both sides.
    pub exceeded: Option<bool>,
}

impl Comparison {
    /// Compares two builds by the reports of their runs, each at least one.
    pub fn new(
        base: (&str, &[Report]),
        new: (&str, &[Report]),
        fail_above: Option<Threshold>,
    ) -> Self {
        let runs = Runs {
            base: base.1,
            new: new.1,
        };
        let headline = runs.bytes(|report| report.headline.bytes);
        let without_cache =
            runs.bytes(|report| Some(report.headline.without_cache.as_ref()?.bytes));
        let duration = runs.change(Unit::Seconds, 0.0, |report| Some(report.duration_s));
        Self {
            schema: SCHEMA,
            base: Side::new(base.0, base.1),
            new: Side::new(new.0, new.1),
            refusals: refusals(&runs),
            headline,
            without_cache,
            duration,
            processes: runs.count(|report| Some(report.processes.forks)),
            stages: stages(&runs),
            classes: classes(&runs),
            artifacts: artifacts(&runs),
            fail_above: fail_above.map(|threshold| FailAbove::new(threshold, &headline)),
            notes: notes(&runs, &headline, &without_cache),
        }
    }
}

impl Side {
    fn new(name: &str, reports: &[Report]) -> Self {
        let run = |report: &Report| Run {
            label: report.label.clone(),
            started_at: report.started_at.clone(),
            headline_bytes: report.headline.bytes,
            without_cache_bytes: (report.headline.without_cache.as_ref()).map(|it| it.bytes),
            duration_s: report.duration_s,
        };
        Self {
            name: name.to_owned(),
            command: (reports.first()).map_or_else(Vec::new, |report| report.command.clone()),
            runs: reports.iter().map(run).collect(),
        }
    }
}

impl Change {
    /// From the figures of both sides. Differences up to `precision` are none: so precisely are the figures known.
    fn new(unit: Unit, precision: f64, base: &Sample, new: &Sample) -> Self {
        let figures = [base, new].map(|sample| Figures::of(unit, sample));
        let [before, after] = figures;
        let difference = before
            .zip(after)
            .map(|(before, after)| after.median - before.median);
        let share = before
            .filter(|before| before.median > 0.0)
            .zip(difference)
            .map(|(before, difference)| difference / before.median);
        let noise = noise(base, new).map(|noise| noise.max(precision));
        let test = rank_test(base, new).filter(|_| base.len() > 1 && new.len() > 1);
        let is_by_chance = test.is_some_and(|test| {
            let wholly_apart = test.p <= test.least_p && test.p <= SIGNIFICANCE_OF_FEW;
            !test.is_significant() && (test.can_be_significant() || !wholly_apart)
        });
        let too_few = test.is_some_and(|test| test.least_p > SIGNIFICANCE_OF_FEW);
        let finding = match (before, after, difference, noise) {
            (None, None, ..) => Finding::Unknown,
            (None, Some(_), ..) => Finding::Appeared,
            (Some(_), None, ..) => Finding::Gone,
            (.., Some(0.0), _) => Finding::Same,
            (.., Some(difference), Some(noise)) if difference.abs() <= noise => {
                Finding::WithinNoise
            }
            (.., None) => Finding::NoiseUnknown,
            (..) if too_few => Finding::NoiseUnknown,
            (..) if is_by_chance => Finding::WithinNoise,
            (.., Some(difference), Some(_)) if difference > 0.0 => Finding::Grew,
            (..) => Finding::Shrank,
        };
        Self {
            unit,
            base: before,
            new: after,
            difference,
            share,
            noise,
            p: test.map(|test| test.p),
            finding,
        }
    }

    /// The noise as a part of the base's median; absent where it is not known, or that is 0.
    pub fn noise_share(&self) -> Option<f64> {
        let base = self.base.filter(|base| base.median > 0.0)?;
        Some(self.noise? / base.median)
    }

    /// Whether the change is there for all that is known: more than noise, or noise is not known.
    pub const fn is_a_change(&self) -> bool {
        match self.finding {
            Finding::Grew
            | Finding::Shrank
            | Finding::NoiseUnknown
            | Finding::Appeared
            | Finding::Gone => true,
            Finding::WithinNoise | Finding::Same | Finding::Unknown => false,
        }
    }
}

/// By how much the medians of two series may differ when the same was measured in both.
///
/// Of several runs a side: the uncertainties of both medians together, as those of independent figures add up. Of one run and
/// a series: the range of the series. None of fewer.
fn noise(base: &Sample, new: &Sample) -> Option<f64> {
    if let (Some(base), Some(new)) = (base.uncertainty_of_median(), new.uncertainty_of_median()) {
        return Some(base.hypot(new));
    }
    let series = match (base.len(), new.len()) {
        (1, runs) if runs >= FEWEST_FOR_ONE => new,
        (runs, 1) if runs >= FEWEST_FOR_ONE => base,
        (_, _) => return None,
    };
    series.range().map(|range| range.to - range.from)
}

impl Figures {
    fn of(unit: Unit, sample: &Sample) -> Option<Self> {
        let range = sample.range()?;
        let median = sample.median()?;
        Some(Self {
            runs: sample.len(),
            median: match unit {
                // There is no half of them.
                Unit::Bytes | Unit::Count => median.round(),
                Unit::Seconds => median,
            },
            least: range.from,
            greatest: range.to,
        })
    }
}

impl FailAbove {
    fn new(threshold: Threshold, headline: &Change) -> Self {
        let base = headline.base.map(|base| base.median);
        let allowed = base.map(|base| match threshold {
            Threshold::Share(share) => share * base,
            Threshold::Size(size) => as_float(size.bytes()),
        });
        let may_be_noise = !headline.is_a_change();
        Self {
            threshold: threshold.to_string(),
            allowed_bytes: allowed.map(crate::statistics::rounded),
            exceeded: allowed
                .zip(headline.difference)
                .map(|(allowed, difference)| difference > allowed && !may_be_noise),
        }
    }
}

/// Reads `2%`, `0.5 %`, `50MiB`.
impl FromStr for Threshold {
    type Err = ParseThresholdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseThresholdError(text.to_owned());
        let Some(percent) = text.trim().strip_suffix('%') else {
            return text.parse().map(Self::Size).map_err(|_| error());
        };
        match percent.trim().parse::<f64>() {
            Ok(percent) if percent.is_finite() && percent >= 0.0 => {
                Ok(Self::Share(percent / 100.0))
            }
            Ok(_) | Err(_) => Err(error()),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(f, "{} %", share * 100.0),
            Self::Size(size) => size.fmt(f),
        }
    }
}

/// Why a text is no threshold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a part nor a size: write `2%` or `50MiB`")]
pub struct ParseThresholdError(String);

/// The runs of both sides.
#[derive(Clone, Copy)]
struct Runs<'a> {
    base: &'a [Report],
    new: &'a [Report],
}

impl<'a> Runs<'a> {
    fn all(self) -> impl Iterator<Item = &'a Report> {
        self.base.iter().chain(self.new)
    }

    fn change(self, unit: Unit, precision: f64, figure: impl Fn(&Report) -> Option<f64>) -> Change {
        let [base, new] =
            [self.base, self.new].map(|reports| Sample::of(reports.iter().filter_map(&figure)));
        Change::new(unit, precision, &base, &new)
    }

    /// A change of memory.
    fn bytes(self, figure: impl Fn(&Report) -> Option<u64>) -> Change {
        let cpus = self.all().map(|report| report.host.cpus).max();
        let precision = precision_of_memory(cpus.unwrap_or(1));
        self.change(Unit::Bytes, precision, |report| {
            figure(report).map(as_float)
        })
    }

    fn count(self, figure: impl Fn(&Report) -> Option<u64>) -> Change {
        self.change(Unit::Count, 0.0, |report| figure(report).map(as_float))
    }

    /// The names that `of` gives, in the order of the first run that has all of them before it.
    fn names<'n>(self, of: impl Fn(&'a Report) -> Vec<&'n str>) -> Vec<&'n str>
    where
        'a: 'n,
    {
        let mut names = Vec::new();
        for report in self.all() {
            for name in of(report) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }
}

/// How precisely the kernel counts memory: it charges a cgroup, and counts the pages of a process, in batches of 64 pages of
/// 4 KiB a CPU (`MEMCG_CHARGE_BATCH`, include/linux/memcontrol.h).
fn precision_of_memory(cpus: u64) -> f64 {
    as_float(256 * 1024 * cpus.max(1))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes and counts: exact up to 2^53, which is 8 PiB"
)]
const fn as_float(integer: u64) -> f64 {
    integer as f64
}

fn stages(runs: &Runs<'_>) -> Vec<StageChange> {
    let names = runs.names(|report| {
        let stages = report.stages.iter();
        stages.map(|stage| stage.name.as_str()).collect()
    });
    let change = |name: &str| {
        let of = |report: &'_ Report| report.stages.iter().position(|stage| stage.name == *name);
        let kernel = |report: &Report| of(report).map(|at| report.stages[at].peak_cgroup_bytes);
        let source = if runs.all().filter_map(kernel).all(|peak| peak.is_some()) {
            StageSource::Kernel
        } else {
            StageSource::Pss
        };
        let peak = |report: &Report| {
            let stage = &report.stages[of(report)?];
            match source {
                StageSource::Kernel => stage.peak_cgroup_bytes,
                StageSource::Pss => stage.peak_pss_bytes,
            }
        };
        StageChange {
            name: name.to_owned(),
            source,
            peak: runs.bytes(peak),
            wall: runs.change(Unit::Seconds, 0.0, |report| {
                Some(report.stages[of(report)?].wall_s)
            }),
        }
    };
    names.into_iter().map(change).collect()
}

fn classes(runs: &Runs<'_>) -> Vec<ClassChange> {
    // A build can have thousands of them.
    let by_name = |report: &Report| -> BTreeMap<String, (u64, Option<u64>)> {
        let classes = report.processes.classes.iter();
        classes
            .map(|class| {
                let figures = (class.count, class.peak_rss_max_bytes);
                (class.command_class.clone(), figures)
            })
            .collect()
    };
    let [base, new] =
        [runs.base, runs.new].map(|reports| reports.iter().map(by_name).collect::<Vec<_>>());
    let names: BTreeSet<&String> = base.iter().chain(&new).flat_map(BTreeMap::keys).collect();
    let cpus = runs.all().map(|report| report.host.cpus).max();
    let precision = precision_of_memory(cpus.unwrap_or(1));
    let mut changes: Vec<ClassChange> = (names.into_iter())
        .map(|name| {
            let counts = |runs: &[BTreeMap<String, (u64, Option<u64>)>]| {
                // A class of which a run has no process was there no time in it, unless no run of the side has any.
                let counts = runs
                    .iter()
                    .map(|run| run.get(name).map_or(0, |class| class.0));
                let counts: Vec<u64> = counts.collect();
                let some = counts.iter().any(|count| *count > 0);
                Sample::of_integers(counts.into_iter().filter(|_| some))
            };
            let peaks = |runs: &[BTreeMap<String, (u64, Option<u64>)>]| {
                Sample::of_integers(runs.iter().filter_map(|run| run.get(name)?.1))
            };
            ClassChange {
                command_class: name.clone(),
                count: Change::new(Unit::Count, 0.0, &counts(&base), &counts(&new)),
                peak_rss: Change::new(Unit::Bytes, precision, &peaks(&base), &peaks(&new)),
            }
        })
        .collect();
    let largest = |change: &ClassChange| {
        let of = |figures: Option<Figures>| figures.map_or(0.0, |figures| figures.greatest);
        of(change.peak_rss.base).max(of(change.peak_rss.new))
    };
    // They are in the order of their names, which stays where they are as large.
    changes.sort_by(|a, b| largest(b).total_cmp(&largest(a)));
    changes
}

fn artifacts(runs: &Runs<'_>) -> Vec<ArtifactChange> {
    let names = runs.names(|report| {
        let sized = report.verify.iter().filter(|check| check.bytes.is_some());
        sized.map(|check| check.path.as_str()).collect()
    });
    let change = |path: &str| {
        let size = |report: &Report| {
            let check = report.verify.iter().find(|check| check.path == path)?;
            check.bytes.map(as_float)
        };
        ArtifactChange {
            path: path.to_owned(),
            size: runs.change(Unit::Bytes, 0.0, size),
        }
    };
    names.into_iter().map(change).collect()
}

/// Everything that stands against the comparison.
fn refusals(runs: &Runs<'_>) -> Vec<Refusal> {
    let mut found = Vec::new();
    let mut refuse = |what, why| found.push(Refusal { what, why });
    for (verdict, labels) in grouped(runs.all(), |report| report.verdict) {
        match verdict {
            // What is over its budget was built and verified.
            Verdict::Pass | Verdict::OverBudget => continue,
            Verdict::BuildFailed
            | Verdict::BuildKilled
            | Verdict::OutOfMemory
            | Verdict::Interrupted
            | Verdict::VerificationFailed
            | Verdict::Incomplete => {}
        }
        let why = format!("the verdict of {labels} is {}", verdict.word());
        refuse(Obstacle::Verdict, why);
    }
    for (wrong, labels) in grouped(runs.all(), broken_artifacts) {
        if !wrong.is_empty() {
            let why = format!("of {labels}, {} is not as it must be", wrong.join(", "));
            refuse(Obstacle::Verdict, why);
        }
    }
    for (lost, labels) in grouped(runs.all(), unseen) {
        if let Some(lost) = lost {
            refuse(
                Obstacle::Incomplete,
                format!("not all of {labels} was measured: {lost}"),
            );
        }
    }
    for (limit, labels) in grouped(runs.all(), limited) {
        if let Some(limit) = limit {
            let why =
                format!("{labels} reached the limit of {limit}: what it would need is not known");
            refuse(Obstacle::Limit, why);
        }
    }
    let command = |report: &Report| {
        let words = report.command.iter().map(String::as_str);
        format!("`{}`", CommandLine::from_args(words).display())
    };
    let kernel = |report: &Report| report.profiler.kernel.clone();
    let tracker = |report: &Report| report.profiler.tracker.clone();
    let host = |of: fn(&Host) -> String| move |report: &Report| of(&report.host);
    for (what, name, values) in [
        (Obstacle::Command, "the commands", differing(runs, command)),
        (
            Obstacle::Host,
            "the numbers of CPUs",
            differing(runs, host(|host| host.cpus.to_string())),
        ),
        (
            Obstacle::Host,
            "the hosts' memories",
            differing(
                runs,
                host(|host| ByteSize::from_bytes(host.memory_bytes).to_string()),
            ),
        ),
        (Obstacle::Host, "the kernels", differing(runs, kernel)),
        (
            Obstacle::Host,
            "the cgroups' versions",
            differing(
                runs,
                host(|host| {
                    host.cgroup_version
                        .map_or_else(|| "none".to_owned(), |version| format!("v{version}"))
                }),
            ),
        ),
        (
            Obstacle::Host,
            "the images",
            differing(
                runs,
                host(|host| host.image.clone().unwrap_or_else(|| "none".to_owned())),
            ),
        ),
        (Obstacle::Tracker, "the trackers", differing(runs, tracker)),
    ] {
        if let Some(values) = values {
            refuse(what, format!("{name} differ: {values}"));
        }
    }
    if let Some(why) = cache_state(runs) {
        refuse(Obstacle::CacheState, why);
    }
    found
}

/// What of its artifacts is not as it must be.
fn broken_artifacts(report: &Report) -> Vec<String> {
    let broken = report.verify.iter().filter(|check| !check.ok);
    broken
        .map(|check| format!("`{}` ({})", check.path, check.detail))
        .collect()
}

/// What of the build nobody saw.
fn unseen(report: &Report) -> Option<String> {
    let escaped: u64 = report
        .headline
        .escaped
        .iter()
        .map(|escaped| escaped.processes)
        .sum();
    match (report.profiler.events_lost, escaped) {
        (0, 0) => None,
        (0, escaped) => Some(format!("processes left the cgroup ({escaped})")),
        (lost, 0) => Some(format!("events were lost ({lost})")),
        (lost, escaped) => Some(format!(
            "events were lost ({lost}), and processes left the cgroup ({escaped})"
        )),
    }
}

/// The limit that held the build down.
fn limited(report: &Report) -> Option<ByteSize> {
    let limit = report
        .headline
        .saturated
        .then_some(report.headline.limit_bytes)?;
    Some(ByteSize::from_bytes(limit.unwrap_or_default()))
}

/// The values that `of` gives, each with the runs that have it, in the order of the runs.
fn grouped<'a, T: PartialEq>(
    reports: impl Iterator<Item = &'a Report>,
    of: impl Fn(&Report) -> T,
) -> Vec<(T, Labels<'a>)> {
    let mut groups: Vec<(T, Labels<'a>)> = Vec::new();
    for report in reports {
        let value = of(report);
        match groups.iter_mut().find(|(other, _)| *other == value) {
            Some((_, labels)) => labels.0.push(&report.label),
            None => groups.push((value, Labels(vec![&report.label]))),
        }
    }
    groups
}

/// The labels of runs, of which the first few are named.
struct Labels<'a>(Vec<&'a str>);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 2;
        let named: Vec<String> = self
            .0
            .iter()
            .take(NAMED)
            .map(|label| format!("`{label}`"))
            .collect();
        match self.0.len().saturating_sub(NAMED) {
            0 => f.write_str(&named.join(" and ")),
            more => write!(f, "{} and {more} more", named.join(", ")),
        }
    }
}

/// The values with the runs that have them, when there is more than one.
fn differing(runs: &Runs<'_>, of: impl Fn(&Report) -> String) -> Option<String> {
    let groups = grouped(runs.all(), of);
    let values = groups
        .iter()
        .map(|(value, labels)| format!("{value} in {labels}"));
    (groups.len() > 1).then(|| values.collect::<Vec<_>>().join(", "))
}

/// Why one of the builds seems to have found in a cache what another had to make.
fn cache_state(runs: &Runs<'_>) -> Option<String> {
    let tool = |tool: JobTool| {
        move |report: &Report| {
            let pools = report.jobs.iter().filter(|pool| pool.tool == tool);
            pools.map(|pool| pool.jobs).sum()
        }
    };
    let fewer = fewer_than(runs, "compilers", compilers, FEWEST_COMPILERS, CACHED_BELOW)
        .or_else(|| {
            fewer_than(
                runs,
                "tasks of nx",
                tool(JobTool::Nx),
                FEWEST_COMPILERS,
                CACHED_BELOW,
            )
        })
        .or_else(|| {
            let jobs = tool(JobTool::Turbo);
            fewer_than(runs, "tasks of turbo", jobs, FEWEST_COMPILERS, CACHED_BELOW)
        })
        .or_else(|| {
            let execs = |report: &Report| report.processes.execs;
            fewer_than(runs, "programs", execs, FEWEST_EXECS, IDLE_BELOW)
        })?;
    let caches: BTreeSet<&str> = (runs.all())
        .flat_map(|report| &report.processes.classes)
        .filter_map(|class| {
            COMPILER_CACHES
                .into_iter()
                .find(|cache| *cache == program(&class.command_class))
        })
        .collect();
    let hint = if caches.is_empty() {
        "as in a build that is not cold".to_owned()
    } else {
        format!(
            "and {} is in use",
            caches.into_iter().collect::<Vec<_>>().join(", ")
        )
    };
    Some(format!("{fewer}, {hint}"))
}

/// The runs in which much fewer of something ran than in another run, when there are any.
fn fewer_than(
    runs: &Runs<'_>,
    what: &str,
    of: impl Fn(&Report) -> u64,
    fewest: u64,
    below: f64,
) -> Option<String> {
    let counts = grouped(runs.all(), of);
    let (most, of_most) = counts.iter().max_by_key(|(count, _)| *count)?;
    let (least, of_least) = counts.iter().min_by_key(|(count, _)| *count)?;
    let is_much_fewer = *most >= fewest && as_float(*least) < below * as_float(*most);
    is_much_fewer.then(|| format!("{least} {what} ran in {of_least}, {most} in {of_most}"))
}

/// How many compilers ran.
fn compilers(report: &Report) -> u64 {
    let classes = report.processes.classes.iter();
    classes
        .filter(|class| COMPILERS.contains(&program(&class.command_class)))
        .map(|class| class.count)
        .sum()
}

/// What a class runs: `rustc` of `rustc serde`.
fn program(class: &str) -> &str {
    class.split(' ').next().unwrap_or_default()
}

/// What a reader must know to trust the comparison.
fn notes(runs: &Runs<'_>, headline: &Change, without_cache: &Change) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut note = |what: &str, why: String| {
        notes.push(Note {
            what: what.to_owned(),
            why,
        });
    };
    if runs.all().any(|report| report.headline.bytes.is_none()) {
        let why = "without the kernel's high-water mark of all runs, only those that have one are compared";
        note("headline", why.to_owned());
    }
    let is_found = |change: &Change| matches!(change.finding, Finding::Grew | Finding::Shrank);
    if is_found(headline) && !without_cache.is_a_change() && without_cache.difference.is_some() {
        let why = "only the page cache changed: files that were read or written, which the kernel gives up when it needs \
                   room. A limit has to hold as much as before";
        note("headline", why.to_owned());
    }
    if let (Some(with), Some(without)) = (headline.difference, without_cache.difference)
        && is_found(headline)
        && is_found(without_cache)
        && (with > 0.0) != (without > 0.0)
    {
        let why = "with and without page cache, the peak moved in opposite directions: what a limit has to hold is the figure \
                   without";
        note("headline", why.to_owned());
    }
    for (side, reports) in [("base", runs.base), ("new", runs.new)] {
        let figures = |of: fn(&Report) -> f64| reports.iter().map(of).collect::<Vec<_>>();
        let peaks = figures(|report| report.headline.bytes.map_or(f64::NAN, as_float));
        let durations = figures(|report| report.duration_s);
        for (figure, what) in [(peaks, "peak"), (durations, "duration")] {
            for odd in outliers(&figure) {
                let why = format!(
                    "the {what} of `{}` is far from those of the other runs: something else happened in it. It is counted",
                    reports[odd].label
                );
                note(side, why);
            }
        }
    }
    let missed = |report: &Report| {
        let Some((peak, sampled)) = report.headline.bytes.zip(sampled_peak(report)) else {
            return false;
        };
        let above = as_float(peak.saturating_sub(sampled));
        let is_far = as_float(sampled) < MISSED_BELOW * as_float(peak);
        is_far && above > precision_of_memory(report.host.cpus)
    };
    for (missed, labels) in grouped(runs.all(), missed) {
        if missed {
            let why = format!(
                "the peak of {labels} fell between two samples: the figure without page cache and those of stages are too low there"
            );
            note("without_cache", why);
        }
    }
    for (what, values) in [
        (
            "profiler.interval_ms",
            differing(runs, |report| report.profiler.interval_ms.to_string()),
        ),
        (
            "profiler.version",
            differing(runs, |report| report.profiler.version.clone()),
        ),
    ] {
        if let Some(values) = values {
            note(what, format!("not the same everywhere: {values}"));
        }
    }
    notes
}

/// The highest sampled usage of the cgroup.
fn sampled_peak(report: &Report) -> Option<u64> {
    report.peak.as_ref()?.cgroup_bytes
}

/// Whole numbers as such.
#[expect(
    clippy::cast_possible_truncation,
    clippy::trivially_copy_pass_by_ref,
    reason = "checked before; and serde's signature"
)]
fn plain<S: Serializer>(figure: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    const EXACT: f64 = as_float(1 << 53);
    if figure.fract() == 0.0 && figure.abs() <= EXACT {
        return serializer.serialize_i64(*figure as i64);
    }
    serializer.serialize_f64(*figure)
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn plain_if_known<S: Serializer>(figure: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match figure {
        Some(figure) => plain(figure, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::export::samples;
    use crate::report::{Escaped, ProcessClass, WithoutCache};

    const MIB: u64 = 1 << 20;

    /// Runs `label.1`… of one build with these peaks, of which 100 MiB are page cache.
    fn series(label: &str, peaks: &[u64]) -> Vec<Report> {
        let run = |(peak, number): (&u64, u32)| {
            let mut report = samples::monorepo();
            report.label = format!("{label}.{number}");
            report.headline.bytes = Some(peak * MIB);
            report.headline.without_cache = Some(WithoutCache {
                bytes: (peak - 100) * MIB,
                at_s: 1.0,
                source: "x".to_owned(),
            });
            report
        };
        peaks.iter().zip(1..).map(run).collect()
    }

    fn compared(base: &[Report], new: &[Report]) -> Comparison {
        Comparison::new(("before", base), ("after", new), None)
    }

    fn headline(base: &[u64], new: &[u64]) -> Change {
        compared(&series("a", base), &series("b", new)).headline
    }

    fn finding(base: &[u64], new: &[u64]) -> Finding {
        headline(base, new).finding
    }

    fn obstacles(base: &[Report], new: &[Report]) -> Vec<Obstacle> {
        let refusals = compared(base, new).refusals;
        refusals.iter().map(|refusal| refusal.what).collect()
    }

    /// Why two builds of which the second was changed cannot be compared; the first is fine.
    fn refused(change: impl Fn(&mut Report)) -> Vec<String> {
        let base = series("a", &[1000, 1000]);
        let mut new = series("b", &[1000, 1000]);
        new.iter_mut().for_each(change);
        let refusals = compared(&base, &new).refusals;
        refusals.into_iter().map(|refusal| refusal.why).collect()
    }

    #[test]
    fn a_saving_is_a_finding_when_it_is_more_than_the_runs_scatter() {
        let change = headline(
            &[1270, 1290, 1275, 1280, 1260],
            &[1135, 1140, 1120, 1130, 1145],
        );
        assert_eq!(change.finding, Finding::Shrank);
        let difference = (1135.0 - 1275.0) * 1024.0 * 1024.0;
        assert_eq!(change.difference, Some(difference));
        assert!((change.share.unwrap() + 140.0 / 1275.0).abs() < 1e-9);
        // Half of both ranges, as the sides of a right angle: 15 and 12.5.
        let noise = 15.0_f64.hypot(12.5) * 1024.0 * 1024.0;
        assert!((change.noise.unwrap() - noise).abs() < 1.0);
        assert!((change.p.unwrap() - 2.0 / 252.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_less_than_the_noise_is_none() {
        assert_eq!(
            finding(&[1270, 1290, 1250, 1280], &[1265, 1275, 1285, 1255]),
            Finding::WithinNoise
        );
        // Apart by more than the medians' uncertainty, but not in their ranks.
        assert_eq!(
            finding(&[100, 200, 201, 202], &[150, 203, 204, 101]),
            Finding::WithinNoise
        );
        assert_eq!(finding(&[1270, 1280], &[1270, 1280]), Finding::Same);
        // The kernel counts in batches: what is less than one a CPU is nothing.
        let mut new = series("b", &[1000; 5]);
        for report in &mut new {
            *report.headline.bytes.as_mut().unwrap() += 4096;
        }
        let change = compared(&series("a", &[1000; 5]), &new).headline;
        assert_eq!(change.finding, Finding::WithinNoise);
    }

    #[test]
    fn one_run_a_side_has_no_noise_to_compare_with() {
        assert_eq!(finding(&[1000], &[2000]), Finding::NoiseUnknown);
        assert_eq!(headline(&[1000], &[2000]).noise, None);
        assert_eq!(finding(&[1000], &[1000]), Finding::Same);
        // Nor have two.
        assert_eq!(finding(&[1000, 1001], &[2000, 2001]), Finding::NoiseUnknown);
        assert_eq!(finding(&[1000, 1010], &[1009, 1005]), Finding::WithinNoise);
        // Three that lie wholly apart are what three can show.
        assert_eq!(
            finding(&[1000, 1001, 1002], &[2000, 2001, 2002]),
            Finding::Grew
        );
        assert_eq!(
            finding(&[1000, 1010, 1002], &[1060, 1005, 1050]),
            Finding::WithinNoise
        );
    }

    #[test]
    fn one_run_is_compared_with_how_far_a_series_scatters() {
        let noise = |base: &[u64], new: &[u64]| {
            headline(base, new)
                .noise
                .map(|noise| noise / 1024.0 / 1024.0)
        };
        assert_eq!(noise(&[1000, 1030, 1010], &[1100]), Some(30.0));
        assert_eq!(finding(&[1000, 1030, 1010], &[1100]), Finding::Grew);
        assert_eq!(finding(&[1015], &[1000, 1030, 1010]), Finding::WithinNoise);
        assert_eq!(finding(&[1015], &[1000, 1001]), Finding::NoiseUnknown);
        assert_eq!(headline(&[1000, 1030, 1010], &[1100]).p, None);
    }

    #[test]
    fn a_threshold_is_a_part_or_a_size() {
        let read = |text: &str| text.parse::<Threshold>();
        assert_eq!(read("2%"), Ok(Threshold::Share(0.02)));
        assert_eq!(read(" 0.5 % "), Ok(Threshold::Share(0.005)));
        assert_eq!(read("50MiB"), Ok(Threshold::Size(ByteSize::from_mib(50))));
        for wrong in ["", "%", "-2%", "NaN%", "inf %", "2 percent"] {
            assert!(read(wrong).is_err(), "{wrong:?} was taken for a threshold");
        }
        assert_eq!(Threshold::Share(0.02).to_string(), "2 %");
    }

    #[test]
    fn growth_above_the_threshold_counts_unless_it_is_noise() {
        let exceeded = |base: &[u64], new: &[u64], threshold: &str| {
            let (base, new) = (series("a", base), series("b", new));
            let threshold = threshold.parse().unwrap();
            let compared = Comparison::new(("a", &base), ("b", &new), Some(threshold));
            compared.fail_above.unwrap().exceeded
        };
        assert_eq!(exceeded(&[1000], &[1021], "2%"), Some(true));
        assert_eq!(exceeded(&[1000], &[1020], "2%"), Some(false));
        assert_eq!(exceeded(&[1000], &[500], "2%"), Some(false));
        assert_eq!(exceeded(&[1000], &[1051], "50MiB"), Some(true));
        assert_eq!(exceeded(&[1000], &[1049], "50MiB"), Some(false));
        assert_eq!(exceeded(&[1000], &[1001], "0%"), Some(true));
        let scattered = [1000, 1100, 1010, 1090, 1050];
        assert_eq!(
            exceeded(&scattered, &[1080, 1081, 1082, 1083, 1084], "2%"),
            Some(false)
        );
        assert_eq!(
            exceeded(&scattered, &[1280, 1281, 1282, 1283, 1284], "2%"),
            Some(true)
        );
        let mut without = series("b", &[1000]);
        without[0].headline.bytes = None;
        let compared = Comparison::new(
            ("a", &series("a", &[1000])),
            ("b", &without),
            Some(Threshold::Share(0.02)),
        );
        assert_eq!(compared.fail_above.unwrap().exceeded, None);
        assert_eq!(compared.notes[0].what, "headline");
    }

    #[test]
    fn builds_of_which_nothing_else_differs_are_compared() {
        assert_eq!(
            obstacles(&series("a", &[1000, 1001]), &series("b", &[900])),
            []
        );
        let over_budget = refused(|report| report.verdict = Verdict::OverBudget);
        assert_eq!(over_budget, [""; 0]);
    }

    #[test]
    fn each_obstacle_is_told_with_its_runs() {
        let failed = refused(|report| report.verdict = Verdict::BuildFailed);
        assert_eq!(failed, ["the verdict of `b.1` and `b.2` is build-failed"]);
        let broken = refused(|report| {
            report.verify[1].ok = false;
            report.verify[1].detail = "empty".to_owned();
        });
        assert_eq!(
            broken,
            ["of `b.1` and `b.2`, `server/.next/BUILD_ID` (empty) is not as it must be"]
        );
        let lost = refused(|report| report.profiler.events_lost = 7);
        assert_eq!(
            lost,
            ["not all of `b.1` and `b.2` was measured: events were lost (7)"]
        );
        let escaped = refused(|report| {
            report.headline.escaped.push(Escaped {
                cgroup: "/snap".to_owned(),
                processes: 3,
                peak_bytes: None,
            });
        });
        assert_eq!(
            escaped,
            ["not all of `b.1` and `b.2` was measured: processes left the cgroup (3)"]
        );
        let limited = refused(|report| {
            report.headline.saturated = true;
            report.headline.limit_bytes = Some(1000 * MIB);
        });
        assert_eq!(
            limited,
            ["`b.1` and `b.2` reached the limit of 1000.00 MiB: what it would need is not known"]
        );
        let command = refused(|report| report.command = vec!["make".to_owned(), "-j 4".to_owned()]);
        assert_eq!(
            command,
            [
                "the commands differ: `bash -lc 'npm run build'` in `a.1` and `a.2`, `make '-j 4'` in `b.1` and `b.2`"
            ]
        );
        let cpus = refused(|report| report.host.cpus = 64);
        assert_eq!(cpus.len(), 1);
        assert!(
            cpus[0].starts_with("the numbers of CPUs differ: "),
            "{cpus:?}"
        );
        assert_eq!(refused(|report| report.host.memory_bytes = 1).len(), 1);
        assert_eq!(
            refused(|report| report.profiler.kernel = "7.2".to_owned()).len(),
            1
        );
        assert_eq!(refused(|report| report.host.cgroup_version = None).len(), 1);
        assert_eq!(
            refused(|report| report.host.image = Some("node:24".to_owned())).len(),
            1
        );
        assert_eq!(
            refused(|report| report.profiler.tracker = "proc".to_owned()).len(),
            1
        );
    }

    #[test]
    fn all_obstacles_are_told_at_once_and_one_odd_run_among_its_own_is_found() {
        let base = series("a", &[1000; 5]);
        let mut new = series("b", &[1000; 5]);
        new[3].profiler.kernel = "7.2".to_owned();
        new[3].verdict = Verdict::Interrupted;
        new[4].command.pop();
        assert_eq!(
            obstacles(&base, &new),
            [Obstacle::Verdict, Obstacle::Command, Obstacle::Host]
        );
        let why = &compared(&base, &new).refusals[2].why;
        assert!(
            why.contains("in `a.1`, `a.2` and 7 more, 7.2 in `b.4`"),
            "{why}"
        );
    }

    /// A make of so many compilers, started by ccache where one is named.
    fn make(label: &str, compilers: u64, cache: Option<&str>) -> Report {
        let mut report = samples::c_build();
        report.label = label.to_owned();
        report.processes.classes[0].count = compilers;
        if let Some(cache) = cache {
            let class = ProcessClass {
                command_class: cache.to_owned(),
                ..report.processes.classes[0].clone()
            };
            report.processes.classes.push(class);
        }
        report
    }

    #[test]
    fn a_build_from_a_cache_is_not_compared_with_a_cold_one() {
        let refusal = |base, new| {
            let refusals = compared(&[base], &[new]).refusals;
            assert!(
                refusals.len() < 2 && refusals.iter().all(|it| it.what == Obstacle::CacheState)
            );
            refusals.into_iter().next().map(|refusal| refusal.why)
        };
        assert_eq!(
            refusal(
                make("cold", 1555, Some("ccache")),
                make("warm", 12, Some("ccache"))
            )
            .unwrap(),
            "12 compilers ran in `warm`, 1555 in `cold`, and ccache is in use"
        );
        assert_eq!(
            refusal(make("warm", 0, None), make("cold", 1555, None)).unwrap(),
            "0 compilers ran in `warm`, 1555 in `cold`, as in a build that is not cold"
        );
        assert_eq!(
            refusal(
                make("a", 1000, Some("ccache")),
                make("b", 800, Some("ccache"))
            ),
            None
        );
        // Two sources of four were joined.
        assert_eq!(refusal(make("a", 4, None), make("b", 1, None)), None);
        let mut quick = make("b", 0, None);
        quick.processes.classes.clear();
        let mut slow = quick.clone();
        slow.label = "a".to_owned();
        quick.processes.execs = 40;
        assert_eq!(
            refusal(slow, quick).unwrap(),
            "40 programs ran in `b`, 4355 in `a`, as in a build that is not cold"
        );
    }

    #[test]
    fn tasks_that_a_task_runner_did_not_run_are_a_hint_too() {
        let run = |label: &str, jobs| {
            let mut report = samples::monorepo();
            report.label = label.to_owned();
            report.jobs[0].jobs = jobs;
            report
        };
        assert_eq!(
            compared(&[run("a", 12)], &[run("b", 2)]).refusals[0].why,
            "2 tasks of nx ran in `b`, 12 in `a`, as in a build that is not cold"
        );
        assert_eq!(obstacles(&[run("a", 12)], &[run("b", 11)]), []);
    }

    #[test]
    fn stages_come_in_their_order_with_those_that_are_new_last() {
        let base = series("a", &[1000]);
        let mut new = series("b", &[1000]);
        let mut lint = new[0].stages[0].clone();
        lint.name = "lint".to_owned();
        new[0].stages.insert(0, lint);
        new[0].stages.remove(1);
        *new[0].stages[2].peak_pss_bytes.as_mut().unwrap() += 10 * MIB;
        let stages = compared(&base, &new).stages;
        let told: Vec<_> = stages
            .iter()
            .map(|stage| (stage.name.as_str(), stage.peak.finding, stage.source))
            .collect();
        assert_eq!(
            told,
            [
                ("assemblyscript", Finding::Gone, StageSource::Pss),
                ("build-deps", Finding::Same, StageSource::Pss),
                ("next-build", Finding::NoiseUnknown, StageSource::Pss),
                ("(other)", Finding::Same, StageSource::Pss),
                ("lint", Finding::Appeared, StageSource::Pss),
            ]
        );
    }

    #[test]
    fn a_stage_is_told_by_the_kernel_where_all_runs_have_that() {
        let with_kernel = |label: &str| {
            let mut reports = series(label, &[1000]);
            reports[0].stages[0].peak_cgroup_bytes = Some(500 * MIB);
            reports
        };
        let (base, new) = (with_kernel("a"), with_kernel("b"));
        let source = |base: &[Report], new: &[Report]| {
            let stage = &compared(base, new).stages[0];
            (
                stage.source,
                stage.peak.base.map(|figures| rounded_mib(figures.median)),
            )
        };
        assert_eq!(source(&base, &new), (StageSource::Kernel, Some(500)));
        let (source, pss) = source(&base, &series("b", &[1000]));
        assert_eq!(source, StageSource::Pss);
        assert_ne!(pss, Some(500));
    }

    fn rounded_mib(bytes: f64) -> u64 {
        crate::statistics::rounded(bytes) / MIB
    }

    #[test]
    fn classes_are_counted_and_those_that_appear_or_go_are_told() {
        let mut base = make("a", 1000, None);
        base.processes.classes.push(ProcessClass {
            command_class: "as".to_owned(),
            ..base.processes.classes[0].clone()
        });
        let mut new = make("b", 900, Some("mold"));
        new.processes.classes[1].peak_rss_max_bytes = Some(500 * MIB);
        let classes = compared(&[base], &[new]).classes;
        let told: Vec<_> = classes
            .iter()
            .map(|class| {
                let ClassChange {
                    command_class,
                    count,
                    peak_rss,
                } = class;
                (
                    command_class.as_str(),
                    count.finding,
                    count.difference,
                    peak_rss.finding,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("mold", Finding::Appeared, None, Finding::Appeared),
                ("as", Finding::Gone, None, Finding::Gone),
                ("cc1", Finding::NoiseUnknown, Some(-100.0), Finding::Same),
            ]
        );
    }

    #[test]
    fn a_class_that_some_runs_lack_counts_as_none_there() {
        let base = vec![
            make("a.1", 9, Some("x")),
            make("a.2", 9, None),
            make("a.3", 9, None),
        ];
        let new = vec![make("b.1", 9, None)];
        let compared = compared(&base, &new);
        let class = compared
            .classes
            .iter()
            .find(|class| class.command_class == "x")
            .unwrap();
        assert_eq!(class.count.base.unwrap().least.to_bits(), 0);
        assert_eq!(class.count.base.unwrap().runs, 3);
        assert_eq!(class.count.finding, Finding::Gone);
    }

    #[test]
    fn artifacts_are_compared_by_their_sizes() {
        let base = series("a", &[1000]);
        let mut new = series("b", &[1000]);
        new[0].verify[1].bytes = Some(42);
        let artifacts = compared(&base, &new).artifacts;
        assert_eq!(
            artifacts.len(),
            1,
            "neither an exit status nor a set of files is one"
        );
        assert_eq!(artifacts[0].path, "server/.next/BUILD_ID");
        assert_eq!(artifacts[0].size.difference, Some(21.0));
    }

    #[test]
    fn what_only_the_page_cache_did_is_told_as_such() {
        let notes = |base: &[Report], new: &[Report]| -> Vec<String> {
            let notes = compared(base, new).notes.into_iter();
            notes.map(|note| note.why).collect()
        };
        let base = series("a", &[1000, 1001, 1002, 1003, 1004]);
        let mut new = series("b", &[1200, 1201, 1202, 1203, 1204]);
        assert_eq!(notes(&base, &new), [""; 0]);
        for (report, base) in new.iter_mut().zip(&base) {
            report.headline.without_cache = base.headline.without_cache.clone();
        }
        let told = notes(&base, &new);
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("only the page cache changed"),
            "{told:?}"
        );
        for report in &mut new {
            report.headline.without_cache.as_mut().unwrap().bytes = 500 * MIB;
        }
        let told = notes(&base, &new);
        assert!(told[0].contains("opposite directions"), "{told:?}");
    }

    #[test]
    fn an_outlier_is_named() {
        let base = series("a", &[1000, 1001, 1500, 1002, 1003]);
        let notes = compared(&base, &series("b", &[1000])).notes;
        assert_eq!(notes.len(), 1);
        assert_eq!(notes[0].what, "base");
        assert!(
            notes[0].why.starts_with("the peak of `a.3` is far from"),
            "{notes:?}"
        );
    }

    proptest! {
        #[test]
        fn before_and_after_are_each_other_s_mirror(
            base in prop::collection::vec(500_u64..520, 1..7),
            new in prop::collection::vec(505_u64..540, 1..7),
        ) {
            let (there, back) = (headline(&base, &new), headline(&new, &base));
            let mirrored = match back.finding {
                Finding::Grew => Finding::Shrank,
                Finding::Shrank => Finding::Grew,
                other => other,
            };
            prop_assert_eq!(there.finding, mirrored);
            prop_assert_eq!(there.noise, back.noise);
            prop_assert_eq!(there.difference, back.difference.map(|difference| -difference));
        }

        #[test]
        fn a_build_is_never_found_to_differ_from_itself(peaks in prop::collection::vec(500_u64..900, 1..12)) {
            prop_assert_eq!(finding(&peaks, &peaks), Finding::Same);
        }
    }
}
