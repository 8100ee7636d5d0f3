//! `build-mem fit`: builds under one limit after another, and tells the smallest that does, and what each costs.

use std::io::{self, IsTerminal as _, Write as _};

use crate::cli::{AdviceFormat, FitArgs, RunArgs};
use crate::commands::again::{self, Measured, Repeater};
use crate::commands::color::{palette, width};
use crate::commands::recorded::print;
use crate::commands::run::{label_of, log_to_stderr};
use crate::exit_code;
use crate::export;
use crate::fit::{End, Fit, Next, Plan, SCHEMA, Step, conclude, next};
use crate::launch::credentials::Environment;
use crate::out_dir::{OutDir, RunFile, check_label};
use crate::problem::Problem;
use crate::report::Report;
use crate::units::ByteSize;

/// What the recording of the build without a limit is called, after the search's label.
const BASE: &str = "base";

/// Searches, and prints what was found.
pub fn run(args: &FitArgs) -> Result<u8, Problem> {
    log_to_stderr(args.run.verbose);
    refuse_what_makes_no_sense(args)?;
    let environment = again::elevate(&args.run)?;
    let runtime = again::runtime()?;
    let searched = runtime.block_on(search(args, environment));
    runtime.shutdown_background();
    let (fit, code) = searched?;
    let Some(fit) = fit else {
        return Ok(code);
    };
    let mut text = Vec::new();
    let written = match args.format {
        AdviceFormat::Text => {
            let stdout = io::stdout();
            let palette = palette(args.run.color, stdout.is_terminal());
            export::fit::write(&fit, &palette, width(&stdout), &mut text)
        }
        AdviceFormat::Json => export::fit::write_json(&fit, &mut text),
    };
    print("search", written, &text).map(|_| code)
}

fn refuse_what_makes_no_sense(args: &FitArgs) -> Result<(), Problem> {
    let refuse = |what: &str, help: &str| {
        Err(Problem::new(format!("`{what}` makes no sense with `fit`")).help(help))
    };
    let RunArgs {
        memory,
        budget,
        runs,
        warmup,
        ..
    } = &args.run;
    if memory.is_some() {
        return refuse(
            "--memory",
            "the limits to be tried are given by `--from` and `--to`",
        );
    }
    if budget.is_some() {
        return refuse("--budget", "the largest limit to be tried is `--to`");
    }
    if runs.is_some() || warmup.is_some() {
        return refuse("--runs", "how often it builds is bounded by `--max-builds`");
    }
    match (args.from, args.to) {
        (Some(from), Some(to)) if from > to => Err(Problem::new(format!(
            "`--from {from}` is more than `--to {to}`"
        ))
        .help("no limit is between them: exchange the two")),
        _ => Ok(()),
    }
}

/// A search under way.
struct Search<'args> {
    args: &'args FitArgs,
    repeater: Repeater,
    label: String,
    plan: Plan,
}

async fn search(args: &FitArgs, environment: Environment) -> Result<(Option<Fit>, u8), Problem> {
    let label = label_of(&args.run);
    check_label(&format!("{label}.{}", args.max_builds))?;
    let whole_mib = |size: ByteSize| size.bytes().div_ceil(1 << 20).saturating_mul(1 << 20);
    let mut search = Search {
        args,
        repeater: Repeater::new(&args.run, environment)?,
        label,
        plan: Plan {
            from_bytes: args.from.map(whole_mib),
            to_bytes: args.to.map(whole_mib),
            resolution_bytes: args.resolution.map(ByteSize::bytes),
            swap_bytes: args.run.swap.unwrap_or_default().bytes(),
            max_builds: args.max_builds.into(),
        },
    };
    let resumed = search.resumed()?;
    let mut fit = match resumed {
        Some(fit) => fit,
        None => match search.begin().await? {
            Ok(fit) => fit,
            Err(code) => return Ok((None, code)),
        },
    };
    search.save(&fit)?;
    while let Next::Build { limit, reason } = next(&fit.plan, &fit.base, &fit.steps) {
        let number = fit.steps.len() + 1;
        let label = format!("{}.{number}", search.label);
        let Some((report, code)) = search.build(&label, Some(limit), &reason, &fit).await? else {
            break;
        };
        let Some(report) = report else {
            // It has told why.
            return Ok((Some(fit), code));
        };
        let step = Step::of(&report, Some(limit), reason, code);
        search.tell(&export::fit::after(&step, &fit.base));
        fit.steps.push(step);
        fit.conclusion = conclude(&fit.plan, &fit.base, &fit.steps);
        search.save(&fit)?;
    }
    let code = match search.repeater.interrupted() {
        Some(signal) => again::code_of(signal),
        None => code_of(&fit),
    };
    Ok((Some(fit), code))
}

