//! Stages: by rules, by marks, and found.

use buildmem::report::{Report, Stage};

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

/// Names and numbers of processes are exact, in the order of the report. Peak PSS is what the stage holds, in MiB: at most
/// a twentieth below, since PSS is not read again for less than a hundredth and not on the instant, and at most 2 MiB
/// above for the stage's programs and their C library, which weigh by how they are linked and by who else has them mapped.
#[track_caller]
fn assert_stages(report: &Report, expected: &[(&str, u64, u64)]) {
    let told: Vec<(&str, u64)> = report
        .stages
        .iter()
        .map(|stage| (stage.name.as_str(), stage.processes))
        .collect();
    let names: Vec<(&str, u64)> = expected
        .iter()
        .map(|&(name, processes, _)| (name, processes))
        .collect();
    assert_eq!(told, names);
    for (stage, &(name, _, held_mib)) in report.stages.iter().zip(expected) {
        let peak = stage.peak_pss_bytes.unwrap_or_default();
        let held = held_mib * MIB;
        assert!(
            (held - held / 20..held + 2 * MIB).contains(&peak),
            "{name}: {peak} bytes of PSS at the peak, {held_mib} MiB held"
        );
    }
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
    assert_stages(
        &report,
        &[("compile", 1, 20), ("link", 1, 30), ("(other)", 1, 0)],
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
fn stages_that_follow_one_another_have_a_peak_of_the_kernels() {
    let project = Project::new();
    project.write("build-mem.toml", RULES);
    let report = project
        .measured_script(r#""$0" hold 20 300 && "$0" hold 30 300 && "$0" hold 5 300"#)
        .report();
    let [compile, link, other] = report.stages.as_slice() else {
        panic!("{:?}", report.stages)
    };
    let notes = report.notes.iter();
    let why: Vec<_> = notes
        .filter(|note| note.what == "stages[].peak_cgroup_bytes")
        .map(|note| note.why.as_str())
        .collect();
    assert_eq!(other.peak_cgroup_bytes, None);
    if has_marks_that_can_be_set_back() {
        let mib = |stage: &Stage| stage.peak_cgroup_bytes.unwrap() / MIB;
        // The programs, the kernel's own, and charges in advance.
        assert!((20..26).contains(&mib(compile)), "{compile:?}");
        assert!((30..36).contains(&mib(link)), "{link:?}");
        assert_eq!(why.len(), 1, "{why:?}");
    } else {
        assert_eq!(
            (compile.peak_cgroup_bytes, link.peak_cgroup_bytes),
            (None, None)
        );
        assert!(why.len() == 1 && why[0].contains("6.12"), "{why:?}");
    }
}

/// Stages of 40 to 90 ms, their programs' start and end included; the first is the highest, so that the others are below the
/// usage that was sampled before.
#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn stages_that_live_for_some_fifty_milliseconds_have_their_peak_within_a_tenth() {
    const HELD_MIB: [u64; 4] = [60, 20, 40, 30];
    let rules = HELD_MIB.map(|mib| format!("[[stage]]\nname = '{mib}'\nmatch = 'hold {mib} '\n"));
    let script = HELD_MIB.map(|mib| format!(r#""$0" hold {mib} 30"#));
    let mut peaks = Vec::new();
    for _ in 0..5 {
        let project = Project::new();
        project.write("build-mem.toml", &rules.concat());
        let report = project.measured_script(&script.join(" && ")).report();
        for held in HELD_MIB {
            let name = held.to_string();
            let stage = report.stages.iter().find(|stage| stage.name == name);
            peaks.push((held, stage.unwrap().peak_pss_bytes.unwrap_or_default()));
        }
    }
    let right = peaks.iter().filter(|(held, peak)| {
        let held = held * MIB;
        (held - held / 10..=held + held / 10).contains(peak)
    });
    // One may fall into a moment in which a busy machine lets nobody look.
    assert!(right.count() >= 19, "{peaks:?}");
}

/// Linux 6.12 with cgroup v2.
fn has_marks_that_can_be_set_back() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let numbers = release
        .split(['.', '-'])
        .map_while(|number| number.parse::<u32>().ok());
    let release: Vec<u32> = numbers.take(2).collect();
    release >= vec![6, 12] && std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_mark_makes_a_stage_and_wins_over_the_rules() {
    let project = Project::new();
    project.write("build-mem.toml", RULES);
    let script =
        format!(r#"{BUILD_MEM} stage docs -- sh -c '{CHAIN}; exit 0' "$0" && "$0" hold 30 300"#);
    let report = project.measured_script(&script).report();
    assert_stages(
        &report,
        &[("docs", 3, 30), ("link", 1, 30), ("(other)", 1, 0)],
    );
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
    assert_stages(
        &report,
        &[
            ("workload hold 20 400", 1, 20),
            ("workload hold 30 400", 1, 30),
            ("(other)", 1, 0),
        ],
    );
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
