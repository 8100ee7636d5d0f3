//! `build-mem run`: clear, build, measure, headline, verify, report.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use buildmem_common::TRACKED_CAPACITY;

use crate::budgets::Budgets;
use crate::classes::ClassRules;
use crate::cli::{RunArgs, TrackerArg};
use crate::command_line::{Arg, CommandLine};
use crate::commands::color::palette;
use crate::commands::contain;
use crate::commands::project::{self, Project};
use crate::commands::replay::{replay, replay_keeping};
use crate::commands::series;
use crate::event::{EventKind, ExitStatus, Note, VerifyCheck};
use crate::exit_code;
use crate::export;
use crate::export::live::Titles;
use crate::history::History;
use crate::launch::clear;
use crate::launch::credentials::{Invoker, RestoredEnvironment, SudoCall};
use crate::launch::elevate;
use crate::launch::output::{Forward, OurStdio, Output};
use crate::launch::privileges;
use crate::launch::signals::SignalStream;
use crate::launch::start::{BuildCommand, BuildSpec, find_program, start};
use crate::launch::terminal::{StatusLine, Terminal};
use crate::launch::tui::{self, Tui};
use crate::launch::verify::verify;
use crate::live::Live;
use crate::observe::bpf::{CgroupLeaf, TrackerConfig};
use crate::observe::cgroup::{Hierarchy, Leaf, SwapLimit, make_ready_to_move};
use crate::observe::host::{self, HostFacts, boot_time_now};
use crate::observe::proc::ProcReader;
use crate::observe::sampler::Sampler;
use crate::observe::tracker::Tracker;
use crate::out_dir::{OutDir, RunFile, check_label};
use crate::problem::Problem;
use crate::recorder::{Recorded, Recorder};
use crate::recording::{FORMAT, Header};
use crate::report::Report;
use crate::session::{Parts, Session};
use crate::stages::Stages;
use crate::timeline::TimelineTable;
use crate::tree::ProcessTree;
use crate::units::{BootTime, ByteSize};

/// Where processes are shown.
const PROC: &str = "/proc";

/// Everything that a run needs, found good before anything is touched.
struct Plan {
    project: Project,
    command: BuildCommand,
    invoker: Invoker,
    environment: Vec<(OsString, OsString)>,
    label: String,
    host: HostFacts,
    notes: Vec<Note>,
}

/// Runs the build, and tells what it needed.
pub fn run(args: &RunArgs) -> Result<u8, Problem> {
    log_to_stderr(args.verbose);
    if args.tui {
        tui::check(std::env::var_os("TERM").as_deref())?;
    }
    if series::is_asked_for(args) {
        return series::run(args);
    }
    let environment = privileges::environment_at_start(Path::new(PROC));
    if let (Some(image), None) = (contain::image(args), &args.inside) {
        match contain::run(args, image, &environment)? {}
    }
    if args.tracker == TrackerArg::Ebpf && !privileges::suffice_for_ebpf() {
        elevate::through_sudo(&environment, !args.quiet && !args.json_only)?;
    }
    let invoker = match &args.inside {
        Some(credentials) => Invoker::inside(credentials.clone())?,
        None => Invoker::resolve(args.user.as_deref(), &environment)?,
    };
    let host = host::facts(Path::new(PROC));
    let began = Instant::now();
    let ready_to_move = make_ready_to_move(Path::new(PROC));
    let tracker = start_tracker(args, &host)?;
    // Should it have failed, the build's move takes a moment longer.
    let _ = ready_to_move.join();
    log::info!(
        "the tracker `{}` is ready after {} ms",
        args.tracker.name(),
        began.elapsed().as_millis()
    );
    let plan = Plan::make(args, invoker, &environment, host)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new("cannot start the event loop").because(error))?;
    let measured = runtime.block_on(measure(args, plan, tracker));
    // A thread may still wait for an output stream of ours that takes nothing.
    runtime.shutdown_background();
    let (report, code) = measured?;
    if args.part_of.is_some() {
        return Ok(code);
    }
    match print_result_line(&export::json::result_line(&report)) {
        // The build's own failure is what its caller must learn.
        Err(problem) if code != 0 => {
            log::warn!("{problem}");
            Ok(code)
        }
        printed => printed.map(|()| code),
    }
}

