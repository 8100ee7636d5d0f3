use std::num::NonZeroU16;
use std::time::Duration;

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;
use vt100::Parser;

use super::*;
use crate::live::{Bin, Cost, Facts, Group, GroupState, Grouping, LiveProcess, Timeline};

/// What the build has on its terminal, in the size that it has on a screen of this size.
fn output(screen: Rect, zoomed: bool, written: &[u8]) -> Parser {
    let area = areas(screen, zoomed).output;
    let at_least_one = |size| NonZeroU16::new(size).unwrap_or(NonZeroU16::MIN);
    let mut parser = Parser::new(at_least_one(area.height), at_least_one(area.width), 100);
    parser.process(written);
    parser
}

fn drawn(
    view: &LiveView,
    choices: &Choices,
    palette: &Palette,
    size: (u16, u16),
    written: &[u8],
) -> Buffer {
    let (columns, rows) = size;
    let parser = output(Rect::new(0, 0, columns, rows), choices.zoomed, written);
    let titles = Titles {
        label: "20260101T120000Z".into(),
        command: "npm run build".into(),
    };
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal
        .draw(|frame| draw(view, &titles, choices, palette, parser.screen(), frame))
        .unwrap();
    terminal.backend().buffer().clone()
}

/// The screen's lines, without spaces at their end.
fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    (buffer.content.chunks(width))
        .map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect())
        .map(|line: String| line.trim_end().to_owned())
        .collect()
}

const WRITTEN: &[u8] = b"> server@1.0.0 build\r\n> next build --turbo\r\n\r\n\
    \x1b[32m\xe2\x9c\x93\x1b[0m Compiled successfully in 12.3s\r\n  Linting and checking types ...";

fn shown(view: &LiveView, choices: &Choices, size: (u16, u16)) -> String {
    lines(&drawn(view, choices, &Palette::plain(), size, WRITTEN)).join("\n")
}

fn group(name: &str, state: GroupState, seconds: u64, live: u64, now: u64, peak: u64) -> Group {
    Group {
        name: name.into(),
        state,
        wall: (seconds > 0).then(|| Duration::from_secs(seconds)),
        live,
        now: ByteSize::from_mib(now),
        peak: (peak > 0).then(|| ByteSize::from_mib(peak)),
    }
}

fn process(pid: u32, mib: u64, seconds: u64, group: usize, command: &str) -> LiveProcess {
    LiveProcess {
        pid,
        pss: Some(ByteSize::from_mib(mib)),
        rss: Some(ByteSize::from_mib(mib + 40)),
        age: Duration::from_millis(seconds * 1000 + 340),
        group: Some(group),
        command: command.into(),
    }
}

/// A build of a minute and a half: dependencies first, then next with its workers.
fn monorepo() -> LiveView {
    let bins = (0..474).map(|index| {
        let (deps, next) = match index {
            0..140 => (index * 5, 0),
            140..200 => (700 - (index - 140) * 10, 0),
            _ => (0, (index - 200) * 9 % 1900),
        };
        let sum = 60 + deps + next;
        let mut groups = vec![(0, 60)];
        groups.extend((deps > 0).then_some((1, deps)));
        groups.extend((next > 0).then_some((2, next)));
        let bin = Bin {
            usage: Some(ByteSize::from_mib(sum + index / 2)),
            pss: ByteSize::from_mib(sum),
            groups: (groups.into_iter())
                .map(|(group, mib)| (group, ByteSize::from_mib(mib)))
                .collect(),
        };
        Some(bin)
    });
    LiveView {
        elapsed: Duration::from_secs(94),
        usage: Some(ByteSize::from_mib(1040)),
        pss: ByteSize::from_mib(800),
        peak: Some((ByteSize::from_mib(2050), Duration::from_secs(82))),
        live: 14,
        forks: 312,
        grouping: Grouping::Stages,
        groups: vec![
            group("(other)", GroupState::Running, 94, 3, 60, 61),
            group("build-deps", GroupState::Over, 40, 0, 0, 700),
            group("next-build", GroupState::Running, 54, 11, 740, 1900),
            group("assemblyscript", GroupState::Waiting, 0, 0, 0, 0),
        ],
        timeline: Timeline {
            width: Duration::from_millis(200),
            bins: bins.collect(),
        },
        processes: vec![
            process(
                4211,
                410,
                53,
                2,
                "/usr/bin/node /app/node_modules/next/dist/bin/next build --turbo",
            ),
            process(
                4302,
                120,
                21,
                2,
                "/usr/bin/node /app/node_modules/next/dist/compiled/jest-worker/processChild.js",
            ),
            process(
                4303,
                90,
                21,
                2,
                "/usr/bin/node /app/node_modules/next/dist/compiled/jest-worker/processChild.js",
            ),
            process(4100, 58, 93, 0, "npm run build"),
            LiveProcess {
                pss: None,
                rss: None,
                ..process(4999, 0, 0, 2, "sh -c 'tsc --noEmit'")
            },
        ],
        oom_kills: 0,
        escaped: 0,
        facts: Facts {
            headline: Some(ByteSize::from_mib(2103)),
            limit: Some(ByteSize::from_mib(8192)),
            budget: Some(ByteSize::from_mib(2048)),
            ended: false,
            cost: Cost {
                cpu_share: 0.0062,
                samples: 641,
                triggered: 88,
                put_off: 2,
            },
        },
    }
}

