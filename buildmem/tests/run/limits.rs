//! `--memory`, a ceiling, and `--budget`, which enforces nothing.

use buildmem::report::{Pressure, Verdict};

use crate::tool::{MIB, Project, Ran, workload};

/// Runs a script under options, with the workload as `$0`.
fn run(options: &[&str], script: &str) -> Ran {
    let project = Project::new();
    let mut arguments = vec!["run", "--label", "x"];
    arguments.extend(options);
    arguments.extend(["--", "sh", "-c", script, workload().to_str().unwrap()]);
    project.ran(arguments)
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_build_that_wants_more_than_its_ceiling_is_out_of_memory() {
    let ran = run(&["--memory", "100m"], r#""$0" touch 300; exit $?"#);
    assert_eq!(ran.code(), 137, "{}", ran.stderr());
    let report = ran.report();
    assert_eq!(report.verdict, Verdict::OutOfMemory);
    assert_eq!(report.oom.kills, Some(1));
    let [victim] = report.oom.victims.as_slice() else {
        panic!("{:?}", report.oom)
    };
    assert!(victim.command.ends_with(" touch 300"), "{victim:?}");
    assert_eq!(victim.stage, "(other)");
    assert!(report.headline.saturated, "{:?}", report.headline);
    assert_eq!(report.headline.limit_bytes, Some(100 * MIB));
    assert!(ran.stderr().contains("out of memory"), "{}", ran.stderr());
    let Pressure {
        swap_peak_bytes,
        stalled_some_s,
        stalled_full_s,
        events,
        major_faults,
        refaults_file,
        refaults_anon: _,
    } = &report.pressure;
    let noted = |part: &str| {
        let what = format!("pressure.{part}");
        report.notes.iter().any(|note| note.what == what)
    };
    // Linux 6.5 and later have it on v2.
    assert_eq!(swap_peak_bytes.is_none(), noted("swap_peak_bytes"));
    assert!(major_faults.is_some());
    assert_eq!(refaults_file.is_none(), noted("refaults_file"));
    if report.host.cgroup_version == Some(1) {
        assert_eq!((stalled_some_s, events), (&None, &None));
        assert!(noted("stalled_some_s") && noted("events"));
        return;
    }
    let events = events.as_ref().unwrap();
    assert_eq!(events["oom_kill"], 1, "{events:?}");
    assert!(events["max"] > 0, "{events:?}");
    let (some, full) = (stalled_some_s.unwrap(), stalled_full_s.unwrap());
    assert!(full <= some && some <= report.duration_s, "{some} {full}");
}

/// A file is read over and over that does not fit.
#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_time_that_a_build_waits_for_memory_is_told() {
    let script = "dd if=/dev/zero of=file bs=1M count=80 status=none
        for i in 1 2 3 4 5; do cat file > /dev/null; done; exit $?";
    let ran = run(&["--memory", "40m"], script);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    assert!(report.headline.saturated, "{:?}", report.headline);
    if report.host.cgroup_version == Some(2) {
        let some = report.pressure.stalled_some_s.unwrap();
        assert!(some > 0.0 && some < report.duration_s, "{some}");
        assert!(report.pressure.events.unwrap()["max"] > 0);
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_build_that_fits_under_its_ceiling_passes() {
    let ran = run(&["--memory", "200MiB"], r#""$0" hold 20 300"#);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    assert_eq!(report.verdict, Verdict::Pass);
    assert!(!report.headline.saturated);
    assert_eq!(report.headline.limit_bytes, Some(200 * MIB));
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_sigkill_that_is_not_the_kernels_is_no_want_of_memory() {
    for script in ["kill -KILL $$", "sh -c 'kill -KILL $$'; exit $?"] {
        let ran = run(&["--memory", "500m"], script);
        assert_eq!(ran.code(), 137, "{}", ran.stderr());
        assert_eq!(ran.report().verdict, Verdict::BuildKilled, "{script}");
        let text = ran.stderr();
        assert!(text.contains("not for want of memory"), "{text}");
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_build_over_its_budget_ends_with_122_and_tells_by_how_much_and_where() {
    let script = r#""$0" hold 60 400; "$0" hold 20 300; exit 0"#;
    let ran = run(&["--budget", "50MiB"], script);
    assert_eq!(ran.code(), 122, "{}", ran.stderr());
    let report = ran.report();
    assert_eq!(report.verdict, Verdict::OverBudget);
    // Nothing is enforced.
    assert_eq!(report.exit.code, Some(0));
    let budget = report.budget.unwrap();
    let over = budget.exceeded_by_bytes.unwrap();
    assert_eq!(over, report.headline.bytes.unwrap() - 50 * MIB);
    assert!((10 * MIB..16 * MIB).contains(&over), "{over}");
    assert_eq!(budget.stage.as_deref(), Some("workload hold 60 400"));
    // Wrapped to the width of the page.
    let text = ran.stderr();
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    assert!(text.contains("would exceed by 1"), "{text}");
    assert!(text.contains("in stage workload hold 60 400"), "{text}");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_build_within_its_budget_passes_and_a_failed_one_keeps_its_code() {
    let ran = run(&["--budget", "1g"], r#""$0" hold 20 300"#);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    assert_eq!(ran.report().budget.unwrap().exceeded_by_bytes, Some(0));
    let ran = run(&["--budget", "10m"], r#""$0" hold 20 300; exit 3"#);
    assert_eq!(ran.code(), 3, "{}", ran.stderr());
    let report = ran.report();
    assert_eq!(report.verdict, Verdict::BuildFailed);
    assert!(report.budget.unwrap().exceeded_by_bytes > Some(0));
}

#[test]
fn a_size_that_is_none_is_refused() {
    for option in ["--memory", "--budget"] {
        let ran = run(&[option, "lots"], "true");
        assert_eq!(ran.code(), 125, "{}", ran.stderr());
        assert!(ran.stderr().contains("lots"), "{}", ran.stderr());
    }
}