/// What was asked for, never the other in its place.
fn start_tracker(args: &RunArgs, host: &HostFacts) -> Result<Tracker, Problem> {
    const OTHERWISE: &str = "without eBPF, `--tracker proc` polls, which misses short processes";
    match args.tracker {
        TrackerArg::Proc => Tracker::proc(Path::new(PROC)),
        TrackerArg::Ebpf => Tracker::ebpf(TrackerConfig {
            page_size: host.page_size.bytes(),
            diagnostics: args.verbose > 1,
            tracked_capacity: TRACKED_CAPACITY,
        })
        .map_err(|problem| {
            let help = match &problem.help {
                Some(help) => format!("{help}; {OTHERWISE}"),
                None => OTHERWISE.to_owned(),
            };
            problem.help(help)
        }),
    }
}

/// The label of the run: as given, else the time.
pub fn label_of(args: &RunArgs) -> String {
    let now = || {
        jiff::Timestamp::now()
            .strftime("%Y%m%dT%H%M%SZ")
            .to_string()
    };
    args.label.clone().unwrap_or_else(now)
}

/// Shows what build-mem does (`-v`), and what its eBPF programs say (`-vv`).
pub fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Info,
        _ => log::LevelFilter::Trace,
    };
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Warn)
        .filter_module("buildmem", level)
        .filter_module("buildmem_ebpf", level)
        .format_timestamp(None)
        .target(env_logger::Target::Pipe(Box::new(tui::Messages)))
        .init();
}

impl Plan {
    fn make(
        args: &RunArgs,
        invoker: Invoker,
        environment: &HashMap<OsString, OsString>,
        host: HostFacts,
    ) -> Result<Self, Problem> {
        let project = invoker.act_as(|| project::load(args.config.as_deref()))?;
        let command = invoker.act_as(|| project.command(args))?;
        let label = label_of(args);
        check_label(&label)?;
        let sudo = SudoCall::find(Path::new(PROC));
        let RestoredEnvironment { variables, note } =
            invoker.restored_environment(environment, sudo.as_ref());
        Ok(Self {
            project,
            command,
            invoker,
            environment: variables,
            label,
            host,
            notes: note.into_iter().collect(),
        })
    }

    /// What the report says of a run beside its events.
    fn header(&self, args: &RunArgs, leaf: Option<&Leaf>) -> Header {
        let words = self.command.argv();
        Header {
            format: FORMAT.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            label: self.label.clone(),
            started_at: jiff::Timestamp::now()
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string(),
            started: boot_time_now(),
            command: words
                .into_iter()
                .map(|word| Arg(std::os::unix::ffi::OsStringExt::into_vec(word)))
                .collect(),
            cwd: self.project.folder.display().to_string(),
            tracker: args.tracker.name().to_owned(),
            interval_ms: args.interval_ms,
            kernel: self.host.kernel.clone(),
            cpus: self.host.cpus,
            memory: self.host.memory.value().copied().unwrap_or_default(),
            cgroup_version: leaf.map(|leaf| leaf.hierarchy().version.number()),
            cgroup: leaf.map(Leaf::path_in_hierarchy),
            stages: self.project.config.stages.clone(),
            classes: self.project.config.classes.clone(),
            budget: self.budgets(args),
            preset: self.project.preset.map(|preset| preset.name().to_owned()),
            image: contain::image(args).map(str::to_owned),
        }
    }

    /// What the build is to stay within: as the config says, but for a peak that was given.
    fn budgets(&self, args: &RunArgs) -> Option<Budgets> {
        let mut budgets = self.project.config.budgets.clone();
        budgets.peak = args.budget.or(budgets.peak);
        Some(budgets).filter(|budgets| !budgets.is_empty())
    }

