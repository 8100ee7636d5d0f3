//! The `build-mem` command: parse, dispatch, print the error, pick the exit code.

use std::io::{self, Write as _};
use std::process::ExitCode;

use buildmem::cli::{Cli, Command};
use buildmem::commands::{
    advise, budget, compare, doctor, fit, generate, init, list, report, run, stage,
};
use buildmem::exit_code;
use buildmem::export::visible;
use buildmem::launch::privileges;
use buildmem::problem::Problem;
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no failure.
            let code = if error.use_stderr() {
                exit_code::TOOL_FAILED
            } else {
                0
            };
            // Whoever closed our output has no use for it.
            let _ = error.print();
            return code.into();
        }
    };
    match privileges::hold_back().and_then(|()| dispatch(&cli)) {
        Ok(code) => code.into(),
        Err(problem) => {
            print(&problem);
            exit_code::of_problem(&problem).into()
        }
    }
}

fn dispatch(cli: &Cli) -> Result<u8, Problem> {
    match &cli.command {
        None => run::run(&cli.run),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Report(args)) => report::run(args),
        Some(Command::Compare(args)) => compare::run(args),
        Some(Command::Fit(args)) => fit::run(args),
        Some(Command::Advise(args)) => advise::run(args),
        Some(Command::Budget(args)) => budget::run(args),
        Some(Command::Stage(args)) => stage::run(args),
        Some(Command::List(args)) => list::run(args),
        Some(Command::Doctor(args)) => doctor::run(args),
        Some(Command::Init(args)) => init::run(args),
        Some(Command::Completions { shell }) => Ok(generate::completions(*shell)),
        Some(Command::Man(args)) => generate::man(args),
        Some(Command::TryEbpf) => doctor::try_ebpf(),
    }
}

fn print(problem: &Problem) {
    let Problem {
        what,
        cause,
        help,
        kind: _,
    } = problem;
    // Names and lines of files are in it, of which a terminal must obey none.
    let mut text = format!("error: {}\n", visible(what));
    text.extend((cause.iter()).map(|cause| format!("cause: {}\n", visible(cause))));
    text.extend((help.iter()).map(|help| format!(" help: {}\n", visible(help))));
    // The exit code tells it, too, where stderr takes nothing.
    let _ = io::stderr().write_all(text.as_bytes());
}
