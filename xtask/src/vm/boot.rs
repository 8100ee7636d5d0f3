//! Boots a kernel under QEMU, and reads from its console how the tests went.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// How long one kernel may take: emulated, it takes some minutes.
const PATIENCE: Duration = Duration::from_mins(25);

/// What the machine has.
const MEMORY_MIB: &str = "3072";
const CPUS: &str = "2";

/// How the tests went on one kernel.
#[derive(Default)]
pub struct Outcome {
    /// `uname -r`; absent when the kernel did not come up.
    pub release: Option<String>,
    /// Tests passed and failed by the check that they belong to.
    pub checks: BTreeMap<String, Check>,
    /// The machine came to its end by itself.
    pub complete: bool,
}

/// The tests of one part of the suite.
#[derive(Default)]
pub struct Check {
    /// How many passed.
    pub passed: usize,
    /// Names of those that failed.
    pub failed: Vec<String>,
}

impl Outcome {
    /// The names of all tests that failed.
    pub fn failed(&self) -> Vec<String> {
        let failed = self.checks.values().flat_map(|check| &check.failed);
        failed.cloned().collect()
    }

    /// Takes in how those went when they were run again, and gives the names of those that passed then.
    pub fn correct(&mut self, second: &Self) -> Vec<String> {
        let mut passed = Vec::new();
        for (suite, check) in &mut self.checks {
            let Some(again) = second.checks.get(suite).filter(|_| second.complete) else {
                continue;
            };
            let ran = again.passed >= check.failed.len();
            let (still, now): (Vec<_>, Vec<_>) = std::mem::take(&mut check.failed)
                .into_iter()
                .partition(|name| !ran || again.failed.contains(name));
            check.passed += now.len();
            check.failed = still;
            passed.extend(now);
        }
        passed
    }

    /// Whether everything ran, and passed.
    pub fn is_green(&self) -> bool {
        self.complete
            && !self.checks.is_empty()
            && self.checks.values().all(|check| check.failed.is_empty())
    }
}

/// How the machine's processors are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// By this machine's own.
    Kvm,
    /// In software: many times slower.
    Tcg,
}

impl Accelerator {
    /// The fastest that works. There are machines with a `/dev/kvm` under which no kernel comes up, hence the trial.
    pub fn find(image: &Path) -> Self {
        const TRIAL: Duration = Duration::from_secs(10);
        if !Path::new("/dev/kvm").exists() {
            return Self::Tcg;
        }
        let machine = Self::Kvm
            .machine()
            .arg("-kernel")
            .arg(image)
            // Without anything to run, it gives up as soon as it is up.
            .args(["-append", "console=ttyS0 panic=-1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut machine) = machine else {
            return Self::Tcg;
        };
        let is_up = machine.stdout.take().is_some_and(|stdout| {
            let lines = lines_of(stdout);
            let deadline = Instant::now() + TRIAL;
            let left = || deadline.saturating_duration_since(Instant::now());
            std::iter::from_fn(|| lines.recv_timeout(left()).ok())
                .any(|line| line.contains("Kernel panic"))
        });
        let _ = machine.kill();
        let _ = machine.wait();
        if is_up { Self::Kvm } else { Self::Tcg }
    }

    /// By how much the tests give things more time than they need on a real machine.
    const fn slowness(self) -> u32 {
        match self {
            Self::Kvm => 1,
            Self::Tcg => 6,
        }
    }

    fn machine(self) -> Command {
        let mut machine = Command::new("qemu-system-x86_64");
        let accelerator = match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg,thread=multi",
        };
        machine
            .args(["-accel", accelerator, "-cpu", "max"])
            .args(["-smp", CPUS, "-m", MEMORY_MIB])
            .args(["-nographic", "-no-reboot", "-net", "none"]);
        machine
    }
}

/// Boots a kernel with the disk, and waits for its end. `arguments` say which of the disk's programs is executed first;
/// `tests` are names (or parts of names) of the tests to run, all when empty. The console is kept in `log`.
pub fn boot(
    accelerator: Accelerator,
    image: &Path,
    initramfs: &Path,
    disk: &Path,
    arguments: &str,
    tests: &[String],
    log: &Path,
) -> anyhow::Result<Outcome> {
    let mut console =
        File::create(log).with_context(|| format!("cannot write `{}`", log.display()))?;
    let mut machine = accelerator
        .machine()
        .arg("-kernel")
        .arg(image)
        .arg("-initrd")
        .arg(initramfs)
        .arg("-drive")
        .arg(format!(
            "file={},format=raw,if=virtio,cache=unsafe",
            disk.display()
        ))
        .arg("-append")
        // Mitigations cost an emulated CPU much, and nothing here depends on them.
        .arg(format!(
            "console=ttyS0 quiet panic=-1 mitigations=off {arguments} vm.slowness={} vm.tests={}",
            accelerator.slowness(),
            tests.join(",")
        ))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .context("cannot run qemu-system-x86_64")?;
    let stdout = machine.stdout.take().context("its console is a pipe")?;
    let lines = lines_of(stdout);
    let deadline = Instant::now() + PATIENCE;
    let mut reader = Reader::default();
    while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        writeln!(console, "{line}")?;
        if let Some(progress) = reader.line(&line) {
            println!("{progress}");
        }
    }
    // Without output it is at its end, or out of time.
    let _ = machine.kill();
    machine.wait().context("cannot wait for qemu")?;
    let outcome = reader.outcome;
    ensure!(
        outcome.release.is_some(),
        "the kernel did not come up: `{}`",
        log.display()
    );
    Ok(outcome)
}

