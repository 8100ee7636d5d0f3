//! From a recording to its report: what `run` ends with, and `report` and `list` begin with.

use std::io::{BufReader, Read, Seek};
use std::path::Path;

use crate::attribution::Attribution;
use crate::automatic_stages::StageSearch;
use crate::classes::ClassRules;
use crate::config::Config;
use crate::event::{Event, EventKind, Note};
use crate::history::{History, Keep};
use crate::problem::Problem;
use crate::recording::{RecordingError, RecordingReader};
use crate::report::Report;
use crate::stage_rule::StageRule;
use crate::stages::InvalidRules;
use crate::timeline::TimelineTable;

/// Bytes that are read at once.
const BUFFER: usize = 64 << 10;

/// What a config says of stages and classes.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `[[stage]]`.
    pub stages: Vec<StageRule>,
    /// `[[class]]`.
    pub classes: Vec<StageRule>,
}

impl From<Config> for Rules {
    fn from(config: Config) -> Self {
        Self {
            stages: config.stages,
            classes: config.classes,
        }
    }
}

/// Computes the report of a recording; `rules` replace the recorded ones, and `tail` follows what is in the file.
///
/// `path` is its name in errors. The file is read twice, so that a long build needs no more room than what is reported
/// of it.
pub fn replay(
    file: impl Read + Seek,
    path: &Path,
    rules: Option<Rules>,
    tail: &[Event],
) -> Result<(Report, TimelineTable), Problem> {
    let fold = fold(file, path, rules, tail, |fold| fold)?;
    Ok(fold.finish())
}

/// The same with every process, for views that draw them: it takes room for each.
pub fn replay_with_history(
    file: impl Read + Seek,
    path: &Path,
    rules: Option<Rules>,
    tail: &[Event],
) -> Result<(Report, TimelineTable, History), Problem> {
    replay_keeping(Keep::All, file, path, rules, tail)
}

/// The same with the processes that matter most, which bounds the room that they take.
pub fn replay_keeping(
    keep: Keep,
    file: impl Read + Seek,
    path: &Path,
    rules: Option<Rules>,
    tail: &[Event],
) -> Result<(Report, TimelineTable, History), Problem> {
    let fold = fold(file, path, rules, tail, |fold| fold.with_history(keep))?;
    let (report, table, history) = fold.finish_with_history();
    let none = || Problem::new("cannot tell the build's processes one by one");
    Ok((report, table, history.ok_or_else(none)?))
}

/// Folds all events of a recording.
fn fold(
    mut file: impl Read + Seek,
    path: &Path,
    rules: Option<Rules>,
    tail: &[Event],
    with: impl FnOnce(Attribution) -> Attribution,
) -> Result<Attribution, Problem> {
    let cannot_read = |error: RecordingError| {
        Problem::new(format!("cannot read the recording `{}`", path.display()))
            .because(error)
            .help("`build-mem list` shows the recordings that are there")
    };
    file.rewind().map_err(|error| cannot_read(error.into()))?;
    let mut reader =
        RecordingReader::open(BufReader::with_capacity(BUFFER, &mut file)).map_err(cannot_read)?;
    let mut header = reader.header().clone();
    if let Some(Rules { stages, classes }) = rules {
        header.stages = stages;
        header.classes = classes;
    }
    let cannot_use = |error: InvalidRules| Problem::new(error.to_string());
    let classes = ClassRules::new(&header.classes).map_err(cannot_use)?;
    let mut search = StageSearch::new(&header.stages).map_err(cannot_use)?;
    while !search.is_over()
        && let Some(event) = reader
            .next_beside_samples(|at| search.lasts_until(at))
            .map_err(cannot_read)?
    {
        search.apply(&event);
    }
    for event in tail {
        search.apply(event);
    }
    let mut fold = with(Attribution::new(header, search.finish()).with_classes(classes));

    file.rewind().map_err(|error| cannot_read(error.into()))?;
    let mut reader =
        RecordingReader::open(BufReader::with_capacity(BUFFER, &mut file)).map_err(cannot_read)?;
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
    Ok(fold)
}