    /// What stands above the screen of `--tui`.
    fn titles(&self) -> Titles {
        let words = self.command.argv().into_iter();
        let words = words.map(std::os::unix::ffi::OsStringExt::into_vec);
        Titles {
            label: self.label.as_str().into(),
            command: CommandLine::from_args(words).display().into(),
        }
    }

    /// What the screen shows, from the start on.
    fn live(&self, started: BootTime) -> Result<Live, Problem> {
        let config = &self.project.config;
        let classes =
            ClassRules::new(&config.classes).map_err(|error| Problem::new(error.to_string()))?;
        let stages = config.stages.iter().map(|rule| rule.name.as_str());
        Ok(Live::new(started, stages, classes))
    }

    fn note(&mut self, what: &str, why: impl Into<String>) {
        self.notes.push(Note {
            what: what.to_owned(),
            why: why.into(),
        });
    }
}

async fn measure(
    args: &RunArgs,
    mut plan: Plan,
    mut tracker: Tracker,
) -> Result<(Report, u8), Problem> {
    plan.invoker
        .act_as(|| find_program(&plan.command, &plan.environment))?;
    let clear_plan = clear_plan(args, &plan)?;
    let out_dir = open_out_dir(args, &plan)?;
    let leaf = make_leaf(&mut plan, args.inside.is_some());
    // In a container, the runtime has set it.
    if let (Some(memory), None) = (args.memory, &args.inside) {
        set_ceiling(
            &mut plan,
            leaf.as_ref(),
            memory,
            args.swap.unwrap_or_default(),
        )?;
    }
    if let Some(leaf) = &leaf {
        tracker.set_leaf(CgroupLeaf {
            hierarchy_id: leaf.hierarchy().id,
            cgroup_id: leaf.id(),
            // The tracker learns it when the build moves in.
            path: None,
        });
    }
    // Before anything of the run is made: what cannot be cleared leaves nothing of it.
    if let Some(clear_plan) = clear_plan {
        plan.invoker.act_as(|| clear_plan.execute())?;
    }
    let label = plan.label.clone();
    let mut new_run = out_dir.begin_run(&label, args.force).map_err(|error| {
        Problem::new(format!("cannot replace the run `{label}`")).because(error)
    })?;
    let mut create = |file: RunFile| {
        new_run.create_file(file).map_err(|error| {
            Problem::new(format!(
                "cannot make `{}`",
                out_dir.path_of(file, &label).display()
            ))
            .because(error)
            .help("choose another output folder with `--out-dir`")
        })
    };
    let log = create(RunFile::Log)?;
    let recording = create(RunFile::Recording)?;
    let header = plan.header(args, leaf.as_ref());
    let recorder = Recorder::begin(clone(&recording)?, &header)
        .map_err(|error| Problem::new("cannot write the recording").because(error))?;

    let signals = SignalStream::new()?;
    let ours = OurStdio::of_this_process()?;
    // Messages go to the same terminal, at any time.
    // Who runs us several times says by `--quiet` that there is to be none.
    let json_only = args.json_only && args.part_of.is_none();
    let no_status = args.quiet || json_only || args.tui || args.verbose > 0;
    let terminal = Arc::new(Terminal::new(
        ours.stderr
            .try_clone()
            .map_err(|error| Problem::new("cannot copy stderr").because(error))?,
        ours.stdout.as_fd(),
        std::env::var_os("TERM").as_deref(),
        if no_status {
            StatusLine::Off
        } else {
            StatusLine::Auto
        },
    ));
    let screen = if args.tui {
        Some(Tui::enter(plan.titles(), palette(args.color, true))?)
    } else {
        None
    };
    let forward = match &screen {
        Some(tui) => Forward::Screen(tui.pane()),
        None if args.json_only => Forward::LogOnly,
        None => Forward::Passthrough,
    };
    let (output, stdio) = Output::open(&forward, ours, &terminal, log, &plan.invoker.credentials)?;
    let proc = ProcReader::new(Path::new(PROC))
        .map_err(|error| Problem::new(format!("cannot read `{PROC}`")).because(error))?;
    let stages = Stages::from_rules(&plan.project.config.stages)
        .map_err(|error| Problem::new(error.to_string()))?;
    let cgroup_procs = match &leaf {
        Some(leaf) => leaf.procs_file()?,
        None => None,
    };
    let started = header.started;
    let live = screen.is_some().then(|| plan.live(started)).transpose()?;
    let mut session = Session::new(Parts {
        tracker,
        leaf,
        sampler: Sampler::new(proc, started),
        recorder,
        tree: ProcessTree::new(stages),
        interval: Duration::from_millis(args.interval_ms),
        started,
        title: (args.part_of.clone()).unwrap_or_else(|| "build-mem".to_owned()),
    });
    if let (Some(tui), Some(live)) = (screen, live) {
        session.show_on(tui, live, args.budget);
    }
    let spec = BuildSpec {
        command: plan.command.clone(),
        cwd: None,
        env: std::mem::take(&mut plan.environment),
        credentials: plan.invoker.credentials.clone(),
        confined: args.inside.is_some(),
        cgroup_procs,
        signal_mask: *signals.inherited_mask(),
        stdio,
    };
    let mut build = session.start(|| start(spec))?;
    if let Err(error) = new_run.started() {
        plan.note(
            "files of the replaced run",
            format!("they could not be removed: {error}"),
        );
    }
    for note in plan.notes.drain(..) {
        session.note(note);
    }
    log::info!("the build is process {}", build.tgid());
    let status = session.observe(&mut build, &signals, &terminal).await?;
    session.end(status).await;
    let stdout_line_is_open = output.stdout_line_is_open();
    // Our own stdout may be stopped, and the build's output not end. Who asks a second time wants out.
    let notes = tokio::select! {
        notes = output.drain_after_exit() => notes,
        signal = signals.next() => {
            let signal = signal?.signal;
            vec![Note {
                what: "build output".to_owned(),
                why: format!("what had not been forwarded when {signal} came is not in it"),
            }]
        }
    };
    for note in notes {
        session.note(note);
    }
    let mut at_line_start = terminal.finish();
    session.record_now(EventKind::Verified {
        checks: check_artifacts(&plan, status),
    });
    let screen = session.take_screen();
    let events = session.finish();
    let report = write_files(args, &plan, &out_dir, recording, events)?;
    if let Some(tui) = screen {
        // The screen's end takes the build's output with it.
        show_output_of_failure(
            &tui.leave(),
            status,
            &out_dir.path_of(RunFile::Log, &plan.label),
        );
    }
    // From here on a signal costs nothing but the summary and the result line.
    drop(signals);
    if stdout_line_is_open.load(Ordering::Relaxed) {
        // The result begins a line of its own, for whoever looks for it there. Should this fail, so will that.
        let _ = writeln!(io::stdout());
        at_line_start |= terminal.is_same_file(io::stdout().as_fd());
    }
    if args.part_of.is_some() {
        if !at_line_start {
            // What is told of this run begins a line of its own.
            let _ = writeln!(io::stderr());
        }
    } else if !args.quiet && !args.json_only {
        // A stderr that takes nothing must cost neither the result nor the build's exit code.
        let _ = print_summary(args, &plan, &out_dir, &report, at_line_start);
    }
    let code = exit_code::of_report(&report, args.strict);
    Ok((report, code))
}