/// The console's lines as they come.
fn lines_of(console: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n') {
            let Ok(line) = line else { break };
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                break;
            }
        }
    });
    lines
}

/// Reads the console, line by line.
#[derive(Default)]
struct Reader {
    suite: String,
    /// The test whose verdict is still to come, on a line of its own.
    begun: String,
    outcome: Outcome,
}

impl Reader {
    /// Takes in a line; gives what is worth showing.
    fn line(&mut self, line: &str) -> Option<String> {
        let Self {
            suite,
            begun,
            outcome,
        } = self;
        if let Some(release) = line.strip_prefix("vm: kernel ") {
            outcome.release = Some(release.to_owned());
        } else if let Some(name) = line.strip_prefix("vm: suite ") {
            name.clone_into(suite);
        } else if line == "vm: end" {
            outcome.complete = true;
        } else if let Some((name, verdict)) = test_of(line, begun) {
            let check = match name.split_once("::") {
                Some((module, _)) => format!("{suite}: {module}"),
                None => suite.clone(),
            };
            let check = outcome.checks.entry(check).or_default();
            if verdict == "ok" {
                check.passed += 1;
                begun.clear();
                return None;
            }
            let told = format!("  {suite}: {name}: {verdict}");
            check.failed.push(name.to_owned());
            begun.clear();
            return Some(told);
        } else if let Some((name, _)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "))
        {
            name.clone_into(begun);
        } else if line.starts_with("test result: ") {
            // The line of a test can be torn by what the kernel writes meanwhile; this one counts then.
            if line.starts_with("test result: FAILED")
                && outcome.checks.values().all(|check| check.failed.is_empty())
            {
                let check = outcome.checks.entry(suite.clone()).or_default();
                check.failed.push("not known which".to_owned());
            }
            return Some(format!("  {suite}: {line}"));
        }
        None
    }
}

/// `test NAME ... VERDICT` of Rust's test runner. Between the dots and the verdict something may stand that was written to
/// the console meanwhile; with a line break in it, the verdict is alone on the next line.
fn test_of<'a>(line: &'a str, begun: &'a str) -> Option<(&'a str, &'a str)> {
    const VERDICTS: [&str; 2] = ["ok", "FAILED"];
    if VERDICTS.contains(&line) && !begun.is_empty() {
        return Some((begun, line));
    }
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let verdict = VERDICTS
        .into_iter()
        .find(|verdict| rest.ends_with(verdict))?;
    Some((name, verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_tells_how_each_test_went() {
        let mut reader = Reader::default();
        for line in [
            "vm: kernel 5.10.0-32-cloud-amd64",
            "vm: suite run",
            "running 3 tests",
            "test memory::a_file ... ok",
            "test memory::b_file ... [   12.3] a message of the kernel FAILED",
            "test exits::c ... [   12.4] a whole line of the kernel's",
            "ok",
            "ok",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored",
        ] {
            reader.line(line);
        }
        let outcome = &reader.outcome;
        assert_eq!(outcome.release.as_deref(), Some("5.10.0-32-cloud-amd64"));
        assert_eq!(outcome.checks["run: memory"].passed, 1);
        assert_eq!(outcome.checks["run: memory"].failed, ["memory::b_file"]);
        assert_eq!(outcome.checks["run: exits"].passed, 1);
        assert!(!outcome.complete && !outcome.is_green());
    }

    #[test]
    fn what_passes_when_it_is_run_again_has_passed() {
        let outcome = |lines: &[&str]| {
            let mut reader = Reader::default();
            for line in lines {
                reader.line(line);
            }
            reader.outcome
        };
        let first = [
            "vm: suite run",
            "test a ... FAILED",
            "test b ... FAILED",
            "test c ... ok",
            "vm: end",
        ];
        let mut corrected = outcome(&first);
        assert_eq!(corrected.failed(), ["a", "b"]);
        let second = outcome(&["vm: suite run", "test a ... ok", "test b ... ok", "vm: end"]);
        assert_eq!(corrected.correct(&second), ["a", "b"]);
        assert!(corrected.is_green());
        assert_eq!(corrected.checks["run"].passed, 3);
        // One that did not run again has not passed, nor has any of a machine that stopped early.
        for second in [
            &["vm: suite run", "test a ... ok", "vm: end"][..],
            &["vm: suite run", "test a ... ok", "test b ... ok"],
            &[
                "vm: suite run",
                "test a ... FAILED",
                "test b ... FAILED",
                "vm: end",
            ],
        ] {
            let mut corrected = outcome(&first);
            assert_eq!(corrected.correct(&outcome(second)), [""; 0]);
            assert!(!corrected.is_green());
        }
    }

    #[test]
    fn a_machine_that_stops_early_is_not_green() {
        let mut reader = Reader::default();
        reader.line("vm: suite tracker");
        reader.line("test a ... ok");
        assert!(!reader.outcome.is_green());
        reader.line("vm: end");
        assert!(reader.outcome.is_green());
    }
}
