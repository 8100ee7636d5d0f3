//! What is fuzzed: bytes that somebody else chose, through the code that reads them, with the laws that hold whatever they
//! are. `fuzz/fuzz_targets` calls it with what libFuzzer makes up, `tests/corpus.rs` with what is kept of that.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::OnceLock;

use buildmem::command_line::{Arg, CommandLine};
use buildmem::commands::replay::{Rules, replay_with_history};
use buildmem::config::{Config, ProjectFacts, detect_preset, template};
use buildmem::event::{
    CgroupSample, Event, EventKind, ExitStatus, Note, ProcessSample, PssSample, VerifyCheck,
};
use buildmem::export;
use buildmem::history::History;
use buildmem::ids::Tgid;
use buildmem::observe::bpf::CgroupLeaf;
use buildmem::observe::bpf::decode::{DecodeContext, Decoded, decode};
use buildmem::observe::proc::{ProcReader, is_gone};
use buildmem::reading::Reading;
use buildmem::recording::{FORMAT, Header, RecordingReader, RecordingWriter, TRACKER_EBPF};
use buildmem::report::Report;
use buildmem::stages::Stages;
use buildmem::timeline::TimelineTable;
use buildmem::tree::ProcessTree;
use buildmem::units::{BootTime, ByteSize};
use serde_json::Value;
use tempfile::TempDir;

/// What is done with bytes. It panics when a law does not hold.
pub type Check = fn(&[u8]);

/// Each target by its name.
pub const TARGETS: [(&str, Check); 5] = [
    ("config", config),
    ("csv", csv),
    ("recording", recording),
    ("smaps_rollup", smaps_rollup),
    ("wire", wire),
];

/// Gives the bytes to the target of that name.
pub fn check(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(target, _)| *target == name);
    let (_, target) = target.unwrap_or_else(|| panic!("there is no target `{name}`"));
    target(bytes);
}

/// Bytes as a recording, with the recorded rules and with stages found by themselves.
fn recording(bytes: &[u8]) {
    for rules in [None, Some(Rules::default())] {
        let replayed = replay_with_history(Cursor::new(bytes), Path::new("fuzzed"), rules, &[]);
        if let Ok((report, table, history)) = replayed {
            assert_exported(&report, &table);
            assert_drawn(&report, &table, &history);
            assert_page(&report, &table, &history);
        }
    }
}

/// Bytes as what comes through the ring buffer: records, each behind its length (two bytes, the lowest first).
fn wire(bytes: &[u8]) {
    let mut context = DecodeContext {
        page_size: 4096,
        leaf: Some(CgroupLeaf {
            hierarchy_id: 0,
            cgroup_id: 7,
            path: None,
        }),
        watermarks: BTreeMap::new(),
    };
    let mut events = Vec::new();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (record, after) = after.split_at(length);
        rest = after;
        match decode(record, &mut context) {
            Ok(Decoded::Event(event) | Decoded::BornElsewhere { forked: event, .. }) => {
                events.push(event);
            }
            Ok(Decoded::Nothing) | Err(_) => {}
        }
    }
    assert_recorded(&header("wire"), &events);
    let mut tree = ProcessTree::new(Stages::none());
    for event in &events {
        tree.apply(event);
    }
    assert!(tree.live().len() <= events.len() * 2);
}

/// Bytes as the text of a config file, and as that of a package.json.
fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Config::parse(text, "build-mem.toml") {
        Ok(config) => {
            // What the config's reader takes, the run takes.
            let mut stages = Stages::from_rules(&config.stages).unwrap();
            stages.at_exec(
                buildmem::stages::StageOf::default(),
                &CommandLine::from_args(["sh", "-c", text]),
            );
        }
        Err(problem) => assert!(problem.to_string().contains("build-mem.toml"), "{problem}"),
    }
    let facts = ProjectFacts {
        files: &["package.json"],
        package_json: Some(text),
        server_package_json: Some(text),
    };
    let made = template(&facts);
    let read = Config::parse(&made, "build-mem.toml").unwrap();
    if let Some(preset) = detect_preset(facts.server_package_json) {
        assert_eq!(read.stages, preset.config().unwrap().stages);
    }
}

