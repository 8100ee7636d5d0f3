//! What every page is, whatever was measured: well-formed, self-contained, and text where it shows text.

use super::*;
use crate::export::samples;
use crate::stages::OTHER;
use crate::timeline::TimelineRow;

fn page_of(report: &Report, table: &TimelineTable, history: &History) -> String {
    let mut bytes = Vec::new();
    write(report, table, history, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// The page of a report without its processes and samples.
fn page(report: &Report) -> String {
    page_of(report, &TimelineTable::default(), &History::default())
}

/// The page without its style and its scripts.
fn markup(page: &str) -> String {
    let mut rest = page;
    let mut markup = String::new();
    while let Some(start) = ["<style", "<script"]
        .iter()
        .filter_map(|tag| rest.find(tag))
        .min()
    {
        let end = ["</style>", "</script>"]
            .iter()
            .filter_map(|tag| rest.find(tag).map(|at| at + tag.len()));
        markup.push_str(&rest[..start]);
        rest = &rest[end.min().unwrap()..];
    }
    markup + rest
}

/// Fails unless every element that begins also ends, in the right order.
fn check_nesting(markup: &str) {
    const VOID: [&str; 2] = ["meta", "!doctype"];
    let mut open = Vec::new();
    for tag in markup.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').unwrap();
        assert!(!text.contains('>'), "`>` in the text {text:?}");
        let name = tag.split([' ', '/']).next().unwrap();
        match tag.strip_prefix('/') {
            Some(ends) => assert_eq!(open.pop(), Some(ends), "{tag}"),
            None if tag.ends_with('/') || VOID.contains(&name) => {}
            None => open.push(name),
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn every_report_has_a_page_that_is_whole() {
    for (name, report) in samples::all().into_iter().chain([("odd", samples::odd())]) {
        let page = page(&report);
        assert!(!markup(&page).contains("NaN%"), "{name}");
        let markup = markup(&page);
        check_nesting(&markup);
        assert!(page.ends_with("</html>\n"), "{name}");
        assert_eq!(page.matches("<script").count(), 2, "{name}");
        for table in markup.split("<table>").skip(1) {
            assert!(table.starts_with("<caption>"), "{name}");
            assert!(table.contains("<th scope=\"col\""), "{name}");
        }
    }
}

#[test]
fn a_page_fetches_nothing_and_runs_only_its_own_script() {
    for (name, report) in samples::all() {
        let page = page(&report);
        let markup = markup(&page);
        for outside in [
            " src=", "<link", "<iframe", "<img", "<base", " style=", "<form",
        ] {
            assert!(!markup.contains(outside), "{name}: {outside}");
        }
        for link in markup.split("href=\"").skip(1) {
            assert!(link.starts_with('#'), "{name}: {}", &link[..20]);
        }
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
        for way_out in [
            "fetch(",
            "XMLHttpRequest",
            "import(",
            "innerHTML",
            "eval(",
            "document.write",
        ] {
            assert!(!SCRIPT.contains(way_out), "{way_out}");
        }
        let policy = "default-src 'none'; script-src 'sha256-";
        assert_eq!(page.matches(policy).count(), 1, "{name}");
        assert!(!page.contains("unsafe-inline"), "{name}");
    }
}

#[test]
fn what_a_process_is_called_stays_text() {
    let attack = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> \" ' & \u{2028}\u{0}\u{202e}";
    let mut report = samples::hostile();
    report.label = attack.to_owned();
    report.command = vec![attack.to_owned()];
    for process in &mut report.processes.top {
        process.command = attack.to_owned();
        process.stage = attack.to_owned();
    }
    for stage in &mut report.stages {
        stage.name = attack.to_owned();
    }
    report.notes.push(Note {
        what: attack.to_owned(),
        why: attack.to_owned(),
    });
    let table = TimelineTable {
        stages: vec![attack.to_owned()],
        rows: vec![TimelineRow {
            at_s: 0.5,
            stage: attack.to_owned(),
            cgroup: None,
            composition: None,
            pss: ByteSize::from_mib(3),
            rss: ByteSize::from_mib(3),
            live: 1,
            stage_pss: vec![ByteSize::from_mib(3)],
        }],
    };
    let history = History {
        stages: table.stages.clone(),
        ..History::default()
    };
    let page = page_of(&report, &table, &history);
    check_nesting(&markup(&page));
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("<!--").count(), 0);
    assert!(!page.contains("<img"));
    let seen = page
        .chars()
        .filter(|c| c.is_control() && *c != '\n')
        .count();
    assert_eq!(seen, 0);
    assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(1)"));
}

#[test]
fn what_went_wrong_is_said_where_it_is_seen_first() {
    let first = |report: &Report| {
        let page = page(report);
        let (header, _) = page.split_once("</header>").unwrap();
        header.to_owned()
    };
    let has = |report: &Report, texts: &[&str]| {
        let header = first(report);
        for text in texts {
            assert!(header.contains(text), "{text:?} is not in {header}");
        }
    };
    has(
        &samples::monorepo(),
        &[
            "✓ Passed",
            "1.48 GiB",
            "1.20 GiB",
            "94 % of the processes’ memory was next-build’s",
        ],
    );
    has(&samples::failed(), &["✗ Build failed", "exit code 2"]);
    has(
        &samples::out_of_memory(),
        &["was reached", "for want of memory"],
    );
    has(&samples::interrupted(), &["! Interrupted"]);
    has(
        &samples::incomplete(),
        &[
            "! Incomplete",
            "The recording ends before the build does",
            "≥ ",
        ],
    );
    has(&samples::escaped(), &["left the cgroup"]);
    has(&samples::missed(), &["fell between two samples"]);
}

#[test]
fn a_build_without_samples_says_so_in_place_of_its_timeline() {
    let mut report = samples::tiny();
    report.peak = None;
    let page = page(&report);
    assert!(page.contains("<p class=\"quiet\">No sample was taken.</p>"));
    assert!(page.contains("<li>No sample was taken: who held the memory is not known.</li>"));
    assert!(!page.contains("id=\"at-peak\""));
}

#[test]
fn the_limit_is_drawn_where_it_is_near_and_told_where_it_is_far() {
    let mut report = samples::monorepo();
    let table = TimelineTable {
        stages: vec![OTHER.to_owned()],
        rows: vec![TimelineRow {
            at_s: 1.0,
            stage: OTHER.to_owned(),
            cgroup: Some(ByteSize::from_mib(900)),
            composition: None,
            pss: ByteSize::from_mib(800),
            rss: ByteSize::from_mib(900),
            live: 1,
            stage_pss: vec![ByteSize::from_mib(800)],
        }],
    };
    let mut with_limit = |mib: u64| {
        report.headline.limit_bytes = Some(mib << 20);
        page_of(&report, &table, &History::default())
    };
    assert!(with_limit(2000).contains("<line class=\"limit\""));
    let far = with_limit(8192);
    assert!(
        !far.contains("<line class=\"limit\"") && far.contains("limit 8.00 GiB, above this chart")
    );
}

#[test]
fn large_numbers_are_read_in_groups() {
    let shown = [7, 999, 1000, 100_001, 1_234_567].map(grouped);
    assert_eq!(shown, ["7", "999", "1,000", "100,001", "1,234,567"]);
}
