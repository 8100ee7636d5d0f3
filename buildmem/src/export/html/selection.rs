//! Which processes are drawn one by one. A page of a hundred thousand bars is neither read nor opened: those are kept
//! that were there at the peak, that went wrong, the largest and the longest, each with who started it; the rest is
//! counted below the nearest process that is kept.

use std::cmp::Reverse;

use crate::history::{Counted, History, Life};
use crate::ids::ProcessId;

/// Processes that are drawn at the most.
pub const MOST_PROCESSES: usize = 8000;

/// The processes that are kept.
pub(super) struct Selection<'a> {
    /// In the order of their fork.
    pub(super) kept: Vec<&'a Life>,
    /// For each of them, the place of the nearest ancestor that is kept.
    pub(super) parents: Vec<Option<usize>>,
    /// What was left out, by the place of the nearest ancestor that is kept.
    pub(super) left_out: Vec<LeftOut>,
}

/// Processes that are not drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Below whom.
    pub(super) below: Option<usize>,
    /// How many, and how large.
    pub(super) counted: Counted,
}

impl<'a> Selection<'a> {
    /// Keeps no more than `most`.
    pub(super) fn new(history: &'a History, most: usize) -> Self {
        let lives = &history.lives;
        let parents = parents(lives);
        let is_kept = if lives.len() <= most {
            vec![true; lives.len()]
        } else {
            most_important(lives, &parents, most)
        };
        // Parents come before their children: one pass finds the nearest that is kept.
        let mut place = vec![None; lives.len()];
        let mut nearest: Vec<Option<usize>> = vec![None; lives.len()];
        let mut selection = Self {
            kept: Vec::new(),
            parents: Vec::new(),
            left_out: Vec::new(),
        };
        // One for each that is kept, and the last for those below none.
        let mut left_out: Vec<Counted> = Vec::new();
        let mut below_none = Counted::default();
        for (index, life) in lives.iter().enumerate() {
            let above = parents[index].and_then(|parent| place[parent].or(nearest[parent]));
            nearest[index] = above;
            if is_kept[index] {
                place[index] = Some(selection.kept.len());
                selection.kept.push(life);
                selection.parents.push(above);
                left_out.push(Counted::default());
            } else {
                let sum = match above {
                    Some(above) => &mut left_out[above],
                    None => &mut below_none,
                };
                sum.add(life.counted());
            }
        }
        for (above, counted) in &history.counted {
            let above = above.and_then(|id| place_of(lives, id));
            let above = above.and_then(|above| place[above].or(nearest[above]));
            let sum = match above {
                Some(above) => &mut left_out[above],
                None => &mut below_none,
            };
            sum.add(*counted);
        }
        let places = (0..selection.kept.len()).map(Some).chain([None]);
        selection.left_out = (places.zip(left_out.into_iter().chain([below_none])))
            .filter(|(_, counted)| counted.processes > 0)
            .map(|(below, counted)| LeftOut { below, counted })
            .collect();
        selection
    }

    /// Processes that are not drawn.
    pub(super) fn sum_left_out(&self) -> Counted {
        let mut sum = Counted::default();
        for left in &self.left_out {
            sum.add(left.counted);
        }
        sum
    }
}

/// The place of each process's parent in the list.
fn parents(lives: &[Life]) -> Vec<Option<usize>> {
    let parents = (lives.iter().enumerate())
        .map(|(index, life)| place_of(lives, life.parent?.0).filter(|parent| *parent < index));
    parents.collect()
}

fn place_of(lives: &[Life], id: ProcessId) -> Option<usize> {
    lives.binary_search_by_key(&id, |life| life.id).ok()
}

