//! Processes grouped by what they ran: how many there were, how large, how many at once, and what they held at the peak.
//! What a command line is called by itself is `command_line`'s business; here are the rules that say otherwise.

use std::collections::BTreeMap;

use regex::RegexSet;

use crate::command_line::CommandLine;
use crate::report::ProcessClass;
use crate::stage_rule::StageRule;
use crate::stages::{InvalidRules, compile_rules};
use crate::tree::{Ended, Process};
use crate::units::{BootTime, ByteSize};

/// What processes are called by a build's rules, and without one by what they run.
#[derive(Debug, Default)]
pub struct ClassRules {
    names: Vec<String>,
    expressions: Option<RegexSet>,
}

impl ClassRules {
    /// With these rules, highest precedence first.
    pub fn new(rules: &[StageRule]) -> Result<Self, InvalidRules> {
        Ok(Self {
            names: rules.iter().map(|rule| rule.name.clone()).collect(),
            expressions: compile_rules(rules, "classes")?,
        })
    }

    /// The class of a process with this command line. Unlike a stage, it is its own alone: no child inherits it.
    pub fn class(&self, argv: &CommandLine) -> String {
        let matched = (self.expressions.as_ref())
            .and_then(|expressions| expressions.matches(&argv.joined()).iter().next());
        match matched {
            Some(rule) => self.names[rule].clone(),
            None => argv.class(),
        }
    }
}

/// The fold from processes that ended to their classes.
#[derive(Debug, Default)]
pub struct Classes {
    rules: ClassRules,
    seen: BTreeMap<String, Class>,
}

#[derive(Debug, Default)]
struct Class {
    /// In KiB, to keep a million of them small.
    peaks_kib: Vec<u32>,
    lifetimes: Vec<Lifetime>,
}

/// From when to when something lived.
pub type Lifetime = (BootTime, BootTime);

impl Classes {
    /// Begins the fold.
    pub fn new(rules: ClassRules) -> Self {
        Self {
            rules,
            seen: BTreeMap::new(),
        }
    }

    /// What processes are called.
    pub const fn rules(&self) -> &ClassRules {
        &self.rules
    }

    /// Takes in a process that ended. It counts as what it ran last, from its fork on.
    pub fn ended(&mut self, end: &Ended) {
        let Ended { process, at, .. } = end;
        let class = self.rules.class(process.argv());
        let class = self.seen.entry(class).or_default();
        class.lifetimes.push((process.started, *at));
        class.peaks_kib.extend(peak_kib(process));
    }

    /// All of them, largest first. `at_peak` are the command lines and the PSS of the processes at the build's peak.
    pub fn report<'a>(
        mut self,
        at_peak: impl IntoIterator<Item = (&'a CommandLine, Option<ByteSize>)>,
    ) -> Vec<ProcessClass> {
        let mut held: BTreeMap<String, ByteSize> = BTreeMap::new();
        let mut whole = ByteSize::ZERO;
        for (argv, pss) in at_peak {
            let pss = pss.unwrap_or_default();
            let class = self.rules.class(argv);
            // Where all of them ran something else in the end, none counts as this, but the parts add up.
            self.seen.entry(class.clone()).or_default();
            *held.entry(class).or_default() += pss;
            whole += pss;
        }
        let mut classes: Vec<ProcessClass> = (self.seen.into_iter())
            .map(|(name, class)| {
                let at_peak = held.get(&name).copied().unwrap_or_default();
                class.report(name, at_peak, whole)
            })
            .collect();
        classes.sort_by(|a, b| {
            (b.peak_rss_max_bytes.cmp(&a.peak_rss_max_bytes))
                .then_with(|| a.command_class.cmp(&b.command_class))
        });
        classes
    }
}

impl Class {
    fn report(mut self, name: String, at_peak: ByteSize, whole: ByteSize) -> ProcessClass {
        self.peaks_kib.sort_unstable();
        let bytes = |kib: u32| u64::from(kib) * 1024;
        let middle = self.peaks_kib.len().saturating_sub(1) / 2;
        ProcessClass {
            command_class: name,
            count: self.lifetimes.len() as u64,
            peak_rss_max_bytes: self.peaks_kib.last().copied().map(bytes),
            peak_rss_p50_bytes: self.peaks_kib.get(middle).copied().map(bytes),
            peak_concurrency: most_at_once(self.lifetimes),
            pss_at_peak_bytes: at_peak.bytes(),
            share_of_peak: at_peak.share_of(whole),
        }
    }
}

