//! Several runs of one build as one measurement, `build-mem/series/1`: every raw figure, what they have in common, and
//! what is odd about them. Running the builds is `commands::series`' business, showing them `export::series`'.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::report::{Host, Report, Stage, Verdict};
use crate::statistics::{Sample, outliers, rounded};
use crate::units::ByteSize;

/// The version of the form.
pub const SCHEMA: &str = "build-mem/series/1";

/// Everything that build-mem says about several runs of one build. Sizes are bytes, times are seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// [`SCHEMA`].
    pub schema: String,
    /// The series' name, unique in its output folder.
    pub label: String,
    /// When its first run started, warm-ups included: RFC 3339, UTC.
    pub started_at: String,
    /// What was run.
    pub command: Vec<String>,
    /// Where it was run.
    pub cwd: String,
    /// The outcome in a word: that of the run with which the series ended early; `over-budget` goes by the median;
    /// `incomplete` as long as runs are to come.
    pub verdict: Verdict,
    /// What the median was to stay within; absent when that was not asked.
    pub budget: Option<SeriesBudget>,
    /// The labels of its runs, each an ordinary recording, in their order.
    pub runs: Vec<String>,
    /// How many runs were asked for.
    pub runs_asked_for: u64,
    /// How many runs before them were asked for that do not count.
    pub warmup: u64,
    /// What was run before each run, by `bash -lc`.
    pub prepare: Option<String>,
    /// The figures of each run, as [`runs`](Self::runs).
    pub samples: Vec<RunSample>,
    /// Those of the warm-ups, of which nothing else is kept.
    pub warmups: Vec<RunSample>,
    /// What the runs that passed have in common.
    pub statistics: Statistics,
    /// What is odd about them, with its likely cause.
    pub findings: Vec<Finding>,
    /// Where they ran.
    pub host: Host,
}

/// What the median of the headlines was to stay within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesBudget {
    /// The budget.
    pub bytes: u64,
    /// By how much the median is above it; 0 within it, absent without a headline.
    pub exceeded_by_bytes: Option<u64>,
}

/// The figures of one run; what is absent has a note in its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSample {
    /// The run.
    pub label: String,
    /// When its build started: RFC 3339, UTC.
    pub started_at: String,
    /// Its outcome.
    pub verdict: Verdict,
    /// The code that build-mem would have exited with after this run alone.
    pub exit_code: u8,
    /// `headline.bytes` of its result.
    pub headline_bytes: Option<u64>,
    /// `headline.without_cache.bytes` of its result.
    pub without_cache_bytes: Option<u64>,
    /// Wall time of the build.
    pub duration_s: f64,
    /// Whether the headline is complete.
    pub complete: bool,
    /// Whether the headline is only the limit speaking.
    pub saturated: bool,
    /// The limit.
    pub limit_bytes: Option<u64>,
    /// Processes made.
    pub forks: u64,
    /// CPUs that others than the build and build-mem used on this host meanwhile, on average; absent where that could not
    /// be told.
    pub other_cpus: Option<f64>,
    /// Its stages in the order of their start.
    pub stages: Vec<StageSample>,
    /// How many processes ran what, by class.
    pub classes: BTreeMap<String, u64>,
}

/// One stage of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageSample {
    /// Its name.
    pub name: String,
    /// From its first process's start to its last one's end.
    pub wall_s: f64,
    /// The highest sampled sum of its processes' PSS.
    pub peak_pss_bytes: Option<u64>,
    /// The kernel's own high-water mark of the stage.
    pub peak_cgroup_bytes: Option<u64>,
}

/// What the runs that passed have in common. Absent is what no run has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Of the headlines.
    pub headline: Option<SizeSpread>,
    /// Of the peaks without page cache.
    pub without_cache: Option<SizeSpread>,
    /// Of the durations.
    pub duration: Option<TimeSpread>,
    /// Of each stage that any of them had, in the order of their start.
    pub stages: Vec<StageStatistics>,
}