/// Bytes as each file of a process.
fn smaps_rollup(bytes: &[u8]) {
    thread_local! {
        static PROCESS: RefCell<FakeProcess> = RefCell::new(FakeProcess::new().unwrap());
    }
    PROCESS.with_borrow_mut(|process| process.check(bytes).unwrap());
}

/// Words, each ended by NUL as in a command line, as every text that a build or its user chooses.
fn csv(bytes: &[u8]) {
    let words: Vec<&[u8]> = bytes.split(|byte| *byte == 0).take(12).collect();
    let text = |index: usize| String::from_utf8_lossy(words[index % words.len()]).into_owned();
    let mut header = header(&text(0));
    header.command = words.iter().map(|word| Arg(word.to_vec())).collect();
    header.cwd = text(1);
    let mut kinds = vec![EventKind::BuildStarted { tgid: Tgid(1) }];
    for (index, word) in words.iter().enumerate() {
        kinds.extend(life_of(index, word, &text(index)));
    }
    kinds.extend([
        EventKind::CgroupLeft {
            tgid: Tgid(2),
            cgroup: text(2),
        },
        EventKind::EscapedCgroupRead {
            cgroup: text(2),
            bytes: Reading::missing(text(3)),
        },
        EventKind::OomKilled { tgid: Tgid(2) },
        EventKind::LeftRunning {
            tgid: Tgid(2),
            rss_high_water: Reading::missing(text(4)),
        },
        EventKind::Lost {
            source: text(3),
            count: 1,
        },
        EventKind::BuildEnded {
            status: ExitStatus::Code(1),
        },
        EventKind::Verified {
            checks: vec![VerifyCheck {
                path: text(5),
                ok: false,
                detail: text(6),
                bytes: None,
            }],
        },
        EventKind::Noted(Note {
            what: text(7),
            why: text(8),
        }),
    ]);
    let events: Vec<Event> = (1..)
        .zip(kinds)
        .map(|(millis, kind)| Event::new(BootTime::from_nanos(millis * 1_000_000), kind))
        .collect();
    let bytes = assert_recorded(&header, &events);
    let replayed = replay_with_history(Cursor::new(bytes), Path::new("recorded"), None, &[]);
    let (report, table, history) = replayed.unwrap();
    assert_exported(&report, &table);
    assert_drawn(&report, &table, &history);
}

/// A page has its own two scripts, whatever processes are called, and every place in it is one.
fn assert_page(report: &Report, table: &TimelineTable, history: &History) {
    let mut bytes = Vec::new();
    export::html::write(report, table, history, &mut bytes).unwrap();
    let page = String::from_utf8(bytes).unwrap();
    assert_eq!(page.matches("<script").count(), 2);
    assert!(!page.contains("NaN%") && !page.contains("inf%"));
}

/// A process that is called by a word, marks it as a stage, holds memory, and ends if its number is odd.
fn life_of(index: usize, word: &[u8], text: &str) -> Vec<EventKind> {
    let tgid = Tgid(u32::try_from(index).unwrap() + 2);
    let size = ByteSize::from_mib(index as u64 + 1);
    let argv = match index % 3 {
        0 => CommandLine::from_args([b"build-mem", &b"stage"[..], word, b"--", word]),
        1 => CommandLine::from_args([word, word]),
        _ => CommandLine::from_kernel(word, word.len() as u64 + 1),
    };
    let mut life = vec![
        EventKind::Forked {
            parent: Tgid(1),
            child: tgid,
            shares_mm: false,
        },
        EventKind::Execed {
            tgid,
            argv,
            ended_image: Reading::missing(text.to_owned()),
        },
        EventKind::Sampled {
            cgroup: Some(CgroupSample {
                usage: size,
                composition: None,
            }),
            processes: vec![ProcessSample {
                tgid,
                rss: size,
                anon: None,
                pss: Some(PssSample {
                    total: size,
                    shmem: ByteSize::ZERO,
                    file: Some(ByteSize::ZERO),
                    rss: size,
                }),
            }],
        },
    ];
    if index % 2 == 1 {
        life.push(EventKind::Exited {
            tgid,
            status: None,
            rss_high_water: Reading::known(size, "VmHWM"),
        });
    }
    life
}

