//! "Measure this build once more": build-mem executes itself, so that each run of a series is exactly what a single run
//! is, and its result is read from the output folder.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use rustix::param::clock_ticks_per_second;

use crate::cli::{RunArgs, TrackerArg};
use crate::commands::contain;
use crate::event::ExitStatus;
use crate::launch::again;
use crate::launch::credentials::{Environment, Invoker, RestoredEnvironment, SudoCall};
use crate::launch::elevate;
use crate::launch::output::{ChildStdio, OurStdio};
use crate::launch::privileges;
use crate::launch::signals::SignalStream;
use crate::launch::start::{BuildCommand, BuildSpec, RunningBuild, start};
use crate::out_dir::{OutDir, RunFile};
use crate::problem::Problem;
use crate::report::Report;

/// Where processes are shown.
const PROC: &str = "/proc";

/// What several runs of one build share.
pub struct Repeater {
    /// Where their files go.
    pub out_dir: OutDir,
    invoker: Invoker,
    /// Ours at the start.
    environment: Environment,
    signals: SignalStream,
    /// The first signal that came: nothing more is begun then.
    interrupted: Option<Signal>,
}

/// What one run came to.
#[derive(Debug)]
pub struct Measured {
    /// The exit code of build-mem.
    pub code: u8,
    /// Its result; absent where build-mem could not do its work, which it has told.
    pub report: Option<Report>,
    /// CPUs that others used meanwhile, on average.
    pub other_cpus: Option<f64>,
}

/// Gets the rights that the runs need, so that not each of them has to ask for them. Starts no thread.
pub fn elevate(args: &RunArgs) -> Result<Environment, Problem> {
    let environment = privileges::environment_at_start(Path::new(PROC));
    // What a container needs depends on its runtime: there each run sees to it.
    let by_itself = args.tracker == TrackerArg::Ebpf && contain::image(args).is_none();
    if by_itself && !privileges::suffice_for_ebpf() {
        elevate::through_sudo(&environment, !args.quiet && !args.json_only)?;
    }
    Ok(environment)
}

/// What the runs are waited for in.
pub fn runtime() -> Result<tokio::runtime::Runtime, Problem> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new("cannot start the event loop").because(error))
}

/// The exit code when a signal ended it, as in a shell.
pub fn code_of(signal: Signal) -> u8 {
    u8::try_from(128 + signal as i32).unwrap_or(u8::MAX)
}

impl Repeater {
    /// Prepares for runs with these options. Needs a tokio runtime.
    pub fn new(args: &RunArgs, environment: Environment) -> Result<Self, Problem> {
        let invoker = Invoker::resolve(args.user.as_deref(), &environment)?;
        Ok(Self {
            out_dir: OutDir::create(&args.out_dir, &invoker)?,
            invoker,
            environment,
            signals: SignalStream::new()?,
            interrupted: None,
        })
    }

    /// The signal that came, if one did.
    pub fn interrupted(&mut self) -> Option<Signal> {
        if let Some(pending) = self.signals.pending() {
            self.interrupted.get_or_insert(pending.signal);
        }
        self.interrupted
    }

    /// Runs what prepares a run, with the build's rights and environment, and our stderr for both of its outputs.
    pub async fn prepare(&mut self, line: &str, quiet: bool) -> Result<(), Problem> {
        let sudo = SudoCall::find(Path::new(PROC));
        let RestoredEnvironment { variables, note: _ } = self
            .invoker
            .restored_environment(&self.environment, sudo.as_ref());
        let failed = |error: io::Error| Problem::new("cannot copy stderr").because(error);
        let output = if quiet {
            fs::File::options()
                .write(true)
                .open("/dev/null")
                .map_err(failed)?
                .into()
        } else {
            OurStdio::of_this_process()?.stderr
        };
        let command = start(BuildSpec {
            command: BuildCommand::Shell(line.to_owned()),
            cwd: None,
            env: variables,
            credentials: self.invoker.credentials.clone(),
            confined: false,
            cgroup_procs: None,
            signal_mask: *self.signals.inherited_mask(),
            stdio: ChildStdio {
                stdin: None,
                stdout: output.try_clone().map_err(failed)?,
                stderr: output,
            },
        })?;
        let status = self.wait(command).await?;
        if status.is_success() || self.interrupted().is_some() {
            return Ok(());
        }
        Err(Problem::new(format!("the preparation `{line}` failed"))
            .because(match status {
                ExitStatus::Code(code) => format!("it exited with {code}"),
                ExitStatus::Signal(signal) => format!("signal {signal} ended it"),
            })
            .help("a run that was not prepared measures something else: correct `--prepare`"))
    }