/// The exact peak RSS of a process in KiB, where it is known.
pub fn peak_kib(process: &Process) -> Option<u32> {
    let (_, peak) = process.largest_image()?;
    Some(u32::try_from(peak.bytes() / 1024).unwrap_or(u32::MAX))
}

/// How many of them were alive at once at the most. One that ended at the very moment at which another began was not
/// alive with it.
pub fn most_at_once(lifetimes: Vec<Lifetime>) -> u64 {
    let some = u64::from(!lifetimes.is_empty());
    let (mut begins, mut ends): (Vec<_>, Vec<_>) = lifetimes.into_iter().unzip();
    begins.sort_unstable();
    ends.sort_unstable();
    let mut ended = ends.into_iter().peekable();
    let (mut live, mut most) = (0_u64, some);
    for begin in begins {
        while ended.next_if(|end| *end <= begin).is_some() {
            live = live.saturating_sub(1);
        }
        live += 1;
        most = most.max(live);
    }
    most
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stages::MOST_RULES;

    fn rule(name: &str, pattern: &str) -> StageRule {
        StageRule {
            name: name.to_owned(),
            pattern: pattern.to_owned(),
        }
    }

    fn at(nanos: u64) -> BootTime {
        BootTime::from_nanos(nanos)
    }

    #[test]
    fn the_first_rule_that_matches_names_the_class_and_without_one_its_program() {
        let rules = ClassRules::new(&[
            rule("kernel objects", r"cc1 .*-D MODULE"),
            rule("compilers", r"cc1|rustc"),
        ])
        .unwrap();
        let class = |line: &str| rules.class(&CommandLine::from_args(line.split(' ')));
        assert_eq!(class("/usr/lib/cc1 -quiet -D MODULE a.c"), "kernel objects");
        assert_eq!(class("cc1 a.c"), "compilers");
        assert_eq!(class("rustc --crate-name syn"), "compilers");
        assert_eq!(class("/usr/bin/as a.s"), "as");
        assert_eq!(
            ClassRules::default().class(&CommandLine::from_args(["cc1"])),
            "cc1"
        );
    }

    #[test]
    fn rules_of_classes_are_bounded_as_those_of_stages() {
        let many = vec![rule("x", "y"); MOST_RULES + 1];
        let refusal = |rules: &[StageRule]| ClassRules::new(rules).unwrap_err().to_string();
        assert_eq!(refusal(&many), "there are more than 200 classes");
        let large = refusal(&[rule("x", r"(\w{1000}){1000}")]);
        assert!(
            large.starts_with("the `match` of the classes cannot be used:"),
            "{large}"
        );
    }

    #[test]
    fn who_follows_another_is_not_alive_with_it() {
        let check = |lifetimes: &[(u64, u64)], most: u64| {
            let lifetimes = lifetimes.iter().map(|(a, b)| (at(*a), at(*b))).collect();
            assert_eq!(most_at_once(lifetimes), most);
        };
        check(&[], 0);
        check(&[(1, 2)], 1);
        check(&[(1, 1)], 1);
        check(&[(1, 3), (3, 5), (5, 9)], 1);
        check(&[(1, 4), (3, 5), (3, 9), (6, 7)], 3);
    }

    proptest! {
        #[test]
        fn as_many_live_at_once_as_at_the_moment_where_most_do(
            lifetimes in prop::collection::vec((0_u64..20, 1_u64..10), 0..20)
        ) {
            let counted = (0..30).map(|moment| {
                let live = |(begin, length): &&(u64, u64)| *begin <= moment && moment < begin + length;
                lifetimes.iter().filter(live).count() as u64
            });
            let most = counted.max().unwrap_or(0);
            let lifetimes = lifetimes.iter().map(|(begin, length)| (at(*begin), at(begin + length)));
            prop_assert_eq!(most_at_once(lifetimes.collect()), most);
        }
    }
}