/// Sizes of some runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeSpread {
    /// Of how many runs.
    pub runs: u64,
    /// The middle one; of an even number, the mean of the two in the middle.
    pub median_bytes: u64,
    /// The least.
    pub min_bytes: u64,
    /// The greatest.
    pub max_bytes: u64,
    /// Median absolute deviation: how far a typical one is from the median.
    pub mad_bytes: u64,
}

/// Times of some runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeSpread {
    /// Of how many runs.
    pub runs: u64,
    /// The middle one; of an even number, the mean of the two in the middle.
    pub median_s: f64,
    /// The least.
    pub min_s: f64,
    /// The greatest.
    pub max_s: f64,
    /// Median absolute deviation: how far a typical one is from the median.
    pub mad_s: f64,
}

/// One stage in all runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageStatistics {
    /// Its name.
    pub name: String,
    /// Of the sampled peaks of PSS.
    pub peak_pss: Option<SizeSpread>,
    /// Of the kernel's own high-water marks.
    pub peak_cgroup: Option<SizeSpread>,
    /// Of the wall times.
    pub wall: Option<TimeSpread>,
}

/// Something odd, with its likely cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind of thing it is.
    pub kind: FindingKind,
    /// In which runs.
    pub runs: Vec<String>,
    /// What was seen, and what is its likely cause, for people.
    pub why: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// What can be odd about the runs of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A headline is not complete: something of the build was elsewhere, or was not seen.
    Incomplete,
    /// A headline is only the limit speaking.
    Saturated,
    /// The first run had to read files that were in memory for the others.
    ColdPageCache,
    /// The first run took longer than the others.
    SlowFirstRun,
    /// Each run needs more than the one before.
    Growth,
    /// The runs did not do the same work.
    DifferentWork,
    /// Others used the CPUs, too.
    OtherLoad,
    /// A run is far from the others, and none of the causes above was seen.
    Outlier,
}

impl RunSample {
    /// The figures of this result.
    pub fn of(report: &Report, exit_code: u8, other_cpus: Option<f64>) -> Self {
        let stage = |stage: &Stage| StageSample {
            name: stage.name.clone(),
            wall_s: stage.wall_s,
            peak_pss_bytes: stage.peak_pss_bytes,
            peak_cgroup_bytes: stage.peak_cgroup_bytes,
        };
        let classes = report.processes.classes.iter();
        Self {
            label: report.label.clone(),
            started_at: report.started_at.clone(),
            verdict: report.verdict,
            exit_code,
            headline_bytes: report.headline.bytes,
            without_cache_bytes: (report.headline.without_cache.as_ref()).map(|it| it.bytes),
            duration_s: report.duration_s,
            complete: report.headline.complete,
            saturated: report.headline.saturated,
            limit_bytes: report.headline.limit_bytes,
            forks: report.processes.forks,
            other_cpus,
            stages: report.stages.iter().map(stage).collect(),
            classes: classes
                .map(|class| (class.command_class.clone(), class.count))
                .collect(),
        }
    }
}

impl SizeSpread {
    /// Of these sizes; none of none.
    pub fn of(sizes: impl IntoIterator<Item = u64>) -> Option<Self> {
        let sample = Sample::of_integers(sizes);
        let range = sample.range()?;
        Some(Self {
            runs: sample.len() as u64,
            median_bytes: rounded(sample.median()?),
            min_bytes: rounded(range.from),
            max_bytes: rounded(range.to),
            mad_bytes: rounded(sample.median_absolute_deviation()?),
        })
    }
}

impl TimeSpread {
    /// Of these times; none of none.
    pub fn of(times: impl IntoIterator<Item = f64>) -> Option<Self> {
        let sample = Sample::of(times);
        let range = sample.range()?;
        Some(Self {
            runs: sample.len() as u64,
            median_s: sample.median()?,
            min_s: range.from,
            max_s: range.to,
            mad_s: sample.median_absolute_deviation()?,
        })
    }
}

