//! From a recording to its report: what `run` ends with, and `report` and `list` begin with.

use std::fs::File;
use std::io::{BufReader, Seek as _};
use std::path::Path;

use crate::attribution::Attribution;
use crate::automatic_stages::StageSearch;
use crate::event::{Event, EventKind, Note};
use crate::problem::Problem;
use crate::recording::{RecordingError, RecordingReader};
use crate::report::Report;
use crate::stage_rule::StageRule;
use crate::timeline::TimelineTable;

/// Computes the report of a recording; `rules` replace the recorded ones, and `tail` follows what is in the file.
///
/// The file is read twice, so that a long build needs no more room than what is reported of it.
pub fn replay(
    mut file: File,
    path: &Path,
    rules: Option<Vec<StageRule>>,
    tail: &[Event],
) -> Result<(Report, TimelineTable), Problem> {
    let cannot_read = |error: RecordingError| {
        Problem::new(format!("cannot read the recording `{}`", path.display()))
            .because(error)
            .help("`build-mem list` shows the recordings that are there")
    };
    file.rewind().map_err(|error| cannot_read(error.into()))?;
    let mut reader = RecordingReader::open(BufReader::new(&file)).map_err(cannot_read)?;
    let mut header = reader.header().clone();
    if let Some(rules) = rules {
        header.stages = rules;
    }
    let mut search =
        StageSearch::new(&header.stages).map_err(|error| Problem::new(error.to_string()))?;
    while !search.is_over()
        && let Some(event) = reader.next_event().map_err(cannot_read)?
    {
        search.apply(&event);
    }
    for event in tail {
        search.apply(event);
    }
    let mut fold = Attribution::new(header, search.finish());

    file.rewind().map_err(|error| cannot_read(error.into()))?;
    let mut reader = RecordingReader::open(BufReader::new(&file)).map_err(cannot_read)?;
    let mut last = reader.header().started;
    while let Some(event) = reader.next_event().map_err(cannot_read)? {
        last = event.at;
        fold.apply(&event);
    }
    if reader.is_torn() {
        let note = Note {
            what: "recording".to_owned(),
            why: "its last line is torn: build-mem was killed while it wrote".to_owned(),
        };
        fold.apply(&Event::new(last, EventKind::Noted(note)));
    }
    for event in tail {
        fold.apply(event);
    }
    Ok(fold.finish())
}
