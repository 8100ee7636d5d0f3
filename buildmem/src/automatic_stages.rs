//! Stages of a build that has no rules: the sequential children at the first place where the process tree
//! branches. They are known only after the whole build was seen.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::{Event, EventKind};
use crate::ids::ProcessId;
use crate::stage_rule::StageRule;
use crate::stages::{InvalidRules, Stages};
use crate::tree::{Ended, Process, ProcessTree};
use crate::units::BootTime;

/// Finds the stages of a recording in a first look at its events.
#[derive(Debug)]
pub enum StageSearch {
    /// They are given by rules: there is nothing to find.
    Given(Stages),
    /// They are to be found.
    Automatic(Search),
}

/// A search under way.
#[derive(Debug)]
pub struct Search {
    tree: ProcessTree,
    /// When the build's own process was forked, and its end.
    root: Option<(BootTime, Option<BootTime>)>,
    /// The build's own process, and those that had lived long enough for a stage when they ended.
    ended: Vec<Lifetime>,
    last: BootTime,
    over: bool,
}

impl StageSearch {
    /// A search, unless there are rules.
    pub fn new(rules: &[StageRule]) -> Result<Self, InvalidRules> {
        if !rules.is_empty() {
            return Stages::from_rules(rules).map(Self::Given);
        }
        Ok(Self::Automatic(Search {
            tree: ProcessTree::new(Stages::none()),
            root: None,
            ended: Vec::new(),
            last: BootTime::default(),
            over: false,
        }))
    }

    /// Whether it can do without more events.
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Given(_) => true,
            Self::Automatic(search) => search.over,
        }
    }

    /// Takes in one event.
    pub fn apply(&mut self, event: &Event) {
        match self {
            Self::Given(_) => {}
            Self::Automatic(search) => search.apply(event),
        }
    }

    /// Takes in that something happened at that moment which does not matter otherwise.
    pub fn lasts_until(&mut self, at: BootTime) {
        match self {
            Self::Given(_) => {}
            Self::Automatic(search) => search.last = search.last.max(at),
        }
    }

    /// The stages.
    pub fn finish(self) -> Stages {
        match self {
            Self::Given(stages) => stages,
            Self::Automatic(search) => search.finish(),
        }
    }
}

impl Search {
    fn apply(&mut self, event: &Event) {
        if self.over {
            return;
        }
        self.last = self.last.max(event.at);
        if let Some(Ended { process, at, .. }) = self.tree.apply(event) {
            let is_root = process.id.index() == 0;
            if is_root {
                self.root = Some((process.started, Some(at)));
            }
            let lived = at.since(process.started);
            if is_root || lived.saturating_mul(LEAST_SHARE_OF_BUILD) >= self.so_far(at) {
                self.ended.push(Lifetime::of(&process, at));
            }
        }
        if self.root.is_none() {
            let root = self.tree.live().find(|process| process.id.index() == 0);
            self.root = root.map(|root| (root.started, None));
        }
        self.over = matches!(event.event, EventKind::BuildEnded { .. });
    }

    /// How long the build's own process has lived at that moment: it may live longer.
    fn so_far(&self, at: BootTime) -> Duration {
        self.root.map_or(Duration::ZERO, |(started, ended)| {
            ended.unwrap_or(at).min(at).since(started)
        })
    }

    fn finish(self) -> Stages {
        if !self.tree.stages().names().is_empty() {
            // `build-mem stage` marks are stages that somebody named: none are guessed beside them.
            return Stages::none();
        }
        let mut lifetimes = self.ended;
        lifetimes.extend(
            self.tree
                .live()
                .map(|process| Lifetime::of(process, self.last)),
        );
        lifetimes.sort_by_key(|process| process.id);
        Stages::automatic(find_automatic(&lifetimes))
    }
}

/// A process as far as the search for automatic stages needs it.
#[derive(Clone, Debug, PartialEq)]
struct Lifetime {
    /// The process.
    id: ProcessId,
    /// Who forked it.
    parent: Option<ProcessId>,
    /// Nanoseconds since boot.
    started: u64,
    /// Nanoseconds since boot; the end of the measurement for one that outlived it.
    ended: u64,
    /// What it is called.
    name: String,
}

/// A child that lives shorter than this part of the build is a helper (`mkdir`, `git rev-parse`), not a stage.
const LEAST_SHARE_OF_BUILD: u32 = 100;

/// Children that cover less than one part in this many of the build are a start-up phase, not its stages.
const LEAST_COVERAGE: u64 = 2;

/// More sequential children than that are the steps of a script, not stages that a person would name.
const MOST_AUTOMATIC_STAGES: usize = 12;