impl Series {
    /// A series of which these runs were made so far. `last` is the result of the latest of them.
    pub fn new(
        label: &str,
        asked: &Asked,
        warmups: &[RunSample],
        samples: &[RunSample],
        last: &Report,
    ) -> Self {
        let Asked {
            runs,
            warmup,
            prepare,
            budget,
        } = asked;
        let first = warmups.iter().chain(samples).next();
        let statistics = statistics(samples);
        let budget = budget.map(|bytes| SeriesBudget {
            bytes,
            exceeded_by_bytes: (statistics.headline)
                .map(|headline| headline.median_bytes.saturating_sub(bytes)),
        });
        let all = || warmups.iter().chain(samples);
        let verdict = match all().find(|run| run.exit_code != 0) {
            Some(failed) => failed.verdict,
            None if (samples.len() as u64) < *runs => Verdict::Incomplete,
            None if budget.is_some_and(|it| it.exceeded_by_bytes > Some(0)) => Verdict::OverBudget,
            None => Verdict::Pass,
        };
        Self {
            schema: SCHEMA.to_owned(),
            label: label.to_owned(),
            started_at: first.map_or_else(String::new, |run| run.started_at.clone()),
            command: last.command.clone(),
            cwd: last.cwd.clone(),
            verdict,
            budget,
            runs: samples.iter().map(|run| run.label.clone()).collect(),
            runs_asked_for: *runs,
            warmup: *warmup,
            prepare: prepare.clone(),
            samples: samples.to_vec(),
            warmups: warmups.to_vec(),
            statistics,
            findings: findings(samples, last.host.cpus),
            host: last.host.clone(),
        }
    }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Runs that count.
    pub runs: u64,
    /// Runs before them that do not.
    pub warmup: u64,
    /// What is to be run before each.
    pub prepare: Option<String>,
    /// What the median is to stay within.
    pub budget: Option<u64>,
}

/// The runs that passed: another one's figures are of something else.
fn passed(samples: &[RunSample]) -> impl Iterator<Item = &RunSample> {
    samples.iter().filter(|run| run.verdict == Verdict::Pass)
}

fn statistics(samples: &[RunSample]) -> Statistics {
    let mut names: Vec<&str> = Vec::new();
    for stage in passed(samples).flat_map(|run| &run.stages) {
        if !names.contains(&stage.name.as_str()) {
            names.push(&stage.name);
        }
    }
    let stage = |name: &str| {
        let stages = || {
            let name = name.to_owned();
            passed(samples)
                .flat_map(|run| &run.stages)
                .filter(move |stage| stage.name == name)
        };
        StageStatistics {
            name: name.to_owned(),
            peak_pss: SizeSpread::of(stages().filter_map(|stage| stage.peak_pss_bytes)),
            peak_cgroup: SizeSpread::of(stages().filter_map(|stage| stage.peak_cgroup_bytes)),
            wall: TimeSpread::of(stages().map(|stage| stage.wall_s)),
        }
    };
    Statistics {
        headline: SizeSpread::of(passed(samples).filter_map(|run| run.headline_bytes)),
        without_cache: SizeSpread::of(passed(samples).filter_map(|run| run.without_cache_bytes)),
        duration: TimeSpread::of(passed(samples).map(|run| run.duration_s)),
        stages: names.into_iter().map(stage).collect(),
    }
}

/// What is less than this part of the whole is nothing odd.
const WORTH_A_WORD: f64 = 0.02;

/// The same for durations, and for sizes of which there are too few to tell how they scatter.
const WORTH_A_WORD_WHEN_UNSURE: f64 = 0.05;

fn findings(samples: &[RunSample], cpus: u64) -> Vec<Finding> {
    let runs: Vec<&RunSample> = passed(samples).collect();
    let mut found = Vec::new();
    found.extend(incomplete(&runs));
    found.extend(saturated(&runs));
    found.extend(different_work(&runs));
    found.extend(other_load(&runs, cpus));
    found.extend(growth(&runs));
    if found.iter().all(|it| it.kind != FindingKind::DifferentWork) {
        found.extend(first_run(&runs));
    }
    let told: Vec<String> = found.iter().flat_map(|it| it.runs.clone()).collect();
    found.extend(outlying(&runs).filter(|it| it.runs.iter().any(|run| !told.contains(run))));
    found
}

