//! What the page's script works on: the drawn processes and the samples, as JSON of a few bytes a process.

use std::collections::BTreeMap;

use serde::Serialize;

use super::colors::Colors;
use super::selection::{LeftOut, Selection};
use super::timeline::{Chart, since};
use crate::command_line::CommandLine;
use crate::event::ExitStatus;
use crate::export::layout::visible;
use crate::history::{AtPeak, History};
use crate::units::{BootTime, ByteSize};

/// What all command lines may take together, in bytes.
const COMMANDS: usize = 600_000;

/// Where they are cut until they do: what is largest is told from what is largest.
const CUTS: [usize; 7] = [16_384, 4096, 1024, 512, 256, 128, 64];

/// An absent figure, in a list of figures.
const UNKNOWN: i64 = -1;

/// Everything. Times are in ticks of 0.1 ms since the build's start, sizes in KiB.
#[derive(Serialize)]
pub(super) struct Data {
    span: u64,
    top: u64,
    peak_at: Option<u64>,
    stages: Vec<StageData>,
    classes: Vec<String>,
    /// Command lines, sorted; each is told by what it has in common with the one before: so many characters at
    /// the start, so many at the end, and what is between.
    commands: Vec<(usize, usize, String)>,
    /// Where command lines are cut, when some are.
    cut_at: Option<usize>,
    processes: Columns,
    /// What processes ran that ran more than one thing: their place; for each image when, what, and its peak.
    images: Vec<(usize, Vec<RanData>)>,
    /// Place, PSS, RSS.
    at_peak: Vec<(usize, i64, i64)>,
    /// Place, PSS, when.
    highest: Vec<(usize, u64, u64)>,
    /// Place of the parent, -1 for none; how many; the largest peak.
    left_out: Vec<(i64, u64, i64)>,
    timeline: TimelineData,
}

/// When, which command line, and its peak.
type RanData = (u64, usize, i64);

#[derive(Serialize)]
struct StageData {
    name: String,
    color: String,
}

/// The processes by columns, in the order of their fork.
#[derive(Default, Serialize)]
struct Columns {
    pid: Vec<u32>,
    /// Differs from the parent's pid where not the parent is drawn, but somebody above it; 0 where it is not known.
    ppid: Vec<u32>,
    /// How many places before it its nearest drawn ancestor is; 0 for none.
    up: Vec<usize>,
    stage: Vec<usize>,
    class: Vec<usize>,
    /// Since the start of the process before.
    start: Vec<u64>,
    length: Vec<u64>,
    peak: Vec<i64>,
    command: Vec<usize>,
    /// The exit code; -1 - signal; 999 where it was not seen.
    exit: Vec<i32>,
    /// 1: outlived the measurement, or its end was not seen. 2: chosen by the out-of-memory killer. 4: never called exec.
    flags: Vec<u8>,
}

#[derive(Serialize)]
struct TimelineData {
    layers: Vec<StageData>,
    at: Vec<u64>,
    cgroup: Vec<i64>,
    /// One list a layer.
    held: Vec<Vec<u64>>,
}

