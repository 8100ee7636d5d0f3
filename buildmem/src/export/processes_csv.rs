//! Every process of the build as a table: one row a process, in the order of their fork.

use std::io::{self, Write};

use crate::event::ExitStatus;
use crate::history::{History, Life};
use crate::units::{BootTime, ByteSize};

/// The columns.
const COLUMNS: [&str; 13] = [
    "pid",
    "ppid",
    "stage",
    "class",
    "started_s",
    "ended_s",
    "programs",
    "peak_rss_bytes",
    "highest_pss_bytes",
    "pss_at_peak_bytes",
    "exit_code",
    "signal",
    "command",
];

/// Writes the table. What is not known is an empty cell; the command is that of the program with the highest RSS.
pub fn write(history: &History, out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(COLUMNS)?;
    for life in &history.lives {
        csv.write_record(row(life, history))?;
    }
    csv.flush()
}

fn row(life: &Life, history: &History) -> [String; COLUMNS.len()] {
    let Life {
        id: _,
        tgid,
        parent,
        stage,
        class,
        images,
        execed,
        started,
        ended,
        seen_until: _,
        exit,
        highest_pss,
        at_peak,
        oom_killed: _,
    } = life;
    let seconds = |at: BootTime| format!("{:.3}", at.since(history.started).as_secs_f64());
    let bytes = |size: Option<ByteSize>| known(size.map(ByteSize::bytes));
    let name = |names: &[String], index: usize| names.get(index).cloned().unwrap_or_default();
    let (code, signal) = match exit {
        Some(ExitStatus::Code(code)) => (Some(*code), None),
        Some(ExitStatus::Signal(signal)) => (None, Some(*signal)),
        None => (None, None),
    };
    // Where it never called exec, it ran nothing of its own.
    let programs = if *execed { images.len() } else { 0 };
    [
        tgid.to_string(),
        known(parent.map(|(_, parent)| parent)),
        name(&history.stages, *stage),
        name(&history.classes, *class),
        seconds(*started),
        ended.map_or_else(String::new, seconds),
        programs.to_string(),
        bytes(life.peak_rss()),
        bytes(highest_pss.map(|(pss, _)| pss)),
        bytes(at_peak.and_then(|held| held.pss)),
        known(code),
        known(signal),
        life.largest().argv.display(),
    ]
}

fn known(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
