//! The exit code: the build's own, or what build-mem found.

use std::fs;
use std::path::{Path, PathBuf};

use buildmem::observe::cgroup::{Hierarchy, Version};
use buildmem::report::Verdict;

use crate::tool::{Project, leaves_of, mib, workload};

/// A cgroup that a build escapes to.
struct Elsewhere(PathBuf);

impl Elsewhere {
    fn new() -> Self {
        let hierarchy = Hierarchy::detect(Path::new("/proc")).unwrap();
        let name = format!("build-mem-test-elsewhere-{}", std::process::id());
        let dir = hierarchy.own_dir.join(name);
        fs::create_dir(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_builds_own_exit_code_passes_through() {
    for (script, code, verdict, exit) in [
        ("true", 0, Verdict::Pass, (Some(0), None)),
        ("exit 3", 3, Verdict::BuildFailed, (Some(3), None)),
        ("exit 121", 121, Verdict::BuildFailed, (Some(121), None)),
        ("kill -TERM $$", 143, Verdict::BuildKilled, (None, Some(15))),
        ("kill -KILL $$", 137, Verdict::BuildKilled, (None, Some(9))),
    ] {
        let ran = Project::new().measured(["sh", "-c", script]);
        assert_eq!(ran.code(), code, "{script}: {}", ran.stderr());
        let report = ran.report();
        assert_eq!(report.verdict, verdict, "{script}");
        assert_eq!((report.exit.code, report.exit.signal), exit, "{script}");
        assert_eq!(leaves_of(ran.pid), [] as [PathBuf; 0], "{script}");
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_missing_or_empty_artifact_ends_with_121() {
    let project = Project::new();
    project.write(
        "build-mem.toml",
        "[build]\ncommand = 'echo made > made; : > empty'\n\
         [verify]\nartifacts = ['made', 'empty', 'missing']\n",
    );
    let ran = project.ran(["run"]);
    assert_eq!(ran.code(), 121, "{}", ran.stderr());
    let report = ran.report();
    assert_eq!(report.verdict, Verdict::VerificationFailed);
    let checks: Vec<_> = report
        .verify
        .iter()
        .map(|check| (check.path.as_str(), check.ok))
        .collect();
    let expected = [
        ("exit status", true),
        ("made", true),
        ("empty", false),
        ("missing", false),
    ];
    assert_eq!(checks, expected);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_process_that_leaves_the_cgroup_is_told_with_its_peak_and_fails_a_strict_run() {
    let elsewhere = Elsewhere::new();
    let script = format!(
        r#"sh -c 'echo 0 > {}/cgroup.procs && exec "$0" hold 60 300' "$0"; "$0" hold 20 300; exit 0"#,
        elsewhere.0.display()
    );
    for (strict, code) in [(None, 0), (Some("--strict"), 123)] {
        let project = Project::new();
        let mut arguments = vec!["run", "--label", "x"];
        arguments.extend(strict);
        arguments.extend(["--", "sh", "-c", &script, workload().to_str().unwrap()]);
        let ran = project.ran(arguments);
        assert_eq!(ran.code(), code, "{}", ran.stderr());
        let report = ran.report();
        assert_eq!(report.verdict, Verdict::Pass);
        assert!(!report.headline.complete);
        let [escaped] = report.headline.escaped.as_slice() else {
            panic!("{:?}", report.headline)
        };
        assert!(
            elsewhere
                .0
                .ends_with(escaped.cgroup.trim_start_matches('/')),
            "{escaped:?}"
        );
        assert_eq!(escaped.processes, 1);
        let peak = mib(escaped.peak_bytes.unwrap());
        assert!((59.0..65.0).contains(&peak), "{peak} MiB elsewhere");
        let headline = mib(report.headline.bytes.unwrap());
        assert!(
            (20.0..25.0).contains(&headline),
            "{headline} MiB in the leaf"
        );
        assert_eq!(leaves_of(ran.pid), [] as [PathBuf; 0]);
    }
}

/// On cgroup v1 no process can be born elsewhere: there is nothing to test, but on the kernels of `cargo xtask vm`.
#[test]
#[ignore = "needs root, eBPF and cgroup v2: cargo xtask vm"]
fn a_process_that_is_born_in_another_cgroup_is_told_with_its_peak() {
    let hierarchy = Hierarchy::detect(Path::new("/proc")).unwrap();
    if hierarchy.version == Version::V1 {
        return;
    }
    let elsewhere = Elsewhere::new();
    let script = format!(
        r#""$0" born-in {} "$0" hold 60 300; exit $?"#,
        elsewhere.0.display()
    );
    let ran = Project::new().measured_script(&script);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    assert!(!report.headline.complete);
    let [escaped] = report.headline.escaped.as_slice() else {
        panic!("{:?}", report.headline)
    };
    let name = escaped.cgroup.trim_start_matches('/');
    assert!(elsewhere.0.ends_with(name), "{escaped:?}");
    assert_eq!(escaped.processes, 1);
    let peak = mib(escaped.peak_bytes.unwrap());
    assert!((59.0..65.0).contains(&peak), "{peak} MiB elsewhere");
    let headline = mib(report.headline.bytes.unwrap());
    assert!(headline < 10.0, "{headline} MiB in the leaf");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_complete_run_is_no_matter_for_strict() {
    let ran = Project::new().ran(["run", "--strict", "--", "true"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_command_that_cannot_run_ends_as_in_a_shell_and_leaves_nothing() {
    let project = Project::new();
    project.write("not-executable", "echo hello\n");
    assert_eq!(
        project.ran(["run", "--label", "old", "--", "true"]).code(),
        0
    );
    let before = project.contents();
    for (command, code) in [
        ("no-such-command-anywhere", 127),
        ("./no-such-file", 127),
        ("./not-executable", 126),
        ("/", 126),
    ] {
        let ran = project.measured([command]);
        assert_eq!(ran.code(), code, "{command}: {}", ran.stderr());
        assert_eq!(ran.stdout(), "", "{command}");
        assert!(ran.stderr().starts_with("error: "), "{}", ran.stderr());
        assert!(ran.stderr().contains(command), "{}", ran.stderr());
        assert!(
            project.contents() == before,
            "{command}: {:?}",
            project.contents()
        );
        assert_eq!(leaves_of(ran.pid), [] as [PathBuf; 0], "{command}");
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn an_output_that_takes_nothing_costs_neither_the_result_nor_the_builds_exit_code() {
    let project = Project::new();
    let full = || {
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let failing = ["--", "sh", "-c", "exit 7"];
    let deaf = |label: &str| project.tool(["run", "--label", label].into_iter().chain(failing));
    let without_stderr = deaf("err").stderr(full()).output().unwrap();
    assert_eq!(without_stderr.status.code(), Some(7));
    let stdout = String::from_utf8(without_stderr.stdout).unwrap();
    assert!(stdout.starts_with("[BUILD-MEM RESULT] {"), "{stdout}");
    let without_stdout = deaf("out").stdout(full()).output().unwrap();
    assert_eq!(without_stdout.status.code(), Some(7));
    assert!(project.path(".build-mem/result-out.json").exists());
}