/// 0 when a limit is known under which it passes; the build's own code when that failed, and as over budget where no
/// limit that may be had is enough.
fn code_of(fit: &Fit) -> u8 {
    let last = fit.steps.last().unwrap_or(&fit.base);
    match fit.conclusion.end {
        End::Found | End::UnderWay => 0,
        End::OutOfBuilds if fit.conclusion.smallest.is_some() => 0,
        End::OutOfBuilds | End::NotWithinRange => exit_code::OVER_BUDGET,
        End::FailsWithoutLimit | End::FailedOtherwise => match last.exit_code {
            // Its processes were killed, and it went on.
            0 => exit_code::VERIFICATION_FAILED,
            code => code,
        },
    }
}

impl Search<'_> {
    /// The search that is to go on.
    fn resumed(&self) -> Result<Option<Fit>, Problem> {
        let out_dir = &self.repeater.out_dir;
        if !self.args.resume {
            if out_dir.has(&self.label) && !self.args.run.force {
                return Err(
                    Problem::new(format!("there is a run `{}` already", self.label)).help(
                        "choose another `--label`, replace it with `--force`, or go on with a search by `--resume`",
                    ),
                );
            }
            return Ok(None);
        }
        let path = out_dir.path_of(RunFile::Fit, &self.label);
        let failed = |error: &dyn std::fmt::Display| {
            Problem::new(format!("cannot go on with the search `{}`", path.display()))
                .because(error)
                .help("begin another: leave out `--resume`")
        };
        let text =
            (out_dir.read_file(RunFile::Fit, &self.label)).map_err(|error| failed(&error))?;
        let mut fit: Fit = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
        if fit.schema != SCHEMA {
            return Err(failed(&format!("its form is `{}`", fit.schema)));
        }
        // What it found under its own plan stays true; where to look next, and for how long, is asked for anew.
        fit.plan = Plan {
            from_bytes: self.plan.from_bytes.or(fit.plan.from_bytes),
            to_bytes: self.plan.to_bytes.or(fit.plan.to_bytes),
            resolution_bytes: self.plan.resolution_bytes.or(fit.plan.resolution_bytes),
            max_builds: self.plan.max_builds,
            swap_bytes: fit.plan.swap_bytes,
        };
        if self
            .args
            .run
            .swap
            .is_some_and(|swap| swap.bytes() != fit.plan.swap_bytes)
        {
            return Err(failed(&"it was begun with another `--swap`"));
        }
        fit.conclusion = conclude(&fit.plan, &fit.base, &fit.steps);
        self.tell(&format!(
            "going on with the search `{}` after {} builds",
            self.label,
            fit.steps.len() + 1
        ));
        Ok(Some(fit))
    }

    /// The run without a limit: built, or the one that is given. The code to exit with where there is none.
    async fn begin(&mut self) -> Result<Result<Fit, u8>, Problem> {
        let reason = "what does it need without a limit?";
        let (report, code) = if let Some(base) = &self.args.base {
            check_label(base)?;
            (self.repeater.result(base)?, 0)
        } else {
            let label = format!("{}.{BASE}", self.label);
            self.tell(&export::fit::before(1, self.plan.max_builds, None, reason));
            match self.measure(&label, None, 1).await? {
                None => return Ok(Err(self.code_of_signal())),
                Some((None, code)) => return Ok(Err(code)),
                Some((Some(report), code)) => (report, code),
            }
        };
        if report.headline.saturated {
            return Err(Problem::new(format!(
                "the run `{}` is no measure of what the build needs without a limit",
                report.label
            ))
            .because("its headline is a limit that it has reached")
            .help(
                "free the cgroup of build-mem from its limit, or begin with another run: `--base`",
            ));
        }
        let base = Step::of(&report, None, reason.to_owned(), code);
        self.tell(&export::fit::after(&base, &base));
        Ok(Ok(Fit {
            schema: SCHEMA.to_owned(),
            label: self.label.clone(),
            started_at: report.started_at.clone(),
            command: report.command.clone(),
            cwd: report.cwd.clone(),
            cgroup_version: report.host.cgroup_version,
            plan: self.plan,
            conclusion: conclude(&self.plan, &base, &[]),
            base,
            steps: Vec::new(),
        }))
    }

    /// Tells of a build, and builds. Nothing when a signal came: what it measured then says nothing of its limit.
    async fn build(
        &mut self,
        label: &str,
        limit: Option<ByteSize>,
        reason: &str,
        fit: &Fit,
    ) -> Result<Option<(Option<Report>, u8)>, Problem> {
        if self.repeater.interrupted().is_some() {
            return Ok(None);
        }
        let number = fit.steps.len() as u64 + 2;
        let (most, bytes) = (fit.plan.max_builds, limit.map(ByteSize::bytes));
        self.tell(&export::fit::before(number, most, bytes, reason));
        self.measure(label, limit, number).await
    }

    async fn measure(
        &mut self,
        label: &str,
        limit: Option<ByteSize>,
        number: u64,
    ) -> Result<Option<(Option<Report>, u8)>, Problem> {
        let FitArgs { run, .. } = self.args;
        if let Some(line) = &run.prepare {
            self.repeater.prepare(line, run.json_only).await?;
            if self.repeater.interrupted().is_some() {
                return Ok(None);
            }
        }
        let title = match limit {
            Some(limit) => format!("build {number} at {limit}"),
            None => format!("build {number}"),
        };
        let args = RunArgs {
            label: Some(label.to_owned()),
            part_of: Some(title),
            // A step that was interrupted has left its files.
            force: run.force || self.args.resume,
            memory: limit,
            swap: limit.and(run.swap),
            prepare: None,
            // Of builds that are to fail nobody wants to read so much; it is in their logs.
            json_only: true,
            quiet: run.quiet || run.json_only,
            strict: false,
            ..run.clone()
        };
        let Measured {
            code,
            report,
            other_cpus: _,
        } = self.repeater.measure(&args).await?;
        if self.repeater.interrupted().is_some() {
            return Ok(None);
        }
        Ok(Some((report, code)))
    }

    fn code_of_signal(&mut self) -> u8 {
        (self.repeater.interrupted()).map_or(exit_code::TOOL_FAILED, again::code_of)
    }

    fn save(&self, fit: &Fit) -> Result<(), Problem> {
        let mut text = Vec::new();
        export::fit::write_json(fit, &mut text)
            .and_then(|()| (self.repeater.out_dir).replace_file(RunFile::Fit, &self.label, &text))
            .map_err(|error| {
                let path = self.repeater.out_dir.path_of(RunFile::Fit, &self.label);
                Problem::new(format!("cannot write `{}`", path.display())).because(error)
            })
    }

    /// How far it is, on stderr: what it found is printed on stdout.
    fn tell(&self, text: &str) {
        if !self.args.run.quiet && !self.args.run.json_only {
            let _ = writeln!(io::stderr(), "build-mem: {}", export::visible(text));
        }
    }
}

/// The search of this label, where there is one that can be read.
pub fn load(out_dir: &OutDir, label: &str) -> Option<Fit> {
    let text = out_dir.read_file(RunFile::Fit, label).ok()?;
    serde_json::from_slice(&text).ok()
}
