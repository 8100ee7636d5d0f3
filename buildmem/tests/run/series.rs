//! `--runs`, `--warmup` and `--prepare`: several runs, one result.

use std::fs;
use std::os::unix::process::CommandExt as _;

use buildmem::report::{Report, Verdict};
use buildmem::series::Series;
use nix::sys::signal::{Signal, killpg};

use crate::tool::{MIB, Project, Ran, Running, mib, nix_pid, workload};

/// Measures a script of `sh -c` under the label `x`, in which `$0` is the workload.
fn series(project: &Project, options: &[&str], script: &str) -> Ran {
    let script = format!("{script}\nexit $?");
    let arguments = ["run", "--label", "x"].iter().chain(options);
    let command = ["--", "sh", "-c", &script, workload().to_str().unwrap()];
    project.ran(arguments.copied().chain(command))
}

/// The one result line's content.
fn told(ran: &Ran) -> Series {
    let stdout = ran.stdout();
    let lines: Vec<&str> = (stdout.lines())
        .filter_map(|line| line.strip_prefix("[BUILD-MEM RESULT] "))
        .collect();
    let [line] = lines.as_slice() else {
        panic!("{stdout}{}", ran.stderr())
    };
    serde_json::from_str(line).unwrap()
}

fn kept(project: &Project) -> Series {
    serde_json::from_str(&project.read(".build-mem/series-x.json")).unwrap()
}

