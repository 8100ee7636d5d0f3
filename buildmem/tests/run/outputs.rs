//! What comes out: the build's own output, the result line, and the views of a recording.

use std::path::PathBuf;

use serde_json::Value;

use crate::tool::{Project, Running, is_alive, leaves_of, mib, workload};

/// What is not text, in pieces without a line break at the end.
const OUTPUT: &str = r"printf 'a\0\377\r\n\033[31mred'; printf 'err\tor\n' >&2";

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_builds_output_arrives_unchanged_and_is_in_the_log() {
    let project = Project::new();
    let ran = project.ran(["run", "-q", "--label", "x", "--", "sh", "-c", OUTPUT]);
    assert_eq!(ran.code(), 0);
    let stdout = b"a\0\xff\r\n\x1b[31mred";
    assert!(ran.stdout.starts_with(stdout), "{:?}", ran.stdout());
    // The result begins a line of its own.
    let rest = ran.stdout().split_once("red").unwrap().1.to_owned();
    assert!(rest.starts_with("\n[BUILD-MEM RESULT] {"), "{rest}");
    assert_eq!(ran.report().label, "x");
    assert_eq!(ran.stderr(), "err\tor\n", "-q: no summary");
    let log = std::fs::read(project.path(".build-mem/build-x.log")).unwrap();
    let mut bytes = log.clone();
    bytes.sort_unstable();
    let mut expected = [stdout.as_slice(), b"err\tor\n"].concat();
    expected.sort_unstable();
    assert!(bytes == expected, "{log:?}");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn with_json_only_one_line_is_all_that_is_printed() {
    let project = Project::new();
    let ran = project.ran([
        "run",
        "--json-only",
        "--label",
        "x",
        "--",
        "sh",
        "-c",
        OUTPUT,
    ]);
    assert_eq!(ran.code(), 0);
    assert_eq!(ran.stderr(), "");
    assert_eq!(ran.stdout().lines().count(), 1);
    assert!(
        ran.stdout().starts_with("[BUILD-MEM RESULT] {"),
        "{}",
        ran.stdout()
    );
    assert!(ran.stdout().ends_with("}\n"));
    assert_eq!(ran.report().verdict.word(), "pass");
    let log = std::fs::read(project.path(".build-mem/build-x.log")).unwrap();
    assert_eq!(log.len(), 20, "{log:?}");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn two_runs_at_once_in_one_folder_measure_their_own_build() {
    let project = Project::new();
    let start = |label: &str, held: &str| {
        let mut command = project.tool(["run", "--label", label, "--"]);
        Running::start(command.arg(workload()).args(["hold", held, "1500"]))
    };
    let (a, b) = (start("a", "40"), start("b", "120"));
    for (running, label, held) in [(a, "a", 40.0), (b, "b", 120.0)] {
        let ran = running.end();
        assert_eq!(ran.code(), 0, "{}", ran.stderr());
        let report = ran.report();
        assert_eq!(report.label, label);
        assert_eq!((report.processes.forks, report.processes.exits), (1, 1));
        let headline = mib(report.headline.bytes.unwrap());
        assert!(
            (held..held + 4.0).contains(&headline),
            "{label}: {headline} MiB"
        );
        assert_eq!(leaves_of(ran.pid), [] as [PathBuf; 0]);
    }
}

/// The result without what stage rules decide.
fn without_stages(mut result: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("stage");
                fields.remove("stages");
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => {
                items.retain(|item| item["what"] != "stages[].peak_cgroup_bytes");
                items.iter_mut().for_each(strip);
            }
            _ => {}
        }
    }
    strip(&mut result);
    result
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_report_of_the_recording_is_the_result_byte_by_byte_and_other_rules_change_its_stages_only() {
    let project = Project::new();
    project.write(
        "build-mem.toml",
        "[[stage]]\nname = 'first'\nmatch = 'hold 20 '\n",
    );
    let ran = project.measured_script(r#""$0" hold 20 300; "$0" hold 30 300; "$0" storm 100"#);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let result = project.read(".build-mem/result-x.json");
    for recording in [vec!["x"], vec![], vec![".build-mem/recording-x.jsonl"]] {
        for (format, file) in [
            ("json", "result-x.json"),
            ("csv", "timeline-x.csv"),
            ("html", "report-x.html"),
        ] {
            let arguments = ["report", "--format", format]
                .into_iter()
                .chain(recording.clone());
            let told = project.ran(arguments);
            assert_eq!((told.code(), told.stderr()), (0, String::new()));
            assert_eq!(
                told.stdout(),
                project.read(&format!(".build-mem/{file}")),
                "{recording:?}"
            );
        }
    }
    let result: Value = serde_json::from_str(&result).unwrap();
    let line: Value = serde_json::to_value(ran.report()).unwrap();
    assert_eq!(line, result);

    project.write(
        "other.toml",
        "[[stage]]\nname = 'second'\nmatch = 'hold 30 '\n",
    );
    let told = project.ran(["report", "x", "--format", "json", "--config", "other.toml"]);
    let other: Value = serde_json::from_slice(&told.stdout).unwrap();
    let names = |result: &Value| -> Vec<String> {
        let stages = result["stages"].as_array().unwrap();
        stages
            .iter()
            .map(|stage| stage["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&result), ["first", "(other)"]);
    assert_eq!(names(&other), ["second", "(other)"]);
    assert_eq!(without_stages(other), without_stages(result));
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_list_has_each_recording_in_the_order_of_the_runs() {
    let project = Project::new();
    let empty = project.ran(["list"]);
    assert_eq!(empty.code(), 125, "there is no folder yet");
    assert_eq!(
        project.ran(["run", "--label", "zulu", "--", "true"]).code(),
        0
    );
    assert_eq!(
        project
            .ran(["run", "--label", "alpha", "--", "sh", "-c", "exit 4"])
            .code(),
        4
    );
    let listed = project.ran(["list"]);
    assert_eq!(listed.code(), 0);
    let stdout = listed.stdout();
    let [_, zulu, alpha] = stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("{stdout}")
    };
    assert!(
        zulu.starts_with("zulu ") && zulu.contains(" pass "),
        "{zulu}"
    );
    assert!(
        alpha.starts_with("alpha ") && alpha.contains(" build-failed "),
        "{alpha}"
    );
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn doctor_finds_that_everything_here_can_be_measured() {
    let ran = Project::new().ran(["doctor", "--json"]);
    let found: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(found["complete"], true, "{found:#}");
    assert_eq!(ran.code(), 0);
    assert!(!is_alive(ran.pid));
}

#[test]
fn completions_and_manual_are_printed_without_any_privilege() {
    let project = Project::new();
    let completions = project.ran(["completions", "bash"]);
    assert_eq!(completions.code(), 0);
    let script = project.write("completions", &completions.stdout());
    let checked = std::process::Command::new("bash")
        .args(["-c", r#". "$0" && complete -p build-mem"#])
        .arg(script)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let manual = project.ran(["man"]);
    assert_eq!(manual.code(), 0);
    assert!(
        manual.stdout().contains(".TH build-mem 1"),
        "{}",
        manual.stdout()
    );
    assert_eq!(project.ran(["--version"]).code(), 0);
    assert_eq!(project.ran(["run", "--help"]).code(), 0);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_page_is_left_out_where_nobody_wants_it() {
    for (options, is_there) in [(&[][..], true), (&["--no-html"][..], false)] {
        let project = Project::new();
        let arguments = ["run", "--label", "x"].iter().chain(options);
        let ran = project.ran(arguments.chain(&["--", "true"]));
        assert_eq!(ran.code(), 0, "{}", ran.stderr());
        assert_eq!(project.path(".build-mem/report-x.html").exists(), is_there);
        assert_eq!(ran.stderr().contains("report-x.html"), is_there);
    }
}
