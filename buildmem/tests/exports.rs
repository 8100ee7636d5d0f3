//! Exports of real recordings against what their readers take: schemas, and the parsers of those who made the formats.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read its fixture fails"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use buildmem::commands::replay::replay_with_history;
use buildmem::export;
use buildmem::history::History;
use buildmem::report::Report;
use buildmem::timeline::TimelineTable;
use buildmem::units::{BootTime, ByteSize};
use serde_json::Value;

const FIXTURES: [&str; 3] = ["cargo", "lua", "monorepo"];

const HOSTILE: &str = "a|b`c\"d\\e\n<f>\u{1b}[2J @g #1 \u{202e}";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
        .join("recording.jsonl")
}

fn replayed(name: &str) -> (Report, TimelineTable, History) {
    let path = fixture(name);
    replay_with_history(File::open(&path).unwrap(), &path, None, &[]).unwrap()
}

/// The monorepo, with names by somebody who wants to be a nuisance.
fn hostile() -> (Report, TimelineTable, History) {
    let (mut report, mut table, mut history) = replayed("monorepo");
    HOSTILE.clone_into(&mut report.label);
    report.command = vec![HOSTILE.to_owned(); 3];
    for stage in &mut report.stages {
        HOSTILE.clone_into(&mut stage.name);
    }
    for stage in history.stages.iter_mut().chain(&mut table.stages) {
        HOSTILE.clone_into(stage);
    }
    for class in &mut report.processes.classes {
        HOSTILE.clone_into(&mut class.command_class);
    }
    for class in &mut history.classes {
        HOSTILE.clone_into(class);
    }
    let argv = buildmem::command_line::CommandLine::from_args([HOSTILE; 2]);
    for ran in history.lives.iter_mut().flat_map(|life| &mut life.images) {
        ran.argv = std::rc::Rc::new(argv.clone());
    }
    (report, table, history)
}

fn all() -> impl Iterator<Item = (&'static str, (Report, TimelineTable, History))> {
    FIXTURES
        .into_iter()
        .map(|name| (name, replayed(name)))
        .chain([("hostile", hostile())])
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes).unwrap();
    bytes
}

