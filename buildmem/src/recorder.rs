//! Keeps the recording of a run under way in its file. When the file fails (a full disk), the build goes on and
//! nothing is lost to the report: what is not in the file stays in memory.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write as _};

use crate::event::Event;
use crate::recording::{Header, RecordingWriter};

/// So many events are kept in memory at the most until they are handed to the system: a fork storm makes thousands a second.
const MOST_PENDING: usize = 1024;

/// A recording under way.
#[derive(Debug)]
pub struct Recorder {
    state: State,
    /// What the file does not surely have yet.
    pending: Vec<Event>,
}

#[derive(Debug)]
enum State {
    Writing(RecordingWriter<BufWriter<Tracked>>),
    Failed(io::Error),
}

/// The file, with how much of it is whole lines that reached the system.
#[derive(Debug)]
struct Tracked {
    file: File,
    whole: u64,
}

/// What was recorded: the file, and what follows it where the file failed.
#[derive(Debug)]
pub struct Recorded {
    /// Events that are not in the file.
    pub tail: Vec<Event>,
    /// Why they are not.
    pub failure: Option<io::Error>,
}

impl io::Write for Tracked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.whole = self.file.stream_position()?;
        Ok(())
    }
}

impl Recorder {
    /// Begins a recording in an empty file.
    pub fn begin(file: File, header: &Header) -> io::Result<Self> {
        let output = BufWriter::new(Tracked { file, whole: 0 });
        let writer = RecordingWriter::begin(output, header)?;
        Ok(Self {
            state: State::Writing(writer),
            pending: Vec::new(),
        })
    }

    /// Adds one event.
    pub fn record(&mut self, event: Event) {
        if let State::Writing(writer) = &mut self.state
            && let Err(error) = writer.write(&event)
        {
            self.fail(error);
        }
        self.pending.push(event);
        if self.pending.len() >= MOST_PENDING {
            self.flush();
        }
    }

    /// Hands everything to the system, so that it survives the end of this process.
    pub fn flush(&mut self) {
        let State::Writing(writer) = &mut self.state else {
            return;
        };
        match writer.flush() {
            Ok(()) => self.pending.clear(),
            Err(error) => self.fail(error),
        }
    }

    /// Ends the recording.
    pub fn finish(mut self) -> Recorded {
        self.flush();
        let failure = match self.state {
            State::Writing(_) => None,
            State::Failed(error) => Some(error),
        };
        Recorded {
            tail: self.pending,
            failure,
        }
    }

    /// Gives the file up, cut back to the last event that surely reached it.
    fn fail(&mut self, error: io::Error) {
        let failed = State::Failed(error);
        if let State::Writing(writer) = std::mem::replace(&mut self.state, failed) {
            // Not flushed again: what is in the buffer is in `pending`, too.
            let (Tracked { mut file, whole }, _) = writer.into_inner().into_parts();
            // The file may be on a system that is gone; the events are in memory in any case, and a torn last
            // line is dropped by the reader.
            let _ = file.set_len(whole).and_then(|()| file.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::event::{EventKind, Note};
    use crate::recording::{FORMAT, RecordingReader};
    use crate::units::{BootTime, ByteSize};

    fn noted(nanos: u64) -> Event {
        let note = Note {
            what: "x".into(),
            why: "y".repeat(1000),
        };
        Event::new(BootTime::from_nanos(nanos), EventKind::Noted(note))
    }

    fn header() -> Header {
        Header {
            format: FORMAT.into(),
            version: "0.1.0".into(),
            label: "x".into(),
            started_at: "2026-01-01T00:00:00Z".into(),
            started: BootTime::default(),
            command: Vec::new(),
            cwd: "/".into(),
            tracker: "ebpf".into(),
            interval_ms: 150,
            kernel: "6.18".into(),
            cpus: 1,
            memory: ByteSize::ZERO,
            cgroup_version: None,
            cgroup: None,
            stages: Vec::new(),
            budget: None,
            classes: Vec::new(),
            preset: None,
            image: None,
        }
    }

    fn events_in(mut file: File) -> Vec<Event> {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        let mut reader = RecordingReader::open(&bytes[..]).unwrap();
        std::iter::from_fn(|| reader.next_event().unwrap()).collect()
    }

    #[test]
    fn what_was_recorded_is_in_the_file() {
        let file = tempfile::tempfile().unwrap();
        let mut recorder = Recorder::begin(file.try_clone().unwrap(), &header()).unwrap();
        (1..=20).for_each(|nanos| recorder.record(noted(nanos)));
        let Recorded { tail, failure } = recorder.finish();
        assert!(tail.is_empty() && failure.is_none());
        assert_eq!(events_in(file), (1..=20).map(noted).collect::<Vec<_>>());
    }

    #[test]
    fn when_the_file_fails_no_event_is_lost_and_none_is_there_twice() {
        let file = tempfile::tempfile().unwrap();
        let mut recorder = Recorder::begin(file.try_clone().unwrap(), &header()).unwrap();
        (1..=5).for_each(|nanos| recorder.record(noted(nanos)));
        recorder.flush();
        (6..=10).for_each(|nanos| recorder.record(noted(nanos)));
        recorder.fail(io::ErrorKind::StorageFull.into());
        (11..=20).for_each(|nanos| recorder.record(noted(nanos)));
        let Recorded { tail, failure } = recorder.finish();
        assert_eq!(failure.unwrap().kind(), io::ErrorKind::StorageFull);
        let mut all = events_in(file);
        all.extend(tail);
        assert_eq!(all, (1..=20).map(noted).collect::<Vec<_>>());
    }
}
