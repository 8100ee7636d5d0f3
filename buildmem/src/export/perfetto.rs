//! The build as a trace for <https://ui.perfetto.dev>: memory over time as counters, stages as slices, the processes of each
//! stage as tracks, with a slice for each program that one of them ran.
//!
//! The format is Perfetto's own, protocol buffers, for the older one (JSON) knows no tracks below tracks and no units. It takes
//! a few lines to write: see `message`. Times are the recording's, nanoseconds of CLOCK_BOOTTIME, so that a trace of the
//! kernel that was recorded meanwhile can be laid beside it.
//!
//! Processes are grouped by stage, and not below their parents: a deep tree of them needs no deep tree of tracks.

mod message;

use std::io::{self, Write};

use self::message::{Annotation, Event, Track, write_event, write_track};
use super::layout::{seconds, size};
use super::measures::{build_name, name_of, unique};
use super::text::signal_name;
use crate::event::{CgroupComposition, ExitStatus};
use crate::history::{History, Life, Mark, MarkKind, Ran};
use crate::report::{Composition, Peak, Report, Stage};
use crate::timeline::{TimelineRow, TimelineTable};
use crate::units::{BootTime, ByteSize};

/// The build, of which all else is a part.
const BUILD: u64 = 1;

/// What happened to the build as a whole.
const EVENTS: u64 = 2;

/// The group of the counters.
const MEMORY: u64 = 3;

/// The group of the PSS of each stage.
const STAGE_PSS: u64 = 4;

/// The group of the slices of each stage.
const STAGES: u64 = 5;

/// The group of the processes of each stage.
const PROCESSES: u64 = 6;

/// From here on, the counters; then, of each stage, a counter, a slice and a group; then the processes.
const COUNTERS: u64 = 0x100;
const OF_STAGES: u64 = 0x1_0000;
const OF_PROCESSES: u64 = 0x1_0000_0000;

/// Of the processes at the peak, so many are told with it.
const AT_PEAK: usize = 20;

/// What is counted over time, by its name.
type Counter = (&'static str, Unit, fn(&TimelineRow) -> Option<u64>);

/// Of what a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Perfetto's UNIT_COUNT.
    Count = 2,
    /// Perfetto's UNIT_SIZE_BYTES.
    Bytes = 3,
}

const MEMORY_COUNTERS: [Counter; 9] = [
    ("cgroup", Unit::Bytes, |row| row.cgroup.map(ByteSize::bytes)),
    ("cgroup: anonymous", Unit::Bytes, |row| {
        part(row, |held| Some(held.anon))
    }),
    ("cgroup: mapped files", Unit::Bytes, |row| {
        part(row, |held| Some(held.file_mapped))
    }),
    ("cgroup: page cache", Unit::Bytes, |row| {
        part(row, |held| Some(held.file_unmapped))
    }),
    ("cgroup: shared memory", Unit::Bytes, |row| {
        part(row, |held| Some(held.shmem))
    }),
    ("cgroup: kernel", Unit::Bytes, |row| {
        part(row, |held| held.kernel)
    }),
    ("PSS of all processes", Unit::Bytes, |row| {
        Some(row.pss.bytes())
    }),
    ("RSS of all processes", Unit::Bytes, |row| {
        Some(row.rss.bytes())
    }),
    ("live processes", Unit::Count, |row| Some(row.live)),
];

fn part(row: &TimelineRow, of: fn(&CgroupComposition) -> Option<ByteSize>) -> Option<u64> {
    row.composition.as_ref().and_then(of).map(ByteSize::bytes)
}