/// What a build that failed wrote last, for whoever has seen it on the screen of `--tui` only.
fn show_output_of_failure(lines: &[String], status: ExitStatus, log: &Path) {
    if status.is_success() || lines.is_empty() {
        return;
    }
    // As the summary: a stderr that takes nothing costs nothing else.
    let _ = write!(
        io::stderr(),
        "{}\n\nThis was the end of the build's output: `{}` has all of it.\n",
        lines.join("\n"),
        log.display()
    );
}

/// Computes the report from the recording, and writes the files.
fn write_files(
    args: &RunArgs,
    plan: &Plan,
    out_dir: &OutDir,
    recording: File,
    events: Recorded,
) -> Result<Report, Problem> {
    let Recorded { tail, failure } = events;
    let path = out_dir.path_of(RunFile::Recording, &plan.label);
    // Processes take room: here the build is over, and only who wants the page pays for it.
    let (mut report, table, history) = if args.no_html {
        let (report, table) = replay(recording, &path, None, &tail)?;
        (report, table, None)
    } else {
        let (report, table, history) =
            replay_keeping(export::html::KEEP, recording, &path, None, &tail)?;
        (report, table, Some(history))
    };
    if let Some(error) = failure {
        report.notes.push(Note {
            what: "recording".to_owned(),
            why: format!("`{}` ends early: {error}", path.display()),
        });
    }
    let html = history.map(|history| {
        let written = write_html(out_dir, &plan.label, &report, &table, &history);
        (RunFile::Html, written)
    });
    let others = [
        (
            RunFile::Timeline,
            write_timeline(out_dir, &plan.label, &table),
        ),
        (RunFile::Result, write_result(out_dir, &plan.label, &report)),
    ];
    for (file, written) in others.into_iter().chain(html) {
        if let Err(error) = written {
            // A part of it would be taken for the whole.
            let _ = out_dir.remove_file(file, &plan.label);
            report.notes.push(Note {
                what: file.name(&plan.label),
                why: format!("it could not be written: {error}"),
            });
        }
    }
    Ok(report)
}

