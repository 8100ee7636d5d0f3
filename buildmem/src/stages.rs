//! Which stage of the build a process belongs to: by rules over its command line, by `build-mem stage` marks,
//! or found automatically.
//!
//! A process belongs to the stage of its nearest self-or-ancestor that a rule matches. The command line is the
//! one given at exec; programs rewrite their title soon after.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};

use crate::command_line::CommandLine;
use crate::ids::ProcessId;
use crate::stage_rule::StageRule;

/// What processes in no stage are shown under.
pub const OTHER: &str = "(other)";

/// Most memory, in bytes, that one rule's compiled expression may take.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// Why a rule cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the stage `{name}` has no valid `match`: {cause}")]
pub struct InvalidRule {
    /// The stage.
    pub name: String,
    /// What is wrong with its expression.
    pub cause: regex::Error,
}

/// A stage: its place in [`Stages::names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId(u16);

impl StageId {
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
    /// By precedence, highest first.
    rules: Vec<(StageId, Regex)>,
    automatic: BTreeMap<ProcessId, StageId>,
    /// The stages that came by marks, in the order of their first appearance.
    marks: Vec<StageId>,
}

impl Stages {
    /// With these rules, highest precedence first.
    pub fn from_rules(rules: &[StageRule]) -> Result<Self, InvalidRule> {
        let mut stages = Self::none();
        for StageRule { name, pattern } in rules {
            let regex = compile(pattern).map_err(|cause| InvalidRule {
                name: name.clone(),
                cause,
            })?;
            let id = stages.intern(name);
            stages.rules.push((id, regex));
        }
        Ok(stages)
    }

    /// Without rules: only marks make stages.
    pub const fn none() -> Self {
        Self {
            names: Vec::new(),
            rules: Vec::new(),
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
        if self.rules.is_empty() {
            return None;
        }
        let line = argv.joined();
        let mut matching = self
            .rules
            .iter()
            .filter(|(_, regex)| regex.is_match(&line))
            .map(|(id, _)| *id);
        let first = matching.next()?;
        // The script of `sh -c "a && b && c"` names every stage of a chain; it is none of them.
        let names_a_chain = runs_script(argv) && matching.any(|id| id != first);
        if names_a_chain { None } else { Some(first) }
    }

    fn mark(&mut self, name: &str) -> StageId {
        let id = self.intern(name);
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
        // More stages than that share the last id: a config is refused long before, and a build that marks
        // 65,535 different stages has no use for a table of them.
        StageId(u16::try_from(index).unwrap_or(u16::MAX))
    }
}

/// Compiles a rule's expression within a memory limit; the `regex` crate matches in linear time.
pub fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
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
    const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "ksh", "ash", "fish"];
    // A login shell's name begins with `-`.
    let program = argv.program();
    SHELLS.contains(&program.trim_start_matches('-'))
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
    fn the_order_of_the_rules_is_their_precedence() {
        let stages = rules();
        let ranks: Vec<usize> = (0..3).map(|id| stages.rank(StageId(id))).collect();
        assert_eq!(ranks, [0, 1, 2]);
    }
}
