//! The tools that are compared: build-mem in its two ways, and what others use. What a peer sees is what it prints.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, SysconfVar, sysconf};
use serde_json::Value;

use super::strace;
use super::workload::Workload;
use super::{Cost, cpu_of_children};
use crate::run::has;

/// A tool that runs a build and tells something of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// build-mem, which follows processes by eBPF.
    Ebpf,
    /// build-mem, which polls `/proc`.
    Proc,
    /// strace, which counts processes.
    Strace,
    /// GNU time, which tells the largest process's peak.
    Time,
    /// peak-mem (crates.io), which adds up RSS ten times a second.
    PeakMem,
    /// buildprof (crates.io), which traces processes, and tells nothing of memory.
    Buildprof,
}

/// What a tool told of a run, and what it cost as seen from outside or, for build-mem, by its own account.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// CPU time of the tool alone, as a share of one core.
    pub cpu: Option<f64>,
    /// build-mem's sampler's part of it.
    pub sampler: Option<f64>,
    /// The most that it held resident, in bytes.
    pub resident: Option<u64>,
    /// Processes of the build.
    pub seen: Option<u64>,
    /// Events that it knows to have lost.
    pub lost: Option<u64>,
    /// What the build held at its peak, in bytes, as far as the tool's way of telling goes.
    pub peak: Option<u64>,
    /// The kernel's high-water mark of the build's cgroup.
    pub high_water: Option<u64>,
    /// The highest sample of the cgroup over that.
    pub capture: Option<f64>,
    /// What the cgroup held then beside what is explained, as a share.
    pub unattributed: Option<f64>,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Ebpf,
        Self::Proc,
        Self::Strace,
        Self::Time,
        Self::PeakMem,
        Self::Buildprof,
    ];

    /// Its name on the command line and in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Proc => "proc",
            Self::Strace => "strace",
            Self::Time => "time",
            Self::PeakMem => "peak-mem",
            Self::Buildprof => "buildprof",
        }
    }

    /// The tool of this name.
    pub fn of_name(name: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.into_iter().find(|tool| tool.name() == name);
        found.with_context(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no tool `{name}`; there are {names}")
        })
    }

    /// Whether it is another's than build-mem.
    pub const fn is_peer(self) -> bool {
        match self {
            Self::Ebpf | Self::Proc => false,
            Self::Strace | Self::Time | Self::PeakMem | Self::Buildprof => true,
        }
    }

    /// Whether it can be run here.
    pub fn is_there(self) -> bool {
        !self.is_peer() || has(self.name())
    }

    /// Runs a build with it.
    pub fn run(self, workload: &Workload, build_mem: &Path) -> anyhow::Result<(Cost, Told)> {
        match self {
            Self::Ebpf | Self::Proc => self.run_build_mem(workload, build_mem),
            Self::Strace | Self::Time | Self::PeakMem | Self::Buildprof => self.run_peer(workload),
        }
    }

    fn run_build_mem(self, workload: &Workload, build_mem: &Path) -> anyhow::Result<(Cost, Told)> {
        let (cost, result) = measured(workload, build_mem, self.name())?;
        let share = |part: &Value, whole: &Value| Some(part.as_f64()? / whole.as_f64()?);
        let (peak, profiler) = (&result["peak"], &result["profiler"]);
        let high_water = &result["headline"]["bytes"];
        let told = Told {
            cpu: share(&profiler["total_cpu_s"], &result["duration_s"]),
            sampler: share(&profiler["sampler_cpu_s"], &result["duration_s"]),
            resident: profiler["peak_rss_bytes"].as_u64(),
            seen: result["processes"]["forks"].as_u64(),
            // A poller does not know what it has missed.
            lost: (self == Self::Ebpf)
                .then(|| profiler["events_lost"].as_u64())
                .flatten(),
            peak: match workload.truth {
                // What the processes held, without what the kernel has for them.
                Some(_) => peak["pss_bytes"].as_u64(),
                None => peak["cgroup_bytes"].as_u64(),
            },
            high_water: high_water.as_u64(),
            capture: share(&peak["cgroup_bytes"], high_water),
            unattributed: share(&peak["composition"]["unattributed"], &peak["cgroup_bytes"]),
        };
        Ok((cost, told))
    }

    fn run_peer(self, workload: &Workload) -> anyhow::Result<(Cost, Told)> {
        let log = workload.folder.join(format!("{}.log", self.name()));
        let mut command = Command::new(self.name());
        match self {
            Self::Strace => {
                command.args(strace::ARGUMENTS).arg("--output").arg(&log);
            }
            Self::Time => {
                command.args(["--format=%M", "--output"]).arg(&log);
            }
            Self::PeakMem => {
                command
                    .args(["--quiet", "--"])
                    .stdout(fs::File::create(&log)?);
            }
            Self::Buildprof => {
                command.arg("--");
            }
            Self::Ebpf | Self::Proc => bail!("build-mem is no peer"),
        }
        command.args(&workload.command);
        if self != Self::PeakMem {
            command.stdout(Stdio::null());
        }
        let (cost, mut told) = watched(&mut command, &workload.folder, workload.name)?;
        if log.exists() {
            let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
            fs::remove_file(&log)?;
            match self {
                Self::Strace => told.seen = Some(1 + strace::processes_made(&text)),
                Self::Time => told.peak = last_number(&text).map(|kib| kib * 1024),
                Self::PeakMem => told.peak = last_number(&text),
                Self::Ebpf | Self::Proc | Self::Buildprof => {}
            }
        }
        Ok((cost, told))
    }
}

