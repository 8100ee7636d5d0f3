//! `build-mem completions` and `build-mem man`: made from the command line's own definition.

use std::io;

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::problem::Problem;

/// Prints completions for a shell.
pub fn completions(shell: clap_complete::Shell) -> u8 {
    clap_complete::generate(shell, &mut Cli::command(), "build-mem", &mut io::stdout());
    0
}

/// Prints the manual page.
pub fn man() -> Result<u8, Problem> {
    clap_mangen::Man::new(Cli::command())
        .render(&mut io::stdout())
        .map_err(|error| Problem::new("cannot print the manual page").because(error))?;
    Ok(0)
}
