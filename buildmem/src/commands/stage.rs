//! `build-mem stage NAME -- CMD`: the enclosing run sees this command line at exec, and takes it as the mark.
//! All that is left to do here is to become CMD.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::cli::StageArgs;
use crate::launch::privileges;
use crate::problem::{Problem, ProblemKind};
use crate::stages::OTHER;

/// Becomes the command. Returns only when that fails.
pub fn run(args: &StageArgs) -> Result<u8, Problem> {
    let StageArgs { name, command } = args;
    if name.trim().is_empty() || name == OTHER {
        return Err(Problem::new(format!("`{name}` cannot be a stage's name"))
            .help("name the stage: `build-mem stage docs -- CMD`"));
    }
    let [program, rest @ ..] = command.as_slice() else {
        return Err(Problem::new("there is no command to run as a stage"));
    };
    let error = Command::new(program)
        .args(rest)
        .env_clear()
        .envs(privileges::environment_at_start(Path::new("/proc")))
        .exec();
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ProblemKind::NotFound,
        _ => ProblemKind::NotExecutable,
    };
    Err(Problem::new(format!("cannot run `{}`", program.display()))
        .because(error)
        .kind(kind))
}