/// Runs a build with build-mem, and reads its result.
pub fn measured(
    workload: &Workload,
    build_mem: &Path,
    tracker: &str,
) -> anyhow::Result<(Cost, Value)> {
    let out_dir = workload.folder.join(".build-mem");
    let mut command = Command::new(build_mem);
    command
        .args(["run", "--json-only", "--skip-clear", "--force"])
        .args(["--tracker", tracker, "--label", "bench", "--out-dir"])
        .arg(&out_dir)
        .arg("--")
        .args(&workload.command);
    let cost = super::timed(&mut command, workload)?;
    let result = fs::read(out_dir.join("result-bench.json")).context("build-mem left no result")?;
    let result = serde_json::from_slice(&result).context("the result is not JSON")?;
    Ok((cost, result))
}

fn last_number(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace().rev();
    words.find_map(|word| word.parse().ok())
}

/// Runs a command, and sees from outside what its own process took.
pub fn watched(command: &mut Command, folder: &Path, name: &str) -> anyhow::Result<(Cost, Told)> {
    let cpu_before = cpu_of_children()?;
    let started = Instant::now();
    let mut child = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run `{}`", command.get_program().display()))?;
    let process = Path::new("/proc").join(child.id().to_string());
    let id = Id::Pid(Pid::from_raw(i32::try_from(child.id())?));
    let ended = AtomicBool::new(false);
    let (wall_s, resident) = thread::scope(|scope| -> anyhow::Result<_> {
        let watch = scope.spawn(|| {
            let mut resident = None;
            while !ended.load(Ordering::Relaxed) {
                resident = resident.max(high_water(&process));
                thread::sleep(Duration::from_millis(50));
            }
            resident
        });
        // It stays a zombie, whose CPU time can be read.
        let waited = waitid(id, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        let wall_s = started.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        waited.context("cannot wait for it")?;
        Ok((wall_s, watch.join().unwrap_or_default()))
    })?;
    let cpu = own_cpu(&process).map(|cpu_s| cpu_s / wall_s);
    let status = child.wait()?;
    ensure!(status.success(), "`{name}` failed: {status}");
    let cost = Cost {
        wall_s,
        cpu_s: cpu_of_children()? - cpu_before,
    };
    let told = Told {
        cpu,
        resident,
        ..Told::default()
    };
    Ok((cost, told))
}

/// `VmHWM` of a process, in bytes.
fn high_water(process: &Path) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// User and system time of a process without its children's, in seconds: fields 14 and 15 of its `stat`.
#[expect(clippy::cast_precision_loss, reason = "ticks of some hours")]
fn own_cpu(process: &Path) -> Option<f64> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<u64>().ok();
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    Some((ticks(11)? + ticks(12)?) as f64 / per_second as f64)
}
