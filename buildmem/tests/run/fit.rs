//! `build-mem fit`: the smallest limit under which a build of known size passes.

use std::fs;
use std::os::unix::process::CommandExt as _;

use buildmem::fit::{End, Fit, Outcome};
use nix::sys::signal::{Signal, killpg};

use crate::tool::{MIB, Project, Ran, Running, mib, nix_pid, workload};

/// Searches for the limit of a script of `sh -c` under the label `x`, in which `$0` is the workload.
fn fit(project: &Project, options: &[&str], script: &str) -> Ran {
    let script = format!("{script}\nexit $?");
    let arguments = ["fit", "--label", "x"].iter().chain(options);
    let command = ["--", "sh", "-c", &script, workload().to_str().unwrap()];
    project.ran(arguments.copied().chain(command))
}

fn kept(project: &Project) -> Fit {
    serde_json::from_str(&project.read(".build-mem/fit-x.json")).unwrap()
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_limit_of_a_build_is_found_to_the_resolution() {
    let project = Project::new();
    let ran = fit(&project, &[], r#"echo built; "$0" hold 200 100"#);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let fit = kept(&project);
    assert_eq!(fit.conclusion.end, End::Found, "{}", ran.stderr());
    let found = fit.conclusion.smallest.unwrap();
    let low = fit.conclusion.too_little_bytes.unwrap();
    // The workload, its page tables, a shell.
    let limit = mib(found.limit_bytes);
    assert!((200.0..212.0).contains(&limit), "{limit}");
    assert!(
        low >= 190 * MIB && found.limit_bytes - low <= 5 * MIB,
        "{low}"
    );
    assert!(found.passes >= 2);
    assert_eq!(fit.base.limit_bytes, None);
    assert!(fit.steps.len() <= 7, "{}", fit.steps.len());
    // What was too little was so to the kernel, too.
    for step in fit
        .steps
        .iter()
        .filter(|step| step.outcome == Outcome::TooLittle)
    {
        assert!(step.price.oom_kills > Some(0), "{step:?}");
        assert_ne!(step.price.limit_hits, Some(0), "{step:?}");
    }
    // The builds' own output is in their logs; what was found is on stdout.
    let stdout = ran.stdout();
    assert!(
        stdout.contains("Passes at ") && !stdout.lines().any(|line| line == "built"),
        "{stdout}"
    );
    assert_eq!(project.read(".build-mem/build-x.1.log"), "built\n");
    assert!(
        ran.stderr().contains("build 2 of at most 8"),
        "{}",
        ran.stderr()
    );
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn page_cache_does_not_count_but_has_a_price() {
    let project = Project::new();
    // 120 MiB of page cache of its own.
    let script =
        r#"head -c 120M /dev/zero > file; cat file > /dev/null; rm file; "$0" hold 60 100"#;
    let ran = fit(&project, &["--format", "json"], script);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let fit: Fit = serde_json::from_str(&ran.stdout()).unwrap();
    assert_eq!(fit, kept(&project));
    let shown = project.ran(["report", "x", "--format", "json"]).stdout();
    assert_eq!(shown, ran.stdout());
    assert!(mib(fit.base.headline_bytes.unwrap()) > 115.0, "{fit:?}");
    let limit = mib(fit.conclusion.smallest.unwrap().limit_bytes);
    assert!((60.0..80.0).contains(&limit), "{limit}");
    let passed = fit
        .steps
        .iter()
        .find(|step| step.outcome == Outcome::Passed);
    // cgroup v1 does not count the one, not every kernel the other.
    let price = &passed.unwrap().price;
    assert!(
        price.limit_hits.or(price.refaults_file) > Some(0),
        "{passed:?}"
    );
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_range_is_kept_to() {
    let project = Project::new();
    let ran = fit(
        &project,
        &["--from", "64MiB", "--to", "96MiB"],
        r#""$0" hold 20 50"#,
    );
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let found = kept(&project).conclusion.smallest.unwrap();
    // Its headline is below the range: there is nothing to feel in it.
    assert_eq!((found.limit_bytes, found.passes), (64 * MIB, 2));

    let ran = fit(
        &project,
        &["--force", "--to", "60MiB"],
        r#""$0" hold 100 50"#,
    );
    assert_eq!(ran.code(), 122, "{}", ran.stderr());
    let fit = kept(&project);
    assert_eq!(fit.conclusion.end, End::NotWithinRange);
    assert_eq!(fit.steps.len(), 1);
    assert!(
        ran.stdout().contains("does not pass at 60.00 MiB"),
        "{}",
        ran.stdout()
    );
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_failure_that_is_none_of_memory_ends_the_search_with_the_builds_code() {
    let project = Project::new();
    let ran = fit(&project, &[], "exit 7");
    assert_eq!(ran.code(), 7, "{}", ran.stderr());
    assert_eq!(kept(&project).conclusion.end, End::FailsWithoutLimit);

    let script = r#"echo >> n; test $(wc -l < n) -lt 2 || exit 8; "$0" hold 50 50"#;
    let ran = fit(&project, &["--force"], script);
    assert_eq!(ran.code(), 8, "{}", ran.stderr());
    let fit = kept(&project);
    assert_eq!(fit.conclusion.end, End::FailedOtherwise);
    assert!(
        ran.stdout().contains("another reason than memory"),
        "{}",
        ran.stdout()
    );
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_search_that_was_stopped_goes_on_where_it_was() {
    let project = Project::new();
    // Once, the third build or a later one that has memory enough waits to be stopped.
    let script = r#"echo >> n; "$0" hold 60 50 || exit $?
        test $(wc -l < n) -ge 3 -a ! -e stopped || exit 0
        echo > stopped; exec "$0" hold 1 30000"#;
    let arguments = ["fit", "--label", "x", "--", "sh", "-c", script];
    let mut command = project.tool(arguments);
    let mut running = Running::start(command.arg(workload()).process_group(0));
    running.wait_for(&project.path("stopped"));
    killpg(nix_pid(running.pid()), Signal::SIGINT).unwrap();
    let ran = running.end();
    assert_eq!(ran.code(), 130, "{}", ran.stderr());
    assert!(ran.stdout().contains("--resume"), "{}", ran.stdout());
    let stopped = kept(&project);
    assert_eq!(stopped.conclusion.end, End::UnderWay);
    let done = stopped.steps.len();
    assert!(done >= 1);

    let again = fit(&project, &["--resume"], script);
    assert_eq!(again.code(), 0, "{}", again.stderr());
    let whole = kept(&project);
    assert_eq!(whole.steps[..done], stopped.steps[..]);
    assert_eq!(whole.base, stopped.base);
    assert_eq!(whole.conclusion.end, End::Found);
    let limit = mib(whole.conclusion.smallest.unwrap().limit_bytes);
    assert!((60.0..72.0).contains(&limit), "{limit}");
    // As many builds as there are steps, and that without a limit, and the one that was stopped.
    assert_eq!(project.read("n").lines().count(), whole.steps.len() + 2);
    let left: Vec<_> = fs::read_dir(project.path(".build-mem"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".new") || name.starts_with(".replaced"))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_recording_takes_the_place_of_the_run_without_a_limit() {
    let project = Project::new();
    let script = r#"echo >> n; "$0" hold 60 50; exit $?"#;
    let workload = workload().to_str().unwrap();
    let measured = project.ran(["run", "--label", "b", "--", "sh", "-c", script, workload]);
    assert_eq!(measured.code(), 0, "{}", measured.stderr());
    let ran = fit(&project, &["--base", "b", "--max-builds", "3"], script);
    assert_eq!(
        ran.code() == 0,
        kept(&project).conclusion.smallest.is_some()
    );
    let fit = kept(&project);
    assert_eq!(fit.base.label, "b");
    assert_eq!(fit.steps.len(), 2);
    assert_eq!(fit.conclusion.end, End::OutOfBuilds);
    assert_eq!(project.read("n").lines().count(), 3);
}

#[test]
fn what_a_search_decides_itself_is_refused() {
    let project = Project::new();
    for options in [
        &["--memory", "1g"][..],
        &["--budget", "1g"],
        &["--runs", "2"],
        &["--from", "2g", "--to", "1g"],
    ] {
        let ran = fit(&project, options, "true");
        assert_eq!(ran.code(), 125, "{}", ran.stderr());
        assert!(!project.path(".build-mem").exists());
    }
}