/// Marks the most important processes with their ancestors, no more than `most` of them together.
fn most_important(lives: &[Life], parents: &[Option<usize>], most: usize) -> Vec<bool> {
    let mut kept = vec![false; lives.len()];
    let mut count = 0;
    let mut keep = |index: usize, up_to: usize| {
        let mut next = Some(index);
        while let Some(index) = next.filter(|index| !kept[*index] && count < up_to) {
            kept[index] = true;
            count += 1;
            next = parents[index];
        }
    };
    let mut ordered: Vec<usize> = (0..lives.len()).collect();
    ordered.sort_by_key(|index| Reverse(lives[*index].at_peak.map(|held| held.pss)));
    for index in ordered
        .iter()
        .filter(|index| lives[**index].at_peak.is_some())
    {
        keep(*index, most / 4);
    }
    for index in (0..lives.len()).filter(|index| lives[*index].went_wrong()) {
        keep(index, most / 2);
    }
    ordered.sort_by_key(|index| Reverse(lives[*index].peak_rss()));
    for index in &ordered {
        keep(*index, most / 4 * 3);
    }
    ordered.sort_by_key(|index| Reverse(lives[*index].lifetime()));
    for index in &ordered {
        keep(*index, most);
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;
    use crate::command_line::CommandLine;
    use crate::history::Ran;
    use crate::ids::Tgid;
    use crate::units::{BootTime, ByteSize};

    /// A process of so many KiB, started by one before it, or by none.
    fn life(id: u32, parent: Option<u32>, kib: u64) -> Life {
        Life {
            id: ProcessId(id),
            tgid: Tgid(id + 100),
            parent: parent.map(|parent| (ProcessId(parent), Tgid(parent + 100))),
            stage: 0,
            class: 0,
            images: vec![Ran {
                at: BootTime::default(),
                argv: Rc::new(CommandLine::default()),
                peak_rss: Some(ByteSize::from_kib(kib)),
            }],
            execed: true,
            started: BootTime::default(),
            ended: None,
            seen_until: BootTime::from_nanos(kib),
            exit: None,
            highest_pss: None,
            at_peak: None,
            oom_killed: false,
        }
    }

    fn build(parents: &[Option<u32>], kib: impl Fn(u32) -> u64) -> History {
        let lives = parents.iter().zip(0..);
        History {
            lives: lives
                .map(|(parent, id)| life(id, *parent, kib(id)))
                .collect(),
            ..History::default()
        }
    }

    proptest! {
        #[test]
        fn every_process_is_drawn_or_counted_below_its_nearest_drawn_ancestor(
            ups in prop::collection::vec(0..6_u32, 1..60),
            sizes in prop::collection::vec(0..50_u64, 60),
            most in 1..40_usize,
        ) {
            // A process that would be its own parent has none.
            let parents: Vec<Option<u32>> = (0..).zip(&ups)
                .map(|(id, up): (u32, &u32)| id.checked_sub(*up).filter(|parent| *parent < id))
                .collect();
            let history = build(&parents, |id| sizes[id as usize]);
            let selection = Selection::new(&history, most);
            prop_assert!(selection.kept.len() <= most);
            let Counted { processes: left_out, largest } = selection.sum_left_out();
            prop_assert_eq!(selection.kept.len() as u64 + left_out, parents.len() as u64);
            prop_assert!(largest.is_some() == (left_out > 0));
            for (place, parent) in selection.parents.iter().enumerate() {
                prop_assert!(parent.is_none_or(|parent| parent < place));
            }
            for (life, parent) in selection.kept.iter().zip(&selection.parents) {
                let mut above = life.parent;
                while let Some((id, _)) = above {
                    if let Some(place) = selection.kept.iter().position(|it| it.id == id) {
                        prop_assert_eq!(Some(place), *parent);
                        break;
                    }
                    above = history.lives[id.index()].parent;
                }
                prop_assert!(above.is_some() || parent.is_none());
            }
        }
    }

    #[test]
    fn the_largest_is_drawn_with_all_who_led_to_it() {
        // Two hundred small ones below the first, and a chain to a large one.
        let mut parents = vec![None];
        parents.extend([Some(0); 200]);
        parents.extend([Some(0), Some(201), Some(202)]);
        let history = build(&parents, |id| if id == 203 { 9000 } else { 1 });
        let selection = Selection::new(&history, 20);
        let ids: Vec<usize> = selection.kept.iter().map(|life| life.id.index()).collect();
        assert!(
            [0, 201, 202, 203].iter().all(|id| ids.contains(id)),
            "{ids:?}"
        );
        let below_first = LeftOut {
            below: Some(0),
            counted: Counted {
                processes: 184,
                largest: Some(ByteSize::from_kib(1)),
            },
        };
        assert_eq!(selection.left_out, [below_first]);
    }

    #[test]
    fn what_was_only_counted_in_the_history_is_counted_on_the_page() {
        let mut history = build(&[None, Some(0), Some(1)], u64::from);
        let counted = Counted {
            processes: 7,
            largest: Some(ByteSize::from_kib(5)),
        };
        history.counted = [(Some(ProcessId(2)), counted), (None, counted)].into();
        let Selection { left_out, .. } = Selection::new(&history, 100);
        let below = |below| LeftOut { below, counted };
        assert_eq!(left_out, [below(Some(2)), below(None)]);
    }

    #[test]
    fn who_was_killed_for_want_of_memory_is_drawn_however_small() {
        let mut history = build(&[None; 500], u64::from);
        history.lives[3].oom_killed = true;
        let selection = Selection::new(&history, 20);
        assert!(selection.kept.iter().any(|life| life.oom_killed));
    }
}
