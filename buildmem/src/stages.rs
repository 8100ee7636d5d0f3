//! Which stage of the build a process belongs to: by rules over its command line, by `build-mem stage` marks,
//! or found automatically.
//!
//! A process belongs to the stage of its nearest self-or-ancestor that a rule matches. The command line is the
//! one given at exec; programs rewrite their title soon after.

use std::collections::BTreeMap;

use regex::{RegexSet, RegexSetBuilder};

use crate::command_line::{CommandLine, is_shell};
use crate::ids::ProcessId;
use crate::stage_rule::StageRule;

/// What processes in no stage are shown under.
pub const OTHER: &str = "(other)";

/// Most rules of a config.
pub const MOST_RULES: usize = 200;

/// Most memory, in bytes, that the compiled expressions of all rules may take together. It bounds the time that a
/// command line takes, too: no longer than this times its length.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// Most stages that are told apart.
const MOST_STAGES: usize = 1000;

/// The stage of all marks after so many.
const MORE_MARKS: &str = "(more marks)";

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRules {
    /// More than [`MOST_RULES`].
    #[error("there are more than {MOST_RULES} {what}")]
    TooMany {
        /// What they name: stages or classes.
        what: &'static str,
    },
    /// One of the expressions is none, or they are too large together.
    #[error("the `match` of the {what} cannot be used: {error}")]
    Invalid {
        /// What they name.
        what: &'static str,
        /// Why.
        error: regex::Error,
    },
}

/// A stage: its place in [`Stages::names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId(u16);

impl StageId {
    #[cfg(test)]
    pub(crate) const fn for_test(index: u16) -> Self {
        Self(index)
    }

    /// The place in [`Stages::names`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The stage of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageOf {
    /// By a `build-mem stage` mark on itself or an ancestor: wins over every rule.
    marked: Option<StageId>,
    /// By a rule that its own command line matches.
    own: Option<StageId>,
    /// By its parent's stage when it was forked.
    inherited: Option<StageId>,
}

impl StageOf {
    /// The stage; `None` is [`OTHER`].
    pub fn stage(self) -> Option<StageId> {
        self.marked.or(self.own).or(self.inherited)
    }
}

/// The rules of one build, and the stages that were seen.
#[derive(Debug)]
pub struct Stages {
    names: Vec<String>,
    /// By precedence, highest first: the stages of `expressions`.
    rules: Vec<StageId>,
    expressions: Option<RegexSet>,
    automatic: BTreeMap<ProcessId, StageId>,
    /// The stages that came by marks, in the order of their first appearance.
    marks: Vec<StageId>,
}

impl Stages {
    /// With these rules, highest precedence first.
    pub fn from_rules(rules: &[StageRule]) -> Result<Self, InvalidRules> {
        let mut stages = Self::none();
        stages.expressions = compile_rules(rules, "stages")?;
        stages.rules = rules.iter().map(|rule| stages.intern(&rule.name)).collect();
        Ok(stages)
    }

    /// Without rules: only marks make stages.
    pub const fn none() -> Self {
        Self {
            names: Vec::new(),
            rules: Vec::new(),
            expressions: None,
            automatic: BTreeMap::new(),
            marks: Vec::new(),
        }
    }

    /// With these processes as the roots of stages, in the order of their start.
    pub fn automatic(roots: impl IntoIterator<Item = (ProcessId, String)>) -> Self {
        let mut stages = Self::none();
        for (process, name) in roots {
            let id = stages.intern(&name);
            stages.automatic.insert(process, id);
        }
        stages
    }

    /// The stages' names in the order of their ids.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A stage's name; [`OTHER`] for none.
    pub fn name(&self, stage: Option<StageId>) -> &str {
        match stage {
            Some(id) => self.names.get(id.index()).map_or(OTHER, String::as_str),
            None => OTHER,
        }
    }