/// The names of the files of all runs.
fn files(project: &Project) -> Vec<String> {
    let entries = fs::read_dir(project.path(".build-mem")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".gitignore")
        .collect();
    names.sort();
    names
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn each_run_is_a_recording_and_the_series_holds_all_figures_of_them() {
    let project = Project::new();
    // Of each run's own size: 40, 60 and 80 MiB.
    let script = r#"echo built; echo >> n; "$0" hold $((20 + 20 * $(wc -l < n))) 200"#;
    let ran = series(&project, &["--runs", "3"], script);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let series = told(&ran);
    assert_eq!(series, kept(&project));
    assert_eq!(series.verdict, Verdict::Pass);
    assert_eq!(series.runs, ["x.1", "x.2", "x.3"]);
    let headlines: Vec<u64> = (series.samples.iter())
        .map(|run| run.headline_bytes.unwrap())
        .collect();
    for (run, (headline, expected)) in series
        .runs
        .iter()
        .zip(headlines.iter().zip([40.0, 60.0, 80.0]))
    {
        let measured = mib(*headline);
        assert!(
            (expected..expected + 12.0).contains(&measured),
            "{measured}"
        );
        let result = project.read(&format!(".build-mem/result-{run}.json"));
        let report: Report = serde_json::from_str(&result).unwrap();
        assert_eq!(report.headline.bytes, Some(*headline));
        assert_eq!(&report.label, run);
        assert!(
            project
                .path(&format!(".build-mem/recording-{run}.jsonl"))
                .exists()
        );
    }
    let spread = series.statistics.headline.unwrap();
    assert_eq!(
        (
            spread.runs,
            spread.min_bytes,
            spread.median_bytes,
            spread.max_bytes
        ),
        (3, headlines[0], headlines[1], headlines[2])
    );
    assert!(series.samples.iter().all(|run| run.duration_s > 0.19));
    assert!(series.samples.iter().all(|run| run.other_cpus.is_some()));
    // The build's own output is what it always is.
    assert_eq!(ran.stdout().matches("built\n").count(), 3);
    let stderr = ran.stderr();
    assert!(stderr.contains("run 2 of 3: "), "{stderr}");
    assert!(stderr.contains("3 runs passed"), "{stderr}");
    // One summary, not four.
    assert_eq!(stderr.matches("Result: ").count(), 0, "{stderr}");
    let shown = project.ran(["report", "x"]).stdout();
    assert!(shown.contains("3 runs passed"), "{shown}");
    let list = project.ran(["list"]).stdout();
    let line = list.lines().find(|line| line.starts_with("x ")).unwrap();
    assert!(line.contains("median of 3 runs: "), "{list}");
    assert_eq!(
        list.lines().filter(|line| line.starts_with("  x.")).count(),
        3
    );
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn every_run_is_prepared_and_warm_ups_do_not_count() {
    let project = Project::new();
    // Both write: the preparation what the build then finds.
    let script = r#"test -e prepared || exit 3; rm prepared; echo >> builds; "$0" hold 20 50"#;
    let prepare = "echo >> preparations; touch prepared; echo so prepared";
    let ran = series(
        &project,
        &["-r", "2", "-w", "2", "-p", prepare, "--quiet"],
        script,
    );
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let series = told(&ran);
    assert_eq!((series.warmup, series.warmups.len()), (2, 2));
    assert_eq!(series.runs, ["x.1", "x.2"]);
    assert_eq!(series.prepare.as_deref(), Some(prepare));
    assert_eq!(project.read("builds").lines().count(), 4);
    assert_eq!(project.read("preparations").lines().count(), 4);
    assert!(!files(&project).iter().any(|name| name.contains(".w")));
    // Its output is not the build's.
    assert!(!ran.stdout().lines().any(|line| line == "so prepared"));
    assert_eq!(ran.stderr().matches("so prepared").count(), 4);

    let failing = series_of_failing_preparation(&project);
    assert_eq!(failing.code(), 125, "{}", failing.stderr());
    assert!(
        failing.stderr().contains("exited with 7"),
        "{}",
        failing.stderr()
    );
}

fn series_of_failing_preparation(project: &Project) -> Ran {
    series(project, &["--force", "-r", "2", "-p", "exit 7"], "true")
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_first_run_that_fails_ends_the_series_with_its_code() {
    let project = Project::new();
    let script = r#"echo >> n; test $(wc -l < n) -lt 2 || exit 9; "$0" touch 20"#;
    let ran = series(&project, &["--runs", "5"], script);
    assert_eq!(ran.code(), 9, "{}", ran.stderr());
    let series = told(&ran);
    assert_eq!(series.verdict, Verdict::BuildFailed);
    assert_eq!(series.runs, ["x.1", "x.2"]);
    assert_eq!(series.samples[1].exit_code, 9);
    // What failed is another build.
    assert_eq!(series.statistics.headline.unwrap().runs, 1);
    assert_eq!(project.read("n").lines().count(), 2);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn what_cannot_be_run_is_told_once_and_leaves_nothing() {
    let project = Project::new();
    let ran = project.ran(["run", "--label", "x", "-r", "3", "--", "./no-such-program"]);
    assert_eq!(ran.code(), 127, "{}", ran.stderr());
    assert_eq!(
        ran.stderr().matches("error: ").count(),
        1,
        "{}",
        ran.stderr()
    );
    assert!(!ran.stdout().contains("BUILD-MEM RESULT"));
    assert_eq!(files(&project), [""; 0]);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_budget_is_the_medians() {
    let project = Project::new();
    // 40, 10 and 10 MiB.
    let script =
        r#"echo >> n; test $(wc -l < n) -gt 1 || exec "$0" hold 40 100; exec "$0" hold 10 100"#;
    let within = series(&project, &["-r", "3", "--budget", "30MiB"], script);
    assert_eq!(within.code(), 0, "{}", within.stderr());
    assert_eq!(told(&within).budget.unwrap().exceeded_by_bytes, Some(0));

    let script = r#""$0" hold 40 100"#;
    let over = series(
        &project,
        &["-r", "3", "--budget", "30MiB", "--force"],
        script,
    );
    assert_eq!(over.code(), 122, "{}", over.stderr());
    let series = told(&over);
    assert_eq!(series.verdict, Verdict::OverBudget);
    let exceeded = series.budget.unwrap().exceeded_by_bytes.unwrap();
    assert_eq!(
        exceeded,
        series.statistics.headline.unwrap().median_bytes - 30 * MIB
    );
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_series_is_replaced_only_by_force_and_as_a_whole() {
    let project = Project::new();
    assert_eq!(series(&project, &["-r", "3"], "true").code(), 0);
    let before = files(&project);
    for options in [&["-r", "2"][..], &[]] {
        let refused = series(&project, options, "true");
        assert_eq!(refused.code(), 125, "{}", refused.stderr());
        assert!(refused.stderr().contains("already"), "{}", refused.stderr());
        assert_eq!(files(&project), before);
    }
    // One that has only a similar name is another's.
    project.write(".build-mem/recording-x.3b.jsonl", "kept");
    // What does not start replaces nothing.
    let broken = project.ran([
        "run",
        "--label",
        "x",
        "-r",
        "2",
        "--force",
        "--",
        "./nothing",
    ]);
    assert_eq!(broken.code(), 127);
    assert_eq!(kept(&project).runs.len(), 3);
    assert_eq!(series(&project, &["-r", "2", "--force"], "true").code(), 0);
    assert_eq!(kept(&project).runs, ["x.1", "x.2"]);
    let left = files(&project);
    assert!(!left.iter().any(|name| name.contains("x.3.")), "{left:?}");
    assert!(left.contains(&"recording-x.3b.jsonl".to_owned()));
    // A single run of its name takes its place, too.
    assert_eq!(series(&project, &["--force"], "true").code(), 0);
    assert!(!files(&project).contains(&"series-x.json".to_owned()));
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_signal_ends_the_run_and_the_series_and_what_was_measured_is_there() {
    // As a terminal does, to all of the group; and to build-mem alone.
    for to_the_group in [true, false] {
        let project = Project::new();
        let script = r#"echo >> n; test $(wc -l < n) -gt 1 || exec "$0" hold 20 50; echo > second; exec "$0" hold 20 30000"#;
        let mut command =
            project.tool(["run", "--label", "x", "-r", "4", "--", "sh", "-c", script]);
        let mut running = Running::start(command.arg(workload()).process_group(0));
        running.wait_for(&project.path("second"));
        if to_the_group {
            killpg(nix_pid(running.pid()), Signal::SIGINT).unwrap();
        } else {
            running.signal(Signal::SIGTERM);
        }
        let ran = running.end();
        let signal = if to_the_group { 2 } else { 15 };
        assert_eq!(ran.code(), 128 + signal, "{}", ran.stderr());
        let series = told(&ran);
        assert_eq!(series.verdict, Verdict::Interrupted);
        assert_eq!(series.runs, ["x.1", "x.2"]);
        assert_eq!(series.samples[1].verdict, Verdict::Interrupted);
        assert_eq!(series.statistics.headline.unwrap().runs, 1);
        assert_eq!(project.read("n").lines().count(), 2);
        assert_eq!(kept(&project), series);
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn runs_that_do_less_than_the_first_are_found_out() {
    let project = Project::new();
    // Its results are there from the second run on.
    let script = r#"test -e cache || "$0" storm 60; touch cache; "$0" hold 10 100"#;
    let series = told(&series(&project, &["-r", "3"], script));
    let finding = &series.findings[0];
    assert!(finding.why.contains("`workload`: "), "{finding:?}");
    assert!(finding.why.contains("cache"), "{finding:?}");
    assert_eq!(finding.runs[0], "x.1");
}