/// Writes the trace.
pub fn write(
    report: &Report,
    table: &TimelineTable,
    history: &History,
    out: &mut dyn Write,
) -> io::Result<()> {
    let names = unique(history.stages.iter().map(|stage| name_of(stage)));
    // A track must be told before the events on it.
    describe_build(report, history, out)?;
    describe_counters(table, &names, out)?;
    describe_processes(history, out)?;
    for (index, stage) in report.stages.iter().enumerate() {
        stage_slice(stage, slice_of(index), history, out)?;
    }
    counters(table, history, out)?;
    if let (Some(peak), Some(at)) = (&report.peak, history.peak_at) {
        peak_event(report, peak, at, out)?;
    }
    for mark in &history.marks {
        mark_event(mark, out)?;
    }
    for life in &history.lives {
        life_slices(life, history, out)?;
    }
    Ok(())
}

/// The counter, the slice and the group of processes of a stage.
const fn counter_of(stage: usize) -> u64 {
    OF_STAGES + 3 * stage as u64
}

const fn slice_of(stage: usize) -> u64 {
    counter_of(stage) + 1
}

const fn group_of(stage: usize) -> u64 {
    counter_of(stage) + 2
}

const fn track_of(life: &Life) -> u64 {
    OF_PROCESSES + life.id.index() as u64
}

fn describe_build(report: &Report, history: &History, out: &mut dyn Write) -> io::Result<()> {
    let own = history.lives.first().map_or(0, |life| life.tgid.0);
    let name = build_name(&report.command);
    write_track(out, &Track::process(BUILD, own, &name))?;
    let groups = [
        (EVENTS, "events"),
        (MEMORY, "memory"),
        (STAGES, "stages"),
        (PROCESSES, "processes"),
    ];
    for (rank, (group, name)) in (0..).zip(groups) {
        let track = Track::new(group, BUILD, name).ranked(rank);
        let track = match group {
            EVENTS => track,
            _ => track.with_ranked_children(),
        };
        write_track(out, &track)?;
    }
    Ok(())
}

fn describe_counters(
    table: &TimelineTable,
    names: &[String],
    out: &mut dyn Write,
) -> io::Result<()> {
    for (rank, (name, unit, figure)) in (0..).zip(MEMORY_COUNTERS) {
        if table.rows.iter().any(|row| figure(row).is_some()) {
            let track = Track::new(COUNTERS + rank, MEMORY, name).ranked(rank);
            write_track(out, &track.counting(unit as u64))?;
        }
    }
    let by_stage =
        Track::new(STAGE_PSS, MEMORY, "PSS by stage").ranked(MEMORY_COUNTERS.len() as u64);
    write_track(out, &by_stage.with_ranked_children())?;
    for (rank, (index, name)) in (0..).zip(names.iter().enumerate()) {
        let counter = Track::new(counter_of(index), STAGE_PSS, name).ranked(rank);
        write_track(out, &counter.counting(Unit::Bytes as u64))?;
        write_track(out, &Track::new(slice_of(index), STAGES, name).ranked(rank))?;
        let group = Track::new(group_of(index), PROCESSES, name).ranked(rank);
        write_track(out, &group.with_children_by_time())?;
    }
    Ok(())
}

fn describe_processes(history: &History, out: &mut dyn Write) -> io::Result<()> {
    for life in &history.lives {
        let name = format!("{} {}", shown_as(life, life.largest()), life.tgid);
        let track = Track::new(track_of(life), group_of(life.stage), &name);
        write_track(out, &track.apart())?;
    }
    Ok(())
}

/// What a program is called, or a copy of its parent that never called exec.
fn shown_as(life: &Life, ran: &Ran) -> String {
    let name = name_of(&ran.argv.short_form());
    if life.execed {
        name
    } else {
        format!("{name} (fork)")
    }
}

/// Seconds since the build's start as a moment.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer that there is, and no moment is before the build's start"
)]
fn moment(history: &History, at_s: f64) -> BootTime {
    let after = (at_s * 1e9).round() as u64;
    BootTime::from_nanos(history.started.nanos().saturating_add(after))
}

