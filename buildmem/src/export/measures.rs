//! The figures of a build that are worth following from run to run, with names that stay the same: for the exports to
//! services that draw them over time.

use std::collections::BTreeSet;

use super::layout::visible;
use crate::command_line::CommandLine;
use crate::report::{Report, Verdict};
use crate::stages::OTHER;

/// Names are cut to so many characters. The services take 1024.
const LONGEST_NAME: usize = 200;

/// One figure of a build, or of one of its stages. Less of it is better.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measure {
    /// The build, or the build and the stage: see [`build_name`].
    pub(super) subject: String,
    /// What the figure is.
    pub(super) kind: MeasureKind,
    /// The figure.
    pub(super) value: MeasureValue,
    /// What a reader must know of it, such as its source.
    pub(super) remark: String,
}

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MeasureKind {
    /// High-water mark of the cgroup, of the build or while a stage ran.
    PeakMemory,
    /// The highest sampled usage without page cache.
    PeakWithoutCache,
    /// The highest sampled sum of a stage's PSS.
    PeakPss,
    /// Wall time.
    BuildTime,
}

impl MeasureKind {
    /// As services identify it.
    pub(super) const fn slug(self) -> &'static str {
        match self {
            Self::PeakMemory => "peak-memory",
            Self::PeakWithoutCache => "peak-memory-without-cache",
            Self::PeakPss => "peak-pss",
            Self::BuildTime => "build-time",
        }
    }

    /// As people call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::PeakMemory => "peak memory",
            Self::PeakWithoutCache => "peak memory without page cache",
            Self::PeakPss => "peak PSS",
            Self::BuildTime => "build time",
        }
    }
}

/// A figure with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum MeasureValue {
    /// A size.
    Bytes(u64),
    /// A time that is neither NaN nor infinite.
    Seconds(f64),
}

/// Whether the figures of this report are those of the build: one that broke off early needs less memory, and would be
/// followed as an improvement.
pub fn is_worth_following(report: &Report) -> bool {
    match report.verdict {
        Verdict::Pass | Verdict::OverBudget => true,
        Verdict::BuildFailed
        | Verdict::BuildKilled
        | Verdict::OutOfMemory
        | Verdict::Interrupted
        | Verdict::VerificationFailed
        | Verdict::Incomplete => false,
    }
}

/// The figures that are known, those of the whole build first. What is in no stage is left out.
pub(super) fn measures(report: &Report) -> Vec<Measure> {
    let build = build_name(&report.command);
    let mut measures = Vec::new();
    let mut push = |subject: &str, kind, value: Option<MeasureValue>, remark: &str| {
        measures.extend(value.and_then(finite).map(|value| Measure {
            subject: subject.to_owned(),
            kind,
            value,
            remark: remark.to_owned(),
        }));
    };
    let headline = &report.headline;
    let bytes = |bytes: Option<u64>| bytes.map(MeasureValue::Bytes);
    push(
        &build,
        MeasureKind::PeakMemory,
        bytes(headline.bytes),
        &headline_remark(report),
    );
    let without_cache = headline.without_cache.as_ref();
    push(
        &build,
        MeasureKind::PeakWithoutCache,
        bytes(without_cache.map(|it| it.bytes)),
        "highest sample: what a limit has to hold",
    );
    let duration = Some(MeasureValue::Seconds(report.duration_s));
    push(&build, MeasureKind::BuildTime, duration, "");

    let stages = || report.stages.iter().filter(|stage| stage.name != OTHER);
    let names = unique(stages().map(|stage| name_of(&stage.name)));
    for (stage, name) in stages().zip(names) {
        let subject = format!("{build} / {name}");
        let kernels = bytes(stage.peak_cgroup_bytes);
        push(
            &subject,
            MeasureKind::PeakMemory,
            kernels,
            "of the whole cgroup while the stage ran",
        );
        let pss = bytes(stage.peak_pss_bytes);
        push(&subject, MeasureKind::PeakPss, pss, "highest sample");
        let wall = Some(MeasureValue::Seconds(stage.wall_s));
        push(&subject, MeasureKind::BuildTime, wall, "");
    }
    measures
}

fn finite(value: MeasureValue) -> Option<MeasureValue> {
    match value {
        MeasureValue::Bytes(_) => Some(value),
        MeasureValue::Seconds(seconds) => seconds.is_finite().then_some(value),
    }
}

fn headline_remark(report: &Report) -> String {
    let headline = &report.headline;
    let source = headline.source.as_deref().unwrap_or("source unknown");
    let limits = match (headline.saturated, headline.complete) {
        (true, _) => "; the limit, which was reached: it may need more",
        (false, false) => "; not complete",
        (false, true) => "",
    };
    format!("{}{limits}", visible(source))
}

/// What a build is called that was started by this command: the same in every run. Of `bash -lc SCRIPT` the script.
pub(super) fn build_name(command: &[String]) -> String {
    match command {
        [shell, option, script] if shell == "bash" && option == "-lc" => name_of(script),
        words => name_of(&CommandLine::from_args(words.iter().map(String::as_str)).display()),
    }
}

/// A text from outside as a name: of visible characters, not too long, never empty.
pub(super) fn name_of(text: &str) -> String {
    let text = visible(text);
    let text = text.trim();
    if text.is_empty() {
        return "(no name)".to_owned();
    }
    if text.chars().count() <= LONGEST_NAME {
        return text.to_owned();
    }
    text.chars().take(LONGEST_NAME - 1).chain(['…']).collect()
}

/// The names, those that were there before with a number: where they are cut, or not UTF-8, two can look the same.
pub(super) fn unique(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut numbered = |name: String| {
        let again = (2_u32..).map(|number| format!("{name} ({number})"));
        let free = std::iter::once(name.clone())
            .chain(again)
            .find(|name| !taken.contains(name))
            .unwrap_or(name);
        taken.insert(free.clone());
        free
    };
    names.into_iter().map(&mut numbered).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples;

    #[test]
    fn a_build_is_called_by_what_was_asked_for() {
        let name = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            build_name(&words)
        };
        assert_eq!(name(&["bash", "-lc", "npm run build"]), "npm run build");
        assert_eq!(name(&["make", "-j2", "a b"]), "make -j2 'a b'");
        assert_eq!(name(&["bash", "-lc", " \n "]), "\\n");
        assert_eq!(name(&[]), "(no name)");
        let long = name(&[&"x".repeat(300)]);
        assert_eq!(long.chars().count(), LONGEST_NAME);
        assert!(long.ends_with("x…"));
    }

    #[test]
    fn no_two_names_are_the_same() {
        let names = ["a", "a", "a (2)", "b", "a"].map(str::to_owned);
        assert_eq!(unique(names), ["a", "a (2)", "a (2) (2)", "b", "a (3)"]);
    }

    #[test]
    fn only_a_build_that_did_its_work_is_worth_following() {
        let worth: Vec<&str> = samples::all()
            .iter()
            .filter(|(_, report)| is_worth_following(report))
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(worth, ["monorepo", "c_build", "hostile", "tiny"]);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let known = |report: &Report| {
            let measures = measures(report);
            let kinds = measures.iter().map(|measure| measure.kind.slug());
            kinds.collect::<Vec<_>>().join(" ")
        };
        let mut report = samples::tiny();
        assert_eq!(known(&report), "peak-memory build-time");
        report.headline.bytes = None;
        report.duration_s = f64::NAN;
        assert_eq!(known(&report), "");
    }
}
