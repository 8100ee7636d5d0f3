use proptest::prelude::*;

use super::*;

/// A build that needs so much, and at how much its time is what it is without a limit.
#[derive(Clone, Copy, Debug)]
struct Simulated {
    needs: u64,
    held_without_cache: u64,
    headline: u64,
    /// Below this limit it takes half as long again.
    fast_from: u64,
}

fn plan() -> Plan {
    Plan {
        from_bytes: None,
        to_bytes: None,
        resolution_bytes: None,
        swap_bytes: 0,
        max_builds: 8,
    }
}

fn step(limit: Option<u64>, outcome: Outcome, duration_s: f64) -> Step {
    Step {
        label: String::new(),
        limit_bytes: limit,
        reason: String::new(),
        outcome,
        detail: String::new(),
        verdict: Verdict::Pass,
        exit_code: 0,
        duration_s,
        headline_bytes: None,
        without_cache_bytes: None,
        price: Price::default(),
    }
}

impl Simulated {
    fn base(self) -> Step {
        Step {
            headline_bytes: Some(self.headline),
            without_cache_bytes: Some(self.held_without_cache),
            ..step(None, Outcome::Passed, 10.0)
        }
    }

    /// `luck` moves what it needs this time by so many MiB.
    fn build(self, limit: u64, luck: i64) -> Step {
        let needs = self.needs.saturating_add_signed(luck << 20);
        let (outcome, duration_s) = match limit {
            limit if limit < needs => (Outcome::TooLittle, 3.0),
            limit if limit < self.fast_from => (Outcome::Passed, 15.0),
            _ => (Outcome::Passed, 10.0),
        };
        step(Some(limit), outcome, duration_s)
    }

    /// All that a search with this plan builds.
    fn search(self, plan: &Plan, mut luck: impl FnMut() -> i64) -> (Vec<Step>, Conclusion) {
        let base = self.base();
        let mut steps = Vec::new();
        while let Next::Build { limit, reason } = next(plan, &base, &steps) {
            assert!(!reason.is_empty());
            assert!((steps.len() as u64) < plan.max_builds, "it does not end");
            steps.push(self.build(limit.bytes(), luck()));
        }
        let conclusion = conclude(plan, &base, &steps);
        (steps, conclusion)
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive sizes far below 2^53"
)]
fn simulated() -> impl Strategy<Value = Simulated> {
    // Mostly near what it held, at times far away.
    (
        20_u64..20_000,
        prop_oneof![3 => 0.95..1.1_f64, 1 => 0.3..3.0_f64],
        1.0..4.0_f64,
        1.0..2.0_f64,
    )
        .prop_map(|(held, needs, headline, fast)| {
            let of = |part: f64| (held as f64 * part) as u64 * MIB + 12_345;
            let headline = of(headline);
            let needs = of(needs).min(headline);
            Simulated {
                needs,
                held_without_cache: of(1.0).min(headline),
                headline,
                fast_from: ((needs as f64 * fast) as u64).min(headline),
            }
        })
}

const ENOUGH: u64 = 40;

