//! The recording of a run: a header, then one event a line, as JSON. Everything that is reported is computed
//! from it. This module reads and writes it over `Read` and `Write`; where it is kept is not its business.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::budgets::Budgets;
use crate::command_line::Arg;
use crate::event::Event;
use crate::stage_rule::StageRule;
use crate::units::{BootTime, ByteSize};

/// The version of the recording's form. Another major number is refused.
pub const FORMAT: &str = "build-mem/recording/1";

/// [`Header::tracker`] of a recording of every process.
pub const TRACKER_EBPF: &str = "ebpf";

/// [`Header::tracker`] of a recording by polling, in which short processes are missing.
pub const TRACKER_PROC: &str = "proc";

/// A line longer than this is not ours: argv is at most 16 KiB, and a sample has some 100 bytes a process.
const LONGEST_LINE: u64 = 64 << 20;

/// What is known before the build starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// build-mem's version.
    pub version: String,
    /// The run's name.
    pub label: String,
    /// When the measurement started: RFC 3339, UTC.
    pub started_at: String,
    /// The same moment on the events' clock.
    pub started: BootTime,
    /// What was run.
    pub command: Vec<Arg>,
    /// Where it was run.
    pub cwd: String,
    /// What followed the processes: [`TRACKER_EBPF`] or [`TRACKER_PROC`].
    pub tracker: String,
    /// Time between samples as asked for.
    pub interval_ms: u64,
    /// The kernel's release.
    pub kernel: String,
    /// CPUs that the build could use.
    pub cpus: u64,
    /// Memory of the host.
    pub memory: ByteSize,
    /// 1 or 2: which hierarchy has the memory controller; absent where neither could be used.
    pub cgroup_version: Option<u8>,
    /// The build's cgroup, as a path from the root of its hierarchy.
    pub cgroup: Option<String>,
    /// The stage rules in force, highest precedence first.
    pub stages: Vec<StageRule>,
    /// The class rules in force, highest precedence first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<StageRule>,
    /// What the build was to stay within.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budgets>,
    /// The preset that gave the rules, when there was no config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The image of the container in which it was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// Writes a recording.
#[derive(Debug)]
pub struct RecordingWriter<W> {
    output: W,
    line: Vec<u8>,
}

impl<W: Write> RecordingWriter<W> {
    /// Begins a recording with its header.
    pub fn begin(output: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self {
            output,
            line: Vec::new(),
        };
        writer.write_line(header)?;
        writer.flush()?;
        Ok(writer)
    }

    /// Adds one event.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        self.write_line(event)
    }

    /// Hands everything to the system, so that it survives the end of this process.
    pub fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// What it writes to, without a flush.
    pub fn into_inner(self) -> W {
        self.output
    }

    fn write_line(&mut self, value: &impl Serialize) -> io::Result<()> {
        // In one piece, so that a failed write leaves at most one torn line.
        self.line.clear();
        serde_json::to_writer(&mut self.line, value)?;
        self.line.push(b'\n');
        self.output.write_all(&self.line)
    }
}

/// Reads a recording: the header at once, then event by event.
#[derive(Debug)]
pub struct RecordingReader<R> {
    lines: Lines<R>,
    header: Header,
    torn: bool,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The first line is no header.
    #[error("it does not begin with the header of a recording: {0}")]
    NoHeader(String),
    /// It has another version.
    #[error("its format is `{0}`, and this build-mem reads `{FORMAT}`")]
    OtherFormat(String),
    /// A line in the middle is broken.
    #[error("line {line} is no event: {cause}")]
    BrokenLine {
        /// Counted from 1.
        line: u64,
        /// What the parser says.
        cause: serde_json::Error,
    },
}