/// A build that runs many programs, and whose cgroup cannot be read.
fn without_stages() -> LiveView {
    let groups = (0u64..40).map(|index| {
        let name = format!("program-{index}");
        let state = if index % 3 == 0 {
            GroupState::Running
        } else {
            GroupState::Over
        };
        group(&name, state, 10, 2, index, index + 1)
    });
    LiveView {
        usage: None,
        grouping: Grouping::Programs,
        groups: groups.collect(),
        oom_kills: 2,
        escaped: 3,
        facts: Facts {
            headline: None,
            ..monorepo().facts
        },
        ..monorepo()
    }
}

#[test]
fn a_monorepo_on_80_by_24() {
    insta::assert_snapshot!(shown(&monorepo(), &Choices::default(), (80, 24)));
}

#[test]
fn a_monorepo_on_160_by_50() {
    insta::assert_snapshot!(shown(&monorepo(), &Choices::default(), (160, 50)));
}

#[test]
fn a_monorepo_on_40_by_12() {
    insta::assert_snapshot!(shown(&monorepo(), &Choices::default(), (40, 12)));
}

#[test]
fn a_monorepo_on_20_by_5() {
    insta::assert_snapshot!(shown(&monorepo(), &Choices::default(), (20, 5)));
}

#[test]
fn programs_on_110_by_36() {
    insta::assert_snapshot!(shown(&without_stages(), &Choices::default(), (110, 36)));
}

#[test]
fn the_output_may_have_the_whole_screen_and_the_help_lies_above() {
    let zoomed = Choices {
        zoomed: true,
        ..Choices::default()
    };
    insta::assert_snapshot!("zoomed", shown(&monorepo(), &zoomed, (80, 16)));
    let help = Choices {
        help: true,
        ..Choices::default()
    };
    insta::assert_snapshot!("help", shown(&monorepo(), &help, (90, 24)));
}

#[test]
fn the_builds_colours_are_kept_and_stages_have_theirs() {
    let palette = Palette::colored();
    let buffer = drawn(
        &monorepo(),
        &Choices::default(),
        &palette,
        (100, 30),
        WRITTEN,
    );
    let color_of = |symbol: &str| {
        let cell = buffer.content.iter().find(|cell| cell.symbol() == symbol);
        cell.map(|cell| cell.fg)
    };
    assert_eq!(color_of("✓"), Some(Color::Indexed(2)));
    let stage = |name: &str| {
        let row = lines(&buffer)
            .iter()
            .position(|line| line.starts_with(&format!("■ {name}")));
        buffer[(0, u16::try_from(row.unwrap()).unwrap())].fg
    };
    assert_eq!(stage("build-deps"), Color::Magenta);
    assert_eq!(stage("next-build"), Color::LightBlue);
    // Both are in the chart, each in front of or behind another.
    for color in [Color::Magenta, Color::LightBlue, Color::DarkGray] {
        let bars = buffer
            .content
            .iter()
            .filter(|cell| "▁▂▃▄▅▆▇█".contains(cell.symbol()));
        assert!(bars.clone().any(|cell| cell.fg == color), "{color}");
    }
}

#[test]
fn without_colours_only_the_build_has_some() {
    let buffer = drawn(
        &monorepo(),
        &Choices::default(),
        &Palette::plain(),
        (100, 30),
        b"no colour",
    );
    assert!(
        buffer
            .content
            .iter()
            .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
    );
}

#[test]
fn keys_choose_what_is_shown() {
    let mut choices = Choices::default();
    let mut press = |keys: &[Key]| {
        let interrupts = keys.iter().filter(|key| choices.press(**key)).count();
        (choices, interrupts)
    };
    let (chosen, interrupts) = press(&[Key::Char('p'), Key::Down, Key::Down, Key::PageUp]);
    assert_eq!(
        (chosen.order, chosen.first, chosen.back, interrupts),
        (SortOrder::Rss, 2, PAGE, 0)
    );
    let (chosen, _) = press(&[Key::Left, Key::Left, Key::Left, Key::End]);
    assert_eq!(
        (chosen.order, chosen.first, chosen.back),
        (SortOrder::Age, 0, 0)
    );
    let (chosen, interrupts) = press(&[
        Key::Char('?'),
        Key::Escape,
        Key::Char('o'),
        Key::Char('q'),
        Key::Char('q'),
    ]);
    assert_eq!((chosen.help, chosen.zoomed, interrupts), (false, true, 2));
    choices.first = 500;
    choices.clamp(3, 0);
    assert_eq!(choices.first, 2);
}