fn incomplete(runs: &[&RunSample]) -> Option<Finding> {
    let labels: Vec<String> = (runs.iter())
        .filter(|run| !run.complete)
        .map(|run| run.label.clone())
        .collect();
    let first = labels.first()?.clone();
    Some(Finding {
        kind: FindingKind::Incomplete,
        why: format!(
            "the headline is not complete in {}: something of the build was elsewhere, or was not seen",
            in_runs(labels.len(), runs.len())
        ),
        runs: labels,
        help: Some(format!("`build-mem report {first}` tells what")),
    })
}

fn saturated(runs: &[&RunSample]) -> Option<Finding> {
    let (labels, limit) = runs.iter().filter(|run| run.saturated).fold(
        (Vec::new(), None),
        |(mut labels, limit), run| {
            labels.push(run.label.clone());
            (labels, limit.max(run.limit_bytes))
        },
    );
    let of = limit.map_or_else(String::new, |limit| format!(" of {}", shown(limit)));
    (!labels.is_empty()).then(|| Finding {
        kind: FindingKind::Saturated,
        why: format!(
            "the limit{of} was reached in {}: the headline is what the build was given, not what it wanted",
            in_runs(labels.len(), runs.len())
        ),
        runs: labels,
        help: Some("measure without the limit, or look at the peak without page cache".to_owned()),
    })
}