impl<R: BufRead> RecordingReader<R> {
    /// Reads the header.
    pub fn open(input: R) -> Result<Self, RecordingError> {
        /// The one field that every version has.
        #[derive(Deserialize)]
        struct Version {
            format: String,
        }
        let mut lines = Lines {
            input,
            line: Vec::new(),
            number: 0,
        };
        if !lines.advance()? {
            return Err(RecordingError::NoHeader("it is empty".to_owned()));
        }
        let no_header = |error: serde_json::Error| RecordingError::NoHeader(error.to_string());
        let Version { format } = serde_json::from_slice(&lines.line).map_err(no_header)?;
        if format != FORMAT {
            return Err(RecordingError::OtherFormat(format));
        }
        let header = serde_json::from_slice(&lines.line).map_err(no_header)?;
        Ok(Self {
            lines,
            header,
            torn: false,
        })
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Whether the last line was torn, and dropped: the writer was killed. Known after the last event.
    pub const fn is_torn(&self) -> bool {
        self.torn
    }

    /// The next event; `None` at the end.
    pub fn next_event(&mut self) -> Result<Option<Event>, RecordingError> {
        if self.torn || !self.lines.advance()? {
            return Ok(None);
        }
        self.parse()
    }

    /// The next event that is no sample; `None` at the end. Of samples nothing is told but when they were taken.
    pub fn next_beside_samples(
        &mut self,
        mut sampled: impl FnMut(BootTime),
    ) -> Result<Option<Event>, RecordingError> {
        if self.torn {
            return Ok(None);
        }
        while self.lines.advance()? {
            match self.lines.time_of_sample() {
                Some(at) => sampled(at),
                None => return self.parse(),
            }
        }
        Ok(None)
    }

    fn parse(&mut self) -> Result<Option<Event>, RecordingError> {
        let whole = self.lines.line.last() == Some(&b'\n');
        match serde_json::from_slice(&self.lines.line) {
            Ok(event) => Ok(Some(event)),
            Err(_) if !whole => {
                self.torn = true;
                Ok(None)
            }
            Err(cause) => Err(RecordingError::BrokenLine {
                line: self.lines.number,
                cause,
            }),
        }
    }
}

/// The lines of a file, read into one buffer.
#[derive(Debug)]
struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads the next line, its end included; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.number += 1;
        let mut limited = io::Read::take(&mut self.input, LONGEST_LINE);
        Ok(limited.read_until(b'\n', &mut self.line)? > 0)
    }

    /// When the sample was taken that the line holds as we write it; `None` for any other line.
    fn time_of_sample(&self) -> Option<BootTime> {
        let rest = self.line.strip_prefix(b"{\"at\":")?;
        let (nanos, event) = rest.split_at(rest.iter().position(|byte| *byte == b',')?);
        let is_sample = event.starts_with(b",\"event\":{\"sampled\":") && event.ends_with(b"}\n");
        let nanos = std::str::from_utf8(nanos).ok()?.parse().ok()?;
        is_sample.then(|| BootTime::from_nanos(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKind, ExitStatus, Note};

    fn header() -> Header {
        Header {
            format: FORMAT.into(),
            version: "0.1.0".into(),
            label: "x".into(),
            started_at: "2026-01-01T00:00:00Z".into(),
            started: BootTime::from_nanos(5),
            command: vec![Arg(b"make".to_vec()), Arg(b"\xff".to_vec())],
            cwd: "/".into(),
            tracker: "ebpf".into(),
            interval_ms: 150,
            kernel: "6.18".into(),
            cpus: 2,
            memory: ByteSize::from_mib(1024),
            cgroup_version: Some(2),
            cgroup: None,
            stages: Vec::new(),
            classes: Vec::new(),
            budget: None,
            preset: None,
            image: None,
        }
    }

    fn recorded(events: &[Event]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = RecordingWriter::begin(&mut bytes, &header()).unwrap();
        for event in events {
            writer.write(event).unwrap();
        }
        bytes
    }

    fn noted(nanos: u64) -> Event {
        let note = Note {
            what: "a".into(),
            why: "b\nc".into(),
        };
        Event::new(BootTime::from_nanos(nanos), EventKind::Noted(note))
    }

    fn read(bytes: &[u8]) -> Result<(Vec<Event>, bool), RecordingError> {
        let mut reader = RecordingReader::open(bytes)?;
        let mut events = Vec::new();
        while let Some(event) = reader.next_event()? {
            events.push(event);
        }
        Ok((events, reader.is_torn()))
    }

    #[test]
    fn what_was_written_is_read_again() {
        let events = [noted(1), noted(2)];
        let bytes = recorded(&events);
        assert_eq!(read(&bytes).unwrap(), (events.to_vec(), false));
        assert_eq!(
            RecordingReader::open(&bytes[..]).unwrap().header(),
            &header()
        );
    }

    #[test]
    fn samples_are_passed_over_and_told_by_their_time() {
        let sampled = |nanos| {
            let kind = EventKind::Sampled {
                cgroup: None,
                processes: Vec::new(),
            };
            Event::new(BootTime::from_nanos(nanos), kind)
        };
        let mut bytes = recorded(&[sampled(1), noted(2), sampled(3), sampled(4)]);
        // The last line is torn.
        bytes.truncate(bytes.len() - 3);
        let mut reader = RecordingReader::open(&bytes[..]).unwrap();
        let mut times = Vec::new();
        let mut next = || {
            reader
                .next_beside_samples(|at| times.push(at.nanos()))
                .unwrap()
        };
        assert_eq!((next(), next()), (Some(noted(2)), None));
        assert_eq!(times, [1, 3]);
        assert!(reader.is_torn());
    }

    #[test]
    fn an_end_without_its_status_is_recorded_and_one_with_it_as_ever() {
        let status_in = |status: &str| {
            let mut bytes = recorded(&[]);
            let line = format!(
                r#"{{"at":7,"event":{{"exited":{{"tgid":5,"status":{status},"rss_high_water":{{"missing":"x"}}}}}}}}"#
            );
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
            let (events, _) = read(&bytes).unwrap();
            assert_eq!(recorded(&events), bytes);
            match &events[0].event {
                EventKind::Exited { status, .. } => *status,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(status_in("null"), None);
        assert_eq!(status_in(r#"{"code":3}"#), Some(ExitStatus::Code(3)));
        assert_eq!(status_in(r#"{"signal":9}"#), Some(ExitStatus::Signal(9)));
    }

    #[test]
    fn a_recording_cut_anywhere_after_its_header_is_readable_and_the_torn_line_is_told() {
        let whole = recorded(&[noted(1), noted(2)]);
        let header_end = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for end in header_end..=whole.len() {
            let (events, torn) = read(&whole[..end]).unwrap();
            let lines = whole[header_end..end].split(|byte| *byte == b'\n').count() - 1;
            // A last line that lacks nothing but its line break is whole.
            assert!(events.len() == lines || events.len() == lines + 1);
            let ends_a_line = whole[end - 1] == b'\n';
            assert_eq!(torn, !ends_a_line && events.len() == lines);
        }
    }

    #[test]
    fn a_broken_line_in_the_middle_is_named() {
        let mut bytes = recorded(&[noted(1)]);
        bytes.extend_from_slice(b"{\"at\": oops}\n");
        let error = read(&bytes).unwrap_err();
        assert!(
            error.to_string().starts_with("line 3 is no event"),
            "{error}"
        );
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let error = read(b"{\"format\":\"build-mem/recording/9\"}\n").unwrap_err();
        assert!(
            error.to_string().contains("build-mem/recording/9"),
            "{error}"
        );
        assert!(read(b"").is_err());
        assert!(read(b"hello\n").is_err());
    }
}