fn errors(schema: &str, json: &[u8]) -> Vec<String> {
    let schema = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let json: Value = serde_json::from_slice(json).unwrap();
    let errors = validator.iter_errors(&json);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn the_figures_for_trackers_are_as_their_services_document_them() {
    let bmf = include_str!("schemas/bmf.schema.json");
    let github = include_str!("schemas/github-benchmark.schema.json");
    for (name, (report, _, _)) in all() {
        let figures = written(|out| export::bmf::write(&report, out));
        assert_eq!(errors(bmf, &figures), [""; 0], "{name}");
        let figures = written(|out| export::github_benchmark::write(&report, out));
        assert_eq!(errors(github, &figures), [""; 0], "{name}");
    }
    assert_ne!(errors(bmf, br#"{"a": {"b": {"value": "1"}}}"#), [""; 0]);
    assert_ne!(errors(github, br#"[{"name": "a", "value": 1}]"#), [""; 0]);
}

#[test]
fn every_process_is_a_row_and_is_read_back() {
    for (name, (report, _, history)) in all() {
        let text = written(|out| export::processes_csv::write(&history, out));
        let mut reader = csv::Reader::from_reader(&text[..]);
        let rows: Vec<BTreeMap<String, String>> =
            reader.deserialize().collect::<Result<_, _>>().unwrap();
        assert_eq!(rows.len() as u64, report.processes.forks, "{name}");
        for (row, life) in rows.iter().zip(&history.lives) {
            assert_eq!(row["pid"], life.tgid.to_string(), "{name}");
            assert_eq!(row["stage"], history.stages[life.stage], "{name}");
            assert_eq!(row["class"], history.classes[life.class], "{name}");
            assert_eq!(row["command"], life.largest().argv.display(), "{name}");
            let peak = life
                .peak_rss()
                .map_or(String::new(), |peak| peak.bytes().to_string());
            assert_eq!(row["peak_rss_bytes"], peak, "{name}");
        }
        let ended = rows.iter().filter(|row| !row["ended_s"].is_empty());
        assert_eq!(ended.count() as u64, report.processes.exits, "{name}");
    }
}

fn report(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_build-mem"))
        .arg("report")
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_report_in_a_file_is_what_would_have_been_printed() {
    let recording = fixture("lua");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report");
    let formats = "text json markdown csv processes-csv perfetto openmetrics bmf github-benchmark";
    for format in formats.split(' ') {
        let arguments = [recording.to_str().unwrap(), "--format", format];
        let printed = report(&arguments);
        assert!(
            printed.status.success() && !printed.stdout.is_empty(),
            "{format}"
        );
        let written = report(&[&arguments[..], &["-o", file.to_str().unwrap()]].concat());
        assert!(
            written.status.success() && written.stdout.is_empty(),
            "{format}"
        );
        assert_eq!(fs::read(&file).unwrap(), printed.stdout, "{format}");
    }
}

#[test]
fn the_figures_of_a_build_that_broke_off_go_to_no_tracker() {
    let recording = fs::read(fixture("lua")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.jsonl");
    fs::write(&cut, &recording[..recording.len() / 2]).unwrap();
    for format in ["bmf", "github-benchmark"] {
        let refused = report(&[cut.to_str().unwrap(), "--format", format]);
        assert_eq!(refused.status.code(), Some(125), "{format}");
        assert!(refused.stdout.is_empty(), "{format}");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(told.contains("its verdict is `incomplete`"), "{told}");
    }
    let shown = report(&[cut.to_str().unwrap(), "--format", "openmetrics"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("verdict=\"incomplete\""), "{shown}");
}

/// What `support/decode.py` says of an export. It needs Python with `support/requirements.txt`.
fn decoded(format: &str, export: &[u8]) -> Value {
    let python = std::env::var_os("BUILD_MEM_PYTHON").map(PathBuf::from);
    let python = python.unwrap_or_else(|| {
        panic!("BUILD_MEM_PYTHON names no Python with `perfetto` and `prometheus_client`")
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export");
    fs::write(&path, export).unwrap();
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/decode.py"))
        .arg(format)
        .arg(&path)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Whether this is the number of a track, which JSON has as text where it is a key.
fn is(number: &Value, track: &str) -> bool {
    number.as_u64() == track.parse().ok()
}

/// A decoded trace, by what its tracks are called.
struct Trace(Value);

impl Trace {
    /// The tracks below this one: name and number.
    fn below(&self, parent: &str) -> Vec<(String, String)> {
        let tracks = self.0["tracks"].as_object().unwrap();
        let below = tracks
            .iter()
            .filter(|(_, track)| is(&track["parent"], parent));
        below
            .map(|(uuid, track)| (track["name"].as_str().unwrap().to_owned(), uuid.clone()))
            .collect()
    }

    /// The number of the track with this name below another.
    fn track(&self, parent: &str, name: &str) -> String {
        let tracks = self.below(parent);
        let found = tracks.into_iter().find(|(track, _)| track == name);
        found
            .unwrap_or_else(|| panic!("there is no track `{name}`"))
            .1
    }

    fn slices(&self) -> &Vec<Value> {
        self.0["slices"].as_array().unwrap()
    }

    /// What was counted on a track.
    fn counted(&self, track: &str) -> Vec<u64> {
        let counted = self.0["counters"][track].as_array();
        let counted = counted.into_iter().flatten();
        counted.map(|entry| entry[1].as_u64().unwrap()).collect()
    }
}

#[test]
#[ignore = "needs python3 with the package perfetto: cargo xtask test"]
fn perfetto_finds_every_process_stage_and_figure_in_the_trace() {
    for (name, (report, table, history)) in all() {
        let bytes = written(|out| export::perfetto::write(&report, &table, &history, out));
        let trace = Trace(decoded("perfetto", &bytes));
        assert_eq!(trace.0["unknown_fields"], 0, "{name}");
        assert_eq!(trace.0["wrong"], Value::Array(Vec::new()), "{name}");
        assert_eq!(trace.0["open"], 0, "{name}: a slice that does not end");

        let tracks = trace.0["tracks"].as_object().unwrap();
        let roots: Vec<_> = tracks
            .iter()
            .filter(|(_, it)| it["parent"].is_null())
            .collect();
        let [(build, _)] = roots[..] else {
            panic!("{name}: {roots:?}");
        };
        let (memory, stages) = (trace.track(build, "memory"), trace.track(build, "stages"));
        let processes = trace.track(build, "processes");

        // Each sample of the cgroup, and its highest.
        let cgroup = trace.counted(&trace.track(&memory, "cgroup"));
        let sampled = table.rows.iter().filter_map(|row| row.cgroup);
        assert_eq!(
            cgroup,
            sampled.map(ByteSize::bytes).collect::<Vec<_>>(),
            "{name}"
        );
        assert_eq!(
            cgroup.iter().max(),
            report.headline.highest_sampled_bytes.as_ref(),
            "{name}"
        );
        let anonymous = trace.counted(&trace.track(&memory, "cgroup: anonymous"));
        assert_eq!(anonymous.len(), cgroup.len(), "{name}");
        let live = trace.counted(&trace.track(&memory, "live processes"));
        assert_eq!(live.len(), table.rows.len(), "{name}");

        // A counter, a slice and a group of each stage.
        let by_stage = trace.below(&trace.track(&memory, "PSS by stage"));
        assert_eq!(by_stage.len(), report.stages.len(), "{name}");
        let mut highest: Vec<u64> = by_stage
            .iter()
            .filter_map(|(_, track)| trace.counted(track).into_iter().max())
            .collect();
        highest.sort_unstable();
        let mut expected: Vec<u64> = report
            .stages
            .iter()
            .map(|stage| stage.peak_pss_bytes.unwrap_or(0))
            .collect();
        expected.sort_unstable();
        assert_eq!(highest, expected, "{name}");
        for (_, track) in trace.below(&stages) {
            let on_track = trace
                .slices()
                .iter()
                .filter(|slice| is(&slice["track"], &track));
            assert_eq!(on_track.count(), 1, "{name}");
        }
        assert_eq!(trace.below(&stages).len(), report.stages.len(), "{name}");

        // A track of each process, with the programs that it ran.
        let groups = trace.below(&processes);
        assert_eq!(groups.len(), report.stages.len(), "{name}");
        let lives: BTreeSet<String> = groups
            .iter()
            .flat_map(|(_, group)| trace.below(group))
            .map(|(_, track)| track)
            .collect();
        assert_eq!(lives.len(), history.lives.len(), "{name}");
        let of_processes: Vec<&Value> = trace
            .slices()
            .iter()
            .filter(|slice| lives.contains(&slice["track"].to_string()))
            .collect();
        let commands: BTreeSet<&str> = of_processes
            .iter()
            .filter_map(|slice| slice["args"]["command"].as_str())
            .collect();
        for life in &history.lives {
            for ran in &life.images {
                // What Perfetto shows is made visible; these have nothing that is not.
                let command = export::visible(&ran.argv.display());
                assert!(commands.contains(command.as_str()), "{name}: {command}");
            }
        }
        let largest = of_processes
            .iter()
            .filter_map(|slice| slice["args"]["peak_rss_bytes"].as_u64());
        assert_eq!(
            largest.max(),
            Some(report.processes.top[0].peak_rss_bytes),
            "{name}"
        );
        let first = of_processes
            .iter()
            .filter_map(|slice| slice["at"].as_u64())
            .min();
        assert_eq!(first, Some(history.lives[0].started.nanos()), "{name}");
        for slice in trace.slices() {
            assert!(
                slice["at"].as_u64() <= slice["until"].as_u64(),
                "{name}: {slice}"
            );
        }

        // The peak, with who held it.
        let instants = trace.0["instants"].as_array().unwrap();
        let is_peak = |it: &&Value| it["name"].as_str().unwrap().starts_with("peak: ");
        let peak = instants.iter().find(is_peak).unwrap();
        assert_eq!(
            peak["at"].as_u64(),
            history.peak_at.map(BootTime::nanos),
            "{name}"
        );
        assert_eq!(
            peak["args"]["headline_bytes"].as_u64(),
            report.headline.bytes,
            "{name}"
        );
        let held = peak["args"]["processes"].as_array().unwrap();
        let expected = report.peak.unwrap().processes;
        assert_eq!(held.len(), expected.len().min(20), "{name}");
        assert_eq!(
            held[0]["pss_bytes"].as_u64(),
            expected[0].pss_bytes,
            "{name}"
        );
    }
}

#[test]
#[ignore = "needs python3 with the package prometheus_client: cargo xtask test"]
fn prometheus_reads_every_figure_with_its_unit() {
    for (name, (report, _, _)) in all() {
        let bytes = written(|out| export::openmetrics::write(&report, out));
        let families = decoded("openmetrics", &bytes);
        let families = families.as_array().unwrap();
        assert!(families.len() > 20, "{name}: {}", families.len());
        let mut samples = Vec::new();
        for family in families {
            assert_eq!(family["type"], "gauge", "{name}");
            assert_ne!(family["help"], "", "{name}");
            let metric = family["name"].as_str().unwrap();
            let unit = family["unit"].as_str().unwrap();
            assert!(
                metric.starts_with("buildmem_") && metric.ends_with(unit),
                "{name}: {metric}"
            );
            samples.extend(family["samples"].as_array().unwrap().clone());
        }
        let of = |metric: &str| samples.iter().find(|sample| sample[0] == metric).unwrap();
        let peak = of("buildmem_peak_bytes");
        let headline = report.headline.bytes.unwrap();
        // A whole number, with or without a point.
        let told = peak[2].to_string();
        assert_eq!(told.trim_end_matches(".0"), headline.to_string(), "{name}");
        let label = of("buildmem_run")[1]["label"].as_str().unwrap();
        assert_eq!(label, export::visible(&report.label), "{name}");

        // The collector reads the older format, and finds the same.
        let older = decoded("prometheus", &bytes);
        assert_eq!(older.as_array().unwrap(), &samples, "{name}");
    }
}
