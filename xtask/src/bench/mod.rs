//! `cargo xtask bench`: what build-mem costs a build, and how well it sees. A round is a measured run between or
//! beside two bare ones, so that whatever else the machine does falls on both; figures are medians of the rounds. The
//! two bare runs of a round against each other are the control: what they differ by is the machine, not build-mem.

mod cache;
mod scale;
mod statistics;
mod strace;
mod tools;
mod workload;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::project_root;
use crate::run::{execute, has, install, is_root};
use crate::table;
use statistics::Spread;
use tools::{Told, Tool};
use workload::{NAMES, Workload};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Which builds, separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = NAMES.map(str::to_owned))]
    workload: Vec<String>,
    /// What measures, separated by commas: build-mem by `ebpf` and `proc`, and peers, which are passed over where they are
    /// not installed. A row each
    #[arg(long, value_delimiter = ',', default_values_t = Tool::ALL.map(|tool| tool.name().to_owned()))]
    tool: Vec<String>,
    /// Rounds: a measured run and two bare ones each
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// A smoke run of `storm` and `c` by eBPF, which fails when a process is missed or build-mem takes too much
    #[arg(long)]
    quick: bool,
    /// Instead of all that, compare the headlines with a cold and with a warm page cache, on `next`
    #[arg(long)]
    cache: bool,
    /// Instead, report the recording of a build of a million processes
    #[arg(long)]
    scale: bool,
    /// Write the table as Markdown, too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// The most that build-mem may hold resident, in bytes.
const MOST_RESIDENT: u64 = 12 << 20;
/// The most CPU time that it may take, as a share of one core over the build's duration.
const MOST_CPU: f64 = 0.02;

/// Which of a round's three runs is the measured one, round by round: as often the first as the last.
const MEASURED_TURNS: [usize; 4] = [1, 0, 1, 2];

/// What was measured of one workload.
struct Outcome {
    name: &'static str,
    what: String,
    tool: Tool,
    rounds: usize,
    bare_wall_s: Spread,
    wall_ratio: Spread,
    best_ratio: f64,
    control: Spread,
    best_control: f64,
    cpu_ratio: Spread,
    made: u64,
    told: Vec<Told>,
    /// What the tools' peaks are compared with, in bytes.
    truth: Option<u64>,
}

/// What a run of a build took.
#[derive(Clone, Copy)]
struct Cost {
    wall_s: f64,
    cpu_s: f64,
}

