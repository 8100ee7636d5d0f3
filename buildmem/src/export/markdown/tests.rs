use std::cell::RefCell;

use comrak::nodes::{AstNode, NodeValue};
use comrak::{Arena, Options};
use proptest::prelude::*;

use super::*;
use crate::export::samples;
use crate::timeline::TimelineRow;
use crate::units::ByteSize;

/// GitHub's Markdown, with the addresses that it finds by itself.
fn github() -> Options<'static> {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.autolink = true;
    options.extension.strikethrough = true;
    options.extension.tasklist = true;
    options.extension.footnotes = true;
    options.extension.alerts = true;
    options.extension.math_dollars = true;
    options.extension.math_code = true;
    options.parse.relaxed_autolinks = true;
    options
}

/// What a reader sees of a cell: its text, and which of it is code.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    text: String,
    code: Vec<String>,
}

/// The cells of all tables, by row; fails where anything else than what we write is in them.
fn tables(markdown: &str) -> Vec<Vec<Seen>> {
    let arena = Arena::new();
    let root = comrak::parse_document(&arena, markdown, &github());
    let rows: RefCell<Vec<Vec<Seen>>> = RefCell::default();
    for node in root.descendants() {
        match &node.data.borrow().value {
            NodeValue::Table(table) => {
                for row in node.children() {
                    assert_eq!(row.children().count(), table.num_columns, "{markdown}");
                }
            }
            NodeValue::TableRow(_) => {
                rows.borrow_mut().push(node.children().map(seen).collect());
            }
            NodeValue::Document
            | NodeValue::Paragraph
            | NodeValue::Heading(_)
            | NodeValue::CodeBlock(_)
            | NodeValue::TableCell
            | NodeValue::Text(_)
            | NodeValue::Code(_)
            | NodeValue::Strong
            | NodeValue::SoftBreak => {}
            NodeValue::HtmlInline(html) => {
                let ours = ["<sub>", "</sub>", "<code>", "</code>"];
                assert!(ours.contains(&html.as_str()), "{html}");
            }
            NodeValue::HtmlBlock(html) => assert!(
                html.literal.starts_with("<details><summary>")
                    || html.literal.starts_with("</details>"),
                "{}",
                html.literal
            ),
            other => panic!("{other:?} in\n{markdown}"),
        }
    }
    rows.into_inner()
}

fn seen<'a>(cell: &'a AstNode<'a>) -> Seen {
    let mut seen = Seen::default();
    let mut is_code = false;
    for node in cell.descendants() {
        match &node.data.borrow().value {
            NodeValue::Text(text) => {
                assert_mentions_nobody(text);
                match seen.code.last_mut().filter(|_| is_code) {
                    Some(code) => code.push_str(&text.replace('\u{200b}', "")),
                    None => seen.text.push_str(text),
                }
            }
            NodeValue::Code(code) => seen.code.push(code.literal.clone()),
            NodeValue::HtmlInline(html) => {
                is_code = html == "<code>";
                seen.code.extend(is_code.then(String::new));
            }
            _ => {}
        }
    }
    seen
}

/// GitHub looks for these in what is shown, wherever it is not code.
fn assert_mentions_nobody(text: &str) {
    for mark in ['@', '#'] {
        for (at, _) in text.match_indices(mark) {
            let next = text[at + 1..].chars().next();
            assert!(
                next.is_none_or(|next| !next.is_alphanumeric()),
                "{mark} in {text:?}"
            );
        }
    }
}

fn timeline(held: &[u64]) -> TimelineTable {
    let row = |(index, held): (usize, &u64)| TimelineRow {
        at_s: f64::from(u32::try_from(index).unwrap()) / 4.0,
        stage: "build".to_owned(),
        cgroup: Some(ByteSize::from_mib(*held)),
        composition: None,
        pss: ByteSize::from_mib(held / 2),
        rss: ByteSize::from_mib(*held),
        live: 1,
        stage_pss: Vec::new(),
    };
    TimelineTable {
        stages: Vec::new(),
        rows: held.iter().enumerate().map(row).collect(),
    }
}