/// A build that finds its own results of the run before does less.
fn different_work(runs: &[&RunSample]) -> Option<Finding> {
    let most = runs.iter().max_by_key(|run| run.forks)?;
    let least = runs.iter().min_by_key(|run| run.forks)?;
    let difference = most.forks - least.forks;
    // Some tools poll, or start helpers by need.
    if difference <= (most.forks / 10).max(2) {
        return None;
    }
    let of = |run: &RunSample, class: &str| run.classes.get(class).copied().unwrap_or(0);
    let class = (most.classes.keys())
        .max_by_key(|class| of(most, class).saturating_sub(of(least, class)))
        .filter(|class| of(most, class) > of(least, class));
    let above_all = class.map_or_else(String::new, |class| {
        let (more, fewer) = (of(most, class), of(least, class));
        format!(", above all `{class}`: {more} against {fewer}")
    });
    Some(Finding {
        kind: FindingKind::DifferentWork,
        runs: vec![most.label.clone(), least.label.clone()],
        why: format!(
            "{} started {} processes, {} only {}{above_all}: the runs did not do the same work, as when a cache answers",
            most.label, most.forks, least.label, least.forks
        ),
        help: Some(
            "have the cache removed before each run, by `[clear] paths` or `--prepare`; or warm it by `--warmup 1`"
                .to_owned(),
        ),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a number of CPUs")]
fn other_load(runs: &[&RunSample], cpus: u64) -> Option<Finding> {
    let bound = (cpus as f64 / 10.0).max(0.5);
    let loaded: Vec<(&str, f64)> = (runs.iter())
        .filter_map(|run| Some((run.label.as_str(), run.other_cpus?)))
        .filter(|(_, used)| *used >= bound)
        .collect();
    let most = loaded.iter().map(|(_, used)| *used).fold(0.0, f64::max);
    (!loaded.is_empty()).then(|| Finding {
        kind: FindingKind::OtherLoad,
        runs: loaded.iter().map(|(run, _)| (*run).to_owned()).collect(),
        why: format!(
            "other processes used up to {most:.1} of {cpus} CPUs in {}: their durations say little, and what runs side by side \
             meets at other moments",
            in_runs(loaded.len(), runs.len())
        ),
        help: Some("measure again when the machine is quiet".to_owned()),
    })
}

fn growth(runs: &[&RunSample]) -> Option<Finding> {
    // Of four figures, one order in 24 is this one.
    const LEAST: usize = 4;
    let needed: Vec<u64> = (runs.iter())
        .map(|run| run.without_cache_bytes.or(run.headline_bytes))
        .collect::<Option<_>>()?;
    let (first, last) = (*needed.first()?, *needed.last()?);
    let grows = needed.len() >= LEAST
        && needed.is_sorted_by(|a, b| a < b)
        && above(last, first) > WORTH_A_WORD;
    grows.then(|| Finding {
        kind: FindingKind::Growth,
        runs: runs.iter().map(|run| run.label.clone()).collect(),
        why: format!(
            "each run needed more than the one before, {} at first and {} in the end: something that the build leaves grows, \
             such as a cache or a log that it reads",
            shown(first),
            shown(last)
        ),
        help: Some("remove it before each run, by `[clear] paths` or `--prepare`".to_owned()),
    })
}

/// Whoever reads a file first is charged for its pages, and waits for the disk.
fn first_run(runs: &[&RunSample]) -> Option<Finding> {
    let (first, others) = runs.split_first()?;
    let is_above = |figure: fn(&RunSample) -> Option<f64>, least: f64| {
        let others = Sample::of(others.iter().filter_map(|run| figure(run)));
        let (median, deviation) = (others.median()?, others.median_absolute_deviation()?);
        // One other run says nothing of how they scatter.
        let least = if others.len() < 2 {
            WORTH_A_WORD_WHEN_UNSURE
        } else {
            least
        };
        let more = figure(first)? - median;
        (more > (5.0 * deviation).max(least * median)).then_some((more, median))
    };
    #[expect(clippy::cast_precision_loss, reason = "exact up to 8 PiB")]
    let headline = is_above(|run| run.headline_bytes.map(|it| it as f64), WORTH_A_WORD);
    #[expect(clippy::cast_precision_loss, reason = "exact up to 8 PiB")]
    let needed = is_above(
        |run| run.without_cache_bytes.map(|it| it as f64),
        WORTH_A_WORD,
    );
    let slower = is_above(|run| Some(run.duration_s), WORTH_A_WORD_WHEN_UNSURE);
    let longer = slower.map(|(more, median)| format!("{:.0} % longer", more / median * 100.0));
    let with = |kind, why, help: &str| {
        Some(Finding {
            kind,
            runs: vec![first.label.clone()],
            why,
            help: Some(help.to_owned()),
        })
    };
    match (headline, needed) {
        (Some((more, _)), None) => with(
            FindingKind::ColdPageCache,
            format!(
                "the first run's headline is {} above that of the others{}, and not what it needs without page cache: it was \
                 the first to read files, and is charged for their pages",
                shown(rounded(more)),
                longer.map_or_else(String::new, |longer| format!(", and it took {longer}"))
            ),
            "let a run come before that does not count: `--warmup 1`; or have each run start cold",
        ),
        (_, _) => with(
            FindingKind::SlowFirstRun,
            format!(
                "the first run took {} than the others: caches were cold, of the system or of the build's tools",
                longer?
            ),
            "let a run come before that does not count: `--warmup 1`",
        ),
    }
}

fn outlying(runs: &[&RunSample]) -> impl Iterator<Item = Finding> {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 8 PiB")]
    let headlines: Option<Vec<f64>> = (runs.iter())
        .map(|run| run.headline_bytes.map(|bytes| bytes as f64))
        .collect();
    let durations: Vec<f64> = runs.iter().map(|run| run.duration_s).collect();
    let sizes = headlines.into_iter().flat_map(|headlines| {
        let median = Sample::of(headlines.iter().copied()).median();
        let (far, median) = (outliers(&headlines), median.unwrap_or_default());
        far.into_iter().map(move |place| {
            let figures = (rounded(headlines[place]), rounded(median));
            (place, "needed", shown(figures.0), shown(figures.1))
        })
    });
    let median = Sample::of(durations.iter().copied()).median();
    let times = outliers(&durations).into_iter().map(move |place| {
        let shown = |seconds: f64| format!("{seconds:.2} s");
        let median = shown(median.unwrap_or_default());
        (place, "took", shown(durations[place]), median)
    });
    let far: Vec<_> = sizes.chain(times).collect();
    far.into_iter().map(|(place, verb, figure, median)| {
        let label = &runs[place].label;
        Finding {
            kind: FindingKind::Outlier,
            runs: vec![label.clone()],
            why: format!(
                "{label} {verb} {figure}, far from the median of {median}: something else happened in it, and none of the usual \
                 causes was seen"
            ),
            help: Some(format!("look at it: `build-mem report {label}`")),
        }
    })
}

/// By which part `figure` is above `base`.
fn above(figure: u64, base: u64) -> f64 {
    ByteSize::from_bytes(figure.saturating_sub(base)).share_of(ByteSize::from_bytes(base))
}

fn shown(bytes: u64) -> String {
    ByteSize::from_bytes(bytes).to_string()
}

/// `1 of 5 runs`.
fn in_runs(some: usize, all: usize) -> String {
    format!("{some} of {all} runs")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    const NOTHING: [FindingKind; 0] = [];

    /// A run that needed so many MiB, had so many of page cache on top, and took so many seconds.
    fn run(number: usize, needed: u64, cache: u64, duration_s: f64) -> RunSample {
        RunSample {
            label: format!("x.{number}"),
            started_at: "2026-01-01T00:00:00Z".to_owned(),
            verdict: Verdict::Pass,
            exit_code: 0,
            headline_bytes: Some((needed + cache) * MIB),
            without_cache_bytes: Some(needed * MIB),
            duration_s,
            complete: true,
            saturated: false,
            limit_bytes: None,
            forks: 100,
            other_cpus: Some(0.1),
            stages: Vec::new(),
            classes: BTreeMap::new(),
        }
    }

    fn runs(figures: &[(u64, u64, f64)]) -> Vec<RunSample> {
        (1..)
            .zip(figures)
            .map(|(number, (needed, cache, duration_s))| run(number, *needed, *cache, *duration_s))
            .collect()
    }

    fn kinds(samples: &[RunSample]) -> Vec<FindingKind> {
        findings(samples, 2).iter().map(|it| it.kind).collect()
    }

    #[test]
    fn runs_that_are_alike_are_nothing_odd() {
        let alike = [
            (500, 100, 10.0),
            (501, 101, 10.1),
            (499, 103, 9.9),
            (500, 100, 10.2),
        ];
        assert_eq!(kinds(&runs(&alike)), NOTHING);
        assert_eq!(kinds(&runs(&alike[..1])), NOTHING);
        assert_eq!(kinds(&[]), NOTHING);
    }

    #[test]
    fn a_first_run_that_read_more_files_had_a_cold_page_cache() {
        let cold = runs(&[(500, 400, 14.0), (500, 100, 10.0), (501, 101, 10.1)]);
        assert_eq!(kinds(&cold), [FindingKind::ColdPageCache]);
        let found = findings(&cold, 2);
        let finding = &found[0];
        assert_eq!(finding.runs, ["x.1"]);
        assert!(finding.why.contains("299.00 MiB above"), "{finding:?}");
        assert!(finding.why.contains("39 % longer"), "{finding:?}");
        assert!(finding.help.as_ref().unwrap().contains("--warmup"));
        // Two are enough to see it.
        assert_eq!(kinds(&cold[..2]), [FindingKind::ColdPageCache]);
    }

    #[test]
    fn a_first_run_that_only_took_longer_is_told_apart() {
        let slow = runs(&[(500, 100, 14.0), (500, 100, 10.0), (501, 101, 10.1)]);
        assert_eq!(kinds(&slow), [FindingKind::SlowFirstRun]);
    }

    #[test]
    fn what_grows_from_run_to_run_is_told_but_not_by_less_than_four() {
        let growing = runs(&[
            (500, 0, 10.0),
            (510, 0, 10.0),
            (520, 0, 10.0),
            (540, 0, 10.0),
        ]);
        assert_eq!(kinds(&growing), [FindingKind::Growth]);
        assert_eq!(kinds(&growing[..3]), NOTHING);
    }

    #[test]
    fn a_run_that_was_not_seen_completely_is_told() {
        let mut samples = runs(&[(500, 0, 10.0), (500, 0, 10.0)]);
        samples[1].complete = false;
        let found = findings(&samples, 2);
        assert_eq!(
            (found[0].kind, &found[0].runs[0][..]),
            (FindingKind::Incomplete, "x.2")
        );
    }

    #[test]
    fn a_headline_at_the_limit_is_told_with_the_limit() {
        let mut samples = runs(&[(500, 12, 10.0), (500, 12, 10.0), (500, 12, 10.0)]);
        samples[1].saturated = true;
        samples[1].limit_bytes = Some(512 * MIB);
        let found = findings(&samples, 2);
        assert_eq!(found[0].kind, FindingKind::Saturated);
        assert!(
            found[0]
                .why
                .starts_with("the limit of 512.00 MiB was reached in 1 of 3 runs")
        );
    }

    #[test]
    fn runs_that_started_fewer_processes_name_what_was_missing() {
        let mut samples = runs(&[(500, 300, 20.0), (200, 10, 5.0), (201, 10, 5.0)]);
        samples[0].classes = [("cc1".to_owned(), 80), ("sh".to_owned(), 20)].into();
        for run in &mut samples[1..] {
            run.forks = 25;
            run.classes = [("cc1".to_owned(), 5), ("sh".to_owned(), 20)].into();
        }
        let found = findings(&samples, 2);
        assert_eq!(found[0].kind, FindingKind::DifferentWork);
        assert!(
            found[0].why.contains("`cc1`: 80 against 5"),
            "{}",
            found[0].why
        );
        // That a first run with more work took longer needs no other reason.
        assert!(!kinds(&samples).contains(&FindingKind::SlowFirstRun));
    }

    #[test]
    fn others_on_the_cpus_are_told_with_how_much_they_used() {
        let mut samples = runs(&[(500, 0, 10.0), (500, 0, 13.0), (500, 0, 10.0)]);
        samples[1].other_cpus = Some(1.25);
        let found = findings(&samples, 2);
        assert_eq!(found[0].kind, FindingKind::OtherLoad);
        assert!(
            found[0].why.contains("1.2 of 2 CPUs in 1 of 3 runs"),
            "{}",
            found[0].why
        );
        samples[1].other_cpus = None;
        assert!(!kinds(&samples).contains(&FindingKind::OtherLoad));
    }

    #[test]
    fn a_run_far_from_the_others_is_told_where_no_cause_was_seen() {
        let far = runs(&[
            (500, 0, 10.0),
            (501, 0, 10.1),
            (900, 0, 10.0),
            (499, 0, 9.9),
        ]);
        let found = findings(&far, 2);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].kind, &found[0].runs[0][..]),
            (FindingKind::Outlier, "x.3")
        );
    }

    #[test]
    fn only_runs_that_passed_are_counted() {
        let mut samples = runs(&[(500, 0, 10.0), (510, 0, 11.0), (100, 0, 1.0)]);
        samples[2].verdict = Verdict::BuildFailed;
        let Statistics {
            headline, duration, ..
        } = statistics(&samples);
        let (headline, duration) = (headline.unwrap(), duration.unwrap());
        assert_eq!((headline.runs, headline.median_bytes), (2, 505 * MIB));
        assert_eq!(
            (headline.min_bytes, headline.max_bytes),
            (500 * MIB, 510 * MIB)
        );
        assert_eq!(headline.mad_bytes, 5 * MIB);
        assert!((duration.median_s - 10.5).abs() < 1e-9 && duration.runs == 2);
        samples[0].verdict = Verdict::BuildFailed;
        samples[1].verdict = Verdict::BuildFailed;
        assert_eq!(statistics(&samples), Statistics::default());
    }

    #[test]
    fn a_stage_that_one_run_lacks_counts_where_it_was() {
        let stage = |name: &str, mib: u64| StageSample {
            name: name.to_owned(),
            wall_s: 1.0,
            peak_pss_bytes: Some(mib * MIB),
            peak_cgroup_bytes: None,
        };
        let mut samples = runs(&[(500, 0, 10.0), (500, 0, 10.0)]);
        samples[0].stages = vec![stage("deps", 100), stage("next", 300)];
        samples[1].stages = vec![stage("next", 310)];
        let stages = statistics(&samples).stages;
        let told: Vec<_> = (stages.iter())
            .map(|it| (it.name.as_str(), it.peak_pss.unwrap().median_bytes / MIB))
            .collect();
        assert_eq!(told, [("deps", 100), ("next", 305)]);
        assert_eq!(stages[0].peak_cgroup, None);
    }
}
