//! `build-mem completions` and `build-mem man`: made from the command line's own definition.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

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
        None => main_page(Cli::command(), &mut io::stdout())
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
    for command in command.get_subcommands() {
        if !command.is_hide_set() {
            page(command.clone()).generate_to(dir)?;
        }
    }
    main_page(command, &mut File::create(dir.join("build-mem.1"))?)
}

fn page(command: clap::Command) -> Man {
    Man::new(command)
        .source(concat!("build-mem ", env!("CARGO_PKG_VERSION")))
        .manual("build-mem")
}

/// The page `build-mem`: each paragraph below the options of its help is a section here.
fn main_page(command: clap::Command, out: &mut dyn Write) -> io::Result<()> {
    let below = command.get_after_help().map(ToString::to_string);
    let page = page(command);
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    page.render_subcommands_section(out)?;
    for paragraph in below.iter().flat_map(|text| text.split("\n\n")) {
        if let Some((title, text)) = paragraph.split_once(':') {
            section(title, text.trim_start_matches(' ')).to_writer(out)?;
        }
    }
    page.render_version_section(out)
}

/// Lines that begin the section are text, in which line breaks mean nothing; indented ones stay as they are.
fn section(title: &str, text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title.to_uppercase().as_str()]);
    let as_it_is = text.starts_with('\n');
    if as_it_is {
        roff.control("nf", []);
    }
    for line in text.lines().filter(|line| !line.is_empty()) {
        roff.text([roman(line.trim_start())]);
    }
    if as_it_is {
        roff.control("fi", []);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_below_the_options_in_the_help_are_sections_of_the_manual_page() {
        let command = clap::Command::new("p")
            .version("1")
            .after_help("Examples:\n  p a\n  p b\n\nExit code: 0,\nelse 1.");
        let mut page = Vec::new();
        main_page(command, &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        let (_, below) = page.split_once(".SH EXAMPLES").unwrap();
        let (below, _) = below.split_once(".SH VERSION").unwrap();
        let lines: Vec<&str> = below
            .lines()
            .filter(|line| !line.starts_with(".ie") && !line.starts_with(".el"))
            .collect();
        assert_eq!(
            lines,
            [
                "",
                ".nf",
                "p a",
                "p b",
                ".fi",
                ".SH \"EXIT CODE\"",
                "0,",
                "else 1."
            ]
        );
    }

    #[test]
    fn nothing_of_the_help_is_lost() {
        let mut page = Vec::new();
        main_page(Cli::command(), &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        let page = page.replace(r"\*(Aq", "'").replace('\\', "");
        let below = Cli::command().get_after_help().unwrap().to_string();
        for line in below.lines() {
            let line = line.split_once(": ").map_or(line, |(_, rest)| rest);
            let line = line.trim_start().trim_end_matches(':');
            assert!(
                page.contains(line) || page.contains(&line.to_uppercase()),
                "{line}\n{page}"
            );
        }
    }
}