fn clear_plan(args: &RunArgs, plan: &Plan) -> Result<Option<clear::ClearPlan>, Problem> {
    let paths = &plan.project.config.clear_paths;
    if args.skip_clear || paths.is_empty() {
        return Ok(None);
    }
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    // Not by its path, at which by now something else may be.
    plan.invoker
        .act_as(|| clear::check(Path::new("."), &paths))
        .map(Some)
}

fn open_out_dir(args: &RunArgs, plan: &Plan) -> Result<OutDir, Problem> {
    let out_dir = OutDir::create(&args.out_dir, &plan.invoker)?;
    if out_dir.has(&plan.label) && !args.force {
        return Err(Problem::new(format!("there is a run `{}` already", plan.label)).help(format!(
            "choose another `--label`, or replace it with `--force`; `build-mem report {}` shows it",
            plan.label
        )));
    }
    if out_dir.is_under_way(&plan.label) {
        return Err(Problem::new(format!(
            "the run `{}` is being made just now, by another build-mem",
            plan.label
        ))
        .help("wait for its end, or choose another `--label`"));
    }
    Ok(out_dir)
}

/// A fresh cgroup for the build, or that of the container which was made for it; without one, the build is measured without
/// its headline, and the result says so.
fn make_leaf(plan: &mut Plan, inside: bool) -> Option<Leaf> {
    if inside {
        let shared = Hierarchy::detect(Path::new(PROC)).and_then(|own| Leaf::shared(&own));
        let why = match &shared {
            Ok(_) => "the cgroup is the container's: build-mem itself is in it and counts, too"
                .to_owned(),
            Err(problem) => problem.to_string(),
        };
        plan.note("headline", why);
        return shared.ok();
    }
    let made = Hierarchy::detect(Path::new(PROC)).and_then(|hierarchy| {
        // Where there is no place for leaves, the next step tells so.
        for leftover in Leaf::clean_leftovers(&hierarchy).unwrap_or_default() {
            let what = "leftover cgroup of a killed run";
            match leftover.outcome {
                Ok(_) => log::info!("{what} removed: {}", leftover.path),
                Err(problem) => plan.note(
                    what,
                    format!("`{}` is still there: {problem}", leftover.path),
                ),
            }
        }
        Leaf::for_build(&hierarchy)
    });
    match made {
        Ok((leaf, why_shared)) => {
            log::info!("the build's cgroup is {}", leaf.dir().display());
            if let Some(problem) = why_shared {
                plan.note(
                    "headline",
                    format!(
                        "the build has no cgroup of its own ({problem}): the figures are the container's, with build-mem and \
                         whatever else is in it"
                    ),
                );
            }
            Some(leaf)
        }
        Err(problem) => {
            plan.note("headline", problem.to_string());
            None
        }
    }
}

