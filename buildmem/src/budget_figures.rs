//! New figures for budgets: from recorded runs, with headroom for their noise, into the text of a config. Which files those
//! are is the command's business.

use toml_edit::{DocumentMut, Item, Table, Value};

use crate::budgets::Budgets;
use crate::problem::Problem;
use crate::report::Report;
use crate::stages::OTHER;
use crate::statistics::{STANDARD_DEVIATIONS_A_MAD, Sample, rounded};
use crate::units::ByteSize;

/// The least headroom, as a part of the median: what a build grows by within some weeks should not need a new budget.
const LEAST_HEADROOM: f64 = 0.05;

/// The headroom where there is but one run, whose noise nobody knows.
const HEADROOM_OF_ONE: f64 = 0.10;

/// Of a normal distribution, all but one of a thousand figures are within so many standard deviations above the mean.
const DEVIATIONS: f64 = 3.0;

/// A budget that is as near to the proposed one stays, so that a new one is news.
const NEAR: f64 = 0.02;

/// What has a budget, or could have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// The headline.
    Peak,
    /// A stage's highest sampled sum of PSS.
    Stage(String),
    /// The peak RSS of the largest process of a class.
    Class(String),
}

/// One budget, and what runs needed.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Of what.
    pub of: Of,
    /// The budget in the config; absent where there is none.
    pub current: Option<ByteSize>,
    /// What the runs needed; absent where none of them tells.
    pub needed: Option<Needed>,
}

/// What runs needed, and what to allow them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    /// How many runs.
    pub runs: usize,
    /// The median.
    pub median: ByteSize,
    /// The greatest.
    pub greatest: ByteSize,
    /// The budget that leaves them room.
    pub proposed: ByteSize,
}

impl Entry {
    /// By how much the median is above the budget; nothing within it, absent without either.
    pub fn exceeded_by(&self) -> Option<ByteSize> {
        Some(self.needed?.median.saturating_sub(self.current?))
    }

    /// The budget that should be written down; absent where the one that is there may stay, or nothing is known.
    pub fn update(&self) -> Option<ByteSize> {
        let Needed {
            greatest, proposed, ..
        } = self.needed?;
        match self.current {
            Some(current) if current >= greatest && is_near(current, proposed) => None,
            Some(_) | None => Some(proposed),
        }
    }
}

fn is_near(current: ByteSize, proposed: ByteSize) -> bool {
    let apart = current.bytes().abs_diff(proposed.bytes());
    ByteSize::from_bytes(apart).share_of(proposed) <= NEAR
}

/// All budgets, with what these runs needed. Where there is none at all, the peak and the stages are proposed.
pub fn entries(budgets: &Budgets, reports: &[Report]) -> Vec<Entry> {
    let entry = |of: Of, current| Entry {
        needed: needed(reports.iter().filter_map(|report| figure(&of, report))),
        of,
        current,
    };
    if budgets.is_empty() {
        let stages = reports.iter().flat_map(|report| &report.stages);
        let mut names: Vec<&String> = Vec::new();
        for stage in stages.filter(|stage| stage.name != OTHER) {
            if !names.contains(&&stage.name) {
                names.push(&stage.name);
            }
        }
        let stages = names
            .into_iter()
            .map(|name| entry(Of::Stage(name.clone()), None));
        return [entry(Of::Peak, None)].into_iter().chain(stages).collect();
    }
    let Budgets {
        peak,
        stages,
        classes,
    } = budgets;
    (peak.iter().map(|size| entry(Of::Peak, Some(*size))))
        .chain(
            stages
                .iter()
                .map(|(name, size)| entry(Of::Stage(name.clone()), Some(*size))),
        )
        .chain(
            classes
                .iter()
                .map(|(name, size)| entry(Of::Class(name.clone()), Some(*size))),
        )
        .collect()
}

/// The figure of a run that a budget is for.
fn figure(of: &Of, report: &Report) -> Option<u64> {
    match of {
        Of::Peak => report.headline.bytes,
        Of::Stage(name) => {
            let stage = report.stages.iter().find(|stage| stage.name == *name)?;
            stage.peak_pss_bytes
        }
        Of::Class(name) => {
            let mut classes = report.processes.classes.iter();
            classes
                .find(|class| class.command_class == *name)?
                .peak_rss_max_bytes
        }
    }
}

