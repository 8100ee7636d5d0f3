//! What can be typed, with its help. No logic.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::compare::Threshold;
use crate::units::ByteSize;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::export::Format;
use crate::launch::credentials::Credentials;

/// How much memory a whole build needs at its peak, and which stage and processes hold it.
#[derive(Debug, Parser)]
#[command(
    name = "build-mem",
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_help = "Examples:
  sudo build-mem run -- npm run build     measure a build
  build-mem report --format csv > t.csv   memory over time, from the last recording
  build-mem doctor                        what this host can measure

Exit code: the build's own when it fails; otherwise 0 passed, 121 verification failed, 122 over budget,
123 not trustworthy (--strict), 125 build-mem could not do its work, 126/127 as in a shell."
)]
pub struct Cli {
    /// What to do; without one, `run`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// `build-mem -- CMD` is `build-mem run -- CMD`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Clear, build, measure, verify, report
    Run(RunArgs),
    /// Show a recording again, in any format
    Report(ReportArgs),
    /// Compare two builds, each measured once or several times: what changed, and whether it is more than noise
    Compare(CompareArgs),
    /// Find the smallest memory limit under which the build passes, and what each limit costs, by building under some
    Fit(FitArgs),
    /// Tell from a recording how many parallel jobs fit into so much memory, with the lines to paste
    Advise(AdviseArgs),
    /// Show the budgets beside what recorded runs needed, propose new figures, or check them
    Budget(BudgetArgs),
    /// Run CMD as stage NAME of the enclosing run; outside of one, just run it
    Stage(StageArgs),
    /// List the recordings in the output folder
    List(ListArgs),
    /// Tell what this host can measure, what each absence costs, and what mends it
    Doctor(DoctorArgs),
    /// Write a commented build-mem.toml for the project in this folder
    Init(InitArgs),
    /// Print shell completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one of each command
    Man(ManArgs),
    /// Whether eBPF works here: what `--image` asks in a container
    #[command(name = crate::container::PROBE, hide = true)]
    TryEbpf,
}

