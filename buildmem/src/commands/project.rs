//! The project in this folder: its config or preset, and the command that builds it.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::cli::RunArgs;
use crate::config::{Config, FILE_NAME, Preset, detect_preset};
use crate::launch::start::BuildCommand;
use crate::launch::verify::Expectations;
use crate::problem::Problem;

/// A config larger than this is none.
const LARGEST_CONFIG: u64 = 1 << 20;

/// A project, as far as a run needs it.
#[derive(Debug)]
pub struct Project {
    /// Its folder: the one that build-mem was started in.
    pub folder: PathBuf,
    /// What its config says, or the preset.
    pub config: Config,
    /// The preset, where there is no config.
    pub preset: Option<Preset>,
}

/// Reads the project in the current folder.
pub fn load(config: Option<&Path>) -> Result<Project, Problem> {
    let folder = std::env::current_dir().map_err(|error| {
        Problem::new("cannot tell the current folder")
            .because(error)
            .help("change to the project's folder")
    })?;
    let file = config.map_or_else(|| PathBuf::from(FILE_NAME), Path::to_owned);
    match read(&file) {
        Ok(text) => {
            let config = Config::parse(&text, &file.display().to_string())?;
            Ok(Project {
                folder,
                config,
                preset: None,
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && config.is_none() => {
            let preset = detect_preset(read(Path::new("server/package.json")).ok().as_deref());
            let config = preset.map_or_else(|| Ok(Config::default()), Preset::config)?;
            Ok(Project {
                folder,
                config,
                preset,
            })
        }
        Err(error) => Err(
            Problem::new(format!("cannot read the config `{}`", file.display()))
                .because(error)
                .help("correct it, its path or its permissions; `build-mem init` writes a new one"),
        ),
    }
}

/// Reads the stage rules of a config.
pub fn load_config(file: &Path) -> Result<Config, Problem> {
    load(Some(file)).map(|project| project.config)
}

impl Project {
    /// What builds it: as given, else as the config says, else by npm.
    pub fn command(&self, args: &RunArgs) -> Result<BuildCommand, Problem> {
        if !args.command.is_empty() {
            return Ok(BuildCommand::Argv(args.command.clone()));
        }
        let shell = match (&args.build_cmd, &self.config.build_command) {
            (Some(given), _) => given.clone(),
            (None, Some(configured)) => configured.clone(),
            (None, None) if Path::new("package.json").exists() => "npm run build".to_owned(),
            (None, None) => {
                return Err(Problem::new("there is no build command")
                    .because(format!("neither a command, nor `{FILE_NAME}`, nor `package.json` is here"))
                    .help("give it: `sudo build-mem run -- make -j8`, or write it down: `build-mem init`"));
            }
        };
        if shell.trim().is_empty() {
            return Err(Problem::new("the build command is empty")
                .help("give it: `sudo build-mem run -- make -j8`"));
        }
        Ok(BuildCommand::Shell(shell))
    }

    /// What the build must leave.
    pub fn expectations(&self) -> Expectations {
        Expectations {
            artifacts: self
                .config
                .verify_artifacts
                .iter()
                .map(PathBuf::from)
                .collect(),
            json_manifests_in: self
                .preset
                .map(|Preset::NextjsMonorepo| PathBuf::from("server/.next")),
        }
    }
}

/// Reads a config's text.
pub fn read(file: &Path) -> io::Result<String> {
    let refused = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    // Should it be a FIFO, opening it must not wait for a writer.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options()
        .read(true)
        .custom_flags(nonblocking)
        .open(file)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(rustix::io::Errno::ISDIR.into());
    }
    if !metadata.is_file() {
        return refused("it is not a regular file".to_owned());
    }
    // It may grow while it is read.
    let mut text = Vec::new();
    file.take(LARGEST_CONFIG + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST_CONFIG {
        return refused(format!("it has more than {LARGEST_CONFIG} bytes"));
    }
    String::from_utf8(text).or_else(|_| refused("it is not UTF-8".to_owned()))
}
