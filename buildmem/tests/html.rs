//! The page for browsers: how large it is and how long it takes for builds of many processes; and in a real browser,
//! that it opens without an error or a request, and answers.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot make its page or start its browser fails"
)]

mod browser;
#[path = "support/slowness.rs"]
mod slowness;

use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use buildmem::command_line::{Arg, CommandLine};
use buildmem::commands::replay::{replay_keeping, replay_with_history};
use buildmem::event::{CgroupSample, Event, EventKind, ExitStatus, ProcessSample};
use buildmem::export;
use buildmem::ids::Tgid;
use buildmem::reading::Reading;
use buildmem::recording::{FORMAT, Header, RecordingWriter};
use buildmem::stage_rule::StageRule;
use buildmem::units::{BootTime, ByteSize};
use serde_json::{Value, json};

use self::browser::Browser;

const ROOT: Tgid = Tgid(100);

fn header() -> Header {
    Header {
        format: FORMAT.into(),
        version: "0.1.0".into(),
        label: "generated".into(),
        started_at: "2026-01-01T00:00:00Z".into(),
        started: BootTime::from_nanos(0),
        command: vec![Arg(b"make".to_vec()), Arg(b"-j8".to_vec())],
        cwd: "/src".into(),
        tracker: "ebpf".into(),
        interval_ms: 150,
        kernel: "6.18".into(),
        cpus: 8,
        memory: ByteSize::from_mib(16 << 10),
        cgroup_version: Some(2),
        cgroup: Some("/build".into()),
        stages: ["1[0-9]", "[2-5][0-9]", "[6-9][0-9]"]
            .map(|modules| StageRule {
                name: format!("modules {modules}"),
                pattern: format!("src/module-{modules}/"),
            })
            .to_vec(),
        classes: Vec::new(),
        budget: None,
        preset: None,
        image: None,
    }
}

/// A build of so many processes: a make that runs compilers with command lines as they are in C++ projects, each of
/// them of two processes. One in a hundred has an argument that is markup.
fn recording(processes: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = RecordingWriter::begin(&mut bytes, &header()).unwrap();
    let mut now = 0;
    let mut tell = |nanos: u64, event: EventKind| {
        now += nanos;
        writer
            .write(&Event::new(BootTime::from_nanos(now), event))
            .unwrap();
    };
    let forked = |parent, child| EventKind::Forked {
        parent,
        child,
        shares_mm: false,
    };
    let execed = |tgid, args: Vec<String>| EventKind::Execed {
        tgid,
        argv: CommandLine::from_args(args),
        ended_image: Reading::known(ByteSize::from_mib(1), "test"),
    };
    let exited = |tgid, kib| EventKind::Exited {
        tgid,
        status: Some(ExitStatus::Code(0)),
        rss_high_water: Reading::known(ByteSize::from_kib(kib), "test"),
    };
    tell(0, forked(Tgid(1), ROOT));
    tell(0, EventKind::BuildStarted { tgid: ROOT });
    tell(1000, execed(ROOT, vec!["make".into(), "-j8".into()]));
    for index in 0..processes / 2 {
        let (gcc, cc1) = (Tgid(1000 + 2 * index), Tgid(1001 + 2 * index));
        let source = format!("src/module-{}/part-{index}.cc", index % 97);
        let common = "-I/usr/include/c++/12 -Iinclude -I../third_party/abseil -DNDEBUG -D_GNU_SOURCE -O2 -Wall -Wextra -fPIC -std=c++20";
        let args = |program: &str| {
            let mut args = vec![program.to_owned()];
            args.extend(common.split(' ').map(str::to_owned));
            args.extend([
                source.clone(),
                "-o".into(),
                format!("out/obj/part-{index}.o"),
            ]);
            if index % 100 == 0 {
                args.push("</script><script>alert(1)</script><!--\u{2028}".into());
            }
            args
        };
        tell(3_000_000, forked(ROOT, gcc));
        tell(200_000, execed(gcc, args("g++")));
        tell(400_000, forked(gcc, cc1));
        tell(
            200_000,
            execed(cc1, args("/usr/lib/gcc/x86_64-linux-gnu/12/cc1plus")),
        );
        if index % 8 == 0 {
            let held = ByteSize::from_kib(20_000 + u64::from(index * 7919 % 90_000));
            let sample = ProcessSample {
                tgid: cc1,
                rss: held,
                anon: Some(held),
                pss: None,
            };
            let usage = held + ByteSize::from_mib(40);
            tell(
                1_000_000,
                EventKind::Sampled {
                    cgroup: Some(CgroupSample {
                        usage,
                        composition: None,
                    }),
                    processes: vec![sample],
                },
            );
        }
        tell(
            20_000_000,
            exited(cc1, 20_000 + u64::from(index * 7919 % 90_000)),
        );
        tell(500_000, exited(gcc, 3000));
    }
    tell(1_000_000, exited(ROOT, 9000));
    tell(
        0,
        EventKind::BuildEnded {
            status: ExitStatus::Code(0),
        },
    );
    tell(
        0,
        EventKind::HeadlineRead {
            bytes: Reading::known(ByteSize::from_mib(160), "memory.peak"),
            limit: Some(ByteSize::from_mib(256)),
            oom_kills: Some(0),
        },
    );
    bytes
}