    /// Measures the build once more, under `args.label`.
    pub async fn measure(&mut self, args: &RunArgs) -> Result<Measured, Problem> {
        let label = args.label.as_deref().unwrap_or_default();
        let before = self.out_dir.stamp(RunFile::Result, label);
        let load = OtherLoad::begin();
        let child = again::start(
            &words(args),
            &self.environment,
            self.signals.inherited_mask(),
        )?;
        let status = self.wait(child).await?;
        // What runs in a container is none of our children.
        let other_cpus = load.filter(|_| contain::image(args).is_none());
        let other_cpus = other_cpus.and_then(OtherLoad::end);
        let after = self.out_dir.stamp(RunFile::Result, label);
        let report = if after.is_some() && after != before {
            Some(self.result(label)?)
        } else {
            None
        };
        Ok(Measured {
            code: u8::try_from(status.shell_code()).unwrap_or(u8::MAX),
            report,
            other_cpus,
        })
    }

    /// The result of a run.
    pub fn result(&self, label: &str) -> Result<Report, Problem> {
        let path = self.out_dir.path_of(RunFile::Result, label);
        let failed = |error: &dyn std::fmt::Display| {
            Problem::new(format!("cannot read the result `{}`", path.display())).because(error)
        };
        let text = (self.out_dir.read_file(RunFile::Result, label)).map_err(|e| failed(&e))?;
        serde_json::from_slice(&text).map_err(|error| failed(&error))
    }

    /// Waits for a child. A signal that has not reached it is passed on.
    async fn wait(&mut self, mut child: RunningBuild) -> Result<ExitStatus, Problem> {
        loop {
            let signal = tokio::select! {
                status = child.wait() => return status,
                signal = self.signals.next() => signal?,
            };
            self.interrupted.get_or_insert(signal.signal);
            signal.forward(&child)?;
        }
    }
}

/// The words that `build-mem` gets for a run with these options, but for those of a series.
fn words(args: &RunArgs) -> Vec<OsString> {
    let RunArgs {
        build_cmd,
        label,
        force,
        skip_clear,
        interval_ms,
        json_only,
        memory,
        swap,
        budget,
        runs: _,
        warmup: _,
        prepare: _,
        part_of,
        image,
        container,
        runtime,
        container_privileges,
        inside,
        user,
        tracker,
        config,
        out_dir,
        strict,
        no_html,
        tui,
        color,
        quiet,
        verbose,
        command,
    } = args;
    let mut words = Words(vec!["run".into()]);
    words.option("build-cmd", build_cmd.as_ref());
    words.option("label", label.as_ref());
    words.flag("force", *force);
    words.flag("skip-clear", *skip_clear);
    words.option("interval-ms", Some(interval_ms.to_string()));
    words.flag("json-only", *json_only);
    words.option("memory", memory.map(|size| size.bytes().to_string()));
    words.option("swap", swap.map(|size| size.bytes().to_string()));
    words.option("budget", budget.map(|size| size.bytes().to_string()));
    words.option("part-of", part_of.as_ref());
    words.option("image", image.as_ref());
    words.flag("container", *container);
    words.option("runtime", runtime.as_ref().map(name));
    if contain::image(args).is_some() {
        words.option("container-privileges", Some(name(container_privileges)));
    }
    words.option("inside", inside.as_ref().map(ToString::to_string));
    words.option("user", user.as_ref());
    words.option("tracker", Some(tracker.name()));
    words.option("config", config.as_ref());
    words.option("out-dir", Some(out_dir));
    words.flag("strict", *strict);
    words.flag("no-html", *no_html);
    words.flag("tui", *tui);
    words.option("color", Some(name(color)));
    words.flag("quiet", *quiet);
    for _ in 0..*verbose {
        words.flag("verbose", true);
    }
    let Words(mut words) = words;
    if !command.is_empty() {
        words.push("--".into());
        words.extend(command.iter().cloned());
    }
    words
}

