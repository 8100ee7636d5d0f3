//! Recordings of real builds, replayed through the same code as a live run: in every format, and against the
//! laws that every report obeys.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read its fixture fails"
)]

use std::fs::File;
use std::path::{Path, PathBuf};

use buildmem::advise::{Advice, Answer};
use buildmem::commands::replay::{Rules, replay, replay_with_history};
use buildmem::export;
use buildmem::history::Life;
use buildmem::report::Report;
use buildmem::stage_rule::StageRule;
use buildmem::timeline::TimelineTable;
use buildmem::units::ByteSize;

const FIXTURES: [&str; 3] = ["cargo", "lua", "monorepo"];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
        .join("recording.jsonl")
}

fn replayed(name: &str, rules: Option<Rules>) -> (Report, TimelineTable) {
    let path = path(name);
    replay(File::open(&path).unwrap(), &path, rules, &[]).unwrap()
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut bytes = Vec::new();
    write(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn every_format_of_every_recording_is_as_it_was() {
    for name in FIXTURES {
        let (report, table) = replayed(name, None);
        let plain = export::text::Palette::plain();
        let text = written(|out| export::text::write(&report, &plain, 100, out));
        insta::assert_snapshot!(format!("{name}-text"), text);
        let json = written(|out| export::json::write(&report, out));
        insta::assert_snapshot!(format!("{name}-json"), json);
        let csv = written(|out| export::csv::write(&table, out));
        insta::assert_snapshot!(format!("{name}-csv"), csv);
        let markdown = written(|out| export::markdown::write(&report, &table, out));
        insta::assert_snapshot!(format!("{name}-markdown"), markdown);
    }
}

#[test]
fn the_figures_of_every_recording_are_as_they_were() {
    for name in FIXTURES {
        let (report, _) = replayed(name, None);
        let metrics = written(|out| export::openmetrics::write(&report, out));
        insta::assert_snapshot!(format!("{name}-openmetrics"), metrics);
        let bmf = written(|out| export::bmf::write(&report, out));
        insta::assert_snapshot!(format!("{name}-bmf"), bmf);
        let github = written(|out| export::github_benchmark::write(&report, out));
        insta::assert_snapshot!(format!("{name}-github-benchmark"), github);
    }
}

#[test]
fn every_result_is_as_the_published_schema_says() {
    let schema = serde_json::from_str(include_str!("../../docs/result-1.schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for name in FIXTURES {
        let (report, _) = replayed(name, None);
        let result = serde_json::to_value(&report).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&result)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(errors, [""; 0], "{name}");
    }
}

#[test]
fn the_parts_add_up_to_the_whole() {
    for name in FIXTURES {
        let (report, table) = replayed(name, None);
        let processes = &report.processes;
        assert_eq!(processes.forks, processes.exits, "{name}");
        let in_stages: u64 = report.stages.iter().map(|stage| stage.processes).sum();
        assert_eq!(in_stages, processes.forks, "{name}");
        let in_classes: u64 = processes.classes.iter().map(|class| class.count).sum();
        assert_eq!(in_classes, processes.forks, "{name}");
        let classes = &processes.classes;
        let held_by_classes: u64 = classes.iter().map(|class| class.pss_at_peak_bytes).sum();
        let shares: f64 = classes.iter().map(|class| class.share_of_peak).sum();
        assert!((shares - 1.0).abs() < 1e-9, "{name}: {shares}");
        for class in classes {
            assert!(class.peak_concurrency <= class.count, "{name}: {class:?}");
            assert!(
                class.peak_concurrency <= processes.peak_live,
                "{name}: {class:?}"
            );
        }
        for row in &table.rows {
            assert_eq!(
                row.stage_pss.iter().copied().sum::<ByteSize>(),
                row.pss,
                "{name}"
            );
        }
        let peak = report.peak.unwrap();
        let of_processes: u64 = peak
            .processes
            .iter()
            .filter_map(|process| process.pss_bytes)
            .sum();
        assert_eq!(of_processes, peak.pss_bytes, "{name}");
        assert_eq!(held_by_classes, peak.pss_bytes, "{name}");
        let of_stages: u64 = peak.stages.iter().map(|stage| stage.pss_bytes).sum();
        assert_eq!(of_stages, peak.pss_bytes, "{name}");
        let composition = peak.composition.unwrap();
        let parts = [
            peak.pss_bytes,
            composition.file_unmapped,
            composition.shmem,
            composition.kernel.unwrap(),
        ];
        let sum: i128 = parts.iter().copied().map(i128::from).sum();
        let cgroup = i128::from(peak.cgroup_bytes.unwrap());
        assert_eq!(sum + i128::from(composition.unattributed), cgroup, "{name}");
        assert!(peak.cgroup_bytes <= report.headline.bytes, "{name}");
    }
}

#[test]
fn the_history_of_every_recording_agrees_with_its_report() {
    for name in FIXTURES {
        let path = path(name);
        let file = File::open(&path).unwrap();
        let (report, table, history) = replay_with_history(file, &path, None, &[]).unwrap();
        assert_eq!(
            (&report, &table),
            (&replayed(name, None).0, &replayed(name, None).1)
        );
        assert_eq!(history.stages, table.stages, "{name}");
        assert_eq!(history.lives.len() as u64, report.processes.forks, "{name}");
        for (index, stage) in report.stages.iter().enumerate() {
            let lives = history.lives.iter().filter(|life| life.stage == index);
            assert_eq!(
                lives.count() as u64,
                stage.processes,
                "{name}: {}",
                stage.name
            );
        }
        for class in &report.processes.classes {
            let lives = history
                .lives
                .iter()
                .filter(|life| history.classes[life.class] == class.command_class);
            assert_eq!(
                lives.count() as u64,
                class.count,
                "{name}: {}",
                class.command_class
            );
        }
        for (index, life) in history.lives.iter().enumerate() {
            assert_eq!(life.id.index(), index, "{name}");
            assert!(
                life.parent.is_none_or(|(parent, _)| parent < life.id),
                "{name}"
            );
            assert!(
                life.started <= life.seen_until && life.seen_until <= history.last,
                "{name}"
            );
        }
        let peak = report.peak.unwrap();
        let held = history.lives.iter().filter_map(|life| life.at_peak);
        assert_eq!(held.clone().count(), peak.processes.len(), "{name}");
        let pss: ByteSize = held.filter_map(|held| held.pss).sum();
        assert_eq!(pss.bytes(), peak.pss_bytes, "{name}");
        let largest = history
            .lives
            .iter()
            .filter_map(Life::peak_rss)
            .max()
            .unwrap();
        assert_eq!(
            largest.bytes(),
            report.processes.top[0].peak_rss_bytes,
            "{name}"
        );
    }
}

#[test]
fn other_rules_change_the_stages_and_nothing_else() {
    let rule = StageRule {
        name: "typescript".into(),
        pattern: "tsc".into(),
    };
    let (before, _) = replayed("monorepo", None);
    let rules = Rules {
        stages: vec![rule],
        classes: Vec::new(),
    };
    let (after, table) = replayed("monorepo", Some(rules));
    let names: Vec<&str> = after
        .stages
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    assert_eq!(names, ["typescript", "(other)"]);
    assert_eq!(table.stages, names);
    assert_eq!(after.headline, before.headline);
    assert_eq!(after.processes.forks, before.processes.forks);
    assert_eq!(after.processes.classes, before.processes.classes);
}

#[test]
fn a_rule_names_a_class_and_changes_no_stage() {
    let rule = StageRule {
        name: "compilers".into(),
        pattern: "(^|/)(cc1|as)( |$)".into(),
    };
    let (before, _) = replayed("lua", None);
    let rules = Rules {
        stages: Vec::new(),
        classes: vec![rule],
    };
    let (after, _) = replayed("lua", Some(rules));
    assert_eq!(after.stages, before.stages);
    let count = |report: &Report, name: &str| {
        let mut classes = report.processes.classes.iter();
        classes
            .find(|class| class.command_class == name)
            .map_or(0, |class| class.count)
    };
    assert_eq!((count(&before, "cc1"), count(&before, "as")), (34, 34));
    assert_eq!((count(&after, "cc1"), count(&after, "as")), (0, 0));
    assert_eq!(count(&after, "compilers"), 68);
}

fn advice(name: &str, mib: u64) -> Advice {
    let (report, _) = replayed(name, None);
    Advice::new(&report, ByteSize::from_mib(mib))
}

#[test]
fn the_advice_of_every_recording_is_as_it_was() {
    for (name, mib) in [("cargo", 1024), ("lua", 256), ("monorepo", 1024)] {
        let advice = advice(name, mib);
        let plain = export::text::Palette::plain();
        let text = written(|out| export::advice::write(&advice, &plain, 100, out));
        insta::assert_snapshot!(format!("{name}-advice-text"), text);
        let json = written(|out| export::advice::write_json(&advice, out));
        insta::assert_snapshot!(format!("{name}-advice-json"), json);
    }
}

#[test]
fn a_build_that_is_too_large_is_told_so_and_gets_no_line() {
    for name in FIXTURES {
        let advice = advice(name, 32);
        assert_eq!(advice.answer, Answer::TooLarge, "{name}");
        assert!(advice.node.is_none(), "{name}");
        for pool in &advice.pools {
            assert_eq!((pool.worst.jobs, pool.typical.jobs), (0, 0), "{name}");
            assert!(pool.lines.is_empty(), "{name}");
        }
        let plain = export::text::Palette::plain();
        let text = written(|out| export::advice::write(&advice, &plain, 100, out));
        assert!(
            text.contains("32.00 MiB  is too little: the run held more"),
            "{text}"
        );
    }
}

#[test]
fn the_worst_case_of_as_many_jobs_as_there_were_is_no_less_than_what_was_held() {
    for name in FIXTURES {
        let advice = advice(name, 4096);
        assert_eq!(advice.answer, Answer::Fits, "{name}");
        for pool in advice.pools {
            let worst = Some(pool.recorded_worst_bytes);
            assert!(worst >= advice.recorded_bytes, "{name}: {worst:?}");
        }
    }
}

#[test]
fn no_line_of_advice_but_what_is_to_be_copied_is_wider_than_the_terminal() {
    for name in FIXTURES {
        let mut advice = advice(name, 600);
        advice.command = vec!["x\n\u{1b}[2J\u{200b}宽字符".repeat(40)];
        for width in [40, 60, 80, 120] {
            let of = |palette| written(|out| export::advice::write(&advice, &palette, width, out));
            let plain = of(export::text::Palette::plain());
            assert!(
                plain.chars().all(|c| c == '\n' || !c.is_control()),
                "{plain:?}"
            );
            for line in plain.lines().filter(|line| !line.starts_with("    ")) {
                assert!(columns(line) <= width, "{name}, width {width}: {line}");
            }
            let colored = of(export::text::Palette::colored());
            assert_eq!(anstream::adapter::strip_str(&colored).to_string(), plain);
        }
    }
}

#[test]
fn without_rules_the_steps_of_the_root_script_are_the_stages() {
    let (report, _) = replayed("monorepo", Some(Rules::default()));
    let names: Vec<&str> = report
        .stages
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    insta::assert_debug_snapshot!(names);
}

/// Columns of a line on a terminal, without its colours.
fn columns(line: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(anstream::adapter::strip_str(line).to_string().as_str())
}

#[test]
fn no_line_of_the_summary_is_wider_than_the_terminal_and_colours_change_nothing() {
    for name in FIXTURES {
        let (report, _) = replayed(name, None);
        for width in [40, 60, 80, 100, 140] {
            let of = |palette| written(|out| export::text::write(&report, &palette, width, out));
            let plain = of(export::text::Palette::plain());
            for line in plain.lines() {
                assert!(columns(line) <= width, "{name}, width {width}: {line}");
            }
            let colored = of(export::text::Palette::colored());
            assert_ne!(colored, plain);
            assert_eq!(anstream::adapter::strip_str(&colored).to_string(), plain);
        }
    }
}

#[test]
fn a_hostile_command_line_breaks_no_line_and_reaches_no_terminal() {
    let (mut report, _) = replayed("lua", None);
    let hostile = "x\n\u{1b}[2J\u{7}\r\t\u{200b}宽字符".repeat(40);
    report.command = vec![hostile.clone()];
    report.stages[0].name.clone_from(&hostile);
    report.headline.escaped.push(buildmem::report::Escaped {
        cgroup: hostile.clone(),
        processes: 1,
        peak_bytes: None,
    });
    for process in &mut report.peak.as_mut().unwrap().processes {
        process.command.clone_from(&hostile);
        process.stage.clone_from(&hostile);
    }
    for check in &mut report.verify {
        check.path.clone_from(&hostile);
    }
    report.notes.push(buildmem::event::Note {
        what: hostile.clone(),
        why: hostile,
    });
    let plain = export::text::Palette::plain();
    let text = written(|out| export::text::write(&report, &plain, 80, out));
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
    for line in text.lines() {
        assert!(columns(line) <= 80, "{line}");
    }
}

#[test]
fn a_recording_that_ends_early_is_reported_as_far_as_it_goes() {
    let recorded = std::fs::read_to_string(path("monorepo")).unwrap();
    let cut = recorded.len() / 2;
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &recorded.as_bytes()[..cut]).unwrap();
    let (report, _) = replay(file, Path::new("cut"), None, &[]).unwrap();
    assert_eq!(report.verdict, buildmem::report::Verdict::Incomplete);
    assert!(report.peak.is_some() && report.headline.bytes.is_none());
    assert!(
        report.notes.iter().any(|note| note.what == "recording"),
        "{:?}",
        report.notes
    );
    let plain = export::text::Palette::plain();
    insta::assert_snapshot!(written(|out| export::text::write(
        &report, &plain, 100, out
    )));
}

#[test]
fn a_fixture_tells_nothing_of_where_it_was_made() {
    for name in FIXTURES {
        let text = std::fs::read_to_string(path(name)).unwrap();
        for private in ["/root", "/work"] {
            assert!(!text.contains(private), "{name} contains `{private}`");
        }
    }
}