/// The median with headroom: 5 %, three standard deviations as the median absolute deviation tells them, or up to the greatest of
/// the runs, whichever is most; 10 % of a single run.
fn needed(figures: impl Iterator<Item = u64>) -> Option<Needed> {
    let sample = Sample::of_integers(figures);
    let (median, greatest) = (sample.median()?, sample.range()?.to);
    let headroom = if sample.len() == 1 {
        HEADROOM_OF_ONE * median
    } else {
        let deviation = STANDARD_DEVIATIONS_A_MAD * sample.median_absolute_deviation()?;
        (LEAST_HEADROOM * median)
            .max(DEVIATIONS * deviation)
            .max(greatest - median)
    };
    Some(Needed {
        runs: sample.len(),
        median: ByteSize::from_bytes(rounded(median)),
        greatest: ByteSize::from_bytes(rounded(greatest)),
        proposed: round_figure(ByteSize::from_bytes(rounded(median + headroom))),
    })
}

/// Rounded up to MiB; what is larger, to a step of at most a sixty-fourth of it, so that it reads well.
fn round_figure(size: ByteSize) -> ByteSize {
    const MIB: u64 = 1 << 20;
    let mib = size.bytes().div_ceil(MIB).max(1);
    let step = (mib / 64).max(1);
    let step = 1 << step.ilog2();
    ByteSize::from_mib(mib.div_ceil(step) * step)
}

/// As it is written in a config: `6GiB`, `1232MiB`. Of whole MiB.
pub fn written(size: ByteSize) -> String {
    let mib = size.bytes() >> 20;
    if mib.is_multiple_of(1024) && mib > 0 {
        return format!("{}GiB", mib / 1024);
    }
    format!("{mib}MiB")
}