/// Sets what the build may have. A ceiling that is not there would make the run mean something else: no run, then.
fn set_ceiling(
    plan: &mut Plan,
    leaf: Option<&Leaf>,
    memory: ByteSize,
    swap: ByteSize,
) -> Result<(), Problem> {
    let Some(leaf) = leaf.filter(|leaf| !leaf.is_shared()) else {
        let why = plan.notes.pop().map(|note| note.why).unwrap_or_default();
        return Err(Problem::new("cannot keep the build to `--memory`")
            .because(format!("it has no cgroup of its own: {why}"))
            .help("`build-mem doctor` tells what is missing"));
    };
    if leaf.set_limit(memory, swap)? == SwapLimit::NotCounted {
        plan.note(
            "headline.limit_bytes",
            "this kernel does not count the swap of a cgroup: where there is swap, the build may use it",
        );
    }
    Ok(())
}

fn clone(file: &File) -> Result<File, Problem> {
    file.try_clone()
        .map_err(|error| Problem::new("cannot keep the recording open").because(error))
}

fn check_artifacts(plan: &Plan, status: ExitStatus) -> Vec<VerifyCheck> {
    let look = || {
        Ok(verify(
            &plan.project.folder,
            status,
            &plan.project.expectations(),
        ))
    };
    plan.invoker.act_as(look).unwrap_or_else(|problem| {
        vec![VerifyCheck {
            path: "artifacts".to_owned(),
            ok: false,
            detail: problem.to_string(),
            bytes: None,
        }]
    })
}

fn write_timeline(out_dir: &OutDir, label: &str, table: &TimelineTable) -> io::Result<()> {
    let mut file = io::BufWriter::new(out_dir.create_file(RunFile::Timeline, label)?);
    export::csv::write(table, &mut file)?;
    file.flush()
}

fn write_result(out_dir: &OutDir, label: &str, report: &Report) -> io::Result<()> {
    let mut file = io::BufWriter::new(out_dir.create_file(RunFile::Result, label)?);
    export::json::write(report, &mut file)?;
    file.flush()
}

fn write_html(
    out_dir: &OutDir,
    label: &str,
    report: &Report,
    table: &TimelineTable,
    history: &History,
) -> io::Result<()> {
    let mut file = io::BufWriter::new(out_dir.create_file(RunFile::Html, label)?);
    export::html::write(report, table, history, &mut file)?;
    file.flush()
}

fn print_summary(
    args: &RunArgs,
    plan: &Plan,
    out_dir: &OutDir,
    report: &Report,
    at_line_start: bool,
) -> io::Result<()> {
    let stderr = io::stderr();
    let palette = palette(args.color, stderr.is_terminal());
    let mut text = Vec::new();
    if !at_line_start {
        text.push(b'\n');
    }
    text.push(b'\n');
    export::text::write(
        report,
        &palette,
        crate::commands::color::width(&stderr),
        &mut text,
    )?;
    if let Some(preset) = plan.project.preset {
        writeln!(
            text,
            "Measured with the preset `{}`: `build-mem init` writes it down.",
            preset.name()
        )?;
    }
    if out_dir.open_file(RunFile::Result, &plan.label).is_ok() {
        let file = out_dir.path_of(RunFile::Result, &plan.label);
        writeln!(text, "Result: {}", file.display())?;
    }
    if out_dir.open_file(RunFile::Html, &plan.label).is_ok() {
        let file = out_dir.path_of(RunFile::Html, &plan.label);
        writeln!(text, "Report: {}", file.display())?;
    }
    stderr.lock().write_all(&text)
}

/// The line that scripts look for.
pub fn print_result_line(line: &io::Result<String>) -> Result<(), Problem> {
    let line =
        (line.as_ref()).map_err(|error| Problem::new("cannot write the result").because(error))?;
    match writeln!(io::stdout(), "{line}") {
        // Whoever read our output is gone: the result is in its file.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Problem::new("cannot print the result").because(error)),
    }
}