/// Runs the benchmark.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments {
        workload,
        tool,
        runs,
        quick,
        cache,
        scale,
        markdown,
    } = arguments;
    ensure!(
        is_root(),
        "the benchmark measures the real eBPF programs, which need root: run it as root"
    );
    let root = project_root()?;
    eprintln!("building build-mem and the workloads (release)");
    let cargo = env!("CARGO");
    execute(
        Command::new(cargo)
            .args([
                "build",
                "--release",
                "--quiet",
                "--package",
                "buildmem",
                "--bins",
                "--example",
                if *scale {
                    "large_recording"
                } else {
                    "workload"
                },
            ])
            .current_dir(root),
    )?;
    let scratch = root.join("target/bench");
    fs::create_dir_all(&scratch).context("cannot make `target/bench`")?;
    if *scale {
        return scale::run(root, &scratch, *runs);
    }
    if !has("strace") {
        install(&["strace"])?;
    }
    if *cache {
        return cache::run(root, &scratch, *runs);
    }
    let names: Vec<&str> = if *quick {
        vec!["storm", "c"]
    } else {
        workload.iter().map(String::as_str).collect()
    };
    let rounds = if *quick { 1 } else { *runs };
    ensure!(rounds > 0, "at least one round is needed");
    let tools = if *quick {
        vec![Tool::Ebpf]
    } else {
        tool.iter()
            .map(|name| Tool::of_name(name))
            .collect::<Result<_, _>>()?
    };
    let (tools, missing): (Vec<_>, Vec<_>) = tools.into_iter().partition(|tool| tool.is_there());
    for tool in missing {
        eprintln!("`{}` is not installed: passed over", tool.name());
    }
    let mut outcomes = Vec::new();
    for name in names {
        let workload = Workload::prepare(name, root, &scratch, *quick)?;
        // The first run warms the page cache, and counts.
        eprintln!("{name}: counting processes with strace");
        workload.clean()?;
        let made = count_processes(&workload)?;
        let mut high_water = None;
        for tool in &tools {
            let mut outcome = match measure(&workload, root, rounds, *tool, made) {
                // It is not ours to mend.
                Err(error) if tool.is_peer() => {
                    eprintln!("{name} by {}: {error:#}", tool.name());
                    continue;
                }
                outcome => outcome?,
            };
            // The first tool that can tell the kernel's figure does so for all.
            high_water = high_water.or_else(|| outcome.most(|told| told.high_water));
            outcome.truth = workload.truth.or(high_water);
            outcomes.push(outcome);
        }
    }
    let host = host()?;
    print!("\n{host}\n\n{}", table_of(&outcomes, Form::Terminal));
    if let Some(file) = markdown {
        let text = format!("{host}\n\n{}", table_of(&outcomes, Form::Markdown));
        fs::write(file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    if *quick { check(&outcomes) } else { Ok(()) }
}

fn measure(
    workload: &Workload,
    root: &Path,
    rounds: usize,
    tool: Tool,
    made: u64,
) -> anyhow::Result<Outcome> {
    let build_mem = root.join("target/release/build-mem");
    let (mut bare, mut measured) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let name = workload.name;
        eprintln!("{name} by {}: round {} of {rounds}", tool.name(), round + 1);
        let mut of_round = Vec::new();
        for turn in 0..3 {
            workload.clean()?;
            // Whose turn it is changes: a machine that becomes slower is on nobody's side.
            if turn == MEASURED_TURNS[round % MEASURED_TURNS.len()] {
                measured.push(tool.run(workload, &build_mem)?);
            } else {
                of_round.push(run_bare(workload)?);
            }
        }
        let [first, second] = of_round.as_slice() else {
            unreachable!("a round has three turns, one of them measured")
        };
        bare.push((*first, *second));
    }
    let ratio = |figure: &dyn Fn(&Cost) -> f64| {
        Spread::of(
            bare.iter()
                .zip(&measured)
                .map(|((first, second), (run, _))| {
                    figure(run) / f64::midpoint(figure(first), figure(second))
                }),
        )
    };
    let best_first = best(bare.iter().map(|(first, _)| first));
    let best_second = best(bare.iter().map(|(_, second)| second));
    Ok(Outcome {
        name: workload.name,
        what: workload.what.clone(),
        tool,
        rounds,
        best_ratio: best(measured.iter().map(|(run, _)| run))
            / f64::midpoint(best_first, best_second),
        best_control: best_second / best_first,
        bare_wall_s: Spread::of(bare.iter().flat_map(|(a, b)| [a.wall_s, b.wall_s])),
        wall_ratio: ratio(&|cost| cost.wall_s),
        control: Spread::of(
            bare.iter()
                .map(|(first, second)| second.wall_s / first.wall_s),
        ),
        cpu_ratio: ratio(&|cost| cost.cpu_s),
        made,
        told: measured.iter().map(|(_, told)| *told).collect(),
        truth: None,
    })
}

impl Outcome {
    fn spread(&self, figure: impl Fn(&Told) -> Option<f64>) -> Spread {
        Spread::of(self.told.iter().filter_map(figure))
    }

    fn most(&self, figure: impl Fn(&Told) -> Option<u64>) -> Option<u64> {
        self.told.iter().filter_map(figure).max()
    }

    /// By how much what was told of the peak differs from the truth, as a share of it.
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    fn peak_error(&self) -> Spread {
        self.spread(|told| Some(told.peak? as f64 / self.truth? as f64 - 1.0))
    }
}

/// The least wall time, which whatever else the machine did has disturbed least.
fn best<'a>(runs: impl Iterator<Item = &'a Cost>) -> f64 {
    runs.map(|run| run.wall_s).fold(f64::INFINITY, f64::min)
}

