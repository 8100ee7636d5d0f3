//! `build-mem completions` and `build-mem man`: made from the command line's own definition.

use std::io;

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::cli::Cli;

/// Prints completions for a shell.
pub fn completions(shell: clap_complete::Shell) -> u8 {
    clap_complete::generate(shell, &mut Cli::command(), "build-mem", &mut io::stdout());
    0
}

/// Prints the manual page.
pub fn man() -> anyhow::Result<u8> {
    clap_mangen::Man::new(Cli::command())
        .render(&mut io::stdout())
        .context("cannot print the manual page")?;
    Ok(0)
}