fn header(label: &str) -> Header {
    Header {
        format: FORMAT.to_owned(),
        version: "0.1.0".to_owned(),
        label: label.to_owned(),
        started_at: "2026-01-01T00:00:00Z".to_owned(),
        started: BootTime::from_nanos(0),
        command: Vec::new(),
        cwd: "/".to_owned(),
        tracker: TRACKER_EBPF.to_owned(),
        interval_ms: 150,
        kernel: "6.18".to_owned(),
        cpus: 2,
        memory: ByteSize::from_mib(1024),
        cgroup_version: Some(2),
        cgroup: Some("/build".to_owned()),
        stages: Vec::new(),
        classes: Vec::new(),
        budget: None,
        preset: None,
        image: None,
    }
}

/// What was observed is recorded, and read again as it was.
fn assert_recorded(header: &Header, events: &[Event]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = RecordingWriter::begin(&mut bytes, header).unwrap();
    for event in events {
        writer.write(event).unwrap();
    }
    let mut reader = RecordingReader::open(&bytes[..]).unwrap();
    assert_eq!(reader.header(), header);
    for event in events {
        assert_eq!(reader.next_event().unwrap().as_ref(), Some(event));
    }
    assert!(reader.next_event().unwrap().is_none() && !reader.is_torn());
    bytes
}

/// Every export of a report is what its readers can read, whatever the names in it are.
fn assert_exported(report: &Report, table: &TimelineTable) {
    assert_json(report);
    assert_csv(table);
    assert_markdown(report, table);
    assert_openmetrics(report);
    let figures = written(|out| export::bmf::write(report, out));
    assert_valid(&figures, include_str!("../schemas/bmf.schema.json"));
    let figures = written(|out| export::github_benchmark::write(report, out));
    assert_valid(
        &figures,
        include_str!("../schemas/github-benchmark.schema.json"),
    );
    let plain = export::text::Palette::plain();
    for width in [40, 100] {
        let text = written(|out| export::text::write(report, &plain, width, out));
        for line in text.lines() {
            assert_eq!(export::visible(line), line, "nothing for a terminal");
            let columns = unicode_width::UnicodeWidthStr::width(line);
            assert!(columns <= width, "{columns} of {width} columns: {line:?}");
        }
    }
}

fn assert_json(report: &Report) {
    let whole = written(|out| export::json::write(report, out));
    let result: Value = serde_json::from_str(&whole).unwrap();
    let read: Report = serde_json::from_str(&whole).unwrap();
    assert_same(&result, &serde_json::to_value(report).unwrap());
    assert_same(&result, &serde_json::to_value(read).unwrap());
    let schema = published_schema();
    if let Some(error) = schema.iter_errors(&result).next() {
        panic!("`{}` of the result: {error}", error.instance_path());
    }
    let line = export::json::result_line(report).unwrap();
    assert!(line.starts_with(export::json::RESULT_MARK));
    assert!(!line.contains(|c: char| c.is_ascii_control() && c != '\u{7f}'));
}

fn published_schema() -> &'static jsonschema::Validator {
    static SCHEMA: OnceLock<jsonschema::Validator> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let schema = include_str!("../../../docs/result-1.schema.json");
        jsonschema::draft202012::new(&serde_json::from_str(schema).unwrap()).unwrap()
    })
}

/// Equal but for the last digit of a float, which serde_json reads as the nearest or its neighbour.
fn assert_same(a: &Value, b: &Value) {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len());
            a.iter().zip(b).for_each(|(a, b)| assert_same(a, b));
        }
        (Value::Object(a), Value::Object(b)) => {
            assert!(a.keys().eq(b.keys()));
            a.values()
                .zip(b.values())
                .for_each(|(a, b)| assert_same(a, b));
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= a.abs() * 1e-15, "{a} and {b}");
        }
        _ => assert_eq!(a, b),
    }
}