struct Words(Vec<OsString>);

impl Words {
    fn flag(&mut self, name: &str, given: bool) {
        if given {
            self.0.push(format!("--{name}").into());
        }
    }

    /// In one word, so that a value may begin with `-`.
    fn option(&mut self, name: &str, value: Option<impl AsRef<OsStr>>) {
        if let Some(value) = value {
            let mut word = OsString::from(format!("--{name}="));
            word.push(value);
            self.0.push(word);
        }
    }
}

/// As it is typed.
fn name(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The CPU time of this host and of our children, at the beginning of a run.
struct OtherLoad {
    at: Instant,
    host: Duration,
    children: Duration,
}

impl OtherLoad {
    fn begin() -> Option<Self> {
        Some(Self {
            at: Instant::now(),
            host: busy(&fs::read_to_string(Path::new(PROC).join("stat")).ok()?)?,
            children: of_children()?,
        })
    }

    /// CPUs that were used by others since then: what all did, less our children that have been waited for.
    fn end(self) -> Option<f64> {
        let now = Self::begin()?;
        let elapsed = now.at.duration_since(self.at).as_secs_f64();
        let host = now.host.saturating_sub(self.host);
        let others = host.saturating_sub(now.children.saturating_sub(self.children));
        (elapsed > 0.0).then(|| others.as_secs_f64() / elapsed)
    }
}

/// CPU time of all processes since boot, of `/proc/stat`: user, nice, system, irq, softirq and steal, proc_stat(5). What
/// guests use is in user already.
fn busy(stat: &str) -> Option<Duration> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = (line.split_whitespace())
        .map(|word| word.parse().ok())
        .collect::<Option<_>>()?;
    let busy: u64 = [0, 1, 2, 5, 6, 7]
        .into_iter()
        .map(|place| ticks.get(place).copied().unwrap_or(0))
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "hundredths of a second")]
    Some(Duration::from_secs_f64(
        busy as f64 / clock_ticks_per_second() as f64,
    ))
}

fn of_children() -> Option<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
    let time = |time: nix::sys::time::TimeVal| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    };
    Some(time(usage.user_time()) + time(usage.system_time()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parsed(words: impl IntoIterator<Item = OsString>) -> RunArgs {
        let cli = Cli::try_parse_from([OsString::from("build-mem")].into_iter().chain(words));
        match cli.unwrap().command {
            Some(Command::Run(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_run_is_started_again_with_its_own_options() {
        let typed = "run --label x --force --skip-clear --interval-ms 20 --json-only --memory 1.5GiB --swap 0 \
            --budget 1g --part-of y --image -i --runtime podman --container-privileges full --inside 1:2,3 --user me \
            --tracker proc --config c.toml --out-dir o --strict --color never -q -vv -- sh -c true";
        let typed = typed.replace("--image -i", "--image=-i");
        let args = parsed(typed.split_whitespace().map(OsString::from));
        let again = parsed(words(&args));
        assert_eq!(format!("{again:?}"), format!("{args:?}"));

        let by_default = parsed(["run".into(), "--build-cmd=--odd 'line'".into()]);
        let again = parsed(words(&by_default));
        assert_eq!(format!("{again:?}"), format!("{by_default:?}"));
    }

    #[test]
    fn what_makes_a_series_is_not_passed_on() {
        let typed = "run -r 3 -w 1 -p prepare -- true";
        let again = parsed(words(&parsed(typed.split(' ').map(OsString::from))));
        assert_eq!(
            (again.runs, again.warmup, again.prepare),
            (None, None, None)
        );
    }

    #[test]
    fn time_that_nobody_used_is_not_busy() {
        let a_second = u32::try_from(clock_ticks_per_second()).unwrap();
        let ticks = Duration::from_secs_f64(63.0 / f64::from(a_second));
        let stat = "cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 9 9 9 9\nintr 7\n";
        assert_eq!(busy(stat), Some(ticks));
        assert_eq!(busy("cpu  1 x\n"), None);
        assert_eq!(busy("intr 7\n"), None);
    }
}
