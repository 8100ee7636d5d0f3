use proptest::prelude::*;
use unicode_width::UnicodeWidthStr as _;

use super::*;
use crate::export::samples;
use crate::report::Part;

fn shown(report: &Report, palette: Palette, width: usize) -> String {
    let mut bytes = Vec::new();
    write(report, &palette, width, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn plain(report: &Report) -> String {
    shown(report, Palette::plain(), 100)
}

/// What a terminal would obey, or would not show where it stands.
fn misplaced(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn check_layout(text: &str, width: usize) {
    // Not `lines`, which takes a carriage return for a part of the line's end.
    for line in text.strip_suffix('\n').unwrap().split('\n') {
        assert!(
            line.width() <= width,
            "{} columns of {width}: {line}",
            line.width()
        );
        assert!(!line.contains(misplaced), "{line:?}");
        assert_eq!(line, line.trim_end(), "spaces at the end");
    }
    assert!(!text.contains("\n\n\n"), "two empty lines:\n{text}");
}

#[test]
fn a_monorepo() {
    insta::assert_snapshot!(plain(&samples::monorepo()));
}

#[test]
fn a_monorepo_on_a_narrow_terminal() {
    insta::assert_snapshot!(shown(&samples::monorepo(), Palette::plain(), 80));
}

#[test]
fn no_warning_and_no_figure_is_cut_on_a_narrow_terminal() {
    let text = |report: &Report, width: usize| {
        let text = shown(report, Palette::plain(), width);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for width in 40..=160 {
        let escaped = text(&samples::escaped(), width);
        assert!(escaped.contains("not complete: 32 processes left the cgroup, see below"));
        assert!(escaped.contains("exit code 0, 1 of 2 checks failed"));
        assert!(escaped.contains("58 processes seen by `proc`: short ones may have been missed"));
        let mut polled = samples::monorepo();
        polled.headline.complete = false;
        assert!(
            text(&polled, width).contains("not known to be complete: what left the cgroup was")
        );
        let saturated = text(&samples::out_of_memory(), width);
        assert!(saturated.contains("the limit, which was reached: it may need more"));
        let incomplete = text(&samples::incomplete(), width);
        assert!(incomplete.contains("at least (highest sample; exact peak unknown)"));
        assert!(incomplete.contains("12 events lost: more than the 58 processes seen may"));
    }
}

#[test]
fn a_monorepo_on_the_narrowest_terminal() {
    insta::assert_snapshot!(shown(&samples::monorepo(), Palette::plain(), 40));
}

#[test]
fn a_monorepo_in_colour() {
    let text = shown(&samples::monorepo(), Palette::colored(), 120);
    insta::assert_snapshot!(text.replace('\x1b', "␛"));
}

#[test]
fn a_c_build_without_stages() {
    insta::assert_snapshot!(plain(&samples::c_build()));
}

#[test]
fn a_build_that_failed() {
    insta::assert_snapshot!(plain(&samples::failed()));
}

#[test]
fn a_build_that_was_killed_for_want_of_memory() {
    insta::assert_snapshot!(plain(&samples::out_of_memory()));
}

#[test]
fn an_interrupted_build_of_which_nothing_is_known() {
    insta::assert_snapshot!(plain(&samples::interrupted()));
}

#[test]
fn a_recording_that_ends_early() {
    insta::assert_snapshot!(plain(&samples::incomplete()));
}

#[test]
fn a_build_that_left_its_cgroup() {
    insta::assert_snapshot!(plain(&samples::escaped()));
}

#[test]
fn command_lines_that_attack_the_terminal() {
    insta::assert_snapshot!(plain(&samples::hostile()));
}

#[test]
fn a_peak_that_no_sample_saw() {
    insta::assert_snapshot!(plain(&samples::missed()));
}

#[test]
fn what_the_kernel_charges_in_advance_is_no_missed_peak() {
    let mut report = samples::tiny();
    let sampled = report.peak.as_ref().unwrap().cgroup_bytes.unwrap();
    for (more, missed) in [(512 << 10, false), (513 << 10, true)] {
        report.headline.bytes = Some(sampled + more);
        let text = plain(&report);
        assert_eq!(text.contains("fell between two samples"), missed, "{more}");
    }
}

#[test]
fn a_tiny_build() {
    insta::assert_snapshot!(plain(&samples::tiny()));
}

#[test]
fn figures_beyond_their_ranges_break_nothing() {
    for width in [20, 100] {
        check_layout(&shown(&samples::odd(), Palette::plain(), width), width);
    }
}

#[test]
fn no_line_is_wider_than_asked_for() {
    for (_, report) in samples::all() {
        for width in 20..=160 {
            check_layout(&shown(&report, Palette::plain(), width), width);
        }
    }
}

#[test]
fn without_its_colours_the_coloured_summary_is_the_plain_one() {
    for (name, report) in samples::all() {
        for width in 40..=160 {
            let colored = shown(&report, Palette::colored(), width);
            let stripped = without_styles(&colored);
            check_layout(&stripped, width);
            assert_eq!(
                stripped,
                shown(&report, Palette::plain(), width),
                "{name} on {width}"
            );
        }
    }
}

/// The text without the sequences that choose a style. Others stay, and are found by [`check_layout`].
fn without_styles(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('m') {
            Some((style, rest)) if style.chars().all(|c| c.is_ascii_digit() || c == ';') => {
                plain.push_str(rest);
            }
            Some(_) | None => {
                plain.push_str("\x1b[");
                plain.push_str(part);
            }
        }
    }
    plain
}

#[test]
fn a_process_is_listed_once_though_its_pid_was_used_before() {
    let mut report = samples::monorepo();
    let listed = |report: &Report| {
        let text = plain(report);
        let (_, largest) = text.split_once("Largest others").unwrap();
        let (largest, _) = largest.split_once("\n\n").unwrap();
        largest.matches(" 4511  ").count()
    };
    assert_eq!(listed(&report), 0, "it is shown at the peak");
    report.processes.top[0].ended_s = Some(12.5);
    assert_eq!(listed(&report), 1, "it had ended before the peak");
    report.processes.top[0].started_s = 39.0;
    report.processes.top[0].ended_s = None;
    assert_eq!(listed(&report), 1, "it started after the peak");
}

#[test]
fn the_kernel_is_acquitted_of_a_kill_that_it_did_not_do() {
    let mut report = samples::out_of_memory();
    report.oom = Oom {
        kills: Some(0),
        victims: Vec::new(),
    };
    let text = "not for want of memory";
    assert!(plain(&report).contains(text));
    report.oom.kills = None;
    assert!(!plain(&report).contains(text));
}

#[test]
fn the_status_line_fits_a_terminal() {
    let mut now = Status {
        title: "build-mem".to_owned(),
        stage: Some("next-build".to_owned()),
        now: Some(ByteSize::from_mib(1240)),
        peak: Some(ByteSize::from_mib(1516)),
        processes: 9,
        elapsed: Duration::from_millis(28_914),
    };
    insta::assert_snapshot!(
        status(&now),
        @"build-mem 0:28 | next-build | 1.21 GiB now | 1.48 GiB peak | 9 processes"
    );
    now.stage = Some("\x1b[2J a stage with a name of some length".to_owned());
    now.processes = 5157;
    now.elapsed = Duration::from_hours(5);
    insta::assert_snapshot!(
        status(&now),
        @r"build-mem 5:00:00 | \u{1b}[2J a stage with … | 1.21 GiB now | 1.48 GiB peak"
    );
    let nothing = Status {
        title: "build-mem".to_owned(),
        stage: None,
        now: None,
        peak: None,
        processes: 1,
        elapsed: Duration::ZERO,
    };
    insta::assert_snapshot!(status(&nothing), @"build-mem 0:00 | 1 process");
}

proptest! {
    #[test]
    fn nothing_from_outside_breaks_the_layout(
        text in "[a/ \n\x1b\u{9b}漢e\u{301}\u{202e}👍🏽\u{fe0f}\u{200d}'=-]{0,60}",
        width in 20..140_usize,
    ) {
        let mut report = samples::monorepo();
        report.command = vec![text.clone()];
        report.label.clone_from(&text);
        report.stages[1].name.clone_from(&text);
        report.processes.top[0].command.clone_from(&text);
        report.processes.top[1].stage.clone_from(&text);
        report.verify[1].path.clone_from(&text);
        report.notes[1].why.clone_from(&text);
        check_layout(&shown(&report, Palette::plain(), width), width);
    }
}

#[test]
fn budgets_that_were_not_kept_are_told_and_the_others_counted() {
    let budget = |part, name: &str, measured_bytes: Option<u64>, bytes: u64| PartBudget {
        part,
        name: name.to_owned(),
        bytes,
        measured_bytes,
        exceeded_by_bytes: measured_bytes.map(|measured| measured.saturating_sub(bytes)),
    };
    let mut report = samples::monorepo();
    report.budgets = vec![
        budget(Part::Stage, "build-deps", Some(306 << 20), 400 << 20),
        budget(Part::Stage, "next-build", Some(1180 << 20), 1 << 30),
        budget(Part::Class, "node tsc", None, 1 << 30),
    ];
    let text = plain(&report);
    let told: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("budget"))
        .map(str::trim)
        .collect();
    assert_eq!(
        told,
        [
            "1.00 GiB  is the budget of stage next-build: exceeded by 156.00 MiB",
            "1.00 GiB  is the budget of class node tsc: not known to be kept",
            "1 budget of a stage or class not exceeded",
        ]
    );
    check_layout(&text, 100);
    let schema =
        serde_json::from_str(include_str!("../../../../docs/result-1.schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    assert!(validator.is_valid(&serde_json::to_value(&report).unwrap()));
}