/// The page of a recording, and how long it took to make from what was read.
fn page(recording: &[u8]) -> (String, Duration) {
    let (report, table, history) = replay_keeping(
        export::html::KEEP,
        Cursor::new(recording),
        Path::new("generated"),
        None,
        &[],
    )
    .unwrap();
    let began = Instant::now();
    let mut bytes = Vec::new();
    export::html::write(&report, &table, &history, &mut bytes).unwrap();
    (String::from_utf8(bytes).unwrap(), began.elapsed())
}

#[test]
fn a_page_of_ten_thousand_processes_is_below_one_and_a_half_megabytes_and_says_what_it_left_out() {
    let (page, _) = page(&recording(10_000));
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
    assert_eq!(export::html::MOST_PROCESSES, 8000);
    assert!(page.contains("8,000 of 10,001 are drawn"));
    assert!(page.contains("2,001 more, none of them above"));
}

#[test]
fn a_page_of_a_hundred_thousand_processes_is_no_larger_and_made_in_three_seconds() {
    let (page, took) = page(&recording(100_000));
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
    assert!(page.contains("8,000 of 100,001 are drawn"));
    let allowed = Duration::from_secs(3) * slowness::slowness();
    assert!(took < allowed, "{took:?}");
}

/// A page in a file, for the browser to open.
fn file_of(page: &str, folder: &Path) -> PathBuf {
    let path = folder.join("report.html");
    std::fs::write(&path, page).unwrap();
    path
}

fn page_of_fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
        .join("recording.jsonl");
    let (report, table, history) =
        replay_with_history(File::open(&path).unwrap(), &path, None, &[]).unwrap();
    let mut bytes = Vec::new();
    export::html::write(&report, &table, &history, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Fails where the page complained, or asked for anything but itself.
fn check_quiet(browser: &mut Browser, page: &Path) {
    assert_eq!(browser.console(), [""; 0]);
    assert_eq!(browser.requests(), [format!("file://{}", page.display())]);
}

#[test]
#[ignore = "needs chromium: cargo xtask test"]
fn the_page_opens_without_an_error_or_a_request_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_of(&page_of_fixture("monorepo"), folder.path());
    let mut browser = Browser::start(true);
    browser.open(&path);
    assert_eq!(
        browser.run("return document.documentElement.dataset.ready"),
        "yes"
    );
    browser.screenshot("monorepo");

    // A process: by a click on its row.
    let shown =
        |browser: &mut Browser| browser.run("return document.querySelector('.details').innerText");
    browser.click(".view .row:nth-child(3)");
    let details = shown(&mut browser);
    let chosen =
        browser.run("return document.querySelector('[aria-selected=true] .pid').textContent");
    assert!(
        details.as_str().unwrap().contains(chosen.as_str().unwrap()),
        "{details}"
    );
    assert!(details.as_str().unwrap().contains("tsc"), "{details}");
    // And the next by keyboard.
    browser.focus(".list");
    browser.press(&["\u{e015}"]);
    let next =
        browser.run("return document.querySelector('[aria-selected=true] .pid').textContent");
    assert_ne!(next, chosen);
    let active = browser.run("return document.getElementById(document.querySelector('.list').getAttribute('aria-activedescendant')).ariaSelected");
    assert_eq!(active, "true");

    // A range of time: by dragging over the second half.
    let count = "return document.querySelector('.tools [role=status]').textContent";
    assert_eq!(browser.run(count), "130 processes");
    browser.drag("#plot", 0.5, 0.75);
    let range = browser.run("return document.getElementById('range-text').textContent");
    let range = range.as_str().unwrap();
    assert!(
        range.starts_with("16.") && range.contains("highest ") && range.contains(" MiB at "),
        "{range}"
    );
    let within = browser.run(count);
    assert!(
        within.as_str().unwrap().ends_with(" of 130 processes"),
        "{within}"
    );
    browser.screenshot("monorepo-range");
    // And by keyboard; Escape ends it.
    browser.focus(".slider");
    browser.press(&["\u{e00c}"]);
    assert_eq!(browser.run(count), "130 processes");
    browser.press(&["\u{e011}"]);
    browser.press(&["\u{e008}", "\u{e014}"]);
    let by_keys = browser.run("return document.getElementById('range-text').textContent");
    assert!(by_keys.as_str().unwrap().contains("highest "), "{by_keys}");
    let told =
        browser.run("return document.querySelector('.slider').getAttribute('aria-valuetext')");
    assert!(told.as_str().unwrap().contains(" MiB"), "{told}");
    browser.press(&["\u{e00c}"]);

    // The tree, with search.
    browser.click("[data-order=tree]");
    browser.focus(".tools input");
    browser.press(&["j", "e", "s", "t"]);
    let found = browser.run("return [...document.querySelectorAll('.view .row')].map(row => [row.ariaLevel, row.innerText.split('\\n')[1]])");
    let found = found.as_array().unwrap();
    assert!(found.len() > 2, "{found:?}");
    assert_eq!(found[0][0], "1", "who led to it is shown: {found:?}");
    browser.screenshot("monorepo-tree");

    // The peak, by its mark; dark, by its switch.
    browser.click("#peak-mark circle");
    assert_eq!(browser.run("return location.hash"), "#at-peak");
    browser.click(".tile");
    assert_eq!(
        browser.run("return document.querySelectorAll('.tile[aria-pressed=true]').length"),
        json!(1)
    );
    let background = "return getComputedStyle(document.body).backgroundColor";
    let before = browser.run(background);
    browser.click("#theme");
    assert_ne!(browser.run(background), before);
    browser.screenshot("monorepo-dark");
    check_quiet(&mut browser, &path);
}

