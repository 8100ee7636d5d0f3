//! What the commands that look at a recording have in common.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::RecordedArgs;
use crate::commands::project::load_config;
use crate::commands::replay::{Rules, replay, replay_keeping};
use crate::history::{History, Keep};
use crate::out_dir::{OutDir, RunFile, check_label};
use crate::problem::Problem;
use crate::report::Report;
use crate::timeline::TimelineTable;

/// Computes the report of the recording that is meant.
pub fn report(args: &RecordedArgs) -> Result<(Report, TimelineTable), Problem> {
    let config = args.config.as_deref().map(load_config).transpose()?;
    let (file, path) = open(args.recording.as_deref(), &args.out_dir)?;
    replay(file, &path, config.map(Rules::from), &[])
}

/// The same with the processes that are kept, for views that draw them.
pub fn report_keeping(
    keep: Keep,
    args: &RecordedArgs,
) -> Result<(Report, TimelineTable, History), Problem> {
    let config = args.config.as_deref().map(load_config).transpose()?;
    let (file, path) = open(args.recording.as_deref(), &args.out_dir)?;
    replay_keeping(keep, file, &path, config.map(Rules::from), &[])
}

/// Prints `what`, of which this was written. Whoever reads it may end early, as `head` does: it has seen what it wanted.
pub fn print(what: &str, written: io::Result<()>, text: &[u8]) -> Result<u8, Problem> {
    written.map_err(|error| Problem::new(format!("cannot make the {what}")).because(error))?;
    match io::stdout().write_all(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(Problem::new(format!("cannot print the {what}")).because(error)),
        Ok(()) => Ok(0),
    }
}

/// The recording: a label in the output folder, or a file, or the last one.
pub fn open(recording: Option<&Path>, out_dir: &Path) -> Result<(File, PathBuf), Problem> {
    if let Some(path) = recording.filter(|path| is_path(path)) {
        let file = File::open(path).map_err(|error| {
            Problem::new(format!("cannot open the recording `{}`", path.display())).because(error)
        })?;
        return Ok((file, path.to_owned()));
    }
    let folder = out_dir.display();
    let out_dir = OutDir::open(out_dir)?;
    let cannot_list = |error: io::Error| {
        Problem::new(format!("cannot read the folder `{folder}`")).because(error)
    };
    let label = match recording {
        Some(label) => label.to_string_lossy().into_owned(),
        None => out_dir
            .labels()
            .map_err(cannot_list)?
            .pop()
            .ok_or_else(|| {
                Problem::new(format!("there is no recording in `{folder}`"))
                    .help("measure a build first: `sudo build-mem run -- CMD`")
            })?,
    };
    check_label(&label)?;
    let file = out_dir
        .open_file(RunFile::Recording, &label)
        .map_err(|error| {
            Problem::new(format!("there is no recording `{label}` in `{folder}`"))
                .because(error)
                .help("`build-mem list` shows the recordings that are there")
        })?;
    Ok((file, out_dir.path_of(RunFile::Recording, &label)))
}

/// Whether a word can be a label in the output folder, and is no path of a file.
pub fn is_label(word: &str) -> bool {
    !is_path(Path::new(word)) && check_label(word).is_ok()
}

/// Labels have neither folders nor this ending.
fn is_path(recording: &Path) -> bool {
    recording.components().count() > 1 || recording.extension().is_some_and(|end| end == "jsonl")
}