/// The config's text with these budgets in it; everything else stays as it is, comments included. `file` is its name in errors.
pub fn edited(text: &str, file: &str, entries: &[Entry]) -> Result<String, Problem> {
    let cannot = |why: String| Problem::new(format!("cannot change `{file}`")).because(why);
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| cannot(error.message().to_owned()))?;
    for entry in entries {
        let Some(size) = entry.update() else { continue };
        let (folder, key) = match &entry.of {
            Of::Peak => (None, "peak"),
            Of::Stage(name) => (Some("stages"), name.as_str()),
            Of::Class(name) => (Some("classes"), name.as_str()),
        };
        let no_table = || cannot("`budget` is there, but is no table".to_owned());
        let budget = document
            .entry("budget")
            .or_insert_with(|| Item::Table(Table::new()));
        let table = match folder {
            None => budget.as_table_like_mut(),
            Some(folder) => {
                let budget = budget.as_table_like_mut().ok_or_else(no_table)?;
                let item = budget
                    .entry(folder)
                    .or_insert_with(|| Item::Table(Table::new()));
                item.as_table_like_mut()
            }
        };
        let item = table.ok_or_else(no_table)?.entry(key).or_insert(Item::None);
        let mut value = Value::from(written(size));
        if let Some(old) = item.as_value() {
            // What stands beside it, such as a comment.
            *value.decor_mut() = old.decor().clone();
        }
        *item = Item::Value(value);
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::export::samples;

    const MIB: u64 = 1 << 20;

    fn proposed(mib: &[u64]) -> u64 {
        let needed = needed(mib.iter().map(|mib| mib * MIB)).unwrap();
        needed.proposed.bytes() / MIB
    }

    fn budgets(text: &str) -> Budgets {
        Config::parse(text, "x").unwrap().budgets
    }

    #[test]
    fn the_headroom_follows_the_noise() {
        assert_eq!(proposed(&[40]), 44, "10 % of one run");
        assert_eq!(proposed(&[40, 40, 40]), 42, "5 % of several");
        // The deviation of a typical one is 10: 3 × 1.4826 × 10.
        assert_eq!(proposed(&[190, 200, 210, 200, 180, 215]), 246);
        assert_eq!(proposed(&[200, 200, 290]), 292, "none of the runs may fail");
    }

    #[test]
    fn budgets_are_round_and_never_below_what_they_are_rounded_from() {
        for size in [1, 63, 64, 1000, 1291, 6000, 123_456] {
            let round = round_figure(ByteSize::from_mib(size)).bytes() / MIB;
            assert!(
                round >= size && (round - size) * 64 <= size,
                "{size}: {round}"
            );
        }
        assert_eq!(round_figure(ByteSize::from_bytes(1)).bytes(), MIB);
        assert_eq!(written(ByteSize::from_mib(6144)), "6GiB");
        assert_eq!(written(ByteSize::from_mib(1232)), "1232MiB");
    }

    #[test]
    fn without_budgets_the_peak_and_the_stages_are_proposed() {
        let entries = entries(
            &Budgets::default(),
            &[samples::monorepo(), samples::monorepo()],
        );
        let of: Vec<_> = entries.iter().map(|entry| entry.of.clone()).collect();
        let stage = |name: &str| Of::Stage(name.to_owned());
        assert_eq!(
            of,
            [
                Of::Peak,
                stage("assemblyscript"),
                stage("build-deps"),
                stage("next-build")
            ]
        );
        assert_eq!(entries[0].needed.unwrap().runs, 2);
        let text = edited("[build]\ncommand = 'x'\n", "x", &entries).unwrap();
        insta::assert_snapshot!(text, @r#"
        [build]
        command = 'x'

        [budget]
        peak = "1600MiB"

        [budget.stages]
        assemblyscript = "372MiB"
        build-deps = "324MiB"
        next-build = "1248MiB"
        "#);
        assert_eq!(budgets(&text).stages.len(), 3);
    }

    #[test]
    fn a_config_keeps_its_order_its_comments_and_what_needs_no_change() {
        let text = "\
# Ours.
[budget]               # reviewed on Mondays
peak = \"900MiB\"        # the runner has 2 GiB

[budget.classes]
tsc = '600MiB' # of the largest
'node x/y.js' = \"1MiB\"

[[stage]]
name = 'a'
match = 'a'
";
        let entry = |of, current, median: u64| Entry {
            of,
            current: Some(ByteSize::from_mib(current)),
            needed: needed([median * MIB; 3].into_iter()),
        };
        let entries = [
            entry(Of::Peak, 900, 1000),
            entry(Of::Class("tsc".to_owned()), 600, 570),
            entry(Of::Class("node x/y.js".to_owned()), 1, 20),
        ];
        let changed = edited(text, "x", &entries).unwrap();
        let expected = text
            .replace("\"900MiB\"", "\"1056MiB\"")
            .replace("\"1MiB\"", "\"21MiB\"");
        assert_eq!(changed, expected);
        assert_eq!(entries[0].exceeded_by(), Some(ByteSize::from_mib(100)));
        assert_eq!(entries[1].exceeded_by(), Some(ByteSize::ZERO));
        assert_eq!(edited(&changed, "x", &[]).unwrap(), changed);
    }

    #[test]
    fn dotted_and_inline_tables_are_changed_where_they_are() {
        let entry = Entry {
            of: Of::Stage("a".to_owned()),
            current: Some(ByteSize::from_mib(1)),
            needed: needed([100 * MIB].into_iter()),
        };
        let change = |text: &str| edited(text, "x", std::slice::from_ref(&entry));
        assert_eq!(
            change("budget.stages.a = '1MiB'\n").unwrap(),
            "budget.stages.a = \"110MiB\"\n"
        );
        assert_eq!(
            change("[budget]\nstages = { a = '1MiB' } # x\n").unwrap(),
            "[budget]\nstages = { a = \"110MiB\" } # x\n"
        );
        assert!(change("budget = 1\n").is_err());
        assert!(change("[budget\n").is_err());
    }

    #[test]
    fn what_did_not_run_keeps_its_budget() {
        let budgets =
            budgets("[budget.stages]\nlint = '1GiB'\n[budget.classes]\n'node tsc' = '100MiB'\n");
        let entries = entries(&budgets, &[samples::monorepo()]);
        assert_eq!(entries[0].needed, None);
        assert_eq!(
            (entries[0].update(), entries[0].exceeded_by()),
            (None, None)
        );
        assert!(entries[1].exceeded_by() > Some(ByteSize::ZERO));
    }
}