impl Data {
    pub(super) fn new(
        history: &History,
        selection: &Selection<'_>,
        chart: &Chart,
        colors: &Colors,
    ) -> Self {
        let kept = &selection.kept;
        let argvs = kept.iter().flat_map(|life| &life.images);
        let commands = Commands::new(argvs.map(|ran| &*ran.argv));
        let mut classes = Classes::default();
        let mut processes = Columns::default();
        let (mut images, mut at_peak, mut highest) = (Vec::new(), Vec::new(), Vec::new());
        let mut before = 0;
        for (place, (life, parent)) in kept.iter().zip(&selection.parents).enumerate() {
            let start = ticks(history, life.started);
            let largest = life.largest();
            processes.pid.push(life.tgid.0);
            (processes.ppid).push(life.parent.map_or(0, |(_, tgid)| tgid.0));
            processes.up.push(parent.map_or(0, |parent| place - parent));
            processes.stage.push(life.stage);
            (processes.class).push(classes.number(&history.classes, life.class));
            processes.start.push(start.saturating_sub(before));
            before = before.max(start);
            let until = ticks(history, life.seen_until);
            processes.length.push(until.saturating_sub(start));
            processes.peak.push(kib(largest.peak_rss));
            processes.command.push(commands.number(&largest.argv));
            processes.exit.push(match life.exit {
                Some(ExitStatus::Code(code)) => code.clamp(0, 255),
                Some(ExitStatus::Signal(signal)) => -1 - signal.clamp(0, 255),
                None => 999,
            });
            processes.flags.push(
                u8::from(life.ended.is_none())
                    | (u8::from(life.oom_killed) << 1)
                    | (u8::from(!life.execed) << 2),
            );
            if life.images.len() > 1 {
                let ran = life.images.iter().map(|ran| {
                    let command = commands.number(&ran.argv);
                    (ticks(history, ran.at), command, kib(ran.peak_rss))
                });
                images.push((place, ran.collect()));
            }
            if let Some(AtPeak { pss, rss }) = life.at_peak {
                at_peak.push((place, kib(pss), kib(rss)));
            }
            if let Some((pss, at)) = life.highest_pss {
                highest.push((place, pss.bytes() / 1024, ticks(history, at)));
            }
        }
        let stage = |name: &String| StageData {
            name: visible(name),
            color: colors.class(name),
        };
        let left_out = selection.left_out.iter().map(|left| {
            let LeftOut { below, counted } = *left;
            let place = below.and_then(|below| i64::try_from(below).ok());
            (
                place.unwrap_or(UNKNOWN),
                counted.processes,
                kib(counted.largest),
            )
        });
        Self {
            span: ticks_of(chart.span_s),
            top: chart.top / 1024,
            peak_at: history.peak_at.map(|at| ticks(history, at)),
            stages: history.stages.iter().map(stage).collect(),
            classes: classes.names,
            cut_at: commands.cut_at,
            commands: commands.coded,
            processes,
            images,
            at_peak,
            highest,
            left_out: left_out.collect(),
            timeline: TimelineData::new(chart),
        }
    }
}

impl TimelineData {
    fn new(chart: &Chart) -> Self {
        let points = &chart.points;
        let layers = chart.layers.iter().map(|layer| StageData {
            name: visible(&layer.name),
            color: layer.class.clone(),
        });
        let held = (0..chart.layers.len()).map(|layer| {
            points
                .iter()
                .map(|point| point.held[layer] / 1024)
                .collect()
        });
        let cgroup = points
            .iter()
            .map(|point| kib(point.cgroup.map(ByteSize::from_bytes)));
        Self {
            layers: layers.collect(),
            at: points.iter().map(|point| ticks_of(point.at_s)).collect(),
            cgroup: cgroup.collect(),
            held: held.collect(),
        }
    }
}

/// The classes of the drawn processes alone, each once.
#[derive(Default)]
struct Classes {
    names: Vec<String>,
    numbers: BTreeMap<usize, usize>,
}

impl Classes {
    fn number(&mut self, names: &[String], class: usize) -> usize {
        *self.numbers.entry(class).or_insert_with(|| {
            let name = names.get(class).map_or("", String::as_str);
            self.names.push(visible(name).chars().take(80).collect());
            self.names.len() - 1
        })
    }
}

/// The command lines of the drawn processes, each once.
struct Commands {
    numbers: BTreeMap<String, usize>,
    coded: Vec<(usize, usize, String)>,
    cut_at: Option<usize>,
}