fn stage_slice(
    stage: &Stage,
    track: u64,
    history: &History,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Stage {
        name,
        started_s,
        wall_s,
        processes,
        peak_pss_bytes,
        peak_at_s,
        peak_cgroup_bytes,
        share_of_peak,
    } = stage;
    let from = moment(history, *started_s);
    let until = moment(history, started_s + wall_s).max(from);
    let mut event = Event::begin(track, from, &name_of(name));
    event.annotate("processes", Annotation::Unsigned(*processes));
    event.annotate_some("peak_pss_bytes", peak_pss_bytes.map(Annotation::Unsigned));
    event.annotate_some("peak_at_s", peak_at_s.map(Annotation::Float));
    event.annotate_some(
        "peak_cgroup_bytes",
        peak_cgroup_bytes.map(Annotation::Unsigned),
    );
    event.annotate("share_of_peak", Annotation::Float(*share_of_peak));
    write_event(out, &event)?;
    write_event(out, &Event::end(track, until))
}

fn counters(table: &TimelineTable, history: &History, out: &mut dyn Write) -> io::Result<()> {
    for row in &table.rows {
        let at = moment(history, row.at_s);
        for (rank, (_, _, figure)) in (0..).zip(MEMORY_COUNTERS) {
            if let Some(value) = figure(row) {
                write_event(out, &Event::count(COUNTERS + rank, at, value))?;
            }
        }
        for (index, held) in row.stage_pss.iter().enumerate() {
            write_event(out, &Event::count(counter_of(index), at, held.bytes()))?;
        }
    }
    Ok(())
}

fn peak_event(report: &Report, peak: &Peak, at: BootTime, out: &mut dyn Write) -> io::Result<()> {
    let held = peak.cgroup_bytes.unwrap_or(peak.pss_bytes);
    let mut event = Event::instant(EVENTS, at, &format!("peak: {}", size(held)));
    let headline = &report.headline;
    event.annotate_some("headline_bytes", headline.bytes.map(Annotation::Unsigned));
    event.annotate_some(
        "headline_source",
        headline.source.as_deref().map(Annotation::text),
    );
    event.annotate_some("cgroup_bytes", peak.cgroup_bytes.map(Annotation::Unsigned));
    event.annotate("pss_bytes", Annotation::Unsigned(peak.pss_bytes));
    event.annotate("rss_bytes", Annotation::Unsigned(peak.rss_bytes));
    if let Some(composition) = peak.composition {
        let Composition {
            anon,
            file_mapped,
            file_unmapped,
            shmem,
            kernel,
            charged_elsewhere,
            unattributed,
        } = composition;
        let parts = [
            ("anon", Some(anon)),
            ("file_mapped", Some(file_mapped)),
            ("file_unmapped", Some(file_unmapped)),
            ("shmem", Some(shmem)),
            ("kernel", kernel),
            ("charged_elsewhere", Some(charged_elsewhere)),
        ];
        let mut dict: Vec<(String, Annotation)> = parts
            .into_iter()
            .filter_map(|(name, bytes)| Some((name.to_owned(), Annotation::Unsigned(bytes?))))
            .collect();
        dict.push(("unattributed".to_owned(), Annotation::Signed(unattributed)));
        event.annotate("composition", Annotation::Dict(dict));
    }
    let stages = unique(peak.stages.iter().map(|held| name_of(&held.name)));
    let stages = stages
        .into_iter()
        .zip(&peak.stages)
        .map(|(name, held)| (name, Annotation::Unsigned(held.pss_bytes)));
    event.annotate("stages", Annotation::Dict(stages.collect()));
    let processes = peak.processes.iter().take(AT_PEAK).map(|process| {
        let mut dict = vec![
            ("pid".to_owned(), Annotation::Unsigned(process.pid.into())),
            ("stage".to_owned(), Annotation::text(&process.stage)),
            ("command".to_owned(), Annotation::text(&process.command)),
        ];
        let sizes = [
            ("pss_bytes", process.pss_bytes),
            ("rss_bytes", process.rss_bytes),
        ];
        dict.extend(
            sizes
                .into_iter()
                .filter_map(|(name, bytes)| Some((name.to_owned(), Annotation::Unsigned(bytes?)))),
        );
        Annotation::Dict(dict)
    });
    event.annotate("processes", Annotation::Array(processes.collect()));
    write_event(out, &event)
}

