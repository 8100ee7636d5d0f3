//! `build-mem budget`: the budgets in the config beside what recorded runs needed; new figures; a check for CI.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use crate::budget_figures::{Entry, edited, entries};
use crate::cli::BudgetArgs;
use crate::commands::color::{palette, width};
use crate::commands::compare::reports;
use crate::commands::project;
use crate::commands::recorded::print;
use crate::config::FILE_NAME;
use crate::exit_code;
use crate::export;
use crate::launch::credentials::Invoker;
use crate::problem::Problem;
use crate::report::{Report, Verdict};
use crate::units::ByteSize;

/// Shows, proposes or checks budgets.
pub fn run(args: &BudgetArgs) -> Result<u8, Problem> {
    let project = project::load(args.config.as_deref())?;
    let reports = reports(
        args.recordings.as_deref(),
        &args.out_dir,
        project.config.clone(),
    )?;
    if let Some(problem) = unfit(&reports) {
        return Err(problem);
    }
    let budgets = &project.config.budgets;
    if args.check && budgets.is_empty() {
        return Err(Problem::new("there is no budget to check").help(format!(
            "write one into `{FILE_NAME}`, or have it written: `build-mem budget --update`"
        )));
    }
    let entries = entries(budgets, &reports);
    let mut text = Vec::new();
    let palette = palette(args.color, io::stdout().is_terminal());
    let written = export::budget::write(&entries, &palette, width(io::stderr()), &mut text);
    let printed = print("budgets", written, &text)?;
    if args.update {
        let file = args
            .config
            .clone()
            .unwrap_or_else(|| PathBuf::from(FILE_NAME));
        update(&file, &entries)?;
    }
    if !args.check {
        return Ok(printed);
    }
    let exceeded = |entry: &Entry| entry.exceeded_by() > Some(ByteSize::ZERO);
    Ok(match () {
        () if entries.iter().any(exceeded) => exit_code::OVER_BUDGET,
        // Who asks must not take an answer that nobody has for a yes.
        () if entries.iter().any(|entry| entry.exceeded_by().is_none()) => {
            exit_code::NOT_TRUSTWORTHY
        }
        () => printed,
    })
}

/// A build that did not do its work says nothing of what that needs.
fn unfit(reports: &[Report]) -> Option<Problem> {
    let is_unfit = |report: &&Report| match report.verdict {
        Verdict::Pass | Verdict::OverBudget => report.headline.saturated,
        Verdict::BuildFailed
        | Verdict::BuildKilled
        | Verdict::OutOfMemory
        | Verdict::Interrupted
        | Verdict::VerificationFailed
        | Verdict::Incomplete => true,
    };
    let report = reports.iter().find(is_unfit)?;
    let why = if report.headline.saturated {
        "it reached its limit: what it would need is not known".to_owned()
    } else {
        format!("its verdict is {}", report.verdict.word())
    };
    Some(
        Problem::new(format!(
            "cannot judge budgets by the run `{}`",
            report.label
        ))
        .because(why)
        .help("name runs that passed: `build-mem budget LABEL`; `build-mem list` shows them"),
    )
}

/// Writes the new figures, as whoever called us.
fn update(file: &Path, entries: &[Entry]) -> Result<(), Problem> {
    let environment = std::env::vars_os().collect();
    let invoker = Invoker::resolve(None, &environment)?;
    let name = file.display().to_string();
    let changed = invoker.act_as(|| {
        let text = match project::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Problem::new(format!("cannot read `{name}`")).because(error)),
        };
        let new = edited(&text, &name, entries)?;
        if new == text {
            return Ok(false);
        }
        // In place: it may be a link, and keeps its permissions.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let written = options
            .open(file)
            .and_then(|mut file| file.write_all(new.as_bytes()));
        written.map_err(|error| Problem::new(format!("cannot write `{name}`")).because(error))?;
        Ok(true)
    })?;
    // It is there, whether anybody hears of it or not.
    let told = if changed {
        format!("Wrote `{name}`: look over what has changed.")
    } else {
        format!("`{name}` needs no change.")
    };
    let _ = writeln!(io::stderr(), "{told}");
    Ok(())
}
