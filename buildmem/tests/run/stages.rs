//! Stages: by rules, by marks, and found.

use buildmem::report::Report;

use crate::slowness::slowness;
use crate::tool::{BUILD_MEM, MIB, Project, workload};

const RULES: &str = r#"
[[stage]]
name = "link"
match = 'hold 30 '
[[stage]]
name = "compile"
match = 'hold 20 '
"#;

const CHAIN: &str = r#""$0" hold 20 400 && "$0" hold 30 400"#;

/// Name, number of processes and peak PSS in MiB of each stage, in the order of the report. What a program has beside
/// what it is told to hold is left out: half a MiB to one and a half, by how it is linked.
fn stages(report: &Report) -> Vec<(&str, u64, u64)> {
    let in_mib = |bytes: Option<u64>| bytes.unwrap_or_default().saturating_sub(MIB / 2) / MIB;
    report
        .stages
        .iter()
        .map(|stage| {
            (
                stage.name.as_str(),
                stage.processes,
                in_mib(stage.peak_pss_bytes),
            )
        })
        .collect()
}

fn assert_columns(project: &Project, stages: &[&str]) {
    let (columns, rows) = project.timeline("x");
    let fixed = [
        "t_s",
        "stage",
        "cgroup_bytes",
        "pss_bytes",
        "rss_bytes",
        "live_processes",
    ];
    let expected: Vec<String> = fixed
        .into_iter()
        .map(str::to_owned)
        .chain(stages.iter().map(|stage| format!("pss:{stage}")))
        .collect();
    assert_eq!(columns, expected);
    for row in rows {
        let figure = |index: usize| row[index].parse::<u64>().unwrap();
        assert_eq!(
            (6..row.len()).map(figure).sum::<u64>(),
            figure(3),
            "{row:?}"
        );
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_root_shell_that_names_all_stages_is_in_none_of_them() {
    let project = Project::new();
    project.write("build-mem.toml", RULES);
    // The rules see the script with `hold 20 ` and `hold 30 ` in it.
    let report = project.measured_script(CHAIN).report();
    assert_eq!(
        stages(&report),
        [("compile", 1, 20), ("link", 1, 30), ("(other)", 1, 0)]
    );
    assert_columns(&project, &["compile", "link", "(other)"]);
    let (_, rows) = project.timeline("x");
    for stage in ["compile", "link"] {
        assert!(rows.iter().any(|row| row[1] == stage), "no row in {stage}");
    }
    let [compile, link, _] = report.stages.as_slice() else {
        unreachable!()
    };
    assert!(compile.started_s + compile.wall_s <= link.started_s);
    // It holds its memory for 0.4 s.
    let slowness = f64::from(slowness());
    assert!((0.4..0.8).contains(&(link.wall_s / slowness)), "{link:?}");
    assert!(link.started_s + link.wall_s <= report.duration_s);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_mark_makes_a_stage_and_wins_over_the_rules() {
    let project = Project::new();
    project.write("build-mem.toml", RULES);
    let script =
        format!(r#"{BUILD_MEM} stage docs -- sh -c '{CHAIN}; exit 0' "$0" && "$0" hold 30 300"#);
    let report = project.measured_script(&script).report();
    let [docs, others @ ..] = &stages(&report)[..] else {
        panic!("{report:?}");
    };
    assert_eq!(others, [("link", 1, 30), ("(other)", 1, 0)]);
    // Two at once: the shell's own pages and those of the workload's program come to about 1 MiB together, and to
    // more or less by how many others on the machine have the C library mapped.
    assert!(matches!(docs, ("docs", 3, 30 | 31)), "{docs:?}");
    assert_columns(&project, &["docs", "link", "(other)"]);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn without_rules_the_sequential_steps_of_the_root_script_are_the_stages() {
    let project = Project::new();
    let program = workload().display();
    project.write(
        "build.sh",
        &format!("{program} hold 20 400\n{program} hold 30 400\nexit 0\n"),
    );
    let report = project.measured(["sh", "build.sh"]).report();
    let stages = stages(&report);
    let [steps @ .., ("(other)", 1, shell)] = &stages[..] else {
        panic!("{stages:?}");
    };
    let expected = [
        ("workload hold 20 400", 1, 20),
        ("workload hold 30 400", 1, 30),
    ];
    assert_eq!(steps, expected);
    // A whole one, where nothing else on the machine has the C library mapped.
    assert!(*shell <= 1, "{shell} MiB");
    assert_columns(
        &project,
        &["workload hold 20 400", "workload hold 30 400", "(other)"],
    );
}

#[test]
fn outside_of_a_run_a_mark_just_runs_the_command() {
    let project = Project::new();
    let ran = project.ran([
        "stage",
        "docs",
        "--",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 7",
    ]);
    assert_eq!(
        (ran.code(), ran.stdout(), ran.stderr()),
        (7, "out\n".into(), "err\n".into())
    );
    assert_eq!(
        project
            .ran(["stage", "docs", "--", "no-such-command"])
            .code(),
        127
    );
    assert_eq!(project.ran(["stage", "", "--", "true"]).code(), 125);
    assert!(project.contents().is_empty());
}