/// Processes that the build makes, the first included, as strace sees them.
fn count_processes(workload: &Workload) -> anyhow::Result<u64> {
    let log = workload.folder.join("strace.log");
    let status = Command::new("strace")
        .args(strace::ARGUMENTS)
        .arg("--output")
        .arg(&log)
        .args(&workload.command)
        .current_dir(&workload.folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot run strace")?;
    ensure!(
        status.success(),
        "`{}` failed under strace: {status}",
        workload.name
    );
    let text = fs::read(&log).context("strace has written nothing")?;
    fs::remove_file(&log).context("cannot remove strace's log")?;
    Ok(1 + strace::processes_made(&String::from_utf8_lossy(&text)))
}

fn run_bare(workload: &Workload) -> anyhow::Result<Cost> {
    let [program, arguments @ ..] = workload.command.as_slice() else {
        bail!("an empty command")
    };
    timed(Command::new(program).args(arguments), workload)
}

fn timed(command: &mut Command, workload: &Workload) -> anyhow::Result<Cost> {
    let cpu_before = cpu_of_children()?;
    let started = Instant::now();
    let status = command
        .current_dir(&workload.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot run `{}`", workload.name))?;
    let wall_s = started.elapsed().as_secs_f64();
    ensure!(status.success(), "`{}` failed: {status}", workload.name);
    Ok(Cost {
        wall_s,
        cpu_s: cpu_of_children()? - cpu_before,
    })
}

/// User and system time of all ended children, in seconds; build-mem's own is part of a measured run's.
#[expect(clippy::cast_precision_loss, reason = "microseconds of some hours")]
fn cpu_of_children() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}

/// What a smoke run must hold. Wall time is not part of it: a busy machine would decide.
fn check(outcomes: &[Outcome]) -> anyhow::Result<()> {
    for outcome in outcomes {
        let Outcome { name, made, .. } = outcome;
        let lost = outcome.most(|told| told.lost);
        ensure!(lost == Some(0), "{name}: {lost:?} events were lost");
        let seen = outcome.most(|told| told.seen);
        ensure!(
            seen == Some(*made),
            "{name}: {seen:?} processes seen, but {made} made"
        );
        let resident = outcome.most(|told| told.resident);
        ensure!(
            resident.is_some_and(|resident| resident <= MOST_RESIDENT),
            "{name}: build-mem held {resident:?} bytes, more than {MOST_RESIDENT}"
        );
        // A fork storm is no build: its cost stands in the table.
        let cpu = outcome.spread(|told| told.cpu).median;
        ensure!(
            *name != "c" || cpu <= MOST_CPU,
            "{name}: build-mem used {:.1} % of a core",
            cpu * 100.0
        );
    }
    println!("\nEvery process was seen, nothing was lost, and build-mem kept within its bounds.");
    Ok(())
}

fn host() -> anyhow::Result<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // The local version is of this machine alone.
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    let cpus = std::thread::available_parallelism()?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kib = memory
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok());
    let gib = kib.unwrap_or_default() / (1 << 20);
    Ok(format!("Linux {kernel}, {cpus} CPUs, {gib} GiB"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Terminal,
    Markdown,
}

#[expect(clippy::cast_precision_loss, reason = "one decimal for people")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Where a tool tells nothing.
fn not_told() -> String {
    "–".to_owned()
}

fn known(spread: Spread, show: impl Fn(&Spread) -> String) -> String {
    if spread.median.is_nan() {
        not_told()
    } else {
        show(&spread)
    }
}

fn table_of(outcomes: &[Outcome], form: Form) -> String {
    let heading = [
        "build",
        "tool",
        "rounds",
        "bare wall",
        "wall ratio",
        "best to best",
        "bare again",
        "best again",
        "CPU ratio",
        "tool CPU",
        "sampler",
        "resident",
        "seen / made",
        "lost",
        "peak error",
        "capture",
        "unattributed",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for outcome in outcomes {
        let Outcome {
            name,
            what: _,
            tool,
            rounds,
            bare_wall_s,
            wall_ratio,
            best_ratio,
            control,
            best_control,
            cpu_ratio,
            made,
            told: _,
            truth: _,
        } = outcome;
        let percent = |figure: fn(&Told) -> Option<f64>| {
            known(outcome.spread(figure), |spread| {
                format!("{:.1} %", spread.median * 100.0)
            })
        };
        let count = |figure: fn(&Told) -> Option<u64>| {
            outcome
                .most(figure)
                .map_or_else(not_told, |count| count.to_string())
        };
        rows.push(vec![
            (*name).to_owned(),
            tool.name().to_owned(),
            rounds.to_string(),
            format!("{:.1} s", bare_wall_s.median),
            wall_ratio.to_string(),
            format!("{best_ratio:.3}"),
            control.to_string(),
            format!("{best_control:.3}"),
            cpu_ratio.to_string(),
            percent(|told| told.cpu),
            percent(|told| told.sampler),
            outcome
                .most(|told| told.resident)
                .map_or_else(not_told, mebibytes),
            format!("{} / {made}", count(|told| told.seen)),
            count(|told| told.lost),
            known(outcome.peak_error(), Spread::in_percent),
            known(outcome.spread(|told| told.capture), |spread| {
                spread.in_percent()
            }),
            known(outcome.spread(|told| told.unattributed), |spread| {
                spread.in_percent()
            }),
        ]);
    }
    // One line a workload, whose tools follow one another.
    let of_a_workload = outcomes.chunk_by(|a, b| a.name == b.name);
    let legend = of_a_workload.filter_map(|outcomes| outcomes.first());
    let legend = legend.map(|outcome| match form {
        Form::Terminal => format!("  {}: {}\n", outcome.name, outcome.what),
        Form::Markdown => format!("- `{}`: {}\n", outcome.name, outcome.what),
    });
    let legend: String = legend.collect();
    match form {
        Form::Terminal => table::aligned(&rows) + "\n" + &legend,
        Form::Markdown => table::markdown(&rows) + "\n" + &legend,
    }
}
