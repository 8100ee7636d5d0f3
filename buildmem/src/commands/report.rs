//! `build-mem report`: any view of a recording, again.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::ReportArgs;
use crate::commands::color::{palette, width};
use crate::commands::project::load_config;
use crate::commands::replay::replay;
use crate::export::{self, Format};
use crate::out_dir::{OutDir, RunFile, check_label};
use crate::problem::Problem;

/// Shows a recording.
pub fn run(args: &ReportArgs) -> Result<u8, Problem> {
    let rules = args
        .config
        .as_deref()
        .map(load_config)
        .transpose()?
        .map(|config| config.stages);
    let (file, path) = open(args)?;
    let (report, table) = replay(file, &path, rules, &[])?;
    let mut text = Vec::new();
    let written = match Format::from(args.format) {
        Format::Text => {
            let palette = palette(args.color, io::stdout().is_terminal());
            export::text::write(&report, &palette, width(io::stderr()), &mut text)
        }
        Format::Json => export::json::write(&report, &mut text),
        Format::Csv => export::csv::write(&table, &mut text),
    };
    written.map_err(|error| Problem::new("cannot make the report").because(error))?;
    match io::stdout().write_all(&text) {
        // `build-mem report | head` has seen what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(Problem::new("cannot print the report").because(error)),
        Ok(()) => Ok(0),
    }
}

/// The recording: a label in the output folder, or a file, or the last one.
fn open(args: &ReportArgs) -> Result<(File, PathBuf), Problem> {
    if let Some(path) = args.recording.as_deref().filter(|path| is_path(path)) {
        let file = File::open(path).map_err(|error| {
            Problem::new(format!("cannot open the recording `{}`", path.display())).because(error)
        })?;
        return Ok((file, path.to_owned()));
    }
    let out_dir = OutDir::open(&args.out_dir)?;
    let folder = args.out_dir.display();
    let cannot_list = |error: io::Error| {
        Problem::new(format!("cannot read the folder `{folder}`")).because(error)
    };
    let label = match &args.recording {
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

/// Labels have neither folders nor this ending.
fn is_path(recording: &Path) -> bool {
    recording.components().count() > 1 || recording.extension().is_some_and(|end| end == "jsonl")
}