    /// A stage's rank: the lower, the higher its precedence. Marks come before rules, later marks first.
    pub fn rank(&self, stage: StageId) -> usize {
        match self.marks.iter().rev().position(|mark| *mark == stage) {
            Some(position) => position,
            None => self.marks.len() + stage.index(),
        }
    }

    /// The stage of a new process.
    pub fn at_fork(&self, child: ProcessId, parent: Option<StageOf>) -> StageOf {
        let parent = parent.unwrap_or_default();
        StageOf {
            marked: parent.marked,
            own: self.automatic.get(&child).copied(),
            inherited: parent.own.or(parent.inherited),
        }
    }

    /// The stage of a process after an exec: evaluated anew.
    pub fn at_exec(&mut self, before: StageOf, argv: &CommandLine) -> StageOf {
        let marked = match mark_of(argv) {
            Some(name) => Some(self.mark(&name)),
            None => before.marked,
        };
        // Automatic stages belong to a process, not to its command line.
        let own = if self.automatic.is_empty() {
            self.by_rule(argv)
        } else {
            before.own
        };
        StageOf {
            marked,
            own,
            inherited: before.inherited,
        }
    }

    fn by_rule(&self, argv: &CommandLine) -> Option<StageId> {
        let matches = self.expressions.as_ref()?.matches(&argv.joined());
        let mut matching = matches.iter().map(|rule| self.rules[rule]);
        let first = matching.next()?;
        // The script of `sh -c "a && b && c"` names every stage of a chain; it is none of them.
        let names_a_chain = runs_script(argv) && matching.any(|id| id != first);
        if names_a_chain { None } else { Some(first) }
    }

    fn mark(&mut self, name: &str) -> StageId {
        let is_known = self.names.iter().any(|known| known == name);
        let id = if is_known || self.names.len() < MOST_STAGES {
            self.intern(name)
        } else {
            self.intern(MORE_MARKS)
        };
        if !self.marks.contains(&id) {
            self.marks.push(id);
        }
        id
    }

    fn intern(&mut self, name: &str) -> StageId {
        let known = self.names.iter().position(|known| known == name);
        let index = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        // There are never so many: MOST_STAGES.
        StageId(u16::try_from(index).unwrap_or(u16::MAX))
    }
}

/// The expressions of rules that name `what`; `None` without rules.
pub fn compile_rules(
    rules: &[StageRule],
    what: &'static str,
) -> Result<Option<RegexSet>, InvalidRules> {
    if rules.len() > MOST_RULES {
        return Err(InvalidRules::TooMany { what });
    }
    if rules.is_empty() {
        return Ok(None);
    }
    let patterns = rules.iter().map(|rule| rule.pattern.as_str());
    match compile(patterns) {
        Ok(expressions) => Ok(Some(expressions)),
        Err(error) => Err(InvalidRules::Invalid { what, error }),
    }
}

/// Compiles the expressions of rules within a memory limit; the `regex` crate matches in linear time.
pub fn compile<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<RegexSet, regex::Error> {
    RegexSetBuilder::new(patterns)
        .size_limit(REGEX_SIZE_LIMIT)
        .build()
}

/// The name in `build-mem stage NAME -- CMD`.
fn mark_of(argv: &CommandLine) -> Option<String> {
    let [_, command, name, ..] = argv.args.as_slice() else {
        return None;
    };
    if argv.program() != "build-mem" || command.0 != b"stage" {
        return None;
    }
    let name = name.lossy().into_owned();
    (!name.starts_with('-')).then_some(name)
}