#[test]
fn the_last_lines_of_the_output_are_those_that_are_not_empty() {
    let parser = output(
        Rect::new(0, 0, 80, 24),
        false,
        b"one\r\n\x1b[31mtwo\x1b[0m\r\n\r\n",
    );
    assert_eq!(last_lines(parser.screen(), false), ["one", "two"]);
    assert_eq!(
        last_lines(parser.screen(), true),
        ["one\x1b[m", "\x1b[31mtwo\x1b[m"]
    );
    assert_eq!(
        last_lines(output(Rect::new(0, 0, 80, 24), false, b"").screen(), true),
        [""; 0]
    );
}

/// What a terminal would obey, in a name.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\x1b[2J\x1b]0;owned\x07".to_owned()),
        Just("\u{202e}\u{9b}31m\r\n\t\0".to_owned()),
        Just("名前\u{301}\u{301}👨‍👩‍👧".to_owned()),
        "\\PC{0,60}",
        any::<String>(),
    ]
}

fn any_view() -> impl Strategy<Value = LiveView> {
    let names = prop::collection::vec(hostile(), 0..12);
    (names, any::<[u64; 6]>(), any::<[bool; 4]>(), 0u64..100_000).prop_map(
        |(names, figures, flags, seconds)| {
            let [usage, pss, peak, limit, budget, count] = figures.map(ByteSize::from_bytes);
            let mut view = if flags[0] {
                monorepo()
            } else {
                without_stages()
            };
            let group = |name: &String| Group {
                name: name.as_str().into(),
                ..view.groups[0].clone()
            };
            let groups: Vec<Group> = names.iter().map(group).collect();
            let process = |name: &String| LiveProcess {
                pid: u32::MAX,
                pss: Some(pss),
                group: Some(names.len() / 2),
                command: name.as_str().into(),
                ..view.processes[0].clone()
            };
            view.processes = names.iter().map(process).collect();
            view.groups = groups;
            view.elapsed = Duration::from_secs(seconds);
            view.usage = flags[1].then_some(usage);
            view.facts.headline = flags[2].then_some(peak);
            view.facts.limit = flags[3].then_some(limit);
            view.facts.budget = Some(budget);
            view.forks = count.bytes();
            view.timeline.bins.truncate(names.len() * 40);
            if flags[3] {
                view.timeline.bins.push(None);
                let bin = Bin {
                    usage: Some(usage),
                    pss,
                    groups: vec![(0, pss), (99, usage)],
                };
                view.timeline.bins.push(Some(bin));
            }
            view
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_build_can_be_drawn_at_any_size_and_nothing_that_a_terminal_obeys_gets_there(
        view in any_view(),
        size in (0u16..220, 0u16..70),
        choices in (0usize..4, 0usize..300, 0usize..300, any::<bool>(), any::<bool>()),
        written in prop::collection::vec(any::<u8>(), 0..400),
        is_colored in any::<bool>(),
    ) {
        let (order, first, back, zoomed, help) = choices;
        let mut choices = Choices { order: SortOrder::ALL[order], first, back, zoomed, help, interrupted: help };
        choices.clamp(view.processes.len(), 0);
        let palette = if is_colored { Palette::colored() } else { Palette::plain() };
        let buffer = drawn(&view, &choices, &palette, size, &written);
        for cell in &buffer.content {
            let harmless = crate::export::visible(cell.symbol());
            prop_assert_eq!(harmless.as_str(), cell.symbol());
        }
    }

    #[test]
    fn areas_cover_the_screen_without_overlapping(
        size in (0u16..300, 0u16..100),
        zoomed in any::<bool>(),
    ) {
        let screen = Rect::new(0, 0, size.0, size.1);
        let Areas { header, chart, tables, output_title, output, footer } = areas(screen, zoomed);
        let all = [Some(header), chart, tables, output_title, Some(output), footer];
        let rows: u16 = all.iter().flatten().map(|area| area.height).sum();
        prop_assert_eq!(rows, screen.height);
        let mut at = 0;
        for area in all.iter().flatten() {
            prop_assert_eq!((area.x, area.y, area.width), (0, at, screen.width));
            at += area.height;
        }
    }
}