impl Commands {
    fn new<'a>(argvs: impl Iterator<Item = &'a CommandLine>) -> Self {
        let mut numbers: BTreeMap<String, usize> = argvs.map(|it| (shown(it), 0)).collect();
        for (number, place) in numbers.values_mut().enumerate() {
            *place = number;
        }
        let longest = numbers.keys().map(String::len).max().unwrap_or(0);
        let mut coded = Vec::new();
        let mut cut_at = None;
        for cut in CUTS {
            coded = coded_to(&numbers, cut);
            cut_at = (longest > cut).then_some(cut);
            let size: usize = coded.iter().map(|(_, _, text)| text.len() + 12).sum();
            if size <= COMMANDS {
                break;
            }
        }
        Self {
            numbers,
            coded,
            cut_at,
        }
    }

    fn number(&self, argv: &CommandLine) -> usize {
        self.numbers.get(&shown(argv)).copied().unwrap_or(0)
    }
}

fn shown(argv: &CommandLine) -> String {
    visible(&argv.display())
}

fn coded_to(texts: &BTreeMap<String, usize>, cut: usize) -> Vec<(usize, usize, String)> {
    let mut before = String::new();
    let coded = texts.keys().map(|text| {
        let text = cut_to(text, cut);
        let code = difference(&before, &text);
        before = text;
        code
    });
    coded.collect()
}

/// The start of a text, of so many bytes at the most.
fn cut_to(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// What `text` has in common with `before` at its start and at its end, and what is between. Only ASCII counts as
/// common, of which a character is a byte here and one unit of a string in the script.
fn difference(before: &str, text: &str) -> (usize, usize, String) {
    let same = |(a, b): &(u8, u8)| a == b && a.is_ascii();
    let start = before.bytes().zip(text.bytes());
    let start = start.take_while(same).count();
    let end = before[start..].bytes().rev();
    let end = end.zip(text[start..].bytes().rev());
    let end = end.take_while(same).count();
    (start, end, text[start..text.len() - end].to_owned())
}

fn kib(size: Option<ByteSize>) -> i64 {
    let kib = size.and_then(|size| i64::try_from(size.bytes() / 1024).ok());
    kib.unwrap_or(UNKNOWN)
}

fn ticks(history: &History, at: BootTime) -> u64 {
    ticks_of(since(history, at))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float keeps within the integer's range"
)]
fn ticks_of(at_s: f64) -> u64 {
    (at_s * 10_000.0).round() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the script does it.
    fn decoded(coded: &[(usize, usize, String)]) -> Vec<String> {
        let mut before: Vec<u16> = Vec::new();
        let mut texts = Vec::new();
        for (start, end, text) in coded {
            let mut units = before[..*start].to_vec();
            units.extend(text.encode_utf16());
            units.extend(&before[before.len() - end..]);
            texts.push(String::from_utf16(&units).unwrap());
            before = units;
        }
        texts
    }

    proptest! {
        #[test]
        fn command_lines_are_read_as_they_were(
            args in prop::collection::vec(prop::collection::vec("[ab<é😀\u{2028} ]{0,5}", 1..4), 0..8)
        ) {
            let argvs: Vec<CommandLine> = args.into_iter().map(CommandLine::from_args).collect();
            let commands = Commands::new(argvs.iter());
            let texts = decoded(&commands.coded);
            for argv in &argvs {
                prop_assert_eq!(&texts[commands.number(argv)], &shown(argv));
            }
        }
    }

    #[test]
    fn command_lines_that_are_too_long_together_are_cut_and_that_is_told() {
        // No two have anything in common.
        let long = |seed: u64| {
            let mut state = seed;
            let letters = std::iter::repeat_with(|| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1 + 2 * seed);
                char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
            });
            CommandLine::from_args([letters.take(4000).collect::<String>()])
        };
        let argvs: Vec<CommandLine> = (0..1000).map(long).collect();
        let commands = Commands::new(argvs.iter());
        assert!(
            commands.cut_at.is_some_and(|cut| cut <= 1024),
            "{:?}",
            commands.cut_at
        );
        let size: usize = commands.coded.iter().map(|(_, _, text)| text.len()).sum();
        assert!(size <= COMMANDS, "{size}");
    }
}