/// The sequential children at the first place where the tree branches.
///
/// Nothing is found where the children overlap (`make -j`): there are no stages then, only processes.
fn find_automatic(processes: &[Lifetime]) -> Vec<(ProcessId, String)> {
    let Some(root) = processes.first() else {
        return Vec::new();
    };
    let whole = root.lived();
    let mut children: BTreeMap<ProcessId, Vec<&Lifetime>> = BTreeMap::new();
    for process in processes {
        if let Some(parent) = process.parent
            && process.lived().saturating_mul(LEAST_SHARE_OF_BUILD.into()) >= whole
        {
            children.entry(parent).or_default().push(process);
        }
    }
    let mut place = root.id;
    let branches = loop {
        match children.get(&place).map(Vec::as_slice) {
            // A child was forked after its parent, so this ends.
            Some([only]) => place = only.id,
            Some(several) => break several,
            None => return Vec::new(),
        }
    };
    let mut in_order = branches.to_vec();
    in_order.sort_by_key(|child| (child.started, child.id));
    let sequential = in_order
        .windows(2)
        .all(|pair| pair[0].ended <= pair[1].started);
    let covered: u64 = in_order.iter().map(|child| child.lived()).sum();
    if !sequential
        || in_order.len() > MOST_AUTOMATIC_STAGES
        || covered.saturating_mul(LEAST_COVERAGE) < whole
    {
        return Vec::new();
    }
    in_order
        .into_iter()
        .map(|child| (child.id, child.name.clone()))
        .collect()
}

impl Lifetime {
    fn lived(&self) -> u64 {
        self.ended.saturating_sub(self.started)
    }

    fn of(process: &Process, ended: BootTime) -> Self {
        Self {
            id: process.id,
            parent: process.parent.map(|(id, _)| id),
            started: process.started.nanos(),
            ended: ended.nanos(),
            name: process.argv().short_form(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::Tgid;
    use crate::reading::Reading;

    fn lived(id: u32, parent: u32, started: u64, ended: u64) -> Lifetime {
        let parent = (id != parent).then_some(ProcessId(parent));
        Lifetime {
            id: ProcessId(id),
            parent,
            started,
            ended,
            name: format!("p{id}"),
        }
    }

    #[test]
    fn automatic_stages_are_the_sequential_children_at_the_first_branch() {
        let found = find_automatic(&[
            lived(0, 0, 0, 10_000),
            lived(1, 0, 10, 9_990),
            lived(2, 1, 20, 40), // a helper
            lived(3, 1, 50, 3_000),
            lived(4, 3, 60, 2_000),
            lived(5, 1, 3_000, 9_000),
        ]);
        let names: Vec<&str> = found.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["p3", "p5"]);
    }

    #[test]
    fn children_that_cover_little_of_the_build_are_no_stages() {
        let start_up = [
            lived(0, 0, 0, 1000),
            lived(1, 0, 0, 100),
            lived(2, 0, 100, 300),
        ];
        assert_eq!(find_automatic(&start_up), []);
    }

    #[test]
    fn overlapping_children_are_no_stages() {
        assert_eq!(
            find_automatic(&[
                lived(0, 0, 0, 1000),
                lived(1, 0, 0, 600),
                lived(2, 0, 500, 1000)
            ]),
            []
        );
        assert_eq!(find_automatic(&[]), []);
    }

    /// A build of as many processes as there are lives: who forks it, how long it waits for its turn, and how long it lives.
    fn events(lives: &[(usize, u64, u64)]) -> Vec<Event> {
        let tgid = |place: usize| Tgid(u32::try_from(place + 1).unwrap());
        let mut events = Vec::new();
        let mut at = 0;
        for (place, (parent, waits, lives)) in lives.iter().enumerate() {
            at += waits;
            let forked = EventKind::Forked {
                parent: tgid(parent % place.max(1)),
                child: tgid(place),
                shares_mm: false,
            };
            let exited = EventKind::Exited {
                tgid: tgid(place),
                status: None,
                rss_high_water: Reading::missing("x"),
            };
            events.push(Event::new(BootTime::from_nanos(at), forked));
            events.push(Event::new(BootTime::from_nanos(at + lives), exited));
        }
        events.sort_by_key(|event| event.at);
        events
    }

    proptest! {
        #[test]
        fn who_was_too_short_lived_when_it_ended_is_not_missed_later(
            lives in prop::collection::vec((0_usize..4, 0_u64..200, 0_u64..3000), 1..12),
        ) {
            let mut lives = lives;
            // The build's own process, which outlives most.
            lives[0].2 *= 4;
            let StageSearch::Automatic(mut search) = StageSearch::new(&[]).unwrap() else {
                panic!("there are no rules");
            };
            let mut tree = ProcessTree::new(Stages::none());
            let mut all = Vec::new();
            for event in events(&lives) {
                search.apply(&event);
                all.extend(tree.apply(&event).map(|end| Lifetime::of(&end.process, end.at)));
            }
            all.sort_by_key(|process| process.id);
            search.ended.sort_by_key(|process| process.id);
            prop_assert_eq!(find_automatic(&search.ended), find_automatic(&all));
        }
    }
}