fn shown(report: &Report) -> String {
    let mut bytes = Vec::new();
    let table = timeline(&[10, 200, 354, 90, 306, 280, 60, 400, 900, 1509, 1100, 300]);
    write(report, &table, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_monorepo() {
    insta::assert_snapshot!(shown(&samples::monorepo()));
}

#[test]
fn a_c_build_without_stages() {
    insta::assert_snapshot!(shown(&samples::c_build()));
}

#[test]
fn a_build_that_was_killed_for_want_of_memory() {
    insta::assert_snapshot!(shown(&samples::out_of_memory()));
}

#[test]
fn command_lines_that_attack_the_page() {
    insta::assert_snapshot!(shown(&samples::hostile()));
}

#[test]
fn every_report_is_tables_of_text_and_fits_a_comment() {
    for (name, report) in samples::all().into_iter().chain([("odd", samples::odd())]) {
        let text = shown(&report);
        let rows = tables(&text);
        assert!(rows.len() > 5, "{name}: {text}");
        assert!(text.chars().count() < 65_536, "{name}");
    }
}

#[test]
fn what_has_no_place_in_a_comment_is_left_out_table_by_table() {
    let long = r"\|@".repeat(500);
    let mut report = samples::hostile();
    report.notes = vec![
        Note {
            what: long.clone(),
            why: long.clone(),
        };
        100
    ];
    report.profiler.kernel.clone_from(&long);
    report.profiler.version.clone_from(&long);
    report.host.image = Some(long);
    let text = shown(&report);
    assert!(text.len() < 65_536, "{}", text.len());
    assert!(text.contains("Some tables had no place here"));
    assert!(tables(&text).len() > 5);
}

#[test]
fn a_chart_marks_the_highest_sample() {
    insta::assert_snapshot!(chart(&timeline(&[0, 10, 20, 40, 80, 60, 30, 20])));
    insta::assert_snapshot!(chart(&timeline(&[80, 10, 20])));
}

#[test]
fn a_chart_of_nothing_is_none() {
    for held in [&[][..], &[7], &[0, 0, 0]] {
        assert_eq!(chart(&timeline(held)), "");
    }
}

#[test]
fn a_build_without_a_cgroup_is_drawn_by_its_processes() {
    let mut table = timeline(&[10, 40, 20]);
    for row in &mut table.rows {
        row.cgroup = None;
    }
    assert!(chart(&table).contains("20.00 MiB after 0.25 s (PSS of the processes)"));
}

/// What a person would write to be a nuisance.
const HOSTILE: [&str; 24] = [
    "a|b",
    r"grep 'a\|b\\|c'",
    "`code`",
    "``` x ` y",
    "`",
    "<script>alert(1)</script>",
    "<!-- x --> <b>",
    "@everyone",
    "see #1, GH-1, owner/repo#1",
    "[x](http://example.com)",
    "![x](http://example.com/x.png)",
    "http://example.com www.example.com WWW.example.com ftp://example.com",
    "me@example.com mailto:me@example.com xmpp:me@example.com",
    "**bold** __bold__ *x* _x_ ~~x~~",
    "$x$ $$x$$ $`x`$",
    ":tada: :+1:",
    "&amp; &lt;script&gt; &#64;everyone",
    r"\* \` \| \\",
    "[^1]: x [^1]",
    "> [!NOTE]",
    "- [x] done",
    "a\nb\r\n| c |",
    "\u{a0}nothing\u{a0}",
    "trailing \\",
];

#[test]
fn whatever_was_run_is_shown_as_it_was_run() {
    for text in HOSTILE {
        let mut report = samples::monorepo();
        report.stages[0].name = text.to_owned();
        let peak = report.peak.as_mut().unwrap();
        peak.processes[0].command = text.to_owned();
        report.notes = vec![Note {
            what: text.to_owned(),
            why: text.to_owned(),
        }];
        report.verify[0].path = text.to_owned();
        report.verify[0].detail = text.to_owned();
        let rows = tables(&shown(&report));
        let expected = visible(text).trim().to_owned();
        let as_code = rows
            .iter()
            .flatten()
            .filter(|cell| cell.code == [expected.as_str()]);
        // The stage, the process, the check and the note.
        assert_eq!(as_code.count(), 4, "{text}: {rows:#?}");
    }
}

#[test]
fn prose_keeps_its_code_and_says_what_it_said() {
    let cell = &tables(&one_cell(&prose("cannot open `a|b` of @me: `x")))[1][0];
    assert_eq!(cell.code, ["a|b"]);
    assert_eq!(cell.text, "cannot open  of @\u{200b}me: `x");
}

fn one_cell(cell: &str) -> String {
    let mut table = Table::new([""]);
    table.row([cell.to_owned()]);
    let mut page = String::new();
    table.write(&mut page);
    page
}

proptest! {
    #[test]
    fn any_text_is_shown_as_it_is(text in r"[a1 |`\\<>&;#@:/._*~$!()\[\]{}'-]{1,30}") {
        let rows = tables(&one_cell(&code(&text)));
        let expected = text.trim();
        if expected.is_empty() {
            prop_assert_eq!(&rows[1][0].text, "(empty)");
        } else {
            prop_assert_eq!(&rows[1][0].code, &[expected]);
        }
        // With what of it is code put back, and without what has no width.
        let rows = tables(&one_cell(&plain(&text)));
        let as_text = rows[1][0].text.replace('\u{200b}', "");
        prop_assert_eq!(as_text.trim(), expected);
        tables(&one_cell(&prose(&text)));
    }
}