fn assert_csv(table: &TimelineTable) {
    let text = written(|out| export::csv::write(table, out));
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let columns = reader.headers().unwrap().clone();
    let stages: Vec<&str> = columns
        .iter()
        .skip(6)
        .map(|column| column.strip_prefix("pss:").unwrap())
        .collect();
    assert_eq!(stages, table.stages);
    let records: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(records.len(), table.rows.len());
    for (record, row) in records.iter().zip(&table.rows) {
        assert_eq!(&record[1], row.stage);
        let expected = row.stage_pss.iter().map(|size| size.bytes().to_string());
        assert!(record.iter().skip(6).eq(expected));
    }
}

fn assert_valid(json: &str, schema: &str) {
    let schema = serde_json::from_str(schema).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    let json: Value = serde_json::from_str(json).unwrap();
    if let Some(error) = schema.iter_errors(&json).next() {
        panic!("`{}` of {json:#}: {error}", error.instance_path());
    }
}

/// For GitHub's parser it is headings, tables, code and folds of ours, and nothing else: no link, no HTML, no picture.
fn assert_markdown(report: &Report, table: &TimelineTable) {
    use comrak::nodes::NodeValue;
    let markdown = written(|out| export::markdown::write(report, table, out));
    assert!(markdown.chars().count() < 65_536, "no place in a comment");
    let mut options = comrak::Options::default();
    options.extension.table = true;
    options.extension.autolink = true;
    options.extension.strikethrough = true;
    options.extension.footnotes = true;
    options.extension.math_dollars = true;
    options.parse.relaxed_autolinks = true;
    let arena = comrak::Arena::new();
    for node in comrak::parse_document(&arena, &markdown, &options).descendants() {
        match &node.data.borrow().value {
            NodeValue::Table(table) => {
                let mut rows = node.children();
                assert!(rows.all(|row| row.children().count() == table.num_columns));
            }
            NodeValue::HtmlInline(html) => {
                let ours = ["<sub>", "</sub>", "<code>", "</code>"];
                assert!(ours.contains(&html.as_str()), "{html}");
            }
            NodeValue::HtmlBlock(html) => assert!(
                html.literal.starts_with("<details><summary>")
                    || html.literal.starts_with("</details>")
            ),
            NodeValue::Text(text) => {
                let mut marks = text.split(['@', '#']).skip(1);
                assert!(marks.all(|after| !after.starts_with(char::is_alphanumeric)));
            }
            NodeValue::Document
            | NodeValue::Paragraph
            | NodeValue::Heading(_)
            | NodeValue::CodeBlock(_)
            | NodeValue::TableRow(_)
            | NodeValue::TableCell
            | NodeValue::Code(_)
            | NodeValue::Strong
            | NodeValue::SoftBreak => {}
            other => panic!("{other:?} in {markdown}"),
        }
    }
}

/// Lines of the form, no figure twice, and the mark at the end.
fn assert_openmetrics(report: &Report) {
    static SAMPLE: OnceLock<regex::Regex> = OnceLock::new();
    let sample = SAMPLE.get_or_init(|| {
        let label = r#"[a-z_]+="(?:[^"\\\n]|\\["\\n])*""#;
        let figure = format!(r"^(buildmem_[a-z_]+\{{{label}(?:,{label})*\}}) -?[0-9.]+$");
        regex::Regex::new(&figure).unwrap()
    });
    let text = written(|out| export::openmetrics::write(report, out));
    let figures = text.strip_suffix("# EOF\n").unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for line in figures.split_terminator('\n') {
        if ["# HELP ", "# TYPE ", "# UNIT "]
            .iter()
            .any(|comment| line.starts_with(comment))
        {
            continue;
        }
        let of = sample.captures(line).unwrap_or_else(|| panic!("{line:?}"));
        assert!(seen.insert(of[1].to_owned()), "twice: {line}");
    }
}