/// `run`
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct RunArgs {
    /// The build, run by `bash -lc` [default: the config's, else `npm run build`]
    #[arg(long, value_name = "SHELL", conflicts_with = "command")]
    pub build_cmd: Option<String>,
    /// Name of this run and of its files [default: the time in UTC]
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Replace an earlier run of the same label
    #[arg(long)]
    pub force: bool,
    /// Do not remove the config's `[clear]` paths: measure a warm build
    #[arg(long)]
    pub skip_clear: bool,
    /// Milliseconds between two samples
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub interval_ms: u64,
    /// Print nothing but the result line; the build's output goes to its log alone
    #[arg(long)]
    pub json_only: bool,
    /// Make no page to look at: it can be made from the recording at any time
    #[arg(long)]
    pub no_html: bool,
    /// The most memory that the build may have, such as `8g` or `512MiB`: a hard ceiling, at which the kernel ends processes
    #[arg(long, value_name = "LIMIT")]
    pub memory: Option<ByteSize>,
    /// Swap that the build may use beside `--memory` [default: none]
    #[arg(long, value_name = "SIZE", requires = "memory")]
    pub swap: Option<ByteSize>,
    /// Exit with 122 when the build passed but needed more than this; nothing is enforced
    #[arg(long, value_name = "SIZE")]
    pub budget: Option<ByteSize>,
    /// Measure so many times, as LABEL.1, LABEL.2, …, and tell the median and the spread; ends with the first run that fails
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub runs: Option<u16>,
    /// So many runs before that do not count
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=1000))]
    pub warmup: Option<u16>,
    /// Run by `bash -lc` before every run, warm-ups included, as the build's user; it is not measured
    #[arg(short, long, value_name = "CMD")]
    pub prepare: Option<String>,
    /// We are one run of several, of which this tells: no summary and no result line
    #[arg(long, hide = true, value_name = "WHICH")]
    pub part_of: Option<String>,
    /// Run the build in a container of this image, with this folder as its working directory
    #[arg(long, value_name = "REF", group = "contained")]
    pub image: Option<String>,
    /// As `--image node:24-bookworm`
    #[arg(long, group = "contained")]
    pub container: bool,
    /// What runs the container [default: docker where it is installed, else podman]
    #[arg(long, value_enum, requires = "contained")]
    pub runtime: Option<RuntimeArg>,
    /// What build-mem may do in the container; the build there may do what it always may
    #[arg(long, value_enum, requires = "contained", default_value_t = ContainerPrivileges::Least)]
    pub container_privileges: ContainerPrivileges,
    /// We are what `--image` has started in the container, for this user: UID:GID[,GID…]
    #[arg(long, hide = true, value_name = "IDS", requires = "contained")]
    pub inside: Option<Credentials>,
    /// Run the build as this user [default: whoever called sudo, else the current user]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// What follows the processes
    #[arg(long, value_enum, default_value_t = TrackerArg::Ebpf)]
    pub tracker: TrackerArg,
    /// Where stages, clear paths and artifacts are written down [default: build-mem.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder for log, recording and result
    #[arg(long, value_name = "DIR", default_value = ".build-mem")]
    pub out_dir: PathBuf,
    /// Exit with 123 when the build passed but something was not seen or measured
    #[arg(long)]
    pub strict: bool,
    /// Colours
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// No status line and no summary; the result line is still printed
    #[arg(short, long)]
    pub quiet: bool,
    /// Show the build live on the whole screen: stages, memory over time, the largest processes, its output [keys: `?`]
    #[arg(long, conflicts_with_all = ["json_only", "quiet"])]
    pub tui: bool,
    /// Tell what build-mem does; twice: the eBPF side's diagnostics too
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// The build
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// `fit`
#[derive(Clone, Debug, Args)]
pub struct FitArgs {
    /// No smaller limit is tried, such as `2GiB`
    #[arg(long, value_name = "SIZE")]
    pub from: Option<ByteSize>,
    /// No larger limit is tried, such as `16GiB`
    #[arg(long, value_name = "SIZE")]
    pub to: Option<ByteSize>,
    /// How near the answer is to come to a limit that is too low [default: 2 %, and no less than 4 MiB]
    #[arg(long, value_name = "SIZE")]
    pub resolution: Option<ByteSize>,
    /// The most builds, that without a limit included
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_builds: u16,
    /// Begin with this recording of the build without a limit, in place of building it
    #[arg(long, value_name = "LABEL", conflicts_with = "resume")]
    pub base: Option<String>,
    /// Go on with the search of this `--label` where it was stopped
    #[arg(long, requires = "label")]
    pub resume: bool,
    /// The form of what is printed in the end
    #[arg(long, value_enum, default_value_t = AdviceFormat::Text)]
    pub format: AdviceFormat,
    /// How each build is run
    #[command(flatten)]
    pub run: RunArgs,
}

/// Which recording, and how it is read.
#[derive(Debug, Args)]
pub struct RecordedArgs {
    /// A label, or a recording's file [default: the last recording]
    #[arg(value_name = "LABEL|FILE")]
    pub recording: Option<PathBuf>,
    /// Apply this config's rules for stages and classes in place of the recorded ones
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder with the recordings
    #[arg(long, value_name = "DIR", default_value = ".build-mem")]
    pub out_dir: PathBuf,
}