#[test]
#[ignore = "needs chromium: cargo xtask test"]
fn a_page_of_a_hundred_thousand_processes_opens_in_three_seconds_and_its_markup_stays_text() {
    let folder = tempfile::tempdir().unwrap();
    let (page, _) = page(&recording(100_000));
    let path = file_of(&page, folder.path());
    let mut browser = Browser::start(true);
    let began = Instant::now();
    browser.open(&path);
    assert_eq!(
        browser.run("return document.documentElement.dataset.ready"),
        "yes"
    );
    let took = began.elapsed();
    println!("opened in {took:?}");
    assert!(
        took < Duration::from_secs(3) * slowness::slowness(),
        "{took:?}"
    );
    browser.screenshot("hundred-thousand");
    browser.focus(".tools input");
    browser.press(&["a", "l", "e", "r", "t"]);
    browser.click(".view .row");
    let command = browser.run("return document.querySelector('.details pre').textContent");
    assert!(
        command
            .as_str()
            .unwrap()
            .contains("</script><script>alert(1)</script><!--"),
        "{command}"
    );
    assert_eq!(browser.run("return document.scripts.length"), json!(2));
    check_quiet(&mut browser, &path);
}

#[test]
#[ignore = "needs chromium: cargo xtask test"]
fn without_scripts_the_pictures_and_tables_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_of(&page_of_fixture("monorepo"), folder.path());
    let mut browser = Browser::start(false);
    browser.open(&path);
    browser.screenshot("monorepo-no-scripts");
    // What the driver runs itself is no script of the page.
    assert_eq!(
        browser.run("return document.documentElement.dataset.ready || 'no'"),
        "no"
    );
    let count = "return [...document.querySelectorAll(arguments[0])].filter(it => it.getBoundingClientRect().height > 0).length";
    let mut seen = |selector: &str| {
        browser
            .run_with(count, &[Value::from(selector)])
            .as_u64()
            .unwrap()
    };
    assert!(seen("path.area") >= 4 && seen("path.usage") == 1);
    assert!(seen("table caption") >= 6, "{}", seen("table caption"));
    assert!(seen("#at-peak-table tbody tr") >= 4);
    assert!(seen("#largest tbody tr") == 20);
    assert_eq!(
        seen("#explorer") + seen("#treemap") + seen("#theme") + seen("#range"),
        0
    );
}