proptest! {
    #[test]
    fn a_build_that_always_needs_the_same_is_found_to_the_resolution(build in simulated()) {
        let plan = Plan { max_builds: ENOUGH, ..plan() };
        let (steps, conclusion) = build.search(&plan, || 0);
        prop_assert_eq!(conclusion.end, End::Found);
        let found = conclusion.smallest.unwrap();
        let low = conclusion.too_little_bytes.unwrap_or(0);
        prop_assert!(low < build.needs && build.needs <= found.limit_bytes);
        let resolution = rounded_up(found.limit_bytes / 50).max(4 * MIB);
        prop_assert!(found.limit_bytes - low <= resolution, "{} {}", low, found.limit_bytes);
        prop_assert!(found.is_confirmed() && found.passes >= 2);
        prop_assert!(steps.len() <= 25, "{} builds", steps.len());
    }

    /// As a file may say that others have written.
    #[test]
    fn whatever_the_steps_are_there_is_an_answer(
        steps in prop::collection::vec((prop::option::of(any::<u64>()), 0..3_u8, any::<f64>()), 0..12),
        headline in prop::option::of(any::<u64>()),
        held in prop::option::of(any::<u64>()),
        range in prop::option::of((any::<u64>(), any::<u64>())),
        resolution in prop::option::of(any::<u64>()),
        max_builds in any::<u64>(),
    ) {
        let outcomes = [Outcome::Passed, Outcome::TooLittle, Outcome::Failed];
        let steps: Vec<Step> = (steps.into_iter())
            .map(|(limit, outcome, seconds)| step(limit, outcomes[usize::from(outcome)], seconds))
            .collect();
        let base = Step {
            headline_bytes: headline,
            without_cache_bytes: held,
            ..step(None, Outcome::Passed, 10.0)
        };
        let plan = Plan {
            from_bytes: range.map(|(from, _)| from),
            to_bytes: range.map(|(_, to)| to),
            resolution_bytes: resolution,
            max_builds,
            swap_bytes: 0,
        };
        conclude(&plan, &base, &steps);
    }

    #[test]
    fn what_was_too_little_is_not_tried_again_and_limits_are_whole_mib(build in simulated()) {
        let (steps, _) = build.search(&Plan { max_builds: ENOUGH, ..plan() }, || 0);
        let mut too_little = Vec::new();
        for step in steps {
            let limit = step.limit();
            prop_assert_eq!(limit % MIB, 0);
            prop_assert!(!too_little.contains(&limit), "{} again", limit);
            if step.outcome == Outcome::TooLittle {
                too_little.push(limit);
            }
        }
    }

    #[test]
    fn the_builds_are_bounded_and_what_is_known_is_true(build in simulated(), max_builds in 1_u64..10) {
        let plan = Plan { max_builds, ..plan() };
        let (steps, conclusion) = build.search(&plan, || 0);
        prop_assert!(steps.len() as u64 <= max_builds.saturating_sub(1));
        if let Some(found) = conclusion.smallest {
            prop_assert!(found.limit_bytes >= build.needs);
        }
        prop_assert!(conclusion.too_little_bytes.unwrap_or(0) < build.needs);
        prop_assert!(matches!(conclusion.end, End::Found | End::OutOfBuilds));
    }

    #[test]
    fn no_limit_outside_of_the_range_is_tried(
        build in simulated(), from in 1_u64..10_000, more in 0_u64..10_000,
    ) {
        let (from, to) = (from * MIB, (from + more) * MIB);
        let plan = Plan { from_bytes: Some(from), to_bytes: Some(to), max_builds: ENOUGH, ..plan() };
        let (steps, conclusion) = build.search(&plan, || 0);
        for step in &steps {
            prop_assert!((from..=to).contains(&step.limit()), "{}", step.limit());
        }
        if build.needs > to {
            prop_assert_eq!(conclusion.end, End::NotWithinRange);
            prop_assert_eq!(conclusion.smallest, None);
        } else {
            prop_assert_eq!(conclusion.end, End::Found);
        }
    }

    #[test]
    fn a_build_that_needs_now_more_and_now_less_ends_above_all_that_was_too_little(
        build in simulated(), luck in prop::collection::vec(-12_i64..=12, 100),
    ) {
        let mut luck = luck.into_iter().cycle();
        let plan = Plan { max_builds: 60, ..plan() };
        let (steps, conclusion) = build.search(&plan, || luck.next().unwrap());
        let found = conclusion.smallest.unwrap();
        for step in steps.iter().filter(|step| step.outcome == Outcome::TooLittle) {
            prop_assert!(step.limit() < found.limit_bytes);
        }
        if conclusion.end == End::Found {
            prop_assert!(found.passes >= 2);
        }
    }

    #[test]
    fn the_recommended_limit_is_as_fast_as_none_and_the_smallest_is_not_above_it(build in simulated()) {
        let (steps, conclusion) = build.search(&Plan { max_builds: ENOUGH, ..plan() }, || 0);
        let (found, recommended) = (conclusion.smallest.unwrap(), conclusion.recommended.unwrap());
        prop_assert!(recommended.limit_bytes >= found.limit_bytes);
        prop_assert!(recommended.slowdown <= TOLERATED_SLOWDOWN);
        // A slow one is not far below.
        let slow = (steps.iter())
            .filter(|step| step.outcome == Outcome::Passed && step.duration_s > 10.5)
            .map(Step::limit)
            .max();
        if let Some(slow) = slow {
            let near = (recommended.limit_bytes / 20).max(8 * MIB) + recommended.limit_bytes / 25;
            prop_assert!(recommended.limit_bytes - slow <= near);
        }
    }
}