/// `report`
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The recording
    #[command(flatten)]
    pub recorded: RecordedArgs,
    /// The form
    #[arg(long, value_enum, default_value_t = FormatArg::Text)]
    pub format: FormatArg,
    /// Write to this file, in place of what is there, instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Colours
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// `advise`
#[derive(Debug, Args)]
pub struct AdviseArgs {
    /// The recording
    #[command(flatten)]
    pub recorded: RecordedArgs,
    /// The memory that the build is to fit into, such as `8GiB`
    #[arg(long, value_name = "SIZE")]
    pub memory: ByteSize,
    /// The form
    #[arg(long, value_enum, default_value_t = AdviceFormat::Text)]
    pub format: AdviceFormat,
    /// Colours
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// `budget`
#[derive(Debug, Args)]
pub struct BudgetArgs {
    /// The runs: a label, that of a series, a recording's file, or several of them joined by commas [default: the last
    /// recording or series]
    #[arg(value_name = "RUNS")]
    pub recordings: Option<String>,
    /// Write the proposed figures into the config; its comments and order stay
    #[arg(long, conflicts_with = "check")]
    pub update: bool,
    /// Exit with 122 when the median of the runs is above a budget
    #[arg(long)]
    pub check: bool,
    /// The config [default: build-mem.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder with the recordings
    #[arg(long, value_name = "DIR", default_value = ".build-mem")]
    pub out_dir: PathBuf,
    /// Colours
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// `compare`
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Before: a label, that of a series, a recording's file, or several of them joined by commas [default: the last but one]
    #[arg(value_name = "BASE")]
    pub base: Option<String>,
    /// After, in the same way [default: the last recording or series]
    #[arg(value_name = "NEW")]
    pub new: Option<String>,
    /// Exit with 122 when the peak grew by more than this, such as `2%` or `50MiB`, and by more than the noise where that is
    /// known
    #[arg(long, value_name = "GROWTH")]
    pub fail_above: Option<Threshold>,
    /// Compare what cannot be compared, and say so
    #[arg(long)]
    pub force: bool,
    /// Apply this config's rules for stages and classes to both, in place of the recorded ones
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder with the recordings
    #[arg(long, value_name = "DIR", default_value = ".build-mem")]
    pub out_dir: PathBuf,
    /// The form
    #[arg(long, value_enum, default_value_t = ComparisonFormat::Text)]
    pub format: ComparisonFormat,
    /// Colours
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// `stage`
#[derive(Debug, Args)]
pub struct StageArgs {
    /// The stage
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The command
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// `list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The folder with the recordings
    #[arg(long, value_name = "DIR", default_value = ".build-mem")]
    pub out_dir: PathBuf,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Colours
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// `init`
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Replace a build-mem.toml that is there
    #[arg(long)]
    pub force: bool,
}

/// `man`
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write the manual pages of build-mem and of each command into this folder
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set or TERM is `dumb`
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuntimeArg {
    /// docker
    Docker,
    /// podman
    Podman,
}

/// What build-mem may do in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ContainerPrivileges {
    /// The capabilities that it needs, and no others
    Least,
    /// Everything: `--privileged`
    Full,
}

/// What follows the processes of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TrackerArg {
    /// Every process, by eBPF: needs root
    Ebpf,
    /// Polls /proc, which needs no privilege, and misses processes that live for some milliseconds
    Proc,
}

impl TrackerArg {
    /// As it stands in the recording and the result.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ebpf => crate::recording::TRACKER_EBPF,
            Self::Proc => crate::recording::TRACKER_PROC,
        }
    }
}

/// The forms of advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AdviceFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

/// The forms of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ComparisonFormat {
    /// For people
    Text,
    /// For a pull request's comment
    Markdown,
    /// For programs
    Json,
    /// A page with both builds' memory over time
    Html,
}

/// The forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// The summary for people
    Text,
    /// The whole result
    Json,
    /// The summary for a pull request or a job's summary, with a chart
    Markdown,
    /// Memory over time, one row a sample
    Csv,
    /// One page to look at, which needs nothing but a browser
    Html,
    /// Every process, one row each
    ProcessesCsv,
    /// A trace for ui.perfetto.dev: processes, stages and memory over time
    Perfetto,
    /// The figures for Prometheus: a text file for node_exporter's textfile collector
    #[value(name = "openmetrics")]
    OpenMetrics,
    /// The figures for Bencher (Bencher Metric Format)
    Bmf,
    /// The figures for github-action-benchmark's `customSmallerIsBetter`
    GithubBenchmark,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Text => Self::Text,
            FormatArg::Json => Self::Json,
            FormatArg::Markdown => Self::Markdown,
            FormatArg::Csv => Self::Csv,
            FormatArg::Html => Self::Html,
            FormatArg::ProcessesCsv => Self::ProcessesCsv,
            FormatArg::Perfetto => Self::Perfetto,
            FormatArg::OpenMetrics => Self::OpenMetrics,
            FormatArg::Bmf => Self::Bmf,
            FormatArg::GithubBenchmark => Self::GithubBenchmark,
        }
    }
}