fn mark_event(mark: &Mark, out: &mut dyn Write) -> io::Result<()> {
    let name = match &mark.kind {
        MarkKind::SignalForwarded { signal } => format!("{} passed on", signal_name(*signal)),
        MarkKind::OomKilled { process: _, tgid } => format!("out of memory: {} killed", tgid.0),
        MarkKind::CgroupLeft {
            process: _,
            tgid,
            cgroup,
        } => format!("{} left the cgroup for {}", tgid.0, name_of(cgroup)),
        MarkKind::BuildEnded { status } => format!("the build ended: {}", exit_text(*status)),
        MarkKind::Lost { count } => format!("events lost: {count}"),
    };
    write_event(out, &Event::instant(EVENTS, mark.at, &name))
}

/// A slice for each program that the process ran, one after the other; before its first exec it is a copy of its parent.
fn life_slices(life: &Life, history: &History, out: &mut dyn Write) -> io::Result<()> {
    let track = track_of(life);
    let end = life.ended.unwrap_or(life.seen_until);
    let first = life.images.first().map_or(end, |ran| ran.at);
    if life.started < first {
        let until = first.min(end);
        let mut event = Event::begin(track, life.started, "fork");
        annotate_life(&mut event, life, history);
        write_event(out, &event)?;
        write_event(out, &Event::end(track, until))?;
    }
    for (index, ran) in life.images.iter().enumerate() {
        let Ran { at, argv, peak_rss } = ran;
        let until = life.images.get(index + 1).map_or(end, |next| next.at);
        let is_last = index + 1 == life.images.len();
        let mut event = Event::begin(track, *at, &shown_as(life, ran));
        event.annotate("command", Annotation::text(&argv.display()));
        event.annotate_some(
            "peak_rss_bytes",
            peak_rss.map(|peak| Annotation::Unsigned(peak.bytes())),
        );
        if is_last {
            let exit = match life.exit {
                Some(status) => exit_text(status),
                None if life.ended.is_some() => "not seen".to_owned(),
                None => "outlived the measurement".to_owned(),
            };
            event.annotate("exit", Annotation::text(&exit));
        }
        annotate_life(&mut event, life, history);
        write_event(out, &event)?;
        write_event(out, &Event::end(track, until.max(*at)))?;
    }
    Ok(())
}

/// What is so of the process, whatever it runs.
fn annotate_life(event: &mut Event, life: &Life, history: &History) {
    let Life {
        id: _,
        tgid,
        parent,
        stage,
        class,
        images: _,
        execed: _,
        started,
        ended: _,
        seen_until: _,
        exit: _,
        highest_pss,
        at_peak,
        oom_killed,
    } = life;
    event.annotate("pid", Annotation::Unsigned(tgid.0.into()));
    let parent = parent.map(|(_, parent)| Annotation::Unsigned(parent.0.into()));
    event.annotate_some("ppid", parent);
    let name = |names: &[String], index: usize| names.get(index).map(|name| Annotation::text(name));
    event.annotate_some("stage", name(&history.stages, *stage));
    event.annotate_some("class", name(&history.classes, *class));
    let after = started.since(history.started).as_secs_f64();
    event.annotate("started", Annotation::text(&seconds(after)));
    event.annotate_some(
        "highest_pss_bytes",
        highest_pss.map(|(pss, _)| Annotation::Unsigned(pss.bytes())),
    );
    event.annotate_some(
        "pss_at_peak_bytes",
        at_peak.and_then(|held| Some(Annotation::Unsigned(held.pss?.bytes()))),
    );
    if *oom_killed {
        event.annotate("oom_killed", Annotation::Unsigned(1));
    }
}

fn exit_text(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("exit {code}"),
        ExitStatus::Signal(signal) => signal_name(signal),
    }
}