/// The limits that are tried in turn, in MiB, with what became of them.
fn tried(steps: &[Step]) -> Vec<(u64, bool)> {
    let of = |step: &Step| (step.limit() / MIB, step.outcome == Outcome::Passed);
    steps.iter().map(of).collect()
}

const OF_1_GIB: Simulated = Simulated {
    needs: 1030 * MIB,
    held_without_cache: 1000 * MIB,
    headline: 1800 * MIB,
    fast_from: 1300 * MIB,
};

#[test]
fn a_usual_search_takes_eight_builds() {
    let (steps, conclusion) = OF_1_GIB.search(&plan(), || 0);
    let expected = [
        (1000, false),
        (1040, true),
        (1020, false),
        (1040, true),
        (1420, true),
        (1230, true),
        (1325, true),
    ];
    assert_eq!(tried(&steps), expected);
    assert_eq!(conclusion.end, End::OutOfBuilds);
    let (smallest, recommended) = (
        conclusion.smallest.unwrap(),
        conclusion.recommended.unwrap(),
    );
    assert_eq!(
        (smallest.limit_bytes, smallest.passes),
        (1040 * MIB, PASSES)
    );
    assert_eq!(conclusion.too_little_bytes, Some(1020 * MIB));
    assert!((smallest.slowdown - 0.5).abs() < 1e-9);
    assert_eq!(recommended.limit_bytes, 1325 * MIB);
    assert!(!recommended.is_confirmed());
}

#[test]
fn a_limit_that_passes_by_chance_is_found_out_and_given_up() {
    // Needs 12 MiB less in the second build alone.
    let mut luck = [0, -12].into_iter();
    let build = Simulated {
        needs: 1045 * MIB,
        ..OF_1_GIB
    };
    let plan = Plan {
        max_builds: ENOUGH,
        ..plan()
    };
    let (steps, conclusion) = build.search(&plan, || luck.next().unwrap_or(0));
    assert_eq!(
        tried(&steps)[..4],
        [(1000, false), (1040, true), (1020, false), (1040, false)]
    );
    let found = conclusion.smallest.unwrap();
    assert!(found.limit_bytes > 1045 * MIB && found.passes >= 2);
    assert_eq!(conclusion.end, End::Found);
}

#[test]
fn a_failure_that_is_none_of_memory_ends_the_search() {
    let base = OF_1_GIB.base();
    let failed = step(Some(1000 * MIB), Outcome::Failed, 1.0);
    assert_eq!(
        next(&plan(), &base, &[failed]),
        Next::End(End::FailedOtherwise)
    );
    let base = step(None, Outcome::Failed, 1.0);
    assert_eq!(next(&plan(), &base, &[]), Next::End(End::FailsWithoutLimit));
}

#[test]
fn a_search_goes_on_where_it_was_stopped() {
    let (whole, _) = OF_1_GIB.search(&plan(), || 0);
    for stopped in 0..whole.len() {
        let Next::Build { limit, .. } = next(&plan(), &OF_1_GIB.base(), &whole[..stopped]) else {
            panic!("it ends after {stopped}");
        };
        assert_eq!(limit.bytes(), whole[stopped].limit());
    }
}

#[test]
fn a_headline_that_is_just_too_low_is_passed_by() {
    let build = Simulated {
        needs: 1810 * MIB,
        ..OF_1_GIB
    };
    let plan = Plan {
        max_builds: ENOUGH,
        ..plan()
    };
    let (_, conclusion) = build.search(&plan, || 0);
    assert_eq!(conclusion.end, End::Found);
    let found = conclusion.smallest.unwrap().limit_bytes;
    assert!((1810 * MIB..1850 * MIB).contains(&found), "{}", found / MIB);
}