/// Whether a shell runs a script given on its command line: `sh -c …`, `bash -lc …`.
fn runs_script(argv: &CommandLine) -> bool {
    is_shell(&argv.program())
        && argv
            .args
            .iter()
            .skip(1)
            .map_while(|arg| arg.0.strip_prefix(b"-"))
            .any(|flags| !flags.starts_with(b"-") && flags.contains(&b'c'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Stages {
        let rule = |name: &str, pattern: &str| StageRule {
            name: name.into(),
            pattern: pattern.into(),
        };
        Stages::from_rules(&[
            rule("next-build", r"next(\.js)? build"),
            rule("build-deps", "nx build-deps"),
            rule("assemblyscript", "build-assemblyscript"),
        ])
        .unwrap()
    }

    fn stage_of(stages: &mut Stages, args: &[&str], before: StageOf) -> String {
        let stage = stages
            .at_exec(before, &CommandLine::from_args(args.iter().copied()))
            .stage();
        stages.name(stage).to_owned()
    }

    #[test]
    fn the_root_shell_that_names_every_stage_is_none_of_them() {
        let chain =
            "npm run build-assemblyscript && npx nx build-deps server && next build --turbo";
        let mut stages = rules();
        assert_eq!(
            stage_of(&mut stages, &["sh", "-c", chain], StageOf::default()),
            OTHER
        );
        assert_eq!(
            stage_of(
                &mut stages,
                &["/bin/bash", "-lc", chain],
                StageOf::default()
            ),
            OTHER
        );
        assert_eq!(
            stage_of(&mut stages, &["sh", "-c", "next build"], StageOf::default()),
            "next-build"
        );
        // Not a shell that runs a script: the highest precedence wins.
        assert_eq!(
            stage_of(&mut stages, &["node", chain], StageOf::default()),
            "next-build"
        );
        assert_eq!(
            stage_of(&mut stages, &["sh", chain], StageOf::default()),
            "next-build"
        );
    }

    #[test]
    fn a_chain_stays_in_its_parents_stage() {
        let mut stages = rules();
        let parent = stages.at_exec(
            StageOf::default(),
            &CommandLine::from_args(["nx", "build-deps"]),
        );
        assert_eq!(
            stage_of(&mut stages, &["nx build-deps"], parent),
            "build-deps"
        );
        let child = stages.at_fork(ProcessId(7), Some(parent));
        assert_eq!(stages.name(child.stage()), "build-deps");
        assert_eq!(
            stage_of(
                &mut stages,
                &["sh", "-c", "nx build-deps; next build"],
                child
            ),
            "build-deps"
        );
    }

    #[test]
    fn a_reexec_is_evaluated_anew() {
        let mut stages = rules();
        let next = stages.at_exec(
            StageOf::default(),
            &CommandLine::from_args(["next", "build"]),
        );
        assert_eq!(stage_of(&mut stages, &["tsc"], next), OTHER);
    }

    #[test]
    fn a_mark_wins_over_every_rule_below_it() {
        let mut stages = rules();
        let marked = stages.at_exec(
            StageOf::default(),
            &CommandLine::from_args(["/usr/bin/build-mem", "stage", "docs", "--", "next", "build"]),
        );
        assert_eq!(stages.name(marked.stage()), "docs");
        let after = stages.at_exec(marked, &CommandLine::from_args(["next", "build"]));
        assert_eq!(stages.name(after.stage()), "docs");
        let child = stages.at_fork(ProcessId(1), Some(after));
        assert_eq!(stage_of(&mut stages, &["next", "build"], child), "docs");
        let docs = marked.stage().unwrap();
        assert_eq!(stages.rank(docs), 0);
    }

    #[test]
    fn marks_without_number_share_a_stage() {
        let mut stages = rules();
        for i in 0..5000 {
            let name = format!("s{i}");
            let args = ["build-mem", "stage", &name, "--", "true"];
            stages.at_exec(StageOf::default(), &CommandLine::from_args(args));
        }
        assert_eq!(stages.names().len(), MOST_STAGES + 1);
        let mut stage = |name| {
            let args = ["build-mem", "stage", name, "--", "true"];
            stage_of(&mut stages, &args, StageOf::default())
        };
        assert_eq!(stage("s7"), "s7");
        assert_eq!(stage("s4999"), "(more marks)");
    }

    #[test]
    fn the_order_of_the_rules_is_their_precedence() {
        let stages = rules();
        let ranks: Vec<usize> = (0..3).map(|id| stages.rank(StageId(id))).collect();
        assert_eq!(ranks, [0, 1, 2]);
    }
}