/// What draws every process draws every process: as rows, and as a trace in which what begins also ends.
fn assert_drawn(report: &Report, table: &TimelineTable, history: &History) {
    let rows = written(|out| export::processes_csv::write(history, out));
    let mut rows = csv::Reader::from_reader(rows.as_bytes());
    let rows: Vec<csv::StringRecord> = rows.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), history.lives.len());

    let mut trace = Vec::new();
    export::perfetto::write(report, table, history, &mut trace).unwrap();
    let mut under_way: BTreeMap<u64, u64> = BTreeMap::new();
    for (packet, bytes) in fields(&trace) {
        assert_eq!(packet, 1);
        for (field, message) in fields(bytes.bytes()) {
            let inside: BTreeMap<u64, Field> = match field {
                // A track, or an event.
                60 | 11 => fields(message.bytes()).into_iter().collect(),
                _ => continue,
            };
            for text in [2, 23].iter().filter_map(|text| inside.get(text)) {
                std::str::from_utf8(text.bytes()).unwrap();
            }
            if field == 60 {
                let told = under_way.insert(inside[&1].number(), 0);
                assert!(told.is_none(), "a track is told twice");
                continue;
            }
            let on_track = under_way.get_mut(&inside[&11].number()).unwrap();
            match inside[&9].number() {
                1 => *on_track += 1,
                2 => *on_track = on_track.checked_sub(1).unwrap(),
                _ => {}
            }
        }
    }
    assert!(under_way.len() > history.lives.len());
    assert!(under_way.values().all(|under_way| *under_way == 0));
}

/// A field of a protocol buffer.
#[derive(Clone, Copy)]
enum Field<'bytes> {
    Number(u64),
    Bytes(&'bytes [u8]),
}

impl<'bytes> Field<'bytes> {
    fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Bytes(_) => panic!("it is not a number"),
        }
    }

    fn bytes(self) -> &'bytes [u8] {
        match self {
            Self::Number(_) => panic!("it is a number"),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// The fields of a message by their numbers.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let varint = |bytes: &mut &[u8]| {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (first, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return value;
            }
        }
        unreachable!("a shift of so many bits fails")
    };
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            wire => {
                let length = if wire == 1 { 8 } else { varint(&mut bytes) };
                let (value, rest) = bytes.split_at(usize::try_from(length).unwrap());
                bytes = rest;
                Field::Bytes(value)
            }
        };
        fields.push((tag >> 3, field));
    }
    fields
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
    let mut bytes = Vec::new();
    write(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// A `/proc` with one process, all files of which have one content.
struct FakeProcess {
    content: File,
    reader: ProcReader,
    _root: TempDir,
}

impl FakeProcess {
    const TGID: Tgid = Tgid(1);

    fn new() -> io::Result<Self> {
        let root = tempfile::tempdir()?;
        let folder = root.path().join(Self::TGID.to_string());
        fs::create_dir_all(folder.join("task/1"))?;
        let path = folder.join("smaps_rollup");
        let content = File::create(&path)?;
        for name in ["statm", "status", "stat", "cmdline", "task/1/children"] {
            fs::hard_link(&path, folder.join(name))?;
        }
        Ok(Self {
            content,
            reader: ProcReader::new(root.path())?,
            _root: root,
        })
    }

    fn check(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self {
            content, reader, ..
        } = self;
        content.set_len(0)?;
        content.write_all_at(bytes, 0)?;
        let read = [
            reader.pss(Self::TGID).map(drop),
            reader.resident(Self::TGID).map(drop),
            reader.high_water(Self::TGID).map(drop),
            reader.stat(Self::TGID).map(drop),
        ];
        for error in read.into_iter().filter_map(Result::err) {
            let is_told = error.kind() == io::ErrorKind::InvalidData || is_gone(&error);
            assert!(is_told, "{error:?}");
        }
        let whole = reader.command_line(Self::TGID)?;
        let kept: usize = whole.args.iter().map(|arg| arg.0.len() + 1).sum();
        assert!(kept <= buildmem_common::ARGV_CAPACITY + 1);
        reader.children(Self::TGID, false, &mut Vec::new())
    }
}
