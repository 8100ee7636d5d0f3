//! `build-mem completions` and `build-mem man`: made from the command line's own definition.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::cli::{Cli, ManArgs};
use crate::problem::Problem;

/// Prints completions for a shell.
pub fn completions(shell: clap_complete::Shell) -> u8 {
    clap_complete::generate(shell, &mut Cli::command(), "build-mem", &mut io::stdout());
    0
}

/// Prints the manual page of build-mem, or writes that and one of each command into a folder.
pub fn man(arguments: &ManArgs) -> Result<u8, Problem> {
    let ManArgs { dir } = arguments;
    match dir {
        None => page(Cli::command())
            .render(&mut io::stdout())
            .map_err(|error| Problem::new("cannot print the manual page").because(error))?,
        Some(dir) => pages(dir).map_err(|error| {
            let what = format!("cannot write the manual pages to `{}`", dir.display());
            Problem::new(what).because(error)
        })?,
    }
    Ok(0)
}

fn pages(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    // `build-mem help` has nothing to tell that the pages do not.
    let mut command = Cli::command().disable_help_subcommand(true);
    // Gives the commands the names that their pages have: `build-mem-run`.
    command.build();
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        page(command.clone()).generate_to(dir)?;
    }
    page(command).generate_to(dir)?;
    Ok(())
}

fn page(command: clap::Command) -> Man {
    Man::new(command)
        .source(concat!("build-mem ", env!("CARGO_PKG_VERSION")))
        .manual("build-mem")
}
